"""Fitting pictures to a size, then cropping and flipping pairs: the same for input, target, weight and region."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.images import FILTERS, Image, Resampling, resize
from calco.pairs.types import Pair, Picture


@dataclass(frozen=True, kw_only=True)
class JitterConfig:
    """The size that networks are trained at, and the play around it."""

    size: int = 256
    """The side of the crop that the networks see, pixels."""

    resize: int = 286
    """The side that pictures are first brought to, pixels; 0 crops at their native scale."""

    fit: Literal["stretch", "cover"] = "stretch"
    """stretch brings both sides to the size, cover the shorter one and keeps the aspect."""

    resampling: Resampling = "auto"
    """How pictures are resized; auto averages when they shrink and is bicubic when they grow."""

    flip: bool = True
    """Whether half of the pairs are mirrored."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise CalcoError(f"jitter size is {self.size}; it must be 1 or more pixels: try 256")
        if self.resize and self.resize < self.size:
            raise CalcoError(f"jitter resize is {self.resize}; use 0 (native scale) or at least the size {self.size}")
        if self.fit not in ("stretch", "cover"):
            raise CalcoError(f"jitter fit is {self.fit!r}; choose stretch or cover")
        if self.resampling not in ("auto", *FILTERS):
            raise CalcoError(f"jitter resampling is {self.resampling!r}; choose auto, {', '.join(FILTERS)}")


def fit_picture(picture: Picture, side: int, config: JitterConfig) -> Picture:
    """Brings a picture with its partner and mask to a side; nothing in it is left to chance.

    Args:
        picture: Of any size.
        side: Pixels of both sides (stretch) or of the shorter one (cover); 0 leaves the picture as it is.
        config: Tells `fit` and `resampling`; masks always take the nearest pixel.
    """
    if side == 0:
        return picture
    height, width = picture.image.shape[:2]
    size_wh = (side, side)
    if config.fit == "cover":
        short = min(height, width)
        size_wh = (max(side, round(width * side / short)), max(side, round(height * side / short)))
    return replace(
        picture,
        image=resize(picture.image, size_wh, config.resampling),
        partner=None if picture.partner is None else resize(picture.partner, size_wh, config.resampling),
        mask=None if picture.mask is None else resize(picture.mask, size_wh, "nearest"),
    )


def crop_flip(pair: Pair, config: JitterConfig, rng: np.random.Generator) -> Pair:
    """A random square of `config.size`, mirrored half of the time when `config.flip` says so."""
    height, width = pair.input.shape[:2]
    top = int(rng.integers(0, max(0, height - config.size) + 1))
    left = int(rng.integers(0, max(0, width - config.size) + 1))
    mirrored = bool(rng.random() < 0.5) and config.flip
    return _cut(pair, config.size, top, left, mirrored)


def crop_center(pair: Pair, size: int) -> Pair:
    """The square in the middle, padded by reflection where the pair is smaller."""
    height, width = pair.input.shape[:2]
    return _cut(pair, size, max(0, height - size) // 2, max(0, width - size) // 2, mirrored=False)


def _cut(pair: Pair, size: int, top: int, left: int, mirrored: bool) -> Pair:
    """One window of all four arrays."""

    def window(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        cut = _padded(array[top : top + size, left : left + size], size)
        return np.ascontiguousarray(cut[:, ::-1] if mirrored else cut)

    return replace(
        pair,
        input=window(pair.input),
        target=window(pair.target),
        weight=None if pair.weight is None else window(pair.weight),
        region=None if pair.region is None else window(pair.region),
    )


def _padded(array: Image, size: int) -> Image:
    """Reflects an array that is smaller than the size, evenly on both ends."""
    missing = [max(0, size - extent) for extent in array.shape[:2]]
    if not any(missing):
        return array
    around = [(gap // 2, gap - gap // 2) for gap in missing] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, around, mode="reflect")
