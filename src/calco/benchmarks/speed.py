"""Rows of speed: the training step, inference, the data pipeline, the build of a data set, the start."""

import collections
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch
from PIL import Image as Pillow

from calco.benchmarks import reference
from calco.benchmarks.backends import backends
from calco.benchmarks.images import scene
from calco.benchmarks.setting import Setting, one_thread, silent
from calco.benchmarks.timing import Row, Skipped, alternate, core_seconds, per_second, row
from calco.data.dataset import PairDataset
from calco.data.prepare import prepare
from calco.data.prepare_config import PrepareConfig
from calco.data.recipes import RecipeConfig
from calco.data.sample import generator
from calco.inference.model import ModelInfo, Translator
from calco.training.batching import batches
from calco.training.pairs import Batch, load_batch, open_data
from calco.training.step import Networks, training_step


def training(setting: Setting) -> Iterator[Row]:
    """Steps of both networks on pairs that are at hand."""
    for batch in setting.sizes.batches:
        # Small batches are over soon: some of them make one measurement.
        steps = max(1, 4 // batch)
        loop, (_, (given, wanted)) = setting.reference(), setting.noise(batch)
        ours = _times(steps, setting.our_step(batch))
        theirs = _times(steps, lambda loop=loop, given=given, wanted=wanted: loop.step(given, wanted))  # type: ignore[misc]
        seconds = alternate(ours, theirs, setting.config.repeats, setting.device)
        rates = [per_second(batch * steps, each) for each in seconds]
        yield row("training", f"training step, batch {batch}", "images/s", rates[0], rates[1])


def inference(setting: Setting) -> Iterator[Row | Skipped]:
    """Images as arrays => translated images as arrays, in the machine's precision and in float32."""
    sizes, config = setting.sizes, setting.train_config(1)
    networks = Networks(config, 3, 3, setting.device)
    info = ModelInfo(
        generator=config.generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter,
        in_channels=3, out_channels=3,
    )  # fmt: skip
    loop = setting.reference()
    for precision in dict.fromkeys((networks.dtype, torch.float32)):
        ours = Translator(info, networks.generator, device=setting.device, precision=precision)
        named = str(precision).removeprefix("torch.")
        for side, count in ((sizes.size, sizes.drawn), (sizes.large, max(1, sizes.drawn // 8))):
            images = [scene(setting.config.seed, f"drawn {number}", (side, side)) for number in range(count)]
            opened = [Pillow.fromarray(image) for image in images]
            seconds = alternate(
                lambda ours=ours, images=images: [ours(image, native=True) for image in images],  # type: ignore[misc]
                lambda opened=opened: [loop.draw(image) for image in opened],  # type: ignore[misc]
                setting.config.repeats,
                setting.device,
            )
            rates = [per_second(count, each) for each in seconds]
            yield row("inference", f"inference at {side}x{side}, {named}", "images/s", rates[0], rates[1])
    yield from backends(setting)


def data(setting: Setting) -> Iterator[Row]:
    """Files of pairs => batches; what is read for the first time, and what is kept.

    The reference reads with one thread, as the workers of a DataLoader do.
    """
    batch, repeats = max(setting.sizes.batches), setting.config.repeats
    first, paths = _data_set(setting)
    count = len(paths) // batch * batch
    fresh = [_data_set(setting)[0] for _ in range(repeats)] + [first]

    def reference_pass() -> None:
        rng = generator(setting.config.seed, 0, "reference", "bench")
        with one_thread():
            collections.deque(reference.batches(paths, setting.sizes.size, setting.resize, batch, rng), maxlen=0)

    seconds = alternate(lambda: _drain(setting, fresh.pop(), 0), reference_pass, repeats)
    ours, theirs = (per_second(count, each) for each in seconds)
    yield row("data", "data pipeline, first pass", "pairs/s", ours, theirs, "reference pipeline")
    yield row("data", "… against what the step consumes", "pairs/s", ours, [setting.need] * repeats, "our step")

    fresh = [_data_set(setting)[0] for _ in range(repeats + 1)]
    busy = _in_turns(lambda: _drain(setting, fresh.pop(), 0), lambda: _decode(paths[:count]), repeats)
    ours, theirs = (per_second(count, each) for each in busy)
    yield row("data", "… per second of a core", "pairs/s", ours, theirs, "decoding alone")

    seconds = alternate(lambda: _drain(setting, first, 1), reference_pass, repeats)
    ours, theirs = (per_second(count, each) for each in seconds)
    yield row("data", "data pipeline, later passes", "pairs/s", ours, theirs, "reference pipeline")
    yield _fed(setting, batch)


def _fed(setting: Setting, batch: int) -> Row:
    """Steps while the images are read beside them, and steps on pairs that are at hand."""
    steps = min(3, setting.sizes.pairs // (2 * batch))
    networks = Networks(setting.train_config(batch), 3, 3, setting.device)
    fresh = [_data_set(setting)[0] for _ in range(setting.config.repeats + 1)]

    def fed() -> None:
        with closing(_feed(setting, fresh.pop(), 0)) as feed:
            for pairs in itertools.islice(feed, steps):
                training_step(networks, [pairs])

    seconds = alternate(fed, _times(steps, setting.our_step(batch)), setting.config.repeats, setting.device)
    ours, theirs = (per_second(batch * steps, each) for each in seconds)
    return row("data", f"training fed from files, batch {batch}", "images/s", ours, theirs, "pairs at hand")


def _data_set(setting: Setting) -> tuple[PairDataset, list[str]]:
    """The pairs of a training that has not read any yet, and their files."""
    config = replace(setting.train_config(max(setting.sizes.batches)), images=str(setting.pairs))
    opened, _ = open_data(replace(config, source=replace(config.source, source="side-by-side")))
    return opened.train, [item.paths[0] for item in opened.train.items]


def _feed(setting: Setting, pairs: PairDataset, epoch: int) -> Generator[Batch, None, None]:
    """The batches of a pass, as a training gets them."""
    return batches(load_batch, pairs, seed=setting.config.seed, epoch=epoch, batch=max(setting.sizes.batches), skip=0)


def _drain(setting: Setting, pairs: PairDataset, epoch: int) -> None:
    collections.deque(_feed(setting, pairs, epoch), maxlen=0)


def _decode(paths: Sequence[str]) -> None:
    """Images unpacked by Pillow, and nothing more."""
    for path in paths:
        with Pillow.open(path) as file:
            file.convert("RGB")


def _in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    """As `alternate`, in seconds that cores have worked."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for times, work in zip(seconds, (ours, theirs), strict=True):
            start = core_seconds()
            work()
            times.append(max(core_seconds() - start, 1e-3))
    return seconds[0][1:], seconds[1][1:]


def build(setting: Setting) -> Iterator[Row]:
    """Photographs => pairs for colouring, on disk."""
    paths = sorted(str(path) for path in setting.photographs.iterdir())
    folders = (setting.folder / f"built {number}" for number in itertools.count())
    side = setting.sizes.size
    config = PrepareConfig(images=str(setting.photographs), size=side, recipe=RecipeConfig(recipe="colorize"))

    def ours() -> None:
        with silent():
            prepare(replace(config, out=str(next(folders))), progress=False)

    seconds = alternate(ours, lambda: reference.build(paths, next(folders), side), setting.config.repeats)
    rates = [per_second(len(paths), each) for each in seconds]
    yield row("build", "building a data set", "pairs/s", rates[0], rates[1], "plain loop, one process")


def start(setting: Setting) -> Iterator[Row]:
    """From the command to its help."""
    seconds = alternate(
        lambda: _run("-m", "calco", "--help"), lambda: _run("-c", "pass"), max(setting.config.repeats, 5)
    )
    yield row("start", "start of calco --help", "s", *seconds, against="Python alone")


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=os.environ)


def _times(count: int, work: Callable[[], object]) -> Callable[[], None]:
    """Work that is done so many times."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated
