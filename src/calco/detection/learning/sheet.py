"""A sheet of validation pictures: what is there beside what was found."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from calco.annotations.detections import Detections, nothing
from calco.detection.drawing import draw_detections
from calco.images import Image
from calco.pairs.boxes_play import letterbox
from calco.pairs.types import Picture

CELL: Final = 256
_GAP, _BAND = 4, 24


def sheet(
    pictures: Sequence[Picture], found: Sequence[Detections], classes: Sequence[str], threshold: float, caption: str
) -> Image:
    """Truth | found side by side, two such pairs a row, under a line of text.

    Args:
        pictures: With their things.
        found: What was found in each, of any scores.
        classes: The names of all classes.
        threshold: What scores less is not drawn.
        caption: The line of text.

    Returns:
        HWC uint8 RGB of even height and width, as H.264 wants them.
    """
    columns = min(2, len(pictures))
    rows = -(-len(pictures) // columns)
    wide = 2 * CELL + _GAP // 2
    out = np.full((_BAND + rows * (CELL + _GAP), columns * (wide + _GAP) + _GAP, 3), 255, np.uint8)
    for number, (picture, said) in enumerate(zip(pictures, found, strict=True)):
        believed = said if said.scores is None else said.select(said.scores >= threshold)
        top, left = _BAND + number // columns * (CELL + _GAP), _GAP + number % columns * (wide + _GAP)
        for place, things in enumerate((picture.detections or nothing(), believed)):
            drawn = _cell(picture.image, things, classes)
            start = left + place * (CELL + _GAP // 2)
            out[top : top + CELL, start : start + CELL] = drawn
    cv2.putText(out, caption, (_GAP, _BAND - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.pad(out, ((0, out.shape[0] % 2), (0, out.shape[1] % 2), (0, 0)), constant_values=255)


def _cell(image: Image, things: Detections, classes: Sequence[str]) -> Image:
    """A picture in its square, with its boxes drawn at that size."""
    square, scale, (left, top) = letterbox(image, CELL, 255)
    moved = things.scaled(scale, scale).cropped(-left, -top, CELL, CELL)
    return draw_detections(square, moved, classes)
