"""Systems that need no learning, which a model must beat."""

from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.sample import Pair
from calco.imaging import Image

MODEL = "model"
INPUT_COPIED = "input copied"
MEAN_TARGET = "mean target"
TELEA = "Telea"
NAVIER_STOKES = "Navier-Stokes"

INPAINT_RADIUS = 3
"""Radius around each erased pixel for OpenCV's methods, pixels."""

_INPAINTERS: Mapping[str, int] = {TELEA: cv2.INPAINT_TELEA, NAVIER_STOKES: cv2.INPAINT_NS}

Baseline = Callable[[Pair], Image]


def copied(pair: Pair) -> Image:
    """Return the input, with the target's channels and dtype."""
    return _like_target(_without_mask(pair), pair)


def can_be_copied(pair: Pair) -> bool:
    """Tell whether the input can take the target's channels."""
    return imaging.converts(_without_mask(pair).shape[2], pair.target.shape[2])


def _mean(pair: Pair, mean: npt.NDArray[np.float32]) -> Image:
    """Return the mean training target (HWC float32 in [0, 1], any size), resized to the image."""
    height, width = pair.target.shape[:2]
    return _like_target(imaging.resize(np.ascontiguousarray(mean, np.float32), (width, height)), pair)


def _inpainted(pair: Pair, how: int) -> Image:
    """Return OpenCV's inpainting of the erased region, whose content is unknown to it; grey for a grey input."""
    if pair.region is None or not pair.region.any():
        return copied(pair)
    image = imaging.as_dtype(_without_mask(pair), np.uint8)
    mask = pair.region.astype(np.uint8) * 255
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(image, 2, 0)]
    return _like_target(np.stack([cv2.inpaint(plane, mask, INPAINT_RADIUS, how) for plane in planes], axis=2), pair)


def _without_mask(pair: Pair) -> Image:
    """Return the input without the channel that marks what is erased, if it has one."""
    image, region = pair.input, pair.region
    marked = region is not None and image.shape[2] not in (1, 3) and np.array_equal(image[..., -1] == 0, region)
    return image[..., :-1] if marked else image


def baselines_for(
    *, mean_target: npt.NDArray[np.float32] | None, erased: bool, copies: bool = True
) -> dict[str, Baseline]:
    """Return the baselines that suit the pairs, by name, in the order of the tables."""
    found: dict[str, Baseline] = {INPUT_COPIED: copied} if copies else {}
    if mean_target is not None:
        found[MEAN_TARGET] = partial(_mean, mean=mean_target)
    if erased:
        found |= {name: partial(_inpainted, how=how) for name, how in _INPAINTERS.items()}
    return found


def _like_target(image: Image, pair: Pair) -> Image:
    return imaging.as_dtype(imaging.as_channels(image, pair.target.shape[2]), pair.target.dtype)
