"""What all rows share: how they are measured, the sizes of their work, and images from a seed."""

import contextlib
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from calco import imaging, journal
from calco.benchmarks import BenchConfig, Sizes
from calco.benchmarks.reference import Reference
from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.data.sample import generator
from calco.errors import CalcoError
from calco.hardware import processor
from calco.imaging import Image
from calco.inference.folder import ModelInfo
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.machine import NAMES, choose_precision, has_bfloat16
from calco.records import to_record, write_yaml
from calco.training.config import ComputeConfig, OptimiserConfig, TrainConfig, pix2pix
from calco.training.pairs import Batch
from calco.training.run_folder import CONFIG_FORMAT
from calco.training.step import Networks, training_step
from calco.version import __version__

LOOP = "reference loop"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: values in `unit`, and the median, lowest and highest of the repeats' ratios.

    Where they are known, `operations` are the floating-point operations per second of ours, `precision` that of its
    convolutions, and `share` what that is of the machine's peak.
    """

    group: str = ""
    name: str
    unit: str
    ours: float
    reference: float
    ratio: float
    low: float
    high: float
    against: str = LOOP
    operations: float = 0.0
    precision: str = ""
    share: float = 0.0

    @classmethod
    def of(cls, name: str, unit: str, ours: Sequence[float], reference: Sequence[float], against: str = LOOP) -> "Row":
        """Summarise the repeats, each compared with its neighbour of the other kind."""
        ratios = [one / other for one, other in zip(ours, reference, strict=True)]
        return cls(
            name=name, unit=unit, ours=statistics.median(ours), reference=statistics.median(reference),
            ratio=statistics.median(ratios), low=min(ratios), high=max(ratios), against=against,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A row whose two sides are still to be timed; `count` pieces a call give a rate, 0 gives seconds.

    `operations` are those of a piece of ours, where they are known, in a `precision`.
    """

    name: str
    unit: str
    count: float
    ours: Callable[[], object]
    reference: Callable[[], object]
    against: str = LOOP
    operations: float = 0.0
    precision: str = ""

    def measure(self, repeats: int, device: torch.device) -> Row:
        """Time both sides in turns after one round that does not count: what slows the machine slows both."""
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats + 1):
            for times, work in zip(seconds, (self.ours, self.reference), strict=True):
                synchronise(device)
                start = time.perf_counter()
                work()
                synchronise(device)
                times.append(time.perf_counter() - start)
        ours, theirs = ([self.count / each if self.count else each for each in times[1:]] for times in seconds)
        row = Row.of(self.name, self.unit, ours, theirs, self.against)
        return replace(row, operations=self.operations * row.ours, precision=self.precision)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A group, or a part of one, that cannot be measured here, and why."""

    what: str
    reason: str


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def count_operations(work: Callable[[], object]) -> float:
    """Floating-point operations of the convolutions and matrix products of a call, two for a multiplication and sum."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _backward}) as counter:
        work()
    return float(counter.get_total_flops())


def _backward(
    out: Sequence[int], given: Sequence[int], weight: Sequence[int], _bias: object, _stride: object, _padding: object,
    _dilation: object, transposed: bool, _output_padding: object, _groups: object, wanted: Sequence[bool], **_: object,
) -> int:  # fmt: skip
    """Operations of the gradients of a convolution; torch's own formula counts each group as if it had all channels."""
    places = given if transposed else out
    return 2 * places[0] * math.prod(places[2:]) * math.prod(weight) * (wanted[0] + wanted[1])


def peaks(device: torch.device, side: int) -> dict[str, float]:
    """Operations per second of a product of square matrices by precision, the best of several: NAME => 1/s."""
    found: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16) if has_bfloat16(device) else (torch.float32,):
        matrix = torch.ones(side, side, device=device, dtype=dtype)
        seconds = []
        for _ in range(6):
            synchronise(device)
            start = time.perf_counter()
            matrix @ matrix
            synchronise(device)
            seconds.append(time.perf_counter() - start)
        found[NAMES[dtype]] = 2 * side**3 / min(seconds)
    return found


def scene(seed: int, key: str, size_wh: tuple[int, int]) -> Image:
    """Soft colours, a few objects with edges and a little grain, about as hard to encode as a photograph: HW3 uint8."""
    rng = generator(seed, 0, key, "bench")
    width, height = size_wh
    image = imaging.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), size_wh, "bicubic").astype(np.int16)
    for _ in range(6):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
        right, bottom = left + int(rng.integers(1, width)) // 2, top + int(rng.integers(1, height)) // 2
        image[top : bottom + 1, left : right + 1] = rng.integers(0, 256, 3)
    grain = rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
    pixels: Image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return pixels


def grey(image: Image) -> Image:
    """HW3 => HW3 without its colours, uint8."""
    return np.ascontiguousarray(imaging.as_channels(image, 1).repeat(3, axis=2))


