"""Small objects in large images: a detector on overlapping slices, and the merging of its results.

A detector resizes an image to the side of its training. Ten pixels in an image of 4000 are then one pixel, too small to
be found. So it also gets slices of the image (Akyon et al., "Slicing Aided Hyper Inference", 2022, arXiv 2202.06934),
beside the whole image, in which large objects are complete.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.detection.contract import DetectorProtocol
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
    """Slices of a large image.

    Attributes:
        side: Side of a slice, pixels.
        overlap: Share of its side that a slice has in common with the next one, at least.
        batch: Slices per call of the detector.
    """

    side: int
    overlap: float = 0.2
    batch: int = 8

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
    """Return the objects that a detector finds in an image and in its slices.

    Args:
        detector: The detector.
        image: HWC.
        slices: The slices.
        threshold: Lowest score that is returned; None for the detector's own.
        progress: Called with the share that is done.

    Returns:
        Objects in pixels of the image, the highest score first.
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

    Args:
        found: Left, top, right, bottom and number of each view, and its objects, from its corner.
        width: Width of the image, pixels.
        height: Height of the image, pixels.
    """
    names: list[str] = []
    rows: list[_Seen] = []
    for view, number, objects in found:
        boxes = objects.boxes.astype(np.float64) + (np.array([view[0], view[1]] * 2))
        scores = np.ones(len(objects)) if objects.scores is None else objects.scores.astype(np.float64)
        names += objects.classes
        rows += _seen(boxes, scores, np.array(view, np.float64), number, width, height)
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
    """A box with what it was seen in.

    Attributes:
        box: Left, top, right, bottom in the image.
        cut: Which of these edges are where the view was cut.
        view: Left, top, right, bottom.
        number: Of the view.
        score: Of the box.
    """

    box: Floats
    cut: npt.NDArray[np.bool_]
    view: Floats
    number: int
    score: float


def _seen(boxes: Floats, scores: Floats, view: Floats, number: int, width: int, height: int) -> Iterator[_Seen]:
    near = _EDGE * max(view[2] - view[0], view[3] - view[1])
    inner = view != np.array([0, 0, width, height])  # an edge of the image cuts nothing that could be seen
    cut = (np.abs(boxes - view) <= max(2.0, near)) & inner
    for i in range(len(boxes)):
        yield _Seen(boxes[i], cut[i], view, number, float(scores[i]))


def _once(rows: Sequence[_Seen]) -> list[_Seen]:
    """Boxes of one class, each object once: complete ones first, then pieces, by score."""
    kept = sorted(rows, key=lambda row: (bool(row.cut.any()), -row.score))
    count = len(kept) + 1
    while len(kept) < count:  # a piece that grew may now meet others
        count, objects = len(kept), _MergedObjects(len(kept))
        for row in kept:
            objects.put(row)
        kept = objects.rows
    return kept


class _MergedObjects:
    """Objects of one class, each once; their boxes in an array, for comparison with all of them at once."""

    def __init__(self, most: int) -> None:
        self.rows: list[_Seen] = []
        self._boxes = np.zeros((most, 4))

    def put(self, row: _Seen) -> None:
        """Add a box, or merge it with that of the same object."""
        boxes = self._boxes[: len(self.rows)]
        # Boxes that do not overlap do not overlap within two views.
        meeting = np.flatnonzero((boxes[:, :2] < row.box[2:]).all(1) & (boxes[:, 2:] > row.box[:2]).all(1))
        if len(meeting):
            alike = _agreement(row, [self.rows[i] for i in meeting])
            if alike.max() >= SAME:
                self._join(int(meeting[alike.argmax()]), row)
                return
        self._boxes[len(self.rows)] = row.box
        self.rows.append(row)

    def _join(self, place: int, row: _Seen) -> None:
        if self.rows[place].cut.any() and row.cut.any():
            self.rows[place] = _together(self.rows[place], row)
            self._boxes[place] = self.rows[place].box


def _agreement(row: _Seen, others: Sequence[_Seen]) -> Floats:
    """The IoU with each other box within the area of both views; 0 for boxes of one view, which are two objects."""
    views, boxes = np.array([other.view for other in others]), np.array([other.box for other in others])
    low, high = np.maximum(row.view[:2], views[:, :2]), np.minimum(row.view[2:], views[:, 2:])
    shared = np.concatenate([low, np.maximum(low, high)], 1)
    one, two = _within(row.box[None], shared), _within(boxes, shared)
    inner = np.concatenate([np.maximum(one[:, :2], two[:, :2]), np.minimum(one[:, 2:], two[:, 2:])], 1)
    both = _area(inner)
    union = _area(one) + _area(two) - both
    alike: Floats = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    numbers = np.array([other.number for other in others])
    alike[(numbers == row.number) & (row.number != _JOINED)] = 0
    return alike


def _within(boxes: Floats, frames: Floats) -> Floats:
    low, high = np.tile(frames[:, :2], 2), np.tile(frames[:, 2:], 2)
    return np.clip(boxes, low, high)


def _area(boxes: Floats) -> Floats:
    sides: Floats = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return sides[:, 0] * sides[:, 1]


def _together(one: _Seen, two: _Seen) -> _Seen:
    """Two pieces of an object as one."""
    box = np.concatenate([np.minimum(one.box[:2], two.box[:2]), np.maximum(one.box[2:], two.box[2:])])
    cut = np.where(one.box == box, one.cut, two.cut)
    view = np.concatenate([np.minimum(one.view[:2], two.view[:2]), np.maximum(one.view[2:], two.view[2:])])
    return _Seen(box, cut, view, _JOINED, max(one.score, two.score))
