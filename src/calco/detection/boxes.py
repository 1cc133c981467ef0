"""Which of many overlapping boxes to keep: NMS, soft-NMS and matrix NMS; and the measures of overlap, IoU and GIoU.

Boxes are as in `calco.detection.boxes`: N x 4, left, top, right, bottom, in whatever unit.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]


def iou(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Intersection over union of each box of `a` with each of `b`. N x 4, M x 4 => N x M, in [0, 1].

    Args:
        a: N x 4 boxes, `xyxy` in pixels.
        b: M x 4 boxes, `xyxy` in pixels.

    Returns:
        N x M `float64` in [0, 1].

    Raises:
        CalcoError: When boxes are not rows of four finite numbers.
    """
    return exact_iou(checked_boxes(a), checked_boxes(b))


def giou(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Generalised IoU: IoU less the share of the smallest box around both that neither fills.

    N x 4, M x 4 => N x M, in (-1, 1]; apart boxes are the lower the further apart they are (Rezatofighi and others,
    arXiv 1902.09630, algorithm 1). Two empty boxes in one place have 0.

    Args:
        a: N x 4 boxes, `xyxy` in pixels.
        b: M x 4 boxes, `xyxy` in pixels.

    Returns:
        N x M `float64` in [-1, 1].

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


__all__ = ["giou", "iou", "matrix_nms", "nms", "soft_nms"]

Classes: TypeAlias = Sequence[Any] | npt.NDArray[Any]

# The columns of a matrix that matrix NMS looks at together: small enough for any memory.
BLOCK = 256


def nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    iou: float = 0.5,
    classes: Classes | None = None,
    *,
    at_most: int | None = None,
) -> Indices:
    """Non-maximum suppression: the best box, then the best of those that do not overlap it too much, and so on.

    The result is that of the plain double loop, exactly; but a kept box is compared only with those that may overlap
    it enough (`Sweep`), and with all of them at once.

    Args:
        boxes: N x 4. An empty or inverted box overlaps nothing and is kept.
        scores: N, finite. Of equal ones the earlier comes first.
        iou: A box goes when it overlaps a kept one by more than this, in [0, 1].
        classes: N names or numbers; boxes of different ones do not suppress each other. None: all are one class.
        at_most: Stops when so many are kept.

    Returns:
        The places of the kept boxes, by falling score.

    Raises:
        CalcoError: When the shapes do not fit, a number is not finite, or a setting is out of range.
    """
    checked, ranked = _checked(boxes, scores, iou)
    if at_most is not None and at_most < 0:
        raise CalcoError(f"at_most is {at_most}; a number of boxes is not negative")
    ranks = np.argsort(-ranked, kind="stable")
    kinds = _numbered(classes, len(ranks))
    parts = [ranks] if kinds is None else [ranks[kinds[ranks] == kind] for kind in range(kinds.max() + 1)]
    kept = np.concatenate([part[_greedy(checked[part], iou, at_most)] for part in parts])
    return kept[np.lexsort((kept, -ranked[kept]))][:at_most]


def soft_nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    iou: float = 0.5,
    classes: Classes | None = None,
    *,
    method: Literal["linear", "gaussian"] = "gaussian",
    sigma: float = 0.5,
    least: float = 0.001,
) -> tuple[Indices, Floats]:
    """Lowers the scores of boxes that overlap better ones and drops none at once (Bodla et al., arXiv 1704.04503).

    Args:
        boxes: N x 4.
        scores: N, not negative.
        iou: For `linear`: only overlaps of more than this count. `gaussian` has no such edge.
        classes: As for `nms`.
        method: `linear` multiplies by 1 - IoU, `gaussian` by exp(-IoU² / sigma) (equations 2 and 3 there).
        sigma: Above 0; the smaller, the harder.
        least: A box whose score falls below this goes.

    Returns:
        The places of the boxes that stay and their new scores, both by falling new score.

    Raises:
        CalcoError: As for `nms`; and when scores are negative or the settings unknown.
    """
    checked, now = _checked(boxes, scores, iou, not_negative=True)
    _check_method(method, sigma)
    kinds = _numbered(classes, len(now))
    sweep = Sweep(checked, iou if method == "linear" else 0.0)
    now, kinds = now[sweep.order], None if kinds is None else kinds[sweep.order]
    # As sorted by the sweep; who is chosen or gone waits at -1. Of equal scores the earliest box comes first.
    waiting = np.where(now >= least, now, -1.0)
    kept: list[int] = []
    while len(waiting) and (highest := waiting.max()) >= 0:
        ties = np.flatnonzero(waiting == highest)
        best = int(ties[np.argmin(sweep.order[ties])])
        kept.append(best)
        now[best], waiting[best] = highest, -1
        span, overlap = sweep.overlaps(best)
        if kinds is not None:
            overlap *= kinds[span] == kinds[best]
        if method == "linear":
            overlap[overlap <= iou] = 0
        lowered = waiting[span] * _fading(overlap, method, sigma)
        waiting[span] = np.where(lowered >= least, lowered, -1)
    return sweep.order[kept].astype(np.int64), now[kept]


