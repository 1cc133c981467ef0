"""Painted masks, laid over the images that they belong to."""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.palettes import Indices, Palette, paint
from calco.errors import CalcoError
from calco.imaging import Image
from calco.records import check_numbers

BACKGROUND: Final = ("background", "unlabelled")
ACCENTS: Final = ((230, 57, 70), (29, 133, 231), (242, 169, 0), (46, 160, 67), (163, 76, 201), (0, 176, 176))
"""What takes the place of grey, which on a photograph looks like haze."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """How painted masks are laid over images."""

    alpha: float = 0.45
    """Of the colour's opacity, 0 to 1."""
    contour: int = 2
    """Width of the line around each area, in pixels of an image whose short side has 480; 0 draws none."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 <= self.alpha <= 1:
            raise CalcoError(f"the overlay's alpha is {self.alpha}; it must lie in 0 (nothing) to 1 (the mask alone)")
        if not 0 <= self.contour <= 100:
            raise CalcoError(f"the overlay's contour is {self.contour} pixels; it must lie in 0 (none) to 100")


def colours_over(palette: Palette) -> list[tuple[int, int, int] | None]:
    """The colour that each class has over an image: its own, or one of `ACCENTS` where that is grey.

    None for the background, which is left as it is; where the palette names none, every class has a colour.
    """
    accents = iter(ACCENTS * len(palette))
    found: list[tuple[int, int, int] | None] = []
    for name, (red, green, blue) in palette:
        grey = max(red, green, blue) - min(red, green, blue) < 32
        found.append(None if name in BACKGROUND else next(accents) if grey else (red, green, blue))
    return found


def overlaid(image: Image, indices: Indices, palette: Palette, overlay: Overlay) -> Image:
    """An image with what was found in it in colour.

    Args:
        image: HWC, grey or RGB, of any depth; transparency is left out.
        indices: The class of each pixel, HW.
        palette: The classes and their colours.
        overlay: How.

    Returns:
        HW3 of the image's depth.
    """
    own = colours_over(palette)
    shown = imaging.as_dtype(imaging.as_channels(imaging.visible(image), 3), np.float32)
    colours = paint(indices, tuple((name, own[i] or (0, 0, 0)) for i, (name, _) in enumerate(palette)))
    tinted = np.isin(indices, [i for i, colour in enumerate(own) if colour is not None])
    opacity = np.where(tinted, np.float32(overlay.alpha), np.float32(0))
    if overlay.contour:
        width = max(1, round(overlay.contour * min(indices.shape) / 480))
        opacity[_edges(indices, width) & tinted] = 1
    mixed = shown + (imaging.as_dtype(colours, np.float32) - shown) * opacity[..., None]
    return imaging.as_dtype(np.clip(mixed, 0, 1), image.dtype)


def _edges(indices: Indices, width: int) -> npt.NDArray[np.bool_]:
    """Pixels within so many of one of another class, HW."""
    # In eight directions, and not over the image's border, where nothing ends.
    kernel: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    low, high = (move(indices, kernel, borderType=cv2.BORDER_REPLICATE) for move in (cv2.erode, cv2.dilate))
    return np.asarray(low != high)
