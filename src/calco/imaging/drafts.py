"""Images read small: for those who look at many and need no pixel of them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from calco.imaging.arrays import Image, upright
from calco.imaging.formats import UNREADABLE, opened
from calco.imaging.reading import read
from calco.imaging.tiff import ORIENTATION

_MODES: Final = {
    "1": "grey", "L": "grey", "F": "grey", "P": "palette", "LA": "grey and alpha", "PA": "palette and alpha",
    "RGBA": "RGB and alpha", "RGBX": "RGB",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """An image, perhaps smaller than it is.

    Attributes:
        image: HWC as `read` gives it, or a large JPEG decoded at a half, a quarter or an eighth of its size.
        size_wh: Of the whole image, upright.
        mode: The channels that its file has, such as "RGB" or "palette".
    """

    image: Image
    size_wh: tuple[int, int]
    mode: str


def read_draft(path: str | Path, data: bytes, side: int) -> Draft:
    """Reads a pil of which `side` pixels are enough; all of its bytes are looked at.

    Args:
        path: The file.
        data: What stands in it.
        side: Pixels of width and height that are left at least, where there are so many.

    Raises:
        CalcoError: As `read`.
    """
    mode = ""
    try:
        with opened(io.BytesIO(data), path) as pil:
            mode = _MODES.get(pil.mode, "grey" if pil.mode.startswith("I") else pil.mode)
            if pil.format == "JPEG" and pil.mode in ("L", "RGB"):
                width, height = pil.size
                orientation = int(pil.getexif().get(ORIENTATION, 1) or 1)
                pil.draft(pil.mode, (side, side))
                image = upright(np.atleast_3d(np.array(pil)), orientation)
                return Draft(image, (height, width) if orientation >= 5 else (width, height), mode)
    except UNREADABLE:
        pass  # `read` says what is wrong with it, or knows another way
    whole = read(path)
    return Draft(whole, (whole.shape[1], whole.shape[0]), mode or ("grey" if whole.shape[2] == 1 else "RGB"))
