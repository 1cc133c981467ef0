"""Optical flow between two frames: where each pixel came from, and which of them could be seen before."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.imaging import Image

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

LUMA: Final = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (BT.601), as OpenCV has them."""

# Sundaram, Brox and Keutzer (ECCV 2010), as Ruder et al. (2016) and Lai et al. (2018) take them.
_APART: Final = (0.01, 0.5)  # a pixel is hidden where forth and back differ by more than this share, and this many px^2
_BORDER: Final = (0.01, 0.002)  # and at the borders of what moves, where the flow cannot be relied upon


def luma(image: Image) -> npt.NDArray[np.uint8]:
    """HWC of any dtype and channels => HW `uint8`, the brightness that flow is found by."""
    import cv2

    shown = imaging.as_dtype(imaging.visible(image), np.uint8)
    if shown.shape[2] == 1:
        return np.ascontiguousarray(shown[..., 0])
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(shown), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Motion:
    """How one frame came out of the one before.

    Attributes:
        field: HW2 `float32`: what has to be added to a pixel's place (x, y) to find it in the frame before, in pixels.
        visible: HW `bool`: the pixels that could be seen in the frame before too.
    """

    field: Floats
    visible: Bools

    def warp(self, before: npt.NDArray[Any], *, sharp: bool = False) -> npt.NDArray[Any]:
        """The frame before, moved to where its parts are now.

        Args:
            before: HW or HWC, `uint8`, `uint16` or `float32`, of the field's height and width.
            sharp: Bicubic, which keeps fine detail through many frames, and not bilinear.

        Returns:
            The same shape and dtype; beyond the border its nearest pixels.
        """
        import cv2

        how = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
        moved = cv2.remap(before, _places(self.field), _NOTHING, how, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved.reshape(before.shape))

    @property
    def speed(self) -> Floats:
        """HW: pixels that each moved since the frame before."""
        return np.asarray(np.hypot(self.field[..., 0], self.field[..., 1]), dtype=np.float32)


class Follower:
    """Finds motion by dense inverse search (Kroeger et al., ECCV 2016, in OpenCV).

    Args:
        careful: The finest of OpenCV's settings and Ruder's borders of motion, for measurements; otherwise the quick
            ones.
    """

    def __init__(self, *, careful: bool = True) -> None:
        import cv2

        self.careful = careful
        preset = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM if careful else cv2.DISOPTICAL_FLOW_PRESET_FAST
        self._search = cv2.DISOpticalFlow.create(preset)

    def __call__(self, before: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8]) -> Motion:
        """The motion from one frame to the next.

        Args:
            before: HW, as `luma` gives it.
            now: The same, of the same size.
        """
        import cv2

        if min(now.shape) < _LEAST_SIDE:
            # Too small to search in: everything stays where it is.
            return Motion(np.zeros((*now.shape, 2), np.float32), np.ones(now.shape, np.bool_))
        back: Floats = np.asarray(self._search.calc(now, before, _NOTHING), dtype=np.float32)
        forth: Floats = np.asarray(self._search.calc(before, now, _NOTHING), dtype=np.float32)
        places = _places(back)
        there: Floats = np.asarray(
            cv2.remap(forth, places, _NOTHING, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
        )
        lengths = _squares(back) + _squares(there)
        hidden = _squares(back + there) > _APART[0] * lengths + _APART[1]
        height, width = now.shape
        hidden |= (places[..., 0] < 0) | (places[..., 0] > width - 1)
        hidden |= (places[..., 1] < 0) | (places[..., 1] > height - 1)
        if self.careful:
            slopes = sum(
                _squares(np.asarray(cv2.Sobel(back, cv2.CV_32F, *way, ksize=1, scale=0.5), dtype=np.float32))
                for way in ((1, 0), (0, 1))
            )
            hidden |= slopes > _BORDER[0] * _squares(back) + _BORDER[1]
        return Motion(back, ~hidden)


_LEAST_SIDE: Final = 16
_NOTHING: Final[Any] = None  # which OpenCV takes and its types do not know
_GRIDS: dict[tuple[int, int], Floats] = {}


def _places(field: Floats) -> Floats:
    """HW2: the absolute places (x, y) in the frame before."""
    height, width = field.shape[:2]
    grid = _GRIDS.get((height, width))
    if grid is None:
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)
        _GRIDS.clear()  # one video at a time; threads that clear it for each other only compute it again
        _GRIDS[height, width] = grid
    return field + grid


def _squares(field: Floats) -> Floats:
    """HW2 => HW, squared lengths."""
    return np.asarray(field[..., 0] * field[..., 0] + field[..., 1] * field[..., 1])
