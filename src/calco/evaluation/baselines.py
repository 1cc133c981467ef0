"""What costs nothing to learn: the systems that a model must beat."""

from collections.abc import Callable, Mapping

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
"""Pixels around each erased pixel that OpenCV's methods look at."""

_INPAINTERS: Mapping[str, int] = {TELEA: cv2.INPAINT_TELEA, NAVIER_STOKES: cv2.INPAINT_NS}

Baseline = Callable[[Pair], Image]


def copied(pair: Pair) -> Image:
    """The input, with the target's channels and dtype."""
    return _like_target(_without_mask(pair), pair)


def can_be_copied(pair: Pair) -> bool:
    """Whether the input can take the target's channels."""
    return imaging.converts(_without_mask(pair).shape[2], pair.target.shape[2])


def mean_of(mean: npt.NDArray[np.float32]) -> Baseline:
    """The training targets' mean (HWC float32 in [0, 1], any size), resized to the image."""

    def baseline(pair: Pair) -> Image:
        height, width = pair.target.shape[:2]
        array = np.ascontiguousarray(mean, dtype=np.float32)
        return _like_target(imaging.resize(array, (width, height)), pair)

    return baseline


def inpainted(name: str) -> Baseline:
    """OpenCV's `name` ("Telea" or "Navier-Stokes") over the erased region of the input.

    What stood in the region is unknown to it, as it is to the model. A grey input gives a grey result.
    """

    def baseline(pair: Pair) -> Image:
        if pair.region is None or not pair.region.any():
            return copied(pair)
        image = imaging.as_dtype(_without_mask(pair), np.uint8)
        mask = pair.region.astype(np.uint8) * 255
        planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(image, 2, 0)]
        filled = [cv2.inpaint(plane, mask, INPAINT_RADIUS, _INPAINTERS[name]) for plane in planes]
        return _like_target(np.stack(filled, axis=2), pair)

    return baseline


def _without_mask(pair: Pair) -> Image:
    """The input without the channel that tells what is erased, where it has one."""
    image, region = pair.input, pair.region
    told = region is not None and image.shape[2] not in (1, 3) and np.array_equal(image[..., -1] == 0, region)
    return image[..., :-1] if told else image


def baselines_for(
    *, mean_target: npt.NDArray[np.float32] | None, erased: bool, copies: bool = True
) -> dict[str, Baseline]:
    """The baselines that make sense, by name, in the order in which they are shown.

    Args:
        mean_target: The mean over the training targets, or None where there are none.
        erased: Whether the pairs have an erased region.
        copies: Whether inputs can be copied, as `can_be_copied` tells.
    """
    found: dict[str, Baseline] = {INPUT_COPIED: copied} if copies else {}
    if mean_target is not None:
        found[MEAN_TARGET] = mean_of(mean_target)
    if erased:
        found |= {name: inpainted(name) for name in _INPAINTERS}
    return found


def _like_target(image: Image, pair: Pair) -> Image:
    return imaging.as_dtype(imaging.as_channels(image, pair.target.shape[2]), pair.target.dtype)
