"""Report of a detector: a single HTML file that opens from disk without a network, and its sentences and tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from calco.annotations.detections import Detections
from calco.console import Table as TerminalTable
from calco.console import cell
from calco.data.sample import fraction
from calco.detection.metrics import ImageJudgement, Verdict
from calco.detection.scoring.card import MEAN_BOX, MEASURES, MODEL, SYSTEMS, DetectionCard, ImageCounts
from calco.detection.scoring.score import EvaluationResult
from calco.errors import CalcoError
from calco.evaluation.metrics import Score
from calco.report import charts
from calco.report.boxes import Look, Mark, boxed
from calco.report.page import count, write_page
from calco.report.tables import Cell, Column, Row, Table, score_cells

MOST_CONFUSED: Final = 24
"""Classes of the matrix of confusions, the commonest ones."""
WORST: Final = 12
CHOSEN: Final = 9
_BOXES: Final = 100  # in one image
_LOOK_OF: Final[dict[Verdict, Look]] = {"right": "right", "passed": "passed"}
_LOOKS: Final = (
    ("right", "found"), ("wrong", "false alarm"), ("missed", "missed"), ("object", "ground truth"),
    ("passed", "not counted"),
)  # fmt: skip


def write_report(
    done: EvaluationResult,
    out: str | Path,
    *,
    log: Iterable[Mapping[str, Any]] = (),
    about: Mapping[str, str] | None = None,
) -> Path:
    """Write the page.

    Args:
        done: Result of `evaluate_detector`.
        out: The file, or a folder to put `report.html` in.
        log: Lines of the training log, for the learning curves.
        about: Facts about the detector and its training.

    Returns:
        The path of the page.
    """
    card = done.card
    worst, chosen = _gallery(done)
    more = f" The {MOST_CONFUSED} commonest classes." if len(card.classes) > MOST_CONFUSED else ""
    left = {"Left out": [f"{key}: {reason}" for key, reason in card.left_out.items()]} if card.left_out else {}
    return write_page(
        out,
        "detection",
        title=f"{card.name} · Calco report",
        card=card,
        facts=_facts(card),
        verdict=sentences(card),
        tiles=_tiles(card),
        scores=_scores(card),
        assumed=_assumed(card),
        in_use=[(value, interval, text) for (value, interval), text in _in_use(card)],
        curves=_curves(card),
        classes=_classes(card),
        sizes=_sizes(card),
        confusion=_confusion(card),
        confusion_note=more,
        looks=_LOOKS,
        worst=worst,
        chosen=chosen,
        learning=charts.learning_curves(log, {}),
        about=about or {},
        method="Mean average precision is counted by faster-coco-eval after COCO's protocol. Intervals hold the value "
        f"with 95% certainty: they come from bootstrap resamples of the images (seed {card.seed}), where those of one "
        "group are drawn together, and from COCO's counting on them.",
        notes=[f"{note}." for note in card.notes],
        meanings={measure.label: measure.meaning for measure in MEASURES.values()} | SYSTEMS | left,
    )


def _facts(card: DetectionCard) -> list[str]:
    rest = f" and {len(card.classes) - 6} more" if len(card.classes) > 6 else ""
    return [
        f"finds {', '.join(card.classes[:6])}{rest}",
        f"scored on {count(len(card.images))} with {count(card.scores.num_objects, 'object')}",
        f"{count(card.num_seen)} of the training left out" if card.num_seen else "",
        f"{1000 * card.seconds:,.0f} ms an image on this machine",
    ]


def _tiles(card: DetectionCard) -> list[tuple[str, str, str, str, str, str]]:
    model, rates = card.systems[MODEL], card.rates
    tiles = [
        (MEASURES[name].label, shown(model[name].mean), "", "", range_of(model[name]), "")
        for name in ("map50", "map", "map75", "f1")
    ]
    missed = percent(rates.miss_rate).split(" (")[0]
    tiles.append(("Missed", missed, "", "", "of the objects, at the threshold", ""))
    tiles.append(("False alarms", shown(rates.wrong.mean, 2), "", "", "boxes an image, at the threshold", ""))
    return tiles


def _in_use(card: DetectionCard) -> list[tuple[tuple[str, str], str]]:
    """Value with its interval, and text, of each error rate."""
    rates, place = card.rates, card.place
    alarmed = "empty images raise a false alarm" if rates.of_empty else "images have a box at nothing of its class"
    entries = [
        (few(rates.wrong), "false boxes an image"), (few(rates.missed), "missed objects an image"),
        (percent(rates.miss_rate), "of the objects are missed"), (percent(rates.alarm_rate), f"of the {alarmed}"),
    ]  # fmt: skip
    if rates.wrong_an_hour is not None:
        per_second = f"{place.frames_per_second:g} frames a second"
        entries.append((few(rates.wrong_an_hour), f"false boxes an hour, at {per_second}"))
    entries += [(few(score), name) for name, score in rates.people.items()]
    if rates.right_alarms is not None:
        entries.append(
            (percent(rates.right_alarms), f"of the alarms are right, where {place.prevalence:.2%} are sought")
        )
    return [(_split(value), text) for value, text in entries]


def _split(value: str) -> tuple[str, str]:
    number, _, ends = value.partition(" (")
    return number, ends.removesuffix(")")


def _assumed(card: DetectionCard) -> str:
    if not card.rates.people:
        return ""
    people = f"{card.place.people_per_hour:,.0f} people"
    return f"The figures for {people} an hour assume that each person appears in one image, on images such as these."


def _curves(card: DetectionCard) -> list[Markup]:
    order = sorted(card.curves, key=lambda name: -card.by_class[name].num_objects)
    several = len(order) > charts.COLOURS
    drawn = [
        charts.lines(
            "Precision over recall" + (f", {number // charts.COLOURS + 1}" if several else ""),
            {name: [(r, p) for r, p, _ in card.curves[name]] for name in order[number : number + charts.COLOURS]},
            "recall", "precision", unit=True, steps=True,
            values={name: shown(card.by_class[name].ap50) for name in order},
            note="At an overlap of 0.5; behind each name its mAP 50.",
        )
        for number in range(0, min(len(order), 3 * charts.COLOURS), charts.COLOURS)
    ]  # fmt: skip
    if card.thresholds:
        named = {"precision": 1, "recall": 2, "F1": 3}
        curves = {name: [(row[0], row[place]) for row in card.thresholds] for name, place in named.items()}
        note = (
            f"Dashed: the detector's threshold {card.threshold:.2f}. On these images {card.best_threshold:.2f} has the "
            "best F1."
        )
        title = "Precision, recall and F1 by threshold"
        drawn.append(charts.lines(title, curves, "threshold", "share", unit=True, at=card.threshold, note=note))
    if sum(card.kinds.values()):
        note = "At the threshold, by their overlap with the ground truth."
        drawn.append(charts.bars("Kinds of false alarms", card.kinds, note=note))
    return drawn


def _scores(card: DetectionCard) -> Table:
    """The detector beside the baselines."""
    columns = [
        score_cells(
            {system: row[name] for system, row in card.systems.items()},
            "lower" if measure.better == "lower" else "higher",
            lambda value, measure=measure: shown(value, measure.decimals),  # type: ignore[misc]
            lambda score, measure=measure: range_of(score, measure.decimals),  # type: ignore[misc]
        )
        for name, measure in MEASURES.items()
    ]
    heads = [
        Column(each.label, each.meaning, "lower" if each.better == "lower" else "higher") for each in MEASURES.values()
    ]
    rows = [Row(name, [column[name] for column in columns], highlight=name == MODEL) for name in card.systems]
    return Table("Scores", heads, rows)


def _classes(card: DetectionCard) -> Table:
    titles = ("Objects", "mAP 50:95 ↑", "mAP 50 ↑", "mAP 75 ↑", "Found among 100 ↑")
    rows = [
        Row(name, [f"{each.num_objects:,}", *map(shown, (each.ap, each.ap50, each.ap75, each.recall))])
        for name, each in card.by_class.items()
    ]
    return Table("Scores by class", [Column(title) for title in titles], rows, corner="Class")


def _sizes(card: DetectionCard) -> Table:
    names = {"small": "small, below 32 × 32", "medium": "medium, up to 96 × 96", "large": "large, above"}
    rows = [Row(text, [f"{card.sizes[size]:,}", shown(getattr(card.scores, size))]) for size, text in names.items()]
    return Table("Scores by size", [Column("Objects"), Column("mAP 50:95 ↑")], rows, corner="Size")


def _confusion(card: DetectionCard) -> Table:
    number = {name: place for place, name in enumerate(card.classes)}
    order = sorted(number, key=lambda name: -sum(card.confusion[number[name]]))[:MOST_CONFUSED]
    places, names = [*(number[name] for name in order), len(number)], [*order, "background"]
    rows = []
    for name, row in zip(names, places, strict=True):
        total = max(1, sum(card.confusion[row]))
        cells = []
        for column in places:
            value, nowhere = card.confusion[row][column], row == column == len(number)
            hit = row == column and not nowhere
            css = "hit" if hit else "none" if not value else ""
            shade = ("var(--good)" if hit else "var(--bad)", value / total)
            cells.append(Cell("" if nowhere else f"{value:,}", css=css, shade=shade))
        rows.append(Row(name, cells))
    heads = [Column(name) for name in names]
    return Table("Confusions", heads, rows, corner="true ↓ · predicted →", css="confusion")


Cards = list[tuple[str, Markup, str, str]]


def _gallery(done: EvaluationResult) -> tuple[Cards, Cards]:
    """The worst images, and a random choice that is the same for every detector."""
    images = done.card.images
    order = sorted(range(len(images)), key=lambda place: _badness(images[place], done.judgements[place]))
    worst = [place for place in order if images[place].errors][:WORST]
    chosen = sorted(range(len(images)), key=lambda place: fraction("shown", images[place].key))[:CHOSEN]
    return _cards(done, worst), _cards(done, chosen)


def _cards(done: EvaluationResult, places: Sequence[int]) -> Cards:
    made: Cards = []
    for place in places:
        item, counts = done.items[place], done.card.images[place]
        try:
            image = done.source.load(item).image
        except CalcoError:
            continue  # it could be read a moment ago; the figures stand
        shown_boxes = boxed(image, marks(done.truth[place], done.judgements[place]), f"{item.key} with its boxes")
        made.append((item.key, shown_boxes, _words(counts), ""))
    return made


def _badness(counts: ImageCounts, judgement: ImageJudgement) -> tuple[float, float, str]:
    """More errors come first; of as many, the false alarms that were surest."""
    scores = judgement.found.scores
    wrong = [verdict not in ("right", "passed") for verdict in judgement.verdicts]
    surest = float(scores[np.array(wrong)].max(initial=0.0)) if scores is not None and len(scores) else 0.0
    return -counts.errors, -surest, counts.key


def _words(counts: ImageCounts) -> str:
    missed = counts.objects - counts.right
    parts = [f"{counts.right} of {counts.objects} found"] if counts.objects else ["nothing to find"]
    parts += [f"{counts.wrong} false alarm{'' if counts.wrong == 1 else 's'}"] if counts.wrong else []
    return ", ".join(parts) if missed or counts.wrong or not counts.objects else "all found"


def marks(truth: Detections, judgement: ImageJudgement) -> list[Mark]:
    """The boxes of one image: what is there, what was missed, what was found; the surest on top."""
    ignored = np.zeros(len(truth), np.bool_) if truth.ignored is None else truth.ignored
    found_marks = [
        Mark(
            box.tolist(),
            f"{name} missed" if missed else f"{name} (not counted)" if passed else name,
            "missed" if missed else "passed" if passed else "object",
        )
        for box, name, missed, passed in zip(truth.boxes, truth.classes, judgement.missed, ignored, strict=True)
    ][:_BOXES]
    found = judgement.found
    scores = np.zeros(len(found)) if found.scores is None else found.scores
    for i in np.argsort(-scores)[:_BOXES][::-1]:
        verdict = judgement.verdicts[i]
        label = f"{found.classes[i]} {scores[i]:.2f}" + ("" if verdict in _LOOK_OF else f", {verdict}")
        found_marks.append(Mark(found.boxes[i].tolist(), label, _LOOK_OF.get(verdict, "wrong")))
    return found_marks


def shown(value: float | None, decimals: int = 3) -> str:
    """A number with so many digits; an en dash for what is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{decimals}f}"


