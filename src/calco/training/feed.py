"""Pairs in batches."""

import contextlib
import math
import time

import numpy as np
import torch
from torch import Tensor

from calco.data.dataset import PairDataset
from calco.runs.feed import batches
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
    """CHW one after another => NCHW, in memory NHWC as images are.

    Where depths are mixed, all become `float32` in [-1, 1].

    Attributes:
        whole: The batch.
    """

    def __init__(self, count: int, pinned: bool) -> None:
        self.count, self.pinned, self.filled = count, pinned, 0
        self.whole = torch.empty(0)

    def put(self, image: Tensor) -> None:
        """Copies the next image to its place."""
        if not self.filled:
            self.whole = self._room(image.shape, image.dtype)
        elif image.dtype != self.whole.dtype:
            image = signed(image)
            if self.whole.dtype != image.dtype:
                before, self.whole = self.whole, self._room(image.shape, image.dtype)
                self.whole[: self.filled] = signed(before[: self.filled])
        # By NumPy: torch would call all cores for each copy, away from the networks.
        np.copyto(self.whole.numpy()[self.filled], image.numpy())
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


def throughput(
    dataset: PairDataset, *, batch: int, workers: int = 1, epoch: int = 0, seconds: float = math.inf
) -> float:
    """Pairs a second that the feed gives to a loop that does nothing with them.

    Args:
        dataset: The first pass over it reads and fits the images, later ones find those that are kept.
        batch: Pairs in a batch.
        workers: As of `calco.runs.feed.batches`.
        epoch: Which one.
        seconds: Ends after so many; by default after one epoch.
    """
    started, pairs = time.monotonic(), 0
    with contextlib.closing(
        batches(load_batch, dataset, seed=dataset.seed, epoch=epoch, batch=batch, skip=0, workers=workers)
    ) as feed:
        for ready in feed:
            pairs += len(ready.input)
            if time.monotonic() - started >= seconds:
                break
    return pairs / (time.monotonic() - started)
