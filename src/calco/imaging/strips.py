"""Large images, whose rows are read when they are asked for.

Strips and tiles of a TIFF are unpacked one row of them after another. What else there is, is read whole, in its own
depth: of eight bits, a hundred megapixels take no more than 300 megabytes.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

import numpy as np
from PIL import Image as Pillow

from calco.files import explain
from calco.imaging import tiff
from calco.imaging.arrays import FILTERS, PEAKS, Colour, Image, Resampling, background_colour, resize
from calco.imaging.formats import LARGE, MAX_STRIPPED, UNREADABLE, check_size, opened
from calco.imaging.reading import in_srgb, read, refused

if TYPE_CHECKING:
    import tifffile

_AT_ONCE: Final = 1 << 25  # pixels that may be unpacked together; a file of larger strips is read whole
_TURNED: Final = 512  # rows that are turned at once


class Strips(Protocol):
    """An image whose rows are asked for.

    Attributes:
        shape: Height, width and channels.
        dtype: Of its rows.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    def rows(self, top: int, bottom: int) -> Image:
        """The rows from one on and before another, as `read` would give them: HWC.

        Raises:
            CalcoError: When they are damaged, or hold floats that are none in [0, 1].
        """
        ...


class Whole:
    """An image that is there whole.

    Args:
        image: HWC.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.shape: tuple[int, int, int] = (image.shape[0], image.shape[1], image.shape[2])
        self.dtype = image.dtype

    def rows(self, top: int, bottom: int) -> Image:
        """As of `Strips`."""
        return self.image[top:bottom]


class TiffStrips:
    """A TIFF of grey, colour or bands, not turned.

    Args:
        file: It, open.
        name: How messages call it.
        page: Its first page.
        paper: What transparency lies over; None to keep it as the last channel.
    """

    def __init__(self, file: BinaryIO, name: str | Path, page: "tifffile.TiffPage", paper: Colour | None) -> None:
        self._file, self._name, self._page, self._paper = file, name, page, paper
        self._unit = _unit(page)
        self._unpacked: tuple[int, Image] = -1, np.empty(0)  # the last row of strips or tiles
        first = self.rows(0, 1)
        self.shape: tuple[int, int, int] = (int(page.imagelength), int(page.imagewidth), first.shape[2])
        self.dtype = first.dtype

    def rows(self, top: int, bottom: int) -> Image:
        """As of `Strips`."""
        with refused(self._file, self._name):
            parts = []
            for number in range(top // self._unit, -(-bottom // self._unit)):
                whole = self._segments(number)
                start = number * self._unit
                parts.append(whole[max(0, top - start) : bottom - start])
            stored = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return in_srgb(self._name, tiff.planes_of(self._name, self._page, stored), self._paper)

    def _segments(self, number: int) -> Image:
        """A row of strips or tiles, as it is stored: HWC."""
        if self._unpacked[0] == number:
            return self._unpacked[1]
        page = self._page
        width, height, samples = int(page.imagewidth), int(page.imagelength), int(page.samplesperpixel)
        rows = min(self._unit, height - number * self._unit)
        if page.compression == 1 and not page.is_tiled:
            found = self._plain(number * self._unit, rows)
        else:
            across = -(-width // page.tilewidth) if page.is_tiled else 1
            found = np.zeros((rows, width, samples), page.dtype)
            for index in range(number * across, (number + 1) * across):
                pixels, left = self._segment(index), (index % across) * (page.tilewidth if page.is_tiled else 0)
                if pixels is not None:
                    found[:, left : left + pixels.shape[1]] = pixels[:rows, : width - left]
        self._unpacked = number, found
        return found

    def _plain(self, top: int, rows: int) -> Image:
        """Rows that are not packed, from wherever their strips lie."""
        page, parts = self._page, []
        assert page.dtype is not None
        row = int(page.imagewidth) * int(page.samplesperpixel) * page.dtype.itemsize
        strip = int(page.rowsperstrip)
        while rows:
            number, inside = divmod(top, strip)
            some = min(rows, strip - inside)
            parts.append(self._bytes(page.dataoffsets[number] + inside * row, some * row))
            top, rows = top + some, rows - some
        stored = np.frombuffer(b"".join(parts), page.dtype.newbyteorder(page.parent.byteorder))
        return stored.reshape(-1, int(page.imagewidth), int(page.samplesperpixel))

    def _segment(self, index: int) -> Image | None:
        """A strip or tile; None for one that was never written."""
        page = self._page
        if not page.databytecounts[index]:
            return None
        decoded: Any = page.decode(self._bytes(page.dataoffsets[index], page.databytecounts[index]), index)
        return None if decoded[0] is None else np.asarray(decoded[0][0])

    def _bytes(self, start: int, length: int) -> bytes:
        try:
            self._file.seek(start)
            data = self._file.read(length)
        except OSError as error:
            raise explain(error, self._name, "read") from error
        if len(data) < length:
            raise ValueError("a part of it is longer than the file")
        return data


@contextlib.contextmanager
def open_large(path: str | Path, *, background: str = "white", above: int | None = None) -> Iterator[Strips | None]:
    """A large image, upright and in sRGB as `read` gives it, while its file is open; None for one that is not large.

    Args:
        path: The file.
        background: As of `read`.
        above: Pixels from which on it is large, in place of `LARGE`.

    Raises:
        CalcoError: When the file is absent, larger than what is read, or damaged where that shows at once.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
            with refused(file, path):
                page = stack.enter_context(tiff.first_page(file))
                large = _is_large(file, path, page, above)
            strips = _strips(file, path, page, background) if large else None
        except OSError as error:
            raise explain(error, path, "read") from error
        yield strips


