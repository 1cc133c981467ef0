"""Recognition of the format of annotations, also of formats that are not read, by ending and first bytes."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from calco.annotations import csv_boxes, lists, texts
from calco.annotations.parsing import number
from calco.errors import CalcoError
from calco.files import encoding_of

SUFFIXES: Final = (".json", ".jsonl", ".xml", ".txt", ".csv")
"""Endings of files that are read as annotations."""
_HEAD: Final = 1 << 16  # bytes of a file that show its format
_LINES: Final = 50
NO_LABELS: Final = frozenset({
    "classes.txt", "labels.txt", "notes.txt", "predefined_classes.txt", "readme.txt",
    "class_names.txt", "names.txt", "obj_names.txt",
})  # fmt: skip
TRIED: Final = 50  # files of one ending in one folder that are looked into
_DEPTH: Final = 3  # folders below the first that are looked into, to see whether there are annotations at all


class Foreign(NamedTuple):
    """A format that is known and not read: its name, and what to do instead."""

    words: str
    remedy: str


FOREIGN: Final = {
    "cvat video": Foreign("CVAT's XML for videos", "export it as 'CVAT for images 1.1' or COCO"),
    "datumaro": Foreign("Datumaro's JSON", "export it as COCO: datum convert -f coco"),
    "mot": Foreign("MOT's table of tracks", "convert it to COCO, one entry a frame"),
    "coco results": Foreign("COCO's list of results, without images and classes", "put it under 'annotations' of a COCO"
                            " file with images and categories"),
    "via 3": Foreign("a project of VIA 3", "export it as COCO"),
    "vott": Foreign("VoTT's JSON", "export it as Pascal VOC or CSV"),
    "labelbox": Foreign("Labelbox's export", "export it as COCO or YOLO"),
    "named yolo": Foreign("lines that begin with the name of a class, not with its number", "write the number, as YOLO "
                          "does, and the names in data.yaml"),
    "yolo commas": Foreign("YOLO's lines with commas between the numbers", "write spaces between them"),
    "decimal commas": Foreign("YOLO's lines with decimal commas", "write decimal points"),
    "hugging face": Foreign("the metadata of a Hugging Face data set", "export it as COCO"),
    "named corners": Foreign("lines of a class and corners in pixels", "write the count of boxes first, then lines of "
                             "xmin ymin xmax ymax class"),
}  # fmt: skip
"""Formats that are recognised to be named, by their keys."""


def _read_head(path: Path) -> str:
    """Return the first part of a file as text, of a long JSON file the last part too; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            head, tail = file.read(_HEAD), b""
            if len(head) == _HEAD and path.suffix.lower() == ".json":
                # Images that are kept in the file may push its other keys to the end.
                file.seek(-_HEAD // 2, os.SEEK_END)
                tail = file.read()
    except OSError:
        return ""
    encoding = encoding_of(head)
    return head.decode(encoding, "replace") + tail.decode(encoding.removesuffix("-sig"), "replace")


def sniff(path: str | Path) -> str | None:
    """Return the key of the format that a file seems to be in, of those that are read; None for anything else."""
    path = Path(path)
    sniffer = _SNIFFERS.get(path.suffix.lower())
    return sniffer(_read_head(path)) if sniffer else None


def sniff_foreign(path: Path) -> Foreign | None:
    """Recognise a format that is not read; None for anything else."""
    suffix, head = path.suffix.lower(), _read_head(path)
    key: str | None = None
    if suffix in (".json", ".jsonl", ".ndjson"):
        key = _foreign_json(head)
    elif suffix == ".xml":
        key = "cvat video" if _has_tag(head, "annotations") and _has_tag(head, "track") else None
    elif suffix in (".txt", ".csv"):
        lines = [line for line in head.splitlines()[:_LINES] if line.strip()]
        key = _foreign_lines(lines, is_text=suffix == ".txt") if lines else None
    return FOREIGN[key] if key else None


def holds_annotations(folder: str | Path) -> bool:
    """Return True if a folder, or one not far below it, holds annotations; a few files of each ending are read."""
    return any(map(sniff, some_files(folder)))


def some_files(folder: str | Path) -> Iterator[Path]:
    """Yield some files of each ending that may hold annotations, in a folder and those not far below it."""
    folders = [(Path(folder), 0)]
    while folders:
        parent, depth = folders.pop(0)
        tried: Counter[str] = Counter()
        with suppress(OSError), os.scandir(parent) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                suffix = os.path.splitext(entry.name)[1].lower()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders += [(Path(entry.path), depth + 1)] if depth < _DEPTH else []
                    continue
                wanted = suffix in (*SUFFIXES, ".ndjson") and entry.name.lower() not in NO_LABELS
                if wanted and entry.is_file() and entry.stat().st_size:
                    tried[suffix] += 1
                    if tried[suffix] <= TRIED:
                        yield Path(entry.path)


def _has_tag(head: str, tag: str) -> bool:
    return bool(re.search(rf"<{tag}[\s>/]", head))


def _keys(text: str) -> set[str]:
    return set(re.findall(r'"([^"\\\n]{1,60})"\s*:', text))


def _sniff_xml(head: str) -> str | None:
    if _has_tag(head, "annotation"):
        return "voc"
    return "cvat" if _has_tag(head, "annotations") and not _has_tag(head, "track") else None


def _sniff_json(head: str) -> str | None:
    if any({"content", "annotation"} <= _keys(line) for line in head.split("\n")[:5]):
        return "jsonlines"
    keys = _keys(head)
    if _foreign_json(head):
        return None
    signs = {
        "labelme": "shapes" in keys and bool(keys & {"imagePath", "shape_type"}),
        "supervisely": {"objects", "size"} <= keys and bool(keys & {"classTitle", "tags"}),
        "via": "_via_img_metadata" in keys or {"filename", "regions"} <= keys,
        "labelstudio": bool(keys & set(lists.LABELSTUDIO_KEYS)) or {"data", "annotations", "result"} <= keys,
        "createml": "coordinates" in keys and bool(keys & {"annotations", "annotation"})
        and bool(keys & {"image", "imagefilename"}),
        "bdd": "box2d" in keys,
        "coco": len({"images", "annotations", "categories", "file_name", "bbox"} & keys) > 1,
    }  # fmt: skip
    return next((form for form, fits in signs.items() if fits), None)


def _foreign_json(head: str) -> str | None:
    keys, first = _keys(head), head.lstrip()[:1]
    signs = {
        "datumaro": {"items", "categories"} <= keys and bool(keys & {"label_id", "infos", "media_type", "attr"}),
        "via 3": {"project", "metadata", "view", "file"} <= keys,
        "vott": {"asset", "regions"} <= keys or {"assets", "tags"} <= keys,
        "labelbox": bool(keys & {"Labeled Data", "data_row"}),
        "hugging face": {"file_name", "objects", "bbox"} <= keys and not keys & {"images", "annotations"},
        "coco results": first == "[" and {"image_id", "bbox"} <= keys and not keys & {"file_name", "image", "name"},
    }
    return next((form for form, fits in signs.items() if fits), None)


def _sniff_csv(head: str) -> str | None:
    if "region_shape_attributes" in head.split("\n", 1)[0]:
        return "via"
    whole = head[: head.rfind("\n") + 1] if len(head) >= _HEAD else head  # without the line that is cut off
    return "csv" if csv_boxes.find_table(whole) else None


def _sniff_text(head: str) -> str | None:
    lines = [line.split() for line in head.splitlines()[:_LINES] if line.strip()]
    while lines and texts.is_dota_head(lines[0]):
        lines.pop(0)
    if not lines:
        return None
    first = lines[0]
    if len(first) == 1 and first[0].isdecimal():
        counted = len(lines) == 1 or any(map(is_box, lines[1:]))
        return "corners" if counted and (first[0] == "0" or len(lines) > 1) else None
    if len(first) in (9, 10) and _are_numbers(first[:8]) and not _are_numbers(first[8:9]):
        return "dota"
    if len(first) in texts.NUM_KITTI_WORDS and _are_numbers(first[1:]) and not _are_numbers(first[:1]):
        return "kitti"
    # A slip in the first line must not hide the format of the others.
    return "yolo" if any(map(_is_yolo, lines)) else None


def _is_yolo(words: list[str]) -> bool:
    if len(words) < 5 or not _are_numbers(words):
        return False
    label, *values = map(number, words[:5])
    return max(map(abs, values)) <= 2 and label >= 0 and label == int(label)


def _are_numbers(words: list[str]) -> bool:
    try:
        return len([number(word) for word in words]) > 0
    except CalcoError:
        return False


def is_box(words: list[str]) -> bool:
    """Return True if words begin with four numbers."""
    return len(words) >= 4 and _are_numbers(words[:4])


def _foreign_lines(lines: list[str], *, is_text: bool) -> str | None:
    """Recognise lists of boxes that are not read."""
    words, cells = lines[0].split(), [cell.strip() for cell in lines[0].split(",")]
    in_commas = is_text and _are_numbers(cells)
    named = [line.split() for line in lines]
    has_names = all(len(each) in (5, 6) and not _are_numbers(each[:1]) and _are_numbers(each[1:5]) for each in named)
    in_pixels = has_names and any(number(word) > 2 for each in named for word in each[1:5])
    signs = {
        "mot": in_commas and len(cells) in range(7, 11),
        "decimal commas": bool(len(words) >= 5 and re.fullmatch(r"\d+ \d*,\d+", " ".join(words[:2]))),
        "yolo commas": in_commas and len(cells) in (5, 6),
        "named corners": in_pixels,
        "named yolo": has_names,
    }  # fmt: skip
    return next((form for form, fits in signs.items() if fits), None)


_SNIFFERS: Final[dict[str, Callable[[str], str | None]]] = {
    ".xml": _sniff_xml,
    ".json": _sniff_json,
    ".jsonl": lambda head: "jsonlines" if _sniff_json(head) == "jsonlines" else None,
    ".txt": _sniff_text,
    ".csv": _sniff_csv,
}
