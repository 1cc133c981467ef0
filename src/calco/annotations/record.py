"""Result of reading annotations: the records of the images, and the problems with them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias

from calco.annotations.data_yaml import DataYaml
from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import Runs
from calco.errors import CalcoError
from calco.files import explain, make_folder, replacing

Size: TypeAlias = tuple[int, int]  # width and height
Fault: TypeAlias = Literal[
    "outside", "inverted", "empty", "order", "unit", "unknown class", "damaged", "unreadable", "other size", "mixed",
    "no image", "incomplete", "duplicate", "unused",
]  # fmt: skip

COSTS_A_IMAGE: Final = ("unreadable", "other size", "mixed", "no image", "incomplete")
"""The faults that cost a whole image; any other costs one object in it at the most."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Fault of an annotation.

    Attributes:
        where: The file, and the line, entry or object in it.
        fault: Its kind, to count by; see `COSTS_A_IMAGE`.
        reason: What is wrong, and what was done about it.
        image: Name of the image, if it is known.
    """

    where: str
    fault: Fault
    reason: str
    image: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Annotations of one image.

    Attributes:
        name: Path of the image relative to the images' folder, with forward slashes; as it was written where the
            image is not known.
        objects: Objects in it, without the masks in `runs`, which are not unpacked yet: see `detections`.
        size_wh: Width and height that the coordinates refer to; (1, 1) where they are shares of an image that is not
            known; None where no size is known.
        runs: Packed masks, by the index of their object.
        image: The image file, where it is known.
        where: The file of annotations.
        also: Other files that annotate the image, which are not used.
        split: Use of the image that the file gives, such as "train" or "validation"; empty where it gives none.
        number: Line of the file, counted from 0, of JSON lines.
        address: Address of the image, of JSON lines.
    """

    name: str
    objects: Detections
    size_wh: Size | None = None
    runs: Mapping[int, Runs] = field(default_factory=dict)
    image: Path | None = None
    where: str = ""
    also: tuple[str, ...] = ()
    split: str = ""
    number: int | None = None
    address: str = ""

    @property
    def detections(self) -> Detections:
        """Objects in the image, with all masks."""
        if not self.runs:
            return self.objects
        known = self.objects.outlines or (None,) * len(self.objects)
        masks = {i: Outline(mask=runs.mask()) for i, runs in self.runs.items()}
        return replace(self.objects, outlines=tuple(masks.get(i, outline) for i, outline in enumerate(known)))

    def at(self, width: int, height: int) -> "Record":
        """Return the record for the image at this size, which may be larger or smaller than the annotated one.

        Raises:
            CalcoError: If it has other proportions.
        """
        if self.size_wh in (None, (width, height)):
            return replace(self, size_wh=(width, height))
        assert self.size_wh is not None
        across, down = width / self.size_wh[0], height / self.size_wh[1]
        fits = abs(self.size_wh[1] * across - height) <= 1 or abs(self.size_wh[0] * down - width) <= 1
        if self.size_wh != (1, 1) and not fits:
            said = f"{self.size_wh[0]}x{self.size_wh[1]}"
            raise CalcoError(
                f"{self.name} has {width}x{height} pixels and was annotated at {said}; annotate it as it is"
            )
        return replace(self, objects=self.detections.scaled(across, down), size_wh=(width, height), runs={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """Annotations of a file or folder.

    Attributes:
        format: Name of the format.
        classes: Names of the classes: in the order of their numbers where they have some, else sorted.
        records: One an image, in the order of the files.
        problems: Faults, and what was done about them.
        passed: Images that are annotated only in another format, which is not read.
        lost: Images whose annotations cannot be used.
        described: Files beside YOLO's labels that describe the set, the nearest first.
    """

    format: str
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    problems: tuple[Problem, ...]
    passed: frozenset[Path] = frozenset()
    lost: frozenset[Path] = frozenset()
    described: tuple[DataYaml, ...] = ()


def classes_of(records: Sequence[Record], classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that are given, or those that occur, sorted; refuse one that occurs and is not given."""
    found = {name for record in records for name in record.objects.classes}
    if classes and (strange := sorted(found - set(classes))):
        raise CalcoError(f"the class {strange[0]!r} is none of {', '.join(classes)}; name all classes that occur")
    return tuple(classes) or tuple(sorted(found))


def size_of(record: Record) -> Size:
    """Return width and height of a record's image; refuse a record without them."""
    if record.size_wh is None or record.size_wh == (1, 1):
        raise CalcoError(f"{record.name}: the size of the image is not known; read it together with its image")
    return record.size_wh


def places(folder: Path, records: Sequence[Record], suffix: str) -> list[Path]:
    """Return one path a record in a folder, named after its image, and make the folders."""
    found: dict[Path, str] = {}
    for record in records:
        name = PurePosixPath(record.name)
        if name.is_absolute() or ".." in name.parts or not name.name:
            raise CalcoError(f"{record.name!r} leads out of the folder {folder}; name images relative to theirs")
        path = folder / name.with_suffix(suffix)
        if path in found:
            raise CalcoError(f"{found[path]} and {record.name} would both be {path.name}; rename one of the images")
        found[path] = record.name
    for parent in {path.parent for path in found} | {folder}:
        make_folder(parent)
    return list(found)


def copy_images(folder: Path, records: Sequence[Record]) -> None:
    """Copy the images of the records into a folder, under the records' names."""
    for record in records:
        if record.image is None:
            raise CalcoError(f"{record.name}: its image is not known; read the annotations together with them")
        make_folder((folder / record.name).parent)
        with replacing(folder / record.name) as temporary:
            try:
                shutil.copyfile(record.image, temporary)
            except OSError as error:
                raise explain(error, record.image, "copy") from error
