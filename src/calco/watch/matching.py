"""Which track goes on with which box: the cheapest assignment, and boxes that reach further."""

import numpy as np

from calco.watch.kalman import Floats


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
