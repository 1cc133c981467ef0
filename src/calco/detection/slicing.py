"""Small objects in large images: a detector over overlapping slices, and what it found put together.

A detector sees an image brought to the side at which it was trained. What is ten pixels wide in an image of 4000 is
one pixel wide then, and not to be found. So slices are shown to it one by one (Akyon et al., "Slicing Aided Hyper
Inference", 2022, arXiv 2202.06934), and the whole image too, in which large objects are seen whole.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.detection.contract import DetectorProtocol
from calco.errors import CalcoError
from calco.imaging import Image, as_image
from calco.records import check_numbers

Floats = npt.NDArray[np.float64]

SAME: Final = 0.5
"""The IoU, within what two views share, from which on two boxes of a class are one thing."""
_EDGE: Final = 0.01  # of a slice's side: a box that ends this near to where the slice was cut is cut itself
_WHOLE, _JOINED = -1, -2  # the view that is the whole image; a thing put together of several views


@dataclass(frozen=True, kw_only=True)
class Slices:
    """How a large image is cut.

    Attributes:
        side: Of a slice, pixels.
        overlap: The share of its side that a slice has in common with the next one, at least.
        batch: Slices that the detector is shown at once.
    """

    side: int
    overlap: float = 0.2
    batch: int = 8

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.side < 32:
            raise CalcoError(f"--slice {self.side} is too small to see anything in; give 32 pixels or more")
        if not 0 <= self.overlap <= 0.75:
            raise CalcoError(f"--overlap {self.overlap:g} is no share that slices can have in common; "
                             "give one from 0 to 0.75")  # fmt: skip
        if self.batch < 1:
            raise CalcoError(f"--batch {self.batch} shows nothing; give 1 or more")

    def views(self, width: int, height: int) -> list[tuple[int, int, int, int]]:
        """Left, top, right, bottom of each slice of an image; none where the whole is no larger than one.

        All have one size, and are spread evenly: none is a narrow rest at the border.
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
    """What a detector finds in an image and in its slices.

    Args:
        detector: Is shown slices as images.
        image: HWC.
        slices: How it is cut.
        threshold: As of the detector.
        progress: Is told the share that is done.

    Returns:
        In the image's pixels, the highest score first.
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
    """What several views of an image show, each thing once.

    Two boxes of one class are one thing when they agree about what both views see: when their parts within both views
    have an IoU of at least `SAME`. A box that ends where its view was cut is a piece; the whole one stands for it, and
    two pieces are put together. Plain NMS keeps both halves of a thing that is larger than the overlap, since these
    hardly cover each other.

    Args:
        found: Of each view left, top, right, bottom, its number (one for all boxes that saw each other), and what was
            found in it, from its corner.
        width: Of the image, pixels.
        height: Of the image, pixels.
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
    """Each thing once, of boxes of one class: whole ones first, then pieces, by score."""
    kept = sorted(rows, key=lambda row: (bool(row.cut.any()), -row.score))
    count = len(kept) + 1
    while len(kept) < count:  # a piece that grew may now meet others
        count, objects = len(kept), _Objects(len(kept))
        for row in kept:
            objects.put(row)
        kept = objects.rows
    return kept


class _Objects:
    """Objects of one class, each once; their boxes in an array, so that a box meets all of them at once."""

    def __init__(self, most: int) -> None:
        self.rows: list[_Seen] = []
        self._boxes = np.zeros((most, 4))

    def put(self, row: _Seen) -> None:
        """Adds a box, or joins it with the one that shows the same thing."""
        boxes = self._boxes[: len(self.rows)]
        # What boxes do not share at all, they do not share within two views.
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
    """The IoU with each other box within what both views show; 0 for boxes of one view, which told them apart."""
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
    """Two pieces of a thing as one, which is cut where the outermost edge was."""
    box = np.concatenate([np.minimum(one.box[:2], two.box[:2]), np.maximum(one.box[2:], two.box[2:])])
    cut = np.where(one.box == box, one.cut, two.cut)
    view = np.concatenate([np.minimum(one.view[:2], two.view[:2]), np.maximum(one.view[2:], two.view[2:])])
    return _Seen(box, cut, view, _JOINED, max(one.score, two.score))


@dataclass(frozen=True, kw_only=True)
class Look:
    """How images are looked at.

    Attributes:
        detector: What finds objects.
        threshold: Only what scores as much is told; None for the detector's own.
        classes: Only these are told; empty for all.
        slices: How large images are cut; None for the whole alone.
        batch: Images that the detector is shown at once.
    """

    detector: DetectorProtocol
    threshold: float | None = None
    classes: tuple[str, ...] = ()
    slices: Slices | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        known = self.detector.classes
        if strange := [name for name in self.classes if name not in known]:
            raise CalcoError(f"the model knows no {strange[0]!r}; it finds {', '.join(known)}")

    @property
    def least(self) -> float:
        """The score from which on something is told."""
        return self.detector.threshold if self.threshold is None else self.threshold

    def many(self, images: Sequence[Image], progress: Callable[[float], None] | None = None) -> list[Detections]:
        """What is in each of some images, HWC, in their own pixels.

        Args:
            images: HWC, of any sizes and types.
            progress: Is told the share of an image in slices that is done.
        """
        if self.slices is None:
            found = self.detector.many(images, threshold=self.least)
        else:
            found = [
                find_in_slices(self.detector, image, self.slices, threshold=self.least, progress=progress)
                for image in images
            ]
        return [self._wanted(objects) for objects in found]

    def _wanted(self, objects: Detections) -> Detections:
        if not self.classes:
            return objects
        return objects.select(np.array([name in self.classes for name in objects.classes], np.bool_))

    def record(self) -> dict[str, Any]:
        """As plain data: what a result depends on, beside the model."""
        slices = None if self.slices is None else [self.slices.side, self.slices.overlap]
        return {"threshold": self.least, "classes": list(self.classes), "slices": slices}


@dataclass
class Tally:
    """What was found.

    Attributes:
        objects: How many of each class.
        seen: Images or frames.
        empty: Those in which nothing was found.
    """

    objects: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    empty: int = 0

    def add(self, found: Detections) -> None:
        """Counts what is in one more."""
        self.objects.update(found.classes)
        self.seen += 1
        self.empty += not len(found)

    def join(self, other: "Tally") -> None:
        """Counts what another one counted."""
        self.objects.update(other.objects)
        self.seen += other.seen
        self.empty += other.empty

    def words(self, of: str = "images") -> str:
        """Such as "3 knife, 12 pistol; nothing in 4 of 20 images"."""
        if not self.objects:
            return f"nothing was found in {self.seen} {of}"
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.objects.items()))
        return f"{told}; nothing in {self.empty} of {self.seen} {of}"
