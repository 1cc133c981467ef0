"""Training data of a detector: images with boxes, and batches of them."""

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from calco.annotations.detections import Detections
from calco.data.box_augmentation import augmented, no_augmentation, reduced
from calco.data.config import BoxAugmentConfig
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.sources.annotated import record_of
from calco.data.splits import split_items
from calco.detection.learning import DetectTrainConfig
from calco.detection.network import TargetObjects
from calco.errors import CalcoError, UnusableError
from calco.training.task import RunData, absolute_path, absolute_paths

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectionBatch:
    """A batch of images with their objects."""

    images: Tensor  # N, 3, S, S `uint8`, in memory NHWC
    objects: list[TargetObjects]

    def to(self, device: torch.device) -> tuple[Tensor, list[TargetObjects]]:
        """Return the images as float32 in [-1, 1], and their objects, on the device."""
        x = self.images.to(device, non_blocking=True).float().div_(127.5).sub_(1)
        moved = [TargetObjects(*(part.to(device, non_blocking=True) for part in each)) for each in self.objects]
        return x.contiguous(memory_format=torch.channels_last), moved


@dataclass
class BoxedImages:
    """The images of one split, read, cached and augmented."""

    source: Source
    items: Sequence[Item]
    classes: tuple[str, ...]  # names of the classes, in the order of their numbers
    side: int  # side of the square, pixels
    augment: BoxAugmentConfig
    seed: int
    largest: int = 0  # longest side to which images are brought when they are read, pixels; 0 keeps their own
    cache_bytes: int = 1 << 30  # largest size of the cache of these images
    damaged: dict[str, str] = field(default_factory=dict)  # key and reason of each image that cannot be read

    def __post_init__(self) -> None:
        self._kept: dict[int, Sample] = {}
        self._room = self.cache_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> Sample:
        """Return the image at an index; if it cannot be read, the next one that can."""
        for step in range(len(self.items)):
            place = (index + step) % len(self.items)
            item = self.items[place]
            if place in self._kept:
                return self._kept[place]
            if item.key in self.damaged:
                continue
            try:
                sample = self.source.load(item)
                sample = reduced(sample, self.largest) if self.largest else sample
            except CalcoError as error:
                self.damaged[item.key] = str(error)
                continue
            with self._lock:
                if sample.image.nbytes <= self._room and place not in self._kept:
                    self._room -= sample.image.nbytes
                    self._kept[place] = sample
            return sample
        raise UnusableError(
            f"none of the {len(self.items)} images can be read; the first reason: {next(iter(self.damaged.values()))}"
        )

    def as_objects(self, found: Detections) -> TargetObjects:
        """Return objects of the learned classes with class numbers, and boxes as shares of the square."""
        found = found.select(np.array([name in self.classes for name in found.classes], np.bool_))
        ignored = found.is_ignored
        low, high = found.boxes[:, :2], found.boxes[:, 2:]
        boxes = np.concatenate([(low + high) / 2, high - low], 1).astype(np.float32) / self.side
        labels = np.array([self.classes.index(name) for name in found.classes], np.int64)
        return TargetObjects(
            torch.from_numpy(labels[~ignored]), torch.from_numpy(boxes[~ignored]), torch.from_numpy(boxes[ignored])
        )


def load_batch(images: BoxedImages, places: Sequence[tuple[int, int]], *, pinned: bool = False) -> DetectionBatch:
    """Load the images at indices and epochs; `pinned` keeps them in page-locked memory for a GPU."""
    side = images.side
    whole = torch.empty((len(places), side, side, 3), dtype=torch.uint8, pin_memory=pinned)
    objects = []
    for number, (index, epoch) in enumerate(places):
        square, found = augmented(
            images.image, index, len(images), side, images.augment, seed=images.seed, epoch=epoch, outlines=False
        )
        np.copyto(whole.numpy()[number], square)
        objects.append(images.as_objects(found))
    return DetectionBatch(whole.permute(0, 3, 1, 2), objects)


@dataclass(frozen=True, kw_only=True)
class DetectionData(RunData[BoxedImages]):
    """The images of a run, and the names of their classes."""

    classes: tuple[str, ...]


def open_boxes(config: DetectTrainConfig) -> tuple[DetectionData, DetectTrainConfig]:
    """Open the images of a run; return them, and the configuration with absolute paths."""
    if not config.images:
        raise CalcoError("no images were named; give a folder with boxes: calco detect train IMAGES")
    # A run is resumed, repeated and scored from other folders than its first.
    config = replace(
        config, images=absolute_path(config.images) or "", source=absolute_paths(config.source),
        model=(absolute_path(config.model) if "/" in config.model else None) or config.model,
        start=absolute_path(config.start or None) or "",
    )  # fmt: skip
    source = open_source(config.images, config.source)
    splits = split_items(source.items, config.split)
    classes = _classes(source, splits, config.images)
    # Augmentation enlarges no image that is read at the largest of its scales: more pixels would be thrown away in each
    # epoch, and fewer images fit into the cache.
    largest = math.ceil(config.size * max(1.25, config.augment.scale[1], config.augment.mosaic_scale[1]))
    train, validation = (
        BoxedImages(source, splits[split], classes, config.size, augment, config.seed, size)
        for split, augment, size in (("train", config.augment, largest), ("val", no_augmentation(), 0))
    )
    data = DetectionData(source=source, splits=splits, train=train, validation=validation, classes=classes)
    return data, config


def _annotated_classes(source: Source, items: list[Item]) -> tuple[bool, int, set[str]]:
    """Look at the boxes of some images: at all if nothing must be decoded for it, else until one is found.

    Returns:
        Whether any image has annotations; the number of ignored boxes; the names of the classes of all others.
    """
    annotated, num_ignored, classes = False, 0, set[str]()
    in_memory = source.kind == "annotations"
    for item in items:
        try:
            objects = record_of(source, item).objects if in_memory else source.load(item).detections
        except CalcoError:
            continue
        if objects is None:
            continue
        annotated = True
        num_ignored += int(objects.is_ignored.sum())
        classes |= set(objects.select(~objects.is_ignored).classes)
        if classes and source.classes and not in_memory:
            break
    return annotated, num_ignored, classes


def _classes(source: Source, splits: dict[str, list[Item]], name: str) -> tuple[str, ...]:
    """Return the names of the classes; check that a training image has a box to learn from."""
    items = splits["train"]
    annotated, num_ignored, classes = _annotated_classes(source, items)
    if not annotated:
        reason = f"; {source.problems[0]}" if source.problems else ""
        raise CalcoError(
            f"{name} holds no boxes ({source.story}){reason}, and a detector learns from boxes; put annotations beside "
            "the images, or name them: --annotations FILE"
        )
    if not classes and num_ignored:
        raise CalcoError(
            f"all {num_ignored:,} boxes of the {len(items):,} training images of {name} are crowds or difficult, "
            "which are not learned from; unmark some (iscrowd, difficult)"
        )
    if not classes:
        raise CalcoError(
            f"none of the {len(items):,} training images of {name} has a box; a detector learns from boxes: check "
            "the annotations with calco check, or the names given by --classes"
        )
    if source.kind == "annotations":
        if absent := [each for each in source.classes if each not in classes]:
            names = ", ".join(absent[:6]) + (", ..." if len(absent) > 6 else "")
            LOG.warning(
                "no training image has a box of %d of the classes (%s), which cannot be learned", len(absent), names
            )
        if splits["val"] and not _annotated_classes(source, splits["val"])[2]:
            LOG.warning("no validation image has a box that counts, so that no validation can tell the best model")
    return source.classes or tuple(sorted(classes))
