"""Which found box is which thing: the matching that every score of a detector is counted from.

As COCO does it (Lin et al., "Microsoft COCO", arXiv 1405.0312, and the code that counts its challenges): within a
image and a class, found boxes choose in the order of their scores, each the free thing that it overlaps most. So what
a higher threshold leaves is matched as it was before, and one matching serves all thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Boxes, Detections
from calco.detection.overlap import iou
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
