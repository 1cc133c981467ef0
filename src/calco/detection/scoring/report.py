"""The report of a detector: a single HTML file that opens from disk without a network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from calco.annotations.detections import Detections
from calco.console import Table, cell
from calco.data.sample import fraction
from calco.detection import plots
from calco.detection.boxed import DIALOG, Look, Mark, boxed, card, cards, script, style, switches
from calco.detection.metrics import ImageJudgement, Verdict
from calco.detection.scoring.card import MEAN_BOX, MEASURES, MODEL, SYSTEMS, DetectionCard, ImageCounts, Measure
from calco.detection.scoring.score import EvaluationResult
from calco.errors import CalcoError
from calco.evaluation import curves
from calco.evaluation.metrics import Score
from calco.report.html import definitions, write_page

if TYPE_CHECKING:
    pass

REPORT: Final = "report.html"
_LOOKS: Final = (
    ("right", "found rightly"), ("wrong", "false alarm"), ("missed", "missed"), ("thing", "what is there"),
    ("passed", "counts neither way"),
)  # fmt: skip


def write_report(
    done: EvaluationResult,
    out: str | Path,
    *,
    log: Iterable[Mapping[str, Any]] = (),
    about: Mapping[str, str] | None = None,
) -> Path:
    """Writes the page.

    Args:
        done: What `evaluate_detector` gives.
        out: The file, or a folder to put `report.html` in.
        log: Rows of the training's log, for the learning curves.
        about: What the detector was trained on and how.

    Returns:
        The path of the page.
    """
    card = done.card
    images = f'<section><div class="bar"><h2>Images</h2>{switches(_LOOKS)}</div>{gallery(done)}</section>'
    parts = [
        scores(card), _in_use(card), _curves(card), classes(card), confusion(card), images,
        _learning(log), _about(card, about or {}),
    ]  # fmt: skip
    return write_page(
        out, f"{card.name} · Calco report", _header(card), "\n".join(filter(None, parts)), name=REPORT, css=style(),
        js=script(), after=DIALOG,
    )  # fmt: skip


def _header(card: DetectionCard) -> str:
    objects = card.scores.num_objects
    facts = [
        f"finds {', '.join(card.classes[:6])}"
        + (f" and {len(card.classes) - 6} more" if len(card.classes) > 6 else ""),
        f"scored on {len(card.images):,} images with {objects:,} thing{'' if objects == 1 else 's'}",
        *([f"{card.num_seen:,} images of the training passed over"] if card.num_seen else []),
        f"{1000 * card.seconds:,.0f} ms an image on this machine",
    ]
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    verdict = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(card))
    warning = (
        '<p class="warn">Every image here was part of the training. The scores say how well the detector remembers, '
        "not how well it works.</p>"
        if card.only_seen
        else ""
    )
    return (
        f'<h1>{escape(card.name)}</h1><ul class="facts">{listed}</ul><div class="verdict">{verdict}</div>{warning}'
        f'<ul class="tiles">{"".join(_tiles(card))}</ul>'
    )


def _tiles(card: DetectionCard) -> list[str]:
    model = card.systems[MODEL]
    tiles = [
        (MEASURES[name].label, shown(model[name].mean), range_of(model[name]))
        for name in ("map50", "map", "map75", "f1")
    ]
    rates = card.rates
    tiles.append(("Missed", percent(rates.miss_rate).split(" (")[0], "of the objects, at the threshold"))
    tiles.append(("False alarms", shown(rates.wrong.mean, 2), "boxes an image, at the threshold"))
    return [
        f'<li class="tile"><span class="name">{escape(name)}</span><span class="value">{value}</span>'
        f'<span class="than">{escape(than)}</span></li>'
        for name, value, than in tiles
    ]


def _in_use(card: DetectionCard) -> str:
    """Errors where people pass."""
    rates, place = card.rates, card.place
    alarmed = (
        "of the images with nothing in them raise a false alarm"
        if rates.of_empty
        else "of the images have a box at nothing of its class"
    )
    entries = [
        (few(rates.wrong), "false boxes an image"), (few(rates.missed), "missed objects an image"),
        (percent(rates.miss_rate), "of the objects are missed"),
        (percent(rates.alarm_rate), alarmed),
    ]  # fmt: skip
    if rates.wrong_an_hour is not None:
        entries.append(
            (few(rates.wrong_an_hour), f"false boxes an hour, at {place.frames_per_second:g} frames a second")
        )
    entries += [(few(score), name) for name, score in rates.people.items()]
    if rates.right_alarms is not None:
        entries.append(
            (percent(rates.right_alarms), f"of the alarms are right, where {place.prevalence:.2%} are sought")
        )
    items = "".join(f"<li>{_split(value)}<span>{escape(words)}</span></li>" for value, words in entries)
    told = (
        "Tell how many people pass and how often one looks, and they stand here by the hour: "
        if not rates.people
        else ""
    )
    options = "<code>--people-per-hour 200 --frames-per-second 5 --prevalence 0.001</code>." if told else ""
    assumed = (
        f"For {place.people_per_hour:,.0f} people an hour it is assumed that each is looked at once, on images such "
        "as these. " if rates.people else ""
    )  # fmt: skip
    return (
        f'<section><h2>In use</h2><p class="lead">At the threshold {card.threshold:.2f}, with 95% intervals. '
        f"{escape(assumed)}Frames of a video that follow each other err together: a mistake lasts, and looking twice "
        f"does not halve what is missed. {escape(told)}{options}</p>"
        f'<ul class="people">{items}</ul></section>'
    )


def _split(value: str) -> str:
    number, _, ends = value.partition(" (")
    return f"<b>{escape(number)}</b>" + (f"<span>95%: {escape(ends.removesuffix(')'))}</span>" if ends else "")


def _curves(card: DetectionCard) -> str:
    order = sorted(card.curves, key=lambda name: -card.by_class[name].num_objects)
    charts = [
        plots.lines(
            "Precision over recall" + (f", {number // plots.COLOURS + 1}" if len(order) > plots.COLOURS else ""),
            {name: [(r, p) for r, p, _ in card.curves[name]] for name in order[number : number + plots.COLOURS]},
            "recall", "precision", steps=True, values={name: shown(card.by_class[name].ap50) for name in order},
            note="At an overlap of 0.5; behind each name its mAP 50.",
        )
        for number in range(0, min(len(order), 3 * plots.COLOURS), plots.COLOURS)
    ]  # fmt: skip
    if card.thresholds:
        named = {"precision": 1, "recall": 2, "F1": 3}
        charts.append(
            plots.lines(
                "What a threshold does",
                {name: [(row[0], row[place]) for row in card.thresholds] for name, place in named.items()},
                "threshold", "share", at=card.threshold,
                note=f"Dashed: the detector's threshold {card.threshold:.2f}. On these images "
                f"{card.best_threshold:.2f} has the best F1.",
            )
        )  # fmt: skip
    if sum(card.kinds.values()):
        charts.append(
            plots.bars(
                "What the false alarms are", card.kinds, note="At the threshold, by their overlap with what is there."
            )
        )
    return f'<section><h2>Curves</h2><div class="charts">{"".join(charts)}</div></section>' if charts else ""


def _learning(log: Iterable[Mapping[str, Any]]) -> str:
    figures = "".join(curves.draw(chart) for chart in curves.charts(log))
    if not figures:
        return ""
    return (
        '<section><h2>Learning curves</h2><p class="lead">By training step. Thin: as measured; thick: smoothed, with '
        f'its last value above.</p><div class="charts">{figures}</div></section>'
    )


def _about(card: DetectionCard, about: Mapping[str, str]) -> str:
    trained = definitions(about) if about else '<p class="soft">This detector does not say what it was trained on.</p>'
    meanings = {measure.label: measure.meaning for measure in MEASURES.values()}
    left = {"Left out": [f"{key}: {reason}" for key, reason in card.left_out.items()]} if card.left_out else {}
    notes = "".join(f"<li>{escape(note)}.</li>" for note in card.notes)
    method = (
        "Mean average precision is counted by faster-coco-eval after COCO's protocol. Intervals hold the value with "
        f"95% certainty: they come from images drawn again by chance (seed {card.seed}), where those of one group "
        "are drawn together, and from COCO's counting on them."
    )
    systems: dict[str, str | Sequence[str]] = {**meanings, **SYSTEMS, **left}
    return (
        f"<section><h2>What it was trained on</h2>{trained}</section>"
        f'<section><h2>How it was measured</h2><p class="lead">{method}</p>'
        f"{f'<ul class=notes>{notes}</ul>' if notes else ''}{definitions(systems, 'about metrics')}</section>"
    )


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


if TYPE_CHECKING:
    from calco.evaluation.metrics import Score


def shown(value: float | None, decimals: int = 3) -> str:
    """A number with so many digits; an en dash for what is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{decimals}f}"


