"""A sheet of validation images: what is there beside what was found."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from calco.annotations.detections import Detections, nothing
from calco.data.boxes_play import letterbox
from calco.data.types import Sample
from calco.detection.drawing import draw_detections
from calco.imaging import Image

CELL: Final = 256
_GAP, _BAND = 4, 24


def sheet(
    images: Sequence[Sample], found: Sequence[Detections], classes: Sequence[str], threshold: float, caption: str
) -> Image:
    """Truth | found side by side, two such pairs a row, under a line of text.

    Args:
        images: With their objects.
        found: What was found in each, of any scores.
        classes: The names of all classes.
        threshold: What scores less is not drawn.
        caption: The line of text.

    Returns:
        HWC uint8 RGB of even height and width, as H.264 wants them.
    """
    columns = min(2, len(images))
    rows = -(-len(images) // columns)
    wide = 2 * CELL + _GAP // 2
    out = np.full((_BAND + rows * (CELL + _GAP), columns * (wide + _GAP) + _GAP, 3), 255, np.uint8)
    for number, (image, said) in enumerate(zip(images, found, strict=True)):
        believed = said if said.scores is None else said.select(said.scores >= threshold)
        top, left = _BAND + number // columns * (CELL + _GAP), _GAP + number % columns * (wide + _GAP)
        for place, objects in enumerate((image.detections or nothing(), believed)):
            drawn = _cell(image.image, objects, classes)
            start = left + place * (CELL + _GAP // 2)
            out[top : top + CELL, start : start + CELL] = drawn
    cv2.putText(out, caption, (_GAP, _BAND - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.pad(out, ((0, out.shape[0] % 2), (0, out.shape[1] % 2), (0, 0)), constant_values=255)


def _cell(image: Image, objects: Detections, classes: Sequence[str]) -> Image:
    """An image in its square, with its boxes drawn at that size."""
    square, scale, (left, top) = letterbox(image, CELL, 255)
    moved = objects.scaled(scale, scale).cropped(-left, -top, CELL, CELL)
    return draw_detections(square, moved, classes)
