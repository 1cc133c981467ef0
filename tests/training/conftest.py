"""Small pictures for the tests of training."""

import numpy as np
import pytest

from calco import images


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 24 pictures, a square on a ground of the opposite colour."""
    folder = tmp_path_factory.mktemp("pictures")
    chance = np.random.default_rng(0)
    for number in range(24):
        colour = chance.integers(0, 255, 3)
        picture = np.full((40, 48, 3), colour, np.uint8)
        picture[10:30, 5 + number % 9 : 30] = 255 - colour
        images.write(folder / f"{number:02d}.png", picture)
    return folder
