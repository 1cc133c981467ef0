"""Batches in an order that derives from the seed alone, prepared while the networks compute."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from calco.pairs.dataset import PairDataset
from calco.pairs.types import generator
from calco.training.loop import Batch, batched

AHEAD = 4


def epoch_order(num_pairs: int, seed: int, epoch: int) -> list[int]:
    """The order in which an epoch takes its pairs."""
    return [int(index) for index in generator(seed, epoch, "order").permutation(num_pairs)]


def load_batch(dataset: PairDataset, indices: list[int], epoch: int) -> Batch:
    """The pairs of these indices, as they are in that epoch."""
    rows = [dataset[(index, epoch)] for index in indices]
    return Batch(*(torch.stack([row[name] for row in rows]) for name in ("input", "target", "weight")))


def batches(dataset: PairDataset, *, seed: int, epoch: int, batch: int, skip: int) -> Generator[Batch, None, None]:
    """The batches of an epoch from the `skip`-th on, prepared by a thread that stays a few ahead.

    One thread is enough: decoding and resizing release Python's lock, and a fitted picture is kept.
    """
    plan = batched(epoch_order(len(dataset), seed, epoch), batch)[skip:]
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, "calco-feed") as pool:
        try:
            for indices in plan:
                waiting.append(pool.submit(load_batch, dataset, indices, epoch))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
