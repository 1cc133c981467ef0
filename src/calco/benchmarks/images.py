"""Images that are drawn from the seed, so that nobody needs any to measure."""

from pathlib import Path

import numpy as np

from calco import imaging
from calco.data.sample import generator
from calco.imaging import Image


def scene(seed: int, key: str, size_wh: tuple[int, int]) -> Image:
    """Soft colours, a few objects with edges and a little grain: about as hard to pack and to draw as a photograph.

    Returns:
        HW3, uint8.
    """
    rng = generator(seed, 0, key, "bench")
    width, height = size_wh
    image = imaging.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), size_wh, "bicubic").astype(np.int16)
    for _ in range(6):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
        right, bottom = left + int(rng.integers(1, width)) // 2, top + int(rng.integers(1, height)) // 2
        image[top : bottom + 1, left : right + 1] = rng.integers(0, 256, 3)
    grain = rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
    drawn: Image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return drawn


def grey(image: Image) -> Image:
    """HW3 => HW3 without its colours, uint8."""
    return np.ascontiguousarray(imaging.as_channels(image, 1).repeat(3, axis=2))


def write_pairs(folder: Path, seed: int, count: int, side: int) -> None:
    """Side-by-side JPEG files as pix2pix's data sets have them: the grey image on the left, its colours right."""
    folder.mkdir()
    for number in range(count):
        image = scene(seed, f"pair {number}", (side, side))
        imaging.write(folder / f"{number:05d}.jpg", np.concatenate([grey(image), image], axis=1))


def write_photographs(folder: Path, seed: int, count: int, size_wh: tuple[int, int]) -> None:
    """Single JPEG files."""
    folder.mkdir()
    for number in range(count):
        imaging.write(folder / f"{number:05d}.jpg", scene(seed, f"photograph {number}", size_wh))
