"""Large images, whose rows are read when they are asked for.

The strips and tiles of a TIFF are unpacked one row of them after another. Every other image is read whole, in its own
depth: a hundred megapixels of eight bits take 300 megabytes.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np

from calco.files import explain
from calco.imaging import tiff
from calco.imaging.arrays import PEAKS, Colour, Image, background_colour
from calco.imaging.formats import LARGE, MAX_STRIPPED, UNREADABLE, check_size, opened
from calco.imaging.reading import in_srgb, read, refused

if TYPE_CHECKING:
    import tifffile

_AT_ONCE: Final = 1 << 25  # pixels that may be unpacked together; a file of larger strips is read whole


class Whole:
    """An image in memory, HWC, whose rows are asked for."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.shape: tuple[int, int, int] = (image.shape[0], image.shape[1], image.shape[2])
        self.dtype = image.dtype

    def rows(self, top: int, bottom: int) -> Image:
        """Return the rows from `top` to before `bottom`."""
        return self.image[top:bottom]


class TiffStrips:
    """The first page of an open TIFF, not turned; transparency lies over `paper`, or stays where that is None."""

    def __init__(self, file: BinaryIO, name: str | Path, page: "tifffile.TiffPage", paper: Colour | None) -> None:
        self._file, self._name, self._page, self._paper = file, name, page, paper
        self._unit = _unit(page)
        self._unpacked: tuple[int, Image] = -1, np.empty(0)  # the last row of strips or tiles
        first = self.rows(0, 1)
        self.shape: tuple[int, int, int] = (int(page.imagelength), int(page.imagewidth), first.shape[2])
        self.dtype = first.dtype

    def rows(self, top: int, bottom: int) -> Image:
        """Return the rows from `top` to before `bottom`, HWC, as `read` would give them."""
        with refused(self._file, self._name):
            parts = []
            for number in range(top // self._unit, -(-bottom // self._unit)):
                start = number * self._unit
                parts.append(self._segments(number)[max(0, top - start) : bottom - start])
            stored = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return in_srgb(self._name, tiff.planes_of(self._name, self._page, stored), self._paper)

    def _segments(self, number: int) -> Image:
        """Return a row of strips or tiles, as it is stored: HWC."""
        if self._unpacked[0] == number:
            return self._unpacked[1]
        page = self._page
        width, height, samples = int(page.imagewidth), int(page.imagelength), int(page.samplesperpixel)
        rows = min(self._unit, height - number * self._unit)
        if page.is_contiguous:
            assert page.dtype is not None
            row = width * samples * page.dtype.itemsize
            data = self._bytes(page.dataoffsets[0] + number * self._unit * row, rows * row)
            found = np.frombuffer(data, page.dtype.newbyteorder(page.parent.byteorder)).reshape(-1, width, samples)
        else:
            across = -(-width // page.tilewidth) if page.is_tiled else 1
            found = np.zeros((rows, width, samples), page.dtype)
            for index in range(number * across, (number + 1) * across):
                left = (index % across) * (page.tilewidth if page.is_tiled else 0)
                if page.databytecounts[index]:  # 0 where it was never written
                    data = self._bytes(page.dataoffsets[index], page.databytecounts[index])
                    decoded: Any = page.decode(data, index)
                    pixels = decoded[0][0]
                    found[:, left : left + pixels.shape[1]] = pixels[:rows, : width - left]
        self._unpacked = number, found
        return found

    def _bytes(self, start: int, length: int) -> bytes:
        try:
            self._file.seek(start)
            data = self._file.read(length)
        except OSError as error:
            raise explain(error, self._name, "read") from error
        if len(data) < length:
            raise ValueError("a part of it is longer than the file")
        return data


Strips: TypeAlias = Whole | TiffStrips


@contextlib.contextmanager
def open_large(path: str | Path, *, background: str = "white") -> Iterator[Strips]:
    """Yield an image, upright and in sRGB as `read` gives it, while its file is open."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
            with refused(file, path):
                page = stack.enter_context(tiff.first_page(file))
                if page is not None:
                    found = tiff.header_of(page)
                    check_size(path, *found.size_wh, found.channels + found.alpha, MAX_STRIPPED)
                    tiff.check_density(file, page)
            if page is not None and _in_strips(page):
                strips: Strips = TiffStrips(file, path, page, background_colour(background))
            else:
                strips = Whole(read(path, background=background))
        except OSError as error:
            raise explain(error, path, "read") from error
        yield strips


def is_large(path: str | Path) -> bool:
    """Return whether an image's header claims more than `LARGE` pixels; False if it cannot be read."""
    try:
        with Path(path).open("rb") as file, tiff.first_page(file) as page:
            if page is not None:
                width, height = tiff.header_of(page).size_wh
            else:
                with opened(file, path) as image:
                    width, height = image.size
            return width * height > LARGE
    except UNREADABLE:
        return False


def _in_strips(page: "tifffile.TiffPage") -> bool:
    """Return whether rows of a page can be unpacked alone, and mean the same as when it is read whole."""
    import tifffile

    found = tiff.header_of(page)
    same = page.photometric in (0, 1, 2) and page.planarconfig == 1 and page.axes in ("YX", "YXS")
    known = page.dtype is not None and str(page.dtype.newbyteorder("=")) in {*PEAKS, "float16", "float64"}
    # Pillow reads eight bits otherwise, and has views of its own on what is no plain grey or colour.
    common = page.dtype != np.uint8 or (found.channels in (1, 3) and page.extrasamples in ((), (2,)))
    packed = page.compression == 1 or page.compression in tifffile.TIFF.DECOMPRESSORS
    predicted = page.predictor == 1 or page.predictor in tifffile.TIFF.UNPREDICTORS
    return (
        same and known and common and packed and predicted and tiff.orientation_of(page) == 1
        and page.bitspersample in (8, 16, 32, 64) and page.compression not in (6, 7)
        and _unit(page) * int(page.imagewidth) <= _AT_ONCE
    )  # fmt: skip


def _unit(page: "tifffile.TiffPage") -> int:
    """Return the rows of a strip or tile; of an unpacked image as many as have a million pixels."""
    if page.is_tiled:
        return int(page.tilelength)
    return max(1, (1 << 20) // int(page.imagewidth)) if page.is_contiguous else int(page.rowsperstrip)
