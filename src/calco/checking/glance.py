"""An image at a glance: all of its bytes are read, and no more of its pixels are made than the check needs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.source import Item, Source
from calco.files import explain
from calco.imaging import Image
from calco.imaging.drafts import read_draft

SIDE: Final = 160
"""Pixels of the longer side, to which images are reduced."""
_CHANNELS: Final = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}
_BITS: Final = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floats"}


@dataclass(frozen=True, slots=True)
class Glance:
    """What one look at an image gives.

    Attributes:
        image: HWC `uint8`, grey or RGB, upright, reduced.
        size_wh: Of the whole image, upright.
        mode: Channels and bits as they stand in the file, such as "RGB, 8 bits".
        digest: Of the file's bytes, or of the pixels where there is no file.
    """

    image: Image
    size_wh: tuple[int, int]
    mode: str
    digest: bytes


def glance_at(path: str, *, halves: bool = False) -> Glance:
    """Looks at a file.

    Args:
        path: The file.
        halves: Whether two images lie in it side by side: the reduced width is then even, and twice as large.

    Raises:
        CalcoError: When the file cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise explain(error, path, "read") from error
    draft = read_draft(path, data, 2 * SIDE)
    mode = f"{draft.mode}, {_BITS[str(draft.image.dtype)]}"
    return Glance(reduced(draft.image, SIDE, halves=halves), draft.size_wh, mode, _digest(data))


def glance_of(image: Image) -> Glance:
    """Looks at an image that has been read already."""
    mode = f"{_CHANNELS.get(image.shape[2], f'{image.shape[2]} bands')}, {_BITS[str(image.dtype)]}"
    return Glance(reduced(image, SIDE), (image.shape[1], image.shape[0]), mode, _digest(image.tobytes()))


def sides_of(source: Source, item: Item, side: int) -> dict[str, Image]:
    """The images of an entry, to be shown: grey or RGB `uint8`, at most `side` pixels long.

    Raises:
        CalcoError: When they cannot be read, or do not fit together.
    """
    image = source.load(item)
    if image.partner is None:
        return {"image": reduced(image.image, side)}
    return {"input": reduced(image.image, side), "target": reduced(image.partner, side)}


def grey_of(image: Image) -> npt.NDArray[np.uint8]:
    """HW1 or HW3 `uint8` => HW."""
    return np.asarray(image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def reduced(image: Image, side: int, *, halves: bool = False) -> Image:
    """HWC of any dtype and channels => HW1 or HW3 `uint8`, at most `side` pixels long, or each of its two halves."""
    height, width = image.shape[:2]
    columns = 2 if halves else 1
    scale = min(1.0, side / max(height, width / columns))
    size_wh = columns * max(1, round(width / columns * scale)), max(1, round(height * scale))
    shown = image[..., :1] if image.shape[2] < 3 else image[..., :3]
    if size_wh != (width, height):
        shown = np.atleast_3d(cv2.resize(np.ascontiguousarray(shown), size_wh, interpolation=cv2.INTER_AREA))
    return imaging.as_dtype(shown, np.uint8)
