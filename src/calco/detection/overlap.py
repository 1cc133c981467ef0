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


# So many pairs are looked at in one sweep at most; more would take gigabytes, and other ways are then faster.
LIMIT = 4_000_000
# Pairs are looked at in portions that stay in the processor's cache.
PORTION = 1 << 16


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


def overlapping_pairs(
    boxes: Floats,
    edge: float,
    kinds: Indices | None = None,
    *,
    at_most: float = LIMIT,
) -> tuple[Indices, Indices] | None:
    """All pairs whose IoU is above an edge, or None where too many pairs would have to be looked at.

    The boxes are swept along the axis on which fewer of them meet. IoU > edge needs an overlap of more than `edge` of
    either box's width (since the intersection is at most that overlap times its height), so that from a box's left
    border on only the boxes that begin in its first 1 - edge can be its partners; sorted, these stand side by side.

    Args:
        boxes: N x 4, checked.
        edge: In [0, 1].
        kinds: N class numbers; only boxes of the same one make a pair. None: all are one class.
        at_most: Pairs that may be looked at, beside `LIMIT`.

    Returns:
        The places of the earlier and of the later box of each pair, in no particular order.
    """
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    solid = np.flatnonzero((width > 0) & (height > 0))  # the others overlap nothing
    sweeps = [_sweep(boxes[solid], axis, edge) for axis in (0, 1)]
    axis = int(np.argmin([counts.sum() for _, counts in sweeps]))
    order, counts = sweeps[axis]
    if counts.sum() > min(at_most, LIMIT):
        return None
    along = solid[order]
    columns = boxes[along].T.copy()
    areas = (width * height)[along]
    sorted_kinds = None if kinds is None else kinds[along]
    found: list[tuple[Indices, Indices]] = []
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + PORTION, side="right")))
        found.append(_portion(columns, areas, sorted_kinds, counts[start:stop], start, edge))
        start = stop
    first = along[np.concatenate([np.zeros(0, np.int64), *(pair[0] for pair in found)])]
    second = along[np.concatenate([np.zeros(0, np.int64), *(pair[1] for pair in found)])]
    return np.minimum(first, second), np.maximum(first, second)


def _sweep(boxes: Floats, axis: int, edge: float) -> tuple[Indices, Indices]:
    """The order by the near border along an axis, and with how many of its followers each may overlap enough."""
    order = np.argsort(boxes[:, axis], kind="stable")
    near, far = boxes[order, axis], boxes[order, axis + 2]
    # A little wider than exact, so that rounding loses no pair; each is then measured exactly.
    reach = far - edge * (1 - 1e-9) * (far - near) + 1e-15 * (np.abs(near) + np.abs(far))
    counts = np.searchsorted(near, reach, side="right") - np.arange(1, len(order) + 1)
    return order, np.maximum(counts, 0)


def _portion(
    columns: Floats,
    areas: Floats,
    kinds: Indices | None,
    counts: Indices,
    start: int,
    edge: float,
) -> tuple[Indices, Indices]:
    """The overlapping pairs of the boxes from `start` on with the given numbers of their followers."""
    first = np.repeat(np.arange(start, start + len(counts)), counts)
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    second = first + 1 + np.arange(len(first)) - begins
    if kinds is not None:
        same = kinds[first] == kinds[second]
        first, second = first[same], second[same]
    left, top, right, bottom = columns
    inner = np.minimum(bottom[first], bottom[second]) - np.maximum(top[first], top[second])
    meet = inner > 0
    first, second, inner = first[meet], second[meet], inner[meet]
    # The same operations in the same order as in `iou`, so that both say the same to the last bit.
    inner = np.maximum(np.minimum(right[first], right[second]) - np.maximum(left[first], left[second]), 0) * inner
    over = inner / (areas[first] + areas[second] - inner) > edge
    return first[over], second[over]


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
