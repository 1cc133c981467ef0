"""Which track goes on with which box: the overlaps, and the cheapest assignment."""

import numpy as np

from calco.detection.watch.kalman import Floats


def iou(one: Floats, other: Floats) -> Floats:
    """Intersection over union of boxes N x 4 and M x 4 => N x M."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - common
    result: Floats = common / np.maximum(union, 1e-9)
    return result


def larger(boxes: Floats, share: float) -> Floats:
    """Boxes N x 4 with a share of their width and height more on each side."""
    more = (boxes[:, 2:] - boxes[:, :2]) * share
    return np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1)


def matched(cost: Floats, limit: float) -> list[tuple[int, int]]:
    """The pairs of rows and columns that cost least together; none that alone costs more than `limit`.

    The Hungarian algorithm (Kuhn, 1955) as scipy has it.
    """
    from scipy.optimize import linear_sum_assignment

    if not cost.size:
        return []
    allowed = cost <= limit
    dear = 2 * (abs(limit) + 1) * (min(cost.shape) + 1)  # one more pair is always worth more than a better one
    rows, columns = linear_sum_assignment(np.where(allowed, cost, dear))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]
