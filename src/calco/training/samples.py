"""Images of how a run comes along: a grid each validation."""

from collections.abc import Sequence

import cv2
import numpy as np

from calco import imaging
from calco.imaging import Image

GAP = 4


def grid(rows: Sequence[tuple[Image, Image, Image]], caption: str, columns: int = 2) -> Image:
    """Input | output | target side by side, several of these a row, under a line of text.

    Args:
        rows: Images of any size and depth, HWC; each row is brought to the first one's size.
        caption: The line of text.
        columns: How many triples stand side by side.

    Returns:
        HWC uint8 RGB of even height and width, as H.264 wants them.
    """
    height, width = rows[0][2].shape[:2]
    cells = [[imaging.resize(_shown(p), (width, height)) for p in triple] for triple in rows]
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    band = 24
    sheet = np.full((band + lines * (height + GAP), columns * (3 * width + 3 * GAP) + GAP, 3), 255, np.uint8)
    for number, triple in enumerate(cells):
        top = band + number // columns * (height + GAP)
        for place, cell in enumerate(triple):
            left = GAP + number % columns * (3 * width + 3 * GAP) + place * (width + GAP // 2)
            sheet[top : top + height, left : left + width] = cell
    cv2.putText(sheet, caption, (GAP, band - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.pad(sheet, ((0, sheet.shape[0] % 2), (0, sheet.shape[1] % 2), (0, 0)), constant_values=255)


def _shown(image: Image) -> Image:
    """What a person is shown, HW3 uint8."""
    return imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)
