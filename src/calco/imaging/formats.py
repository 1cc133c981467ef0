"""Which files are images: their endings, how folders are listed, and the one door through which Pillow opens them."""

import contextlib
import functools
import importlib
import itertools
import logging
import os
import struct
import unicodedata
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal

from PIL import Image as Pillow

from calco.errors import CalcoError, DataError, MissingExtraError
from calco.files import list_files

LOG = logging.getLogger(__name__)

# Pillow warns of odd metadata and of large images; neither is an error here. Set once for the process: a filter that
# comes and goes around each file would not be safe with several threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Pillow.DecompressionBombWarning)

# The format that Pillow writes for each ending; what is not here is not an image to Calco.
FORMATS: Final[dict[str, str]] = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
    ".tga": "TGA", ".avif": "AVIF", ".jp2": "JPEG2000", ".heic": "HEIF", ".heif": "HEIF",
}  # fmt: skip
IMAGE_SUFFIXES: Final[frozenset[str]] = frozenset(FORMATS)
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, AttributeError, EOFError, LookupError, ArithmeticError,
              MemoryError, RuntimeError, struct.error, zlib.error, Pillow.DecompressionBombError)  # fmt: skip


class TooLargeError(DataError):
    """An image file claims more pixels than are read."""


MAX_PIXELS: Final = 178_956_970
"""Pixels of the largest image that is read: where Pillow too suspects a file that is small and unpacks to gigabytes.
Channels beyond four count as further pixels."""
LARGE: Final = 1 << 24
"""Pixels above which an image is translated in strips."""
MAX_STRIPPED: Final = 1 << 31
"""Pixels of the largest TIFF that is translated in strips, and never unpacked whole. Counted as of `MAX_PIXELS`."""


def is_image(path: str | Path) -> bool:
    """Return whether the ending is that of an image, in upper or lower case; the file is not opened."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def list_images(folder: str | Path) -> list[Path]:
    """Return all images in a folder and below it, sorted by path; log what could not be read."""
    listing = list_files(folder, is_image)
    for name, reason in listing.left_out:
        LOG.warning(f"{name} in {folder} is left out: {reason}")
    if any(is_image(name) or name.endswith("/") for name in listing.hidden):
        LOG.info(f"{folder}: {listing.hidden_remark()}")
    return sorted(map(Path, listing.paths), key=lambda path: unicodedata.normalize("NFC", path.as_posix()))


def matching_name(name: str) -> str:
    """Return a name without its ending, in composed Unicode: an image and its mask have it in common."""
    return unicodedata.normalize("NFC", PurePosixPath(name).with_suffix("").as_posix())


@contextlib.contextmanager
def opened(file: BinaryIO, name: str | Path) -> Iterator[Pillow.Image]:
    """Open an image file with Pillow.

    Raises:
        CalcoError: If it is larger than `MAX_PIXELS`, or HEIC without the library for it.
    """
    file.seek(0)
    start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] not in (b"avif", b"avis"):  # Pillow reads AV1 by itself
        learn_heif(name)
    # The modules of the other formats are imported when a file is of none of these two.
    formats = ("PNG",) if start[:4] == b"\x89PNG" else ("JPEG",) if start[:3] == b"\xff\xd8\xff" else _known()
    try:
        with Pillow.open(file, formats=formats) as image:
            check_size(name, *image.size)
            yield image
    except Pillow.DecompressionBombError as error:
        raise _too_large(name) from error


@functools.cache
def _known() -> tuple[str, ...]:
    """Return the formats that Pillow may open: it knows others, and runs another program for some of them."""
    for kind in ("Bmp", "Gif", "Jpeg", "Png", "Ppm", "WebP", "Tiff", "Tga", "Avif", "Jpeg2K"):
        importlib.import_module(f"PIL.{kind}ImagePlugin")  # Pillow's own `init` imports four times as many
    return tuple(kind for kind in dict.fromkeys(FORMATS.values()) if kind in Pillow.OPEN)


def check_size(name: str | Path, width: int, height: int, channels: int = 3, most: int = MAX_PIXELS) -> None:
    """Refuse an image that its header claims to be too large, before it is unpacked."""
    if width * height * max(1, channels / 4) > most:
        raise _too_large(name, f" ({width} x {height}{f' x {channels} channels' if channels > 4 else ''})", most)


def _too_large(name: str | Path, claimed: str = "", most: int = MAX_PIXELS) -> TooLargeError:
    return TooLargeError(
        f"cannot read {name}: it claims to have too many pixels{claimed}; at most {most:,} are read: make it "
        "smaller, or cut it into parts"
    )


def learn_heif(name: str | Path) -> None:
    """Register HEIC with Pillow."""
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{name} is HEIC, which needs a library: pip install 'calco[heic]'") from error
    register_heif_opener()
    _known.cache_clear()


_MAY_HAVE_SEVERAL: Final = (".gif", ".webp", ".png", ".avif", ".tif", ".tiff")
_MOST_CHUNKS: Final = 10_000


def several_in(path: str | Path) -> Literal["frames", "pages", ""]:
    """Return what an image file holds several of: frames (an animation) or pages; empty for one image.

    A file that cannot be read counts as one image: its reader reports what is wrong.
    """
    if os.path.splitext(path)[1].lower() not in _MAY_HAVE_SEVERAL:
        return ""
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
            if head[:4] in (b"II*\0", b"MM\0*"):
                return "pages" if _has_second_page(file) else ""
            if head[:6] in (b"GIF87a", b"GIF89a"):
                with opened(file, path) as image:
                    several = bool(getattr(image, "is_animated", False))
            elif head[:8] == b"\x89PNG\r\n\x1a\n":
                several = _has_animation_chunk(file)
            else:
                is_webp = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & 2
                several = bool(is_webp) or (head[4:8] == b"ftyp" and head[8:12] == b"avis")
            return "frames" if several else ""
    except (*UNREADABLE, CalcoError):
        return ""


def note_on_several(paths: Iterable[str | Path], remedy: str = "") -> str:
    """Return a sentence on the image files of which only the first frame or page is used; empty if there is none.

    Args:
        paths: Image files.
        remedy: How to use all frames, if there is a way.
    """
    found = [(str(path), kind) for path in paths if (kind := several_in(path))]
    if not found:
        return ""
    kinds = " or ".join(sorted({kind for _, kind in found}))
    remedy = f"; {remedy}" if remedy and "frames" in kinds else ""
    if len(found) == 1:
        return f"{found[0][0]} holds several {kinds}: only the first is used{remedy}"
    return f"{len(found)} images hold several {kinds}, such as {found[0][0]}: only the first of each is used{remedy}"


def _has_animation_chunk(file: BinaryIO) -> bool:
    """Return whether a PNG has an acTL chunk of two frames or more before its pixels (PNG, third edition, 11.3.6.1)."""
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return False
        if head[4:] == b"acTL":
            return int.from_bytes(file.read(4), "big") > 1
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _has_second_page(file: BinaryIO) -> bool:
    """Return whether a TIFF has two pages, apart from thumbnails, smaller copies and masks."""
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as whole:
        pages = (page for page in whole.pages if isinstance(page, tifffile.TiffPage))
        own = (page for page in pages if not page.subfiletype & 5)  # 1 is a smaller copy, 4 a mask
        return len(list(itertools.islice(own, 2))) > 1


EXACT: Final = ("PNG", "BMP", "TIFF", "PPM", "TGA", "JPEG2000", "WEBP")
"""Formats that Calco can write without any loss; HEIF too, where its library is installed."""
_BEGINNINGS: Final = (
    b"\x89PNG", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"RIFF", b"\xff\x4f\xff\x51",
    *(b"P%d" % number for number in range(1, 8)),
)  # fmt: skip
_HEAD: Final = 1 << 16  # bytes in which the boxes of AVIF and HEIF stand that are looked for


def is_lossless(path: str | Path) -> bool:
    """Return whether a file keeps every value; False for one that cannot be read or is not an image."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(12)
            return (head.startswith(_BEGINNINGS) or head[4:8] in (b"ftyp", b"jP  ")) and keeps_values(file)
    except OSError:
        return False


