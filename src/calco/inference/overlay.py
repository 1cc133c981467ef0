"""Painted masks, blended over their images."""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.palettes import Indices, Palette, paint
from calco.imaging import Image
from calco.records import check_numbers

BACKGROUND: Final = ("background", "unlabelled")
ACCENTS: Final = ((230, 57, 70), (29, 133, 231), (242, 169, 0), (46, 160, 67), (163, 76, 201), (0, 176, 176))
"""Colours in place of grey, which looks like haze on a photograph."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """How painted masks are laid over images."""

    alpha: float = 0.45  # opacity of the colours, 0 to 1
    contour: int = 2  # width of the line around each area, pixels where the short side has 480; 0 for none

    def __post_init__(self) -> None:
        check_numbers(self, alpha=(0, 1), contour=(0, 100))


def overlaid(image: Image, indices: Indices, palette: Palette, overlay: Overlay) -> Image:
    """Blend the colours of classes, HW, over an image, HWC of any depth without its transparency: HW3.

    The background is left as it is; where the palette names none, every class has a colour.
    """
    accents = iter(ACCENTS * len(palette))
    own: list[tuple[int, int, int] | None] = []
    for name, (red, green, blue) in palette:
        grey = max(red, green, blue) - min(red, green, blue) < 32
        own.append(None if name in BACKGROUND else next(accents) if grey else (red, green, blue))
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
    """Return the pixels within a distance of another class, HW."""
    # In eight directions, and not over the image's border, where nothing ends.
    kernel: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    low, high = (move(indices, kernel, borderType=cv2.BORDER_REPLICATE) for move in (cv2.erode, cv2.dilate))
    return np.asarray(low != high)
