"""Optical flow between two frames: where each pixel came from, and which of them could be seen before."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.imaging import Image, as_dtype

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

PREVIEW_WH: Final = (64, 36)
LUMA: Final = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (BT.601), as OpenCV has them."""
_LEAST: Final = 5.0  # grey levels by which a cut changes a preview on the mean; noise and slow light stay below
_TIMES: Final = 3.0  # how much more than the frames around it
_AROUND: Final = 2  # frames on each side
# Of a running video only brightness is looked at, which changes about three times as much as the mean of YUV, and what
# moves ever faster is not yet followed by the frames that show it to be movement.
_LEAST_SEEN: Final = 15.0
_TIMES_BEFORE: Final = 2.25
# Sundaram, Brox and Keutzer (ECCV 2010), as Ruder et al. (2016) and Lai et al. (2018) take them.
_APART: Final = (0.01, 0.5)  # a pixel is hidden where forth and back differ by more than this share, and this many px^2
_BORDER: Final = (0.01, 0.002)  # and at the borders of what moves, where the flow cannot be relied upon
_LEAST_SIDE: Final = 16
_NOTHING: Final[Any] = None  # which OpenCV takes and its types do not know


def scene_starts(previews: Iterable[Image]) -> list[int]:
    """Return the numbers of the frames with which scenes begin; the first is one.

    A cut changes the image by several times what the frames around it change (the rule of PySceneDetect's adaptive
    detector, by which a moving camera is no cut), and the image stays changed, as it does not after a flash of light.
    Fades and dissolves are not seen. Previews are the frames in order, small, of one size, `uint8` in YUV.
    """
    recent: deque[Image] = deque(maxlen=_AROUND + 2)
    changes: list[float] = []
    stays: list[float] = []  # how far the frame that comes `_AROUND` later is from the one before
    for preview in previews:
        recent.append(preview.astype(np.int16))
        changes.append(_distance(recent[-1], recent[-2]) if len(recent) > 1 else 0.0)
        stays.append(_distance(recent[-1], recent[0]) if len(recent) == recent.maxlen else 0.0)
    if not changes:
        return []
    change = np.array(changes)
    stay = np.concatenate([stays[_AROUND:], np.zeros(_AROUND)])[: len(change)]
    padded = np.pad(change, _AROUND)
    around = (np.convolve(padded, np.ones(2 * _AROUND + 1), "valid") - change) / (2 * _AROUND)
    cuts = (change >= _LEAST) & (change >= _TIMES * around) & (stay >= change / 2)
    return [0, *(int(number) for number in np.flatnonzero(cuts) if number)]


class CutFinder:
    """Finds cuts while a video runs, by the measure of `scene_starts` without the frames to come."""

    def __init__(self) -> None:
        self._last: Image | None = None
        self._changes: deque[float] = deque(maxlen=2 * _AROUND)  # between the frames before

    def __call__(self, grey: Image) -> bool:
        """Take the next frame, HW `uint8`; return whether a scene begins with it. The first one of all is no cut."""
        import cv2

        preview = cv2.resize(grey, PREVIEW_WH, interpolation=cv2.INTER_AREA).astype(np.int16)
        last, self._last = self._last, preview
        if last is None:
            return False
        change = _distance(preview, last)
        around = sum(self._changes) / len(self._changes) if self._changes else 0.0
        self._changes.append(change)  # that of a cut too: what moves fast after it begins no scene in each frame
        return change >= _LEAST_SEEN and change >= _TIMES_BEFORE * around


def _distance(one: Image, other: Image) -> float:
    return float(np.abs(one - other).mean())


def luma(image: Image) -> npt.NDArray[np.uint8]:
    """Return the brightness of an image, by which flow is found.

    Args:
        image: HWC in any dtype, any channels.

    Returns:
        HW `uint8`.
    """
    import cv2

    shown = imaging.as_dtype(imaging.visible(image), np.uint8)
    if shown.shape[2] == 1:
        return np.ascontiguousarray(shown[..., 0])
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(shown), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion between two frames.

    Attributes:
        field: HW2 `float32`, pixels: added to a pixel's place (x, y), it gives its place in the frame before.
        visible: HW `bool`: the pixels that could be seen in the frame before too.
    """

    field: Floats
    visible: Bools

    def warp(self, before: npt.NDArray[Any], *, sharp: bool = False) -> npt.NDArray[Any]:
        """Move the frame before to where its parts are now.

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
        """Return the motion from one frame to the next.

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


def _places(field: Floats) -> Floats:
    """Return the absolute places (x, y) in the frame before, HW2."""
    return field + _grid(*field.shape[:2])


@lru_cache(maxsize=1)
def _grid(height: int, width: int) -> Floats:
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)


def _squares(field: Floats) -> Floats:
    """HW2 => HW, squared lengths."""
    return np.asarray(field[..., 0] * field[..., 0] + field[..., 1] * field[..., 1])


def warping_error(before: Image, now: Image, motion: Motion) -> float:
    """Return the mean squared difference of a frame and the one before, moved along the flow, over pixels seen in both.

    This is equation 3 of Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018), as a mean over channels.

    Args:
        before: HWC, `uint8`, `uint16` or `float32` in [0, 1].
        now: The same shape and dtype.
        motion: Of the video that guides: the truth or the input, never of the video that is measured, whose own flow
            would follow its flicker.

    Returns:
        Squared values of [0, 1]; NaN where nothing could be seen in both.
    """
    if not motion.visible.any():
        return math.nan
    # Warped as floats, since rounding would count as flicker.
    ours, theirs = as_dtype(now, np.float32), as_dtype(before, np.float32)
    # Planes of colour may be below 0, and are floats already.
    difference = ours - motion.warp(theirs)
    return float(np.square(difference[motion.visible], dtype=np.float64).mean())


def chroma_of(image: Image) -> Floats:
    """Return red and blue less brightness.

    Args:
        image: HW3 in any dtype.

    Returns:
        HW2 `float32` in [-1, 1].
    """
    import cv2

    red, green, blue = LUMA
    rows = np.array([[1 - red, -green, -blue], [-red, -green, 1 - blue]], np.float32)
    return np.asarray(cv2.transform(as_dtype(image, np.float32), rows), dtype=np.float32)
