"""Pairs for training: fitted images kept in memory, pairs made again in each epoch, batches in a fixed order."""

import threading
from collections.abc import Generator, Iterator, Sequence, Sized
from functools import partial
from typing import Protocol, TypedDict, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, get_worker_info

from calco.data.augmentation import crop_around, crop_center, crop_flip, fit_image, moved, recoloured, whole_side
from calco.data.config import AugmentConfig, JitterConfig
from calco.data.recipes import Recipe
from calco.data.sample import Pair, Sample, generator
from calco.data.source import Item, Source
from calco.errors import CalcoError, UnusableError
from calco.imaging import Image, to_tensor
from calco.work import prefetched

GIBIBYTE = 1 << 30
_KEEPING = threading.Lock()  # of the module, since a dataset can be sent to another process


class TensorPair(TypedDict):
    """Pair as tensors, as the loader passes it to the training loop; they may share memory with the dataset's cache."""

    input: torch.Tensor  # CHW, `uint8` where the image has eight bits, else `float32` in [-1, 1]
    target: torch.Tensor  # likewise
    weight: torch.Tensor  # 1HW `float32`; one number seen from all pixels where all count alike
    key: str


class PairDataset(Dataset[TensorPair]):
    """Pairs of some items of a source.

    A pair depends on (seed, epoch, key) alone: the same comes out in any order and in any number of workers. For
    training, crops, flips and recipes are new in each epoch; else they are always the same. An image that cannot be
    read is noted in `damaged`, and the next one takes its place. Several threads may read at once and share the cache.
    """

    def __init__(
        self,
        source: Source,
        items: Sequence[Item],
        recipe: Recipe,
        jitter: JitterConfig,
        seed: int,
        *,
        train: bool,
        cache_bytes: int = 2 * GIBIBYTE,  # for fitted images, all workers together
        augment: AugmentConfig | None = None,
    ) -> None:
        self.source = source
        self.items = list(items)
        self.recipe = recipe
        self.jitter = jitter
        self.seed = seed
        self.train = train
        self.cache_bytes = cache_bytes
        self.augment = augment or AugmentConfig()
        self.damaged: dict[str, str] = {}  # key and reason, in this process
        self._cache: dict[int, Sample] = {}
        self.cached_bytes = 0  # in this process

    def __len__(self) -> int:
        return len(self.items)

    def fitted(self, index: int) -> Sample:
        """Return the image of an item in its own depth, at the size of the recipe's work; cached after the first time.

        Raises:
            CalcoError: If it cannot be read.
        """
        if index in self._cache:
            return self._cache[index]
        item = self.items[index]
        if item.key in self.damaged:
            raise CalcoError(self.damaged[item.key])
        side = self.jitter.resize if self.train else whole_side(self.jitter)
        sample = fit_image(self.source.load(item), side, self.jitter)
        arrays = (sample.image, sample.partner, sample.mask, sample.weight, sample.region)
        size = sum(array.nbytes for array in arrays if array is not None)
        worker = get_worker_info()
        with _KEEPING:
            room = self.cache_bytes // (worker.num_workers if worker else 1)
            if index not in self._cache and self.cached_bytes + size <= room:
                self._cache[index] = sample
                self.cached_bytes += size
        return sample

    def pair(self, index: int, epoch: int) -> Pair:
        """Return the pair of an item in an epoch: cropped and flipped for training, else whole and always the same.

        Raises:
            CalcoError: If no image at all can be used.
        """
        for offset in range(len(self)):
            place = (index + offset) % len(self)
            try:
                return self._make(place, epoch if self.train else 0)
            except CalcoError as error:
                self.damaged[self.items[place].key] = str(error)
        reason = next(iter(self.damaged.values()), "there are none")
        raise UnusableError(f"none of the {len(self)} images can be used; the first: {reason}")

    def scored_pairs(self) -> Iterator[Pair]:
        """Yield the first epoch's pairs of the images that can be read, each once, for scores.

        In training a damaged image is replaced by its neighbour, which a score must not count twice.
        """
        for index, item in enumerate(self.items):
            pair = self.pair(index, 0)
            if pair.key == item.key:
                yield pair

    def _make(self, index: int, epoch: int) -> Pair:
        key = self.items[index].key
        image = self.fitted(index)
        around = self.train and self.jitter.crop == "holes"
        if self.train:
            if self.augment.moves:
                image = moved(image, self.augment, generator(self.seed, epoch, key, "movement"))
            if not around:
                # Cut first: what a recipe erases then lies wholly inside what the network sees.
                image = crop_flip(image, self.jitter, generator(self.seed, epoch, key, "crop"))
        pair = self.recipe(image, generator(self.seed, epoch, key, "recipe"))
        if around:
            pair = crop_around(pair, self.jitter, generator(self.seed, epoch, key, "crop"))
        if self.train and self.augment.recolours:
            pair = recoloured(pair, self.augment, generator(self.seed, epoch, key, "light"))
        return pair

    def __getitem__(self, place: tuple[int, int]) -> TensorPair:
        """Return the pair at (index, epoch), always `jitter.size` pixels high and wide."""
        pair = self.pair(*place)
        if not self.train:
            # Nothing is cut off where both sides were brought to the size; other images must fit into a batch.
            pair = crop_center(pair, self.jitter.size)
        if pair.weight is None:
            weight = torch.ones(1).expand(1, *pair.input.shape[:2])
        else:
            weight = torch.from_numpy(np.require(pair.weight, np.float32, ("C", "W")))[None]
        return TensorPair(input=_chw(pair.input), target=_chw(pair.target), weight=weight, key=pair.key)


def _chw(image: Image) -> torch.Tensor:
    """HWC => CHW, in bytes where they hold it: a fourth of the memory, and of the way to the device. Not copied."""
    if image.dtype != np.uint8:
        return to_tensor(image)
    return torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)


class EpochSampler(Sampler[tuple[int, int]]):
    """Order of one epoch: places (index, epoch), from seed and epoch alone.

    The order is cut to whole batches, unless there is not even one; `start` leaves out the batches that an interrupted
    epoch has already done. Of `world` processes each (`rank`) takes its own part: what they take at a time is together
    what one process with a batch that much larger would take.
    """

    def __init__(
        self, num_items: int, batch: int, seed: int, epoch: int, start: int = 0, *, rank: int = 0, world: int = 1
    ) -> None:
        self.num_items, self.batch, self.seed, self.epoch, self.start = num_items, batch, seed, epoch, start
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        if self.world > 1:
            return max(0, self.num_items // (self.batch * self.world) - self.start) * self.batch
        whole = self.num_items // self.batch * self.batch or self.num_items
        return max(0, whole - self.start * self.batch)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = generator(self.seed, self.epoch, "order").permutation(self.num_items)
        first = self.start * self.batch * self.world
        mine = order[first : first + len(self) * self.world]
        if self.world > 1:
            mine = mine.reshape(-1, self.world, self.batch)[:, self.rank].ravel()
        return iter([(int(index), self.epoch) for index in mine])


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
