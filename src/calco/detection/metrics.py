"""Scores of a detector: mean average precision as COCO counts it, the best threshold, and kinds of errors.

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
"""Largest number of detections of one class in one image that count, the highest scores first, as in COCO."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Matches:
    """All D detections in P images, by falling score, each right, wrong or passed over at T overlaps."""

    classes: tuple[str, ...]  # names of the C classes that count
    num_objects: Ints  # P x C, number of objects to find; images without objects included
    images: Ints  # D, image of each detection
    labels: Ints  # D, its class
    scores: Floats  # D, falling
    places: Ints  # D, its index in the `Detections` of its image
    right: Bools  # T x D, whether it is an object that no other detection is
    passed: Bools  # T x D, whether it is an object that does not count (crowd, difficult): neither right nor wrong
    partners: Ints  # T x D, index of the object in the truth of its image, or -1

    @property
    def wrong(self) -> Bools:
        """T x D, whether it is no object."""
        return ~(self.right | self.passed)


def match(
    truth: Sequence[Detections], found: Sequence[Detections], classes: Sequence[str], ious: Sequence[float] = COCO_IOUS
) -> Matches:
    """Match the detections in each image with its objects; a detection is right from the overlaps `ious` on.

    Objects that are `ignored` count neither as missed nor as found; classes that are not named are passed over.
    """
    if len(truth) != len(found):
        raise CalcoError(f"{len(truth)} images are to be scored and {len(found)} were looked at; give one for each")
    number = {name: place for place, name in enumerate(classes)}
    limits = np.minimum(np.asarray(ious, np.float64), 1 - 1e-10)
    num_objects = np.zeros((len(truth), len(number)), np.int64)
    flat = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))]
    wide = [tuple(np.zeros((len(ious), 0), kind) for kind in (np.bool_, np.bool_, np.int64))]
    for place, (actual, detected) in enumerate(zip(truth, found, strict=True)):
        if len(detected) and detected.scores is None:
            raise CalcoError(f"what was found in image {place} has no scores; a detector gives each box one")
        true_labels, predicted = (
            np.array([number.get(name, -1) for name in each.classes], np.int64) for each in (actual, detected)
        )
        counted = ~actual.is_ignored
        np.add.at(num_objects[place], true_labels[counted & (true_labels >= 0)], 1)
        for label in np.unique(predicted[predicted >= 0]):
            scores = np.asarray(detected.scores, np.float64)
            mine = np.flatnonzero(predicted == label)
            mine = mine[np.argsort(-scores[mine], kind="stable")][:MOST]
            objects = np.flatnonzero(true_labels == label)
            objects = objects[np.argsort(~counted[objects], kind="stable")]  # those that count come first
            overlaps = overlap(detected.boxes[mine], actual.boxes[objects], ~counted[objects])
            partners = _partners(overlaps, counted[objects], limits)
            is_counted = np.append(counted[objects], False)[partners]
            flat.append((np.full(len(mine), place), np.full(len(mine), label), scores[mine], mine))
            wide.append((is_counted, (partners >= 0) & ~is_counted, np.append(objects, -1)[partners]))
    images, labels, all_scores, places = (np.concatenate(part) for part in zip(*flat, strict=True))
    right, passed, of_truth = (np.concatenate(part, axis=1) for part in zip(*wide, strict=True))
    order = np.argsort(-all_scores, kind="stable")
    return Matches(
        classes=tuple(classes), num_objects=num_objects, images=images[order], labels=labels[order],
        scores=all_scores[order], places=places[order], right=right[:, order], passed=passed[:, order],
        partners=of_truth[:, order],
    )  # fmt: skip


def overlap(boxes: Boxes, objects: Boxes, crowds: Bools) -> Floats:
    """Return intersection over union, N x M; with a crowd the share of the box inside it."""
    shares = iou(boxes, objects)
    if crowds.any():
        a, b = boxes.astype(np.float64)[:, None], objects[crowds].astype(np.float64)[None]
        common = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
        own = (a[..., 2:] - a[..., :2]).prod(axis=2)
        shares[:, crowds] = np.divide(common, own, out=np.zeros_like(common), where=own > 0)
    return shares


