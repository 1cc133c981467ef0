"""Pictures that are drawn from the seed, so that nobody needs any to measure."""

from pathlib import Path

import numpy as np

from calco import images
from calco.images import Image
from calco.pairs.types import generator


def scene(seed: int, key: str, size_wh: tuple[int, int]) -> Image:
    """Soft colours, a few things with edges and a little grain: about as hard to pack and to draw as a photograph.

    Returns:
        HW3, uint8.
    """
    rng = generator(seed, 0, key, "bench")
    width, height = size_wh
    picture = images.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), size_wh, "bicubic").astype(np.int16)
    for _ in range(6):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
        right, bottom = left + int(rng.integers(1, width)) // 2, top + int(rng.integers(1, height)) // 2
        picture[top : bottom + 1, left : right + 1] = rng.integers(0, 256, 3)
    grain = rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
    drawn: Image = np.clip(picture + grain, 0, 255).astype(np.uint8)
    return drawn


def grey(picture: Image) -> Image:
    """HW3 => HW3 without its colours, uint8."""
    return np.ascontiguousarray(images.as_channels(picture, 1).repeat(3, axis=2))


def write_pairs(folder: Path, seed: int, count: int, side: int) -> None:
    """Side-by-side JPEG files as pix2pix's data sets have them: the grey picture on the left, its colours right."""
    folder.mkdir()
    for number in range(count):
        picture = scene(seed, f"pair {number}", (side, side))
        images.write(folder / f"{number:05d}.jpg", np.concatenate([grey(picture), picture], axis=1))


def write_photographs(folder: Path, seed: int, count: int, size_wh: tuple[int, int]) -> None:
    """Single JPEG files."""
    folder.mkdir()
    for number in range(count):
        images.write(folder / f"{number:05d}.jpg", scene(seed, f"photograph {number}", size_wh))
