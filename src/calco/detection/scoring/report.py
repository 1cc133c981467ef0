"""Report of a detector: a single HTML file that opens from disk without a network, and its sentences."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from markupsafe import Markup

from calco.annotations.detections import Detections
from calco.data.sample import fraction
from calco.detection.metrics import ImageJudgement, Verdict
from calco.detection.scoring.score import (
    MEAN_BOX,
    MEASURES,
    MODEL,
    SYSTEMS,
    DetectionCard,
    EvaluationResult,
    ImageCounts,
)
from calco.errors import CalcoError
from calco.evaluation.scores import Score, score_table
from calco.report import charts
from calco.report.numbers import measure_name
from calco.report.page import Cell, Column, Look, Mark, Row, Table, boxed, count, write_page

MOST_CONFUSED: Final = 24
"""Number of classes in the matrix of confusions, the most frequent ones."""
CLASS_TITLES: Final = (
    "Objects",
    *(f"{measure_name(each)} ↑" for each in ("map", "map50", "map75")),
    "Found among 100 ↑",
)
WORST: Final = 12
CHOSEN: Final = 9
_BOXES: Final = 100  # in one image
_SIZES: Final = {"small": "small, below 32 × 32", "medium": "medium, up to 96 × 96", "large": "large, above"}
_LOOK_OF: Final[dict[Verdict, Look]] = {"right": "right", "passed": "passed"}
_LOOKS: Final = (
    ("right", "found"), ("wrong", "false alarm"), ("missed", "missed"), ("object", "ground truth"),
    ("passed", "not counted"),
)  # fmt: skip
_number = MEASURES["map"].text

Cards: TypeAlias = list[tuple[str, Markup, str, str]]


def write_report(
    done: EvaluationResult, out: str | Path, *, log: Iterable[Mapping[str, Any]] = (),
    about: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write the page of a result into a file or a folder, and return its path.

    The training log gives learning curves; `about` are facts about the detector and its training.
    """
    card = done.card
    order = sorted(range(len(card.images)), key=lambda place: _badness(card.images[place], done.judgements[place]))
    chosen = sorted(range(len(card.images)), key=lambda place: fraction("shown", card.images[place].key))[:CHOSEN]
    sizes = [Row(text, [f"{card.sizes[each]:,}", _number(getattr(card.scores, each))]) for each, text in _SIZES.items()]
    left = {"Left out": [f"{key}: {reason}" for key, reason in card.left_out.items()]} if card.left_out else {}
    return write_page(
        out,
        "detection",
        title=f"{card.name} · Calco report",
        card=card,
        facts=[
            f"finds {', '.join(card.classes[:6])}" + (f" and {len(card.classes) - 6} more" if card.classes[6:] else ""),
            f"scored on {count(len(card.images))} with {count(card.scores.num_objects, 'object')}",
            f"{count(card.num_seen)} of the training left out" if card.num_seen else "",
            f"{1000 * card.seconds:,.0f} ms an image on this machine",
        ],
        verdict=sentences(card),
        tiles=_tiles(card),
        scores=score_table(card.systems, MEASURES, "Scores", [MODEL]),
        assumed=f"The figures for {card.place.people_per_hour:,.0f} people an hour assume that each person appears in "
        "one image, on images such as these."
        if card.rates.people
        else "",
        in_use=_in_use(card),
        curves=_curves(card),
        classes=Table("Scores by class", [*map(Column, CLASS_TITLES)], [*starmap(Row, class_rows(card))], "Class"),
        sizes=Table("Scores by size", [Column("Objects"), Column(CLASS_TITLES[1])], sizes, "Size"),
        confusion=_confusion(card),
        confusion_note=f" The {MOST_CONFUSED} most frequent classes." if len(card.classes) > MOST_CONFUSED else "",
        looks=_LOOKS,
        worst=_cards(done, [place for place in order if card.images[place].errors][:WORST]),
        chosen=_cards(done, chosen),
        learning=charts.learning_curves(log),
        about=about or {},
        method="Mean average precision is counted by faster-coco-eval after COCO's protocol. Intervals hold the value "
        f"with 95% certainty: they come from bootstrap resamples of the images (seed {card.seed}), in which those of "
        "one group stay together, and from COCO's counting on them.",
        notes=[f"{note}." for note in card.notes],
        meanings={measure.label: measure.meaning for measure in MEASURES.values()} | SYSTEMS | left,
    )