def matrix_nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    classes: Classes | None = None,
    *,
    method: Literal["linear", "gaussian"] = "gaussian",
    sigma: float = 0.5,
    least: float = 0.0,
) -> tuple[Indices, Floats]:
    """Lowers all scores at once, without a loop over boxes (SOLOv2, arXiv 2003.10152, equations 4 and 5).

    A box falls by its worst overlap with a better one, made up for by how much that better one is itself overlapped:
    score_j * min over i of f(IoU_ij) / f(max over k of IoU_ki), where k is better than i and i better than j.

    Args:
        boxes: N x 4.
        scores: N, not negative.
        classes: As for `nms`.
        method: f is 1 - IoU for `linear`, exp(-IoU² / sigma) for `gaussian`.
        sigma: Above 0; the smaller, the harder.
        least: A box whose score falls below this goes.

    Returns:
        The places of the boxes that stay and their new scores, both by falling new score.

    Raises:
        CalcoError: As for `soft_nms`.
    """
    checked, old = _checked(boxes, scores, 0.0, not_negative=True)
    _check_method(method, sigma)
    kinds = _numbered(classes, len(old))
    order = np.argsort(-old, kind="stable")
    factors = np.ones(len(order))
    own = np.ones(len(order))  # f of the worst overlap of each box with a better one
    for start, end in _blocks(len(order)):
        columns = order[start:end]
        overlap = exact_iou(checked[order[:end]], checked[columns])
        if kinds is not None:
            overlap *= kinds[order[:end], None] == kinds[columns]
        overlap = np.triu(overlap, 1 - start)  # only what better boxes do: row i, column j + start, i < j + start
        own[start:end] = _fading(overlap.max(0), method, sigma)
        # A box that lies exactly on a better one (own 0) adds nothing to what that one does already.
        bound = np.full_like(overlap, np.inf)
        np.divide(_fading(overlap, method, sigma), own[:end, None], out=bound, where=own[:end, None] > 0)
        factors[start:end] = np.minimum(1, bound.min(0))
    now = np.empty_like(old)
    now[order] = old[order] * factors
    final = order[np.argsort(-now[order], kind="stable")]
    final = final[now[final] >= least]
    return final, now[final]


def _greedy(boxes: Floats, edge: float, at_most: int | None) -> Indices:
    """The places of those that stay when each in turn, the best (0) first, drops whom it overlaps too much."""
    sweep = Sweep(boxes, edge)
    flags = bytearray(b"\1") * len(boxes)  # the same memory twice: Python asks for one of them faster than NumPy does
    alive = np.frombuffer(flags, np.bool_)
    kept: list[int] = []
    for rank, place in enumerate(np.argsort(sweep.order).tolist()):
        if flags[place]:
            if len(kept) == at_most:
                break
            kept.append(rank)
            span, overlap = sweep.overlaps(place)
            alive[span] &= overlap <= edge
    return np.array(kept, np.int64)


def _fading(overlap: Floats, method: str, sigma: float) -> Floats:
    faded: Floats = 1 - overlap if method == "linear" else np.exp(-(overlap**2) / sigma)
    return faded


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, BLOCK):
        yield start, min(count, start + BLOCK)


def _checked(
    boxes: npt.ArrayLike, scores: npt.ArrayLike, edge: float, *, not_negative: bool = False
) -> tuple[Floats, Floats]:
    """Boxes and scores as `float64`, or a complaint."""
    checked, ranked = checked_boxes(boxes), np.asarray(scores, np.float64)
    if ranked.shape != (len(checked),):
        raise CalcoError(f"{len(checked)} boxes have scores of the shape {ranked.shape}; each box needs one score")
    if not np.isfinite(ranked).all():
        raise CalcoError(f"a score is {ranked[~np.isfinite(ranked)][0]}; scores must be finite")
    if not_negative and len(ranked) and ranked.min() < 0:
        raise CalcoError(f"a score is {ranked.min():g}; scores that are to be lowered must not be negative")
    if not 0 <= edge <= 1:
        raise CalcoError(f"iou is {edge}; an overlap is between 0 and 1")
    return checked, ranked


def _check_method(method: str, sigma: float) -> None:
    if method not in {"linear", "gaussian"}:
        raise CalcoError(f"method is {method!r}; it is linear or gaussian")
    if not (np.isfinite(sigma) and sigma > 0):
        raise CalcoError(f"sigma is {sigma}; it must be above 0")


def _numbered(classes: Classes | None, count: int) -> Indices | None:
    """The classes as numbers, or None where there is but one."""
    if classes is None:
        return None
    if len(classes) != count:
        raise CalcoError(f"{count} boxes have {len(classes)} classes; each box needs one")
    numbers: Indices = np.unique(np.asarray(classes), return_inverse=True)[1].astype(np.int64)
    return numbers if count and numbers.any() else None
