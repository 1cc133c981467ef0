"""Bytes of clients to images, and images to bytes: the type by content, limits before anything is decoded."""

import contextlib
import io
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import numpy as np

from calco import imaging
from calco.data.mask_encoding import decode_mask
from calco.errors import CalcoError, MissingExtraError
from calco.imaging import Image
from calco.imaging.formats import TooLargeError
from calco.imaging.reading import header_of, refused
from calco.web.refusals import RefusedError

Format: TypeAlias = Literal["png", "jpeg", "webp", "tiff"]

MEDIA_TYPES: Final[dict[str, str]] = {
    "png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "tiff": "image/tiff",
}  # fmt: skip


def kind_of(data: bytes) -> str:
    """Return the format of an image by its first bytes, such as "PNG"; "" for everything else, whatever its name."""
    start = data[:16]
    known = {
        b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP",
        b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
        b"\0\0\0\x0cjP  ": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000",
    }  # fmt: skip
    if start[:4] == b"RIFF":
        return "WEBP" if start[8:12] == b"WEBP" else ""
    if start[4:8] == b"ftyp":
        brands = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys((b"heic", b"heix", b"mif1", b"msf1"), "HEIF")
        return brands.get(start[8:12], "")
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace():
        return "PPM"
    return next((kind for magic, kind in known.items() if start.startswith(magic)), "")


def read_image(data: bytes, *, most_pixels: int) -> Image:
    """Decode an upload: HWC, upright, sRGB, in its own depth, with the alpha that it has.

    Args:
        data: The bytes of a file.
        most_pixels: Largest number of pixels; the header is checked before a pixel is decoded.

    Raises:
        RefusedError: If it is empty, not an image, damaged, or has too many pixels.
    """
    with _checked(data, most_pixels):
        return imaging.decode(data, "the image", background="channel")


def read_mask(data: bytes, *, most_pixels: int) -> Image:
    """Decode the upload of a mask, HW1 to HW4, whose values stay as they are; all else as of `read_image`."""
    with _checked(data, most_pixels):
        return decode_mask(data, "the mask")


@contextlib.contextmanager
def _checked(data: bytes, most_pixels: int) -> Iterator[None]:
    """Refuse bytes that are no image, or one with too many pixels; inside, turn errors of decoders into refusals."""
    if not data:
        raise RefusedError("empty")
    if not kind_of(data):
        raise RefusedError("kind")
    file = io.BytesIO(data)
    try:
        with refused(file, "the image"):
            header = header_of(file, "the image")
        width, height = header.size_wh
        if width * height * max(1, header.channels / 4) > most_pixels:
            raise RefusedError("pixels", width=width, height=height, most=most_pixels)
        yield
    except RefusedError:
        raise
    except TooLargeError as error:
        raise RefusedError("claims", most=most_pixels) from error
    except MissingExtraError as error:
        raise RefusedError("library") from error
    except CalcoError as error:
        raise RefusedError("damaged") from error


def write_image(image: Image, form: Format | None = None) -> tuple[bytes, str]:
    """Encode an image for a client.

    Args:
        image: HWC, `uint8`, `uint16` or `float32`.
        form: The format; None for PNG, or TIFF where PNG would lose floats or bands.

    Returns:
        The bytes, and their media type.
    """
    exact = image.dtype != np.float32 and image.shape[2] <= 4
    chosen = form or ("png" if exact else "tiff")
    return imaging.encode(image, f".{chosen}", fast=True), MEDIA_TYPES[chosen]
