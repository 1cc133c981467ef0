"""Batches in an order that derives from the seed alone, prepared while the networks compute."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from calco.pairs.dataset import EpochSampler, PairDataset
from calco.training.loop import Batch, signed

AHEAD = 4


def load_batch(dataset: PairDataset, places: list[tuple[int, int]]) -> Batch:
    """The pairs at these places (index, epoch)."""
    rows = [dataset[place] for place in places]
    return Batch(
        input=_stacked([row["input"] for row in rows]),
        target=_stacked([row["target"] for row in rows]),
        weight=torch.stack([row["weight"] for row in rows]),
    )


def _stacked(pictures: list[Tensor]) -> Tensor:
    """CHW each => NCHW; where depths are mixed, all become `float32` in [-1, 1]."""
    if len({picture.dtype for picture in pictures}) > 1:
        pictures = [signed(picture) for picture in pictures]
    return torch.stack(pictures)


def batches(
    dataset: PairDataset, *, seed: int, epoch: int, batch: int, skip: int, rank: int = 0, world: int = 1
) -> Generator[Batch, None, None]:
    """The batches of an epoch from the `skip`-th on, prepared by a thread that stays a few ahead.

    Of several processes (`world`), the batches that are this one's (`rank`).

    One thread is enough: decoding and resizing release Python's lock, and a fitted picture is kept.
    """
    order = list(EpochSampler(len(dataset), batch, seed, epoch, start=skip, rank=rank, world=world))
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, "calco-feed") as pool:
        try:
            for start in range(0, len(order), batch):
                waiting.append(pool.submit(load_batch, dataset, order[start : start + batch]))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
