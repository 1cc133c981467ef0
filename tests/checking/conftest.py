"""Images with details to tell them apart by."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from calco import imaging
from calco.imaging import Image

Write = Callable[[str, Image], Path]


def photo(seed: int, width: int = 96, height: int = 96) -> Image:
    """Blots of many sizes in colour, HW3, different for each seed."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for sigma, weight in ((16, 3.0), (6, 2.0), (2.5, 1.0), (1, 0.5)):
        blots = cv2.GaussianBlur(rng.standard_normal((height, width, 3)).astype(np.float32), (0, 0), sigma)
        total += weight * blots / blots.std()
    return np.clip(128 + 22 * total, 0, 255).astype(np.uint8)


def drawing(image: Image) -> Image:
    """Dark lines on white where the image is steep, HW1."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.5)
    steep = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return np.where(steep > np.quantile(steep, 0.8), 30, 250).astype(np.uint8)[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an image under tmp_path / "set"."""

    def write(name: str, image: Image) -> Path:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        imaging.write(path, image)
        return path

    return write


@pytest.fixture
def pairs(write: Write) -> Callable[[int], None]:
    """Writes so many clean pairs, drawing and photo, p00 and so on."""

    def make(count: int) -> None:
        for n in range(count):
            write(f"photo/p{n:02}.png", photo(n))
            write(f"sketch/p{n:02}.png", drawing(photo(n)))

    return make
