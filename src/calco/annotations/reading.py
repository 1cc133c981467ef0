"""`read_annotations`: a file or folder of annotations, recognised by its content."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from calco import imaging
from calco.annotations import coco, csv_boxes, labelme, lists, texts, voc, yolo
from calco.annotations.gathering import Gathering
from calco.annotations.parsing import parse_json
from calco.annotations.record import Annotations, DataYaml, Images, Problem
from calco.annotations.sniffing import NO_LABELS, SUFFIXES, TRIED, is_box, sniff, sniff_foreign, some_files
from calco.errors import CalcoError
from calco.files import list_files, read_text

Spoken: TypeAlias = str | Path | Iterable[str | Path] | Images | None  # images that are spoken of


class Format(NamedTuple):
    """A format that is read."""

    title: str
    read: Callable[[Path, Gathering], None] | None  # None for YOLO's text, whose numbers have one meaning in a set
    holds: str = "set"  # what one file holds: "set", "image", or "text" for one of several formats of a text an image


FORMATS: Final[dict[str, Format]] = {
    "coco": Format("COCO JSON", coco.read),
    "voc": Format("Pascal VOC XML", voc.read, "image"),
    "labelme": Format("LabelMe JSON", labelme.read, "image"),
    "jsonlines": Format("JSON lines", lists.read_jsonlines),
    "cvat": Format("CVAT XML for images", lists.read_cvat),
    "createml": Format("CreateML JSON", lists.read_createml),
    "via": Format("VGG Image Annotator", lists.read_via),
    "labelstudio": Format("Label Studio JSON", lists.read_labelstudio),
    "supervisely": Format("Supervisely JSON", labelme.read_supervisely, "image"),
    "bdd": Format("BDD100K JSON", lists.read_bdd),
    "csv": Format("CSV of boxes", csv_boxes.read),
    "dota": Format("DOTA text", texts.read_dota, "text"),
    "kitti": Format("KITTI text", texts.read_kitti, "text"),
    "corners": Format("text of counts and corners", texts.read_corners, "text"),
    "yolo": Format("YOLO text", None, "text"),
}
"""Formats by their keys; of several that annotate as many images, the first of these counts."""

_SPLIT_LIST: Final = re.compile(r"(?i)(train|val|valid|validation|test|trainval)[0-9]*\.txt")  # files, not labels
_UNKNOWN: Final = f"no annotations that are known; the formats are {', '.join(each.title for each in FORMATS.values())}"


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
        images: The images that are annotated, or their folder: coordinates are then pixels of the images as
            `imaging.read` gives them, and annotations of other images are left out. Without it they are as in the
            files: pixels, or (YOLO, and JSON lines without a size) shares of width and height.
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
    problems = []
    for other in read:
        files, title = forms[other], FORMATS[other].title
        hold = "1 file holds" if len(files) == 1 else f"{len(files):,} files hold"
        reason = f"{hold} {title} and the others {found.format}, which is read; name the one that is meant with"
        problems.append(Problem(str(files[0]), "mixed", f"{reason} --annotations", files[0].stem))
    passed = {each.image for other in read.values() for each in other.records if each.image}
    if path.is_dir():
        recognised = set(chain.from_iterable(forms.values()))
        unread = (_unread(file) for file in some_files(path) if file not in recognised)
        problems += filter(None, [next(filter(None, unread), None)])
    passed -= {record.image for record in found.records}
    return replace(found, problems=(*problems, *found.problems), passed=frozenset(passed))


def _read(form: str, files: Sequence[Path], path: Path, known: Images | None, classes: Sequence[str]) -> Annotations:
    """Read the files of one format."""
    title, reader, holds = FORMATS[form]
    notes, described = tuple[str, ...](), tuple[DataYaml, ...]()
    if reader is None:
        described = yolo.find_data_yaml(files[0].parent, known.root if known else path.parent)
        layout = yolo.find_layout(files, described, classes)
        reader, classes, notes = partial(yolo.read, layout=layout), layout.names or classes, layout.notes
    into = Gathering(known, classes)
    for note in notes:
        into.note(str(files[0]), "unused", note)
    for file in files:
        own = sniff(file) if holds == "text" else None
        if own is None and _SPLIT_LIST.fullmatch(file.name):
            continue
        if own not in (None, form):
            reason = f"it holds {FORMATS[own].title} and the others {title}; left out"
            into.note(str(file), "mixed", reason, file.stem)
            continue
        try:
            reader(file, into)
        except CalcoError as error:
            if len(files) == 1:
                raise
            reason = str(error).removeprefix(str(file)).lstrip(", :")
            into.note(str(file), "unreadable", f"{reason}; left out", file.stem)
            if known and (image := known.find(file.stem, file)[0]):
                into.named.add(image)
    return Annotations(
        format=title,
        # COCO numbers its classes, so their order means something.
        classes=into.classes or tuple(into.found if form == "coco" else sorted(into.found)),
        records=tuple(into.records),
        problems=into.problems,
        lost=frozenset(into.named - {record.image for record in into.records}),
        described=described,
    )


def unread_labels(folder: str | Path, stems: Collection[str]) -> Problem | None:
    """Name the first file beside images with these stems that holds labels in an unknown format, or in pixels."""
    texts = map(Path, list_files(folder, lambda name: name.lower().endswith(".txt")).paths)
    labels = islice((path for path in texts if path.stem in stems), TRIED)
    for describe, paths in ((_unread, some_files(folder)), (_in_pixels, labels)):
        for path in paths:
            with suppress(CalcoError):
                if found := describe(path):
                    return found
    return None


def _unread(path: Path) -> Problem | None:
    """Describe a file in a format that is known and not read."""
    foreign = sniff_foreign(path)
    if foreign is None:
        return None
    return Problem(str(path), "unused", f"it holds {foreign.words}, which is not read; {foreign.remedy}")


def _in_pixels(path: Path) -> Problem | None:
    """Describe a file that would be YOLO's, were its numbers shares."""
    first = next(iter(texts.words_of_lines(path)), None) if path.suffix.lower() == ".txt" else None
    if first is None or len(first[1]) not in (5, 6) or not first[1][0].isdecimal() or not is_box(first[1][1:]):
        return None
    where, words = first
    reason = (
        f"{' '.join(words)[:60]!r} would be YOLO's class, centre x, centre y, width, height, were its numbers shares "
        "of width and height; divide pixels by the image's size"
    )
    return Problem(f"{path}{where}", "unit", reason, path.stem)


