"""Small images for the tests of training."""

from dataclasses import replace

import numpy as np
import pytest

from calco import imaging
from calco.training.translation import train
from training.tiny import tiny


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder of 24 images, a square on a ground of the opposite colour."""
    folder = tmp_path_factory.mktemp("images")
    chance = np.random.default_rng(0)
    for number in range(24):
        colour = chance.integers(0, 255, 3)
        image = np.full((40, 48, 3), colour, np.uint8)
        image[10:30, 5 + number % 9 : 30] = 255 - colour
        imaging.write(folder / f"{number:02d}.png", image)
    return folder


@pytest.fixture(scope="session")
def done(images, tmp_path_factory):
    """A tiny run of 12 steps that nothing disturbed, with TensorBoard's events; tests do not change it."""
    config = tiny(images, tmp_path_factory.mktemp("done") / "run")
    return train(replace(config, keep=replace(config.keep, tensorboard=True)), progress=False)
