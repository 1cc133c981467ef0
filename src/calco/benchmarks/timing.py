"""Measurements in turns, and the rows that they give."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


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
