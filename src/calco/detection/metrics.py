"""How good a detector is: mean average precision as COCO counts it, and the threshold that serves best.

Average precision is the area under the curve of precision over recall, where precision is first made to fall
(Everingham et al., "The Pascal Visual Object Classes Challenge", 2010) and read at 101 recalls; COCO takes its mean
over ten overlaps from 0.5 to 0.95 (Lin et al., arXiv 1405.0312).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Boxes, Detections
from calco.detection.boxes import iou
from calco.errors import CalcoError, MissingExtraError

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
        raise MissingExtraError(
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


Verdict: TypeAlias = Literal["right", "other class", "second box", "loose", "nothing there", "passed"]

SURE: Final = 0.5
"""The overlap from which on a box is a thing's."""
NEAR: Final = 0.1
"""The overlap from which on a box is near a thing's."""
MEANINGS: Final[dict[Verdict, str]] = {
    "other class": "the box is right, the class is that of something else",
    "second box": "a second box on a thing that was found already",
    "loose": f"near a thing of its class, with an overlap from {NEAR:g} to {SURE:g}",
    "nothing there": "near nothing of its class",
}


@dataclass(frozen=True, slots=True, eq=False)
class ImageJudgement:
    """What the boxes of one image are at a threshold.

    Attributes:
        found: The boxes that are believed.
        verdicts: N, what each of them is.
        missed: M `bool`, objects that are counted and that no box of their class is.
    """

    found: Detections
    verdicts: tuple[Verdict, ...]
    missed: Bools

    @property
    def num_wrong(self) -> int:
        """Boxes that are none of the objects."""
        return sum(verdict in MEANINGS for verdict in self.verdicts)


def judge_boxes(
    truth: Sequence[Detections], found: Sequence[Detections], matches: Matches, threshold: float
) -> tuple[list[ImageJudgement], Ints]:
    """What each believed box is, and the matrix of confusions.

    A thing is first matched with a box of its own class, as for every score. Boxes and objects that are left over are
    then matched whatever their class, the largest overlap first.

    Args:
        truth: One an image.
        found: One an image.
        matches: Of these, with the overlap `SURE` first.
        threshold: The score from which on boxes are believed.

    Returns:
        One entry an image, and (C + 1) x (C + 1) counts: classes that are there in rows, classes that were said in
        columns, last of both the background: what was missed, and what was said where nothing is.
    """
    number = {name: place for place, name in enumerate(matches.classes)}
    matrix = np.zeros((len(number) + 1, len(number) + 1), np.int64)
    believed = matches.scores >= threshold
    judgements = []
    for place, (there, said) in enumerate(zip(truth, found, strict=True)):
        mine = np.flatnonzero(believed & (matches.images == place))
        boxes, right, passed = matches.places[mine], matches.right[0, mine], matches.passed[0, mine]
        taken = matches.partners[0, mine][right]
        one = _one(there, said.select(boxes), right, passed, taken, number, matrix)
        judgements.append(one)
    return judgements, matrix


def _one(
    there: Detections, said: Detections, right: Bools, passed: Bools, taken: Ints, number: dict[str, int], matrix: Ints
) -> ImageJudgement:
    """One image; adds to the matrix."""
    background = len(number)
    counted = np.ones(len(there), np.bool_) if there.ignored is None else ~there.ignored
    their = np.array([number.get(name, -1) for name in there.classes], np.int64)
    our = np.array([number[name] for name in said.classes], np.int64)
    counted &= their >= 0
    free = counted.copy()
    free[taken] = False
    np.add.at(matrix, (our[right], our[right]), 1)
    verdicts: list[Verdict] = [
        "right" if r else "passed" if p else "nothing there" for r, p in zip(right, passed, strict=True)
    ]
    overlaps = overlap(said.boxes, there.boxes, np.zeros(len(there), np.bool_))
    left = ~(right | passed)
    missed = free.copy()
    for box, thing in _largest_first(overlaps, left, free):
        matrix[their[thing], our[box]] += 1
        verdicts[box] = "other class"
        left[box] = free[thing] = False
    np.add.at(matrix, (their[free], np.full(int(free.sum()), background)), 1)
    for box in np.flatnonzero(left).tolist():
        matrix[background, our[box]] += 1
        own = overlaps[box][counted & (their == our[box])].max(initial=0.0)
        verdicts[box] = "second box" if own >= SURE else "loose" if own >= NEAR else "nothing there"
    return ImageJudgement(said, tuple(verdicts), missed)


