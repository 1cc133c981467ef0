"""Scores of a detector from its output on some images: plain figures, to be saved and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from calco.annotations.detections import Detections
from calco.data.source import Item, Source
from calco.detection.config import PlaceConfig
from calco.detection.metrics import (
    Floats,
    ImageJudgement,
    Matches,
    Scores,
    average_precision,
    counts,
    curve,
    error_kinds,
    judge_boxes,
    match,
    precisions,
    share_of,
    size_counts,
)
from calco.errors import CalcoError
from calco.evaluation.scores import Bootstrap, Metric, Score, Systems, plain
from calco.files import make_folder, write_json
from calco.records import to_record
from calco.report.numbers import measure_name

FORMAT: Final = 1
SCORES: Final = "scores.json"
MODEL: Final = "the detector"
MEAN_BOX: Final = "mean box"
NOTHING: Final = "finds nothing"
SYSTEMS: Final = {
    MEAN_BOX: "The mean box of each class of the training in every image, scored by the frequency of the class; at its "
    "threshold that of the most frequent class alone.",
    NOTHING: "No box anywhere.",
}
MEASURES: Final = {
    "map": Metric(
        measure_name("map"), "higher", 3,
        "Mean average precision over the overlaps from 0.5 to 0.95, as COCO counts it."),
    "map50": Metric(
        measure_name("map50"), "higher", 3, "Mean average precision where an overlap of 0.5 makes a box right."),
    "map75": Metric(measure_name("map75"), "higher", 3, "Mean average precision where it takes an overlap of 0.75."),
    "f1": Metric(measure_name("f1"), "higher", 3, "Harmonic mean of precision and recall at the threshold."),
    "precision": Metric("Precision", "higher", 3, "Share of the boxes at the threshold that are right."),
    "recall": Metric("Recall", "higher", 3, "Share of the objects that are found at the threshold."),
    "wrong": Metric("False alarms", "lower", 2, "False boxes per image at the threshold."),
}  # fmt: skip
_RULE_OF_THREE: Final = 3
ENOUGH_EMPTY = 20
"""Empty images from which the share of false alarms on people who are not sought can be estimated."""
MISSED = "missed, of as many who are sought"
ALARMED = "false alarms, of as many who are not"
MISSED_HOUR = "missed people an hour"
ALARMED_HOUR = "false alarms an hour"
_POINTS: Final = 200  # of a curve that is kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Error rates at the chosen threshold, each with its interval."""

    wrong: Score  # false boxes per image
    missed: Score  # missed objects per image
    miss_rate: Score  # share of the objects that are missed
    # Share of the images with a false alarm: of the empty ones if there are enough, otherwise of all images, where a
    # box counts that lies at nothing of its class
    alarm_rate: Score
    of_empty: bool  # whether the last is of empty images
    # False boxes per hour, each frame counted by itself; None without frames per second
    wrong_an_hour: Score | None = None
    people: Mapping[str, Score]  # errors per hour, by name, with each person seen once; empty without people per hour
    # Share of the people who set off an alarm that are sought; None without prevalence
    right_alarms: Score | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCounts:
    """Counts of one image at the threshold: its objects, the boxes that are right, and the false ones."""

    key: str
    group: str
    objects: int
    right: int
    wrong: int

    @property
    def errors(self) -> int:
        """Number of false boxes and missed objects."""
        return self.wrong + self.objects - self.right


@dataclass(frozen=True, kw_only=True)
class DetectionCard:
    """Scores of a detector."""

    name: str  # name of the run or model
    classes: tuple[str, ...]  # classes that were counted, in the order of the matrix
    threshold: float  # lowest score of the boxes that count
    best_threshold: float  # threshold with the best F1 on these images
    systems: Mapping[str, Mapping[str, Score]]  # system, measure (those of `MEASURES`), score with its interval
    gain: Score | None  # detector's mAP50 as a multiple of the mean box's; None if that is 0
    scores: Scores  # scores of the detector, by class and by size
    sizes: Mapping[str, int]  # number of small, medium and large objects
    # Class => recall, precision, score, at most some hundred points
    curves: Mapping[str, Sequence[tuple[float, float, float]]]
    thresholds: Sequence[tuple[float, float, float, float]]  # threshold, precision, recall, F1, of all classes together
    confusion: Sequence[Sequence[int]]  # true classes in rows, predicted ones in columns, the background last
    kinds: Mapping[str, int]  # number of false alarms by kind
    rates: Rates  # errors per image and per hour
    place: PlaceConfig  # where the detector is used
    images: Sequence[ImageCounts]  # counts of each image
    num_seen: int = 0  # images left out because the detector was trained on them
    only_seen: bool = False  # whether it was trained on all images that were counted
    unseen: bool = False  # whether it is known that it was trained on none of them
    left_out: Mapping[str, str] = field(default_factory=dict)  # name and reason of the images that could not be scored
    notes: Sequence[str] = ()  # remarks, a sentence each
    seed: int = 0  # seed of the intervals
    seconds: float = 0.0  # seconds of the detector per image
    format: int = FORMAT  # format of the file

    def save(self, folder: str | Path) -> Path:
        """Write `scores.json`, with null for NaN, and return its path."""
        path = make_folder(folder) / SCORES
        write_json(path, {"kind": "detection", **plain(to_record(self))})
        return path


