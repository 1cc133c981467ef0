"""Warm start: a run that begins with the weights of a trained model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from calco.data.recipes import RecipeConfig
from calco.errors import CalcoError
from calco.inference.folder import read_weights
from calco.networks.unet import UNet
from calco.training.checkpoint import latest_checkpoint, load_checkpoint, take_weights
from calco.training.translation import train
from training.tiny import tiny


def test_a_run_starts_from_the_weights_of_another(
    images: Path, done: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(tiny(images, tmp_path / "run"), start=str(done))
    still = replace(config, optimiser=replace(config.optimiser, learning_rate=1e-12))
    run = train(still, progress=False)
    before, now = read_weights(done / "model"), read_weights(run / "model")
    kernels = [name for name, tensor in before.items() if tensor.dim() == 4]
    assert all(torch.allclose(now[name], before[name], atol=1e-6) for name in kernels)
    (line,) = [record.message for record in caplog.records if record.message.startswith("weights of")]
    assert "generator 100.0% of" in line
    assert "discriminator 100.0% of" in line
    ours, _ = load_checkpoint(latest_checkpoint(run / "checkpoints"))
    theirs, _ = load_checkpoint(latest_checkpoint(done / "checkpoints"))
    first = "discriminator.body.0.weight"
    assert torch.allclose(ours[first], theirs[first], atol=1e-6)
    assert json.loads((run / "model" / "model.json").read_text())["provenance"]["start"] == line


def test_a_resumed_run_does_not_start_again(images: Path, done: Path, tmp_path: Path) -> None:
    start = shutil.copytree(done, tmp_path / "start")
    config = replace(tiny(images, tmp_path / "run"), start=str(start))
    run = train(replace(config, limit=replace(config.limit, steps=6)), progress=False)
    shutil.rmtree(start)
    assert train(config, resume=True, progress=False) == run
    provenance = json.loads((run / "model" / "model.json").read_text())["provenance"]
    assert provenance["start"].startswith(f"weights of {start}: generator 100.0% of")


def test_channels_that_both_have_are_taken() -> None:
    torch.manual_seed(0)
    colour, grey, more = (UNet(channels, 3, depth=3, filters=4, norm="none") for channels in (3, 1, 5))
    colour.eval(), grey.eval(), more.eval()
    took = take_weights(grey, colour.state_dict())
    assert took.adapted == ("downs.0.0.weight",)
    assert took.taken == took.total
    x = torch.rand(1, 1, 16, 16) * 2 - 1
    assert torch.allclose(grey(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-5)
    take_weights(more, colour.state_dict())
    y = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.allclose(more(torch.cat([y, torch.ones(1, 2, 16, 16)], 1)), colour(y), atol=1e-5)


def test_a_model_that_shares_nothing_is_refused(images: Path, done: Path, tmp_path: Path) -> None:
    config = replace(tiny(images, tmp_path / "run"), start=str(done), recipe=RecipeConfig(recipe="colorize"))
    other = replace(config, generator=replace(config.generator, architecture="resnet", filters=5, blocks=1))
    with pytest.raises(CalcoError, match="shares no weights"):
        train(other, progress=False)
    with pytest.raises(CalcoError, match="there is no"):
        train(replace(config, start=str(tmp_path / "nowhere")), progress=False)
    assert not (tmp_path / "run").exists()
