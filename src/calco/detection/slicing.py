"""Small objects in large images: a detector on overlapping slices, and the merging of its results.

A detector resizes an image to the side of its training. Ten pixels in an image of 4000 are then one pixel, too small to
be found. So it also gets slices of the image (Akyon et al., "Slicing Aided Hyper Inference", 2022, arXiv 2202.06934),
beside the whole image, in which large objects are complete.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.detection.network import DetectorProtocol
from calco.errors import CalcoError
from calco.imaging import Image, as_image
from calco.records import check_numbers

Floats = npt.NDArray[np.float64]

SAME: Final = 0.5
"""IoU, within the area of both views, from which two boxes of a class are one object."""
_EDGE: Final = 0.01  # of a slice's side: a box that ends this near to where the slice was cut is cut itself
_WHOLE, _JOINED = -1, -2  # the view of the whole image; an object merged from several views


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Slices of a large image."""

    side: int  # side of a slice, pixels
    overlap: float = 0.2  # share of its side that a slice has in common with the next one, at least
    batch: int = 8  # slices per call of the detector

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.side < 32:
            raise CalcoError(f"--slice {self.side}: it must be 32 pixels or more")
        if not 0 <= self.overlap <= 0.75:
            raise CalcoError(f"--overlap {self.overlap:g}: it must be from 0 to 0.75")  # fmt: skip
        if self.batch < 1:
            raise CalcoError(f"--batch {self.batch}: it must be 1 or more")

    def views(self, width: int, height: int) -> list[tuple[int, int, int, int]]:
        """Return left, top, right, bottom of each slice of an image; none if the image is no larger than one.

        All have one size and are spread evenly.
        """
        if max(width, height) <= self.side:
            return []
        across, down = min(self.side, width), min(self.side, height)
        return [
            (left, top, left + across, top + down)
            for top in self._starts(height, down)
            for left in self._starts(width, across)
        ]

    def _starts(self, length: int, side: int) -> list[int]:
        step = side * (1 - self.overlap)
        count = 1 + int(np.ceil((length - side) / step - 1e-9)) if length > side else 1
        return [round(start) for start in np.linspace(0, length - side, count)]


def find_in_slices(
    detector: DetectorProtocol,
    image: Image,
    slices: Slices,
    *,
    threshold: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Detections:
    """Return the objects that a detector finds in an image and in its slices, the highest score first.

    `progress` is called with the share that is done.
    """
    image = as_image(image)
    height, width = image.shape[:2]
    views = slices.views(width, height)
    whole = (0, 0, width, height)
    found = [(whole, _WHOLE, detector.many([image], threshold=threshold)[0])]
    if not views:
        return found[0][2]
    for start in range(0, len(views), slices.batch):
        some = views[start : start + slices.batch]
        shown = [np.ascontiguousarray(image[top:bottom, left:right]) for left, top, right, bottom in some]
        for number, (view, objects) in enumerate(zip(some, detector.many(shown, threshold=threshold), strict=True)):
            found.append((view, start + number, objects))
        if progress is not None:
            progress(min(1.0, (start + len(some)) / len(views)))
    return joined(found, width, height)


def joined(found: Sequence[tuple[tuple[int, int, int, int], int, Detections]], width: int, height: int) -> Detections:
    """Return the objects of several views of an image, each object once.

    Two boxes of one class are one object if their parts within both views have an IoU of at least `SAME`. A box that
    ends at the edge of its slice is a piece; a complete box replaces it, and two pieces are merged. Plain NMS keeps
    both halves of an object that is larger than the overlap, since they hardly cover each other.

    `found` has the corners and the number of each view, and its objects, from its corner.
    """
    names: list[str] = []
    rows: list[_Seen] = []
    for view, number, objects in found:
        boxes = objects.boxes.astype(np.float64) + (np.array([view[0], view[1]] * 2))
        scores = np.ones(len(objects)) if objects.scores is None else objects.scores.astype(np.float64)
        names += objects.classes
        frame = np.array(view, np.float64)
        near = max(2.0, _EDGE * max(view[2] - view[0], view[3] - view[1]))
        inner = frame != np.array([0, 0, width, height])  # an edge of the image cuts nothing that could be seen
        cut = (np.abs(boxes - frame) <= near) & inner
        rows += [_Seen(boxes[i], cut[i], frame, number, float(scores[i])) for i in range(len(boxes))]
    kept: list[tuple[_Seen, str]] = []
    for name in dict.fromkeys(names):
        of_class = [row for row, each in zip(rows, names, strict=True) if each == name]
        kept += [(row, name) for row in _once(of_class)]
    kept.sort(key=lambda pair: -pair[0].score)
    return Detections(
        boxes=np.array([row.box for row, _ in kept], np.float32).reshape(-1, 4),
        classes=tuple(name for _, name in kept),
        scores=np.array([row.score for row, _ in kept], np.float32),
    )


class _Seen(NamedTuple):
    """A box with what it was seen in."""

    box: Floats  # left, top, right, bottom in the image
    cut: npt.NDArray[np.bool_]  # which of these edges are where the view was cut
    view: Floats  # left, top, right, bottom
    number: int  # of the view
    score: float  # of the box


def _once(rows: Sequence[_Seen]) -> list[_Seen]:
    """Return the objects of boxes of one class, each once: complete boxes first, then pieces, by score."""
    kept = sorted(rows, key=lambda row: (bool(row.cut.any()), -row.score))
    count = len(kept) + 1
    while len(kept) < count:  # a piece that grew may now meet others
        count, merged, boxes = len(kept), list[_Seen](), np.zeros((len(kept), 4))
        for row in kept:
            there = boxes[: len(merged)]
            # Boxes that do not overlap do not overlap within two views.
            meeting = np.flatnonzero((there[:, :2] < row.box[2:]).all(1) & (there[:, 2:] > row.box[:2]).all(1))
            alike = _agreement(row, [merged[i] for i in meeting]) if len(meeting) else np.zeros(1)
            if alike.max() < SAME:
                boxes[len(merged)] = row.box
                merged.append(row)
                continue
            place = int(meeting[alike.argmax()])
            if merged[place].cut.any() and row.cut.any():
                merged[place] = _together(merged[place], row)
                boxes[place] = merged[place].box
        kept = merged
    return kept


def _agreement(row: _Seen, others: Sequence[_Seen]) -> Floats:
    """Return the IoU with each other box within the area of both views; 0 for boxes of one view: two objects."""
    views, boxes = np.array([other.view for other in others]), np.array([other.box for other in others])
    low = np.maximum(row.view[:2], views[:, :2])
    high = np.maximum(low, np.minimum(row.view[2:], views[:, 2:]))
    one, two = (np.clip(each, np.tile(low, 2), np.tile(high, 2)) for each in (row.box[None], boxes))
    sides = np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])
    both = np.clip(sides, 0, None).prod(1)
    union = (one[:, 2:] - one[:, :2]).prod(1) + (two[:, 2:] - two[:, :2]).prod(1) - both
    alike: Floats = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    numbers = np.array([other.number for other in others])
    alike[(numbers == row.number) & (row.number != _JOINED)] = 0
    return alike


def _together(one: _Seen, two: _Seen) -> _Seen:
    """Merge two pieces of an object."""
    box = np.concatenate([np.minimum(one.box[:2], two.box[:2]), np.maximum(one.box[2:], two.box[2:])])
    cut = np.where(one.box == box, one.cut, two.cut)
    view = np.concatenate([np.minimum(one.view[:2], two.view[:2]), np.maximum(one.view[2:], two.view[2:])])
    return _Seen(box, cut, view, _JOINED, max(one.score, two.score))
