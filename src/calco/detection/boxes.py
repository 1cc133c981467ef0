"""Which of many overlapping boxes to keep: NMS, soft-NMS and matrix NMS; and the measures of overlap, IoU and GIoU.

Boxes are as in `calco.detection.overlap`: N x 4, left, top, right, bottom, in whatever unit.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.detection.overlap import Floats, Indices, checked_boxes, exact_iou, giou, iou, overlapping_pairs
from calco.errors import CalcoError

__all__ = ["giou", "iou", "matrix_nms", "nms", "soft_nms"]

Classes: TypeAlias = Sequence[Any] | npt.NDArray[Any]

# What a block of boxes is compared with at a time: small enough for the processor's cache and for any memory.
BLOCK = 128
# So many others at a time, for the same reason.
COLUMNS = 512
# A pair in a sweep costs about so many comparisons in a block.
DEARER = 5


def nms(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    iou: float = 0.5,
    classes: Classes | None = None,
    *,
    at_most: int | None = None,
) -> Indices:
    """Non-maximum suppression: the best box, then the best of those that do not overlap it too much, and so on.

    The result is that of the plain double loop, exactly. It takes another way: the best `BLOCK` boxes that are left are
    settled among themselves and then suppress all others at once. As soon as that would take longer than to find the
    pairs that overlap by a sweep (`overlapping_pairs`), they are, and the rest is settled in one go.

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
    left = np.argsort(-ranked, kind="stable")
    wanted = len(left) if at_most is None else _counted(at_most)
    kinds = _numbered(classes, len(left))
    kept: list[Indices] = []
    ahead = 0.0  # how many comparisons going on block by block would still take; none are known to be spared at first
    while len(left) and wanted:
        pairs = overlapping_pairs(checked[left], iou, None if kinds is None else kinds[left], at_most=ahead / DEARER)
        if pairs is not None:
            kept.append(left[_greedy(len(left), *pairs)][:wanted])
            break
        block, rest = left[:BLOCK], left[BLOCK:]
        among = np.triu(_over(checked, kinds, block, block, iou), 1)
        chosen = block[_greedy(len(block), *np.nonzero(among))][:wanted]
        kept.append(chosen)
        wanted -= len(chosen)
        left = _unsuppressed(checked, kinds, chosen, rest, iou)
        # The next blocks will thin out what is left as this one did.
        blocks = min(len(left) / BLOCK, len(rest) / max(1, len(rest) - len(left)))
        ahead = len(chosen) * len(left) * blocks
    return np.concatenate([np.zeros(0, np.int64), *kept])


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
    now, left = now.copy(), np.arange(len(now))
    left = left[now >= least]
    kept: list[int] = []
    while len(left):
        best = left[np.argmax(now[left])]
        kept.append(int(best))
        left = left[left != best]
        overlap = exact_iou(checked[[best]], checked[left])[0]
        if kinds is not None:
            overlap *= kinds[left] == kinds[best]
        if method == "linear":
            overlap[overlap <= iou] = 0
        now[left] *= _fading(overlap, method, sigma)
        left = left[now[left] >= least]
    places = np.array(kept, np.int64)
    return places, now[places]


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


def _over(boxes: Floats, kinds: Indices | None, rows: Indices, columns: Indices, edge: float) -> npt.NDArray[np.bool_]:
    """Which boxes of the rows would suppress which of the columns."""
    over: npt.NDArray[np.bool_] = exact_iou(boxes[rows], boxes[columns]) > edge
    return over if kinds is None else over & (kinds[rows, None] == kinds[columns])


def _unsuppressed(boxes: Floats, kinds: Indices | None, chosen: Indices, rest: Indices, edge: float) -> Indices:
    """Those of the rest that none of the chosen suppresses."""
    left = []
    for start in range(0, len(rest), COLUMNS):
        columns = rest[start : start + COLUMNS]
        left.append(columns[~_over(boxes, kinds, chosen, columns, edge).any(0)])
    return np.concatenate([np.zeros(0, np.int64), *left])


def _greedy(count: int, better: Indices, worse: Indices) -> Indices:
    """Who stays when each in turn, the best (0) first, drops whom it suppresses, unless it was itself dropped."""
    order = np.argsort(better, kind="stable")
    victims = worse[order]
    bounds = np.searchsorted(better[order], np.arange(count + 1)).tolist()
    alive = np.ones(count, np.bool_)
    for place in np.unique(better).tolist():
        if alive[place]:
            alive[victims[bounds[place] : bounds[place + 1]]] = False
    return np.flatnonzero(alive)


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


def _counted(at_most: int) -> int:
    if at_most < 0:
        raise CalcoError(f"at_most is {at_most}; a number of boxes is not negative")
    return at_most


def _numbered(classes: Classes | None, count: int) -> Indices | None:
    """The classes as numbers, or None where there is but one."""
    if classes is None:
        return None
    if len(classes) != count:
        raise CalcoError(f"{count} boxes have {len(classes)} classes; each box needs one")
    numbers: Indices = np.unique(np.asarray(classes), return_inverse=True)[1].astype(np.int64)
    return numbers if count and numbers.any() else None
