"""YOLO's text: one file an image, one object a line, coordinates as shares of width and height.

As Darknet began it (class, centre, width, height) and Ultralytics continues it: class, then the corners of a polygon;
class, box, keypoints; and behind each of these a score, a track id, or both, as `save_txt` writes them. What the last
numbers of a line are is decided once for all files. The names of the classes stand in data.yaml, classes.txt, or a file
that ends in .names.

`data.yaml` is read with every scalar as text: a class called `no` or `012` keeps its name. Nothing in it is expanded or
followed, so that a small file cannot become a large one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import yaml

from calco.annotations.detections import Detections
from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.geometry import joined, rings
from calco.annotations.parsing import UnknownClassError, class_name, number, polygon
from calco.annotations.record import DataYaml, Record, classes_of, copy_images, places, size_of
from calco.errors import CalcoError
from calco.files import atomic_write, read_text

Trailing: TypeAlias = Literal["score", "track", "unclear"]
_LEAST_POSES: Final = 3  # lines that must look like poses, where no kpt_shape says that they are
_LEAST_ODD: Final = 2  # polygons that must all have a number behind them
_LEAST_KEYPOINTS: Final = 3
_EDGE: Final = 0.01  # of a side, by which a box or keypoint may leave its bounds
_LOOKED_AT: Final = 1000  # lines of a set that are looked at as a whole
_MOST_BYTES: Final = 1 << 22  # the names of 100,000 classes; a larger file describes no data set
_YAML: Final = (".yaml", ".yml")
_DATA: Final = ("data", "dataset")
_OTHER_LISTS: Final = ("labels.txt", "class_names.txt", "names.txt", "obj_names.txt")
_MOST_KEYPOINTS: Final = 1000
_SPLITS: Final = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Meaning of the numbers of a line, for all files of a set."""

    names: tuple[str, ...] = ()  # of the classes; none leaves their numbers
    keypoints: int = 0  # numbers of a line that belong to keypoints
    trailing: Trailing = "score"  # meaning of a single number behind a box, polygon or pose
    tracked: bool = False  # lines may end in a score and a track id
    odd: bool = False  # all polygons have a single number behind them; else an odd count of numbers is a mistake
    notes: tuple[str, ...] = ()


