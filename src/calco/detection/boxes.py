"""Overlap of boxes (IoU, GIoU), and suppression of overlapping ones (NMS, soft-NMS, matrix NMS).

Boxes are N x 4: left, top, right, bottom, in any unit.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]
Classes: TypeAlias = Sequence[Any] | npt.NDArray[Any]
Method: TypeAlias = Literal["linear", "gaussian"]

BLOCK = 256
"""Columns of a matrix that matrix NMS processes together: small enough for any memory."""


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
    return exact_iou(_as_boxes(a), _as_boxes(b))


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
    first, second = _as_boxes(a), _as_boxes(b)
    inner, union = _inner_and_union(first, second)
    ends = [np.maximum(boxes[:, 2:], boxes[:, :2]) for boxes in (first, second)]
    low = np.minimum(first[:, None, :2], second[None, :, :2])
    high = np.maximum(ends[0][:, None], ends[1][None, :])
    hull: Floats = np.prod(high - low, axis=2)
    waste = np.divide(hull - union, hull, out=np.zeros_like(hull), where=hull > 0)
    generalised: Floats = _share(inner, union) - np.maximum(waste, 0)
    return generalised


def _as_boxes(boxes: npt.ArrayLike) -> Floats:
    """Check boxes and return them as N x 4 `float64`; an empty list is 0 x 4."""
    array = np.asarray(boxes, np.float64)
    array = array.reshape(0, 4) if array.shape == (0,) else array
    if array.ndim != 2 or array.shape[1] != 4:
        raise CalcoError(f"boxes have the shape {array.shape}; they need N x 4: left, top, right, bottom")
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise CalcoError(f"box {place} is {array[place].tolist()}; a box needs four finite numbers")
    return array


def exact_iou(first: Floats, second: Floats) -> Floats:
    """Return the `iou` of boxes that are checked already."""
    return _share(*_inner_and_union(first, second))


def _inner_and_union(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return the areas of intersection and union: N x 4, M x 4 => N x M each."""
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


def nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    iou: float = 0.5,
    classes: Classes | None = None,
    *,
    at_most: int | None = None,
) -> Indices:
    """Keep the best box, then the best of those that do not overlap it too much, and so on (non-maximum suppression).

    The result is exactly that of the plain double loop, but a kept box is compared only with those that may overlap it
    enough, and with all of them at once.

    Args:
        boxes: N x 4. An empty or inverted box overlaps nothing and is kept.
        scores: N, finite. Of equal ones the earlier comes first.
        iou: Overlap with a kept box above which a box is dropped, in [0, 1].
        classes: N names or numbers; boxes of different ones do not suppress each other. None: all are one class.
        at_most: Largest number of boxes to keep.

    Returns:
        Indices of the kept boxes, by falling score.

    Raises:
        CalcoError: When the shapes do not fit, a number is not finite, or a setting is out of range.
    """
    checked, ranked, kinds = _checked(boxes, scores, classes, iou)
    if at_most is not None and at_most < 0:
        raise CalcoError(f"at_most is {at_most}; a number of boxes is not negative")
    ranks = np.argsort(-ranked, kind="stable")
    parts = [ranks] if kinds is None else [ranks[kinds[ranks] == kind] for kind in range(kinds.max() + 1)]
    kept = np.concatenate([part[_greedy(checked[part], iou, at_most)] for part in parts])
    return kept[np.lexsort((kept, -ranked[kept]))][:at_most]