def _largest_first(overlaps: Floats, boxes: Bools, objects: Bools) -> list[tuple[int, int]]:
    """Pairs of a box and a thing that nobody has, of an overlap that is sure."""
    pairs = np.argwhere((overlaps >= SURE) & boxes[:, None] & objects[None])
    order = np.argsort([-overlaps[box, thing] for box, thing in pairs], kind="stable")
    result: list[tuple[int, int]] = []
    for box, thing in pairs[order].tolist() if len(pairs) else []:
        if not any(box == other or thing == one for other, one in result):
            result.append((box, thing))
    return result


def error_kinds(judgements: Sequence[ImageJudgement]) -> dict[str, int]:
    """How many false alarms are of which kind."""
    number = Counter(verdict for each in judgements for verdict in each.verdicts)
    return {kind: number[kind] for kind in MEANINGS}


RECALLS: Final = np.linspace(0, 1, 101)
"""Where COCO reads the curve of precision."""


def precisions(matches: Matches, weights: Floats) -> Floats:
    """Average precision of each class at each overlap, when each image counts so many times.

    With weights of 1 these are COCO's own figures; an image that counts twice counts as two equal ones.

    Args:
        matches: What was found.
        weights: R x P, how often each image counts.

    Returns:
        R x T x C, in [0, 1]; not a number where nothing of a class is to be found.
    """
    result = np.full((len(weights), len(matches.ious), len(matches.classes)), np.nan)
    for label in range(len(matches.classes)):
        mine = matches.labels == label
        images, right, wrong = matches.images[mine], matches.right[:, mine], matches.wrong[:, mine]
        totals = weights @ matches.num_objects[:, label]
        for number in np.flatnonzero(totals > 0):
            times = weights[number, images]
            result[number, :, label] = _areas(times * right, times * wrong, totals[number])
    return result


def _areas(right: Floats, wrong: Floats, total: float) -> Floats:
    """The areas under T curves. Boxes by falling score, T x D, how much each counts."""
    found, strange = np.cumsum(right, axis=1), np.cumsum(wrong, axis=1)
    said = found + strange
    precision = np.divide(found, said, out=np.zeros_like(said), where=said > 0)
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    falling = np.hstack([falling, np.zeros((len(falling), 1))])  # recalls that are not reached
    places = [np.searchsorted(row, RECALLS, side="left") for row in found / total]
    return np.array([row[place].mean() for row, place in zip(falling, places, strict=True)])


def curve(matches: Matches, believed: Bools | None = None, label: int | None = None) -> tuple[Floats, Floats, Floats]:
    """Threshold, precision and recall at the first overlap, one point for each score that occurs, by falling score.

    Args:
        matches: What was found.
        believed: D, the boxes that are looked at; None for all.
        label: The class; None for all together.
    """
    chosen = np.ones(len(matches.scores), np.bool_) if believed is None else believed
    objects = matches.num_objects.sum() if label is None else matches.num_objects[:, label].sum()
    if label is not None:
        chosen = chosen & (matches.labels == label)
    scores = matches.scores[chosen]
    right, wrong = np.cumsum(matches.right[0, chosen]), np.cumsum(matches.wrong[0, chosen])
    last = np.append(scores[1:] < scores[:-1], True) if len(scores) else np.zeros(0, np.bool_)
    right, said = right[last].astype(np.float64), (right + wrong)[last].astype(np.float64)
    precision = np.divide(right, said, out=np.ones_like(said), where=said > 0)
    return scores[last], precision, right / max(1, int(objects))


def counts(matches: Matches, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Of each image, all classes together, at the first overlap: right boxes, wrong boxes, objects."""
    believed = matches.scores >= threshold
    right, wrong = (
        np.bincount(matches.images[believed & flags[0]], minlength=matches.num_images).astype(np.float64)
        for flags in (matches.right, matches.wrong)
    )
    return right, wrong, matches.num_objects.sum(axis=1).astype(np.float64)