def range_of(score: "Score", decimals: int = 3) -> str:
    """Such as "0.31 to 0.44"; nothing without an interval, or where it is narrower than the digits."""
    if score.low is None or score.high is None:
        return ""
    low, high = shown(score.low, decimals), shown(score.high, decimals)
    return f"{low} to {high}" if low != high else ""


def with_range(score: "Score", decimals: int = 3) -> str:
    """Such as "0.378 (0.310 to 0.440)"."""
    ends = range_of(score, decimals)
    return shown(score.mean, decimals) + (f" ({ends})" if ends else "")


def few(score: "Score", unit: str = "") -> str:
    """A number as people say it: with more digits where it is small."""
    largest = max(abs(score.mean), abs(score.high or 0.0)) if math.isfinite(score.mean) else 0.0
    decimals = 0 if largest >= 100 else 1 if largest >= 10 else 2
    ends = range_of(score, decimals)
    return shown(score.mean, decimals) + unit + (f" ({ends})" if ends else "")


def percent(score: "Score") -> str:
    """A share and its interval in hundredths; with more digits where it is small."""
    if not math.isfinite(score.mean):
        return "–"
    decimals = 0 if score.mean >= 0.1 or not score.mean else 1 if score.mean >= 0.01 else 2

    def said(share: float) -> str:
        return f"{share:.{decimals}%}"

    if score.low is None or score.high is None or said(score.low) == said(score.high):
        return said(score.mean)
    return f"{said(score.mean)} ({said(score.low)} to {said(score.high)})"


