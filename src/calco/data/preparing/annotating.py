"""Annotated images written back: boxes and outlines of all parts into one COCO, VOC or YOLO set."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from calco.annotations.coco import write_coco
from calco.annotations.reading import read_annotations
from calco.annotations.record import Record
from calco.annotations.voc import write_voc
from calco.annotations.yolo import write_yolo
from calco.data.manifest import INDEX
from calco.files import make_folder

IMAGES: Final = {"coco": "images", "voc": "JPEGImages", "yolo": "images"}
"""The folder of the images in each format; a record's name is a path in it."""

_BESIDE: Final = {"coco": "", "voc": "Annotations/{}.xml", "yolo": "labels/{}.txt"}


def keep(folder: Path, part: str, records: Sequence[Record]) -> bytes:
    """Notes what a part's images hold, until all parts are there; returns it as it was written."""
    write_coco(_kept(folder, part), records)
    return _kept(folder, part).read_bytes()


def kept_records(folder: Path, part: str) -> bytes:
    """What was noted; nothing where nothing was."""
    return _kept(folder, part).read_bytes() if _kept(folder, part).is_file() else b""


def forget(folder: Path, part: str) -> None:
    """Removes what was noted."""
    _kept(folder, part).unlink(missing_ok=True)


def _kept(folder: Path, part: str) -> Path:
    # Hidden, so that nobody who reads the set takes it for a second one.
    return folder / INDEX / f".{part}.coco.json"


def write_annotations(folder: Path, format: str, parts: Sequence[tuple[str, str]], classes: Sequence[str]) -> None:
    """Writes what all parts hold in the format's own files.

    Args:
        folder: Where the images lie.
        format: "coco", "voc" or "yolo".
        parts: Name and split of each part.
        classes: In the order of their numbers; those that occur besides follow.

    Raises:
        CalcoError: When something cannot be written.
    """
    by_split: dict[str, list[Record]] = {}
    for part, split in parts:
        by_split.setdefault(split, []).extend(read_annotations(_kept(folder, part)).records)
    records = [record for found in by_split.values() for record in found]
    occurring = sorted({name for record in records for name in record.objects.classes})
    names = tuple(dict.fromkeys([*classes, *occurring]))
    if format == "coco":
        make_folder(folder / "annotations")
        for split, found in by_split.items():
            write_coco(folder / "annotations" / f"{split}.json", found, names)
    else:
        {"voc": write_voc, "yolo": write_yolo}[format](folder, records, names)


def written_beside(format: str, name: str) -> str:
    """The file that `write_annotations` writes for an image's file; empty where all stand in one."""
    first, _, place = name.partition("/")
    return _BESIDE[format].format(place.rpartition(".")[0]) if first == IMAGES.get(format) else ""


def remove_annotations(folder: Path) -> None:
    """Removes the files that speak of the whole set."""
    for name in ("annotations/train.json", "annotations/val.json", "annotations/test.json", "data.yaml"):
        with suppress(FileNotFoundError):
            (folder / name).unlink()
