"""The parts that reports are made of: the page around them, the table of scores, the cards of cases."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from calco.evaluation.baselines import MODEL
from calco.evaluation.intervals import Score
from calco.evaluation.metrics import METRICS
from calco.evaluation.scorecard import Case
from calco.evaluation.words import arrow, interval_text, number
from calco.report.html import asset, img_tag, write_page

REPORT = "report.html"
SIDES = ("input", "output", "target")

Systems = Mapping[str, Mapping[str, Score]]


def write_report_page(out: str | Path, title: str, header: str, body: str) -> Path:
    """Writes a page with sliders between images, which a dialog enlarges; the arguments are those of `write_page`."""
    css, js = asset("calco.evaluation", "report.css"), asset("calco.evaluation", "report.js")
    return write_page(out, title, header, body, name=REPORT, css=css, js=js, after=_DIALOG)


_DIALOG = (
    '<dialog aria-labelledby="case-name"><div class="bar"><h2 id="case-name"></h2>'
    '<button type="button" class="close">Close</button></div>'
    '<div class="trio">'
    + "".join(f'<figure><img class="{side}" alt="{side}"><figcaption>{side}</figcaption></figure>' for side in SIDES)
    + '</div><div class="each"></div></dialog>'
)


def score_table(systems: Systems, metrics: Sequence[str], caption: str, highlight: Sequence[str] = (MODEL,)) -> str:
    """Systems in rows, metrics in columns; the best of a column marked, each value with its place and interval.

    Args:
        systems: System, metric, score.
        metrics: The columns.
        caption: For those who cannot see the table.
        highlight: Rows to stand out; without any, the best is not marked either.
    """
    head = "".join(
        f'<th scope="col"><abbr title="{escape(METRICS[metric].meaning)}">{METRICS[metric].label}</abbr> '
        f"{_direction(metric)}</th>"
        for metric in metrics
    )
    columns = {metric: _column(systems, metric) for metric in metrics}
    if not highlight:
        columns = {metric: (set(), low, high) for metric, (_, low, high) in columns.items()}
    rows = []
    for name, scores in systems.items():
        cells = "".join(_cell(metric, name, scores.get(metric), *columns[metric]) for metric in metrics)
        css = ' class="model"' if name in highlight else ""
        rows.append(f'<tr{css}><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f'<caption class="hidden">{escape(caption)}</caption>'
        f'<thead><tr><th scope="col"><span class="hidden">System</span></th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _direction(metric: str) -> str:
    better = METRICS[metric].better
    return f'<span aria-label="{better} is better">{arrow(metric)}</span>' if better else ""


def _column(systems: Systems, metric: str) -> tuple[set[str], float, float]:
    """The best systems (as far as the digits shown tell), and the ends of the column's scale."""
    scores = {name: row[metric] for name, row in systems.items() if metric in row and math.isfinite(row[metric].mean)}
    ends = [end for s in scores.values() for end in (s.mean, s.low, s.high) if end is not None]
    better = METRICS[metric].better
    if better is None or not scores:
        return set(), min(ends, default=0.0), max(ends, default=1.0)
    top = (min if better == "lower" else max)(score.mean for score in scores.values())
    best = {name for name, score in scores.items() if number(metric, score.mean) == number(metric, top)}
    return best, min(ends), max(ends)


def _cell(metric: str, name: str, score: Score | None, best: set[str], low: float, high: float) -> str:
    if score is None:
        return "<td>–</td>"

    def at(value: float) -> float:
        return 4 + 92 * (value - low) / (high - low) if high > low else 50.0

    mark, said = (' class="best"', '<span class="hidden"> best</span>') if name in best else ("", "")
    track = f'<b style="left:{at(score.mean):.1f}%"></b>'
    text = interval_text(metric, score)
    said_range = f'<span class="range"><span class="hidden">95% interval </span>{text}</span>' if text else ""
    if score.low is not None and score.high is not None:
        width = at(score.high) - at(score.low)
        track = f'<i style="left:{at(score.low):.1f}%;width:{width:.1f}%"></i>{track}'
    return (
        f'<td{mark}><span class="num">{number(metric, score.mean)}</span>{said}'
        f'{said_range}<span class="track" aria-hidden="true">{track}</span></td>'
    )


def case_card(case: Case, metrics: Sequence[str], shown: Sequence[str]) -> str:
    """Input beside a slider between output and target, with the name (a button that enlarges) and the scores.

    Args:
        case: What to show.
        metrics: All scores for the enlarged view.
        shown: The one or two that stand on the card.
    """
    key = escape(case.key)
    scores = " · ".join(
        f"{METRICS[metric].label} {number(metric, case.scores[MODEL][metric])}"
        for metric in shown
        if metric in case.scores[MODEL]
    )
    systems = {name: {m: Score(v) for m, v in row.items() if m in metrics} for name, row in case.scores.items()}
    each = score_table(systems, [m for m in metrics if m in case.scores[MODEL]], f"Scores of {case.key}")
    seen = '<span class="seen" title="The model was trained on this image">seen</span>' if case.seen else ""
    return (
        f'<li class="case"><div class="sides"><div class="plain">{img_tag(case.input, f"input of {case.key}", "input")}'
        f'<span class="tag l">input</span></div>'
        f'<div class="compare">{img_tag(case.target, f"target of {case.key}", "target")}'
        f"{img_tag(case.output, f'output of {case.key}', 'output over')}"
        '<span class="line"></span><span class="tag l">output</span><span class="tag r">target</span>'
        f'<input type="range" min="0" max="100" value="50" aria-label="{key}: output or target" '
        'aria-valuetext="50% output, 50% target"></div></div>'
        f'<div class="foot"><button type="button" class="title" title="{key}: enlarge">{key}</button>{seen}'
        f'<span class="scores">{scores}</span></div><template>{each}</template></li>'
    )


def gallery(title: str, cases: Sequence[Case], metrics: Sequence[str], shown: Sequence[str], note: str = "") -> str:
    """A titled grid of cards; nothing without cases."""
    if not cases:
        return ""
    cards = "".join(case_card(case, metrics, shown) for case in cases)
    text = f' <span class="soft" style="font-weight:400">{escape(note)}</span>' if note else ""
    return f'<h3>{escape(title)}{text}</h3><ul class="cases">{cards}</ul>'


def switch() -> str:
    """Buttons that move all sliders at once."""
    choices = (("Output", 100, "false"), ("Half and half", 50, "true"), ("Target", 0, "false"))
    buttons = "".join(
        f'<button type="button" data-at="{at}" aria-pressed="{pressed}">{name}</button>'
        for name, at, pressed in choices
    )
    return f'<div class="switch" role="group" aria-label="Show in every image">{buttons}</div>'
