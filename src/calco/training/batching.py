"""Batches in an order that depends on the seed alone, prepared while the networks compute."""

from collections.abc import Generator, Sized
from functools import partial
from typing import Protocol, TypeVar

import cv2

from calco.data.dataset import EpochSampler
from calco.work import prefetched

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
    """Yield the batches of an epoch after `skip`, the same in the same order with any number of workers.

    Workers are threads: they start at once, share the cached images, and end with the loop. Decoding and resizing
    release the interpreter's lock. Each of several processes gets its own part of the batches.
    """
    order = list(EpochSampler(len(data), batch, seed, epoch, start=skip, rank=rank, world=world_size))
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the cores belong to the networks, and OpenCV's idle threads keep them busy
    try:
        yield from prefetched(partial(load, data, pinned=pinned), parts, workers)
    finally:
        cv2.setNumThreads(before)
