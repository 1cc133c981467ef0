"""What the figures were measured on."""

import contextlib
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from calco import __version__
from calco.networks.machine import choose_precision
from calco.training.config import ComputeConfig

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
