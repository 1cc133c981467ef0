"""Evaluations from images to scores: pairs as they are stored, and masks, of which it prints what is odd."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calco import imaging
from calco.data.config import JitterConfig
from calco.data.recipe_config import RecipeConfig
from calco.errors import UsageError
from calco.evaluation import EvaluateConfig
from calco.evaluation.evaluate import evaluate
from calco.inference.folder import ModelInfo, save_model
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig


def test_pairs_as_they_are_stored_for_a_model_that_makes_its_inputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        photo = rng.integers(20, 200, (32, 32, 3), dtype=np.uint8)
        for side, image in (("photo", photo), ("sketch", photo + np.uint8(51))):
            (tmp_path / "set" / side).mkdir(parents=True, exist_ok=True)
            imaging.write(tmp_path / "set" / side / f"{number}.png", image)
    model = untrained(tmp_path / "model", "sketch")
    config = EvaluateConfig(model=model, images=tmp_path / "set", input="sketch", target="photo", out=tmp_path / "out")
    # The input, as a baseline, lies as far from the photograph as the stored one does, 51 of 255.
    assert error(replace(config, recipe="aligned")) == pytest.approx(51 / 255, abs=1e-4)
    assert error(replace(config, out=tmp_path / "made")) != pytest.approx(51 / 255, abs=0.01)
    # A style of sketches in place of the model's own; one that it cannot have is refused.
    styles = [error(replace(config, style=each, out=tmp_path / each)) for each in ("pencil", "hatching", "stipple")]
    assert len(set(styles)) == 3
    assert evaluate(replace(config, style="stipple", out=tmp_path / "s")).setting["sketch.style"] == "stipple"
    with pytest.raises(UsageError, match="'oil'; choose pencil"):
        evaluate(replace(config, style="oil"))
    with pytest.raises(UsageError, match="--style hatching is of the recipe sketch.*leave --style out"):
        evaluate(replace(config, style="hatching", recipe="aligned"))
    with pytest.raises(UsageError, match="--masks .* is of the recipe erase.*leave --masks out"):
        evaluate(replace(config, masks=str(tmp_path)))
    painter = untrained(tmp_path / "painter", "segment")
    with pytest.raises(UsageError, match="the model paints classes"):
        evaluate(replace(config, model=painter, recipe="aligned"))


def error(config: EvaluateConfig) -> float:
    return evaluate(config).systems["input copied"]["l1"].mean


def untrained(folder: Path, recipe: str) -> Path:
    generator = GeneratorConfig(depth=5, filters=4, composition="plain")
    info = ModelInfo(
        generator=generator, recipe=RecipeConfig(recipe=recipe),
        jitter=JitterConfig(size=32, resize=32), in_channels=3, out_channels=3,
    )  # fmt: skip
    torch.manual_seed(0)
    save_model(folder, info, build_generator(generator, 3, 3).state_dict(), None)
    return folder


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
    model = untrained(tmp_path / "model", "segment")
    card = evaluate(EvaluateConfig(model=model, images=tmp_path / "set", out=tmp_path / "out"))
    assert card.num_images == 6
    assert "1 mask of one value alone" in caplog.text
