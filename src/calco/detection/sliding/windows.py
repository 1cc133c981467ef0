"""Where a window stops on its way over an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError

MOST: Final = 500_000
"""Windows in an image; more would take hours with any classifier."""


@dataclass(frozen=True, eq=False)
class Level:
    """One round of the window at one size.

    Attributes:
        scale: How many times as large as the first window it is.
        size_wh: Of the window, pixels.
        step: Pixels from one to the next.
        boxes: N x 4 `int64`, left, top, right, bottom, row by row.
    """

    scale: float
    size_wh: tuple[int, int]
    step: int
    boxes: npt.NDArray[np.int64]


def levels(
    size_wh: tuple[int, int], window_wh: tuple[int, int], step: int, scales: Sequence[float]
) -> tuple[list[Level], list[float]]:
    """The rounds of a window over an image, smaller windows first.

    A last window ends at the right border and at the lower one where the steps do not, so that each pixel is seen.

    Args:
        size_wh: Of the image, pixels.
        window_wh: Of the window at scale 1, pixels.
        step: Pixels from one window to the next at scale 1.
        scales: Of the rounds.

    Returns:
        The rounds, and the scales at which the window is larger than the image.

    Raises:
        CalcoError: When no window fits, or there would be more than `MOST`.
    """
    rounds, too_large, total = [], [], 0
    for scale in sorted(set(scales)):
        width, height = (max(1, round(side * scale)) for side in window_wh)
        if width > size_wh[0] or height > size_wh[1]:
            too_large.append(scale)
            continue
        stride = max(1, round(step * scale))
        lefts, tops = _stops(size_wh[0], width, stride), _stops(size_wh[1], height, stride)
        total += len(lefts) * len(tops)
        if total > MOST:
            raise CalcoError(f"there would be more than {MOST:,} windows; give a larger --step than {step}")
        corners = np.stack(np.meshgrid(lefts, tops), -1).reshape(-1, 2)
        rounds.append(Level(scale, (width, height), stride, np.hstack([corners, corners + np.array([width, height])])))
    if not rounds:
        raise CalcoError(
            f"the window of {window_wh[0]}x{window_wh[1]} pixels does not fit into the image of "
            f"{size_wh[0]}x{size_wh[1]}; give a smaller --window"
        )
    return rounds, too_large


def _stops(whole: int, part: int, step: int) -> npt.NDArray[np.int64]:
    """Where windows begin along one side."""
    stops = np.arange(0, whole - part + 1, step, dtype=np.int64)
    return stops if stops[-1] == whole - part else np.append(stops, whole - part)
