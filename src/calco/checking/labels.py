"""What masks and boxes hold, and what cannot be right about them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calco.annotations.detections import Detections
from calco.data.mask_encoding import MaskEncoding, codes_of
from calco.imaging import Image

TURNED: Final = "the mask is turned"
STRETCHED: Final = "the stretched mask"
_LARGEST: Final = 384


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of one entry.

    Attributes:
        classes: Name and number of boxes, or name and share of the mask's pixels.
        faults: What must be mended, in words.
        remarks: What is odd, in words.
    """

    classes: dict[str, float]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def of_mask(mask: Image, encoding: MaskEncoding | None, names: Sequence[str], size_wh: tuple[int, int]) -> Labels:
    """The classes of a mask.

    Args:
        mask: As `read_mask` gives it.
        encoding: Of the masks of its set; None where it is not known.
        names: Of the classes.
        size_wh: Of the image that it belongs to.
    """
    remarks = []
    width, height = mask.shape[1], mask.shape[0]
    sizes = f"of {width}x{height} pixels"
    if (height, width) == size_wh != (width, height):
        remarks.append(f"{TURNED}: {sizes}, its image upright has {size_wh[0]}x{size_wh[1]}")
    elif abs(width / height - size_wh[0] / size_wh[1]) > 0.02 * size_wh[0] / size_wh[1]:
        remarks.append(f"{STRETCHED} {sizes} has other proportions than its image of {size_wh[0]}x{size_wh[1]}")
    if encoding is None:
        return Labels({}, remarks=tuple(remarks))
    step = max(1, max(height, width) // _LARGEST)
    codes, counts = np.unique(codes_of(np.ascontiguousarray(mask[::step, ::step])), return_counts=True)
    places, unknown = encoding.known(codes)
    known = ~unknown & (places >= 0)
    shares = np.bincount(places[known], counts[known], len(names)) / counts.sum()
    return Labels(
        {name: float(share) for name, share in zip(names, shares, strict=True) if share}, remarks=tuple(remarks)
    )


def of_boxes(detections: Detections, size_wh: tuple[int, int]) -> Labels:
    """What the boxes of an image hold, and which lie outside it."""
    width, height = size_wh
    faults, remarks = [], []
    for box, name in zip(detections.boxes, detections.classes, strict=True):
        left, top, right, bottom = (float(end) for end in box)
        said = f"{name} {left:g},{top:g},{right:g},{bottom:g}"
        if right <= left or bottom <= top:
            faults.append(f"the box {said} is empty")
        elif right <= 0 or bottom <= 0 or left >= width or top >= height:
            faults.append(f"the box {said} lies outside the image of {width}x{height}")
        elif min(left, top) < -1 or right > width + 1 or bottom > height + 1:
            remarks.append(f"the box {said} reaches beyond the image of {width}x{height}")
    return Labels(dict(Counter(detections.classes)), tuple(faults), tuple(remarks))
