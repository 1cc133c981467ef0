"""Scores a detector on images with boxes: any detector, any source."""

import contextlib
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
from calco.detection.scoring.card import MEAN_BOX, MEASURES, MODEL, NOTHING, DetectionCard, ImageCounts, rates, share_of
from calco.detection.scoring.config import PlaceConfig
from calco.errors import CalcoError
from calco.evaluation.scores import Bootstrap, Score, Systems
from calco.imaging import Image


class MeanBox:
    """Returns the mean box of each class for every image, with the class's share of the training boxes as the score.

    At its own threshold it returns the box of the most frequent class alone. `learnt` are width, height and objects of
    the training images.
    """

    def __init__(self, learnt: Iterable[tuple[int, int, Detections]]) -> None:
        sums: dict[str, Boxes] = {}
        number: Counter[str] = Counter()
        for width, height, objects in learnt:
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
        """As `DetectorProtocol.many`."""
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
    """Returns no boxes: no false alarm, and everything missed."""

    classes: tuple[str, ...] = ()
    threshold = 1.0

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """As `DetectorProtocol.many`."""
        del threshold
        return [nothing() for _ in images]


FLOOR: Final = 0.001
"""Lowest score of the boxes that are requested; the curve of precision ends there."""
_POINTS: Final = 200  # of a curve that is kept
_NAMED: Final = 8  # classes that a sentence names


@dataclass(kw_only=True)
class DetectorOutputs:
    """Output of detectors on some images."""

    items: list[Item] = field(default_factory=list)  # images that could be read
    truth: list[Detections] = field(default_factory=list)  # true objects of each
    found: dict[str, list[Detections]] = field(default_factory=dict)  # boxes of each system, by its name
    left_out: dict[str, str] = field(default_factory=dict)  # name and reason of the other images
    seconds: float = 0.0  # seconds of the first system for all images together


def run_detectors(
    systems: Mapping[str, DetectorProtocol],
    source: Source,
    items: Sequence[Item],
    *,
    batch: int = 8,
    advance: Callable[[int], None] = lambda _done: None,
) -> DetectorOutputs:
    """Run detectors on images, `batch` at a time; damaged images are left out."""
    outputs = DetectorOutputs(found={name: [] for name in systems})
    waiting: list[Image] = []

    def show() -> None:
        if not waiting:
            return
        for number, (name, system) in enumerate(systems.items()):
            begun = time.perf_counter()
            outputs.found[name] += system.many(waiting, threshold=FLOOR)
            outputs.seconds += time.perf_counter() - begun if number == 0 else 0
        waiting.clear()

    for done, item in enumerate(items, 1):
        try:
            image = source.load(item)
        except CalcoError as error:
            outputs.left_out[item.key] = str(error)
            continue
        if image.detections is None:
            raise CalcoError(
                f"{source.root} was read as {source.kind}, which has no boxes, and a detector is scored on boxes; "
                "name their file or folder: --annotations FILE"
            )
        waiting.append(image.image)
        outputs.items.append(item)
        outputs.truth.append(image.detections)
        if len(waiting) == batch:
            show()
            advance(done)
    show()
    return outputs


def counted_classes(
    detector: DetectorProtocol, truth: Sequence[Detections], root: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return the classes that are scored, which are those of the detector, and remarks on the others."""
    there = Counter(name for objects in truth for name in objects.classes)
    strange = {name: number for name, number in there.items() if name not in detector.classes}
    if there and len(strange) == len(there):
        raise CalcoError(
            f"the detector finds {_listed(detector.classes)}, and {root} marks {_listed(sorted(there))}; name the "
            "classes as the training did: --classes NAME"
        )
    listed = _listed([f"{name} ({number:,})" for name, number in strange.items()])
    return tuple(detector.classes), [f"The detector does not know {listed}; these are not counted"] if strange else []


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
    kept: dict[str, tuple[Scores, Matches]] = {}
    for system, found in outputs.found.items():
        scores, matches = average_precision(outputs.truth, found, classes), match(outputs.truth, found, classes)
        systems[system], resampled[system] = _measures(scores, matches, thresholds[system], bootstrap)
        kept[system] = scores, matches
    scores, matches = kept[MODEL]
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


def baselines(source: Source, items: Sequence[Item]) -> dict[str, DetectorProtocol]:
    """Return the baselines of every detector; the mean box is that of these images, without damaged ones."""
    seen = []
    for item in items:
        with contextlib.suppress(CalcoError):
            image = source.load(item)
            seen.append((image.image.shape[1], image.image.shape[0], image.detections or nothing()))
    return {MEAN_BOX: MeanBox(seen), NOTHING: FindsNothing()}


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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _gain(systems: Systems, resampled: Mapping[str, Mapping[str, Floats]]) -> Score | None:
    """Return the detector's mAP 50 as a multiple of the mean box's, in the same resamples."""
    if MEAN_BOX not in systems or not systems[MEAN_BOX]["map50"].mean > 0:
        return None
    ours, theirs = (resampled[name].get("map50", np.zeros(0)) for name in (MODEL, MEAN_BOX))
    with np.errstate(invalid="ignore", divide="ignore"):
        times = ours / theirs
    whole = systems[MODEL]["map50"].mean / systems[MEAN_BOX]["map50"].mean
    return Score.of(whole, times, systems[MODEL]["map50"].num)


def _sizes(truth: Sequence[Detections], classes: Sequence[str]) -> dict[str, int]:
    kept = [each if each.ignored is None else each.select(~each.ignored) for each in truth]
    areas = np.concatenate([each.areas()[[name in classes for name in each.classes]] for each in kept])
    small, large = int((areas < 32**2).sum()), int((areas > 96**2).sum())
    return {"small": small, "medium": len(areas) - small - large, "large": large}


def _curves(matches: Matches) -> dict[str, list[tuple[float, float, float]]]:
    """Return recall, precision and score of each class that occurs, at most `_POINTS` of each."""
    result = {}
    for label, name in enumerate(matches.classes):
        if matches.num_objects[:, label].any():
            scores, precision, recall = curve(matches, label=label)
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


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Result of scoring a detector."""

    card: DetectionCard
    source: Source
    items: Sequence[Item]  # images that were scored
    truth: Sequence[Detections]  # true objects of each of them
    judgements: Sequence[ImageJudgement]  # judgement of each box of the detector, at the threshold
    page: Path | None = None  # the report, if it was written
