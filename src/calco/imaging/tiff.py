"""TIFF that Pillow would refuse or cut to eight bits: sixteen bits in colour, floats, any number of bands."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from calco.errors import CalcoError
from calco.imaging.arrays import PEAKS, Image
from calco.imaging.formats import check_size

if TYPE_CHECKING:
    import tifffile

SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GREY, _COLOUR = (0, 1), 2  # photometric interpretations: white is zero, black is zero; RGB
_ASSOCIATED, _STRAIGHT = 1, 2  # further samples that are alpha: colours are multiplied with it, or are not
ORIENTATION: Final = 274
PROFILE: Final = 34675
_DENSEST: Final = 4096  # bytes that LZW or deflate may make of one; who claims more is damaged


@dataclass(frozen=True)
class Planes:
    """What a decoder gives, before colours, transparency and rotation are seen to.

    Attributes:
        image: HWC, the alpha last where there is one.
        alpha: Whether there is.
        profile: The embedded colour profile.
        orientation: As EXIF counts it, 1 to 8.
    """

    image: Image
    alpha: bool = False
    profile: bytes | None = None
    orientation: int = 1


@dataclass(frozen=True)
class Header:
    """Width and height of the upright image, channels without alpha, and whether there is alpha."""

    size_wh: tuple[int, int]
    channels: int
    alpha: bool


def header(file: BinaryIO, name: str | Path) -> Header | None:
    """The header of a TIFF that Pillow does not read whole; None for every other file.

    Raises:
        CalcoError: When it claims to be too large.
    """
    with _first_page(file) as page:
        if page is None:
            return None
        found = header_of(page)
        check_size(name, *found.size_wh, found.channels + found.alpha)
        return found


def planes(file: BinaryIO, name: str | Path) -> Planes | None:
    """The first page of a TIFF that Pillow does not read whole; None for every other file.

    Raises:
        CalcoError: When it is too large, of a depth that is not read, or packed in a way that nothing here unpacks.
    """
    with _first_page(file) as page:
        if page is None:
            return None
        found = header_of(page)
        check_size(name, *found.size_wh, found.channels + found.alpha)
        check_density(file, page)
        return planes_of(name, page, _unpacked(file, name, page))


def check_density(file: BinaryIO, page: "tifffile.TiffPage") -> None:
    """Refuses a file that is too small for what it claims to hold.

    Raises:
        ValueError: When it is.
    """
    if page.nbytes > _DENSEST * file.seek(0, os.SEEK_END):
        raise ValueError("it holds less than it claims")


def planes_of(name: str | Path, page: "tifffile.TiffPage", pixels: Image) -> Planes:
    """Pixels of a page, or rows of it, as they are stored: HWC => with their meaning.

    Raises:
        CalcoError: When they are of a depth that is not read.
    """
    found = header_of(page)
    image = _typed(name, pixels)
    if page.photometric == _GREY[0]:
        with np.errstate(invalid="ignore"):  # what is no number is refused later
            image = (PEAKS[str(image.dtype)] - image).astype(image.dtype)
    if found.alpha and page.extrasamples == (_ASSOCIATED,):
        image = _straight(image)
    return Planes(image, found.alpha, page.tags.valueof(PROFILE), orientation_of(page))


@contextlib.contextmanager
def _first_page(file: BinaryIO) -> "Iterator[tifffile.TiffPage | None]":
    """The first page of a TIFF in tifffile; None when the file is none, or one that Pillow reads whole."""
    with first_page(file) as page:
        yield None if page is None or _suits_pillow(page) else page


@contextlib.contextmanager
def first_page(file: BinaryIO) -> "Iterator[tifffile.TiffPage | None]":
    """The first page of a TIFF in tifffile, while the file is open; None when it is none."""
    file.seek(0)
    if file.read(4) not in SIGNATURES:
        yield None
        return
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it warns of is told, or no matter
    file.seek(0)
    with np.errstate(all="ignore"), tifffile.TiffFile(file) as whole:
        page = whole.pages.first
        assert isinstance(page, tifffile.TiffPage)
        yield page


def _suits_pillow(page: "tifffile.TiffPage") -> bool:
    """Palettes, CMYK and the like, and up to eight bits of grey or RGB with no more than an alpha."""
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
    """What a page says of itself."""
    colours = 3 if page.photometric == _COLOUR else 1
    # OpenCV writes four samples and does not say what the fourth is.
    alpha = page.samplesperpixel == colours + 1 and page.extrasamples in ((_ASSOCIATED,), (_STRAIGHT,), ())
    width, height = int(page.imagewidth), int(page.imagelength)  # a damaged tag holds anything
    size_wh = (height, width) if orientation_of(page) >= 5 else (width, height)
    return Header(size_wh, int(page.samplesperpixel) - alpha, alpha)


def orientation_of(page: "tifffile.TiffPage") -> int:
    """As EXIF counts it, 1 to 8."""
    found: Any = page.tags.valueof(ORIENTATION)
    return found if found in range(1, 9) else 1


def _unpacked(file: BinaryIO, name: str | Path, page: "tifffile.TiffPage") -> Image:
    """The pixels as they are stored => HWC."""
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
    """What LZW and the like pack, which tifffile unpacks with a further library alone."""
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
    """Pixels of a depth that Calco knows; half and double floats become single ones."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    if str(pixels.dtype.newbyteorder("=")) not in PEAKS:
        raise CalcoError(
            f"cannot read {name}: its pixels are {pixels.dtype}; save it as uint8, uint16 or as floats from 0 to 1"
        )
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _straight(image: Image) -> Image:
    """Undoes the multiplication of colours with their alpha. HWC, alpha last."""
    peak = PEAKS[str(image.dtype)]
    alpha = image[..., -1:].astype(np.float64) / peak
    colours = np.divide(image[..., :-1], alpha, where=alpha > 0, out=np.zeros(image[..., :-1].shape))
    whole = np.concatenate([np.clip(colours, 0, peak), image[..., -1:]], axis=-1)
    return (whole if image.dtype == np.float32 else np.rint(whole)).astype(image.dtype)
