"""Inputs, detector and results of `calco detect predict`; detections as rows of JSON lines and CSV."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from calco.annotations.detections import Detections
from calco.detection.network import DetectorProtocol
from calco.detection.slicing import Slices, find_in_slices
from calco.errors import CalcoError
from calco.files import replacing
from calco.imaging import Image
from calco.video.names import is_video

VERB: Final = "calco detect predict"
COLUMNS: Final = ("class", "score", "left", "top", "right", "bottom")
_DIGITS: Final = 2  # of pixels: a hundredth, finer than any detector is


@dataclass(frozen=True, slots=True)
class InputFile:
    """An image or video in a file."""

    path: str
    name: str  # its name among the results, with forward slashes
    moving: bool = False  # whether all frames of an animated image are used

    @property
    def kind(self) -> Literal["image", "video"]:
        """Return its kind, by its ending."""
        return "video" if self.moving or is_video(self.path) else "image"


@dataclass(frozen=True, kw_only=True)
class ConfiguredDetector:
    """A detector with its options."""

    detector: DetectorProtocol
    threshold: float | None = None  # lowest score of an object; None for the detector's own
    only: tuple[str, ...] = ()  # classes that are reported; empty for all
    slices: Slices | None = None  # slices of large images; None for the whole image alone
    batch: int = 1  # images per call of the detector

    def __post_init__(self) -> None:
        if unknown := [name for name in self.only if name not in self.classes]:
            raise CalcoError(
                f"--classes {unknown[0]!r}: the model has no such class; its classes are {', '.join(self.classes)}"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes of the detector."""
        return self.detector.classes

    def many(self, images: Sequence[Image], progress: Callable[[float], None] | None = None) -> list[Detections]:
        """Return the objects in each image; `progress` gets the share of an image in slices that is done."""
        least = self.record()["threshold"]
        if self.slices is None:
            found = self.detector.many(images, threshold=least)
        else:
            found = [
                find_in_slices(self.detector, image, self.slices, threshold=least, progress=progress)
                for image in images
            ]
        if not self.only:
            return found
        return [each.select(np.array([name in self.only for name in each.classes], np.bool_)) for each in found]

    def record(self) -> dict[str, Any]:
        """Return the options as plain data."""
        slices = None if self.slices is None else [self.slices.side, self.slices.overlap]
        threshold = self.detector.threshold if self.threshold is None else self.threshold
        return {"threshold": threshold, "classes": list(self.only), "slices": slices}


@dataclass
class DetectionCounts:
    """Number of objects found."""

    objects: Counter[str] = field(default_factory=Counter)  # number of objects by class
    seen: int = 0  # number of images or frames
    empty: int = 0  # number of those without objects

    def add(self, found: Detections) -> None:
        """Count the objects of one more image."""
        self.objects.update(found.classes)
        self.seen += 1
        self.empty += not len(found)

    def summary(self, of: str) -> str:
        """Return the counts, such as "3 knife, 12 pistol; nothing in 4 of 20 images"; `of` is images or frames."""
        of = of.removesuffix("s") if self.seen == 1 else of
        if not self.objects:
            return f"nothing found in {self.seen} {of}"
        found = ", ".join(f"{count} {name}" for name, count in sorted(self.objects.items()))
        return f"{found}; nothing in {self.empty} of {self.seen} {of}"


@dataclass
class VideoPrediction:
    """Result of a video."""

    written: list[Path]
    frames: int = 0  # number of frames that the detector processed now
    kept: int = 0  # number of frames from before an interruption
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)  # a sentence for each difference from the source and each damage


@dataclass
class Prediction:
    """Result of a call."""

    out: str  # the folder or file that was written; empty where live images were only shown
    images: DetectionCounts = field(default_factory=DetectionCounts)  # counts of the objects in images
    # Counts of the objects in frames of videos, or live.
    frames: DetectionCounts = field(default_factory=DetectionCounts)
    written: int = 0  # number of images that the detector processed now
    kept: int = 0  # number of images and videos that an earlier call had done
    videos: list[VideoPrediction] = field(default_factory=list)  # result of each video
    left_out: dict[str, str] = field(default_factory=dict)  # name and reason of everything that could not be used
    only: Detections | None = None  # objects of the image, if there was one image
    notes: list[str] = field(default_factory=list)  # a sentence for each part of the images that is not used
    summary: str = ""  # frames and speed of live images, a sentence
    files: list[Path] = field(default_factory=list)  # files that live images were written to


def as_rows(found: Detections) -> list[dict[str, Any]]:
    """Return objects as plain data: class, score, box (left, top, right, bottom in pixels)."""
    rows = []
    for i, (name, box) in enumerate(zip(found.classes, found.boxes.astype(np.float64), strict=True)):
        row: dict[str, Any] = {"class": name}
        if found.scores is not None:
            row["score"] = round(float(found.scores[i]), 4)
        row["box"] = [round(float(value), _DIGITS) for value in box]
        rows.append(row)
    return rows


def from_rows(rows: Iterable[Mapping[str, Any]]) -> Detections:
    """Return the objects of rows that `as_rows` made."""
    rows = list(rows)
    scores = [row.get("score") for row in rows]
    return Detections(
        boxes=np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
        classes=tuple(str(row["class"]) for row in rows),
        scores=None if None in scores else np.array(scores, np.float32),
    )


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV with a row for each object of JSON lines: the fields of its image or frame, then `COLUMNS`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace",
                                                      newline="") as file:  # fmt: skip
        writer: Any = None
        for row in rows:
            where = {name: value for name, value in row.items() if name != "detections"}
            if writer is None:
                writer = csv.writer(file)
                writer.writerow([*where, *COLUMNS])
            for each in row["detections"]:
                writer.writerow([*where.values(), each["class"], each.get("score", ""), *each["box"]])
        if writer is None:
            csv.writer(file).writerow(COLUMNS)
