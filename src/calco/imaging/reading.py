"""Reading image files: one array whatever the format, upright, in sRGB, with its own depth."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import simplejpeg
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from calco.errors import CalcoError
from calco.files import explain
from calco.imaging import profiles, tiff
from calco.imaging.arrays import WHITE, Channels, Colour, Image, as_channels, background_colour, lay_over, upright
from calco.imaging.formats import FORMATS, UNREADABLE, opened
from calco.imaging.tiff import ORIENTATION, Header, Planes

_SPACES: Final = {"L": "GRAY", "RGB": "RGB"}


def jpeg_pixels(file: BinaryIO, image: Pillow.Image) -> Image | None:
    """The pixels of a grey or coloured JPEG, as they are stored: HW1 or HW3 `uint8`.

    Args:
        file: The file.
        image: The same, opened by Pillow, which has looked at its header alone.

    Returns:
        None for every other image, and for a JPEG with anything unusual in it, down to one byte that the decoder did
        not expect: whether that can be read after all is for Pillow to say.
    """
    if image.format != "JPEG" or image.mode not in _SPACES:
        return None
    file.seek(0)
    try:
        pixels: Image = simplejpeg.decode_jpeg(file.read(), _SPACES[image.mode], strict=True)
    except (ValueError, MemoryError):
        return None
    return pixels if pixels.shape[1::-1] == image.size else None


_GREY_MODES: Final = ("1", "L", "LA", "La", "F")
_PNG_GREY_ALPHA: Final = 4


def read(path: str | Path, *, channels: Channels | None = None, background: str = "white") -> Image:
    """Reads the first frame of an image, upright and in sRGB.

    EXIF rotation is applied, palettes are expanded, CMYK becomes RGB, embedded colour profiles are brought to sRGB; 16
    bits (PNG, TIFF) and floats (TIFF) stay.

    Args:
        path: The file; its content tells the format, whatever its ending.
        channels: 3 repeats grey, 1 takes the luminance (see `as_channels`), None keeps what the file has.
        background: What transparency lies over: white, black, a colour's name, #rrggbb; "channel" keeps it as the last
            channel.

    Returns:
        HWC, `uint8`, `uint16` or `float32` in [0, 1].

    Raises:
        CalcoError: When the file is absent, empty, cut short, too large, no image, or of another depth or range.
    """
    try:
        with Path(path).open("rb") as file:
            return _read(file, path, channels, background)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        raise explain(error if isinstance(error, OSError) else OSError(str(error)), path, "read") from error


def decode(data: bytes, name: str, *, channels: Channels | None = None, background: str = "white") -> Image:
    """Reads an image from the bytes of a file, which messages call `name`; all else as in `read`.

    Raises:
        CalcoError: As `read`.
    """
    return _read(io.BytesIO(data), name, channels, background)


def _read(file: BinaryIO, name: str | Path, channels: Channels | None, background: str) -> Image:
    paper = background_colour(background)
    with refused(file, name):
        image = _decode(file, name, paper)
    try:
        return image if channels is None else as_channels(image, channels, paper or WHITE)
    except CalcoError as error:
        raise CalcoError(f"{name}: {error}") from error


@contextlib.contextmanager
def refused(file: BinaryIO, name: str | Path) -> Iterator[None]:
    """Says of a file that cannot be decoded inside what is wrong with it.

    Raises:
        CalcoError: Then.
    """
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CalcoError(f"cannot read {name}: {_reason(file, error)}; replace or remove it") from error


def _reason(file: BinaryIO, error: Exception) -> str:
    """Says in plain words what is wrong with a file that is there but cannot be decoded."""
    if file.seek(0, os.SEEK_END) == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image, whatever its name says"
    return "the file is damaged or cut short" + (f" ({str(error).splitlines()[0]})" if str(error) else "")


def _decode(file: BinaryIO, name: str | Path, paper: Colour | None) -> Image:
    """A file => HWC, upright, in sRGB."""
    found = tiff.planes(file, name)
    if found is None:
        with opened(file, name) as image:
            pixels = jpeg_pixels(file, image)
            if pixels is None:
                image.load()
            # The tag may stand behind the pixels, and Pillow's TIFF reader turns them by itself: only now is it known.
            orientation = orientation_of(image)
            if pixels is None:
                found = replace(unpacked(file, name, image), orientation=orientation)
            else:
                found = Planes(pixels, False, image.info.get("icc_profile"), orientation)
    return upright(in_srgb(name, found, paper), found.orientation)


def in_srgb(name: str | Path, found: Planes, paper: Colour | None) -> Image:
    """What a decoder gave, or rows of it, with its floats checked, in sRGB, on paper; HWC, not turned.

    Raises:
        CalcoError: When floats are out of range or no numbers.
    """
    if found.image.dtype == np.float32:
        _check_floats(name, found.image)
    image, alpha = (found.image[..., :-1], found.image[..., -1:]) if found.alpha else (found.image, None)
    if found.profile:
        image = profiles.to_srgb(np.ascontiguousarray(image), found.profile)
    if alpha is not None:
        image = np.concatenate([image, alpha], axis=2)
        image = image if paper is None else lay_over(image, paper)
    return image


def _check_floats(name: str | Path, image: Image) -> None:
    if not np.isfinite(image).all():
        raise CalcoError(f"cannot read {name}: some of its numbers are NaN or infinite; put numbers from 0 to 1 there")
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        raise CalcoError(
            f"cannot read {name}: its numbers run from {low:g} to {high:g}, and floats must lie in [0, 1]; divide them "
            "by their peak"
        )


def orientation_of(image: Pillow.Image) -> int:
    """The EXIF orientation, 1 to 8; broken metadata must not cost an image whose pixels are whole."""
    try:
        return int(image.getexif().get(ORIENTATION, 1) or 1)
    except UNREADABLE:
        return 1


def unpacked(file: BinaryIO, name: str | Path, image: Pillow.Image) -> Planes:
    """The pixels of a loaded image in its own depth, not turned."""
    return _deep_png(file, image) or _flat(name, image)


def _flat(name: str | Path, image: Pillow.Image) -> Planes:
    """What Pillow holds whole: eight bits, or one channel of sixteen or of floats."""
    mode, profile = image.mode, image.info.get("icc_profile")
    if mode == "CMYK":
        return Planes(np.array(profiles.cmyk_to_srgb(image, profile or b"")))
    if mode.startswith("I"):
        return _deep_grey(name, np.array(image), image.info.get("transparency"), profile)
    if mode == "F":
        return Planes(np.array(image, dtype=np.float32)[..., None], profile=profile)
    alpha = image.has_transparency_data
    wanted = ("LA" if alpha else "L") if mode in _GREY_MODES else ("RGBA" if alpha else "RGB")
    return Planes(np.atleast_3d(np.array(image.convert(wanted))), alpha, profile)


def _deep_grey(name: str | Path, pixels: Image, hidden: int | None, profile: bytes | None) -> Planes:
    """One channel of sixteen bits, HW; `hidden` is the level that is transparent."""
    if pixels.min() < 0 or pixels.max() > 65535:
        raise CalcoError(f"cannot read {name}: its pixels take more than 16 bits; save it with 8 or 16")
    deep = pixels.astype(np.uint16)[..., None]
    if hidden is None:
        return Planes(deep, profile=profile)
    return Planes(np.concatenate([deep, (deep != hidden) * np.uint16(65535)], axis=2), True, profile)


def _deep_png(file: BinaryIO, image: Pillow.Image) -> Planes | None:
    """A PNG of sixteen bits in colour or with alpha, which Pillow would cut to eight; None for every other image."""
    if image.format != "PNG" or _png_kind(file) not in ((16, 2), (16, _PNG_GREY_ALPHA), (16, 6)):
        return None
    import cv2

    file.seek(0)
    data = file.read()
    _check_chunks(data)
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 3:
        raise ValueError("its sixteen bits cannot be unpacked")
    # Grey with alpha comes as three equal channels and alpha.
    order = [0, 3] if _png_kind(file)[1] == _PNG_GREY_ALPHA else [2, 1, 0, 3][: raw.shape[2]]
    return Planes(raw[..., order], raw.shape[2] == 4, image.info.get("icc_profile"))


def _check_chunks(png: bytes) -> None:
    """Refuses a PNG with a chunk that is longer than the file: OpenCV would make room for what it claims.

    Raises:
        ValueError: When there is one, or the last chunk is missing.
    """
    at = 8
    while at + 12 <= len(png) and png[at + 4 : at + 8] != b"IEND":
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    if at + 12 > len(png):
        raise ValueError("a part of it is longer than the file")


def _png_kind(file: BinaryIO) -> tuple[int, int]:
    """Bits of a channel and colour type, from the header of a PNG."""
    file.seek(24)
    depth, colour_type = file.read(2)
    return depth, colour_type


def common_channels(paths: list[str], background: str = "white", looked_at: int = 64) -> Channels:
    """The channels that all images of an even sample can be read with; unreadable files do not count.

    1 when all are grey, 3 when some are RGB, one more where alpha is kept as a channel and some have it, the largest
    number where most have bands. Only headers are read.
    """
    step, paper = max(1, len(paths) // looked_at), background_colour(background)
    headers = [found for path in paths[::step] if (found := _header(path))]
    colours = [found for found in headers if found.channels <= 4]
    if 2 * len(colours) >= len(headers):
        headers = colours  # a few files of bands that strayed among images must not spoil all others
    most = max((found.channels for found in headers), default=3)
    if most == 2 and any(found.channels == 3 for found in headers):
        most = 3
    if most not in (1, 3) or not any(found.alpha for found in headers):
        return most
    if paper is None:
        return most + 1
    return most if len(set(paper)) == 1 else 3  # grey on coloured paper is no longer grey


def header_size_wh(path: str | Path) -> tuple[int, int] | None:
    """Width and height of the image as `read` gives it; only the header is read. None when it cannot be."""
    found = _header(path)
    return None if found is None else found.size_wh


def true_ending(path: str | Path) -> str:
    """The ending of the format that an image file really has, such as ".jpg"; only the header is read.

    Raises:
        CalcoError: When it is no image, or one of a format that no ending of `FORMATS` stands for.
    """
    try:
        with Path(path).open("rb") as file:
            if tiff.header(file, path):
                return ".tif"
            with opened(file, path) as image:
                kind = "JPEG" if image.format == "MPO" else image.format  # several JPEGs in one file
    except UNREADABLE as error:
        raise CalcoError(
            f"cannot read {path}: it is not an image, whatever its name says; replace or remove it"
        ) from error
    for ending, known in FORMATS.items():
        if known == kind:
            return ending
    raise CalcoError(f"{path} is of the format {kind}, which is not read; save it as PNG")


def _header(path: str | Path) -> Header | None:
    try:
        with Path(path).open("rb") as file:
            if found := tiff.header(file, path):
                return found
            with opened(file, path) as image:
                grey = image.mode in _GREY_MODES or image.mode.startswith("I")
                # Pillow calls that of sixteen bits RGBA.
                grey = grey or (image.format == "PNG" and _png_kind(file)[1] == _PNG_GREY_ALPHA)
                return Header(_upright_size(image), 1 if grey else 3, image.has_transparency_data)
    except (*UNREADABLE, CalcoError):
        return None


def orientation(path: str | Path) -> int:
    """The EXIF orientation of a file, 1 to 8; 1 where it has none or cannot be read. Only the header is read."""
    try:
        with Path(path).open("rb") as file:
            with tiff.first_page(file) as page:
                if page is not None:
                    return tiff.orientation_of(page)
            with opened(file, path) as image:
                return orientation_of(image)
    except (*UNREADABLE, CalcoError):
        return 1


def turned_with(plane: Image, path: str | Path, height_width: tuple[int, ...]) -> Image:
    """A mask turned as the EXIF of its image says, where it was drawn on the stored pixels: its sides are exchanged.

    Args:
        plane: The mask, HWC.
        path: The image's file.
        height_width: Of the image, upright.
    """
    height, width = height_width[:2]
    if plane.shape[:2] == (width, height) != (height, width):
        return upright(plane, orientation(path))
    return plane


def _upright_size(image: Pillow.Image) -> tuple[int, int]:
    """Width and height once rotated; Pillow gives TIFF so, and a PNG would be unpacked to look behind its pixels."""
    looks = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
    width, height = image.size
    return (height, width) if looks and orientation_of(image) >= 5 else (width, height)


_MODES: Final = {
    "1": "grey", "L": "grey", "F": "grey", "P": "palette", "LA": "grey and alpha", "PA": "palette and alpha",
    "RGBA": "RGB and alpha", "RGBX": "RGB",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """An image, perhaps smaller than it is.

    Attributes:
        image: HWC as `read` gives it, or a large JPEG decoded at a half, a quarter or an eighth of its size.
        size_wh: Of the whole image, upright.
        mode: The channels that its file has, such as "RGB" or "palette".
    """

    image: Image
    size_wh: tuple[int, int]
    mode: str


def read_draft(path: str | Path, data: bytes, side: int) -> Draft:
    """Reads a pil of which `side` pixels are enough; all of its bytes are looked at.

    Args:
        path: The file.
        data: What stands in it.
        side: Pixels of width and height that are left at least, where there are so many.

    Raises:
        CalcoError: As `read`.
    """
    mode = ""
    try:
        with opened(io.BytesIO(data), path) as pil:
            mode = _MODES.get(pil.mode, "grey" if pil.mode.startswith("I") else pil.mode)
            if pil.format == "JPEG" and pil.mode in ("L", "RGB"):
                width, height = pil.size
                orientation = int(pil.getexif().get(ORIENTATION, 1) or 1)
                pil.draft(pil.mode, (side, side))
                image = upright(np.atleast_3d(np.array(pil)), orientation)
                return Draft(image, (height, width) if orientation >= 5 else (width, height), mode)
    except UNREADABLE:
        pass  # `read` says what is wrong with it, or knows another way
    whole = read(path)
    return Draft(whole, (whole.shape[1], whole.shape[0]), mode or ("grey" if whole.shape[2] == 1 else "RGB"))
