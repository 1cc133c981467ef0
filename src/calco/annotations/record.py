"""Result of reading annotations: the records of the images and the problems, and how images are found by name."""

import re
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

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

_UPLOADED: Final = re.compile(r"(?i)^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the names of files

Closeness: TypeAlias = tuple[int, int, int, int]


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
class DataYaml:
    """Content of a file beside YOLO's labels, with paths as they are written."""

    path: Path
    names: tuple[str, ...] = ()  # of the classes, in the order of their numbers
    kpt_shape: tuple[int, int] | None = None  # number of keypoints, and numbers of each (2 or 3)
    root: str = ""  # folder to which the paths of the splits are relative
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()  # split, and the folders, lists or images of it


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


class Images:
    """Finds the images that annotations name.

    Args:
        paths: The image files.
        root: Folder to which their names are relative.
    """

    def __init__(self, paths: Iterable[Path], root: Path) -> None:
        self.paths, self.root = tuple(paths), root
        self._of_stem: dict[str, list[Path]] = {}
        for path in self.paths:
            self._of_stem.setdefault(plain(path.stem), []).append(path)

    def name(self, path: Path) -> str:
        """Return the path relative to the images' folder, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def find(self, name: str, near: Path) -> tuple[Path | None, str]:
        """Find the image of a name in the file `near`; return it, or None and the reason.

        A name may have any folders and any ending, and may be percent-encoded. Of several images with one stem, those
        with the very name count first, then those whose folders share most with the name and with the file's path.
        """
        named, found = _parts(name), list[Path]()
        for each in dict.fromkeys((named, _parts(unquote(name)), _parts(_UPLOADED.sub("", named.name)))):
            # A dot in a name without ending is no ending: "a.b" of "a.b.txt" is the stem of "a.b.jpg".
            stems = dict.fromkeys((plain(each.stem), plain(each.name)))
            if found := [path for stem in stems for path in self._of_stem.get(stem, ())]:
                named = each
                break
        if not found:
            return None, f"no image is named {named.name}"
        ranks = {path: self.closeness(path, str(named), near) for path in found}
        best = [path for path, rank in ranks.items() if rank == max(ranks.values())]
        if len(best) > 1:
            return None, f"{len(best)} images are named {named.name}: {', '.join(map(self.name, best[:3]))}"
        return best[0], ""

    def closeness(self, path: Path, name: str, near: Path) -> Closeness:
        """Rank how well an image fits a name: by the name itself, then by their folders."""
        named = _parts(name)
        words = {plain(part) for part in (*named.parts, *near.parts, *near.stem.split("_"))}
        folders = {plain(part) for part in path.parent.parts}
        same = named.name in (path.name, path.stem)
        alike = plain(named.name) in (plain(path.name), plain(path.stem))
        strange, apart = ({plain(part) for part in parts} - folders for parts in (named.parts[:-1], near.parent.parts))
        return same + alike, len(words & folders), -len(strange), -len(apart)

    def numbered(self, number: int) -> tuple[Path | None, str]:
        """Return the image of a number, or None and the reason."""
        path = self._of_number.get(number)
        return path, "" if path else f"no image has the number {number}"

    @cached_property
    def _of_number(self) -> dict[int, Path]:
        """Images by the last number in their name, of those that are named as most are but for this number."""
        families: dict[tuple[Path, str], dict[int, Path]] = {}
        for path in self.paths:
            if found := re.fullmatch(r"(.*?)([0-9]{1,9})([^0-9]*)", path.stem):
                family = families.setdefault((path.parent, f"{found[1]}#{found[3]}"), {})
                family.setdefault(int(found[2]), path)
        return max(families.values(), key=len, default={})


def _parts(name: str) -> PurePosixPath:
    return PurePosixPath(name.strip().replace("\\", "/"))


def plain(text: str) -> str:
    """Return text in composed Unicode and without capitals: the same for names that a person takes for the same."""
    return unicodedata.normalize("NFC", text).casefold()


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
