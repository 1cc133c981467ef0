"""YOLO's text: one file a picture, one thing a line, coordinates as shares of width and height.

As Darknet began it (class, centre, width, height) and Ultralytics goes on (class, then the corners of a polygon). A box
may be followed by a score. The names of the classes stand in data.yaml, classes.txt, or a file of the ending .names.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from calco.annotations.detections import Detections
from calco.annotations.gathering import Gathering, Thing
from calco.annotations.geometry import joined, rings
from calco.annotations.parsing import number, read_text
from calco.annotations.record import Record
from calco.annotations.writing import classes_of, copy_pictures, places, size_of
from calco.errors import CalcoError
from calco.files import atomic_write


def read(path: Path, into: Gathering) -> set[str]:
    """Reads a file, and returns the classes that occur; those without a name are called by their number.

    Raises:
        CalcoError: When it cannot be read as a whole.
    """
    things = []
    for i, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f", line {i}"
        try:
            thing = _thing(line.split(), into.classes, where)
        except IndexError:
            reason = f"class {line.split()[0]} has no name; there are {len(into.classes)}, from 0: left out"
            into.note(f"{path}{where}", "unknown class", reason, path.stem)
        except CalcoError as error:
            into.note(f"{path}{where}", "damaged", f"{error}; left out", path.stem)
        else:
            things.append(thing)
    into.add(path.stem, things, file=path, shares=True)
    return {thing.label for thing in things}


def _thing(words: list[str], names: Sequence[str], where: str) -> Thing:
    index = int(number(words[0]))
    if index < 0 or index != number(words[0]):
        raise CalcoError(f"{words[0]!r} is no number of a class")
    label = names[index] if names else str(index)
    values = [number(word) for word in words[1:]]
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        score = values[4] if len(values) == 5 else None
        return Thing(where=where, label=label, corners=corners, order="centred", score=score)
    if len(values) < 6 or len(values) % 2:
        raise CalcoError(f"{len(values)} numbers after the class are neither a box (4) nor a polygon (6, 8, ...)")
    return Thing(where=where, label=label, polygons=(np.array(values, np.float32).reshape(-1, 2),))


def class_names(folder: Path, top: Path) -> tuple[str, ...]:
    """The names of the classes as they stand in a folder or above it, up to `top`; none when nobody wrote them.

    Raises:
        CalcoError: When a file of names is damaged.
    """
    for parent in (folder, *folder.parents):
        for path in (*sorted(parent.glob("*.y*ml")), parent / "classes.txt", *sorted(parent.glob("*.names"))):
            found = _names_in(path) if path.is_file() else ()
            if found:
                return found
        if parent == top:
            break
    return ()


def _names_in(path: Path) -> tuple[str, ...]:
    text = read_text(path)
    if path.suffix not in (".yaml", ".yml"):
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CalcoError(f"{path} is not valid YAML ({reason}); mend it or write it anew") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[i] for i in range(len(names))]
    if names is not None and not isinstance(names, list):
        raise CalcoError(f"{path}: names are to be a list, or numbered from 0 without gaps; write them so")
    return tuple(map(str, names or ()))


def write_yolo(
    folder: str | Path, records: Sequence[Record], classes: Sequence[str] = (), *, pictures: bool = False
) -> None:
    """Writes data.yaml and one text a picture into `labels`, each whole or not at all.

    A line is a box, or one ring where an outline is known: parts and holes are joined by ways that enclose nothing.
    Ignored things are left out, as YOLO has no word for them; scores and tracks have no place.

    Args:
        folder: Gets data.yaml and the folder `labels`.
        records: With the sizes of their pictures; folders named train, val and test in their names become the splits.
        classes: The names of the classes in the order of their numbers; by default those that occur, sorted.
        pictures: Whether their pictures are copied, into `images`.

    Raises:
        CalcoError: When a size is missing, a class is not among the classes, or something cannot be written.
    """
    names = classes_of(records, classes)
    for path, record in zip(places(Path(folder) / "labels", records, ".txt"), records, strict=True):
        size_wh = size_of(record)
        atomic_write(path, "".join(f"{line}\n" for line in _lines(record.detections, names, np.array(size_wh))))
    if pictures:
        copy_pictures(Path(folder) / "images", records)
    firsts = {record.name.split("/")[0] if "/" in record.name else "" for record in records}
    split = "train" in firsts and firsts <= {"train", "val", "test"}
    parts: dict[str, Any] = {part: f"images/{part}" for part in sorted(firsts)} if split else {"train": "images"}
    content = {"val": parts["train"], **parts, "names": dict(enumerate(names))}
    atomic_write(Path(folder) / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _lines(things: Detections, names: Sequence[str], size_wh: Any) -> Iterator[str]:
    for i, box in enumerate(things.boxes.astype(np.float64)):
        if things.ignored is not None and things.ignored[i]:
            continue
        outline = things.outlines[i] if things.outlines else None
        parts = () if outline is None else rings(outline.mask) if outline.mask is not None else outline.polygons
        if parts:
            values = (joined(parts) / size_wh).ravel()
        else:
            values = np.concatenate([(box[:2] + box[2:]) / 2 / size_wh, (box[2:] - box[:2]) / size_wh])
        yield " ".join([str(names.index(things.classes[i])), *(f"{value:.10g}" for value in values)])
