"""How good a detector is: mean average precision as COCO counts it, and the threshold that serves best.

Average precision is the area under the curve of precision over recall, where precision is first made to fall
(Everingham et al., "The Pascal Visual Object Classes Challenge", 2010) and read at 101 recalls; COCO takes its mean
over ten overlaps from 0.5 to 0.95 (Lin et al., arXiv 1405.0312).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Boxes, Detections
from calco.detection.boxes import iou
from calco.errors import CalcoError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

COCO_IOUS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55, ... 0.95."""
MOST: Final = 100
"""Found boxes of one class in one image that count; those of lower scores are passed over, as COCO does."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Matches:
    """All found boxes of some images, by falling score, and what each was.

    Attributes:
        classes: The names of the C classes that count.
        ious: The T overlaps from which on a box is right.
        num_images: Of all images, P, those with nothing in them too.
        num_objects: P x C, how many objects are to be found.
        images: D, the image of each found box.
        labels: D, its class.
        scores: D, falling.
        places: D, which one it is in its image's `Detections`.
        right: T x D, whether it is a thing that no other box is.
        passed: T x D, whether it is one that is not counted (a crowd, a difficult one): neither right nor wrong.
        partners: T x D, the thing's place in its image's truth, or -1.
    """

    classes: tuple[str, ...]
    ious: tuple[float, ...]
    num_images: int
    num_objects: Ints
    images: Ints
    labels: Ints
    scores: Floats
    places: Ints
    right: Bools
    passed: Bools
    partners: Ints

    @property
    def wrong(self) -> Bools:
        """T x D, whether it is none of the objects."""
        return ~(self.right | self.passed)


def match(
    truth: Sequence[Detections],
    found: Sequence[Detections],
    classes: Sequence[str],
    ious: Sequence[float] = COCO_IOUS,
    *,
    most: int = MOST,
) -> Matches:
    """Matches what was found in each image with what is in it.

    Args:
        truth: One an image; boxes that are `ignored` count neither as missed nor as found.
        found: One an image, with scores.
        classes: Those that count; what is of another class is passed over on both sides.
        ious: Overlaps (intersection over union) from which on a box is right.
        most: Found boxes of one class in one image that count, the highest scores first.

    Raises:
        CalcoError: When images or scores are missing.
    """
    _check(truth, found)
    number = {name: place for place, name in enumerate(classes)}
    limits = np.minimum(np.asarray(ious, np.float64), 1 - 1e-10)
    num_objects = np.zeros((len(truth), len(number)), np.int64)
    parts: list[tuple[Ints, Ints, Floats, Ints, Bools, Bools, Ints]] = []
    for place, (there, said) in enumerate(zip(truth, found, strict=True)):
        their = np.array([number.get(name, -1) for name in there.classes], np.int64)
        our = np.array([number.get(name, -1) for name in said.classes], np.int64)
        counted = np.ones(len(there), np.bool_) if there.ignored is None else ~there.ignored
        np.add.at(num_objects[place], their[counted & (their >= 0)], 1)
        for label in np.unique(our[our >= 0]):
            scores = np.asarray(said.scores, np.float64)
            mine = np.flatnonzero(our == label)
            mine = mine[np.argsort(-scores[mine], kind="stable")][:most]
            objects = np.flatnonzero(their == label)
            objects = objects[np.argsort(~counted[objects], kind="stable")]  # those that count come first
            overlaps = overlap(said.boxes[mine], there.boxes[objects], ~counted[objects])
            partners = _partners(overlaps, counted[objects], limits)
            of_truth = np.append(objects, -1)[partners]
            is_counted = np.append(counted[objects], False)[partners]
            many = np.full(len(mine), place), np.full(len(mine), label)
            parts.append((*many, scores[mine], mine, is_counted, (partners >= 0) & ~is_counted, of_truth))
    return _joined(parts, tuple(classes), tuple(ious), num_objects)


def overlap(boxes: Boxes, objects: Boxes, crowds: Bools) -> Floats:
    """Intersection over union, N x M; with a crowd the share of the box that lies in it."""
    shares = iou(boxes, objects)
    if crowds.any():
        a, b = boxes.astype(np.float64)[:, None], objects[crowds].astype(np.float64)[None]
        common = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
        own = (a[..., 2:] - a[..., :2]).prod(axis=2)
        shares[:, crowds] = np.divide(common, own, out=np.zeros_like(common), where=own > 0)
    return shares


def _check(truth: Sequence[Detections], found: Sequence[Detections]) -> None:
    if len(truth) != len(found):
        raise CalcoError(f"{len(truth)} images are to be scored and {len(found)} were looked at; give one for each")
    for place, said in enumerate(found):
        if len(said) and said.scores is None:
            raise CalcoError(f"what was found in image {place} has no scores; a detector gives each box one")


def _partners(overlaps: Floats, counted: Bools, limits: Floats) -> Ints:
    """The thing of each box at each limit, or -1. Boxes by falling score, objects that count first. => T x D."""
    result = np.full((len(limits), len(overlaps)), -1, np.int64)
    if not overlaps.size:
        return result
    free = np.ones((len(limits), overlaps.shape[1]), np.bool_)
    rows, first = np.arange(len(limits)), int(counted.sum())
    for box in np.flatnonzero(overlaps.max(axis=1) >= limits.min()):
        fits = free & (overlaps[box] >= limits[:, None])
        # What counts is preferred to what does not; of equal overlaps the later one, as COCO's own code has it.
        chosen = np.where(fits, overlaps[box] + 2.0 * (np.arange(fits.shape[1]) < first), -1.0)
        best = chosen.shape[1] - 1 - chosen[:, ::-1].argmax(axis=1)
        hit = fits[rows, best]
        result[hit, box] = best[hit]
        taken = hit & (best < first)  # a crowd takes any number of boxes
        free[rows[taken], best[taken]] = False
    return result


def _joined(
    parts: Sequence[tuple[Ints, Ints, Floats, Ints, Bools, Bools, Ints]],
    classes: tuple[str, ...],
    ious: tuple[float, ...],
    num_objects: Ints,
) -> Matches:
    flat = [np.concatenate([part[i] for part in parts]) if parts else np.zeros(0, np.int64) for i in range(4)]
    wide = [
        np.concatenate([part[i] for part in parts], axis=1) if parts else np.zeros((len(ious), 0), np.int64)
        for i in (4, 5, 6)
    ]
    order = np.argsort(-flat[2], kind="stable")
    return Matches(
        classes=classes, ious=ious, num_images=len(num_objects), num_objects=num_objects,
        images=flat[0][order], labels=flat[1][order], scores=flat[2][order].astype(np.float64), places=flat[3][order],
        right=wide[0][:, order].astype(np.bool_), passed=wide[1][:, order].astype(np.bool_),
        partners=wide[2][:, order],
    )  # fmt: skip


DEFAULT_THRESHOLD: Final = 0.5
"""Where nothing was found rightly, so that no score is better than another."""
_FARTHEST: Final = 1e10  # square pixels; no box is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """The scores of one class; not a number where it does not occur.

    Attributes:
        ap: Average precision over the overlaps from 0.5 to 0.95, in [0, 1].
        ap50: At the overlap 0.5.
        ap75: At the overlap 0.75.
        recall: Of the objects, the share that is found among 100 boxes an image, the mean over the overlaps.
        num_objects: How many there are to be found.
    """

    ap: float
    ap50: float
    ap75: float
    recall: float
    num_objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of a detector, means over the classes that occur; not a number where nothing is to be found.

    Attributes:
        ap: Mean average precision over the overlaps from 0.5 to 0.95, in [0, 1].
        ap50: At the overlap 0.5.
        ap75: At the overlap 0.75.
        small: `ap` of the objects of less than 32 x 32 pixels.
        medium: Of those up to 96 x 96 pixels.
        large: Of those above.
        recall: Of the objects, the share that is found among 100 boxes an image, the mean over the overlaps.
        threshold: The score from which on boxes are to be believed: the one with the best F1 at the overlap 0.5.
        f1: 2 x right / (found + to be found), over all classes, at that threshold.
        precision: Of the boxes at that threshold, the share that is right.
        recall50: Of the objects, the share that is found at that threshold.
        classes: The same by class.
        num_images: How many were scored.
        num_objects: How many objects were to be found.
    """

    ap: float
    ap50: float
    ap75: float
    small: float
    medium: float
    large: float
    recall: float
    threshold: float
    f1: float
    precision: float
    recall50: float
    classes: Mapping[str, ClassScores] = field(default_factory=dict)
    num_images: int = 0
    num_objects: int = 0

    def numbers(self) -> dict[str, float]:
        """What belongs into a log, by the names that are usual; without what is no number."""
        named = {
            "map": self.ap, "map50": self.ap50, "map75": self.ap75, "map_small": self.small, "map_medium": self.medium,
            "map_large": self.large, "recall": self.recall, "f1": self.f1, "threshold": self.threshold,
        }  # fmt: skip
        return {name: value for name, value in named.items() if math.isfinite(value)}