def range_of(score: Score, decimals: int = 3) -> str:
    """Such as "0.31 to 0.44"; nothing without an interval, or where it is narrower than the digits."""
    if score.low is None or score.high is None:
        return ""
    low, high = shown(score.low, decimals), shown(score.high, decimals)
    return f"{low} to {high}" if low != high else ""


def with_range(score: Score, decimals: int = 3) -> str:
    """Such as "0.378 (0.310 to 0.440)"."""
    ends = range_of(score, decimals)
    return shown(score.mean, decimals) + (f" ({ends})" if ends else "")


def few(score: Score, unit: str = "") -> str:
    """A number with more digits where it is small."""
    largest = max(abs(score.mean), abs(score.high or 0.0)) if math.isfinite(score.mean) else 0.0
    decimals = 0 if largest >= 100 else 1 if largest >= 10 else 2
    ends = range_of(score, decimals)
    return shown(score.mean, decimals) + unit + (f" ({ends})" if ends else "")


def percent(score: Score) -> str:
    """A share and its interval in hundredths; with more digits where it is small."""
    if not math.isfinite(score.mean):
        return "–"
    decimals = 0 if score.mean >= 0.1 or not score.mean else 1 if score.mean >= 0.01 else 2

    def shown_share(share: float) -> str:
        return f"{share:.{decimals}%}"

    if score.low is None or score.high is None or shown_share(score.low) == shown_share(score.high):
        return shown_share(score.mean)
    return f"{shown_share(score.mean)} ({shown_share(score.low)} to {shown_share(score.high)})"