@dataclass(kw_only=True)
class DetectorOutputs:
    """Output of detectors on some images."""

    items: list[Item] = field(default_factory=list)  # images that could be read
    truth: list[Detections] = field(default_factory=list)  # true objects of each
    found: dict[str, list[Detections]] = field(default_factory=dict)  # boxes of each system, by its name
    left_out: dict[str, str] = field(default_factory=dict)  # name and reason of the other images
    seconds: float = 0.0  # seconds of the first system for all images together


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Result of scoring a detector."""

    card: DetectionCard
    source: Source
    items: Sequence[Item]  # images that were scored
    truth: Sequence[Detections]  # true objects of each of them
    judgements: Sequence[ImageJudgement]  # judgement of each box of the detector, at the threshold
    page: Path | None = None  # the report, if it was written


def scorecard(
    outputs: DetectorOutputs, classes: tuple[str, ...], thresholds: Mapping[str, float], *, name: str,
    place: PlaceConfig, seed: int = 0, resamples: int = 1000,
) -> tuple[DetectionCard, list[ImageJudgement]]:  # fmt: skip
    """Return all figures, and the judgement of each box of the detector at its threshold, by image."""
    if not outputs.items:
        first = next(iter(outputs.left_out.items()), ("", "there are none"))
        raise CalcoError(f"none of the images could be scored; the first reason: {first[0]}: {first[1]}")
    bootstrap = Bootstrap([item.group for item in outputs.items], seed, resamples)
    systems, resampled = {}, {}
    scored = {
        system: (average_precision(outputs.truth, found, classes), match(outputs.truth, found, classes))
        for system, found in outputs.found.items()
    }
    for system, pair in scored.items():
        systems[system], resampled[system] = _measures(*pair, thresholds[system], bootstrap)
    scores, matches = scored[MODEL]
    right, wrong, objects = counts(matches, thresholds[MODEL])
    judgements, matrix = judge_boxes(outputs.truth, outputs.found[MODEL], matches, thresholds[MODEL])
    nowhere = [sum(v in ("other class", "nothing there") for v in each.verdicts) for each in judgements]
    card = DetectionCard(
        name=name, classes=classes, threshold=thresholds[MODEL], best_threshold=scores.threshold, systems=systems,
        gain=_gain(systems, resampled), scores=scores, sizes=_sizes(outputs.truth, classes),
        curves=_curves(matches), thresholds=_thresholds(matches), confusion=matrix.tolist(),
        kinds=error_kinds(judgements),
        rates=rates(right, wrong, np.array(nowhere, np.float64), objects, bootstrap, place), place=place,
        images=[
            ImageCounts(key=item.key, group=item.group, objects=int(t), right=int(r), wrong=int(w))
            for item, t, r, w in zip(outputs.items, objects, right, wrong, strict=True)
        ],
        left_out=outputs.left_out, seed=seed, seconds=outputs.seconds / len(outputs.items),
    )  # fmt: skip
    return card, judgements


def _measures(
    scores: Scores, matches: Matches, threshold: float, bootstrap: Bootstrap
) -> tuple[dict[str, Score], dict[str, Floats]]:
    """Return the measures of one system, and their resamples."""
    right, wrong, objects = counts(matches, threshold)
    weights = np.zeros((0, len(objects))) if bootstrap.alone else bootstrap.weights
    ratios = {
        "f1": (2 * right, right + wrong + objects), "precision": (right, right + wrong), "recall": (right, objects),
        "wrong": (wrong, np.ones_like(wrong)),
    }  # fmt: skip
    resampled = {name: bootstrap.ratios(*pair) for name, pair in ratios.items()}
    value = {"map": scores.ap, "map50": scores.ap50, "map75": scores.ap75}
    value |= {name: share_of(float(above.sum()), float(below.sum())) for name, (above, below) in ratios.items()}
    areas = precisions(matches, weights)
    there = matches.num_objects.sum(axis=0) > 0
    if there.any():
        each = areas[:, :, there]
        present = np.isfinite(each)
        totals = np.where(present, each, 0).sum(axis=2) / np.maximum(1, present.sum(axis=2))
        resampled |= {"map": totals.mean(axis=1), "map50": totals[:, 0], "map75": totals[:, 5]}
    return {name: Score.of(value[name], resampled.get(name), len(objects)) for name in MEASURES}, resampled


def _gain(systems: Systems, resampled: Mapping[str, Mapping[str, Floats]]) -> Score | None:
    """Return the detector's mAP50 as a multiple of the mean box's, in the same resamples."""
    if MEAN_BOX not in systems or not systems[MEAN_BOX]["map50"].mean > 0:
        return None
    ours, theirs = (resampled[name].get("map50", np.zeros(0)) for name in (MODEL, MEAN_BOX))
    with np.errstate(invalid="ignore", divide="ignore"):
        times = ours / theirs
    whole = systems[MODEL]["map50"].mean / systems[MEAN_BOX]["map50"].mean
    return Score.of(whole, times, systems[MODEL]["map50"].num)


def _sizes(truth: Sequence[Detections], classes: Sequence[str]) -> dict[str, int]:
    kept = [each.select(~each.is_ignored) for each in truth]
    areas = np.concatenate([each.areas()[[name in classes for name in each.classes]] for each in kept])
    return dict(zip(("small", "medium", "large"), size_counts(areas), strict=True))


def _curves(matches: Matches) -> dict[str, list[tuple[float, float, float]]]:
    """Return recall, precision and score of each class that occurs, at most `_POINTS` of each."""
    result = {}
    for label, name in enumerate(matches.classes):
        if matches.num_objects[:, label].any():
            scores, precision, recall = curve(matches, label)
            points = np.stack([recall, precision, scores], axis=1)
            places = np.unique(np.linspace(0, max(0, len(points) - 1), min(len(points), _POINTS)).astype(int))
            result[name] = [(float(r), float(p), float(s)) for r, p, s in points[places]]
    return result


def _thresholds(matches: Matches) -> list[tuple[float, float, float, float]]:
    """Return threshold, precision, recall and F1 of all classes together, at a hundred thresholds."""
    scores, precision, recall = curve(matches)
    rows = []
    for threshold in np.linspace(0.01, 0.99, 99) if len(scores) else ():
        place = int(np.searchsorted(-scores, -threshold, side="right")) - 1
        if place >= 0:
            p, r = float(precision[place]), float(recall[place])
            rows.append((round(float(threshold), 2), p, r, share_of(2 * p * r, p + r) if p + r else 0.0))
    return rows


def rates(
    right: Floats, wrong: Floats, nowhere: Floats, objects: Floats, bootstrap: Bootstrap, place: PlaceConfig
) -> Rates:
    """Return the error rates of a detector at its threshold from counts per image.

    `nowhere` are the false boxes at nothing of their class, which a person without such an object could set off. A
    loose box, or a second one, is an error about a person who has one.
    """
    empty = objects == 0
    of_empty = int(empty.sum()) >= ENOUGH_EMPTY
    looked = np.where(empty, 1.0, 0.0) if of_empty else np.ones_like(objects)
    one = np.ones_like(objects)
    missed = objects - right
    ratios = {
        "wrong": (wrong, one), "missed": (missed, one), "miss_rate": (missed, objects),
        "alarm_rate": ((nowhere > 0) * looked, looked),
    }  # fmt: skip
    resampled = {name: bootstrap.ratios(above, below) for name, (above, below) in ratios.items()}
    whole = {name: share_of(float(above.sum()), float(below.sum())) for name, (above, below) in ratios.items()}
    most = {name: _most(bootstrap, above, below) for name, (above, below) in ratios.items()}

    def times(name: str, factor: float) -> Score:
        if whole[name] == 0 and (may := most[name]) is not None:
            return Score(0.0, 0.0, factor * may, len(objects))
        return Score.of(whole[name] * factor, resampled[name] * factor, len(objects))

    people: dict[str, Score] = {}
    passing, share = place.people_per_hour, place.prevalence
    if passing and share is None:
        people = {MISSED: times("miss_rate", passing), ALARMED: times("alarm_rate", passing)}
    elif passing and share is not None:
        missed_hour, alarmed_hour = times("miss_rate", passing * share), times("alarm_rate", passing * (1 - share))
        people = {MISSED_HOUR: missed_hour, ALARMED_HOUR: alarmed_hour}
    hourly = times("wrong", place.frames_per_second * 3600) if place.frames_per_second else None
    return Rates(
        **{name: times(name, 1) for name in ratios}, of_empty=of_empty, wrong_an_hour=hourly, people=people,
        right_alarms=_right(whole, resampled, most["alarm_rate"], place.prevalence, len(objects)),
    )  # fmt: skip


def _right(whole: Mapping[str, float], resampled: Mapping[str, Floats], most: float | None, share: float | None,
           num: int) -> Score | None:  # fmt: skip
    """Return the share of all alarms that are right, by Bayes' rule."""
    if share is None:
        return None
    found, alarmed = share * (1 - whole["miss_rate"]), (1 - share) * whole["alarm_rate"]
    if alarmed == 0 and most is not None:
        return Score(share_of(found, found), share_of(found, found + (1 - share) * most), 1.0, num)
    all_found, all_alarmed = share * (1 - resampled["miss_rate"]), (1 - share) * resampled["alarm_rate"]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = all_found / (all_found + all_alarmed)
    return Score.of(share_of(found, found + alarmed), shares, num)


def _most(bootstrap: Bootstrap, above: Floats, below: Floats) -> float | None:
    """Return how large a ratio may be that was 0 among n independent groups: 3 / n, the rule of three (95%).

    Resamples of images without an error contain none.
    """
    groups = len(np.unique(bootstrap.places[below > 0]))
    return None if bootstrap.alone or not groups or above.any() else min(1.0, _RULE_OF_THREE / groups)