@dataclass(frozen=True, slots=True)
class Operating:
    """What comes out at a threshold, over all classes.

    Attributes:
        threshold: Boxes of this score and above are believed.
        right: Boxes that are a thing.
        wrong: Boxes that are none.
        missed: Objects that no box is.
    """

    threshold: float
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Of the boxes, the share that is right; not a number without boxes."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else math.nan

    @property
    def recall(self) -> float:
        """Of the objects, the share that is found; not a number without objects."""
        return self.right / (self.right + self.missed) if self.right + self.missed else math.nan

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else math.nan


def average_precision(truth: Sequence[Detections], found: Sequence[Detections], classes: Sequence[str]) -> Scores:
    """Scores what was found in some images. Counted by faster-coco-eval; the threshold by this module.

    Args:
        truth: One an image, in pixels; what is `ignored` counts neither way. Sizes are those of the boxes.
        found: One an image, with scores, in the same pixels; the more boxes of low scores, the better the curve.
        classes: Those that count; boxes of other classes are passed over on both sides.

    Raises:
        CalcoError: When images or scores are missing, or faster-coco-eval is.
    """
    half = match(truth, found, classes, (0.5,))
    best = best_threshold(half)
    num = half.num_objects.sum(axis=0)
    precision, recall = _coco(truth, found, list(classes))  # T x R x K x A, T x K x A
    ap, means = precision.mean(axis=1), recall.mean(axis=0)
    each = {
        name: ClassScores(
            ap=float(ap[:, k, 0].mean()), ap50=float(ap[0, k, 0]), ap75=float(ap[5, k, 0]),
            recall=float(means[k, 0]), num_objects=int(num[k]),
        )
        for k, name in enumerate(classes)
    }  # fmt: skip
    whole, small, medium, large = (_mean(ap[:, :, area].mean(axis=0)) for area in range(4))
    return Scores(
        ap=whole, ap50=_mean(ap[0, :, 0]), ap75=_mean(ap[5, :, 0]), small=small, medium=medium, large=large,
        recall=_mean(means[:, 0]), threshold=best.threshold, f1=best.f1, precision=best.precision,
        recall50=best.recall, classes=each, num_images=len(truth), num_objects=int(num.sum()),
    )  # fmt: skip


