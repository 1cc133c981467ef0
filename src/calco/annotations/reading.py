"""`read_annotations`: a file or folder of annotations, recognised by its content."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from calco import imaging
from calco.annotations import coco, csv_boxes, cvat, labelme, labelstudio, lists, texts, voc, yolo
from calco.annotations.data_yaml import DataYaml, find_data_yaml
from calco.annotations.gathering import Gathering
from calco.annotations.matching import Images
from calco.annotations.parsing import parse_json, read_text
from calco.annotations.record import Annotations, Problem
from calco.annotations.sniffing import NO_LABELS, SUFFIXES, TRIED, is_box, sniff, sniff_foreign, some_files
from calco.errors import CalcoError
from calco.files import list_files

Reader: TypeAlias = Callable[[Path, Gathering], Iterable[str]]
Spoken: TypeAlias = str | Path | Iterable[str | Path] | Images | None  # images that are spoken of

FORMATS: Final[dict[str, str]] = {
    "coco": "COCO JSON",
    "voc": "Pascal VOC XML",
    "labelme": "LabelMe JSON",
    "jsonlines": "JSON lines",
    "cvat": "CVAT XML for images",
    "createml": "CreateML JSON",
    "via": "VGG Image Annotator",
    "labelstudio": "Label Studio JSON",
    "supervisely": "Supervisely JSON",
    "bdd": "BDD100K JSON",
    "csv": "CSV of boxes",
    "dota": "DOTA text",
    "kitti": "KITTI text",
    "corners": "text of counts and corners",
    "yolo": "YOLO text",
}
"""Names of the formats that are read; of several that speak of as many images, the first of these counts."""

_READERS: Final[dict[str, Reader]] = {
    "coco": coco.read, "voc": voc.read, "labelme": labelme.read, "jsonlines": lists.read_jsonlines, "cvat": cvat.read,
    "createml": lists.read_createml, "via": lists.read_via, "labelstudio": labelstudio.read,
    "supervisely": labelme.read_supervisely, "bdd": lists.read_bdd, "csv": csv_boxes.read, "dota": texts.read_dota,
    "kitti": texts.read_kitti, "corners": texts.read_corners,
}  # fmt: skip
_SPLIT_LIST: Final = re.compile(r"(?i)(train|val|valid|validation|test|trainval)[0-9]*\.txt")  # files, not labels
_TEXTS: Final = ("dota", "kitti", "corners", "yolo")  # formats whose files look alike from outside
_AN_IMAGE: Final = (*_TEXTS, "voc", "labelme", "supervisely")  # formats with one file an image


def read_annotations(
    path: str | Path,
    images: str | Path | Iterable[str | Path] | Images | None = None,
    *,
    classes: Sequence[str] = (),
) -> Annotations:
    """Read boxes and outlines, and recognise the format they are in.

    What reaches outside its image is clipped, exchanged corners are put in order; what lies wholly outside, encloses
    nothing, is of an unknown class or cannot be understood is left out, and so is an image that loses all its objects
    so. `problems` names each of these.

    Args:
        path: A file, or a folder with files of one format.
        images: The images that are spoken of, or their folder: coordinates are then pixels of the images as
            `imaging.read` gives them, and what speaks of no image is left out. Without it they are as in the files:
            pixels, or (YOLO, and JSON lines without a size) shares of width and height.
        classes: Names of classes: those that YOLO's numbers mean, that of boxes which have none (the first), and for
            all other formats the only ones that are taken.

    Returns:
        Records, classes and problems.

    Raises:
        CalcoError: If no annotations are there, or the only file cannot be read.
    """
    path = Path(path)
    known = _images(images, path)
    forms = _files(path)
    read = {form: _read(form, files, path, known, classes) for form, files in forms.items()}
    # What the most images have is what is meant; a file or two in another format are a slip.
    form = max(read, key=lambda each: len(read[each].records))
    found = read.pop(form)
    mixed = tuple(_mixed(forms[other], other, form) for other in read)
    known_of = {record.image for record in found.records}
    passed = {each.image for other in read.values() for each in other.records if each.image} - known_of
    unread = _foreign_in(path, forms) if path.is_dir() else ()
    return replace(found, problems=(*mixed, *unread, *found.problems), passed=frozenset(passed))


def _foreign_in(folder: Path, forms: dict[str, list[Path]]) -> tuple[Problem, ...]:
    """Name the first file in a format that is known and not read, which lies among those that are read."""
    read = {str(file) for files in forms.values() for file in files}
    others = (Path(path) for path in some_files(folder) if path not in read)
    found = next(filter(None, map(_unread, others)), None)
    return (found,) if found else ()


def _mixed(files: Sequence[Path], form: str, read: str) -> Problem:
    """Describe files in a format that is not the one which is read."""
    hold = "1 file holds" if len(files) == 1 else f"{len(files):,} files hold"
    reason = f"{hold} {FORMATS[form]} and the others {FORMATS[read]}, which is read"
    return Problem(str(files[0]), "mixed", f"{reason}; name the one that is meant with --annotations", files[0].stem)


def _read(form: str, files: Sequence[Path], path: Path, known: Images | None, classes: Sequence[str]) -> Annotations:
    """Read the files of one format."""
    reader, names = _READERS.get(form), tuple[str, ...]()
    notes, described = tuple[str, ...](), tuple[DataYaml, ...]()
    if reader is None:
        top = known.root if known else path.parent
        described = find_data_yaml(files[0].parent, top)
        layout = yolo.find_layout(files, described, classes)
        reader, names, notes = partial(yolo.read, layout=layout), layout.names, layout.notes
    into = Gathering(known, names or classes)
    for note in notes:
        into.note(str(files[0]), "unused", note)
    words = FORMATS[form]
    found: list[str] = []
    for file in files:
        own = sniff(file) if form in _TEXTS else None
        if own is None and _SPLIT_LIST.fullmatch(file.name):
            continue
        if own not in (None, form):
            into.note(str(file), "mixed", f"it holds {FORMATS[own]} and the others {words}; left out", file.stem)
            continue
        try:
            found += reader(file, into)
        except CalcoError as error:
            if len(files) == 1:
                raise
            into.note(str(file), "unreadable", f"{_without(str(error), file)}; left out", file.stem)
            if known and (image := known.find(file.stem, file)[0]):
                into.named.add(image)
    into.problems += into.suspicion.problems()
    used = {record.name for record in into.records}  # a second file may have brought what was lost in the first
    # COCO numbers its classes, so their order means something.
    occurring = dict.fromkeys(found) if form == "coco" else sorted(set(found))
    return Annotations(
        format=words,
        classes=into.classes or tuple(occurring),
        records=tuple(into.records),
        problems=tuple(each for each in into.problems if each.fault != "incomplete" or each.image not in used),
        lost=frozenset(into.named - {record.image for record in into.records}),
        described=described,
    )


def unread_labels(folder: str | Path, stems: Collection[str]) -> Problem | None:
    """Name the first file of labels that is not read, and why: a format that is known, or numbers in another unit.

    Args:
        folder: Folder of images in which nothing was recognised as annotations.
        stems: Names of the images without their endings.
    """
    for path in map(Path, some_files(folder)):
        with suppress(CalcoError):
            if found := _unread(path):
                return found
    texts = map(Path, list_files(folder, lambda name: name.lower().endswith(".txt")).paths)
    for path in islice((path for path in texts if path.stem in stems), TRIED):
        with suppress(CalcoError):
            if found := _in_pixels(path):
                return found
    return None


def _unread(path: Path) -> Problem | None:
    """Describe a file in a format that is known and not read, or that breaks in the middle."""
    foreign = sniff_foreign(path)
    if foreign is None:
        return None
    return Problem(str(path), "unused", f"it holds {foreign.words}, which is not read; {foreign.remedy}")


def _in_pixels(path: Path) -> Problem | None:
    """Describe a file that would be YOLO's, were its numbers shares."""
    if path.suffix.lower() != ".txt":
        return None
    for place, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if len(words) in (5, 6) and words[0].isdecimal() and is_box(words[1:]):
            return Problem(
                f"{path}, line {place}",
                "unit",
                f"{line.strip()[:60]!r} would be YOLO's class, centre x, centre y, width, height, were its numbers "
                "shares of width and height; divide pixels by the image's size",
                path.stem,
            )
        if line.strip():
            break
    return None


