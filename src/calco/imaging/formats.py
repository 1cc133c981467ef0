"""Which files are images: their endings, how folders are listed, and the one door through which Pillow opens them."""

import contextlib
import functools
import os
import struct
import threading
import unicodedata
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image as Pillow

from calco.console import say, warn
from calco.errors import CalcoError, MissingExtraError
from calco.files import list_files

# The format that Pillow writes for each ending; what is not here is not an image to Calco.
FORMATS: Final[dict[str, str]] = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
    ".tga": "TGA", ".avif": "AVIF", ".jp2": "JPEG2000", ".heic": "HEIF", ".heif": "HEIF",
}  # fmt: skip
IMAGE_SUFFIXES: Final[frozenset[str]] = frozenset(FORMATS)
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, AttributeError, EOFError, LookupError, ArithmeticError,
              MemoryError, RuntimeError, struct.error, zlib.error, Pillow.DecompressionBombError)  # fmt: skip

MAX_PIXELS: Final = 178_956_970
"""Pixels of the largest image that is read: where Pillow too suspects a file that is small and unpacks to gigabytes.
Channels beyond four count as further pixels."""


LARGE: Final = 1 << 24
"""Pixels above which an image is translated in strips."""
MAX_STRIPPED: Final = 1 << 31
"""Pixels of the largest TIFF that is translated in strips, and never unpacked whole. Counted as of `MAX_PIXELS`."""


def is_image(path: str | Path) -> bool:
    """Whether the ending is that of an image, in upper or lower case; the file is not opened."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def list_images(folder: str | Path) -> list[Path]:
    """All images in a folder and below it, sorted by path, as `list_files` finds them; notes what could not be read.

    Raises:
        CalcoError: When the folder is absent, is no folder, or may not be read.
    """
    listing = list_files(folder, is_image)
    for name, reason in listing.left_out:
        warn(f"{name} in {folder} is left out: {reason}")
    if any(is_image(name) or name.endswith("/") for name in listing.hidden):
        say(f"{folder}: {listing.hidden_remark()}")
    return sorted(map(Path, listing.paths), key=lambda path: unicodedata.normalize("NFC", path.as_posix()))


@contextlib.contextmanager
def opened(file: BinaryIO, name: str | Path) -> Iterator[Pillow.Image]:
    """An open file in Pillow, which warns of odd metadata and of large images: neither is an error here.

    Raises:
        CalcoError: When it is larger than `MAX_PIXELS`, or HEIC and nothing here reads that.
    """
    file.seek(0)
    start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] not in (b"avif", b"avis"):  # Pillow reads AV1 by itself
        learn_heif(name)
    with _QUIET:
        try:
            with Pillow.open(file, formats=_known()) as image:
                check_size(name, *image.size)
                yield image
        except Pillow.DecompressionBombError as error:
            raise _too_large(name) from error


class _Quiet:
    """No warnings while any thread is inside.

    Python's own way changes one list for all threads and puts back what it found: where two take turns, the silence
    ends too soon, or never.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.held = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.held.enter_context(warnings.catch_warnings(action="ignore"))

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.held.close()


_QUIET: Final = _Quiet()


@functools.cache
def _known() -> tuple[str, ...]:
    """What Pillow may take a file for: it knows more formats, and runs another program to draw some of them."""
    Pillow.init()
    return tuple(kind for kind in dict.fromkeys(FORMATS.values()) if kind in Pillow.OPEN)


def check_size(name: str | Path, width: int, height: int, channels: int = 3, most: int = MAX_PIXELS) -> None:
    """Refuses what its header claims to be too large, before anything is unpacked."""
    if width * height * max(1, channels / 4) > most:
        raise _too_large(name, f" ({width} x {height}{f' x {channels} channels' if channels > 4 else ''})", most)


def _too_large(name: str | Path, claimed: str = "", most: int = MAX_PIXELS) -> CalcoError:
    return CalcoError(
        f"cannot read {name}: it claims to have too many pixels{claimed}; at most {most:,} are read: make it "
        "smaller, or cut it into parts"
    )


def learn_heif(name: str | Path) -> None:
    """Teaches Pillow to read and write HEIC.

    Raises:
        CalcoError: When the library is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{name} is HEIC, which needs a library: pip install 'calco[heic]'") from error
    register_heif_opener()
    _known.cache_clear()