def table(card: DetectionCard) -> Table:
    """The scores of the detector and the baselines, for the terminal."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column("")
    for measure in MEASURES.values():
        made.add_column(f"{measure.label} {'↓' if measure.better == 'lower' else '↑'}", justify="right", no_wrap=True)
    for system, row in card.systems.items():
        cells = [shown(row[name].mean, measure.decimals) for name, measure in MEASURES.items()]
        made.add_row(system, *cells, style="bold" if system == MODEL else "")
        ends = [range_of(row[name], measure.decimals).replace(" to ", "–") for name, measure in MEASURES.items()]
        if system == MODEL and any(ends):
            made.add_row(*(cell(each, style="dim") for each in ("  95%", *ends)))
    return made


def class_table(card: DetectionCard) -> Table:
    """The detector's scores of each class, for the terminal."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("class", "objects", "mAP 50:95 ↑", "mAP 50 ↑", "mAP 75 ↑", "found among 100 ↑"):
        made.add_column(title, justify="left" if title == "class" else "right")
    for name, each in card.by_class.items():
        made.add_row(name, f"{each.num_objects:,}", *map(shown, (each.ap, each.ap50, each.ap75, each.recall)))
    return made


def verdict(card: DetectionCard) -> str:
    """How good it is, in a few sentences."""
    return " ".join([*sentences(card), *(f"{note}." for note in card.notes)])


def sentences(card: DetectionCard) -> list[str]:
    """What the scores say."""
    model = card.systems[MODEL]
    counted = f"{len(card.images):,} image{'' if len(card.images) == 1 else 's'}"
    counted += f" ({card.num_seen:,} of the training left out)" if card.num_seen else ""
    where = f"On {counted}" + (
        " that it was trained on" if card.only_seen else " that it never saw" if card.unseen else ""
    )
    if not card.scores.num_objects:
        return [f"{where}, nothing is to be found: {few(card.rates.wrong)} false alarms an image."]
    told = [
        f"{where}, the detector's mAP 50 is {with_range(model['map50'])}, its mAP 50:95 {with_range(model['map'])}."
    ]
    if card.gain is not None and math.isfinite(card.gain.mean):
        ends = range_of(card.gain, 1)
        told.append(f"That is {card.gain.mean:,.1f} times the mean box's mAP 50{f' ({ends})' if ends else ''}.")
    elif MEAN_BOX in card.systems:
        told.append("The mean box finds none of the objects.")
    rates = card.rates
    told.append(
        f"At the threshold {card.threshold:.2f} it misses {percent(rates.miss_rate)} of the objects and raises "
        f"{few(rates.wrong)} false alarms an image."
    )
    if abs(card.best_threshold - card.threshold) > 0.1:
        told.append(f"On these images {card.best_threshold:.2f} would have served best.")
    return told + hourly(card)


