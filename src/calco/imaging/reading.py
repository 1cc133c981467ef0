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
from calco.imaging.formats import FORMATS, UNREADABLE, keeps_values, opened
from calco.imaging.tiff import ORIENTATION, Header, Planes

_SPACES: Final = {"L": "GRAY", "RGB": "RGB"}


def jpeg_pixels(file: BinaryIO, image: Pillow.Image) -> Image | None:
    """Return the pixels of a grey or coloured JPEG as they are stored, HW1 or HW3 `uint8`; None for other images.

    None too for a JPEG with anything unusual in it, down to one byte that the decoder did not expect: Pillow decides
    whether it can be read after all.
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
    """Read the first frame of an image, upright and in sRGB.

    EXIF rotation is applied, palettes are expanded, CMYK becomes RGB, embedded colour profiles are brought to sRGB; 16
    bits (PNG, TIFF) and floats (TIFF) stay.

    Args:
        path: The file; its content decides the format, whatever its ending.
        channels: 3 repeats grey, 1 takes the luminance (see `as_channels`), None keeps what the file has.
        background: Colour under transparency: a name or #rrggbb; "channel" keeps it as the last channel.

    Returns:
        HWC, `uint8`, `uint16` or `float32` in [0, 1].

    Raises:
        CalcoError: If the file is absent, empty, cut short, too large, no image, or of another depth or range.
    """
    with _open(path) as file:
        return _read(file, path, channels, background)


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file, and explain why it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            yield file
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        raise explain(error if isinstance(error, OSError) else OSError(str(error)), path, "read") from error


def decode(data: bytes, name: str, *, channels: Channels | None = None, background: str = "white") -> Image:
    """Read an image from the bytes of a file, which messages call `name`; all else as in `read`."""
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
    """Turn errors of decoders into a CalcoError about the file."""
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if file.seek(0, os.SEEK_END) == 0:
            reason = "the file is empty"
        elif isinstance(error, UnidentifiedImageError):
            reason = "it is not an image, whatever its name says"
        else:
            reason = "the file is damaged or cut short" + (f" ({str(error).splitlines()[0]})" if str(error) else "")
        raise CalcoError(f"cannot read {name}: {reason}; replace or remove it") from error


def _decode(file: BinaryIO, name: str | Path, paper: Colour | None) -> Image:
    """Decode a file: HWC, upright, in sRGB."""
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
    """Check the floats of decoded pixels, or of rows of them, and bring them to sRGB and on paper; HWC, not turned."""
    if found.image.dtype == np.float32:
        if not np.isfinite(found.image).all():
            raise CalcoError(
                f"cannot read {name}: some of its numbers are NaN or infinite; put numbers from 0 to 1 there"
            )
        low, high = float(found.image.min()), float(found.image.max())
        if low < 0 or high > 1:
            raise CalcoError(
                f"cannot read {name}: its numbers run from {low:g} to {high:g}, and floats must lie in [0, 1]; divide "
                "them by their peak"
            )
    image, alpha = (found.image[..., :-1], found.image[..., -1:]) if found.alpha else (found.image, None)
    if found.profile:
        image = profiles.to_srgb(np.ascontiguousarray(image), found.profile)
    if alpha is not None:
        image = np.concatenate([image, alpha], axis=2)
        image = image if paper is None else lay_over(image, paper)
    return image


def orientation_of(image: Pillow.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 for broken metadata, as the pixels may be whole."""
    try:
        return int(image.getexif().get(ORIENTATION, 1) or 1)
    except UNREADABLE:
        return 1


def unpacked(file: BinaryIO, name: str | Path, image: Pillow.Image) -> Planes:
    """Return the pixels of a loaded image in its own depth, not turned."""
    return _deep_png(file, image) or _flat(name, image)


def _flat(name: str | Path, image: Pillow.Image) -> Planes:
    """Return what Pillow holds whole: eight bits, or one channel of sixteen bits or of floats."""
    mode, profile = image.mode, image.info.get("icc_profile")
    if mode == "CMYK":
        return Planes(np.array(profiles.cmyk_to_srgb(image, profile or b"")))
    if mode.startswith("I"):
        pixels, hidden = np.array(image), image.info.get("transparency")
        if pixels.min() < 0 or pixels.max() > 65535:
            raise CalcoError(f"cannot read {name}: its pixels take more than 16 bits; save it with 8 or 16")
        deep = pixels.astype(np.uint16)[..., None]
        if hidden is not None:  # the level that is transparent
            deep = np.concatenate([deep, (deep != hidden) * np.uint16(65535)], axis=2)
        return Planes(deep, hidden is not None, profile)
    if mode == "F":
        return Planes(np.array(image, dtype=np.float32)[..., None], profile=profile)
    alpha = image.has_transparency_data
    wanted = ("LA" if alpha else "L") if mode in _GREY_MODES else ("RGBA" if alpha else "RGB")
    return Planes(np.atleast_3d(np.array(image.convert(wanted))), alpha, profile)


