"""Rows of `calco bench`: what a second thread brings to a training step, alone and beside a process that computes."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from calco.benchmarks.detectors import boxed_scenes, detector_step
from calco.benchmarks.setting import Row, Setting, Skipped
from calco.benchmarks.speed import Rows
from calco.training.config import small
from calco.training.step import Networks, training_step
from calco.training.threads import ThreadChoice, possible_counts

_BUSY = """
import os, sys
import numpy
matrix = numpy.ones((256, 256), "float32")
while os.getppid() == int(sys.argv[1]):
    matrix @ matrix
"""


def busy(setting: Setting) -> Rows:
    """Steps of a translator and of a detector with one thread, with all, and with the number that a run chooses."""
    if setting.device.type != "cpu" or torch.get_num_threads() == 1:
        yield Skipped(what="busy", reason="it compares numbers of CPU threads, and there is one")
        return
    side, count = setting.sizes.detector
    images = boxed_scenes(setting.config.seed, count, side)
    steps = {
        "small": _translator(setting),
        "lite": (count, detector_step(setting, images, precision=setting.config.precision)),
    }
    for name, (batch, step) in steps.items():
        yield from _rows(setting, name, batch, step)


def _rows(setting: Setting, name: str, batch: int, step: Callable[[], object]) -> Iterator[Row]:
    threads = torch.get_num_threads()
    choice = ThreadChoice(possible_counts("auto", setting.device.type, threads, 1))

    def fixed(count: int) -> float:
        torch.set_num_threads(count)
        return _seconds(step)

    def chosen() -> float:
        choice.apply()
        choice.took(seconds := _seconds(step))
        return seconds

    kinds = {"one": lambda: fixed(1), "all": lambda: fixed(threads)}
    try:
        alone = _in_turns(kinds, setting.config.repeats, batch)
        yield Row.of(f"step of {name}, {threads} threads", "images/s", alone["all"], alone["one"], "one thread")
        with _busy_process():
            while not choice.chosen:
                chosen()
            beside = _in_turns(kinds | {"chosen": chosen}, setting.config.repeats, batch)
    finally:
        torch.set_num_threads(threads)
    yield Row.of(
        f"step of {name}, {threads} threads, beside a busy process", "images/s", beside["all"], beside["one"],
        "one thread beside it",
    )  # fmt: skip
    better = max(("one", "all"), key=lambda kind: sorted(beside[kind])[len(beside[kind]) // 2])
    yield Row.of(
        f"step of {name}, --threads auto, beside a busy process", "images/s", beside["chosen"], beside[better],
        "the better of one thread and all",
    )  # fmt: skip


def _in_turns(kinds: dict[str, Callable[[], float]], repeats: int, batch: int) -> dict[str, list[float]]:
    """Images per second of each kind, measured in turns after a round that does not count."""
    rounds = [{kind: batch / seconds() for kind, seconds in kinds.items()} for _ in range(repeats + 1)]
    return {kind: [each[kind] for each in rounds[1:]] for kind in kinds}


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _translator(setting: Setting) -> tuple[int, Callable[[], object]]:
    """A step of `small` at its own batch."""
    config, side = small(), setting.sizes.preset_sizes[0]
    config = replace(config, compute=setting.compute, generator=replace(config.generator, composition="plain"))
    networks, (pairs, _) = Networks(config, 3, 3, setting.device), setting.noise(config.optimiser.batch, side)
    return config.optimiser.batch, lambda: training_step(networks, [pairs])


@contextlib.contextmanager
def _busy_process() -> Iterator[None]:
    """Run a process that keeps a core busy; it ends with this one."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    words = [sys.executable, "-c", _BUSY, str(os.getpid())]
    with subprocess.Popen(words, env={**os.environ, **single}) as process:
        try:
            time.sleep(0.5)  # it imports NumPy
            yield
        finally:
            process.terminate()
