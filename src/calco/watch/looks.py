"""How a thing looks: the colours in its box, by which it is known again after a gap."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from calco.imaging import Image
from calco.watch.kalman import Floats

_BINS: Final = (4, 4, 4)
_SIDE: Final = 24  # pixels to which a box is shrunk before it is counted


def look_of(image: Image, box: npt.NDArray[np.floating]) -> Floats:
    """The shares of 64 colours in the inner part of a box.

    Args:
        image: HWC `uint8`.
        box: Left, top, right, bottom in pixels; it may reach beyond the image.

    Returns:
        64 shares that add up to 1; zeros where nothing of the box lies in the image.
    """
    height, width = image.shape[:2]
    across, down = (box[2] - box[0]) * 0.2, (box[3] - box[1]) * 0.1  # less of the ground beside it
    left, right = (int(np.clip(end, 0, width)) for end in (box[0] + across, box[2] - across + 1))
    top, bottom = (int(np.clip(end, 0, height)) for end in (box[1] + down, box[3] - down + 1))
    if right <= left or bottom <= top:
        return np.zeros(64)
    inner = image[top:bottom, left:right]
    small = cv2.resize(inner, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if small.ndim == 2:
        small = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
    counts = cv2.calcHist([small[..., :3]], [0, 1, 2], None, list(_BINS), [0, 256] * 3).astype(np.float64).ravel()
    shares: Floats = counts / max(1.0, float(counts.sum()))
    return shares


def likeness(one: Floats, other: Floats) -> Floats:
    """How alike looks (... x 64) are, from 0 to 1: the Bhattacharyya coefficient of their shares."""
    return np.asarray(np.sqrt(one * other).sum(axis=-1), np.float64)