def _partners(overlaps: Floats, counted: Bools, limits: Floats) -> Ints:
    """Return the object of each box at each limit, or -1, T x D; boxes by falling score, objects that count first."""
    result = np.full((len(limits), len(overlaps)), -1, np.int64)
    if not overlaps.size:
        return result
    free = np.ones((len(limits), overlaps.shape[1]), np.bool_)
    rows, first = np.arange(len(limits)), int(counted.sum())
    for box in np.flatnonzero(overlaps.max(axis=1) >= limits.min()):
        fits = free & (overlaps[box] >= limits[:, None])
        # Objects that count are preferred; of equal overlaps the later one, as COCO's own code has it.
        chosen = np.where(fits, overlaps[box] + 2.0 * (np.arange(fits.shape[1]) < first), -1.0)
        best = chosen.shape[1] - 1 - chosen[:, ::-1].argmax(axis=1)
        hit = fits[rows, best]
        result[hit, box] = best[hit]
        taken = hit & (best < first)  # a crowd takes any number of boxes
        free[rows[taken], best[taken]] = False
    return result


DEFAULT_THRESHOLD: Final = 0.5
"""Threshold if no detection is right, so that no score is better than another."""
_FARTHEST: Final = 1e10  # square pixels; no box is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """Scores of one class; NaN if it has no objects."""

    ap: float  # average precision over the overlaps from 0.5 to 0.95, in [0, 1]
    ap50: float  # average precision at the overlap 0.5
    ap75: float  # average precision at the overlap 0.75
    recall: float  # share of the objects found among 100 boxes an image, mean over the overlaps
    num_objects: int  # number of objects to find


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of a detector, means over the classes with objects; NaN without any."""

    ap: float  # mean average precision over the overlaps from 0.5 to 0.95, in [0, 1]
    ap50: float  # mean average precision at the overlap 0.5
    ap75: float  # mean average precision at the overlap 0.75
    small: float  # `ap` of the objects of less than 32 x 32 pixels
    medium: float  # `ap` of those up to 96 x 96 pixels
    large: float  # `ap` of those above
    recall: float  # share of the objects found among 100 boxes an image, mean over the overlaps
    threshold: float  # score with the best F1 at the overlap 0.5
    f1: float  # 2 x right / (found + to find), over all classes, at that threshold
    precision: float  # share of the detections that are right at that threshold
    recall50: float  # share of the objects found at that threshold
    classes: Mapping[str, ClassScores] = field(default_factory=dict)
    num_images: int = 0
    num_objects: int = 0  # number of objects to find

    def numbers(self) -> dict[str, float]:
        """Return the finite scores by their usual names, for a log."""
        named = {
            "map": self.ap, "map50": self.ap50, "map75": self.ap75, "map_small": self.small, "map_medium": self.medium,
            "map_large": self.large, "recall": self.recall, "f1": self.f1, "threshold": self.threshold,
        }  # fmt: skip
        return {name: value for name, value in named.items() if math.isfinite(value)}


def share_of(part: float, whole: float) -> float:
    """Return a ratio; NaN for a whole of 0."""
    return part / whole if whole else math.nan


def size_counts(areas: npt.NDArray[np.floating[Any]]) -> tuple[int, int, int]:
    """Return the number of small, medium and large boxes, as COCO divides them, from their square pixels."""
    small, large = int((areas < 32**2).sum()), int((areas > 96**2).sum())
    return small, len(areas) - small - large, large


def average_precision(truth: Sequence[Detections], found: Sequence[Detections], classes: Sequence[str]) -> Scores:
    """Score the detections in some images; faster-coco-eval counts, this module chooses the threshold.

    Sizes are those of the boxes. The more detections with low scores, the better the precision-recall curve.
    """
    half = match(truth, found, classes, (0.5,))
    threshold = best_threshold(half)
    right, wrong, objects = (float(part.sum()) for part in counts(half, threshold))
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
        recall=_mean(means[:, 0]), threshold=threshold, f1=share_of(2 * right, right + wrong + objects),
        precision=share_of(right, right + wrong), recall50=share_of(right, objects), classes=each,
        num_images=len(truth), num_objects=int(num.sum()),
    )  # fmt: skip


def best_threshold(matches: Matches) -> float:
    """Return the threshold with the best F1 over all classes at the first overlap, half-way to the next lower score.

    Of equal ones the highest counts: it has fewer wrong detections.
    """
    right, wrong = (np.cumsum(flags[0], dtype=np.int64) for flags in (matches.right, matches.wrong))
    total = int(matches.num_objects.sum())
    if not len(right) or not right[-1]:
        return DEFAULT_THRESHOLD
    last = np.append(matches.scores[1:] < matches.scores[:-1], True)  # boxes of one score come together
    f1 = np.where(last, 2 * right / (right + wrong + total), -1)
    place = int(f1.argmax())
    score = float(matches.scores[place])
    below = float(matches.scores[place + 1]) if place + 1 < len(f1) else score
    return (score + below) / 2


def _mean(values: Floats) -> float:
    """Return the mean over the classes with objects."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _coco(truth: Sequence[Detections], found: Sequence[Detections], classes: list[str]) -> tuple[Floats, Floats]:
    """Return precision (T x R x K x A) and recall (T x K x A) as COCO counts; NaN without objects."""
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
    actual = COCO({"info": {}, "images": images, "categories": categories, "annotations": _entries(truth, number)})
    # An empty list of results is taken for a path by some releases; a set of its own is the same to all of them.
    detected = COCO({"info": {}, "images": images, "categories": categories, "annotations": _entries(found, number)})
    counted = COCOeval_faster(actual, detected, iouType="bbox")
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
    """Return COCO's entries, numbered from 1: some releases take 0 for none."""
    entries: list[dict[str, Any]] = []
    for place, objects in enumerate(images, 1):
        boxes, ignored = objects.boxes.astype(np.float64), objects.is_ignored.tolist()
        sides = boxes[:, 2:] - boxes[:, :2]
        for i, name in enumerate(objects.classes):
            if name in number:
                entry = {
                    "id": len(entries) + 1, "image_id": place, "category_id": number[name], "iscrowd": int(ignored[i]),
                    "bbox": [*boxes[i, :2].tolist(), *sides[i].tolist()], "area": float(sides[i].prod()),
                }  # fmt: skip
                entries.append(entry | ({} if objects.scores is None else {"score": float(objects.scores[i])}))
    return entries


