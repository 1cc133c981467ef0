"""TIFF that Pillow would refuse or cut to eight bits: sixteen bits in colour, floats, any number of bands."""

import contextlib
import io
import logging
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np

from calco.errors import CalcoError
from calco.imaging.arrays import PEAKS, Image
from calco.imaging.formats import check_size

if TYPE_CHECKING:
    import tifffile

SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GREY, _COLOUR = (0, 1), 2  # photometric interpretations: white is zero, black is zero; RGB
_ASSOCIATED, _STRAIGHT = 1, 2  # kinds of alpha: colours are multiplied with it, or are not
ORIENTATION: Final = 274
PROFILE: Final = 34675
_DENSEST: Final = 4096  # bytes that LZW or deflate may make of one; who claims more is damaged


@dataclass(frozen=True)
class Planes:
    """Decoded pixels, before colours, transparency and rotation are applied."""

    image: Image  # HWC, with the alpha last
    alpha: bool = False
    profile: bytes | None = None  # embedded colour profile
    orientation: int = 1  # of EXIF, 1 to 8


@dataclass(frozen=True)
class Header:
    """Width and height of the upright image, channels without alpha, and whether there is alpha."""

    size_wh: tuple[int, int]
    channels: int
    alpha: bool


def header(file: BinaryIO, name: str | Path) -> Header | None:
    """Return the header of a TIFF that Pillow does not read whole; None for every other file."""
    with first_page(file) as page:
        if page is None or _suits_pillow(page):
            return None
        found = header_of(page)
        check_size(name, *found.size_wh, found.channels + found.alpha)
        return found


def planes(file: BinaryIO, name: str | Path) -> Planes | None:
    """Return the first page of a TIFF that Pillow does not read whole; None for every other file."""
    if header(file, name) is None:
        return None
    with first_page(file) as page:
        assert page is not None
        check_density(file, page)
        return planes_of(name, page, _unpacked(file, name, page))


def check_density(file: BinaryIO, page: "tifffile.TiffPage") -> None:
    """Raise ValueError for a file that is too small for the pixels that it claims."""
    if page.nbytes > _DENSEST * file.seek(0, os.SEEK_END):
        raise ValueError("it holds less than it claims")


def planes_of(name: str | Path, page: "tifffile.TiffPage", pixels: Image) -> Planes:
    """Interpret stored pixels of a page, or rows of it: HWC."""
    found = header_of(page)
    image = _typed(name, pixels)
    if page.photometric == _GREY[0]:
        with np.errstate(invalid="ignore"):  # what is no number is refused later
            image = (PEAKS[str(image.dtype)] - image).astype(image.dtype)
    if found.alpha and page.extrasamples == (_ASSOCIATED,):
        image = _straight(image)
    return Planes(image, found.alpha, page.tags.valueof(PROFILE), orientation_of(page))


@contextlib.contextmanager
def first_page(file: BinaryIO) -> "Iterator[tifffile.TiffPage | None]":
    """Yield the first page of a TIFF while the file is open; None for another file."""
    file.seek(0)
    if file.read(4) not in SIGNATURES:
        yield None
        return
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its warnings concern nothing that matters here
    file.seek(0)
    with np.errstate(all="ignore"), tifffile.TiffFile(file) as whole:
        page = whole.pages.first
        assert isinstance(page, tifffile.TiffPage)
        yield page


def _suits_pillow(page: "tifffile.TiffPage") -> bool:
    """Return whether Pillow reads it whole: palettes, CMYK, up to eight bits of grey or RGB with at most an alpha."""
    if page.photometric not in (*_GREY, _COLOUR):
        return True
    stored: Any = page.bitspersample  # one number, or one for each sample where they differ
    bits = {stored} if isinstance(stored, int) else set(stored)
    return (
        bits <= {1, 2, 4, 8}
        and not page.parent.is_bigtiff
        and page.sampleformat == 1
        and header_of(page).channels in (1, 3)
    )


