"""How much boxes overlap: IoU and GIoU, and a way to find the pairs that do without looking at every pair.

Boxes are N x 4, left, top, right, bottom, in whatever unit; right and bottom are exclusive, so a box has the area
(right - left) * (bottom - top). A box that is empty or inverted has the area 0 and overlaps nothing, not even itself.
Everything is computed in `float64`, whatever comes in, so that a result does not hang on the way it was computed.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]


def iou(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Intersection over union of each box of `a` with each of `b`. N x 4, M x 4 => N x M, in [0, 1].

    Raises:
        CalcoError: When boxes are not rows of four finite numbers.
    """
    return exact_iou(checked_boxes(a), checked_boxes(b))


def giou(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Generalised IoU: IoU less the share of the smallest box around both that neither fills.

    N x 4, M x 4 => N x M, in (-1, 1]; apart boxes are the lower the further apart they are (Rezatofighi and others,
    arXiv 1902.09630, algorithm 1). Two empty boxes in one place have 0.

    Raises:
        CalcoError: When boxes are not rows of four finite numbers.
    """
    first, second = checked_boxes(a), checked_boxes(b)
    inner, union = _inner_and_union(first, second)
    ends = [np.maximum(boxes[:, 2:], boxes[:, :2]) for boxes in (first, second)]
    low = np.minimum(first[:, None, :2], second[None, :, :2])
    high = np.maximum(ends[0][:, None], ends[1][None, :])
    hull: Floats = np.prod(high - low, axis=2)
    waste = np.divide(hull - union, hull, out=np.zeros_like(hull), where=hull > 0)
    generalised: Floats = _share(inner, union) - np.maximum(waste, 0)
    return generalised


class Sweep:
    """Boxes sorted along an axis, so that one is compared only with those that may overlap it enough.

    IoU > edge needs an overlap of more than `edge` of either box's width, since the intersection is at most that
    overlap times its height. So the partners of a box begin before its first 1 - edge is over and, as none is wider
    than its width / edge, not long before it does; sorted by where they begin, they stand side by side.

    Attributes:
        order: The places of the boxes, as sorted.
    """

    def __init__(self, boxes: Floats, edge: float) -> None:
        """Takes the axis on which fewer boxes meet. N x 4, checked; the edge in [0, 1]."""
        axes = [self._along(boxes, axis, edge) for axis in (0, 1)]
        self.order, first, last = min(axes, key=lambda found: int((found[2] - found[1]).sum()))
        self._first, self._last = first.tolist(), last.tolist()
        self._corners = np.ascontiguousarray(boxes[self.order].T)
        areas = _areas(boxes)[self.order]
        # What has no inside overlaps nothing, so that any area will do for it, and this one can be divided by.
        self._areas = np.where(areas > 0, areas, 1)

    @staticmethod
    def _along(boxes: Floats, axis: int, edge: float) -> tuple[Indices, Indices, Indices]:
        """The order along an axis, and the span of partners of each box."""
        order = np.argsort(boxes[:, axis], kind="stable")
        near, far = boxes[order, axis], boxes[order, axis + 2]
        width = np.maximum(far - near, 0)
        # A little wider than exact, so that rounding loses no partner; each is then measured exactly.
        share, slack = edge * (1 - 1e-9), 1e-15 * (np.abs(near) + np.abs(far))
        widest = np.minimum(width / max(share, 1e-9), width.max(initial=0))
        first = np.searchsorted(near, near - (1 - share) * widest - slack, side="left")
        last = np.searchsorted(near, far - share * width + slack, side="right")
        return order, first, np.maximum(first, last)

    def overlaps(self, place: int) -> tuple[slice, Floats]:
        """Where in the sorted order the possible partners of a box stand, and their IoU with it; itself among them."""
        span = slice(self._first[place], self._last[place])
        corners = self._corners[:, span]
        own = self._corners[:, place, None]
        sides = np.minimum(corners[2:], own[2:])
        sides -= np.maximum(corners[:2], own[:2])
        np.maximum(sides, 0, out=sides)
        # The same operations in the same order as in `iou`, so that both say the same to the last bit.
        inner: Floats = sides[0] * sides[1]
        union = self._areas[span] + self._areas[place]
        union -= inner
        inner /= union
        return span, inner


def checked_boxes(boxes: npt.ArrayLike) -> Floats:
    """Boxes as N x 4 `float64`; nothing at all is 0 x 4.

    Raises:
        CalcoError: When they are not rows of four finite numbers.
    """
    array = np.asarray(boxes, np.float64)
    array = array.reshape(0, 4) if array.shape == (0,) else array
    if array.ndim != 2 or array.shape[1] != 4:
        raise CalcoError(f"boxes have the shape {array.shape}; they need N x 4: left, top, right, bottom")
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise CalcoError(f"box {place} is {array[place].tolist()}; a box needs four finite numbers")
    return array


def exact_iou(first: Floats, second: Floats) -> Floats:
    """`iou` of boxes that are checked already."""
    return _share(*_inner_and_union(first, second))


def _inner_and_union(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """The areas of intersection and union. N x 4, M x 4 => N x M each."""
    # Plane by plane: NumPy is several times faster on whole rows than on pairs of numbers.
    a, b = first.T[:, :, None], np.ascontiguousarray(second.T)[:, None, :]
    inner: Floats = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    np.maximum(inner, 0, out=inner)
    height = np.minimum(a[3], b[3])
    height -= np.maximum(a[1], b[1])
    np.maximum(height, 0, out=height)
    inner *= height
    union: Floats = _areas(first)[:, None] + _areas(second)[None, :]
    union -= inner
    return inner, union


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return areas


def _share(inner: Floats, union: Floats) -> Floats:
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