def is_large(path: str | Path, above: int | None = None) -> bool:
    """Whether an image's header claims more pixels; not of what cannot be read, which is for `read` to say."""
    try:
        with Path(path).open("rb") as file, tiff.first_page(file) as page:
            return _is_large(file, path, page, above, check=False)
    except UNREADABLE:
        return False


def _is_large(
    file: BinaryIO, name: str | Path, page: "tifffile.TiffPage | None", above: int | None, check: bool = True
) -> bool:
    above = LARGE if above is None else above
    if page is None:
        with opened(file, name) as image:
            return image.size[0] * image.size[1] > above
    found = tiff.header_of(page)
    if check:
        check_size(name, *found.size_wh, found.channels + found.alpha, MAX_STRIPPED)
        tiff.check_density(file, page)
    return found.size_wh[0] * found.size_wh[1] > above


def _strips(file: BinaryIO, name: str | Path, page: "tifffile.TiffPage | None", background: str) -> Strips:
    if page is None or not _in_strips(page):
        return Whole(read(name, background=background))
    strips, orientation = TiffStrips(file, name, page, background_colour(background)), tiff.orientation_of(page)
    if orientation == 1:
        return strips
    check_size(name, *strips.shape[1::-1], strips.shape[2])
    return Whole(_turned(strips, orientation))


def _in_strips(page: "tifffile.TiffPage") -> bool:
    """Whether rows of a page can be unpacked alone, and mean the same as when it is read whole."""
    import tifffile

    found = tiff.header_of(page)
    bits = page.bitspersample
    same = page.photometric in (0, 1, 2) and page.planarconfig == 1 and page.axes in ("YX", "YXS")
    known = page.dtype is not None and str(page.dtype.newbyteorder("=")) in {*PEAKS, "float16", "float64"}
    # Pillow reads eight bits otherwise, and has views of its own on what is no plain grey or colour.
    common = page.dtype != np.uint8 or (found.channels in (1, 3) and page.extrasamples in ((), (2,)))
    packed = page.compression == 1 or page.compression in tifffile.TIFF.DECOMPRESSORS
    predicted = page.predictor == 1 or page.predictor in tifffile.TIFF.UNPREDICTORS
    return (
        same and known and common and packed and predicted
        and bits in (8, 16, 32, 64) and page.compression not in (6, 7)
        and _unit(page) * int(page.imagewidth) <= _AT_ONCE
    )  # fmt: skip


def _unit(page: "tifffile.TiffPage") -> int:
    """Rows of a strip or tile; of what is not packed, as many as are handy."""
    if page.is_tiled:
        return int(page.tilelength)
    if page.compression == 1:
        return max(1, (1 << 20) // int(page.imagewidth))
    return int(page.rowsperstrip)


def _turned(strips: Strips, orientation: int) -> Image:
    """The whole image upright, from rows that are not."""
    height, width, channels = strips.shape
    sides = (width, height) if orientation >= 5 else (height, width)
    whole = np.empty((*sides, channels), strips.dtype)
    # A view in which the rows lie as they are stored: `upright`, backwards.
    stored = whole
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation >= 5:
        stored = stored.transpose(1, 0, 2)
    for top in range(0, height, _TURNED):
        stored[top : top + _TURNED] = strips.rows(top, min(top + _TURNED, height))
    return whole


class Shrinking:
    """An image on its way to another size.

    Pillow resamples along the rows first, then along the columns of what that gave. So rows may be narrowed as they
    come, and the rest be done at the end.

    Args:
        shape: Height, width and channels.
        dtype: Of the image.
        size_wh: Width and height that are wanted.
        how: As of `resize`.
    """

    def __init__(
        self, shape: tuple[int, int, int], dtype: np.dtype[Any], size_wh: tuple[int, int], how: Resampling
    ) -> None:
        width, height = size_wh
        # "auto" first averages along the sides that shrink, then is bicubic along those that grow.
        self._first = (min(width, shape[1]), min(height, shape[0])) if how == "auto" else size_wh
        self._filter = FILTERS["area" if how == "auto" else how]
        self._size, self._dtype = size_wh, dtype
        self._held = np.uint8 if dtype == np.uint8 else np.float32
        self._narrow = np.empty((shape[0], self._first[0], shape[2]), self._held)
        self._filled = 0

    def add(self, strip: Image) -> None:
        """Takes the next rows, HWC."""
        rows = strip.shape[0]
        wanted = (self._first[0], rows)
        self._narrow[self._filled : self._filled + rows] = _resampled(strip.astype(self._held), wanted, self._filter)
        self._filled += rows

    def done(self) -> Image:
        """The image at its new size."""
        small = _resampled(self._narrow, self._first, self._filter)
        if self._held is np.float32:
            small = np.clip(small, 0, PEAKS[str(self._dtype)])
            small = (small if self._dtype == np.float32 else np.rint(small)).astype(self._dtype)
        return resize(small, self._size, "bicubic")


def _resampled(image: Image, size_wh: tuple[int, int], how: Pillow.Resampling) -> Image:
    """HWC, uint8 or float32, channel by channel and without a bound to its range."""
    if image.shape[1::-1] == size_wh:
        return image
    planes = [Pillow.fromarray(np.ascontiguousarray(image[..., c])) for c in range(image.shape[2])]
    return np.stack([np.array(plane.resize(size_wh, how)) for plane in planes], axis=2)
