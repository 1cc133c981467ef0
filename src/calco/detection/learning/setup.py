"""From a configuration to the pictures it speaks of, and to a summary."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

import numpy as np

from calco.console import warn
from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.feed import BoxedPictures
from calco.errors import CalcoError
from calco.pairs.annotated import annotation_digest, image_digest, record_of
from calco.pairs.boxes_play import no_play
from calco.pairs.curation import MAX_COMPARED
from calco.pairs.opening import open_source
from calco.pairs.sources import Item, Source
from calco.pairs.splits import split_items
from calco.runs.data import RunData, whole_path, whole_paths

_MOST_READ: Final = MAX_COMPARED  # images whose content is read for a digest


@dataclass(frozen=True, kw_only=True)
class DetectionData(RunData[BoxedPictures]):
    """The pictures of a run.

    Attributes:
        classes: The names of what is to be found.
    """

    classes: tuple[str, ...]

    @cached_property
    def contents(self) -> dict[str, str]:
        """Digests of all images, and of all that is said about them: what a run that is resumed should find again."""
        items = [item for split in ("train", "val") for item in self.splits[split]]
        read = items if len(items) <= _MOST_READ else []
        return {
            "images": _together(image_digest(self.source, item) for item in read),
            "annotations": _together(annotation_digest(self.source, item) for item in items),
        }

    def provenance(self) -> dict[str, Any]:
        """Return where the training images came from, with the digest of each image, whatever its annotations say."""
        said = super().provenance()
        if "trained_on" in said:
            said["trained_on"] = sorted(image_digest(self.source, item) for item in self.splits["train"])
        return said


def _together(digests: Iterable[str]) -> str:
    return sha256("\n".join(digests).encode()).hexdigest()[:16]


def open_boxes(config: DetectTrainConfig) -> tuple[DetectionData, DetectTrainConfig]:
    """Opens the pictures of a run.

    Returns:
        The data, and the configuration with paths that hold from anywhere.

    Raises:
        CalcoError: When the pictures cannot be used, or hold no boxes.
    """
    if not config.pictures:
        raise CalcoError("no pictures were named; give a folder with boxes: calco detect train PICTURES")
    config = _with_whole_paths(config)
    source = open_source(config.pictures, config.source)
    splits = split_items(source.items, config.split)
    classes = _classes(source, splits, config.pictures)
    train, validation = (
        BoxedPictures(source, splits[split], classes, config.size, augment, config.seed)
        for split, augment in (("train", config.augment), ("val", no_play()))
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
            things = record_of(source, item).things if in_memory else source.load(item).detections
        except CalcoError:
            continue
        if things is None:
            continue
        found.annotated = True
        passed = np.zeros(len(things), np.bool_) if things.ignored is None else things.ignored
        found.ignored += int(passed.sum())
        found.classes |= set(things.select(~passed).classes)
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
            "the pictures, or name them: --annotations FILE"
        )
    if not found.classes and found.ignored:
        raise CalcoError(
            f"all {found.ignored:,} boxes of the {len(items):,} training pictures of {name} are crowds or difficult, "
            "which are not learned from; unmark some (iscrowd, difficult)"
        )
    if not found.classes:
        raise CalcoError(
            f"none of the {len(items):,} training pictures of {name} has a box; a detector learns from boxes: check "
            "the annotations with calco check, or the names given by --classes"
        )
    if source.kind == "annotations":
        if absent := [each for each in source.classes if each not in found.classes]:
            listed = ", ".join(absent[:6]) + (", ..." if len(absent) > 6 else "")
            warn(f"no training picture has a box of {len(absent)} of the classes ({listed}), which cannot be learned")
        if splits["val"] and not _boxes(source, splits["val"]).classes:
            warn("no validation picture has a box that counts, so that no validation can tell the best model")
    return source.classes or tuple(sorted(found.classes))


def _with_whole_paths(config: DetectTrainConfig) -> DetectTrainConfig:
    """Paths that hold from anywhere: a run is resumed, repeated and scored from other folders than its first."""
    model = whole_path(config.model) if "/" in config.model else config.model
    pictures = whole_path(config.pictures) or ""
    return replace(config, pictures=pictures, model=model or config.model, source=whole_paths(config.source))
