"""An evaluation on masks prints what is odd about them before it scores."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from calco import imaging
from calco.data.config import JitterConfig
from calco.data.recipe_config import RecipeConfig
from calco.evaluation import EvaluateConfig
from calco.evaluation.evaluate import evaluate
from calco.inference.folder import ModelInfo, save_model
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig


def test_findings_on_the_masks_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "calco")
    rng = np.random.default_rng(0)
    for side in ("images", "masks"):
        (tmp_path / "set" / side).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((32, 32, 1), np.uint8)
        mask[8:20, 6 : 12 + number] = 255
        if number == 5:
            mask[:] = 0
        imaging.write(tmp_path / "set" / "masks" / f"{number}.png", mask)
        image = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        imaging.write(tmp_path / "set" / "images" / f"{number}.png", image)
    generator = GeneratorConfig(depth=5, filters=4, composition="plain")
    info = ModelInfo(
        generator=generator, recipe=RecipeConfig(recipe="segment"),
        jitter=JitterConfig(size=32, resize=32), in_channels=3, out_channels=3,
    )  # fmt: skip
    torch.manual_seed(0)
    save_model(tmp_path / "model", info, build_generator(generator, 3, 3).state_dict(), None)
    card = evaluate(EvaluateConfig(model=tmp_path / "model", images=tmp_path / "set", out=tmp_path / "out"))
    assert card.num_images == 6
    assert "1 mask of one value alone" in caplog.text
