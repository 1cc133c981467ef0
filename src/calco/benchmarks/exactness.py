"""Rows of exactness: what is computed faster learns the same."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from calco.benchmarks.images import grey, scene
from calco.benchmarks.reference import Reference
from calco.benchmarks.setting import Setting, as_loaded
from calco.benchmarks.timing import Row, row
from calco.data.config import JitterConfig
from calco.data.sample import generator
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import ComputeConfig, OptimiserConfig, TrainConfig, pix2pix
from calco.training.pairs import Batch
from calco.training.step import Networks, training_step

BATCH, PAIRS, LAST = 4, 64, 0.25
Step = Callable[[Batch], float]


def curves(setting: Setting) -> Iterator[Row]:
    """Small networks on the same pairs from the same weights: the mean L1 of the last quarter of their steps.

    The spread of a row is that of the seeds.
    """
    kinds: dict[str, list[float]] = {"bf16": [], "fp32": [], "ours": [], "reference": []}
    images = _images(setting)
    for seed in range(setting.config.seed, setting.config.seed + setting.sizes.exact_seeds):
        steps: dict[str, Step] = {
            "fp32": _our_steps(setting, seed, replace(setting.compute, precision="fp32")),
            "bf16": _our_steps(setting, seed, replace(setting.compute, precision="bf16")),
            "ours": _our_steps(setting, seed, setting.compute),
            "reference": _reference_steps(setting, seed),
        }
        for name, step in steps.items():
            kinds[name].append(_last(setting, seed, images, step))
    noise = statistics.stdev(kinds["fp32"]) / statistics.mean(kinds["fp32"]) if len(kinds["fp32"]) > 1 else 0.0
    between = f"fp32, whose seeds differ by {noise:.1%}"
    yield row("exact", "L1 of a short training in bf16", "L1", kinds["bf16"], kinds["fp32"], between)
    yield row("exact", "L1 of a short training as by default", "L1", kinds["ours"], kinds["reference"])


def _config(setting: Setting, seed: int, compute: ComputeConfig) -> TrainConfig:
    sizes = setting.sizes
    return replace(
        pix2pix(),
        seed=seed,
        jitter=JitterConfig(size=sizes.exact_size, resize=sizes.exact_size),
        generator=GeneratorConfig(depth=5, filters=sizes.exact_filters, composition="plain"),
        discriminator=DiscriminatorConfig(patch=34, filters=sizes.exact_filters),
        optimiser=OptimiserConfig(batch=BATCH),
        compute=compute,
    )


def _our_steps(setting: Setting, seed: int, compute: ComputeConfig) -> Step:
    networks = Networks(_config(setting, seed, compute), 3, 3, setting.device)
    return lambda batch: training_step(networks, [batch])["g_pixel"]


def _reference_steps(setting: Setting, seed: int) -> Step:
    loop = Reference(5, setting.sizes.exact_filters, layers=2, device=setting.device)
    networks = Networks(_config(setting, seed, setting.compute), 3, 3, setting.device)
    take_weights(loop, networks)
    return lambda batch: loop.step(as_loaded(batch.input), as_loaded(batch.target))["g_pixel"]


def take_weights(loop: Reference, networks: Networks) -> None:
    """Gives the reference the weights of ours: the same layers stand in both in the same order."""
    assert networks.discriminator is not None
    for theirs, ours in ((loop.generator, networks.generator), (loop.discriminator, networks.discriminator)):
        theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))


def _images(setting: Setting) -> tuple[Tensor, Tensor]:
    """Grey and coloured images, N, 3, H, W, uint8."""
    side = setting.sizes.exact_size
    coloured = [scene(setting.config.seed, f"exact {number}", (side, side)) for number in range(PAIRS)]
    sides = ([grey(image) for image in coloured], coloured)
    given, wanted = (torch.from_numpy(np.stack(each).transpose(0, 3, 1, 2).copy()) for each in sides)
    return given, wanted


def _last(setting: Setting, seed: int, images: tuple[Tensor, Tensor], step: Step) -> float:
    """Trains, and gives the mean L1 of the last part of the steps."""
    torch.manual_seed(seed)  # of the dropout
    rng, losses = generator(seed, 0, "exact", "order"), []
    weight = torch.ones(BATCH, 1, *images[0].shape[-2:])
    for _ in range(setting.sizes.exact_steps):
        chosen = torch.from_numpy(rng.choice(PAIRS, BATCH, replace=False))
        losses.append(step(Batch(images[0][chosen], images[1][chosen], weight)))
    return statistics.mean(losses[-max(1, int(len(losses) * LAST)) :])
