"""Fitting images to a size, cropping and mirroring: the same for everything that belongs to one image or pair."""

from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.data.config import JitterConfig, Resampling
from calco.data.types import Pair, Sample
from calco.imaging import Image, resize


def whole_side(config: JitterConfig) -> int:
    """The side that whole images are brought to, in validation, evaluation and translation; 0 for their own scale.

    Stretched images fill the crop, as in pix2pix; covering ones are seen at the scale that the crops were cut from.
    """
    return config.size if config.resize and config.fit == "stretch" else config.resize


def fitted_size(size_wh: tuple[int, int], side: int, config: JitterConfig) -> tuple[int, int]:
    """Width and height of an image of `size_wh` that is brought to `side`."""
    if side == 0:
        return size_wh
    if config.fit == "stretch":
        return side, side
    width, height = size_wh
    short = min(width, height)
    return max(side, round(width * side / short)), max(side, round(height * side / short))


def fit_image(sample: Sample, side: int, config: JitterConfig) -> Sample:
    """Brings an image with its partner and mask to a side; nothing in it is left to chance.

    Args:
        sample: Of any size.
        side: Pixels of both sides (stretch) or of the shorter one (cover); 0 leaves the image as it is.
        config: Tells `fit` and `resampling`; masks always take the nearest pixel.
    """
    if side == 0:
        return sample
    height, width = sample.image.shape[:2]
    size_wh = fitted_size((width, height), side, config)
    objects = sample.detections
    return replace(
        sample,
        image=_resized(sample.image, sample.region, size_wh, config.resampling),
        partner=None if sample.partner is None else resize(sample.partner, size_wh, config.resampling),
        mask=None if sample.mask is None else resize(sample.mask, size_wh, "nearest"),
        weight=None if sample.weight is None else _nearest(sample.weight, size_wh),
        region=None if sample.region is None else _nearest(sample.region, size_wh),
        detections=None if objects is None else objects.scaled(size_wh[0] / width, size_wh[1] / height),
    )


def _resized(image: Image, region: npt.NDArray[np.bool_] | None, size_wh: tuple[int, int], how: Resampling) -> Image:
    """An image at another size; what marks its holes does not bleed into their surroundings, nor these into it."""
    fitted = resize(image, size_wh, how)
    if region is None or fitted is image:
        return fitted
    # Bicubic weights are negative around an edge: away from 0 they show too.
    marked = np.where(region, np.float32(0.75), np.float32(0.25))[..., None]
    touched = np.abs(resize(marked, size_wh, how)[..., 0] - 0.25) > 1e-6  # the least share may turn a rounding
    fitted[touched] = _nearest(image, size_wh)[touched]
    return fitted


def _nearest(plane: npt.NDArray[Any], size_wh: tuple[int, int]) -> npt.NDArray[Any]:
    """HW or HWC of any type at another size, each pixel that of the place it comes from."""
    height, width = plane.shape[:2]
    rows = ((np.arange(size_wh[1]) + 0.5) * height / size_wh[1]).astype(np.int64)
    columns = ((np.arange(size_wh[0]) + 0.5) * width / size_wh[0]).astype(np.int64)
    chosen: npt.NDArray[Any] = plane[rows][:, columns]
    return chosen


Cut = TypeVar("Cut", Pair, Sample)
_SEEN: Final = 0.1  # the share of its box from which on a thing counts as seen in a crop
ARRAYS: Final = ("input", "target", "weight", "region", "image", "partner", "mask")


def crop_flip(whole: Cut, config: JitterConfig, rng: np.random.Generator) -> Cut:
    """A random square of `config.size`, mirrored half of the time when `config.flip` says so.

    Args:
        whole: A pair, or an image of which a recipe will make one; all its arrays are cut and mirrored alike.
        config: Tells `size` and `flip`.
        rng: Draws the place, then the side.
    """
    height, width = _extent(whole)
    top = int(rng.integers(0, max(0, height - config.size) + 1))
    left = int(rng.integers(0, max(0, width - config.size) + 1))
    mirrored = bool(rng.random() < 0.5) and config.flip
    return _cut(whole, config.size, top, left, mirrored)


def crop_center(whole: Cut, size: int) -> Cut:
    """The square in the middle, padded by reflection where there is less."""
    height, width = _extent(whole)
    return _cut(whole, size, max(0, height - size) // 2, max(0, width - size) // 2, mirrored=False)


def _extent(whole: Pair | Sample) -> tuple[int, int]:
    """Height and width."""
    image = whole.input if isinstance(whole, Pair) else whole.image
    return image.shape[0], image.shape[1]


def _cut(whole: Cut, size: int, top: int, left: int, mirrored: bool) -> Cut:
    """One window of all the arrays."""

    def window(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        cut = _padded(array[top : top + size, left : left + size], size)
        return _mirrored(cut) if mirrored else np.ascontiguousarray(cut)

    arrays = {name: array for name in ARRAYS if (array := getattr(whole, name, None)) is not None}
    changes: dict[str, Any] = {name: window(array) for name, array in arrays.items()}
    objects: Detections | None = getattr(whole, "detections", None)
    if objects is not None:
        down, across = (max(0, size - extent) // 2 for extent in _extent(whole))  # what `_padded` puts before
        seen = objects.cropped(left - across, top - down, size, size, least=_SEEN)
        changes["detections"] = seen.mirrored(size) if mirrored else seen
    return replace(whole, **changes)


def _mirrored(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """HW or HWC of any type, left and right exchanged."""
    if array.dtype not in (np.uint8, np.uint16, np.float32) or array[0, 0].size > 4:
        return np.ascontiguousarray(array[:, ::-1])
    import cv2  # NumPy turns pixel by pixel, which takes twenty times as long

    return cv2.flip(array, 1).reshape(array.shape)


def _padded(array: Image, size: int) -> Image:
    """Reflects an array that is smaller than the size, evenly on both ends."""
    missing = [max(0, size - extent) for extent in array.shape[:2]]
    if not any(missing):
        return array
    around = [(gap // 2, gap - gap // 2) for gap in missing] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, around, mode="reflect")
