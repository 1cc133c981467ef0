"""Batches in an order that depends on the seed alone, prepared while the networks compute."""

from collections import deque
from collections.abc import Generator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

import cv2

from calco.data.dataset import EpochSampler

D_contra = TypeVar("D_contra", bound=Sized, contravariant=True)
B_co = TypeVar("B_co", covariant=True)


class LoadsBatch(Protocol[D_contra, B_co]):
    """Function that loads the items at places (index, epoch) as one batch."""

    def __call__(self, data: D_contra, places: list[tuple[int, int]], /, *, pinned: bool) -> B_co:
        """Load a batch; `pinned` keeps it in page-locked memory for a GPU."""
        ...


def batches(
    load: LoadsBatch[D_contra, B_co],
    data: D_contra,
    *,
    seed: int,
    epoch: int,
    batch: int,
    skip: int,
    workers: int = 1,
    pinned: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> Generator[B_co, None, None]:
    """Yield the batches of an epoch, the same in the same order with any number of workers.

    Workers are threads that load whole batches a few ahead: they start at once, share the cached images, and end with
    the loop. Decoding and resizing release the interpreter's lock.

    Args:
        load: Function that loads a batch.
        data: Items to load.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
        batch: Number of items in a batch.
        skip: Number of batches that an interrupted run has seen already.
        workers: Number of threads; 0 loads each batch when it is needed.
        pinned: Passed to `load`.
        rank: Number of this process, which gets its own part of the batches.
        world_size: Number of processes.
    """
    order = list(EpochSampler(len(data), batch, seed, epoch, start=skip, rank=rank, world=world_size))
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    make = partial(load, data, pinned=pinned)
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the cores belong to the networks, and OpenCV's idle threads keep them busy
    try:
        if workers:
            yield from _ahead(make, parts, workers)
        else:
            yield from map(make, parts)
    finally:
        cv2.setNumThreads(before)


def _ahead(make: partial[B_co], parts: list[list[tuple[int, int]]], workers: int) -> Generator[B_co, None, None]:
    waiting: deque[Future[B_co]] = deque()
    with ThreadPoolExecutor(workers, "calco-batches") as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(make, part))
                if len(waiting) > 2 * workers + 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
