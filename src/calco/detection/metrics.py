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

from calco.annotations.detections import Detections
from calco.detection.matching import MOST, Floats, Matches, match
from calco.errors import CalcoError

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
