"""Flicker: how much of a video's change from frame to frame is not explained by motion."""

import math

import numpy as np

from calco.data.scenes import CutFinder
from calco.imaging import Image, as_dtype
from calco.video.flow import LUMA, Floats, Follower, Motion, luma


def warping_error(before: Image, now: Image, motion: Motion) -> float:
    """The mean squared difference between a frame and the one before, moved along the flow, over pixels seen in both.

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
    """HW3 in any dtype => HW2: red and blue less brightness, in [-1, 1]."""
    import cv2

    red, green, blue = LUMA
    rows = np.array([[1 - red, -green, -blue], [-red, -green, 1 - blue]], np.float32)
    return np.asarray(cv2.transform(as_dtype(image, np.float32), rows), dtype=np.float32)


class Flicker:
    """The warping error of a sequence of frames, which must follow each other without a gap.

    Attributes:
        errors: Of each frame against the one before; NaN for the first, and where a scene begins.
    """

    def __init__(self) -> None:
        self.errors: list[float] = []
        self._follow = Follower()
        self._cut = CutFinder()
        self._before: tuple[Image, Image] | None = None

    def add(self, frame: Image, guide: Image) -> float:
        """Takes the next frame in.

        Args:
            frame: HWC, of the video that is measured.
            guide: HWC, the frame of the truth or of the input, by which motion and cuts are found.

        Returns:
            Its warping error; NaN for the first, after a cut, and where the size changes.
        """
        grey = luma(guide)
        cut = self._cut(grey)
        last, self._before = self._before, (frame, grey)
        if last is None or cut or last[0].shape != frame.shape or last[1].shape != grey.shape:
            self.errors.append(math.nan)
        else:
            self.errors.append(warping_error(last[0], frame, self._follow(last[1], grey)))
        return self.errors[-1]

    @property
    def mean(self) -> float:
        """Over all frames that have one; NaN when none has."""
        errors = [error for error in self.errors if not math.isnan(error)]
        return float(np.mean(errors)) if errors else math.nan
