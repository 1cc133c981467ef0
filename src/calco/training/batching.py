"""Batches in an order that derives from the seed alone, prepared while the networks compute."""

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
    """Makes a batch of the items at some places (index, epoch)."""

    def __call__(self, data: D_contra, places: list[tuple[int, int]], /, *, pinned: bool) -> B_co:
        """The batch; `pinned` puts it where a GPU can fetch it by itself."""
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
    world: int = 1,
) -> Generator[B_co, None, None]:
    """The batches of an epoch from the `skip`-th on, the same in the same order with any number of workers.

    Workers are threads, each with a whole batch at a time, which stay some batches ahead: they start at once, share the
    images that are kept, and end with the loop. Decoding and resizing release Python's lock.

    Args:
        load: Makes a batch.
        data: Of these items.
        seed: The seed of the run.
        epoch: The pass over the items, from 0.
        batch: Items in a batch.
        skip: Batches of the epoch that an interrupted run has seen already.
        workers: Threads; 0 makes each batch when it is asked for.
        pinned: As of `LoadsBatch`.
        rank: Which of several processes this one is; it gets the batches that are its own.
        world: How many processes there are.
    """
    order = list(EpochSampler(len(data), batch, seed, epoch, start=skip, rank=rank, world=world))
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    cv2.setNumThreads(1)  # the cores belong to the networks, and threads that wait for work turn in circles
    make = partial(load, data, pinned=pinned)
    if not workers:
        yield from map(make, parts)
        return
    waiting: deque[Future[B_co]] = deque()
    with ThreadPoolExecutor(workers, "calco-feed") as pool:
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
