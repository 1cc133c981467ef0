"""Small images on disk for the tests of pairs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calco import imaging

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes an image under tmp_path, whose colours depend on its name; `levels` gives it few of them, and noise."""

    def write(name: str, width: int = 32, height: int = 24, channels: int = 3, levels: int = 0) -> Path:
        rng = np.random.default_rng(sum(name.encode()))
        size = (height, width, channels) if levels else (4, 5, channels)
        image = rng.integers(0, 256, size, dtype=np.uint8)
        image = (image // (256 // levels) * (255 // (levels - 1))).astype(np.uint8) if levels else image
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        imaging.write(path, imaging.resize(image, (width, height), "bicubic"))
        return path

    return write
