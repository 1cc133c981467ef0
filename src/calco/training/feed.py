"""Batches in an order that derives from the seed alone, prepared while the networks compute."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from calco.pairs.dataset import EpochSampler, PairDataset
from calco.training.loop import Batch, signed


def load_batch(dataset: PairDataset, places: list[tuple[int, int]], *, pinned: bool = False) -> Batch:
    """The pairs at these places (index, epoch).

    Args:
        dataset: What makes them.
        places: Index and epoch of each.
        pinned: Puts them where a GPU can fetch them by itself, while the CPU does something else.
    """
    count = len(places)
    given, wanted, weights = _Stack(count, pinned), _Stack(count, pinned), list[Tensor]()
    for place in places:
        row = dataset[place]
        # At once, while the pixels are in the processor's cache.
        given.put(row["input"])
        wanted.put(row["target"])
        weights.append(row["weight"])
    return Batch(input=given.whole, target=wanted.whole, weight=_weighed(weights, pinned))


class _Stack:
    """CHW one after another => NCHW, in memory NHWC as pictures are.

    Where depths are mixed, all become `float32` in [-1, 1].

    Attributes:
        whole: The batch.
    """

    def __init__(self, count: int, pinned: bool) -> None:
        self.count, self.pinned, self.filled = count, pinned, 0
        self.whole = torch.empty(0)

    def put(self, picture: Tensor) -> None:
        """Copies the next picture to its place."""
        if not self.filled:
            self.whole = self._room(picture.shape, picture.dtype)
        elif picture.dtype != self.whole.dtype:
            picture = signed(picture)
            if self.whole.dtype != picture.dtype:
                before, self.whole = self.whole, self._room(picture.shape, picture.dtype)
                self.whole[: self.filled] = signed(before[: self.filled])
        # By NumPy: torch would call all cores for each copy, away from the networks.
        np.copyto(self.whole.numpy()[self.filled], picture.numpy())
        self.filled += 1

    def _room(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        channels, height, width = shape
        room = torch.empty((self.count, height, width, channels), dtype=dtype, pin_memory=self.pinned)
        return room.permute(0, 3, 1, 2)


def _weighed(weights: list[Tensor], pinned: bool) -> Tensor:
    """1HW each => N1HW; one number for all pixels where they count alike in all pairs."""
    if all(weight.stride()[1:] == (0, 0) for weight in weights):
        return weights[0].expand(len(weights), *weights[0].shape)
    stack = _Stack(len(weights), pinned)
    for weight in weights:
        stack.put(weight)
    return stack.whole


def batches(
    dataset: PairDataset,
    *,
    seed: int,
    epoch: int,
    batch: int,
    skip: int,
    workers: int = 1,
    pinned: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Generator[Batch, None, None]:
    """The batches of an epoch from the `skip`-th on, the same in the same order with any number of workers.

    Workers are threads, each with a whole batch at a time, which stay some batches ahead: they start at once, share the
    pictures that are kept, and end with the loop. Decoding and resizing release Python's lock.

    Args:
        dataset: What makes the pairs.
        seed: The seed of the run.
        epoch: The pass over the pictures, from 0.
        batch: Pairs in a batch.
        skip: Batches of the epoch that an interrupted run has seen already.
        workers: Threads; 0 makes each batch when it is asked for.
        pinned: As in `load_batch`.
        rank: Which of several processes this one is; it gets the batches that are its own.
        world: How many processes there are.
    """
    order = list(EpochSampler(len(dataset), batch, seed, epoch, start=skip, rank=rank, world=world))
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    cv2.setNumThreads(1)  # the cores belong to the networks, and threads that wait for work turn in circles
    load = partial(load_batch, dataset, pinned=pinned)
    if not workers:
        yield from map(load, parts)
        return
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(workers, "calco-feed") as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(load, part))
                if len(waiting) > 2 * workers + 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def throughput(
    dataset: PairDataset, *, batch: int, workers: int = 1, epoch: int = 0, seconds: float = math.inf
) -> float:
    """Pairs a second that the feed gives to a loop that does nothing with them.

    Args:
        dataset: The first pass over it reads and fits the pictures, later ones find those that are kept.
        batch: Pairs in a batch.
        workers: As in `batches`.
        epoch: Which one.
        seconds: Ends after so many; by default after one epoch.
    """
    started, pairs = time.monotonic(), 0
    with contextlib.closing(
        batches(dataset, seed=dataset.seed, epoch=epoch, batch=batch, skip=0, workers=workers)
    ) as feed:
        for ready in feed:
            pairs += len(ready.input)
            if time.monotonic() - started >= seconds:
                break
    return pairs / (time.monotonic() - started)