def find_layout(files: Iterable[Path], described: Sequence[DataYaml], classes: Sequence[str] = ()) -> Layout:
    """Decide what the numbers of the lines in all label files mean; `classes` are names that were given by hand."""
    lines: list[_Line] = []
    for file in files:
        lines += _lines_of(file, whole=len(lines) < _LOOKED_AT)
    named = [each for each in described if each.names]
    names, notes = tuple(classes), list[str]()
    if not classes and named:
        names = named[0].names
        if others := [each.path for each in named if each.names != names]:
            notes.append(f"the names of the classes are those of {named[0].path}; {others[0]} has others")
    used = {line.label for line in lines}
    if names and used and min(used) >= 1 and max(used) == len(names):
        where = next(line.file for line in lines if line.label == len(names))
        raise CalcoError(
            f"{where}: the classes are numbered from 1 to {len(names)}, and the {len(names)} names begin at 0; "
            "subtract 1 from the numbers, or put a name for 0 before the others"
        )
    shape = next((each.kpt_shape for each in described if each.kpt_shape), None)
    keypoints = shape[0] * shape[1] if shape else _unnamed_keypoints(lines)
    if keypoints:
        tracked, odd = True, False
        single = [line for line in lines if line.num in (5, 5 + keypoints)]
    else:
        pairs = [line for line in lines if line.num >= 6 and not line.num % 2 and line.looks_tracked]
        tracked = any(line.last[-1] > 1 for line in pairs) or (
            bool(pairs) and all(line.num == 6 and line.looks_tracked and line.boxed for line in lines)
        )
        polygons = [line for line in lines if line.num >= 6]
        odd = len(polygons) >= _LEAST_ODD and all(line.num % 2 for line in polygons)
        single = [line for line in lines if line.num == 5 or (odd and line.num > 5)]
    trailing = _meaning([(line.file, line.last[-1]) for line in single])
    if keypoints and (count := sum(line.num > 6 for line in lines)):
        unnamed = "" if shape else ", which no kpt_shape in data.yaml announces"
        notes.append(f"the keypoints of {count:,} lines are not used{unnamed}; their boxes are the first four numbers")
    if trailing == "unclear":
        seen = ", ".join(f"{value:g}" for value in sorted({line.last[-1] for line in single})[:3])
        notes.append(
            f"the last number of {len(single):,} lines ({seen}, ...) may be a score, a track id or an angle; it is not "
            "used"
        )
    return Layout(names=names, keypoints=keypoints, trailing=trailing, tracked=tracked, odd=odd, notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class _Line:
    """Line before it is read: its file, class, count of numbers after the class, and some of these."""

    file: Path
    label: float
    num: int
    first: tuple[float, ...]  # all of the first lines of a set, four of the others
    last: tuple[float, float]

    @property
    def looks_tracked(self) -> bool:
        """True if the last two numbers can be a score and a track id."""
        return 0 <= self.last[0] <= 1 and _is_track(self.last[1])

    @property
    def boxed(self) -> bool:
        """True if the first four numbers are a box in the image."""
        x, y, width, height = self.first[:4]
        low, high = min(x - width / 2, y - height / 2), max(x + width / 2, y + height / 2)
        return low >= -_EDGE and high <= 1 + _EDGE and width > 0 and height > 0


def _lines_of(file: Path, *, whole: bool) -> Iterator[_Line]:
    """Yield the lines of a file with five numbers at least; others are reported when they are read."""
    try:
        text = read_text(file)
    except CalcoError:
        return
    for line in text.splitlines():
        label, *words = line.split() or [""]
        try:
            if len(words) >= 4:
                first = tuple(map(number, words if whole else words[:4]))
                yield _Line(file, number(label), len(words), first, (number(words[-2]), number(words[-1])))
        except CalcoError:
            continue


def _unnamed_keypoints(lines: Sequence[_Line]) -> int:
    """Return the count of keypoints' numbers, if all lines are as long and begin with a box around them; else 0."""
    if len(lines) < _LEAST_POSES or len({line.num for line in lines}) != 1:
        return 0
    whole = np.array([line.first for line in lines if len(line.first) == line.num])
    num = lines[0].num - 4
    for each in (3, 2):
        if num % each or num < _LEAST_KEYPOINTS * each:
            continue
        points = whole[:, 4:].reshape(len(whole), -1, each)
        if each == 3 and not np.isin(points[..., 2], (0, 1, 2)).all():
            continue
        away = np.abs(points[..., :2] - whole[:, None, :2]) > whole[:, None, 2:4] / 2 + _EDGE
        hidden = (points[..., :2] == 0).all(2)
        if not (away.any(2) & ~hidden).any() and not hidden.all():
            return num
    return 0


def _is_track(value: float) -> bool:
    return value >= 0 and value == int(value)


def _meaning(values: Sequence[tuple[Path, float]]) -> Trailing:
    """Decide what single last numbers are: scores in [0, 1], or whole numbers of which a file has each once."""
    last = [value for _, value in values]
    if not last or (all(0 <= value <= 1 for value in last) and any(0 < value < 1 for value in last)):
        return "score"
    if all(map(_is_track, last)) and max(last) > 1 and len(set(values)) == len(values):
        return "track"
    return "unclear"


def find_data_yaml(folder: Path, top: Path) -> tuple[DataYaml, ...]:
    """Read the files in a folder and above it, up to `top`, that describe labels: the nearest first.

    In one folder YAML comes first (`data.yaml` before others), then `classes.txt`, `*.names` and other lists of names.
    """
    found = []
    # Labels that lie elsewhere may be described in their own folder or the one above.
    parents = [folder, *folder.parents] if folder.is_relative_to(top) else [folder, folder.parent]
    for parent in parents:
        try:
            paths = sorted(path for path in parent.iterdir() if path.is_file() and not path.name.startswith("."))
        except OSError:
            paths = []
        ranked = sorted((rank, path) for path in paths if (rank := _rank(path)) is not None)
        found += [_read_described(path) for _, path in ranked]
        if parent == top:
            break
    return tuple(each for each in found if each.names or each.kpt_shape or each.splits)


def _rank(path: Path) -> int | None:
    """Return the place of a file among those that may describe labels; None for any other."""
    suffix, name = path.suffix.lower(), path.name.lower()
    kinds = (suffix in _YAML and path.stem.lower() in _DATA, suffix in _YAML, name == "classes.txt",
             suffix == ".names", name in _OTHER_LISTS)  # fmt: skip
    return kinds.index(True) if any(kinds) else None


def _read_described(path: Path) -> DataYaml:
    if path.stat().st_size > _MOST_BYTES:
        raise CalcoError(
            f"{path} has {path.stat().st_size:,} bytes; the names of classes need less than {_MOST_BYTES:,}"
        )
    text = read_text(path)
    if path.suffix.lower() not in _YAML:
        return DataYaml(path=path, names=_listed(path, text))
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if path.stem.lower() not in _DATA and not re.search(r"(?m)^\s*[\"']?(names|kpt_shape)\b", text):
            return DataYaml(path=path)  # the file of another program
        reason = " ".join(str(error).split())
        raise CalcoError(f"{path} is not valid YAML ({reason}); correct it or write it anew") from error
    if not isinstance(content, dict) or not {"names", "nc", "kpt_shape"} & content.keys():
        return DataYaml(path=path)  # the file of another program
    names, num = _names(path, content.get("names")), content.get("nc")
    if names and isinstance(num, str) and num.strip() and num.strip() != str(len(names)):
        raise CalcoError(f"{path}: nc is {num[:40]}, and there are {len(names)} names; correct one of them")
    return DataYaml(
        path=path,
        names=names,
        kpt_shape=_keypoints(path, content.get("kpt_shape")),
        root=content["path"] if isinstance(content.get("path"), str) else "",
        splits=_splits(path, content),
    )


def _listed(path: Path, text: str) -> tuple[str, ...]:
    """Return the names of a list, one a line: the first is number 0."""
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")]
    if text.strip() and "" in lines:
        place = lines.index("") + 1
        raise CalcoError(f"{path}, line {place} is empty, and the lines number the classes from 0; fill or delete it")
    return tuple(class_name(line) for line in lines if line)


def _names(path: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, dict):
        numbers = sorted(names, key=lambda key: (len(str(key)), str(key)))
        if numbers != [str(number) for number in range(len(names))]:
            raise CalcoError(f"{path}: names must be a list, or be numbered from 0 without gaps; write them so")
        names = [names[number] for number in numbers]
    if names in (None, ""):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CalcoError(f"{path}: names must be a list of words, or be numbered from 0 without gaps; write them so")
    return tuple(class_name(name) for name in names)


def _keypoints(path: Path, shape: Any) -> tuple[int, int] | None:
    if shape in (None, ""):
        return None
    try:
        count, each = (int(number(part)) for part in shape)
    except (CalcoError, TypeError, ValueError):
        count, each = 0, 0
    if not 0 < count <= _MOST_KEYPOINTS or each not in (2, 3):
        raise CalcoError(f"{path}: kpt_shape is {str(shape)[:60]}; it must be the number of keypoints, then 2 or 3")
    return count, each


def _splits(path: Path, content: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for key, split in _SPLITS.items():
        named = content.get(key)
        places = [named] if isinstance(named, str) else named or []
        if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
            raise CalcoError(f"{path}: {key} must be a folder, a list of images, or several of these; write it so")
        if places := [place for place in places if place.strip()]:
            found.append((split, tuple(places)))
    return tuple(found)


def read(path: Path, into: Gathering, layout: Layout) -> None:
    """Read a file of one image; classes without a name are called by their number."""
    image = WrittenImage(path, path.stem, shares=True)
    lines = enumerate(re.split(r"\r\n|\r|\n", read_text(path)), 1)
    into.add(image, ((f", line {i}", line.split()) for i, line in lines if line.strip()), partial(_object, layout))


def _object(layout: Layout, words: list[str]) -> list[WrittenObject]:
    index = int(number(words[0]))
    if index < 0 or index != number(words[0]):
        raise CalcoError(f"{words[0]!r} is not the number of a class")
    if layout.names and index >= len(layout.names):
        raise UnknownClassError(f"class {words[0]} has no name; there are {len(layout.names)}, from 0")
    obj = WrittenObject(label=layout.names[index] if layout.names else str(index))
    body, tail = _body_and_tail([number(word) for word in words[1:]], layout)
    if len(tail) == 2:
        obj.score, obj.track_id = tail[0], int(tail[1])
    elif tail and layout.trailing == "track":
        obj.track_id = int(tail[0])
    elif tail and layout.trailing == "score":
        obj.score = tail[0]
    if len(body) == 4:
        x, y, width, height = body
        obj.box, obj.order = (x, y, width, height), "centred"
    else:
        obj.polygons = (polygon(body),)
    return [obj]


def _body_and_tail(values: list[float], layout: Layout) -> tuple[list[float], list[float]]:
    """Return the numbers of the box or polygon, and those of score and track."""
    num = len(values)
    if layout.keypoints:
        rest = num - 4 - layout.keypoints if num > 6 else num - 4
        if rest not in (0, 1, 2):
            raise CalcoError(f"{num} numbers after the class are not a box (4) and {layout.keypoints} of keypoints")
        body, tail = values[:4], values[num - rest :]
    else:
        paired = num >= 6 and not num % 2 and layout.tracked and _is_track(values[-1]) and 0 <= values[-2] <= 1
        single = num == 5 or (layout.odd and num > 5 and num % 2)
        rest = 2 if paired else 1 if single else 0
        body, tail = values[: num - rest], values[num - rest :]
        if len(body) != 4 and (len(body) < 6 or len(body) % 2):
            raise CalcoError(f"{num} numbers after the class are neither a box (4) nor a polygon (6, 8, ...)")
    if len(tail) == 1 and layout.trailing == "unclear" and len(body) == 4 and not _is_track(tail[0]):
        raise CalcoError(
            f"the last number {tail[0]:g} is neither a score in [0, 1] nor a track id; write a rotated box as four "
            "corners"
        )
    return body, tail


def write_yolo(
    folder: str | Path, records: Sequence[Record], classes: Sequence[str] = (), *, images: bool = False
) -> None:
    """Write data.yaml and one text an image into `labels`, each whole or not at all.

    A line is a box, or one ring where an outline is known: parts and holes are joined by ways that enclose nothing.
    Ignored objects are left out, as YOLO has no word for them; scores and tracks have no place.

    Args:
        folder: Gets data.yaml and the folder `labels`.
        records: With the sizes of their images; folders named train, val and test in their names become the splits.
        classes: The names of the classes in the order of their numbers; by default those that occur, sorted.
        images: Copy the images too, into `images`.

    Raises:
        CalcoError: If a size is missing, a class is not among the classes, or something cannot be written.
    """
    names = classes_of(records, classes)
    for path, record in zip(places(Path(folder) / "labels", records, ".txt"), records, strict=True):
        size_wh = size_of(record)
        atomic_write(path, "".join(f"{line}\n" for line in _lines(record.detections, names, np.array(size_wh))))
    if images:
        copy_images(Path(folder) / "images", records)
    firsts = {record.name.split("/")[0] if "/" in record.name else "" for record in records}
    split = "train" in firsts and firsts <= {"train", "val", "test"}
    parts: dict[str, Any] = {part: f"images/{part}" for part in sorted(firsts)} if split else {"train": "images"}
    content = {"val": parts["train"], **parts, "names": dict(enumerate(names))}
    atomic_write(Path(folder) / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _lines(objects: Detections, names: Sequence[str], size_wh: Any) -> Iterator[str]:
    objects = objects.select(~objects.is_ignored)
    for i, box in enumerate(objects.boxes.astype(np.float64)):
        outline = objects.outlines[i] if objects.outlines else None
        parts = () if outline is None else rings(outline.mask) if outline.mask is not None else outline.polygons
        if parts:
            values = (joined(parts) / size_wh).ravel()
        else:
            values = np.concatenate([(box[:2] + box[2:]) / 2 / size_wh, (box[2:] - box[:2]) / size_wh])
        yield " ".join([str(names.index(objects.classes[i])), *(f"{value:.10g}" for value in values)])