def best_threshold(matches: Matches) -> Operating:
    """The threshold with the best F1 at the first overlap, half-way to the next lower score; over all classes.

    Of equal ones the highest counts: it says less that is wrong.
    """
    right, wrong = (np.cumsum(flags[0], dtype=np.int64) for flags in (matches.right, matches.wrong))
    total = int(matches.num_objects.sum())
    if not len(right) or not right[-1]:
        return at_threshold(matches, DEFAULT_THRESHOLD)
    last = np.append(matches.scores[1:] < matches.scores[:-1], True)  # boxes of one score come together
    f1 = np.where(last, 2 * right / (right + wrong + total), -1)
    place = int(f1.argmax())
    score = float(matches.scores[place])
    below = float(matches.scores[place + 1]) if place + 1 < len(f1) else score
    return at_threshold(matches, (score + below) / 2)


def at_threshold(matches: Matches, threshold: float) -> Operating:
    """What comes out at a threshold, at the first overlap."""
    believed = matches.scores >= threshold
    right, wrong = int((matches.right[0] & believed).sum()), int((matches.wrong[0] & believed).sum())
    return Operating(threshold, right, wrong, int(matches.num_objects.sum()) - right)


def _mean(values: Floats) -> float:
    """Over the classes that occur."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.nan


def _coco(truth: Sequence[Detections], found: Sequence[Detections], classes: list[str]) -> tuple[Floats, Floats]:
    """Precision (T x R x K x A) and recall (T x K x A) as COCO counts; not a number where nothing is to be found."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise CalcoError(
            "faster-coco-eval counts the scores of detectors and is missing; pip install 'calco[detect]'"
        ) from error
    number = {name: place for place, name in enumerate(classes, 1)}
    images = [{"id": place, "width": 1, "height": 1} for place in range(1, len(truth) + 1)]
    categories = [{"id": place, "name": name} for name, place in number.items()]
    if not images or not categories:
        return np.full((10, 101, len(classes), 4), np.nan), np.full((10, len(classes), 4), np.nan)
    there = COCO({"info": {}, "images": images, "categories": categories, "annotations": _entries(truth, number)})
    # An empty list of results is taken for a path by some releases; a set of its own is the same to all of them.
    said = COCO({"info": {}, "images": images, "categories": categories, "annotations": _entries(found, number)})
    counted = COCOeval_faster(there, said, iouType="bbox")
    counted.params.areaRng = [[0, _FARTHEST], [0, 32**2], [32**2, 96**2], [96**2, _FARTHEST]]
    counted.params.areaRngLbl = ["all", "small", "medium", "large"]
    counted.params.maxDets = [MOST]
    counted.evaluate()
    counted.accumulate()
    precision, recall = (np.asarray(counted.eval[name], np.float64) for name in ("precision", "recall"))
    shape = (10, 101, len(classes), 4)
    precision, recall = precision.reshape(shape), recall.reshape(10, len(classes), 4)
    return np.where(precision < 0, np.nan, precision), np.where(recall < 0, np.nan, recall)


def _entries(images: Sequence[Detections], number: Mapping[str, int]) -> list[dict[str, Any]]:
    """COCO's entries, numbered from 1: some releases take 0 for none."""
    entries: list[dict[str, Any]] = []
    for place, objects in enumerate(images, 1):
        boxes = objects.boxes.astype(np.float64)
        sides = boxes[:, 2:] - boxes[:, :2]
        for i, name in enumerate(objects.classes):
            if name in number:
                crowd = int(objects.ignored is not None and bool(objects.ignored[i]))
                entry = {
                    "id": len(entries) + 1, "image_id": place, "category_id": number[name], "iscrowd": crowd,
                    "bbox": [*boxes[i, :2].tolist(), *sides[i].tolist()], "area": float(sides[i].prod()),
                }  # fmt: skip
                entries.append(entry | ({} if objects.scores is None else {"score": float(objects.scores[i])}))
    return entries