def _is_candidate(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and name.lower() not in NO_LABELS


def _files(path: Path) -> dict[str, list[Path]]:
    """Return the files in each format of a file or folder, in the order of `FORMATS`."""
    if not path.is_dir():
        form = sniff(path)
        if form is None:
            raise CalcoError(_no_format(path))
        return {form: [path]}
    groups: dict[tuple[str, str], list[Path]] = {}
    for file in map(Path, list_files(path, _is_candidate).paths):
        groups.setdefault((str(file.parent), file.suffix.lower()), []).append(file)
    forms: dict[Path, str] = {}
    for files in groups.values():
        forms |= _forms_of(files)
    if not forms:
        known = ", ".join(FORMATS.values())
        hints = (_unread(file) or _in_pixels(file) for files in groups.values() for file in files[:TRIED])
        hint = next(filter(None, hints), None)
        raise CalcoError(str(hint or f"{path} holds no annotations that are known; the formats are {known}"))
    # Labels without a single box are empty files, which show no format: they lie beside those that do.
    tops = {file.parent.parent for file, form in forms.items() if form == "yolo"}
    for (folder, _), files in groups.items():
        if not any(file in forms for file in files) and Path(folder).parent in tops:
            forms |= {file: "yolo" for file in files if not file.stat().st_size}
    return {
        form: sorted(file for file, found in forms.items() if found == form)
        for form in FORMATS
        if form in forms.values()
    }


def _no_format(path: Path) -> str:
    """Say why a file cannot be read: where it breaks, which format it is in, or which are known."""
    text = read_text(path)
    if found := _unread(path):
        return str(found)
    if path.suffix.lower() == ".json":
        parse_json(text, str(path))
    return f"{path} holds no annotations that are known; the formats are {', '.join(FORMATS.values())}"


def _forms_of(files: Sequence[Path]) -> dict[Path, str]:
    """Return the format of each file of one ending in one folder.

    Texts are all in the format of the first that shows one, and what shows none is taken for a damaged file of a format
    with one file an image. A file for a whole set is in its own format, or in none.
    """
    if files[0].suffix.lower() == ".txt":
        shown = (form for file in islice((f for f in files if f.stat().st_size), TRIED) if (form := sniff(file)))
        form = next(shown, None)
        return dict.fromkeys(files, form) if form else {}
    forms = {file: form for file in files if (form := sniff(file))}
    common = next((form for form in _AN_IMAGE if form in forms.values()), None)
    return {file: form for file in files if (form := forms.get(file, common))}


def _images(images: Spoken, path: Path) -> Images | None:
    if images is None or isinstance(images, Images):
        return images
    if isinstance(images, str | Path):
        return Images(imaging.list_images(images), Path(images))
    paths = [Path(image) for image in images]
    root = os.path.commonpath([path.parent for path in paths]) if paths else path.parent
    return Images(paths, Path(root))


def _without(message: str, file: Path) -> str:
    """Return a message without the name of the file that it begins with."""
    return message.removeprefix(str(file)).lstrip(", :")
