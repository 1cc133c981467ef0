"""Recognition of the format of annotations, also of formats that are not read, by ending and first bytes."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calco import imaging
from calco.annotations import csv_boxes, labelstudio, texts
from calco.annotations.parsing import encoding_of, number
from calco.errors import CalcoError

SUFFIXES: Final = (".json", ".jsonl", ".xml", ".txt", ".csv")
"""Endings of files that are read as annotations."""
_FOREIGN_SUFFIXES: Final = (".ndjson", ".manifest", ".tfrecord", ".tfrecords", ".mat", ".parquet", ".lif")
_HEAD: Final = 1 << 16  # bytes of a file that tell its format
_LINES: Final = 50
NO_LABELS: Final = frozenset({
    "classes.txt", "labels.txt", "notes.txt", "predefined_classes.txt", "readme.txt",
    "class_names.txt", "names.txt", "obj_names.txt",
})  # fmt: skip
TRIED: Final = 50  # files of one ending in one folder that are looked into
_DEPTH: Final = 3  # folders below the first that are looked into, to see whether there are annotations at all
_LABEL_ME: Final = ({"shapes", "imagePath"}, {"shapes", "shape_type"})


@dataclass(frozen=True, slots=True)
class Foreign:
    """A format that is known and not read.

    Attributes:
        words: Its name.
        remedy: What to do instead.
    """

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
    "darwin": Foreign("V7 Darwin's JSON", "export it as COCO"),
    "sagemaker": Foreign("a manifest of SageMaker Ground Truth", "convert it to COCO"),
    "keras yolo": Foreign("keras-yolo3's list of images and boxes", "convert it to YOLO text, one file an image"),
    "wider": Foreign("WIDER FACE's list", "convert it to YOLO text or COCO"),
    "named yolo": Foreign("lines that begin with the name of a class, not with its number", "write the number, as YOLO "
                          "does, and the names in data.yaml"),
    "yolo commas": Foreign("YOLO's lines with commas between the numbers", "write spaces between them"),
    "decimal commas": Foreign("YOLO's lines with decimal commas", "write decimal points"),
    "tfrecord": Foreign("TensorFlow's records", "export the set as COCO, Pascal VOC or YOLO"),
    "mat": Foreign("a file of MATLAB", "export it as COCO or CSV"),
    "parquet": Foreign("a table in Parquet", "name the folder as a data set of the hub, or export it as CSV"),
    "prodigy": Foreign("Prodigy's JSON lines", "export it as COCO"),
    "hugging face": Foreign("the metadata of a Hugging Face data set", "export it as COCO"),
    "icdar": Foreign("ICDAR's lines of corners and text", "convert it to YOLO text with four corners, or COCO"),
    "named corners": Foreign("lines of a class and corners in pixels", "write the count of boxes first, then lines of "
                             "xmin ymin xmax ymax class"),
}  # fmt: skip
"""By their keys, the formats that are recognised to be named."""


def read_head(path: str | Path) -> str:
    """Return the first part of a file as text, of a long JSON file the last part too; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            head, tail = file.read(_HEAD), b""
            if len(head) == _HEAD and str(path).lower().endswith(".json"):
                # Images that are kept in the file may push its other keys to the end.
                file.seek(-_HEAD // 2, os.SEEK_END)
                tail = file.read()
    except OSError:
        return ""
    encoding = encoding_of(head)
    return head.decode(encoding, "replace") + tail.decode(encoding.removesuffix("-sig"), "replace")


def sniff(path: str | Path) -> str | None:
    """Return the key of the format that is read which a file seems to be in; None for anything else."""
    suffix = Path(path).suffix.lower()
    return _SNIFFERS[suffix](read_head(path)) if suffix in _SNIFFERS else None


def sniff_foreign(path: str | Path) -> Foreign | None:
    """Recognise a format that is not read; None for anything else."""
    path = Path(path)
    suffix, head = path.suffix.lower(), read_head(path)
    key: str | None = {
        ".tfrecord": "tfrecord", ".tfrecords": "tfrecord", ".mat": "mat", ".parquet": "parquet",
        ".manifest": "sagemaker", ".ndjson": "labelbox",
    }.get(suffix)  # fmt: skip
    if suffix in (".json", ".jsonl", ".ndjson"):
        key = _foreign_json(head) or key
    elif suffix == ".xml":
        key = "cvat video" if _has_tag(head, "annotations") and _has_tag(head, "track") else None
    elif suffix in (".txt", ".csv"):
        key = _foreign_lines(path, [line for line in head.splitlines()[:_LINES] if line.strip()])
    return FOREIGN[key] if key else None


def holds_annotations(folder: str | Path) -> bool:
    """Return whether a folder, or one not far below it, holds annotations; a few files of each ending are read."""
    return any(map(sniff, some_files(folder)))


def some_files(folder: str | Path) -> Iterator[str]:
    """Yield some files of each ending that may hold annotations, in a folder and those not far below it."""
    folders = [(Path(folder), 0)]
    while folders:
        parent, depth = folders.pop(0)
        tried: dict[str, int] = {}
        with suppress(OSError), os.scandir(parent) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                suffix = os.path.splitext(entry.name)[1].lower()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders += [(Path(entry.path), depth + 1)] if depth < _DEPTH else []
                elif _is_wanted(entry.name) and entry.is_file() and entry.stat().st_size:
                    tried[suffix] = tried.get(suffix, 0) + 1
                    if tried[suffix] <= TRIED:
                        yield entry.path


def _is_wanted(name: str) -> bool:
    return may_hold_annotations(name) and name.lower() not in NO_LABELS


def may_hold_annotations(name: str) -> bool:
    """Return whether a file's ending is that of a format that is read, or of one that is recognised to be named."""
    return os.path.splitext(name)[1].lower() in (*SUFFIXES, *_FOREIGN_SUFFIXES)


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
    if any(wanted <= keys for wanted in _LABEL_ME):
        return "labelme"
    if {"objects", "size"} <= keys and keys & {"classTitle", "tags"}:
        return "supervisely"
    if "_via_img_metadata" in keys or {"filename", "regions"} <= keys:
        return "via"
    if keys & set(labelstudio.KEYS) or {"data", "annotations", "result"} <= keys:
        return "labelstudio"
    if keys & {"annotations", "annotation"} and keys & {"image", "imagefilename"} and "coordinates" in keys:
        return "createml"
    if "box2d" in keys:
        return "bdd"
    return "coco" if len({"images", "annotations", "categories", "file_name", "bbox"} & keys) > 1 else None


def _foreign_json(head: str) -> str | None:
    keys, first = _keys(head), head.lstrip()[:1]
    signs: dict[str, bool] = {
        "datumaro": {"items", "categories"} <= keys and bool(keys & {"label_id", "infos", "media_type", "attr"}),
        "via 3": {"project", "metadata", "view", "file"} <= keys,
        "vott": {"asset", "regions"} <= keys or {"assets", "tags"} <= keys,
        "labelbox": bool(keys & {"Labeled Data", "data_row"}),
        "darwin": {"item", "bounding_box"} <= keys or ({"annotations", "dataset", "image"} <= keys and "slots" in keys),
        "sagemaker": "source-ref" in keys,
        "prodigy": {"spans", "_input_hash"} <= keys,
        "hugging face": {"file_name", "objects", "bbox"} <= keys and not keys & {"images", "annotations"},
        "coco results": first == "[" and {"image_id", "bbox"} <= keys and not keys & {"file_name", "image", "name"},
    }
    return next((key for key, fits in signs.items() if fits), None)


def _sniff_csv(head: str) -> str | None:
    first = head.lstrip("#").split("\n", 1)[0]
    if "region_shape_attributes" in first:
        return "via"
    return "csv" if csv_boxes.find_columns(_whole_lines(head)) else None


def _whole_lines(head: str) -> str:
    """Return a head without the line that it cuts off."""
    return head[: head.rfind("\n") + 1] if len(head) >= _HEAD else head


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
    return "yolo" if any(_is_yolo(words) for words in lines) else None


def _is_yolo(words: list[str]) -> bool:
    if len(words) < 5 or not _are_numbers(words):
        return False
    values = [number(word) for word in words[:5]]
    return max(map(abs, values[1:])) <= 2 and values[0] >= 0 and values[0] == int(values[0])


def _are_numbers(words: list[str]) -> bool:
    try:
        return len([number(word) for word in words]) > 0
    except CalcoError:
        return False


def is_box(words: list[str]) -> bool:
    """Return whether words begin with four numbers."""
    return len(words) >= 4 and _are_numbers(words[:4])


def _foreign_lines(path: Path, lines: list[str]) -> str | None:
    """Recognise lists of boxes that are not read."""
    if not lines:
        return None
    words, cells = lines[0].split(), [cell.strip() for cell in lines[0].split(",")]
    if len(cells) in range(7, 11) and _are_numbers(cells) and path.suffix.lower() == ".txt":
        return "mot"
    if len(words) >= 5 and re.fullmatch(r"\d+", words[0]) and re.fullmatch(r"\d*,\d+", words[1]):
        return "decimal commas"
    if len(cells) in (5, 6) and _are_numbers(cells) and path.suffix.lower() == ".txt":
        return "yolo commas"
    if len(words) >= 2 and imaging.is_image(words[0]) and re.fullmatch(r"(\d+,){4}\d+", words[1]):
        return "keras yolo"
    if (
        len(lines) > 2
        and imaging.is_image(lines[0].strip())
        and lines[1].strip().isdecimal()
        and is_box(lines[2].split())
    ):
        return "wider"
    named = [line.split() for line in lines]
    if all(len(each) in (5, 6) and not _are_numbers(each[:1]) and _are_numbers(each[1:5]) for each in named):
        return "named corners" if any(number(word) > 2 for each in named for word in each[1:5]) else "named yolo"
    if len(cells) >= 9 and _are_numbers(cells[:8]) and not _are_numbers(cells[8:9]) and path.suffix.lower() == ".txt":
        return "icdar"
    return None


_SNIFFERS: Final[dict[str, Callable[[str], str | None]]] = {
    ".xml": _sniff_xml,
    ".json": _sniff_json,
    ".jsonl": lambda head: "jsonlines" if _sniff_json(head) == "jsonlines" else None,
    ".txt": _sniff_text,
    ".csv": _sniff_csv,
}