def write_images(folder: Path, seed: int, count: int, size_wh: tuple[int, int], *, pairs: bool) -> Path:
    """Write JPEG files: single images, or pairs side by side with the grey image on the left as pix2pix has them."""
    folder.mkdir()
    for number in range(count):
        image = scene(seed, f"image {number}", size_wh)
        imaging.write(folder / f"{number:05d}.jpg", np.concatenate([grey(image), image], axis=1) if pairs else image)
    return folder


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Head of the table: the machine, its libraries, and its load average before and after."""

    date: str
    processor: str
    cores: int
    memory_gib: float
    device: str
    precision: str
    threads: int
    versions: dict[str, str]
    load: tuple[float, float]
    peaks: dict[str, float]  # operations per second of a matrix product, by precision

    @classmethod
    def of(cls, compute: ComputeConfig, device: torch.device, load_before: float, peaks: dict[str, float]) -> "Machine":
        """Describe the machine after the work."""
        libraries = ("torch", "numpy", "pillow", "opencv-python-headless")
        return cls(
            date=datetime.now(UTC).date().isoformat(),
            processor=processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30),
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            precision=str(choose_precision(compute.precision, device)).removeprefix("torch."),
            threads=torch.get_num_threads(),
            versions={"calco": __version__, "python": platform.python_version()}
            | {name: version(name) for name in libraries},
            load=(round(load_before, 2), round(os.getloadavg()[0], 2)),
            peaks=peaks,
        )

    def lines(self) -> list[str]:
        """Format the head."""
        return [
            f"{self.date}, {self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB",
            f"{self.device} in {self.precision}, the reference in float32; threads: {self.threads} for both",
            ", ".join(f"{name} {number}" for name, number in self.versions.items()),
            "peak, by a matrix product: "
            + ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {name}" for name, rate in self.peaks.items()),
            f"load average {self.load[0]:.1f} before, {self.load[1]:.1f} after (this work is in it)",
        ]


@dataclass(frozen=True)
class Setting:
    """A bench at work."""

    config: BenchConfig
    sizes: Sizes
    device: torch.device
    folder: Path

    @property
    def compute(self) -> ComputeConfig:
        """Computation of a training by default."""
        return ComputeConfig(device=str(self.device), precision=self.config.precision, threads=torch.get_num_threads())

    @property
    def resize(self) -> int:
        """Side that images have before the crop: 286 for 256."""
        return round(self.sizes.size * 286 / 256)

    def train_config(self, batch: int = 1) -> TrainConfig:
        """Return the published training at a batch size."""
        return replace(
            pix2pix(),
            seed=self.config.seed,
            jitter=JitterConfig(size=self.sizes.size, resize=self.resize, resampling="bicubic"),
            generator=GeneratorConfig(depth=self.sizes.depth, filters=self.sizes.filters, composition="plain"),
            discriminator=DiscriminatorConfig(filters=self.sizes.filters),
            optimiser=OptimiserConfig(batch=batch),
            compute=self.compute,
        )

    def info(self, network: GeneratorConfig) -> ModelInfo:
        """Describe a model from three channels to three."""
        return ModelInfo(
            generator=network, recipe=RecipeConfig(recipe="aligned"), jitter=self.train_config().jitter, in_channels=3,
            out_channels=3,
        )  # fmt: skip

    def reference(self) -> Reference:
        """Return the reference loop with random weights."""
        torch.manual_seed(self.config.seed)
        return Reference(self.sizes.depth, self.sizes.filters, device=self.device)

    def noise(self, batch: int, side: int = 0) -> tuple[Batch, tuple[Tensor, Tensor]]:
        """Return one batch as our loader gives it, and the same as the reference's loader would."""
        rng = generator(self.config.seed, 0, f"batch of {batch}", "bench")
        side = side or self.sizes.size
        first, second = (
            torch.from_numpy(rng.integers(0, 256, (batch, 3, side, side), dtype=np.uint8)) for _ in ("input", "target")
        )
        return Batch(first, second, torch.ones(batch, 1, side, side)), (as_loaded(first), as_loaded(second))

    def our_step(self, batch: int) -> Callable[[], object]:
        """Return one step of ours on the same pairs each time."""
        networks, (pairs, _) = Networks(self.train_config(batch), 3, 3, self.device), self.noise(batch)
        return lambda: training_step(networks, [pairs])

    def log_of(self, config: TrainConfig, folder: Path) -> list[dict[str, Any]]:
        """Train in a program of its own, as a user does, into a folder; return the rows of its log."""
        page = self.folder / f"{folder.name}.yaml"
        write_yaml(page, {"trains": "translator", "format": CONFIG_FORMAT, **to_record(config)}, "calco bench")
        command = [sys.executable, "-m", "calco", "train", "--config", str(page), "--out", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
            raise CalcoError(f"a training of the bench failed ({reason})")
        return journal.read(folder / "log.jsonl")

    @property
    def precision(self) -> str:
        """Name of the precision of convolutions."""
        return NAMES[choose_precision(self.config.precision, self.device)]

    @cached_property
    def pairs(self) -> Path:
        """Folder of side-by-side pairs."""
        side = self.sizes.size
        return write_images(self.folder / "pairs", self.config.seed, self.sizes.pairs, (side, side), pairs=True)

    @cached_property
    def photographs(self) -> Path:
        """Folder of single images."""
        sizes = self.sizes
        folder = self.folder / "photographs"
        return write_images(folder, self.config.seed, sizes.photographs, sizes.photograph_wh, pairs=False)


def as_loaded(images: Tensor) -> Tensor:
    """uint8 => what the reference's loader makes of it, float32 in [-1, 1]."""
    return (images.float().div(255) - 0.5) / 0.5


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread, as in a worker of a DataLoader."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
