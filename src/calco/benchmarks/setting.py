"""What all rows share: configurations of one size, and images that are drawn once."""

import contextlib
import os
import platform
import resource
import statistics
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

from calco import imaging
from calco.benchmarks.config import BenchConfig, Sizes
from calco.benchmarks.reference import Reference
from calco.console import console
from calco.data.config import JitterConfig
from calco.data.sample import generator
from calco.imaging import Image
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.machine import choose_precision
from calco.training.config import ComputeConfig, OptimiserConfig, TrainConfig, pix2pix
from calco.training.pairs import Batch
from calco.training.step import Networks, training_step
from calco.version import __version__


def scene(seed: int, key: str, size_wh: tuple[int, int]) -> Image:
    """Soft colours, a few objects with edges and a little grain: about as hard to pack and to draw as a photograph.

    Returns:
        HW3, uint8.
    """
    rng = generator(seed, 0, key, "bench")
    width, height = size_wh
    image = imaging.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), size_wh, "bicubic").astype(np.int16)
    for _ in range(6):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
        right, bottom = left + int(rng.integers(1, width)) // 2, top + int(rng.integers(1, height)) // 2
        image[top : bottom + 1, left : right + 1] = rng.integers(0, 256, 3)
    grain = rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
    drawn: Image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return drawn


def grey(image: Image) -> Image:
    """HW3 => HW3 without its colours, uint8."""
    return np.ascontiguousarray(imaging.as_channels(image, 1).repeat(3, axis=2))


def write_pairs(folder: Path, seed: int, count: int, side: int) -> None:
    """Side-by-side JPEG files as pix2pix's data sets have them: the grey image on the left, its colours right."""
    folder.mkdir()
    for number in range(count):
        image = scene(seed, f"pair {number}", (side, side))
        imaging.write(folder / f"{number:05d}.jpg", np.concatenate([grey(image), image], axis=1))


def write_photographs(folder: Path, seed: int, count: int, size_wh: tuple[int, int]) -> None:
    """Single JPEG files."""
    folder.mkdir()
    for number in range(count):
        imaging.write(folder / f"{number:05d}.jpg", scene(seed, f"photograph {number}", size_wh))


_TOLD = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_LIBRARIES = ("torch", "numpy", "pillow", "opencv-python-headless")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The head of the table.

    Attributes:
        date: The day, in UTC.
        processor: Its name, and those of its instructions that matter here.
        cores: How many this process may use.
        memory_gib: The machine's memory.
        device: Where the networks compute.
        precision: What ours computes in.
        threads: Threads of the CPU, for both.
        versions: Of Calco, Python and the libraries that do the work.
        load: The machine's load average over a minute, before and after; each core at work counts one.
    """

    date: str
    processor: str
    cores: int
    memory_gib: float
    device: str
    precision: str
    threads: int
    versions: dict[str, str]
    load: tuple[float, float]

    def lines(self) -> list[str]:
        """The head in words."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return [
            f"{self.date}, {self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB",
            f"{self.device} in {self.precision}, the reference in float32; threads: {self.threads} for both",
            versions,
            f"load average {self.load[0]:.1f} before, {self.load[1]:.1f} after (this work is in it)",
        ]


def describe(compute: ComputeConfig, device: torch.device, load_before: float) -> Machine:
    """The machine as it is now; to be called when the work is done."""
    precision = str(choose_precision(compute.precision, device)).removeprefix("torch.")
    return Machine(
        date=datetime.now(UTC).date().isoformat(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        precision=precision,
        threads=torch.get_num_threads(),
        versions={
            "calco": __version__, "python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}
        },
        load=(round(load_before, 2), round(load_now(), 2)),
    )  # fmt: skip


def load_now() -> float:
    """How many processes wanted to work, on the mean of the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    told: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            told[name.strip()] = value.strip()
    flags = [flag for flag in _TOLD if flag in told.get("flags", "").split()]
    return told.get("model name", platform.machine()) + (f" ({', '.join(flags)})" if flags else "")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        group: The group that it belongs to.
        name: What was measured.
        unit: Of both values.
        ours: What Calco reached.
        reference: What it stands beside.
        ratio: Ours by the reference: the median over the repeats.
        low: The lowest of the repeats' ratios.
        high: The highest.
        against: What the reference is.
    """

    group: str
    name: str
    unit: str
    ours: float
    reference: float
    ratio: float
    low: float
    high: float
    against: str = "reference loop"


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A group that cannot be measured here, and why."""

    group: str
    reason: str


def row(
    group: str, name: str, unit: str, ours: Sequence[float], reference: Sequence[float], against: str = "reference loop"
) -> Row:
    """A row of what the repeats gave, each beside its neighbour of the other kind."""
    ratios = [one / other for one, other in zip(ours, reference, strict=True)]
    return Row(
        group=group, name=name, unit=unit, ours=statistics.median(ours), reference=statistics.median(reference),
        ratio=statistics.median(ratios), low=min(ratios), high=max(ratios), against=against,
    )  # fmt: skip


def alternate(
    ours: Callable[[], Any], reference: Callable[[], Any], repeats: int, device: torch.device | None = None
) -> tuple[list[float], list[float]]:
    """The seconds of both, measured in turns after one round that does not count.

    What slows the machine for a while then slows both, and their ratio stands.

    Args:
        ours: One piece of work.
        reference: The same work, done the other way.
        repeats: How often each is measured.
        device: What must have finished before the clock is read.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for times, work in zip(seconds, (ours, reference), strict=True):
            synchronise(device)
            start = time.perf_counter()
            work()
            synchronise(device)
            times.append(time.perf_counter() - start)
    return seconds[0][1:], seconds[1][1:]


def synchronise(device: torch.device | None) -> None:
    """Waits for a GPU, which works on after it was told what to do."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def per_second(count: float, seconds: Sequence[float]) -> list[float]:
    """How many a second, for each measurement."""
    return [count / each for each in seconds]


def core_seconds() -> float:
    """Seconds that all cores together have worked for this process and for those it has started."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(_lived, _children()))


def _children() -> list[int]:
    """The processes below this one that still live; none where the system does not tell."""
    found, asked = [], [os.getpid()]
    while asked:
        for listed in Path(f"/proc/{asked.pop()}/task").glob("*/children"):
            below = [int(word) for word in _text(listed).split()]
            found += below
            asked += below
    return found


def _lived(process: int) -> float:
    # After the name in parentheses: user, system, and the same of its finished children are fields 14 to 17.
    fields = _text(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""


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
