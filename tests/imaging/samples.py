"""Images and colour profiles that the tests of images make."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from calco import imaging
from calco.errors import CalcoError

DTYPES = (np.uint8, np.uint16, np.float32)
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))  # Adobe RGB (1998), D50


def photo(height: int = 40, width: int = 60, channels: int = 3, seed: int = 0, dtype: type = np.uint8) -> imaging.Image:
    """A smooth image, HWC, different in every corner."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    return imaging.resize(imaging.as_dtype(small, dtype), (width, height), "bicubic")


def noise(height: int, width: int, channels: int, dtype: type) -> imaging.Image:
    """Every level of the type may stand in it."""
    values = np.random.default_rng(1).random((height, width, channels))
    return values.astype(dtype) if dtype is np.float32 else (values * (np.iinfo(dtype).max + 1)).astype(dtype)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    """Writes an image as another program would."""
    image = Pillow.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def one_line(error: CalcoError, path: Path) -> bool:
    """Whether a message names the file and a remedy, in one line."""
    return str(path) in str(error) and "\n" not in str(error) and ";" in str(error)


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


_WHITE = b"XYZ \0\0\0\0" + _fixed(0.9642, 1.0, 0.8249)


_COLUMNS = (b"rXYZ", b"gXYZ", b"bXYZ")


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of these tags."""
    offset, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += b"\0" * (-len(content) % 4)
        table += struct.pack(">4sII", name, offset + len(data), len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s", offset + len(data), b"\0" * 4, 0x02400000, kind, space, connection)
    header = (header.ljust(36, b"\0") + b"acsp").ljust(68, b"\0") + _fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def gamma_curve(gamma: float) -> bytes:
    """A tone curve that is a power."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(curve: bytes, primaries: tuple[tuple[float, ...], ...] = ADOBE) -> bytes:
    """A display's profile: a curve for all channels and the XYZ of red, green and blue."""
    columns = {name: _WHITE[:8] + _fixed(*xyz) for name, xyz in zip(_COLUMNS, primaries, strict=True)}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(b"mntr", b"RGB ", b"XYZ ", {b"wtpt": _WHITE} | columns | curves)


def grey_profile(curve: bytes) -> bytes:
    """A grey profile."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _WHITE, b"kTRC": curve})


def cmyk_profile(cyan_lab: tuple[int, int, int]) -> bytes:
    """A press whose cyan is of a colour of its own (Lab, as bytes), everything else white or black."""
    corners = np.zeros((2, 2, 2, 2, 3), np.uint8)
    corners[...] = (0, 128, 128)
    corners[0, 0, 0, 0], corners[1, 0, 0, 0] = (255, 128, 128), cyan_lab
    levels = bytes(range(256))
    table = b"mft1\0\0\0\0" + struct.pack(">BBBB", 4, 3, 2, 0) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += levels * 4 + corners.tobytes() + levels * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})
