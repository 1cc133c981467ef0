"""From a configuration to the pictures it speaks of, and to a summary."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.feed import BoxedPictures
from calco.errors import CalcoError
from calco.pairs.boxes_play import no_play
from calco.pairs.curation import MAX_COMPARED
from calco.pairs.opening import open_source
from calco.pairs.sources import Item, Source
from calco.pairs.splits import split_items

_LOOKED_AT: Final = 300  # pictures that are looked through for a first box


@dataclass(frozen=True)
class DetectionData:
    """The pictures of a run.

    Attributes:
        source: Where they are from.
        splits: Items by split.
        classes: The names of what is to be found.
        train: Those that are learned from.
        validation: Those that are checked on.
    """

    source: Source
    splits: dict[str, list[Item]]
    classes: tuple[str, ...]
    train: BoxedPictures
    validation: BoxedPictures

    @property
    def fingerprint(self) -> str:
        """A digest of the names of the training pictures, in order."""
        names = "\n".join(item.key for item in self.splits["train"])
        return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def provenance(self) -> dict[str, Any]:
        """Where the training pictures came from, with a digest of each unless there are too many to read for that."""
        said: dict[str, Any] = {
            "pictures": self.source.root,
            "source": self.source.kind,
            "splits": {name: len(items) for name, items in self.splits.items()},
        }
        if len(self.splits["train"]) <= MAX_COMPARED:
            said["trained_on"] = sorted(self.source.digest(item) for item in self.splits["train"])
        return said

    def left_out(self) -> dict[str, str]:
        """Every picture that was not used, and why."""
        damaged = self.train.damaged | self.validation.damaged
        return dict(self.source.left_out) | {key: damaged[key] for key in sorted(damaged)}


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
    return DetectionData(source, splits, classes, train, validation), config


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
    named = config.source
    whole = replace(named, annotations=_whole(named.annotations), groups=_whole(named.groups), drop=_whole(named.drop))
    model = _whole(config.model) if "/" in config.model else config.model
    config = replace(config, source=whole, model=model or config.model)
    return replace(config, pictures=_whole(config.pictures) or "")


def _whole(path: str | None) -> str | None:
    return str(Path(path).resolve()) if path and Path(path).exists() else path
