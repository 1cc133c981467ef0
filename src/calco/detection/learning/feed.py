"""Images and what is in them, in batches."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from calco.annotations.detections import Detections
from calco.data.boxes_play import augmented
from calco.data.config import BoxAugmentConfig
from calco.data.source import Item, Source
from calco.data.types import Sample
from calco.detection.network import Objects
from calco.errors import CalcoError, UnusableError
from calco.imaging import Image


@dataclass(frozen=True)
class DetectionBatch:
    """Images on their way into a detector.

    Attributes:
        images: N, 3, S, S `uint8`, in memory NHWC.
        objects: What is in each.
    """

    images: Tensor
    objects: list[Objects]

    def to(self, device: torch.device) -> tuple[Tensor, list[Objects]]:
        """The images as float32 in [-1, 1], and what is in them, on the device."""
        x = self.images.to(device, non_blocking=True).float().div_(127.5).sub_(1)
        moved = [Objects(*(part.to(device, non_blocking=True) for part in each)) for each in self.objects]
        return x.contiguous(memory_format=torch.channels_last), moved


@dataclass
class BoxedImages:
    """The images of one split, as training sees them.

    Attributes:
        source: Where they are read.
        items: Those of the split.
        classes: The names, whose places are the numbers.
        side: Of the square, pixels.
        augment: How much play.
        seed: Of the run.
        cache_bytes: Decoded images are kept up to this.
        damaged: Key and reason of what could not be read.
    """

    source: Source
    items: Sequence[Item]
    classes: tuple[str, ...]
    side: int
    augment: BoxAugmentConfig
    seed: int
    cache_bytes: int = 1 << 30
    damaged: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._room = self.cache_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> Sample:
        """The image at a place; where it cannot be read, the next that can.

        Raises:
            CalcoError: When none can be read.
        """
        for step in range(len(self.items)):
            place = (index + step) % len(self.items)
            item = self.items[place]
            if item.key in self.damaged:
                continue
            try:
                return self._read(place)
            except CalcoError as error:
                self.damaged[item.key] = str(error)
        raise UnusableError(
            f"none of the {len(self.items)} images can be read; the first reason: {next(iter(self.damaged.values()))}"
        )

    def _read(self, place: int) -> Sample:
        with self._lock:
            if place in self._kept:
                return self._kept[place]
        image = self.source.load(self.items[place])
        with self._lock:
            if image.image.nbytes <= self._room and place not in self._kept:
                self._room -= image.image.nbytes
                self._kept[place] = image
        return image

    def augmented(self, index: int, epoch: int) -> tuple[Image, Detections]:
        """An image in its square as it is seen in one epoch, and what is in it, in the square's pixels."""
        return augmented(
            self.image, index, len(self), self.side, self.augment, seed=self.seed, epoch=epoch, outlines=False
        )

    def as_objects(self, found: Detections) -> Objects:
        """Boxes in pixels of the square => numbers and shares; classes that are not learned are left out."""
        known = np.array([name in self.classes for name in found.classes], np.bool_)
        found = found.select(known)
        ignored = np.zeros(len(found), np.bool_) if found.ignored is None else found.ignored
        low, high = found.boxes[:, :2], found.boxes[:, 2:]
        boxes = np.concatenate([(low + high) / 2, high - low], 1).astype(np.float32) / self.side
        labels = np.array([self.classes.index(name) for name in found.classes], np.int64)
        return Objects(
            torch.from_numpy(labels[~ignored]), torch.from_numpy(boxes[~ignored]), torch.from_numpy(boxes[ignored])
        )


def load_batch(images: BoxedImages, places: Sequence[tuple[int, int]], *, pinned: bool = False) -> DetectionBatch:
    """The images at these places (index, epoch).

    Args:
        images: What makes them.
        places: Index and epoch of each.
        pinned: Puts them where a GPU can fetch them by itself.
    """
    side = images.side
    whole = torch.empty((len(places), side, side, 3), dtype=torch.uint8, pin_memory=pinned)
    objects = []
    for number, (index, epoch) in enumerate(places):
        square, found = images.augmented(index, epoch)
        np.copyto(whole.numpy()[number], square)
        objects.append(images.as_objects(found))
    return DetectionBatch(whole.permute(0, 3, 1, 2), objects)