def _tiles(card: DetectionCard) -> list[tuple[str, str, str, str, str, str]]:
    model, rates = card.systems[MODEL], card.rates
    tiles = [
        (MEASURES[name].label, MEASURES[name].text(model[name].mean), "", "", MEASURES[name].between(model[name]), "")
        for name in ("map50", "map", "map75", "f1")
    ]
    tiles.append(("Missed", percent(rates.miss_rate).split(" (")[0], "", "", "of the objects, at the threshold", ""))
    false_alarms = MEASURES["wrong"].text(rates.wrong.mean)
    return [*tiles, ("False alarms", false_alarms, "", "", "boxes an image, at the threshold", "")]


def _in_use(card: DetectionCard) -> list[tuple[str, str, str]]:
    """Return value, interval and text of each error rate."""
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
    parts = [(*value.partition(" (")[::2], text) for value, text in entries]
    return [(number, ends.removesuffix(")"), text) for number, ends, text in parts]


def _curves(card: DetectionCard) -> list[Markup]:
    order = sorted(card.curves, key=lambda name: -card.scores.classes[name].num_objects)
    several = len(order) > charts.COLOURS
    made = [
        charts.lines(
            "Precision over recall" + (f", {number // charts.COLOURS + 1}" if several else ""),
            {name: [(r, p) for r, p, _ in card.curves[name]] for name in order[number : number + charts.COLOURS]},
            "recall", "precision", unit=True, steps=True,
            values={name: _number(card.scores.classes[name].ap50) for name in order},
            note="At an overlap of 0.5; behind each name its mAP50.",
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
        made.append(charts.lines(title, curves, "threshold", "share", unit=True, at=card.threshold, note=note))
    if sum(card.kinds.values()):
        note = "At the threshold, by their overlap with the ground truth."
        made.append(charts.bars("Kinds of false alarms", card.kinds, note=note))
    return made


def class_rows(card: DetectionCard) -> list[tuple[str, list[str]]]:
    """Return name and cells, by `CLASS_TITLES`, of each class."""
    return [
        (name, [f"{each.num_objects:,}", *map(_number, (each.ap, each.ap50, each.ap75, each.recall))])
        for name, each in card.scores.classes.items()
    ]


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


def _cards(done: EvaluationResult, places: Sequence[int]) -> Cards:
    made: Cards = []
    for place in places:
        item, counts = done.items[place], done.card.images[place]
        try:
            image = done.source.load(item).image
        except CalcoError:
            continue  # it could be read a moment ago; the figures remain
        text = f"{counts.right} of {counts.objects} found" if counts.objects else "nothing to find"
        if counts.wrong:
            text += f", {count(counts.wrong, 'false alarm')}"
        shown_boxes = boxed(image, marks(done.truth[place], done.judgements[place]), f"{item.key} with its boxes")
        made.append((item.key, shown_boxes, text, ""))
    return made


def _badness(counts: ImageCounts, judgement: ImageJudgement) -> tuple[float, float, str]:
    """Return what images are sorted by: more errors come first, then the surest false alarms."""
    scores = judgement.found.scores
    wrong = [verdict not in ("right", "passed") for verdict in judgement.verdicts]
    surest = float(scores[np.array(wrong)].max(initial=0.0)) if scores is not None and len(scores) else 0.0
    return -counts.errors, -surest, counts.key


def marks(truth: Detections, judgement: ImageJudgement) -> list[Mark]:
    """Return the boxes of one image: true, missed and predicted ones, the surest on top."""
    found_marks = [
        Mark(
            box.tolist(),
            f"{name} missed" if missed else f"{name} (not counted)" if passed else name,
            "missed" if missed else "passed" if passed else "object",
        )
        for box, name, missed, passed in zip(
            truth.boxes, truth.classes, judgement.missed, truth.is_ignored, strict=True
        )
    ][:_BOXES]
    found = judgement.found
    scores = np.zeros(len(found)) if found.scores is None else found.scores
    for i in np.argsort(-scores)[:_BOXES][::-1]:
        verdict = judgement.verdicts[i]
        label = f"{found.classes[i]} {scores[i]:.2f}" + ("" if verdict in _LOOK_OF else f", {verdict}")
        found_marks.append(Mark(found.boxes[i].tolist(), label, _LOOK_OF.get(verdict, "wrong")))
    return found_marks


def _with_interval(score: Score, text: Callable[[float], str]) -> str:
    """Such as "0.378 (0.310 to 0.440)"; without an interval that is narrower than the digits."""
    if not math.isfinite(score.mean):
        return "–"
    low, high = ("" if end is None else text(end) for end in (score.low, score.high))
    return text(score.mean) + ("" if low == high else f" ({low} to {high})")


def few(score: Score) -> str:
    """Return a number and its interval, with more digits if it is small."""
    largest = max(abs(score.mean), abs(score.high or 0.0)) if math.isfinite(score.mean) else 0.0
    decimals = 0 if largest >= 100 else 1 if largest >= 10 else 2
    return _with_interval(score, lambda value: f"{value:,.{decimals}f}")


def percent(score: Score) -> str:
    """Return a share and its interval in percent, with more digits if it is small."""
    decimals = 0 if score.mean >= 0.1 or not score.mean else 1 if score.mean >= 0.01 else 2
    return _with_interval(score, lambda share: f"{share:.{decimals}%}")


def verdict(card: DetectionCard) -> str:
    """Describe the detector in a few sentences."""
    return " ".join([*sentences(card), *(f"{note}." for note in card.notes)])


def sentences(card: DetectionCard) -> list[str]:
    """Return the sentences of the verdict."""
    model = card.systems[MODEL]
    where = f"On {count(len(card.images))}"
    where += f" ({card.num_seen:,} of the training left out)" if card.num_seen else ""
    where += " that it was trained on" if card.only_seen else " that it never saw" if card.unseen else ""
    if not card.scores.num_objects:
        return [f"{where}, nothing is to be found: {few(card.rates.wrong)} false alarms an image."]
    map50, whole = (_with_interval(model[name], MEASURES[name].text) for name in ("map50", "map"))
    text = [f"{where}, the detector's mAP50 is {map50}, its mAP50-95 {whole}."]
    if card.gain is not None and math.isfinite(card.gain.mean):
        mean, *ends = _with_interval(card.gain, lambda value: f"{value:,.1f}").split(" ", 1)
        text.append(" ".join([f"That is {mean} times the mean box's mAP50", *ends]) + ".")
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
    """Return sentences on the errors per hour, if people or frames are given."""
    rates, place = card.rates, card.place
    text = []
    if rates.people:
        listed = "; ".join(f"{few(score)} {name}" for name, score in rates.people.items())
        text.append(f"Of {place.people_per_hour:,.0f} people an hour, each looked at once: {listed}.")
        if not rates.of_empty:
            text.append(
                "The false alarms on people who have none of the objects are a guess: too few images are empty."
            )
    if rates.right_alarms is not None and math.isfinite(rates.right_alarms.mean):
        text.append(f"Of the people who set off an alarm, {percent(rates.right_alarms)} are sought.")
    if rates.wrong_an_hour is not None:
        text.append(
            f"At {place.frames_per_second:g} frames a second, each by itself, that is {few(rates.wrong_an_hour)} false "
            "boxes an hour."
        )
    return text
