"""Embedded colour profiles (ICC.1:2022) => sRGB.

LittleCMS does what has eight bits. It comes without its deeper types, so grey and matrix profiles are computed here for
every depth: curves to light, a matrix between primaries, sRGB's curve back.
"""

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageCms

from calco.imaging.arrays import PEAKS, Image, as_dtype, in_strips

Floats = npt.NDArray[np.floating[Any]]
Curve = Callable[[Floats], Floats]

# Red, green and blue of sRGB as XYZ under D50, to which profiles adapt their colours (IEC 61966-2-1, Bradford).
_SRGB_XYZ: Final = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_ALIKE: Final = 2 / 255  # a profile that changes no colour by more is sRGB under another name
_BROKEN: Final = (ImageCms.PyCMSError, OSError, ValueError, TypeError, LookupError, struct.error)


def to_srgb(colour: Image, profile: bytes) -> Image:
    """Convert an image, HW1 or HW3, from its profile to sRGB.

    A profile that is broken or of other channels changes nothing, nor does one of tables at more than eight bits.
    """
    spaces = {1: b"GRAY", 3: b"RGB "}
    if profile[16:20] != spaces.get(colour.shape[2]):
        return colour
    try:
        if colour.dtype == np.uint8 and colour.shape[2] == 3:
            transform = _transform(profile, "RGB")
            if transform is None:
                return colour
            return in_strips(lambda strip: np.array(transform.apply(Pillow.fromarray(strip))), colour)
        change = _change(profile)
        if change is None:
            return colour
        return in_strips(lambda strip: as_dtype(change(as_dtype(strip, np.float32)), colour.dtype), colour)
    except _BROKEN:
        return colour


def cmyk_to_srgb(image: Pillow.Image, profile: bytes) -> Pillow.Image:
    """Convert CMYK to RGB, by its profile if that is whole, else by the plain complement."""
    try:
        transform = _transform(profile, "CMYK") if profile[16:20] == b"CMYK" else None
        if transform is not None:
            return transform.apply(image)
    except _BROKEN:
        pass
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion of eight bits to sRGB; None where it changes nothing."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode == "RGB":
        lattice = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), axis=-1).reshape(1, -1, 3).astype(np.uint8)
        moved = np.array(transform.apply(Pillow.fromarray(lattice))).astype(int) - lattice
        if np.abs(moved).max() <= 255 * _ALIKE:
            return None
    return transform


@lru_cache(maxsize=16)
def _change(profile: bytes) -> Callable[[Image], Image] | None:
    """Return the conversion of floats HWC in [0, 1] by a grey or matrix profile; None where it changes nothing."""
    tags = _tags(profile)
    grey = profile[16:20] == b"GRAY"
    curves = [_curve(tags[name]) for name in ((b"kTRC",) if grey else (b"rTRC", b"gTRC", b"bTRC"))]
    matrix = np.ones((1, 1))
    if not grey:
        primaries = np.stack([_numbers(tags[name], 8, 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        matrix = np.linalg.solve(_SRGB_XYZ, primaries)

    def change(colour: Image) -> Image:
        light = np.stack([curve(colour[..., index]) for index, curve in enumerate(curves)], axis=-1)
        light = np.clip(light @ matrix.T.astype(np.float32), 0, 1)
        # sRGB's curve (IEC 61966-2-1)
        coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
        return coded.astype(np.float32)

    steps = np.linspace(0, 1, 33, dtype=np.float32)
    lattice = np.stack(np.meshgrid(*[steps] * len(curves)), axis=-1).reshape(1, -1, len(curves))
    return None if np.abs(change(lattice) - lattice).max() <= _ALIKE else change


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(min(count, 100)))
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _numbers(data: bytes, offset: int, count: int) -> npt.NDArray[np.float64]:
    """Read s15Fixed16 numbers."""
    return np.frombuffer(data, ">i4", count, offset) / 65536


def _curve(data: bytes) -> Curve:
    """Return a tone curve: the light of a value in [0, 1]; ValueError if it is neither a table nor a formula."""
    if data[:4] == b"curv":
        (count,) = struct.unpack_from(">I", data, 8)
        table = np.frombuffer(data, ">u2", count, 12).astype(np.float64)
        if count == 0:
            return lambda x: x
        if count == 1:
            return lambda x: x ** (table[0] / 256)
        return lambda x: np.interp(x, np.linspace(0, 1, count), table / PEAKS["uint16"]).astype(np.float32)
    if data[:4] == b"para":
        return _formula(struct.unpack_from(">H", data, 8)[0], data)
    raise ValueError("no tone curve")


def _formula(kind: int, data: bytes) -> Curve:
    """Return a parametric curve (ICC.1:2022, table 68): (a x + b)^g + e from d on, c x + f below."""
    g, a, b, c, d, e, f = 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    given = _numbers(data, 12, (1, 3, 4, 5, 7)[kind])
    g = given[0]
    if kind:
        a, b = given[1:3]
    if kind in (1, 2):
        d = -b / a
        e = f = given[3] if kind == 2 else 0.0
    if kind >= 3:
        c, d = given[3:5]
    if kind == 4:
        e, f = given[5:7]
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).astype(np.float32)
