"""Where the scenes of a video begin."""

from collections import deque
from collections.abc import Iterable
from typing import Final

import numpy as np

from calco.imaging import Image

PREVIEW_WH: Final = (64, 36)
_LEAST: Final = 5.0  # grey levels by which a cut changes a preview on the mean; noise and slow light stay below
_TIMES: Final = 3.0  # how much more than the frames around it
_AROUND: Final = 2  # frames on each side
# Of a running video only brightness is looked at, which changes about three times as much as the mean of YUV, and what
# moves ever faster is not yet followed by the frames that show it to be movement.
_LEAST_SEEN: Final = 15.0
_TIMES_BEFORE: Final = 2.25


def scene_starts(previews: Iterable[Image]) -> list[int]:
    """The numbers of the frames with which scenes begin; the first is one.

    A cut changes the image by several times what the frames around it change (the rule of PySceneDetect's adaptive
    detector, by which a moving camera is no cut), and the image stays changed, as it does not after a flash of light.
    Fades and dissolves are not seen.

    Args:
        previews: The frames in order, small, of one size, `uint8` in YUV, any layout.
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
    """Finds cuts while a video runs, by the measure of `scene_starts` without the frames that are still to come."""

    def __init__(self) -> None:
        self._last: Image | None = None
        self._changes: deque[float] = deque(maxlen=2 * _AROUND)  # between the frames before

    def __call__(self, grey: Image) -> bool:
        """Takes the next frame in; whether a scene begins with it. The first one of all is no cut.

        Args:
            grey: HW `uint8`, of any size.
        """
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