def _deep_png(file: BinaryIO, image: Pillow.Image) -> Planes | None:
    """Read a PNG of sixteen bits in colour or with alpha, which Pillow would cut to eight; None for another image."""
    if image.format != "PNG" or _png_kind(file) not in ((16, 2), (16, _PNG_GREY_ALPHA), (16, 6)):
        return None
    import cv2

    file.seek(0)
    data, at = file.read(), 8
    # A chunk may claim to be longer than the file, and OpenCV would make room for it.
    while at + 12 <= len(data) and data[at + 4 : at + 8] != b"IEND":
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    if at + 12 > len(data):
        raise ValueError("a part of it is longer than the file")
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 3:
        raise ValueError("its sixteen bits cannot be unpacked")
    # Grey with alpha comes as three equal channels and alpha.
    order = [0, 3] if _png_kind(file)[1] == _PNG_GREY_ALPHA else [2, 1, 0, 3][: raw.shape[2]]
    return Planes(raw[..., order], raw.shape[2] == 4, image.info.get("icc_profile"))


def _png_kind(file: BinaryIO) -> tuple[int, int]:
    """Return bits of a channel and colour type, from the header of a PNG."""
    file.seek(24)
    depth, colour_type = file.read(2)
    return depth, colour_type


def common_channels(paths: list[str], background: str = "white", looked_at: int = 64) -> Channels:
    """Return the channels that all images of an even sample can be read with; unreadable files do not count.

    1 if all are grey, 3 if some are RGB, one more where alpha is kept as a channel and some have it, the largest
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
    """Return width and height of the image as `read` gives it, from its header; None if it cannot be read."""
    found = _header(path)
    return None if found is None else found.size_wh


def true_ending(path: str | Path) -> str:
    """Return the ending of the format that an image file really has, such as ".jpg", from its header."""
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
    ending = next((ending for ending, known in FORMATS.items() if known == kind), None)
    if ending is None:
        raise CalcoError(f"{path} is of the format {kind}, which is not read; save it as PNG")
    return ending


def _header(path: str | Path) -> Header | None:
    try:
        with Path(path).open("rb") as file:
            return header_of(file, path)
    except (*UNREADABLE, CalcoError):
        return None


def header_of(file: BinaryIO, name: str | Path) -> Header:
    """Return the size, upright, and the channels that an open image file claims, before a pixel is decoded.

    Raises:
        CalcoError: If it claims more pixels than `MAX_PIXELS`; one of `UNREADABLE` if it cannot be read.
    """
    if found := tiff.header(file, name):
        return found
    with opened(file, name) as image:
        grey = image.mode in _GREY_MODES or image.mode.startswith("I")
        # Pillow calls that of sixteen bits RGBA.
        grey = grey or (image.format == "PNG" and _png_kind(file)[1] == _PNG_GREY_ALPHA)
        # Pillow turns TIFF itself, and would unpack a PNG to look behind its pixels.
        looks = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        size_wh = image.size[::-1] if looks and orientation_of(image) >= 5 else image.size
        return Header(size_wh, 1 if grey else 3, image.has_transparency_data)


def turned_with(plane: Image, path: str | Path, height_width: tuple[int, ...]) -> Image:
    """Turn a mask, HWC, as the EXIF of its image says, if it was painted on the stored pixels: its sides are swapped.

    `height_width` is that of the upright image in the file `path`.
    """
    height, width = height_width[:2]
    if (height, width) == (width, height) or plane.shape[:2] != (width, height):
        return plane
    try:
        with Path(path).open("rb") as file, tiff.first_page(file) as page:
            if page is not None:
                return upright(plane, tiff.orientation_of(page))
            with opened(file, path) as image:
                return upright(plane, orientation_of(image))
    except (*UNREADABLE, CalcoError):
        return plane


_MODES: Final = {
    "1": "grey", "L": "grey", "F": "grey", "P": "palette", "LA": "grey and alpha", "PA": "palette and alpha",
    "RGBA": "RGB and alpha", "RGBX": "RGB",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """An image, perhaps smaller than in its file."""

    image: Image  # HWC as of `read`, or a large JPEG decoded at a half, a quarter or an eighth of its size
    size_wh: tuple[int, int]  # of the whole image, upright
    mode: str  # channels of the file, such as "RGB" or "palette"


def read_draft(path: str | Path, data: bytes, side: int) -> Draft:
    """Read an image, in the file `path` with the content `data`, at least `side` pixels wide and high if it is so."""
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


@dataclass(frozen=True, slots=True)
class StoredLabels:
    """Pixels of a mask file."""

    image: Image  # HWC; a palette file gives its colours, or its numbers where two numbers share a colour
    numbers: dict[tuple[int, ...], int]  # of a palette file, the number behind each colour that occurs
    lossy: bool  # whether the file's compression changes values


def read_labels(path: str | Path) -> StoredLabels:
    """Read a mask file, upright; errors as of `read`."""
    with _open(path) as file:
        return _read_labels(file, path)


def decode_labels(data: bytes, name: str) -> StoredLabels:
    """Read a mask from the bytes of a file, which messages call `name`."""
    return _read_labels(io.BytesIO(data), name)


def _read_labels(file: BinaryIO, name: str | Path) -> StoredLabels:
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