def header_of(page: "tifffile.TiffPage") -> Header:
    """Return the header of a page."""
    colours = 3 if page.photometric == _COLOUR else 1
    # OpenCV writes four samples and does not say what the fourth is.
    alpha = page.samplesperpixel == colours + 1 and page.extrasamples in ((_ASSOCIATED,), (_STRAIGHT,), ())
    width, height = int(page.imagewidth), int(page.imagelength)  # a damaged tag holds anything
    size_wh = (height, width) if orientation_of(page) >= 5 else (width, height)
    return Header(size_wh, int(page.samplesperpixel) - alpha, alpha)


def orientation_of(page: "tifffile.TiffPage") -> int:
    """Return the EXIF orientation of a page, 1 to 8."""
    found: Any = page.tags.valueof(ORIENTATION)
    return found if found in range(1, 9) else 1


def _unpacked(file: BinaryIO, name: str | Path, page: "tifffile.TiffPage") -> Image:
    """Return the stored pixels, HWC."""
    try:
        pixels = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        pixels = _by_opencv(file, name, page)
    if page.axes not in ("YX", "YXS", "SYX"):
        raise CalcoError(f"cannot read {name}: its axes are {page.axes}, and an image is flat; save its slices apart")
    return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels.reshape(*pixels.shape[:2], -1)


def _by_opencv(file: BinaryIO, name: str | Path, page: "tifffile.TiffPage") -> Image:
    """Unpack LZW and the like, for which tifffile needs a further library."""
    import cv2
    import tifffile

    file.seek(0)
    try:
        found = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        found = None
    if found is None or found.shape != page.shape or found.dtype != page.dtype:
        raise CalcoError(
            f"cannot read {name}: {page.samplesperpixel} channels of {page.dtype} packed by "
            f"{tifffile.COMPRESSION(page.compression).name} need a further library: pip install imagecodecs, or save "
            "it without compression"
        )
    return found if found.ndim == 2 else found[..., [2, 1, 0, 3][: found.shape[2]]]


