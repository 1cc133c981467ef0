"""Bringing an image to a size from its rows, to the very levels that `resize` gives of the whole."""

from typing import Any

import numpy as np
from PIL import Image as Pillow

from calco.imaging.arrays import FILTERS, PEAKS, Image, Resampling, resize


class Shrinking:
    """An image on its way to another size.

    Pillow resamples along the rows first, then along the columns of what that gave. So rows may be narrowed as they
    come, and the rest be done at the end.

    Args:
        shape: Height, width and channels.
        dtype: Of the image.
        size_wh: Width and height that are wanted.
        how: As of `resize`.
    """

    def __init__(
        self, shape: tuple[int, int, int], dtype: np.dtype[Any], size_wh: tuple[int, int], how: Resampling
    ) -> None:
        width, height = size_wh
        # "auto" first averages along the sides that shrink, then is bicubic along those that grow.
        self._first = (min(width, shape[1]), min(height, shape[0])) if how == "auto" else size_wh
        self._filter = FILTERS["area" if how == "auto" else how]
        self._size, self._dtype = size_wh, dtype
        self._held = np.uint8 if dtype == np.uint8 else np.float32
        self._narrow = np.empty((shape[0], self._first[0], shape[2]), self._held)
        self._filled = 0

    def add(self, strip: Image) -> None:
        """Takes the next rows, HWC."""
        rows = strip.shape[0]
        wanted = (self._first[0], rows)
        self._narrow[self._filled : self._filled + rows] = _resampled(strip.astype(self._held), wanted, self._filter)
        self._filled += rows

    def done(self) -> Image:
        """The image at its new size."""
        small = _resampled(self._narrow, self._first, self._filter)
        if self._held is np.float32:
            small = np.clip(small, 0, PEAKS[str(self._dtype)])
            small = (small if self._dtype == np.float32 else np.rint(small)).astype(self._dtype)
        return resize(small, self._size, "bicubic")


def _resampled(image: Image, size_wh: tuple[int, int], how: Pillow.Resampling) -> Image:
    """HWC, uint8 or float32, channel by channel and without a bound to its range."""
    if image.shape[1::-1] == size_wh:
        return image
    planes = [Pillow.fromarray(np.ascontiguousarray(image[..., c])) for c in range(image.shape[2])]
    return np.stack([np.array(plane.resize(size_wh, how)) for plane in planes], axis=2)