def _files(path: Path) -> dict[str, list[Path]]:
    """Return the files in each format of a file or folder, in the order of `FORMATS`."""
    if not path.is_dir():
        form = sniff(path)
        if form is None:
            text = read_text(path)
            if found := _unread(path):
                raise CalcoError(str(found))
            if path.suffix.lower() == ".json":
                parse_json(text, str(path))
            raise CalcoError(f"{path} holds {_UNKNOWN}")
        return {form: [path]}
    groups: dict[tuple[Path, str], list[Path]] = {}
    wanted = list_files(path, lambda name: name.lower().endswith(SUFFIXES) and name.lower() not in NO_LABELS)
    for file in map(Path, wanted.paths):
        groups.setdefault((file.parent, file.suffix.lower()), []).append(file)
    forms: dict[Path, str] = {}
    for files in groups.values():
        forms |= _forms_of(files)
    if not forms:
        hints = (_unread(file) or _in_pixels(file) for files in groups.values() for file in files[:TRIED])
        raise CalcoError(str(next(filter(None, hints), f"{path} holds {_UNKNOWN}")))
    # Labels without a single box are empty files, which show no format: they lie beside those that do.
    tops = {file.parent.parent for file, form in forms.items() if form == "yolo"}
    for (folder, _), files in groups.items():
        if folder.parent in tops and not any(file in forms for file in files):
            forms |= {file: "yolo" for file in files if not file.stat().st_size}
    return {
        form: sorted(file for file, found in forms.items() if found == form)
        for form in FORMATS
        if form in forms.values()
    }


def _forms_of(files: Sequence[Path]) -> dict[Path, str]:
    """Return the format of each file of one ending in one folder.

    Texts are all in the format of the first that shows one, and what shows none is taken for a damaged file of a format
    with one file an image. A file for a whole set is in its own format, or in none.
    """
    if files[0].suffix.lower() == ".txt":
        shown = map(sniff, islice((file for file in files if file.stat().st_size), TRIED))
        form = next(filter(None, shown), None)
        return dict.fromkeys(files, form) if form else {}
    forms = {file: form for file in files if (form := sniff(file))}
    common = next((form for form in FORMATS if form in forms.values() and FORMATS[form].holds != "set"), None)
    return {file: form for file in files if (form := forms.get(file, common))}


def _images(images: Spoken, path: Path) -> Images | None:
    if images is None or isinstance(images, Images):
        return images
    if isinstance(images, str | Path):
        return Images(imaging.list_images(images), Path(images))
    paths = [Path(image) for image in images]
    root = os.path.commonpath([path.parent for path in paths]) if paths else path.parent
    return Images(paths, Path(root))
