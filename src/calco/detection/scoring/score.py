"""Scores a detector on images with boxes: any detector, any source."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from calco.annotations.detections import Boxes, Detections, nothing
from calco.data.source import Item, Source
from calco.detection.contract import DetectorProtocol
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
)
from calco.detection.scoring.card import MEAN_BOX, MODEL, NOTHING, DetectionCard, ImageCounts, rates, score_of
from calco.detection.scoring.config import PlaceConfig
from calco.errors import CalcoError
from calco.evaluation.metrics import Bootstrap, Score
from calco.imaging import Image


class MeanBox:
    """Answers every image with the mean box of each class, scored by how much of the training it was.

    At its own threshold it answers the box of the commonest class alone.

    Args:
        learnt: Width, height and objects of each image of the training.
    """

    def __init__(self, mean_box_of: Iterable[tuple[int, int, Detections]]) -> None:
        sums: dict[str, Boxes] = {}
        number: Counter[str] = Counter()
        for width, height, objects in mean_box_of:
            kept = objects if objects.ignored is None else objects.select(~objects.ignored)
            for box, name in zip(kept.boxes / np.array([width, height] * 2, np.float32), kept.classes, strict=True):
                sums[name] = sums.get(name, np.zeros(4, np.float32)) + box
                number[name] += 1
        order = [name for name, _ in number.most_common()]
        self.classes = tuple(order)
        self._boxes = np.array([sums[name] / number[name] for name in order], np.float32).reshape(-1, 4)
        self._scores = np.array([number[name] / number.total() for name in order], np.float32)
        self.threshold = float(self._scores.max(initial=0.0)) or 1.0

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """As every detector."""
        least = self.threshold if threshold is None else threshold
        kept = np.flatnonzero(self._scores >= least)
        names = tuple(self.classes[place] for place in kept)
        return [
            Detections(
                boxes=self._boxes[kept] * np.array([each.shape[1], each.shape[0]] * 2, np.float32),
                classes=names,
                scores=self._scores[kept],
            )
            for each in images
        ]


class FindsNothing:
    """Sees nothing anywhere: no false alarm, and everything missed."""

    classes: tuple[str, ...] = ()
    threshold = 1.0

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """As every detector."""
        del threshold
        return [nothing() for _ in images]


FLOOR: Final = 0.001
"""Boxes of lower scores are not asked for; the curve of precision ends there."""
_POINTS: Final = 200  # of a curve that is kept
_NAMED: Final = 8  # classes that a sentence names


@dataclass(kw_only=True)
class DetectorOutputs:
    """What a detector said of some images.

    Attributes:
        items: Those that could be read.
        sizes: Their widths and heights.
        truth: What is in each.
        found: What each system found, by its name.
        left_out: Name and reason of the others.
        seconds: That the detector took, all images together.
    """

    items: list[Item] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    truth: list[Detections] = field(default_factory=list)
    found: dict[str, list[Detections]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run_detectors(
    systems: Mapping[str, DetectorProtocol],
    source: Source,
    items: Sequence[Item],
    *,
    batch: int = 8,
    advance: Callable[[int], None] = lambda _done: None,
) -> DetectorOutputs:
    """Shows images to detectors, some at a time; damaged ones are noted and passed over.

    Args:
        systems: By name; the time is that of the first.
        source: Where the images come from.
        items: Those that are shown.
        batch: Images at once.
        advance: Told how many are done.

    Raises:
        CalcoError: When the images have no boxes.
    """
    looked = DetectorOutputs(found={name: [] for name in systems})
    waiting: list[Image] = []

    def show() -> None:
        if not waiting:
            return
        for number, (name, system) in enumerate(systems.items()):
            begun = time.perf_counter()
            looked.found[name] += system.many(waiting, threshold=FLOOR)
            looked.seconds += time.perf_counter() - begun if number == 0 else 0
        waiting.clear()

    for done, item in enumerate(items, 1):
        try:
            image = source.load(item)
        except CalcoError as error:
            looked.left_out[item.key] = str(error)
            continue
        if image.detections is None:
            raise CalcoError(
                f"{source.root} was read as {source.kind}, which tells no boxes, and a detector is scored on boxes; "
                "name their file or folder: --annotations FILE"
            )
        waiting.append(image.image)
        looked.items.append(item)
        looked.sizes.append((image.image.shape[1], image.image.shape[0]))
        looked.truth.append(image.detections)
        if len(waiting) == batch:
            show()
            advance(done)
    show()
    return looked


def mean_box_of(source: Source, items: Sequence[Item]) -> MeanBox:
    """The mean box of each class in some images; those that cannot be read are passed over."""
    seen = []
    for item in items:
        try:
            image = source.load(item)
        except CalcoError:
            continue
        seen.append((image.image.shape[1], image.image.shape[0], image.detections or nothing()))
    return MeanBox(seen)


def counted_classes(
    detector: DetectorProtocol, truth: Sequence[Detections], root: str
) -> tuple[tuple[str, ...], list[str]]:
    """The classes that are scored: those that the detector knows; and what is to be said of the others.

    Raises:
        CalcoError: When the images hold none of them.
    """
    there: dict[str, int] = {}
    for objects in truth:
        for name in objects.classes:
            there[name] = there.get(name, 0) + 1
    strange = {name: number for name, number in there.items() if name not in detector.classes}
    if there and len(strange) == len(there):
        raise CalcoError(
            f"the detector finds {_listed(detector.classes)}, and {root} marks {_listed(sorted(there))}; name the "
            "classes as the training did: --classes NAME"
        )
    listed = _listed([f"{name} ({number:,})" for name, number in strange.items()])
    return tuple(detector.classes), [f"The detector does not know {listed}; these are not counted"] if strange else []


def scorecard(
    looked: DetectorOutputs, classes: tuple[str, ...], thresholds: Mapping[str, float], *, name: str,
    place: PlaceConfig, seed: int = 0, resamples: int = 1000,
) -> tuple[DetectionCard, list[ImageJudgement]]:  # fmt: skip
    """All figures of what was found.

    Args:
        looked: With the systems `MODEL`, and those of the baselines that there are.
        classes: That are counted.
        thresholds: Of each system.
        name: Of the detector.
        place: Where it is to work.
        seed: Of the intervals.
        resamples: Their number.

    Returns:
        The card, and what each believed box of the detector is, by image.

    Raises:
        CalcoError: When nothing could be looked at.
    """
    if not looked.items:
        first = next(iter(looked.left_out.items()), ("", "there are none"))
        raise CalcoError(f"none of the images could be scored; the first reason: {first[0]}: {first[1]}")
    bootstrap = Bootstrap([item.group for item in looked.items], seed, resamples)
    systems, drawn = {}, {}
    kept: dict[str, tuple[Scores, Matches]] = {}
    for system, found in looked.found.items():
        scores, matches = average_precision(looked.truth, found, classes), match(looked.truth, found, classes)
        systems[system], drawn[system] = _measures(scores, matches, thresholds[system], bootstrap)
        kept[system] = scores, matches
    scores, matches = kept[MODEL]
    right, wrong, objects = counts(matches, thresholds[MODEL])
    judgements, matrix = judge_boxes(looked.truth, looked.found[MODEL], matches, thresholds[MODEL])
    card = DetectionCard(
        name=name, classes=classes, threshold=thresholds[MODEL], best_threshold=scores.threshold, systems=systems,
        gain=_gain(systems, drawn), scores=scores, sizes=_sizes(looked.truth, classes),
        curves=_curves(matches), thresholds=_thresholds(matches), confusion=matrix.tolist(),
        kinds=error_kinds(judgements),
        rates=rates(right, wrong, _nowhere(judgements), objects, bootstrap, place), place=place,
        images=[
            ImageCounts(key=item.key, group=item.group, objects=int(t), right=int(r), wrong=int(w))
            for item, t, r, w in zip(looked.items, objects, right, wrong, strict=True)
        ],
        left_out=looked.left_out, seed=seed, seconds=looked.seconds / len(looked.items),
    )  # fmt: skip
    return card, judgements


def _nowhere(judgements: Sequence[ImageJudgement]) -> Floats:
    """Of each image, the believed boxes that lie at nothing of their class."""
    return np.array(
        [sum(v in ("other class", "nothing there") for v in each.verdicts) for each in judgements], np.float64
    )


def baselines(source: Source, items: Sequence[Item]) -> dict[str, DetectorProtocol]:
    """Those that every detector is measured against; the mean box is that of these images."""
    return {MEAN_BOX: mean_box_of(source, items), NOTHING: FindsNothing()}


def _measures(
    scores: Scores, matches: Matches, threshold: float, bootstrap: Bootstrap
) -> tuple[dict[str, Score], dict[str, Floats]]:
    """The measures of one system, and their resamples."""
    right, wrong, objects = counts(matches, threshold)
    weights = np.zeros((0, len(objects))) if bootstrap.alone else bootstrap.weights
    with np.errstate(invalid="ignore", divide="ignore"):
        r, w, t = (weights @ values for values in (right, wrong, objects))
        drawn = {"f1": 2 * r / (r + w + t), "precision": r / (r + w), "recall": r / t, "wrong": w / weights.sum(axis=1)}
    r1, w1, t1 = (float(values.sum()) for values in (right, wrong, objects))
    value = {
        "map": scores.ap, "map50": scores.ap50, "map75": scores.ap75, "f1": _over(2 * r1, r1 + w1 + t1),
        "precision": _over(r1, r1 + w1), "recall": _over(r1, t1), "wrong": w1 / len(objects),
    }  # fmt: skip
    areas = precisions(matches, weights)
    there = matches.num_objects.sum(axis=0) > 0
    if there.any():
        each = areas[:, :, there]
        present = np.isfinite(each)
        totals = np.where(present, each, 0).sum(axis=2) / np.maximum(1, present.sum(axis=2))
        drawn |= {"map": totals.mean(axis=1), "map50": totals[:, 0], "map75": totals[:, 5]}
    empty = np.zeros(0)
    return {name: score_of(value[name], drawn.get(name, empty), len(objects)) for name in value}, drawn


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _over(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _gain(systems: Mapping[str, Mapping[str, Score]], drawn: Mapping[str, Mapping[str, Floats]]) -> Score | None:
    """How many times the mean box's mAP 50 the detector's is, in the same resamples."""
    if MEAN_BOX not in systems or not systems[MEAN_BOX]["map50"].mean > 0:
        return None
    ours, theirs = drawn[MODEL].get("map50", np.zeros(0)), drawn[MEAN_BOX].get("map50", np.zeros(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        times = ours / theirs
    whole = systems[MODEL]["map50"].mean / systems[MEAN_BOX]["map50"].mean
    return score_of(whole, times, systems[MODEL]["map50"].num)


def _sizes(truth: Sequence[Detections], classes: Sequence[str]) -> dict[str, int]:
    areas = np.concatenate([
        each.areas()[[name in classes and not ignored for name, ignored in _marked(each)]] for each in truth
    ])  # fmt: skip
    small, large = int((areas < 32**2).sum()), int((areas > 96**2).sum())
    return {"small": small, "medium": len(areas) - small - large, "large": large}


def _marked(objects: Detections) -> list[tuple[str, bool]]:
    ignored = np.zeros(len(objects), np.bool_) if objects.ignored is None else objects.ignored
    return list(zip(objects.classes, ignored.tolist(), strict=True))


def _curves(matches: Matches) -> dict[str, list[tuple[float, float, float]]]:
    """Recall, precision and score of each class that occurs; where they are many, points at even recalls."""
    result = {}
    for label, name in enumerate(matches.classes):
        if matches.num_objects[:, label].any():
            scores, precision, recall = curve(matches, label=label)
            result[name] = _thinned(np.stack([recall, precision, scores], axis=1))
    return result


def _thresholds(matches: Matches) -> list[tuple[float, float, float, float]]:
    """Threshold, precision, recall and F1 of all classes together, at a hundred thresholds."""
    scores, precision, recall = curve(matches)
    rows = []
    for threshold in np.linspace(0.01, 0.99, 99) if len(scores) else ():
        place = int(np.searchsorted(-scores, -threshold, side="right")) - 1
        if place >= 0:
            p, r = float(precision[place]), float(recall[place])
            rows.append((round(float(threshold), 2), p, r, _over(2 * p * r, p + r) if p + r else 0.0))
    return rows


def _thinned(points: Floats) -> list[tuple[float, float, float]]:
    places = np.unique(np.linspace(0, max(0, len(points) - 1), min(len(points), _POINTS)).astype(int))
    return [(float(a), float(b), float(c)) for a, b, c in points[places]]


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What scoring gives.

    Attributes:
        card: All figures.
        source: Where the images come from.
        items: Those that were scored.
        truth: What is in each of them.
        judgements: Verdict on each box of the detector, at the threshold.
        page: The report, where it was written.
    """

    card: DetectionCard
    source: Source
    items: Sequence[Item]
    truth: Sequence[Detections]
    judgements: Sequence[ImageJudgement]
    page: Path | None = None