Verdict: TypeAlias = Literal["right", "other class", "second box", "loose", "nothing there", "passed"]

SURE: Final = 0.5
"""Overlap from which a detection is an object."""
NEAR: Final = 0.1
"""Overlap from which a detection is near an object."""
FALSE_ALARMS: Final[tuple[Verdict, ...]] = ("other class", "second box", "loose", "nothing there")
"""Kinds of detections that are wrong: a wrong class, a second box on an object, near one, or near none of its class."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageJudgement:
    """Verdicts on the detections in one image at a threshold."""

    found: Detections  # N detections at or above the threshold
    verdicts: tuple[Verdict, ...]
    missed: Bools  # M `bool`, objects that count and have no detection of their class


def judge_boxes(
    truth: Sequence[Detections], found: Sequence[Detections], matches: Matches, threshold: float
) -> tuple[list[ImageJudgement], Ints]:
    """Judge each detection at or above a threshold, and count confusions of classes.

    An object is first matched with a detection of its own class, as for every score. Detections and objects that are
    left over are then matched whatever their class, the largest overlap first.

    `matches` are those of `truth` and `found`, with the overlap `SURE` first.

    Returns:
        A judgement for each image, and (C + 1) x (C + 1) counts: true classes in rows, detected ones in columns, the
        background last (missed objects, and detections where nothing is).
    """
    number = {name: place for place, name in enumerate(matches.classes)}
    matrix = np.zeros((len(number) + 1, len(number) + 1), np.int64)
    believed = matches.scores >= threshold
    judgements = []
    for place, (actual, detected) in enumerate(zip(truth, found, strict=True)):
        mine = np.flatnonzero(believed & (matches.images == place))
        right, passed = matches.right[0, mine], matches.passed[0, mine]
        true_labels = np.array([number.get(name, -1) for name in actual.classes], np.int64)
        counted = ~actual.is_ignored & (true_labels >= 0)
        free = counted.copy()
        free[matches.partners[0, mine][right]] = False
        chosen = detected.select(matches.places[mine])
        predicted = np.array([number[name] for name in chosen.classes], np.int64)
        np.add.at(matrix, (predicted[right], predicted[right]), 1)
        verdicts: list[Verdict] = [
            "right" if r else "passed" if p else "nothing there" for r, p in zip(right, passed, strict=True)
        ]
        missed, left = free.copy(), ~(right | passed)
        overlaps = overlap(chosen.boxes, actual.boxes, np.zeros(len(actual), np.bool_))
        for box, target in np.argwhere(overlaps >= SURE)[np.argsort(-overlaps[overlaps >= SURE], kind="stable")]:
            if left[box] and free[target]:
                matrix[true_labels[target], predicted[box]] += 1
                verdicts[box] = "other class"
                left[box] = free[target] = False
        np.add.at(matrix[:, -1], true_labels[free], 1)
        for box in np.flatnonzero(left).tolist():
            matrix[-1, predicted[box]] += 1
            own = overlaps[box][counted & (true_labels == predicted[box])].max(initial=0.0)
            verdicts[box] = "second box" if own >= SURE else "loose" if own >= NEAR else "nothing there"
        judgements.append(ImageJudgement(chosen, tuple(verdicts), missed))
    return judgements, matrix


def error_kinds(judgements: Sequence[ImageJudgement]) -> dict[str, int]:
    """Return the number of false alarms of each kind."""
    number = Counter(verdict for each in judgements for verdict in each.verdicts)
    return {kind: number[kind] for kind in FALSE_ALARMS}


RECALLS: Final = np.linspace(0, 1, 101)
"""Recalls at which COCO reads the curve of precision."""


def precisions(matches: Matches, weights: Floats) -> Floats:
    """Return the average precision of each class at each overlap, with a weight for each image: R x P => R x T x C.

    With weights of 1 these are COCO's own figures; an image of weight 2 counts as two equal ones. A class without
    objects has NaN.
    """
    result = np.full((len(weights), len(matches.right), len(matches.classes)), np.nan)
    for label in range(len(matches.classes)):
        mine = matches.labels == label
        images, right, wrong = matches.images[mine], matches.right[:, mine], matches.wrong[:, mine]
        totals = weights @ matches.num_objects[:, label]
        for number in np.flatnonzero(totals > 0):
            times = weights[number, images]
            result[number, :, label] = _areas(times * right, times * wrong, totals[number])
    return result


def _areas(right: Floats, wrong: Floats, total: float) -> Floats:
    """Return the areas under T curves; boxes by falling score, T x D, with their weights."""
    right, wrong = np.cumsum(right, axis=1), np.cumsum(wrong, axis=1)
    total_found = right + wrong
    precision = np.divide(right, total_found, out=np.zeros_like(right), where=total_found > 0)
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    falling = np.hstack([falling, np.zeros((len(falling), 1))])  # recalls that are not reached
    places = [np.searchsorted(row, RECALLS, side="left") for row in right / total]
    return np.array([row[place].mean() for row, place in zip(falling, places, strict=True)])


def curve(matches: Matches, label: int | None = None) -> tuple[Floats, Floats, Floats]:
    """Return threshold, precision and recall at the first overlap, a point for each score, by falling score.

    `label` chooses a class; None takes all.
    """
    objects = (matches.num_objects if label is None else matches.num_objects[:, label]).sum()
    chosen = np.ones(len(matches.scores), np.bool_) if label is None else matches.labels == label
    scores = matches.scores[chosen]
    right, wrong = np.cumsum(matches.right[0, chosen]), np.cumsum(matches.wrong[0, chosen])
    last = np.append(scores[1:] < scores[:-1], True) if len(scores) else np.zeros(0, np.bool_)
    right, total = right[last].astype(np.float64), (right + wrong)[last].astype(np.float64)
    precision = np.divide(right, total, out=np.ones_like(total), where=total > 0)
    return scores[last], precision, right / max(1, int(objects))


def counts(matches: Matches, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Return the number of right and wrong detections and of objects in each image, at the first overlap."""
    believed = matches.scores >= threshold
    right, wrong = (
        np.bincount(matches.images[believed & flags[0]], minlength=len(matches.num_objects)).astype(np.float64)
        for flags in (matches.right, matches.wrong)
    )
    return right, wrong, matches.num_objects.sum(axis=1).astype(np.float64)
