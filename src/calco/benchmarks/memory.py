"""Rows of memory: the peak of a training, each in a process of its own."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from calco.benchmarks.config import BenchConfig, Sizes
from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, row
from calco.errors import CalcoError
from calco.networks.machine import make_ready
from calco.records import from_record, to_record

STEPS = 3  # Adam's moments come with the first, and what an allocator keeps shows from the second on


def peaks(setting: Setting) -> Iterator[Row]:
    """What a training takes beyond the libraries that it imports."""
    for batch in setting.sizes.batches:
        taken = {who: _measured(setting, who, batch) for who in ("ours", "reference")}
        yield row("memory", f"memory peak, batch {batch}", "MiB", [taken["ours"]], [taken["reference"]])


def _measured(setting: Setting, who: str, batch: int) -> float:
    """The peak of a fresh process, in MiB."""
    job = {
        "who": who, "batch": batch, "device": str(setting.device), "threads": torch.get_num_threads(),
        "config": to_record(setting.config), "sizes": to_record(setting.sizes),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "calco.benchmarks.memory", json.dumps(job)],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise CalcoError(
            f"the training at batch {batch} whose memory was to be measured ended with code {done.returncode} "
            f"({reason}); close other programs, or leave memory out with --only"
        )
    return float(done.stdout)


def _work(job: dict[str, Any]) -> float:
    """Trains a few steps, and tells the peak above what was there before, in MiB."""
    torch.set_num_threads(job["threads"])
    config, sizes = from_record(BenchConfig, job["config"], "bench"), from_record(Sizes, job["sizes"], "bench")
    setting = Setting(config, sizes, torch.device(job["device"]), Path())
    on_gpu = setting.device.type == "cuda"
    before = 0.0 if on_gpu else peak()
    if job["who"] == "ours":
        make_ready(setting.device)
        step = setting.our_step(job["batch"])
    else:
        loop, (_, (given, wanted)) = setting.reference(), setting.noise(job["batch"])
        step = lambda: loop.step(given, wanted)  # noqa: E731
    for _ in range(STEPS):
        step()
    after = torch.cuda.max_memory_allocated(setting.device) / (1 << 20) if on_gpu else peak()
    return after - before


def peak() -> float:
    """The most memory that this process has held so far, in MiB."""
    # Not ru_maxrss: that counts what the process which started this one held at that moment.
    return _told("VmHWM:")


def held() -> float:
    """The memory that this process holds now, in MiB; where the system does not tell, the most so far."""
    return _told("VmRSS:")


def _told(word: str) -> float:
    try:
        told = Path("/proc/self/status").read_text().partition(word)[2]
        return int(told.split()[0]) / 1024
    except (OSError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    print(_work(json.loads(sys.argv[1])))
