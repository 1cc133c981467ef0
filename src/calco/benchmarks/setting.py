"""What all rows share: configurations of one size, and images that are drawn once."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calco.benchmarks.config import BenchConfig, Sizes
from calco.benchmarks.images import write_pairs, write_photographs
from calco.benchmarks.reference import Reference
from calco.benchmarks.timing import alternate, per_second
from calco.console import console
from calco.data.config import JitterConfig
from calco.data.sample import generator
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import ComputeConfig, OptimiserConfig, TrainConfig, pix2pix
from calco.training.pairs import Batch
from calco.training.step import Networks, training_step


@dataclass(frozen=True)
class Setting:
    """A bench at work."""

    config: BenchConfig
    sizes: Sizes
    device: torch.device
    folder: Path

    @property
    def compute(self) -> ComputeConfig:
        """Ours, as a training has it by default."""
        return ComputeConfig(device=str(self.device), precision=self.config.precision, threads=torch.get_num_threads())

    @property
    def resize(self) -> int:
        """The side that images are brought to before the crop: 286 for 256."""
        return round(self.sizes.size * 286 / 256)

    def train_config(self, batch: int) -> TrainConfig:
        """The published training at a batch size, computed as on this machine by default."""
        return replace(
            pix2pix(),
            seed=self.config.seed,
            jitter=JitterConfig(size=self.sizes.size, resize=self.resize, resampling="bicubic"),
            generator=GeneratorConfig(depth=self.sizes.depth, filters=self.sizes.filters, composition="plain"),
            discriminator=DiscriminatorConfig(filters=self.sizes.filters),
            optimiser=OptimiserConfig(batch=batch),
            compute=self.compute,
        )

    def reference(self) -> Reference:
        """The reference loop with fresh weights."""
        torch.manual_seed(self.config.seed)
        return Reference(self.sizes.depth, self.sizes.filters, device=self.device)

    def noise(self, batch: int) -> tuple[Batch, tuple[Tensor, Tensor]]:
        """One batch as our loader gives it, and the same as the reference's loader would."""
        rng = generator(self.config.seed, 0, f"batch of {batch}", "bench")
        side = self.sizes.size
        first, second = (
            torch.from_numpy(rng.integers(0, 256, (batch, 3, side, side), dtype=np.uint8)) for _ in ("input", "target")
        )
        return Batch(first, second, torch.ones(batch, 1, side, side)), (as_loaded(first), as_loaded(second))

    def our_step(self, batch: int) -> Callable[[], object]:
        """One step of ours, again and again on the same pairs."""
        networks, (pairs, _) = Networks(self.train_config(batch), 3, 3, self.device), self.noise(batch)
        return lambda: training_step(networks, [pairs])

    @cached_property
    def need(self) -> float:
        """Pairs that our training step consumes in a second at the largest batch."""
        batch = max(self.sizes.batches)
        step = self.our_step(batch)
        seconds, _ = alternate(step, lambda: None, max(2, self.config.repeats // 2), self.device)
        return float(np.median(per_second(batch, seconds)))

    @cached_property
    def pairs(self) -> Path:
        """A folder of side-by-side pairs."""
        folder = self.folder / "pairs"
        write_pairs(folder, self.config.seed, self.sizes.pairs, self.sizes.size)
        return folder

    @cached_property
    def photographs(self) -> Path:
        """A folder of single images."""
        folder = self.folder / "photographs"
        write_photographs(folder, self.config.seed, self.sizes.photographs, self.sizes.photograph_wh)
        return folder


def as_loaded(images: Tensor) -> Tensor:
    """uint8 => what the reference's loader makes of it, float32 in [-1, 1]."""
    return (images.float().div(255) - 0.5) / 0.5


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keeps what a verb says while it is measured from the terminal."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Lets torch compute with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
