"""What clients send, images and the files of jobs: known by content, limited before anything is decoded.

A job is made of a video, an image or a ZIP of images, and perhaps a mask; its files are checked by their headers.
"""

import contextlib
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from calco import imaging
from calco.data.mask_encoding import decode_mask
from calco.errors import CalcoError, MissingExtraError
from calco.imaging import Image
from calco.imaging.formats import TooLargeError
from calco.imaging.reading import header_of, refused
from calco.web.archives import MAGIC, Limits, check_archive, check_size, image_ending
from calco.web.job_store import Kind
from calco.web.refusals import RefusedError

Format: TypeAlias = Literal["png", "jpeg", "webp", "tiff"]

MEDIA_TYPES: Final[dict[str, str]] = {
    "png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "tiff": "image/tiff",
}  # fmt: skip
_FRAME_RATE: Final = 120  # frames per second of the longest video, on the mean


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


def recognise(path: Path, limits: Limits) -> Kind:
    """Return the kind of an upload by its content, from its header; name it by the ending of its content.

    Raises:
        RefusedError: If it is empty or of no kind, holds too much, or is an archive that is refused.
    """
    _check_not_empty(path)
    if is_archive(path):
        check_archive(path, limits)
        path.rename(path.with_suffix(".zip"))
        return "images"
    ending = image_ending(path, limits)
    if ending is None:
        check_video(path, limits)
        path.rename(path.with_suffix(".video"))
        return "video"
    path = path.rename(path.with_suffix(ending))
    return "video" if imaging.several_in(path) == "frames" else "images"


def recognise_mask(path: Path, kind: Kind, limits: Limits) -> None:
    """Name a mask by the ending of its content: one image, or for a job of images a ZIP of masks by their names.

    Raises:
        RefusedError: If it is empty or neither, or holds too much.
    """
    _check_not_empty(path)
    if is_archive(path):
        if kind == "video":
            raise RefusedError("mask_archive")
        check_archive(path, limits)
        path.rename(path.with_suffix(".zip"))
        return
    ending = image_ending(path, limits)
    if ending is None:
        raise RefusedError("mask_kind")
    path.rename(path.with_suffix(ending))


def is_archive(path: Path) -> bool:
    """Return whether a file begins as a ZIP does."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def _check_not_empty(path: Path) -> None:
    if not path.stat().st_size:
        raise RefusedError("empty")


def check_video(path: Path, limits: Limits) -> None:
    """Read the length and the size of a video from its container, and refuse what is too long or too large."""
    from calco.video.reading import Video  # without PyAV until somebody sends a video

    try:
        video = Video(path)
    except CalcoError as error:
        raise RefusedError("not_known") from error
    check_size(video.size, limits)
    check_length(video.duration or 0.0, video.frames_hint or 0, limits)


def check_length(seconds: float | Fraction, frames: int, limits: Limits) -> None:
    """Refuse a video that is too long, or has too many frames."""
    if seconds > limits.video_seconds:
        raise RefusedError("long", minutes=float(seconds) / 60, most=limits.video_seconds / 60)
    if frames > limits.video_seconds * _FRAME_RATE:
        raise RefusedError("frames", most=round(limits.video_seconds * _FRAME_RATE))
