"""Which of many overlapping boxes to keep: NMS, soft-NMS and matrix NMS; and the measures of overlap, IoU and GIoU.

Boxes are as in `calco.detection.overlap`: N x 4, left, top, right, bottom, in whatever unit.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.detection.overlap import Floats, Indices, Sweep, checked_boxes, exact_iou, giou, iou
from calco.errors import CalcoError

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
