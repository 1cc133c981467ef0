"""Rows of boxes: suppression and overlap beside loops over plain numbers."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, alternate, per_second, row
from calco.data.sample import generator
from calco.detection.boxes import iou, nms

Floats = npt.NDArray[np.float64]

_EDGE = 0.5
# As a detector of dense heads gives them: each thing found again and again, a little displaced.
_BOXES_A_THING, _SPREAD = 25, 0.12


def boxes(setting: Setting) -> Iterator[Row]:
    """Boxes and scores as arrays => which are kept; pairs of boxes => their overlaps."""
    count, repeats = setting.sizes.boxes, setting.config.repeats
    found, scores = crowd(setting.config.seed, count)
    name = f"NMS of {count:,} boxes"
    loops: dict[str, Callable[[], object]] = {
        "plain Python loop": lambda: plain_nms(found.tolist(), scores.tolist()),
        "each kept box against all that are left": lambda: row_nms(found, scores),
    }
    for against, loop in loops.items():
        seconds = alternate(lambda: nms(found, scores, _EDGE), loop, repeats)
        rates = [per_second(count, each) for each in seconds]
        yield row("boxes", name, "boxes/s", rates[0], rates[1], against)
        name = "… beside NumPy, box by box"
    few = found[: max(2, count // 20)]
    seconds = alternate(lambda: iou(few, few), lambda: plain_ious(few.tolist()), repeats)
    rates = [per_second(len(few) ** 2, each) for each in seconds]
    yield row(
        "boxes", f"IoU of {len(few):,} with {len(few):,} boxes", "pairs/s", rates[0], rates[1], "plain Python loop"
    )


def crowd(seed: int, count: int) -> tuple[Floats, Floats]:
    """Boxes about objects in an image of 1000 pixels a side, and scores: N x 4, N."""
    rng = generator(seed, 0, "boxes", "bench")
    objects = max(1, count // _BOXES_A_THING)
    centres, sides = rng.uniform(0, 1000, (objects, 2)), rng.uniform(20, 120, (objects, 2))
    which = rng.integers(0, objects, count)
    centre = centres[which] + rng.normal(0, _SPREAD, (count, 2)) * sides[which]
    half = sides[which] * np.exp(rng.normal(0, _SPREAD, (count, 2))) / 2
    return np.hstack([centre - half, centre + half]), rng.uniform(0, 1, count)


def plain_nms(rows: Sequence[Sequence[float]], scores: Sequence[float]) -> list[int]:
    """Non-maximum suppression without NumPy: each box, the best first, beside those that are kept."""
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda place: -scores[place]):
        left, top, right, bottom = rows[i]
        area = (right - left) * (bottom - top)
        for j in kept:
            other = rows[j]
            width = min(right, other[2]) - max(left, other[0])
            height = min(bottom, other[3]) - max(top, other[1])
            if width > 0 and height > 0:
                inner = width * height
                if inner / (area + (other[2] - other[0]) * (other[3] - other[1]) - inner) > _EDGE:
                    break
        else:
            kept.append(i)
    return kept


def row_nms(found: Floats, scores: Floats) -> list[int]:
    """The loop that is often published: each kept box beside all that are left, in NumPy."""
    left, top, right, bottom = found.T
    areas = (right - left) * (bottom - top)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        inner = np.maximum(width, 0) * np.maximum(height, 0)
        order = rest[inner / (areas[best] + areas[rest] - inner) <= _EDGE]
    return kept


def plain_ious(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """The IoU of each box with each, without NumPy."""
    return [[_plain_iou(a, b) for b in rows] for a in rows]


def _plain_iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)