def _typed(name: str | Path, pixels: Image) -> Image:
    """Check the depth; half and double floats become single ones."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    if str(pixels.dtype.newbyteorder("=")) not in PEAKS:
        raise CalcoError(
            f"cannot read {name}: its pixels are {pixels.dtype}; save it as uint8, uint16 or as floats from 0 to 1"
        )
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _straight(image: Image) -> Image:
    """Undo the multiplication of colours with their alpha. HWC, alpha last."""
    peak = PEAKS[str(image.dtype)]
    alpha = image[..., -1:].astype(np.float64) / peak
    colours = np.divide(image[..., :-1], alpha, where=alpha > 0, out=np.zeros(image[..., :-1].shape))
    whole = np.concatenate([np.clip(colours, 0, peak), image[..., -1:]], axis=-1)
    return (whole if image.dtype == np.float32 else np.rint(whole)).astype(image.dtype)


_PER_WIDTH, _PER_HEIGHT, _PER = 282, 283, 296  # pixels in an inch or a centimetre
_STRIP: Final = 1 << 18  # bytes of a strip before it is packed, about
_LEVEL: Final = 4  # of deflate's nine: a little larger than by default, in half the time
_CLASSIC: Final = (1 << 32) - (1 << 25)  # bytes that the offsets of a common TIFF reach, with room for the rest
# Tags of how the pixels are stored, which no other file shares: the rest may be copied.
STRUCTURE: Final = frozenset(
    {*range(254, 260), *range(262, 267), *range(273, 282), 284, 288, 289, 292, 293, *range(317, 326), 330, 332, 333,
     334, *range(336, 348), *range(512, 522), *range(529, 533), PROFILE}
)  # fmt: skip
_DIRECTORIES: Final = frozenset({34665, 34853, 40965})  # EXIF, GPS, interoperability: they lie elsewhere in the file
Tag: TypeAlias = tuple[int, int, int, Any, bool]  # code, type, count, value, whether on the first page alone


def tags(file: BinaryIO) -> list[Tag]:
    """Return the tags of a TIFF that may be copied, as `encode` takes them; none for other files."""
    file.seek(0)
    if file.read(4) not in SIGNATURES:
        return []
    import tifffile

    file.seek(0)
    with np.errstate(all="ignore"), tifffile.TiffFile(file) as whole:
        kept = [tag for tag in whole.pages.first.tags if tag.code not in {*STRUCTURE, *_DIRECTORIES, ORIENTATION}]
        return [
            (tag.code, tag.dtype, 0, tag.value.encode(), True)  # tifffile itself takes no text but ASCII
            if isinstance(tag.value, str)
            else (tag.code, tag.dtype, tag.count, tag.value, True)
            for tag in kept
        ]


def encode(image: Image, *, alpha: bool, extra: list[Tag]) -> bytes:
    """Return a TIFF of any depth and number of channels, packed by deflate."""
    import tifffile

    data, channels = io.BytesIO(), image.shape[2]
    tifffile.imwrite(
        data, image if channels > 1 else image[..., 0], predictor=image.dtype.kind == "u",
        **_options(channels, alpha, extra),
    )  # fmt: skip
    return data.getvalue()


def _options(channels: int, alpha: bool, extra: list[Tag]) -> dict[str, Any]:
    """Return the arguments of tifffile that describe the pixels and copy the tags."""
    values = {code: value for code, _, _, value, _ in extra}
    return {
        "photometric": "rgb" if channels - alpha == 3 else "minisblack",
        "planarconfig": "contig" if channels > 1 else None,
        "extrasamples": ["unassalpha"] if alpha else None,
        "compression": "zlib",
        "metadata": None,
        "software": False,
        "resolution": (values[_PER_WIDTH], values[_PER_HEIGHT]) if {_PER_WIDTH, _PER_HEIGHT} <= set(values) else None,
        "resolutionunit": values.get(_PER),
        "extratags": [tag for tag in extra if tag[0] not in (_PER_WIDTH, _PER_HEIGHT, _PER)],
    }


def write_strips(
    path: Path, strips: Iterable[Image], shape: tuple[int, int, int], dtype: np.dtype[Any], *, extra: list[Tag]
) -> None:
    """Write a TIFF of strips from the top down, packed by deflate; above four gigabytes as BigTIFF."""
    import tifffile

    height, width, channels = shape
    row = width * channels * dtype.itemsize
    rows = min(height, max(1, _STRIP // row))
    with tifffile.TiffWriter(path, bigtiff=height * row > _CLASSIC, byteorder="<") as file:
        file.write(
            _packed(strips, rows), shape=shape if channels > 1 else shape[:2], dtype=dtype, rowsperstrip=rows,
            predictor=dtype.kind == "u", **_options(channels, channels in (2, 4), extra),
        )  # fmt: skip


def _packed(strips: Iterable[Image], rows: int) -> Iterator[bytes]:
    """Pack strips of any height as strips of `rows` rows, two at once."""
    with ThreadPoolExecutor(2, "calco-pack") as packers:
        waiting: deque[Future[bytes]] = deque()
        for strip in _of_height(strips, rows):
            waiting.append(packers.submit(_deflated, strip))
            if len(waiting) > 4:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def _of_height(strips: Iterable[Image], rows: int) -> Iterator[Image]:
    """Cut strips of any height into strips of `rows` rows; the last may have fewer."""
    rest: Image | None = None
    for strip in strips:
        whole = strip if rest is None else np.concatenate([rest, strip])
        end = len(whole) // rows * rows
        yield from (whole[top : top + rows] for top in range(0, end, rows))
        rest = whole[end:].copy()
    if rest is not None and len(rest):
        yield rest


def _deflated(strip: Image) -> bytes:
    """Pack by deflate; whole numbers as differences from their left neighbours (TIFF 6.0, section 14)."""
    little = strip.astype(strip.dtype.newbyteorder("<"))
    if strip.dtype.kind == "u":
        little[:, 1:] -= strip[:, :-1]
    return zlib.compress(little.tobytes(), _LEVEL)
