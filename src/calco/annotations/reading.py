"""`read_annotations`: a file or folder of annotations, recognised by what stands in it."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from calco import images
from calco.annotations import coco, corners, jsonlines, labelme, voc, yolo
from calco.annotations.gathering import Gathering
from calco.annotations.matching import Pictures
from calco.annotations.parsing import number, parse_json, read_text
from calco.annotations.record import Annotations, Problem
from calco.errors import CalcoError
from calco.files import list_files

Reader: TypeAlias = Callable[[Path, Gathering], Iterable[str]]
Spoken: TypeAlias = str | Path | Iterable[str | Path] | Pictures | None  # pictures that are spoken of

# Each in words, and its reader; of several formats that speak of as many pictures, the first of these counts.
FORMATS: Final[dict[str, tuple[str, Reader]]] = {
    "coco": ("COCO JSON", coco.read),
    "voc": ("Pascal VOC XML", voc.read),
    "labelme": ("LabelMe JSON", labelme.read),
    "jsonlines": ("JSON lines", jsonlines.read),
    "corners": ("text of counts and corners", corners.read),
    "yolo": ("YOLO text", yolo.read),
}
_SUFFIXES: Final = (".json", ".jsonl", ".xml", ".txt")
_NO_LABELS: Final = frozenset({"classes.txt", "labels.txt", "notes.txt", "predefined_classes.txt", "readme.txt"})
_TEXTS: Final = ("corners", "yolo")  # formats whose files look alike from outside
_HEAD: Final = 1 << 16  # bytes of a file that tell its format
_TRIED: Final = 5  # files of one ending in one folder that are looked into
_DEPTH: Final = 3  # folders below the first that are looked into, to see whether there are annotations at all


def read_annotations(
    path: str | Path,
    pictures: str | Path | Iterable[str | Path] | Pictures | None = None,
    *,
    classes: Sequence[str] = (),
) -> Annotations:
    """Reads boxes and outlines, and recognises the format they are in.

    What reaches outside its picture is clipped, exchanged corners are put in order; what lies wholly outside, encloses
    nothing, is of an unknown class or cannot be understood is left out. `problems` names each of these.

    Args:
        path: A file, or a folder with files of one format.
        pictures: The pictures that are spoken of, or their folder: coordinates are then pixels of the pictures as
            `images.read` gives them, and what speaks of no picture is left out. Without it they are as in the files:
            pixels, or (YOLO, and JSON lines that tell no size) shares of width and height.
        classes: Names of classes: those that YOLO's numbers mean, that of boxes which have none (the first), and for
            all other formats the only ones that are taken.

    Raises:
        CalcoError: When no annotations are there, or the only file cannot be read.
    """
    path = Path(path)
    known = _pictures(pictures, path)
    forms = _files(path)
    read = {form: _read(form, files, path, known, classes) for form, files in forms.items()}
    # What the most pictures have is what is meant; a file or two in another format are a slip.
    form = max(read, key=lambda each: len(read[each].records))
    found = read.pop(form)
    mixed = tuple(_mixed(forms[other], other, form) for other in read)
    known_of = {record.picture for record in found.records}
    passed = {each.picture for other in read.values() for each in other.records if each.picture} - known_of
    return replace(found, problems=(*mixed, *found.problems), passed=frozenset(passed))


def _mixed(files: Sequence[Path], form: str, read: str) -> Problem:
    """What is said of files in a format that is not read."""
    hold = "1 file holds" if len(files) == 1 else f"{len(files):,} files hold"
    reason = f"{hold} {FORMATS[form][0]} and the others {FORMATS[read][0]}, which is read"
    return Problem(str(files[0]), "mixed", f"{reason}; name the one that is meant with --annotations", files[0].stem)


def _read(form: str, files: Sequence[Path], path: Path, known: Pictures | None, classes: Sequence[str]) -> Annotations:
    """Reads the files of one format."""
    if form == "yolo" and not classes:
        top = known.root if known else path.parent
        classes = yolo.class_names(files[0].parent, top)
    into = Gathering(known, classes)
    words, read = FORMATS[form]
    found: list[str] = []
    for file in files:
        own = sniff(file) if form in _TEXTS else None
        if own not in (None, form):
            into.note(str(file), "mixed", f"it holds {FORMATS[own][0]} and the others {words}; left out", file.stem)
            continue
        try:
            found += read(file, into)
        except CalcoError as error:
            if len(files) == 1:
                raise
            into.note(str(file), "unreadable", f"{_without(str(error), file)}; left out", file.stem)
    into.problems += into.suspicion.problems()
    # COCO numbers its classes, so their order means something.
    names = dict.fromkeys(found) if form == "coco" else sorted(set(found))
    return Annotations(
        format=words,
        classes=into.classes or tuple(names),
        records=tuple(into.records),
        problems=tuple(into.problems),
    )


def holds_annotations(folder: str | Path) -> bool:
    """Whether a folder, or one not far below it, holds annotations; a few files of each ending are looked into."""
    return any(map(sniff, _tried(folder)))


def labels_in_pixels(folder: str | Path, stems: Collection[str]) -> Problem | None:
    """The first label of a picture that would be YOLO's, were its numbers shares; a few files are tried.

    Args:
        folder: That holds pictures, and nothing that was recognised as annotations.
        stems: The names of the pictures without their endings.
    """
    texts = map(Path, list_files(folder, lambda name: name.lower().endswith(".txt")).paths)
    for path in islice((path for path in texts if path.stem in stems), _TRIED):
        with suppress(CalcoError):
            if found := _in_pixels(path):
                return found
    return None


def _tried(folder: str | Path) -> Iterator[str]:
    """A few files of each ending that may hold annotations, in a folder and those not far below it."""
    folders = [(Path(folder), 0)]
    while folders:
        parent, depth = folders.pop(0)
        tried = dict.fromkeys(_SUFFIXES, 0)
        with suppress(OSError), os.scandir(parent) as entries:
            for entry in entries:
                suffix = os.path.splitext(entry.name)[1].lower()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders += [(Path(entry.path), depth + 1)] if depth < _DEPTH else []
                elif _is_candidate(entry.name) and tried[suffix] < _TRIED and entry.is_file() and entry.stat().st_size:
                    tried[suffix] += 1
                    yield entry.path


def sniff(path: str | Path) -> str | None:
    """The key in `FORMATS` of what a file seems to be, by its ending and its first bytes; None for anything else."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD).replace(b"\0", b"").decode("latin-1")
    except OSError:
        return None
    suffix = Path(path).suffix.lower()
    if suffix == ".xml":
        return "voc" if "<annotation" in head else None
    if suffix == ".txt":
        return _sniff_text([line.split() for line in head.splitlines()[:50] if line.strip()])
    keys = set(re.findall(r'"(\w+)"\s*:', head))
    if any({"content", "annotation"} <= set(re.findall(r'"(\w+)"\s*:', line)) for line in head.split("\n")[:_TRIED]):
        return "jsonlines"
    if {"shapes", "imagePath"} <= keys or {"shapes", "shape_type"} <= keys:
        return "labelme"
    return "coco" if len({"images", "annotations", "categories", "file_name", "bbox"} & keys) > 1 else None