def soft_nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    iou: float = 0.5,
    classes: Classes | None = None,
    *,
    method: Method = "gaussian",
    sigma: float = 0.5,
    least: float = 0.001,
) -> tuple[Indices, Floats]:
    """Lower the scores of boxes that overlap better ones, one better box at a time (Bodla et al., arXiv 1704.04503).

    Args:
        boxes: N x 4.
        scores: N, not negative.
        iou: For `linear`: only overlaps above this count. `gaussian` has no such limit.
        classes: As for `nms`.
        method: `linear` multiplies by 1 - IoU, `gaussian` by exp(-IoU² / sigma) (equations 2 and 3 there).
        sigma: Above 0; the smaller, the harder.
        least: Score below which a box is dropped.

    Returns:
        Indices of the boxes that stay and their new scores, both by falling new score.

    Raises:
        CalcoError: As for `nms`; and when scores are negative or the settings unknown.
    """
    checked, now, kinds = _checked(boxes, scores, classes, iou, method, sigma)
    waiting = np.where(now >= least, now, -1.0)  # boxes that are chosen or dropped are at -1
    kept: list[int] = []
    while len(waiting) and (highest := waiting.max()) >= 0:
        best = int(waiting.argmax())  # of equal scores the first box
        kept.append(best)
        now[best], waiting[best] = highest, -1
        overlap = exact_iou(checked[best : best + 1], checked)[0]
        if kinds is not None:
            overlap *= kinds == kinds[best]
        if method == "linear":
            overlap[overlap <= iou] = 0
        lowered = waiting * _fading(overlap, method, sigma)
        waiting = np.where(lowered >= least, lowered, -1)
    return np.array(kept, np.int64), now[kept]


def matrix_nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    classes: Classes | None = None,
    *,
    method: Method = "gaussian",
    sigma: float = 0.5,
    least: float = 0.0,
) -> tuple[Indices, Floats]:
    """Lower all scores at once, without a loop over boxes (SOLOv2, arXiv 2003.10152, equations 4 and 5).

    The score of a box falls with its worst overlap with a better one, compensated by how much that better one is itself
    overlapped: score_j * min over i of f(IoU_ij) / f(max over k of IoU_ki), where k is better than i and i than j.

    Args:
        boxes: N x 4.
        scores: N, not negative.
        classes: As for `nms`.
        method: f is 1 - IoU for `linear`, exp(-IoU² / sigma) for `gaussian`.
        sigma: Above 0; the smaller, the harder.
        least: Score below which a box is dropped.

    Returns:
        Indices of the boxes that stay and their new scores, both by falling new score.

    Raises:
        CalcoError: As for `soft_nms`.
    """
    checked, old, kinds = _checked(boxes, scores, classes, 0.0, method, sigma)
    order = np.argsort(-old, kind="stable")
    factors = np.ones(len(order))
    own = np.ones(len(order))  # f of the worst overlap of each box with a better one
    for start in range(0, len(order), BLOCK):
        end = min(len(order), start + BLOCK)
        columns = order[start:end]
        overlap = exact_iou(checked[order[:end]], checked[columns])
        if kinds is not None:
            overlap *= kinds[order[:end], None] == kinds[columns]
        overlap = np.triu(overlap, 1 - start)  # only with better boxes: row i, column j + start, i < j + start
        own[start:end] = _fading(overlap.max(0), method, sigma)
        # A box that lies exactly on a better one (own 0) adds nothing to the effect of that one.
        bound = np.full_like(overlap, np.inf)
        np.divide(_fading(overlap, method, sigma), own[:end, None], out=bound, where=own[:end, None] > 0)
        factors[start:end] = np.minimum(1, bound.min(0))
    now = np.empty_like(old)
    now[order] = old[order] * factors
    final = order[np.argsort(-now[order], kind="stable")]
    final = final[now[final] >= least]
    return final, now[final]


