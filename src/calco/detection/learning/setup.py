"""From a configuration to the images it speaks of, and to a summary."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from calco.annotations.detections import Detections
from calco.console import warn
from calco.data.box_augmentation import augmented, no_augmentation
from calco.data.config import BoxAugmentConfig
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.sources.annotated import record_of
from calco.data.splits import split_items
from calco.detection.learning.config import DetectTrainConfig
from calco.detection.network import TargetObjects
from calco.errors import CalcoError, UnusableError
from calco.imaging import Image
from calco.training.task import RunData, absolute_path, absolute_paths


@dataclass(frozen=True)
class DetectionBatch:
    """Images on their way into a detector.

    Attributes:
        images: N, 3, S, S `uint8`, in memory NHWC.
        objects: What is in each.
    """

    images: Tensor
    objects: list[TargetObjects]

    def to(self, device: torch.device) -> tuple[Tensor, list[TargetObjects]]:
        """The images as float32 in [-1, 1], and what is in them, on the device."""
        x = self.images.to(device, non_blocking=True).float().div_(127.5).sub_(1)
        moved = [TargetObjects(*(part.to(device, non_blocking=True) for part in each)) for each in self.objects]
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

    def as_objects(self, found: Detections) -> TargetObjects:
        """Boxes in pixels of the square => numbers and shares; classes that are not learned are left out."""
        known = np.array([name in self.classes for name in found.classes], np.bool_)
        found = found.select(known)
        ignored = np.zeros(len(found), np.bool_) if found.ignored is None else found.ignored
        low, high = found.boxes[:, :2], found.boxes[:, 2:]
        boxes = np.concatenate([(low + high) / 2, high - low], 1).astype(np.float32) / self.side
        labels = np.array([self.classes.index(name) for name in found.classes], np.int64)
        return TargetObjects(
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


@dataclass(frozen=True, kw_only=True)
class DetectionData(RunData[BoxedImages]):
    """The images of a run.

    Attributes:
        classes: The names of what is to be found.
    """

    classes: tuple[str, ...]


def open_boxes(config: DetectTrainConfig) -> tuple[DetectionData, DetectTrainConfig]:
    """Opens the images of a run.

    Returns:
        The data, and the configuration with paths that hold from anywhere.

    Raises:
        CalcoError: When the images cannot be used, or hold no boxes.
    """
    if not config.images:
        raise CalcoError("no images were named; give a folder with boxes: calco detect train IMAGES")
    config = _with_absolute_paths(config)
    source = open_source(config.images, config.source)
    splits = split_items(source.items, config.split)
    classes = _classes(source, splits, config.images)
    train, validation = (
        BoxedImages(source, splits[split], classes, config.size, augment, config.seed)
        for split, augment in (("train", config.augment), ("val", no_augmentation()))
    )
    data = DetectionData(source=source, splits=splits, train=train, validation=validation, classes=classes)
    return data, config


@dataclass(slots=True)
class _Boxes:
    """Boxes of some images.

    Attributes:
        annotated: Whether somebody said of any of them what is in it.
        ignored: Number of crowds and difficult objects.
        classes: Names of the classes of all others.
    """

    annotated: bool = False
    ignored: int = 0
    classes: set[str] = field(default_factory=set)


def _boxes(source: Source, items: list[Item]) -> _Boxes:
    """Look at the boxes of some images: at all where nothing must be decoded for it, else until one is found."""
    found = _Boxes()
    in_memory = source.kind == "annotations"
    for item in items:
        try:
            objects = record_of(source, item).objects if in_memory else source.load(item).detections
        except CalcoError:
            continue
        if objects is None:
            continue
        found.annotated = True
        passed = np.zeros(len(objects), np.bool_) if objects.ignored is None else objects.ignored
        found.ignored += int(passed.sum())
        found.classes |= set(objects.select(~passed).classes)
        if found.classes and source.classes and not in_memory:
            break
    return found


def _classes(source: Source, splits: dict[str, list[Item]], name: str) -> tuple[str, ...]:
    """Return the names of the classes, once a training image has been found with a box to learn from.

    Raises:
        CalcoError: If nobody said what is where, no training image has a box, or all boxes are crowds or difficult.
    """
    items = splits["train"]
    found = _boxes(source, items)
    if not found.annotated:
        reason = f"; {source.problems[0]}" if source.problems else ""
        raise CalcoError(
            f"{name} holds no boxes ({source.story}){reason}, and a detector learns from boxes; put annotations beside "
            "the images, or name them: --annotations FILE"
        )
    if not found.classes and found.ignored:
        raise CalcoError(
            f"all {found.ignored:,} boxes of the {len(items):,} training images of {name} are crowds or difficult, "
            "which are not learned from; unmark some (iscrowd, difficult)"
        )
    if not found.classes:
        raise CalcoError(
            f"none of the {len(items):,} training images of {name} has a box; a detector learns from boxes: check "
            "the annotations with calco check, or the names given by --classes"
        )
    if source.kind == "annotations":
        if absent := [each for each in source.classes if each not in found.classes]:
            listed = ", ".join(absent[:6]) + (", ..." if len(absent) > 6 else "")
            warn(f"no training image has a box of {len(absent)} of the classes ({listed}), which cannot be learned")
        if splits["val"] and not _boxes(source, splits["val"]).classes:
            warn("no validation image has a box that counts, so that no validation can tell the best model")
    return source.classes or tuple(sorted(found.classes))


def _with_absolute_paths(config: DetectTrainConfig) -> DetectTrainConfig:
    """Paths that hold from anywhere: a run is resumed, repeated and scored from other folders than its first."""
    model = absolute_path(config.model) if "/" in config.model else config.model
    images = absolute_path(config.images) or ""
    return replace(config, images=images, model=model or config.model, source=absolute_paths(config.source))
