"""Videos as cameras, players and other programs write them: display matrices, fields, HDR, and streams beside."""

import struct
from pathlib import Path

import numpy as np

from calco.imaging import Image

# a, b, c, d of the display matrix (x' = a x + c y, y' = b x + d y), and what it does to an image.
MATRICES = {
    "upright": (1, 0, 0, 1), "hflip": (-1, 0, 0, 1), "vflip": (1, 0, 0, -1), "rot180": (-1, 0, 0, -1),
    "rot90": (0, 1, -1, 0), "rot270": (0, -1, 1, 0), "transpose": (0, 1, 1, 0), "transverse": (0, -1, -1, 0),
}  # fmt: skip


def shown_by(name: str, image: Image) -> Image:
    """What a player shows of a coded image, pixel by pixel as the matrix says."""
    a, b, c, d = MATRICES[name]
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    result = np.empty((down.max() + 1, right.max() + 1, image.shape[2]), image.dtype)
    result[down, right] = image
    return result


def with_matrix(source: Path, target: Path, matrix: tuple[float, ...]) -> Path:
    """Copy an MP4, with another display matrix in the header of its first track."""
    data = bytearray(source.read_bytes())
    start = data.find(b"tkhd")
    at = start + 8 + (32 if data[start + 4] else 20) + 16
    a, b, c, d = (round(number * 65536) for number in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def combed(number: int, size_wh: tuple[int, int] = (96, 64)) -> Image:
    """A frame of two moments: a bar that moves by 4 pixels from field to field, above a grid that rests."""
    width, height = size_wh
    fields = []
    for step in (2 * number, 2 * number + 1):
        image = np.full((height, width, 3), 60, np.uint8)
        at = 4 * step % (width - 8)
        image[8:32, at : at + 8] = 235
        image[40:56:2] = 200  # lines that rest: only filters that look at the neighbours keep them
        fields.append(image)
    frame = fields[0].copy()
    frame[1::2] = fields[1][1::2]
    return frame


def comb(image: Image) -> float:
    """How much neighbouring lines of the moving part differ more than lines two apart; about 0 without a comb."""
    luma = image[8:32].astype(float).mean(axis=2)
    return float(np.abs(luma[1:-1] * 2 - luma[:-2] - luma[2:]).mean() - np.abs(luma[2:] - luma[:-2]).mean())
