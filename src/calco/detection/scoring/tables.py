"""The tables of a detector's report."""

import math
from html import escape
from typing import Final

from calco.detection.scoring.card import MEASURES, MODEL, DetectionCard, Measure
from calco.detection.scoring.words import range_of, shown
from calco.evaluation.intervals import Score

MOST_CONFUSED: Final = 24
"""Classes that the matrix shows, the commonest ones."""


def scores(card: DetectionCard) -> str:
    """The detector beside the baselines."""
    head = "".join(
        f'<th scope="col"><abbr title="{escape(measure.meaning)}">{measure.label}</abbr> '
        f'<span aria-label="{measure.better} is better">{"↓" if measure.better == "lower" else "↑"}</span></th>'
        for measure in MEASURES.values()
    )
    rows = []
    for system, row in card.systems.items():
        cells = "".join(_cell(card, name, measure, row[name]) for name, measure in MEASURES.items())
        css = ' class="model"' if system == MODEL else ""
        rows.append(f'<tr{css}><th scope="row">{escape(system)}</th>{cells}</tr>')
    return (
        '<section><h2>Scores</h2><p class="lead">Beside answers that need no learning, on the same images. Below '
        "each value, the interval that holds it with 95% certainty. ★ marks the best; ↓ lower is better, ↑ higher is "
        "better. Precision, recall, F1 and false alarms are those at each one's own threshold.</p>"
        + _table("Scores", f'<th scope="col"><span class="hidden">System</span></th>{head}', "".join(rows))
        + "</section>"
    )


def _cell(card: DetectionCard, name: str, measure: Measure, score: Score) -> str:
    values = [shown(row[name].mean, measure.decimals) for row in card.systems.values() if math.isfinite(row[name].mean)]
    numbers = [float(value.replace(",", "")) for value in values]
    top = (min if measure.better == "lower" else max)(numbers, default=math.nan)
    text = shown(score.mean, measure.decimals)
    best = math.isfinite(score.mean) and float(text.replace(",", "")) == top
    ends = range_of(score, measure.decimals)
    mark, said = (' class="best"', '<span class="hidden"> best</span>') if best else ("", "")
    below = f'<span class="range"><span class="hidden">95% interval </span>{ends}</span>' if ends else ""
    return f'<td{mark}><span class="num">{text}</span>{said}{below}</td>'


def _table(caption: str, head: str, rows: str, css: str = "") -> str:
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="{css}">'
        f'<caption class="hidden">{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def classes(card: DetectionCard) -> str:
    """By class and by size."""
    titles = ("Objects", "mAP 50:95 ↑", "mAP 50 ↑", "mAP 75 ↑", "Found among 100 ↑")
    head = '<th scope="col">Class</th>' + "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{each.num_objects:,}</td>'
        + "".join(f"<td>{shown(value)}</td>" for value in (each.ap, each.ap50, each.ap75, each.recall))
        + "</tr>"
        for name, each in card.by_class.items()
    )
    words = {
        "small": "small, below 32 × 32", "medium": "medium, up to 96 × 96", "large": "large, above"
    }  # fmt: skip
    sizes = "".join(
        f'<tr><th scope="row">{text}</th><td>{card.sizes[size]:,}</td><td>{shown(getattr(card.scores, size))}</td></tr>'
        for size, text in words.items()
    )
    size_head = '<th scope="col">Size</th><th scope="col">Objects</th><th scope="col">mAP 50:95 ↑</th>'
    return (
        '<section><h2>By class and by size</h2><p class="lead">A thing\'s size is that of its box, in pixels of the '
        'image as it is.</p><div class="two">'
        f"{_table('Scores by class', head, rows)}{_table('Scores by size', size_head, sizes)}</div></section>"
    )


def confusion(card: DetectionCard) -> str:
    """What was taken for what."""
    number = {name: place for place, name in enumerate(card.classes)}
    order = sorted(number, key=lambda name: -sum(card.confusion[number[name]]))[:MOST_CONFUSED]
    places = [*(number[name] for name in order), len(number)]
    names = [*order, "background"]
    head = '<th scope="col">there ↓ · said →</th>' + "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for name, row in zip(names, places, strict=True):
        total = max(1, sum(card.confusion[row]))
        cells = []
        for column in places:
            value, nowhere = card.confusion[row][column], row == column == len(number)
            hit = row == column and not nowhere
            css = "hit" if hit else "none" if not value else ""
            colour = "var(--good)" if hit else "var(--bad)"
            text = "" if nowhere else f"{value:,}"
            cells.append(f'<td class="{css}" style="--c:{colour};--share:{value / total:.3f}">{text}</td>')
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    left = f" The {MOST_CONFUSED} commonest classes." if len(number) > MOST_CONFUSED else ""
    return (
        '<section><h2>What was taken for what</h2><p class="lead">At the threshold, where the boxes overlap by half or '
        "more. The column background is what was missed, the row background what was said where nothing is."
        f"{left}</p>{_table('Confusions', head, ''.join(rows), 'confusion')}</section>"
    )