def keeps_values(file: BinaryIO) -> bool:
    """Return whether the compression of an open image file keeps every value.

    JPEG never does. WebP, JPEG 2000, AVIF and HEIF say it in their headers: by the kind of their bitstream, the
    reversible wavelet, and the identity in place of a colour matrix.
    """
    file.seek(0)
    head = file.read(12)
    if head[:3] == b"\xff\xd8\xff":
        return False
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _is_vp8l(file)
    file.seek(0)
    more = file.read(_HEAD)
    if head[4:8] == b"jP  " or head[:4] == b"\xff\x4f\xff\x51":
        start = more.find(b"\xff\x4f\xff\x51")
        place = more.find(b"\xff\x52", start)  # the marker COD
        # Marker, length, style, progression, layers, transform, levels, two code-block exponents, block style, wavelet.
        return start >= 0 and place >= 0 and len(more) > place + 13 and more[place + 13] == 1
    if head[4:8] == b"ftyp":
        place = more.find(b"colrnclx")
        return place >= 0 and more[place + 12 : place + 14] == b"\0\0"
    return True


def _is_vp8l(file: BinaryIO) -> bool:
    """Return whether the image chunk of a WebP is VP8L; of an animation, that of the first frame."""
    file.seek(12)
    while len(chunk := file.read(8)) == 8:
        kind, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        # The chunks of a frame stand inside it, after its 16 bytes of place and size.
        file.seek(16 if kind == b"ANMF" else size + size % 2, 1)
    return False


def exact_name(name: str, like: str | Path | None = None) -> str:
    """Return the name under which an image is written without loss: its own, or the same ending in .png.

    Args:
        name: A file's name.
        like: The image that it is made of, where only what is made of lossless files must be; None for every image.
    """
    kind = FORMATS.get(PurePosixPath(name).suffix.lower(), "")
    holds = kind in EXACT or (kind == "HEIF" and like is not None)
    if holds or (like is not None and not is_lossless(like)):
        return name
    return f"{name[: len(name) - len(PurePosixPath(name).suffix)]}.png"
