"""From a configuration to the images it speaks of, and to a summary."""

from dataclasses import dataclass, field, replace

import numpy as np

from calco.console import warn
from calco.data.boxes_play import no_play
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.sources.annotated import record_of
from calco.data.splits import split_items
from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.feed import BoxedImages
from calco.errors import CalcoError
from calco.runs.data import RunData, whole_path, whole_paths


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
    config = _with_whole_paths(config)
    source = open_source(config.images, config.source)
    splits = split_items(source.items, config.split)
    classes = _classes(source, splits, config.images)
    train, validation = (
        BoxedImages(source, splits[split], classes, config.size, augment, config.seed)
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


def _with_whole_paths(config: DetectTrainConfig) -> DetectTrainConfig:
    """Paths that hold from anywhere: a run is resumed, repeated and scored from other folders than its first."""
    model = whole_path(config.model) if "/" in config.model else config.model
    images = whole_path(config.images) or ""
    return replace(config, images=images, model=model or config.model, source=whole_paths(config.source))
