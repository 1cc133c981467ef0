"""Rows of `calco bench` on training steps: of the presets and their parts, of the detector, and what threads bring."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

import numpy as np
import torch

from calco.benchmarks.setting import Row, Setting, Skipped, Timed, count_operations, scene, synchronise
from calco.benchmarks.speed import Rows
from calco.data.sample import generator
from calco.detection.initial import initial_network
from calco.detection.learning import DetectTrainConfig
from calco.detection.learning.setup import DetectionBatch
from calco.detection.learning.train import DetectorNetworks
from calco.detection.lite import LiteDetector
from calco.detection.model import LITE
from calco.detection.network import TargetObjects
from calco.errors import CalcoError
from calco.networks.machine import NAMES, has_bfloat16
from calco.training.config import TrainConfig, preset, small
from calco.training.step import Networks, training_step
from calco.training.threads import ThreadChoice, possible_counts

Precision = Literal["fp32", "bf16"]
_CLASSES: Final = ("red", "blue")
_BUSY = """
import os, sys
import numpy
matrix = numpy.ones((256, 256), "float32")
while os.getppid() == int(sys.argv[1]):
    matrix @ matrix
"""


@dataclass(frozen=True)
class _Seconds:
    """Seconds of one training step."""

    whole: float
    updates: float  # of the optimisers and the average in it


def presets(setting: Setting) -> Rows:
    """Images a second of the presets, against `small`, and the shares of the parts in the step of `best`."""
    asked: list[Precision] = ["fp32", "bf16"] if has_bfloat16(setting.device) else ["fp32"]
    if setting.config.precision != "auto":
        asked = [setting.config.precision]
    for precision in asked:
        try:
            steps = _steps(setting, precision)
        except CalcoError as error:  # the weights of an encoder are not installed
            yield Skipped(what="presets", reason=str(error))
            return
        yield from _rows(setting, precision, *_measured(setting, steps))


def _rows(
    setting: Setting, precision: Precision, seconds: Mapping[str, list[_Seconds]], operations: Mapping[str, float]
) -> list[Row]:
    """Rows of one precision."""
    named = NAMES[torch.bfloat16 if precision == "bf16" else torch.float32]
    side, large = setting.sizes.preset_sizes
    whole = {name: [each.whole for each in every] for name, every in seconds.items()}
    rates = {
        name: [preset("small" if name == "small" else "best").optimiser.batch / each for each in every]
        for name, every in whole.items()
    }
    against = f"small at {side}x{side}, {named}"
    rows = [
        Row.of(f"step of best at {at}x{at}, {named}", "images/s", rates[name], rates["small"], against)
        for name, at in (("half", large // 2), ("best", large))
    ]
    rows = [
        replace(row, operations=row.ours * operations[name] / preset("best").optimiser.batch, precision=named)
        for row, name in zip(rows, ("half", "best"), strict=True)
    ]
    updates = [each.updates for each in seconds["best"]]
    parts = {
        "generator": [each.whole - each.updates for each in seconds["generator"]],
        "perceptual loss": _gaps(seconds["no discriminator"], seconds["generator"]),
        "discriminator": _gaps(seconds["best"], seconds["no discriminator"]),
        "optimisers and average": updates,
    }
    against = f"the whole step of best at {large}x{large}"
    shares = [Row.of(f"best, {name}, {named}", "s", each, whole["best"], against) for name, each in parts.items()]
    return rows + shares


def _gaps(more: list[_Seconds], less: list[_Seconds]) -> list[float]:
    """Seconds that one step takes longer than its neighbour, without the updates; above 0, for the ratios."""
    pairs = zip(more, less, strict=True)
    return [max(1e-6, one.whole - one.updates - other.whole + other.updates) for one, other in pairs]


def _config(setting: Setting, name: str, precision: Precision) -> TrainConfig:
    """Return a preset for pairs of two images, at its own size, batch and losses."""
    config = preset(name, "aligned")
    side = setting.sizes.preset_sizes[name == "best"]
    return replace(
        config,
        seed=setting.config.seed,
        jitter=replace(config.jitter, size=side, resize=side),
        generator=replace(config.generator, composition="plain", labels="none"),
        compute=replace(setting.compute, precision=precision),
    )


def _steps(setting: Setting, precision: Precision) -> dict[str, Callable[[], _Seconds]]:
    """One step of each kind, on the same pairs each time."""
    small, best = (_config(setting, name, precision) for name in ("small", "best"))
    bare = replace(best, objective=replace(best.objective, gan="none"))
    alone = replace(bare, objective=replace(bare.objective, perceptual="none", perceptual_weight=0))
    return {
        "small": _step(setting, small),
        "half": _step(setting, best, halves=True),
        "best": _step(setting, best),
        "no discriminator": _step(setting, bare),
        "generator": _step(setting, alone),
    }


def _step(setting: Setting, config: TrainConfig, *, halves: bool = False) -> Callable[[], _Seconds]:
    networks = _TimedNetworks(config, 3, 3, setting.device)
    networks.halves = halves
    networks.augments = config.preset == "best" and config.objective.gan != "none"  # as of few pairs
    pairs, _ = setting.noise(config.optimiser.batch, config.jitter.size)

    def step() -> _Seconds:
        networks.spent = 0.0
        synchronise(setting.device)
        start = time.perf_counter()
        training_step(networks, [pairs])
        networks.average(1000)
        return _Seconds(time.perf_counter() - start, networks.spent)

    return step


class _TimedNetworks(Networks):
    """Networks that count the seconds of their updates."""

    spent = 0.0

    def update(self, name: str) -> None:
        with self._timed():
            super().update(name)

    def average(self, step: int) -> None:
        with self._timed():
            super().average(step)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        synchronise(self.device)
        start = time.perf_counter()
        yield
        synchronise(self.device)
        self.spent += time.perf_counter() - start


def _measured(
    setting: Setting, steps: Mapping[str, Callable[[], _Seconds]]
) -> tuple[dict[str, list[_Seconds]], dict[str, float]]:
    """Measure all kinds in turns after one round that does not count: what slows the machine slows all of them.

    In that round the operations are counted.
    """
    operations = {name: count_operations(step) for name, step in steps.items()}
    found: dict[str, list[_Seconds]] = {name: [] for name in steps}
    for _ in range(setting.config.repeats):
        for name, step in steps.items():
            found[name].append(step())
    return found, operations


def detectors(setting: Setting) -> Rows:
    """Steps of the default detector, with its average, on generated photographs with boxes."""
    side, batch = setting.sizes.detector
    images = boxed_scenes(setting.config.seed, batch, side)
    plain = detector_step(setting, images, precision="fp32", fixed_norms=False)

    def reference() -> None:
        with torch_kernels():
            plain()

    yield Timed(
        name=f"detector training step at {side}x{side}, batch {batch}", unit="images/s", count=batch,
        ours=detector_step(setting, images, precision=setting.config.precision), reference=reference,
        against="the same network in plain torch, float32", operations=count_operations(reference) / batch,
        precision=setting.precision,
    )  # fmt: skip


def detector_step(
    setting: Setting, images: DetectionBatch, *, precision: Literal["auto", "fp32", "bf16"], fixed_norms: bool = True
) -> Callable[[], object]:
    """Return one step of the default detector on the same images each time.

    Args:
        setting: The measurement.
        images: The batch.
        precision: Of the convolutions.
        fixed_norms: Keep the statistics of the backbone's norms, as training does if it has ImageNet's; otherwise they
            are those of the batch.
    """
    torch.manual_seed(setting.config.seed)
    config = DetectTrainConfig(size=images.images.shape[-1])
    config = replace(config, compute=replace(setting.compute, precision=precision))
    lite = {"width": config.lite.width, "depth": config.lite.depth}
    network = initial_network(LITE, _CLASSES, scratch=False, lite=lite, freeze=config.freeze).network
    if isinstance(network, LiteDetector) and network.fixed_norms and not fixed_norms:
        network.freeze(config.freeze, norms=False)
    networks = DetectorNetworks(config, network, setting.device)
    networks.set_rate(config.optimiser.learning_rate)

    def step() -> None:
        networks.step([images])
        networks.average(1000)

    return step


@contextlib.contextmanager
def torch_kernels() -> Iterator[None]:
    """Leave networks to torch's own kernels."""
    before = os.environ.get("CALCO_CPU_KERNELS")
    os.environ["CALCO_CPU_KERNELS"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CALCO_CPU_KERNELS"]
        else:
            os.environ["CALCO_CPU_KERNELS"] = before


def boxed_scenes(seed: int, count: int, side: int) -> DetectionBatch:
    """Generated photographs with one to six filled rectangles of two classes, and their boxes."""
    rng, images, objects = generator(seed, 0, "boxed", "bench"), list[np.ndarray](), list[TargetObjects]()
    for number in range(count):
        image = scene(seed, f"boxed {number}", (side, side))
        labels = rng.integers(0, len(_CLASSES), int(rng.integers(1, 7)))
        boxes = []
        for label in labels:
            width, height = (int(each) for each in rng.integers(side // 8, side // 2, 2))
            left, top = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
            image[top : top + height, left : left + width] = (200, 40, 40) if label else (40, 40, 200)
            boxes.append((left + width / 2, top + height / 2, width, height))
        found = torch.tensor(boxes, dtype=torch.float32) / side
        objects.append(TargetObjects(torch.from_numpy(labels), found, torch.zeros(0, 4)))
        images.append(image)
    return DetectionBatch(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), objects)


def busy(setting: Setting) -> Rows:
    """Steps of a translator and of a detector with one thread, with all, and with the number that a run chooses."""
    if setting.device.type != "cpu" or torch.get_num_threads() == 1:
        yield Skipped(what="busy", reason="it compares numbers of CPU threads, and there is one")
        return
    side, count = setting.sizes.detector
    images = boxed_scenes(setting.config.seed, count, side)
    yield from _machine_rows(setting)
    steps = {
        "small": _small_step(setting),
        "lite": (count, detector_step(setting, images, precision=setting.config.precision)),
    }
    for name, (batch, step) in steps.items():
        yield from _thread_rows(setting, name, batch, step)


def _machine_rows(setting: Setting) -> Iterator[Row]:
    """What all threads bring the machine itself: in arithmetic, and in reading and writing memory."""
    threads, side = torch.get_num_threads(), setting.sizes.product
    matrix = torch.ones(side, side, dtype=torch.bfloat16 if setting.compute.precision == "bf16" else torch.float32)
    much = torch.ones(16 * side * side, dtype=torch.uint8).view(torch.float32)
    out = torch.empty_like(much)

    def fixed(count: int, work: Callable[[], object]) -> float:
        torch.set_num_threads(count)
        return _seconds(work)

    works: dict[str, tuple[str, float, Callable[[], object]]] = {
        "matrix product": ("GFLOP/s", 2 * side**3 / 1e9, lambda: matrix @ matrix),
        "copy in memory": ("GB/s", 2 * out.nbytes / 1e9, lambda: out.copy_(much)),
    }
    try:
        for name, (unit, amount, work) in works.items():
            kinds = {"one": partial(fixed, 1, work), "all": partial(fixed, threads, work)}
            rates = _in_turns(kinds, max(5, setting.config.repeats), amount)
            yield Row.of(f"{name}, {threads} threads", unit, rates["all"], rates["one"], "one thread")
    finally:
        torch.set_num_threads(threads)


def _thread_rows(setting: Setting, name: str, batch: int, step: Callable[[], object]) -> Iterator[Row]:
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


def _in_turns(kinds: Mapping[str, Callable[[], float]], repeats: int, batch: float) -> dict[str, list[float]]:
    """Images, or what else a batch holds, per second of each kind, in turns after a round that does not count."""
    rounds = [{kind: batch / seconds() for kind, seconds in kinds.items()} for _ in range(repeats + 1)]
    return {kind: [each[kind] for each in rounds[1:]] for kind in kinds}


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _small_step(setting: Setting) -> tuple[int, Callable[[], object]]:
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