def hourly(card: DetectionCard) -> list[str]:
    """The errors in an hour, where somebody told how many people pass and how often one looks."""
    rates, place = card.rates, card.place
    told = []
    if rates.people:
        listed = "; ".join(f"{few(score)} {name}" for name, score in rates.people.items())
        told.append(f"Of {place.people_per_hour:,.0f} people an hour, each looked at once: {listed}.")
        if not rates.of_empty:
            told.append(
                "What people set off who have none of the objects is a guess: too few of these images have nothing in "
                "them."
            )
    if rates.right_alarms is not None and math.isfinite(rates.right_alarms.mean):
        told.append(f"Of those who set off an alarm, {percent(rates.right_alarms)} are sought.")
    if rates.wrong_an_hour is not None:
        told.append(
            f"At {place.frames_per_second:g} frames a second, each by itself, that is {few(rates.wrong_an_hour)} false "
            "boxes an hour."
        )
    return told


if TYPE_CHECKING:
    pass

WORST: Final = 12
CHOSEN: Final = 9
_BOXES: Final = 100  # in one image
_LOOK_OF: Final[dict[Verdict, Look]] = {"right": "right", "passed": "passed"}


def gallery(done: EvaluationResult) -> str:
    """The worst images first, then some that chance chose, the same ones for every detector."""
    images = done.card.images
    order = sorted(range(len(images)), key=lambda place: _badness(images[place], done.told[place]))
    worst = [place for place in order if images[place].errors][:WORST]
    chance = sorted(range(len(images)), key=lambda place: fraction("shown", images[place].key))[:CHOSEN]
    return cards("Worst", _made(done, worst), "most errors first") + cards(
        "Chosen by chance", _made(done, chance), "the same images for every detector"
    )


def _badness(counts: ImageCounts, told: ImageJudgement) -> tuple[float, float, str]:
    """More errors come first; of as many, the false alarms that were surest."""
    scores = told.found.scores
    wrong = [verdict not in ("right", "passed") for verdict in told.verdicts]
    surest = float(scores[np.array(wrong)].max(initial=0.0)) if scores is not None and len(scores) else 0.0
    return -counts.errors, -surest, counts.key


def _made(done: EvaluationResult, places: Sequence[int]) -> list[str]:
    made = []
    for place in places:
        item, counts = done.items[place], done.card.images[place]
        try:
            image = done.source.load(item).image
        except CalcoError:
            continue  # it could be read a moment ago; the figures stand
        inner = boxed(image, marks(done.truth[place], done.told[place]), f"{item.key} with its boxes")
        made.append(card(item.key, inner, _words(counts)))
    return made


def _words(counts: ImageCounts) -> str:
    missed = counts.objects - counts.right
    parts = [f"{counts.right} of {counts.objects} found"] if counts.objects else ["nothing to find"]
    parts += [f"{counts.wrong} false alarm{'' if counts.wrong == 1 else 's'}"] if counts.wrong else []
    return ", ".join(parts) if missed or counts.wrong or not counts.objects else "all found"


def marks(truth: Detections, told: ImageJudgement) -> list[Mark]:
    """The boxes of one image: what is there, what was missed, what was found; the surest on top."""
    ignored = np.zeros(len(truth), np.bool_) if truth.ignored is None else truth.ignored
    drawn = [
        Mark(
            box.tolist(),
            f"{name} missed" if missed else f"{name} (not counted)" if passed else name,
            "missed" if missed else "passed" if passed else "thing",
        )
        for box, name, missed, passed in zip(truth.boxes, truth.classes, told.missed, ignored, strict=True)
    ][:_BOXES]
    found = told.found
    scores = np.zeros(len(found)) if found.scores is None else found.scores
    for i in np.argsort(-scores)[:_BOXES][::-1]:
        verdict = told.verdicts[i]
        said = f"{found.classes[i]} {scores[i]:.2f}" + ("" if verdict in _LOOK_OF else f", {verdict}")
        drawn.append(Mark(found.boxes[i].tolist(), said, _LOOK_OF.get(verdict, "wrong")))
    return drawn
