"""Mask files as they are stored: no colour management, with their transparency, and the numbers behind a palette."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow

from calco.errors import CalcoError
from calco.files import explain
from calco.imaging import tiff
from calco.imaging.arrays import Image, upright
from calco.imaging.formats import keeps_values, opened
from calco.imaging.reading import in_srgb, orientation_of, refused, unpacked


@dataclass(frozen=True, slots=True)
class StoredLabels:
    """Pixels of a mask file."""

    image: Image  # HWC; a palette file gives its colours, or its numbers where two numbers share a colour
    numbers: dict[tuple[int, ...], int]  # of a palette file, the number behind each colour that occurs
    lossy: bool  # whether the file's compression changes values


def read_labels(path: str | Path) -> StoredLabels:
    """Read a mask file, upright; errors as of `read`."""
    try:
        with Path(path).open("rb") as file:
            return _read(file, path)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        raise explain(error if isinstance(error, OSError) else OSError(str(error)), path, "read") from error


def decode_labels(data: bytes, name: str) -> StoredLabels:
    """Read a mask from the bytes of a file, which messages call `name`."""
    return _read(io.BytesIO(data), name)


def _read(file: BinaryIO, name: str | Path) -> StoredLabels:
    numbers: dict[tuple[int, ...], int] = {}
    lossy = False
    with refused(file, name):
        found = tiff.planes(file, name)
        if found is None:
            with opened(file, name) as pil:
                lossy = not keeps_values(file)
                pil.load()
                orientation = orientation_of(pil)
                if pil.mode == "P":
                    image, numbers = _of_palette(pil)
                    return StoredLabels(upright(image, orientation), numbers, lossy)
                found = replace(unpacked(file, name, pil), orientation=orientation)
        if found.image.shape[2] - found.alpha not in (1, 3):
            raise CalcoError(f"{name} has {found.image.shape[2]} channels; a mask has one, or red, green and blue")
        image = in_srgb(name, replace(found, profile=None), None)
    return StoredLabels(upright(image, found.orientation), numbers, lossy)


def _of_palette(image: Pillow.Image) -> tuple[Image, dict[tuple[int, ...], int]]:
    """Return the colours of a palette file, with any alpha, and the number of each; or the numbers alone."""
    indices = np.array(image)
    used = np.unique(indices)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    strip = Pillow.fromarray(used[None], "P")
    strip.putpalette(image.getpalette("RGB") or [])
    strip.info.update(image.info)
    colours = np.array(strip.convert(mode))[0]
    if len(np.unique(colours, axis=0)) < len(used):
        return indices[..., None], {}
    table = np.zeros((256, colours.shape[1]), np.uint8)
    table[used] = colours
    numbers = {tuple(map(int, colour)): int(number) for colour, number in zip(colours, used, strict=True)}
    return table[indices], numbers