def _sniff_text(lines: list[list[str]]) -> str | None:
    try:
        if len(lines[0]) == 1 and lines[0][0].isdecimal():
            return "corners" if lines[0][0] == "0" or any(map(_is_box, lines[1:])) else None
        values = [number(word) for word in lines[0]]
    except (IndexError, CalcoError):
        return None
    shares = len(values) >= 5 and max(map(abs, values[1:5])) <= 2
    return "yolo" if shares and values[0] >= 0 and values[0] == int(values[0]) else None


def _in_pixels(path: Path) -> Problem | None:
    """What is to be said of a file that would be YOLO's, were its numbers shares."""
    if path.suffix.lower() != ".txt":
        return None
    for place, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if len(words) in (5, 6) and words[0].isdecimal() and _is_box(words[1:]):
            return Problem(
                f"{path}, line {place}",
                "unit",
                f"{line.strip()[:60]!r} would be YOLO's class, centre x, centre y, width, height, were its numbers "
                "shares of width and height; divide pixels by the picture's size",
                path.stem,
            )
        if line.strip():
            break
    return None


def _is_box(words: list[str]) -> bool:
    try:
        return len([number(word) for word in words[:4]]) == 4
    except CalcoError:
        return False


def _is_candidate(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and name.lower() not in _NO_LABELS


def _files(path: Path) -> dict[str, list[Path]]:
    """The files in each format of a file or folder, in the order of `FORMATS`."""
    if not path.is_dir():
        form = sniff(path)
        if form is None:
            text = read_text(path)
            if path.suffix.lower() == ".json":
                parse_json(text, str(path))  # a broken file is told where it breaks
            known = ", ".join(words for words, _ in FORMATS.values())
            raise CalcoError(f"{path} holds no annotations that are known; the formats are {known}")
        return {form: [path]}
    groups: dict[tuple[str, str], list[Path]] = {}
    for file in map(Path, list_files(path, _is_candidate).paths):
        groups.setdefault((str(file.parent), file.suffix.lower()), []).append(file)
    forms = {group: form for group, files in groups.items() if (form := _form_of(files))}
    if not forms:
        known = ", ".join(words for words, _ in FORMATS.values())
        hint = next(filter(None, (_in_pixels(file) for files in groups.values() for file in files[:_TRIED])), None)
        raise CalcoError(str(hint or f"{path} holds no annotations that are known; the formats are {known}"))
    # Labels without a single box are empty files, which tell no format: they lie beside those that do.
    tops = {Path(group[0]).parent for group, form in forms.items() if form == "yolo"}
    for group, files in groups.items():
        if group not in forms and Path(group[0]).parent in tops and not any(file.stat().st_size for file in files):
            forms[group] = "yolo"
    return {
        form: sorted(file for group, found in forms.items() if found == form for file in groups[group])
        for form in FORMATS
        if form in forms.values()
    }


def _form_of(files: Iterable[Path]) -> str | None:
    tell: Iterator[Path] = (file for file in files if file.stat().st_size)
    return next((form for file in islice(tell, _TRIED) if (form := sniff(file))), None)


def _pictures(pictures: Spoken, path: Path) -> Pictures | None:
    if pictures is None or isinstance(pictures, Pictures):
        return pictures
    if isinstance(pictures, str | Path):
        return Pictures(images.list_pictures(pictures), Path(pictures))
    paths = [Path(picture) for picture in pictures]
    root = os.path.commonpath([path.parent for path in paths]) if paths else path.parent
    return Pictures(paths, Path(root))


def _without(message: str, file: Path) -> str:
    """A message without the name of the file that it begins with."""
    return message.removeprefix(str(file)).lstrip(", :")
