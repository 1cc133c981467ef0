"""COCO's JSON: one file for all pictures; boxes, polygons, and masks in run lengths.

Lin et al., "Microsoft COCO: Common Objects in Context" (2014), and the COCO API for the run lengths. A box is left,
top, width, height; a crowd (`iscrowd`) is one ignored thing. Scores and track ids stand in `score` and `track_id`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calco.annotations.detections import Outline
from calco.annotations.gathering import Gathering, Thing
from calco.annotations.geometry import Polygon
from calco.annotations.parsing import MALFORMED, number, numbers, parse_json, plainly, read_text
from calco.annotations.record import Record, Size
from calco.annotations.runs import Runs
from calco.annotations.writing import classes_of, size_of
from calco.errors import CalcoError
from calco.files import write_json


def read(path: Path, into: Gathering) -> tuple[str, ...]:
    """Reads a file, and returns the names of its classes in the order of their numbers.

    Raises:
        CalcoError: When it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise CalcoError(f"{path} has no list of images; COCO needs images, annotations, categories: export it")
    names = _categories(content, path)
    things: dict[Any, list[Thing]] = {}
    entries: dict[Any, tuple[str, Size]] = {}
    for i, entry in enumerate(content["images"]):
        try:
            said = int(number(entry.get("width") or 0)), int(number(entry.get("height") or 0))
            if entry["id"] in things:
                raise CalcoError(f"the id {entry['id']} is given twice")
            entries[entry["id"]], things[entry["id"]] = (str(entry["file_name"]), said), []
        except MALFORMED as error:
            into.note(f"{path}, images[{i}]", "damaged", f"{plainly(error)}; left out")
    for i, entry in enumerate(content.get("annotations") or []):
        where = f", annotations[{i}]"
        try:
            if entry["image_id"] not in things:
                into.note(f"{path}{where}", "no picture", f"no image has the id {entry['image_id']}; left out")
            elif entry["category_id"] not in names:
                reason = f"no category has the id {entry['category_id']}; left out"
                into.note(f"{path}{where}", "unknown class", reason, entries[entry["image_id"]][0])
            else:
                things[entry["image_id"]].append(_thing(entry, names[entry["category_id"]], where))
        except MALFORMED as error:
            into.note(f"{path}{where}", "damaged", f"{plainly(error)}; left out")
    for key, (name, size_wh) in entries.items():
        into.add(name, things[key], file=path, said=size_wh)
    return tuple(dict.fromkeys(names.values()))


def _categories(content: dict[str, Any], path: Path) -> dict[Any, str]:
    try:
        return {entry["id"]: str(entry["name"]) for entry in sorted(content["categories"], key=lambda c: c["id"])}
    except MALFORMED as error:
        raise CalcoError(
            f"{path}: its categories need an id and a name each ({plainly(error)}); export it again"
        ) from error


def _thing(entry: dict[str, Any], label: str, where: str) -> Thing:
    left, top, width, height = map(number, entry.get("bbox") or (0, 0, 0, 0))
    outline = entry.get("segmentation") or []
    runs, rings = (_runs(outline), []) if isinstance(outline, dict) else (None, outline)
    rings = [rings] if rings and isinstance(rings[0], int | float) else rings
    return Thing(
        where=where,
        label=label,
        corners=(left, top, left + width, top + height) if entry.get("bbox") else None,
        order="sized",
        polygons=tuple(map(_polygon, rings)),
        runs=runs,
        ignored=bool(entry.get("iscrowd")),
        score=number(entry["score"]) if entry.get("score") is not None else None,
        track_id=int(number(entry["track_id"])) if entry.get("track_id") is not None else None,
    )


def _polygon(values: list[float]) -> Polygon:
    return numbers(values).astype(np.float32).reshape(-1, 2)


def _runs(outline: dict[str, Any]) -> Runs:
    height, width = (int(number(value)) for value in outline["size"])
    counts = outline["counts"]
    if isinstance(counts, str):
        return Runs.of_string(counts, height, width)
    return Runs(numbers(counts).astype(np.int64), height, width)


def write_coco(path: str | Path, records: Sequence[Record], classes: Sequence[str] = ()) -> None:
    """Writes a COCO file, whole or not at all.

    Polygons stay polygons; masks become packed run lengths.

    Args:
        path: The JSON file.
        records: With the sizes of their pictures.
        classes: The names of the classes in the order of their numbers, from 1; by default those that occur, sorted.

    Raises:
        CalcoError: When a size is missing, a class is not among the classes, or the file cannot be written.
    """
    ids = {name: i + 1 for i, name in enumerate(classes_of(records, classes))}
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(records, 1):
        width, height = size_of(record)
        pictures.append({"id": image_id, "file_name": record.name, "width": width, "height": height})
        things = record.detections
        for i, box in enumerate(things.boxes.astype(float)):
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": ids[things.classes[i]],
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "iscrowd": int(things.ignored is not None and things.ignored[i]),
            }
            entry |= _drawn(things.outlines[i] if things.outlines else None, box)
            entry |= {} if things.scores is None else {"score": float(things.scores[i])}
            entry |= {} if things.track_ids is None else {"track_id": int(things.track_ids[i])}
            annotations.append(entry)
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    write_json(path, {"images": pictures, "annotations": annotations, "categories": categories})


def _drawn(outline: Outline | None, box: Any) -> dict[str, Any]:
    """What COCO says of the pixels of a thing, and their number."""
    if outline is not None and outline.mask is not None:
        height, width = outline.mask.shape
        packed = {"size": [height, width], "counts": Runs.of_mask(outline.mask).string()}
        return {"segmentation": packed, "area": int(outline.mask.sum())}
    if outline is None:
        return {"segmentation": [], "area": float((box[2] - box[0]) * (box[3] - box[1]))}
    return {
        "segmentation": [ring.astype(float).ravel().tolist() for ring in outline.polygons],
        "area": float(sum(map(_area, outline.polygons))),
    }


def _area(ring: Polygon) -> float:
    """Square pixels within a ring (the shoelace formula)."""
    x, y = ring.astype(np.float64).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
