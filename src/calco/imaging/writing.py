"""Writing image files, whole or not at all."""

import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image as Pillow

from calco.errors import CalcoError
from calco.files import atomic_write
from calco.imaging import tiff
from calco.imaging.arrays import Image, as_dtype, as_image, lay_over
from calco.imaging.formats import EXACT, FORMATS, UNREADABLE, is_lossless, learn_heif, opened
from calco.imaging.tiff import ORIENTATION

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "HEIF": {"quality": 95, "chroma": 444},
    "PNG": {"compress_level": 4},
    "TIFF": {"compression": "tiff_lzw"},
}
_LOSSLESS: Final[dict[str, dict[str, Any]]] = {
    "WEBP": {"lossless": True, "exact": True},
    "HEIF": {"quality": -1, "chroma": 444, "matrix_coefficients": 0},
}
_ROWS: Final = 256  # that are packed at once
_CHUNK: Final = 1 << 30  # bytes of a part of a PNG, which may have 2 ** 31 - 1
_WITH_ALPHA: Final = ("PNG", "WEBP", "AVIF", "HEIF", "TIFF", "TGA", "JPEG2000")


def write(path: str | Path, image: Image, *, like: str | Path | None = None, exact: bool = False) -> None:
    """Write an image whole or not at all, in the format of its ending.

    JPEG is written at quality 95 without chroma subsampling; WebP and HEIC too, unless `like` is lossless. 16 bits
    stay in PNG and TIFF and floats in TIFF; elsewhere they become what the format has. Alpha lies over white where the
    format has none.

    Args:
        path: The file; its ending chooses the format.
        image: HWC, in sRGB. More than four channels fit into TIFF alone.
        like: File whose EXIF is copied, upright and without its colour profile. After a lossless WebP or HEIC the
            image is written without loss too.
        exact: Refuse formats that change values.
    """
    atomic_write(path, encode(image, str(path), like=like, exact=exact))


def encode(
    image: Image, name: str, *, like: str | Path | None = None, exact: bool = False, fast: bool = False
) -> bytes:
    """Return the bytes that `write` writes; of the name only the ending counts, such as ".png".

    `fast` compresses a PNG of eight bits in a third of the time, to a few per cent more bytes.
    """
    kind = FORMATS.get(Path("x" + name if name.startswith(".") else name).suffix.lower())
    if kind is None:
        raise CalcoError(f"{name} ends in no known image format; use one of {' '.join(sorted(FORMATS))}")
    if exact and kind not in (*EXACT, "HEIF"):
        raise CalcoError(f"cannot write {name}: {kind} changes values, and all must be kept; choose the ending .png")
    image = as_image(image, f"the image for {name}")
    channels = image.shape[2]
    if channels > 4 and kind != "TIFF":
        raise CalcoError(f"cannot write {channels} channels to {name}: {kind} holds 4 at most; choose the ending .tif")
    if channels in (2, 4) and kind not in _WITH_ALPHA:
        image = lay_over(image)
    image = np.ascontiguousarray(image)
    if kind == "PNG" and image.dtype != np.uint8:
        return _deep_png(as_dtype(image, np.uint16), _exif(like))
    if kind == "TIFF" and (image.dtype != np.uint8 or channels > 4):
        alpha = channels in (2, 4)
        try:
            return tiff.encode(image, alpha=alpha, extra=_tags(like))
        except UNREADABLE:  # the tags of the other file are broken
            return tiff.encode(image, alpha=alpha, extra=[])
    exact = exact or (kind in _LOSSLESS and like is not None and is_lossless(like))
    return _flat(as_dtype(image, np.uint8), kind, name, _exif(like), exact=exact, fast=fast)


def write_strips(
    path: Path, strips: Iterable[Image], shape: tuple[int, int, int], dtype: np.dtype[Any], *, like: str | Path | None
) -> None:
    """Write a TIFF of strips, HWC in sRGB, from the top down and of any height; `shape` is that of the whole."""
    tiff.write_strips(path, strips, shape, dtype, extra=_tags(like))


def _flat(image: Image, kind: str, name: str, exif: bytes | None, *, exact: bool, fast: bool = False) -> bytes:
    """Encode eight bits by Pillow."""
    if kind == "HEIF":
        learn_heif(name)
    options = dict((_LOSSLESS if exact and kind in _LOSSLESS else _OPTIONS).get(kind, {}))
    options |= {} if exif is None else {"exif": exif}
    options |= {"compress_level": 1} if fast and kind == "PNG" else {}
    if kind == "TIFF" and exif is not None:
        del options["compression"]  # the library that packs refuses EXIF's own directory
    pil = Pillow.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    data = io.BytesIO()
    try:
        pil.save(data, format=kind, **options)
    except UNREADABLE as error:
        if exif is not None:  # broken or too long
            return _flat(image, kind, name, None, exact=exact)
        raise CalcoError(f"cannot write {name} as {kind}: {error}; choose another ending, such as .png") from error
    return data.getvalue()


def _deep_png(image: Image, exif: bytes | None) -> bytes:
    """Encode sixteen bits, HW1 to HW4, of which Pillow writes grey alone (PNG, third edition, clauses 9.2 and 11)."""
    height, width, channels = image.shape
    packer, packed, above = zlib.compressobj(4), bytearray(), np.zeros((1, width * channels * 2), np.uint8)
    for top in range(0, height, _ROWS):
        rows = image[top : top + _ROWS].astype(">u2").view(np.uint8).reshape(-1, above.shape[1])
        # The filter "up", which stands as a 2 before each row.
        differences = rows - np.concatenate([above, rows[:-1]])
        packed += packer.compress(np.insert(differences, 0, 2, axis=1).tobytes())
        above = rows[-1:]
    packed += packer.flush()
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))]
    if exif is not None:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [*((b"IDAT", bytes(packed[at : at + _CHUNK])) for at in range(0, len(packed), _CHUNK)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _exif(like: str | Path | None) -> bytes | None:
    """Return the EXIF of a file, turned upright; None if it has none or cannot be read."""
    if like is None:
        return None
    try:
        with Path(like).open("rb") as file, opened(file, like) as image:
            exif = image.getexif()
            for tag in tiff.STRUCTURE & set(exif):
                del exif[tag]
            if not len(exif):
                return None
            exif[ORIENTATION] = 1
            return exif.tobytes()
    except (*UNREADABLE, CalcoError):
        return None


def _tags(like: str | Path | None) -> list[tiff.Tag]:
    """Return the tags of a TIFF; none of another file or one that cannot be read."""
    if like is None:
        return []
    try:
        with Path(like).open("rb") as file:
            return tiff.tags(file)
    except UNREADABLE:
        return []
