"""Rows of `calco bench`: training steps of the presets, the parts of the dearest one, and what is learned in time."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from calco import imaging
from calco.benchmarks.reference import Reference
from calco.benchmarks.setting import LOOP, Row, Setting, Skipped, as_loaded, count_operations, synchronise
from calco.benchmarks.speed import Rows
from calco.data.config import SourceConfig, SplitConfig
from calco.data.sample import Pair, generator
from calco.errors import CalcoError
from calco.networks.machine import NAMES, has_bfloat16
from calco.training.config import KeepConfig, LimitConfig, TrainConfig, preset
from calco.training.pairs import Data, open_data
from calco.training.step import Networks, training_step

Precision = Literal["fp32", "bf16"]


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
    networks = Networks(config, 3, 3, setting.device)
    networks.halves = halves
    networks.augments = config.preset == "best" and config.objective.gan != "none"  # as of few pairs
    pairs, _ = setting.noise(config.optimiser.batch, config.jitter.size)
    update, spent = networks.update, [0.0]

    def timed(work: Callable[[], object]) -> None:
        synchronise(setting.device)
        start = time.perf_counter()
        work()
        synchronise(setting.device)
        spent[0] += time.perf_counter() - start

    networks.update = lambda name: timed(lambda: update(name))  # type: ignore[method-assign]

    def step() -> _Seconds:
        spent[0] = 0.0
        synchronise(setting.device)
        start = time.perf_counter()
        training_step(networks, [pairs])
        timed(lambda: networks.average(1000))
        return _Seconds(time.perf_counter() - start, spent[0])

    return step


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


def quality(setting: Setting) -> Rows:
    """Seconds of training on the built-in drawings until unseen ones come out as near to their targets as asked.

    Ours is `calco train` with the preset `small`, validations included; the reference has the network that its authors
    publish for this size, and reads the same pairs from memory.
    """
    sizes = setting.sizes
    side, most = sizes.quality_size, sizes.quality_seconds
    config = replace(
        preset("small"),
        images="openmoji",
        seed=setting.config.seed,
        source=SourceConfig(limit=sizes.quality_drawings),
        split=SplitConfig(validation=0.1, test=0),
        jitter=replace(preset("small").jitter, size=side, resize=side * 9 // 8),
        generator=replace(preset("small").generator, depth=sizes.quality_depth),
        limit=LimitConfig(epochs=0, minutes=most / 60),
        keep=KeepConfig(validate_steps=sizes.quality_steps, tensorboard=False),
        compute=setting.compute,
    )
    try:
        data, config = open_data(config)
    except CalcoError as error:
        yield Skipped(what="quality", reason=str(error))
        return
    name = f"until {sizes.quality_l1:g} L1 on {len(data.validation)} unseen drawings of {side}x{side}"
    validations = [row for row in setting.log_of(config, setting.folder / "quality") if "validation" in row]
    reached = [row["time"] for row in validations if row["validation"].get("l1", 1.0) <= sizes.quality_l1]
    theirs = _reference_seconds(setting, data)
    missed = [who for who, found in (("ours", reached), ("the reference", theirs)) if not found]
    if missed:
        yield Skipped(what="quality", reason=f"{' and '.join(missed)} did not reach it within {most:g} s")
        return
    yield Row.of(name, "s", reached[:1], theirs, LOOP)


def _reference_seconds(setting: Setting, data: Data) -> list[float]:
    """Seconds after which the reference loop reaches the score; none if it does not in time."""
    sizes = setting.sizes
    torch.manual_seed(setting.config.seed)
    loop = Reference(sizes.quality_depth_reference, sizes.filters, layers=3, device=setting.device)
    unseen = _tensors([data.validation.pair(index, 0) for index in range(len(data.validation))])
    start, step = time.perf_counter(), 0
    for epoch in itertools.count():
        order = generator(setting.config.seed, epoch, "quality", "bench").permutation(len(data.train))
        for index in order:
            loop.step(*_tensors([data.train.pair(int(index), epoch)]))
            step += 1
            if step % sizes.quality_steps == 0 and _l1(loop, *unseen) <= sizes.quality_l1:
                return [time.perf_counter() - start]
            if time.perf_counter() - start > sizes.quality_seconds:
                return []
    return []


def _tensors(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Pairs of one size => inputs and targets, N3HW float32 in [-1, 1]."""
    sides = [
        [imaging.as_channels(image, 3) for image in each]
        for each in zip(*((p.input, p.target) for p in pairs), strict=True)
    ]
    given, wanted = (as_loaded(torch.from_numpy(np.stack(each).transpose(0, 3, 1, 2).copy())) for each in sides)
    return given, wanted


def _l1(loop: Reference, given: Tensor, wanted: Tensor) -> float:
    """Mean absolute error on pairs, of values in [0, 1]; each image by its own statistics, as published."""
    with torch.no_grad():
        errors = [
            (loop.generator(one[None].to(loop.device)).cpu() - true).abs().mean() / 2
            for one, true in zip(given, wanted, strict=True)
        ]
    return float(torch.stack(errors).mean())