def table(card: DetectionCard) -> TerminalTable:
    """The scores of the detector and the baselines, for the terminal."""
    made = TerminalTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
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


def class_table(card: DetectionCard) -> TerminalTable:
    """The detector's scores of each class, for the terminal."""
    made = TerminalTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("class", "objects", "mAP 50:95 ↑", "mAP 50 ↑", "mAP 75 ↑", "found among 100 ↑"):
        made.add_column(title, justify="left" if title == "class" else "right")
    for name, each in card.by_class.items():
        made.add_row(name, f"{each.num_objects:,}", *map(shown, (each.ap, each.ap50, each.ap75, each.recall)))
    return made


def verdict(card: DetectionCard) -> str:
    """Judgement of the detector in a few sentences."""
    return " ".join([*sentences(card), *(f"{note}." for note in card.notes)])


def sentences(card: DetectionCard) -> list[str]:
    """The sentences of the verdict."""
    model = card.systems[MODEL]
    counted = f"{len(card.images):,} image{'' if len(card.images) == 1 else 's'}"
    counted += f" ({card.num_seen:,} of the training left out)" if card.num_seen else ""
    where = f"On {counted}" + (
        " that it was trained on" if card.only_seen else " that it never saw" if card.unseen else ""
    )
    if not card.scores.num_objects:
        return [f"{where}, nothing is to be found: {few(card.rates.wrong)} false alarms an image."]
    text = [
        f"{where}, the detector's mAP 50 is {with_range(model['map50'])}, its mAP 50:95 {with_range(model['map'])}."
    ]
    if card.gain is not None and math.isfinite(card.gain.mean):
        ends = range_of(card.gain, 1)
        text.append(f"That is {card.gain.mean:,.1f} times the mean box's mAP 50{f' ({ends})' if ends else ''}.")
    elif MEAN_BOX in card.systems:
        text.append("The mean box finds none of the objects.")
    rates = card.rates
    text.append(
        f"At the threshold {card.threshold:.2f} it misses {percent(rates.miss_rate)} of the objects and raises "
        f"{few(rates.wrong)} false alarms an image."
    )
    if abs(card.best_threshold - card.threshold) > 0.1:
        text.append(f"On these images {card.best_threshold:.2f} has the best F1.")
    return text + hourly(card)


def hourly(card: DetectionCard) -> list[str]:
    """Sentences on the errors in an hour, where people or frames are given."""
    rates, place = card.rates, card.place
    text = []
    if rates.people:
        listed = "; ".join(f"{few(score)} {name}" for name, score in rates.people.items())
        text.append(f"Of {place.people_per_hour:,.0f} people an hour, each looked at once: {listed}.")
        if not rates.of_empty:
            text.append(
                "What people set off who have none of the objects is a guess: too few of these images have nothing in "
                "them."
            )
    if rates.right_alarms is not None and math.isfinite(rates.right_alarms.mean):
        text.append(f"Of those who set off an alarm, {percent(rates.right_alarms)} are sought.")
    if rates.wrong_an_hour is not None:
        text.append(
            f"At {place.frames_per_second:g} frames a second, each by itself, that is {few(rates.wrong_an_hour)} false "
            "boxes an hour."
        )
    return text
