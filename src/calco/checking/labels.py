"""What masks and boxes hold, and what cannot be right about them."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.images import Image
from calco.pairs.palettes import UNLABELLED, Palette

NEAR: Final = 60.0
"""Distance in RGB within which a colour counts as one of the palette: JPEG moves colours."""
FOREIGN: Final = 0.01
"""Share of a mask that may lie outside the palette."""
_LARGEST: Final = 384


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of one entry.

    Attributes:
        classes: Name and number of boxes, or name and share of the mask's pixels.
        faults: What must be mended, in words.
        remarks: What is odd, in words.
        foreign: Share of the mask's pixels in colours outside the palette, borders between colours apart.
        colours: The mask's commonest values: grey levels or red, green and blue.
    """

    classes: dict[str, float]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    foreign: float = 0.0
    colours: tuple[tuple[int, ...], ...] = ()


def of_mask(mask: Image, palette: Palette, size_wh: tuple[int, int]) -> Labels:
    """What a mask (HW1 or HW3 `uint8`) holds of a palette.

    Args:
        mask: As its file has it.
        palette: The classes that are meant.
        size_wh: Of the picture that it belongs to.
    """
    remarks = []
    width, height = mask.shape[1], mask.shape[0]
    if abs(width / height - size_wh[0] / size_wh[1]) > 0.02 * size_wh[0] / size_wh[1]:
        remarks.append(
            f"the mask has {width}x{height} pixels and other proportions than its picture of {{}}x{{}}".format(*size_wh)
        )
    step = max(1, max(height, width) // _LARGEST)
    values, where, counts = _values(np.ascontiguousarray(mask[::step, ::step]))
    classes, off = _classes(values, palette)
    solid = cv2.erode(off[where].astype(np.uint8), np.ones((3, 3), np.uint8))
    shares = np.bincount(classes[~off], counts[~off], len(palette)) / where.size
    return Labels(
        {name: float(share) for (name, _), share in zip(palette, shares, strict=True) if share},
        remarks=tuple(remarks),
        foreign=float(solid.mean()),
        colours=tuple(tuple(map(int, values[place])) for place in np.argsort(-counts, kind="stable")[:4]),
    )


def _values(mask: Image) -> tuple[Image, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The different values of a mask (K x C), which of them each pixel has (HW), and how often each occurs."""
    codes = mask.astype(np.int64) @ (256 ** np.arange(mask.shape[2]))
    _, first, where, counts = np.unique(codes.ravel(), return_index=True, return_inverse=True, return_counts=True)
    return mask.reshape(-1, mask.shape[2])[first], where.reshape(codes.shape), counts


def _classes(values: Image, palette: Palette) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """The class of each value (K x C), and which are none."""
    numbers = values[:, 0].astype(np.intp)
    if values.shape[1] == 1 and not (len(palette) == 2 and numbers.max() > 1):
        off = (numbers >= len(palette)) & (numbers != UNLABELLED)
        return np.where(numbers < len(palette), numbers, 0), off
    colours = np.array([colour for _, colour in palette], np.float32)
    distances = np.linalg.norm(values[:, None].astype(np.float32) - colours, axis=2)  # one channel stands for three
    return distances.argmin(axis=1), distances.min(axis=1) > NEAR


def of_boxes(detections: Detections, size_wh: tuple[int, int]) -> Labels:
    """What the boxes of a picture hold, and which lie outside it."""
    width, height = size_wh
    faults, remarks = [], []
    for box, name in zip(detections.boxes, detections.classes, strict=True):
        left, top, right, bottom = (float(end) for end in box)
        said = f"{name} {left:g},{top:g},{right:g},{bottom:g}"
        if right <= left or bottom <= top:
            faults.append(f"the box {said} is empty")
        elif right <= 0 or bottom <= 0 or left >= width or top >= height:
            faults.append(f"the box {said} lies outside the picture of {width}x{height}")
        elif min(left, top) < -1 or right > width + 1 or bottom > height + 1:
            remarks.append(f"the box {said} reaches beyond the picture of {width}x{height}")
    return Labels(dict(Counter(detections.classes)), tuple(faults), tuple(remarks))