def _along(boxes: Floats, axis: int, edge: float) -> tuple[Indices, Indices, Indices]:
    """Return the order of boxes along an axis, and the first and last partner of each: those it may overlap enough.

    IoU > edge needs an overlap of more than `edge` of either box's width, since the intersection is at most that
    overlap times its height. So the partners of a box begin before its first 1 - edge is over and, as none is wider
    than its width / edge, not long before it does; sorted by where they begin, they stand side by side.
    """
    order = np.argsort(boxes[:, axis], kind="stable")
    near, far = boxes[order, axis], boxes[order, axis + 2]
    width = np.maximum(far - near, 0)
    # A little wider than exact, so that rounding loses no partner; each is then measured exactly.
    share, slack = edge * (1 - 1e-9), 1e-15 * (np.abs(near) + np.abs(far))
    widest = np.minimum(width / max(share, 1e-9), width.max(initial=0))
    first = np.searchsorted(near, near - (1 - share) * widest - slack, side="left")
    last = np.searchsorted(near, far - share * width + slack, side="right")
    return order, first, np.maximum(first, last)


def _greedy(boxes: Floats, edge: float, at_most: int | None) -> Indices:
    """Return the indices that stay when each box in turn, the best (0) first, drops those it overlaps too much."""
    # The axis on which fewer boxes meet.
    order, first, last = min((_along(boxes, axis, edge) for axis in (0, 1)), key=lambda f: int((f[2] - f[1]).sum()))
    spans = [slice(*ends) for ends in zip(first.tolist(), last.tolist(), strict=True)]
    corners, areas = np.ascontiguousarray(boxes[order].T), _areas(boxes)[order]
    areas = np.where(areas > 0, areas, 1)  # an empty box overlaps nothing, so any area will do that can be divided by
    flags = bytearray(b"\1") * len(boxes)  # the same memory twice: Python reads one of them faster than NumPy does
    alive = np.frombuffer(flags, np.bool_)
    kept: list[int] = []
    for rank, place in enumerate(np.argsort(order).tolist()):
        if flags[place]:
            if len(kept) == at_most:
                break
            kept.append(rank)
            span = spans[place]
            some, own = corners[:, span], corners[:, place, None]
            sides = np.minimum(some[2:], own[2:])
            sides -= np.maximum(some[:2], own[:2])
            np.maximum(sides, 0, out=sides)
            # The same operations in the same order as in `iou`, so that both agree to the last bit.
            overlap: Floats = sides[0] * sides[1]
            union = areas[span] + areas[place]
            union -= overlap
            overlap /= union
            alive[span] &= overlap <= edge
    return np.array(kept, np.int64)


def _fading(overlap: Floats, method: str, sigma: float) -> Floats:
    faded: Floats = 1 - overlap if method == "linear" else np.exp(-(overlap**2) / sigma)
    return faded


def _checked(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    classes: Classes | None,
    iou: float,
    method: str = "",
    sigma: float = 1.0,
) -> tuple[Floats, Floats, Indices | None]:
    """Return boxes and scores as `float64`, and the classes as numbers, or None if there is one class.

    With a `method`, the scores are to be lowered and must not be negative.
    """
    checked, ranked = _as_boxes(boxes), np.array(scores, np.float64)
    if ranked.shape != (len(checked),):
        raise CalcoError(f"{len(checked)} boxes have scores of the shape {ranked.shape}; each box needs one score")
    if not np.isfinite(ranked).all():
        raise CalcoError(f"a score is {ranked[~np.isfinite(ranked)][0]}; scores must be finite")
    if not 0 <= iou <= 1:
        raise CalcoError(f"iou is {iou}; an overlap is between 0 and 1")
    if method:
        if len(ranked) and ranked.min() < 0:
            raise CalcoError(f"a score is {ranked.min():g}; scores that are to be lowered must not be negative")
        if method not in ("linear", "gaussian"):
            raise CalcoError(f"method is {method!r}; it is linear or gaussian")
        if not (np.isfinite(sigma) and sigma > 0):
            raise CalcoError(f"sigma is {sigma}; it must be above 0")
    if classes is None:
        return checked, ranked, None
    if len(classes) != len(checked):
        raise CalcoError(f"{len(checked)} boxes have {len(classes)} classes; each box needs one")
    kinds: Indices = np.unique(np.asarray(classes), return_inverse=True)[1].astype(np.int64)
    return checked, ranked, kinds if kinds.any() else None
