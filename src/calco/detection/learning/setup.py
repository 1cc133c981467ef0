"""From a configuration to the pictures it speaks of, and to a summary."""

from dataclasses import dataclass, replace
from typing import Final

from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.feed import BoxedPictures
from calco.errors import CalcoError
from calco.pairs.boxes_play import no_play
from calco.pairs.opening import open_source
from calco.pairs.sources import Item, Source
from calco.pairs.splits import split_items
from calco.runs.data import RunData, whole_path, whole_paths

_LOOKED_AT: Final = 300  # pictures that are looked through for a first box


@dataclass(frozen=True, kw_only=True)
class DetectionData(RunData[BoxedPictures]):
    """The pictures of a run.

    Attributes:
        classes: The names of what is to be found.
    """

    classes: tuple[str, ...]


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
    classes = _classes(source, splits["train"], config.pictures)
    train, validation = (
        BoxedPictures(source, splits[split], classes, config.size, augment, config.seed)
        for split, augment in (("train", config.augment), ("val", no_play()))
    )
    if not splits["val"]:
        raise CalcoError("validation has no picture, so the best model could not be told; give --split.validation 0.1")
    data = DetectionData(source=source, splits=splits, train=train, validation=validation, classes=classes)
    return data, config


def _classes(source: Source, items: list[Item], name: str) -> tuple[str, ...]:
    """The names that the source tells, once a box has been seen in the training pictures.

    Raises:
        CalcoError: When nobody said what is where, or nothing is anywhere.
    """
    told, seen = False, False
    found = set(source.classes)
    for item in items[:_LOOKED_AT]:
        try:
            things = source.load(item).detections
        except CalcoError:
            continue
        told |= things is not None
        if things is not None and len(things):
            seen = True
            found |= set(things.classes)
            if source.classes:
                break
    if not told:
        raise CalcoError(
            f"{name} holds no boxes ({source.story}), and a detector learns from boxes; put annotations beside the "
            "pictures, or name them: --annotations FILE"
        )
    if not seen:
        raise CalcoError(
            f"the first {min(len(items), _LOOKED_AT)} training pictures of {name} have no box; a detector learns "
            "from boxes: check the annotations with calco check, or the names given by --classes"
        )
    return source.classes or tuple(sorted(found))


def _with_whole_paths(config: DetectTrainConfig) -> DetectTrainConfig:
    """Paths that hold from anywhere: a run is resumed, repeated and scored from other folders than its first."""
    model = whole_path(config.model) if "/" in config.model else config.model
    pictures = whole_path(config.pictures) or ""
    return replace(config, pictures=pictures, model=model or config.model, source=whole_paths(config.source))
