"""The smallest training, and what it leaves."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.checkpoint import list_checkpoints, load_checkpoint
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, OptimiserConfig, TrainConfig
from calco.training.trainer import Interrupted, Trainer
from calco.training.translation import train


def tiny(images: Path, out: Path, **changes) -> TrainConfig:
    """The smallest run with everything in it: dropout, batch norm, an average, a falling rate, both networks."""
    config = TrainConfig(
        images=str(images),
        out=str(out),
        recipe=RecipeConfig(recipe="colorize+erase"),
        jitter=JitterConfig(size=32, resize=36, fit="cover"),
        generator=GeneratorConfig(depth=3, filters=4, dropout_everywhere=True),
        discriminator=DiscriminatorConfig(patch=16, filters=4),
        optimiser=OptimiserConfig(batch=4, decay_from=0.5, ema=0.9),
        limit=LimitConfig(epochs=0, steps=12),
        keep=KeepConfig(
            log_steps=2, checkpoint_steps=3, samples=2, validate_steps=1, validation_pairs=2, tensorboard=False
        ),
        compute=ComputeConfig(threads=1),
    )
    return replace(config, **changes)


def cut_short(config: TrainConfig, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until a signal arrives after a step; the limits stay, on which rate, size and adversary depend."""
    update = Trainer._update

    def cut(self, *given):
        update(self, *given)
        if self.step == step:
            self.stop_signal = 15

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_update", cut)
        with pytest.raises(Interrupted):
            train(config, progress=False)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(list_checkpoints(run / "checkpoints")[-1])[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
