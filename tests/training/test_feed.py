"""The feed: the same batches with any number of workers, and threads that end with the loop."""

import contextlib
import itertools
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from calco import imaging
from calco.data.config import AugmentConfig, JitterConfig, SourceConfig
from calco.data.dataset import PairDataset, batches
from calco.data.recipes import EraseConfig, RecipeConfig, build_recipe
from calco.data.sources import open_source
from calco.errors import CalcoError
from calco.imaging.formats import opened
from calco.training.config import ComputeConfig
from calco.training.pairs import Batch, load_batch
from calco.training.processes import choose_workers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chance = np.random.default_rng(0)
    for number in range(21):
        image = chance.integers(0, 256, (30 + number, 40, 3)).astype(np.uint8)
        imaging.write(tmp_path / f"{number:02d}.{'jpg' if number % 2 else 'png'}", image)
    return tmp_path


def dataset(folder: Path, **options: object) -> PairDataset:
    source = open_source(str(folder), SourceConfig())
    recipe = build_recipe(RecipeConfig(recipe="colorize+erase", erase=EraseConfig(weight=3, fill="black")), source.kind)
    augment = AugmentConfig(noise=0.1, contrast=0.2)
    jitter = JitterConfig(size=24, resize=28)
    return PairDataset(source, source.items, recipe, jitter, 5, train=True, augment=augment, **options)


def feed(data: PairDataset, workers: int, epoch: int = 0, skip: int = 0) -> list[Batch]:
    return list(batches(load_batch, data, seed=5, epoch=epoch, batch=4, skip=skip, workers=workers))


def same(one: list[Batch], other: list[Batch]) -> bool:
    parts = ("input", "target", "weight")
    return all(torch.equal(getattr(a, n), getattr(b, n)) for a, b in zip(one, other, strict=True) for n in parts)


def workers_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("calco-prefetch")]


@pytest.mark.parametrize("cache_bytes", [0, 3 * 28 * 28 * 3, 1 << 30])
def test_any_number_of_workers_gives_the_same_bytes(folder: Path, cache_bytes: int) -> None:
    (folder / "04.png").write_text("no image")
    fed = {workers: dataset(folder, cache_bytes=cache_bytes) for workers in (0, 1, 4)}
    for epoch in (0, 1):
        alone = feed(fed[0], 0, epoch)
        assert len(alone) == 5
        assert alone[0].input.shape == (4, 1, 24, 24)
        assert alone[0].target.is_contiguous(memory_format=torch.channels_last)
        assert {float(level) for batch in alone for level in batch.weight.unique()} == {1.0, 3.0}
        for workers in (1, 4):
            assert same(feed(fed[workers], workers, epoch), alone)
            assert same(feed(dataset(folder), workers, epoch, skip=3), alone[3:])
    assert all(list(data.damaged) == ["04"] for data in fed.values())
    assert len({data.cached_bytes for data in fed.values()}) == 1
    assert not workers_alive()


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_what_a_worker_cannot_do_reaches_the_loop(folder: Path, workers: int) -> None:
    data = dataset(folder)
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(CalcoError, match="none of the 21 images can be used; the first: .*the file is empty"):
        feed(data, workers)
    assert not workers_alive()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, CalcoError])
def test_a_loop_that_ends_early_leaves_no_threads(folder: Path, stop: type[BaseException]) -> None:
    def loop() -> None:
        with contextlib.closing(
            batches(load_batch, dataset(folder), seed=5, epoch=0, batch=1, skip=0, workers=3)
        ) as ready:
            assert len(list(itertools.islice(ready, 2))) == 2
            assert workers_alive()
            raise stop("enough")

    with pytest.raises(stop):
        loop()
    assert not workers_alive()


def test_workers_read_while_the_loop_computes(folder: Path) -> None:
    data = dataset(folder)
    with contextlib.closing(batches(load_batch, data, seed=5, epoch=0, batch=4, skip=0, workers=2)) as ready:
        next(ready)
        until = time.monotonic() + 30
        while data.cached_bytes < 20 * 28 * 28 * 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert data.cached_bytes >= 20 * 28 * 28 * 3


def test_reading_in_several_threads_leaves_the_filters_of_warnings(tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    imaging.write(path, np.zeros((8, 8, 3), np.uint8))
    before = list(warnings.filters)

    def read(_: int) -> None:
        with path.open("rb") as file, opened(file, path):
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(300)))
    finally:
        sys.setswitchinterval(interval)
    assert warnings.filters == before


def test_workers_are_chosen_and_checked() -> None:
    assert 1 <= choose_workers("auto", torch.device("cpu")) <= choose_workers("auto", torch.device("cuda")) <= 8
    assert choose_workers(3, torch.device("cpu")) == 3
    assert choose_workers(0, torch.device("cuda")) == 0
    with pytest.raises(CalcoError, match="workers is -1; it must be 0 .*, more, or auto"):
        ComputeConfig(workers=-1)
