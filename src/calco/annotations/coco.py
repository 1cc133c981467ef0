"""COCO's JSON: one file for all images; boxes, polygons, and masks in run lengths.

Lin et al., "Microsoft COCO: Common Objects in Context" (2014), and the COCO API for the run lengths. A box is left,
top, width, height, eight numbers are the corners of a rotated one; a crowd (`iscrowd`, `ignore`) is one ignored
object. Scores and track ids stand in `score` and `track_id`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calco.annotations.detections import Outline
from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.geometry import Polygon, Runs
from calco.annotations.parsing import (
    MALFORMED,
    UnknownClassError,
    class_name,
    flag,
    identity,
    list_of,
    number,
    numbers,
    plainly,
    polygon,
    read_json,
)  # fmt: skip
from calco.annotations.record import Record, classes_of, size_of
from calco.errors import CalcoError
from calco.files import write_json


def read(path: Path, into: Gathering) -> None:
    """Read a file of many images.

    An annotation that belongs to no image makes it uncertain that the images without annotations are empty, so these
    are left out then.
    """
    content = read_json(path)
    listed, annotations = (list_of(content, key, path) for key in ("images", "annotations"))
    kinds = {key for entry in annotations if isinstance(entry, dict) for key in entry}
    if annotations and not kinds & {"bbox", "segmentation"}:
        seen = ", ".join(sorted(map(str, kinds))[:6])
        raise CalcoError(f"{path} has no boxes, its annotations have {seen or 'nothing'}; name a file with boxes")
    names = _categories(content, path, into)
    into.found |= dict.fromkeys(names.values())
    images = _images(listed, path, into)
    astray = 0
    for i, entry in enumerate(annotations):
        where = f", annotations[{i}]"
        try:
            key = identity(entry["image_id"])
        except MALFORMED as error:
            astray += 1
            into.note(f"{path}{where}", "damaged", f"{plainly(error)}; left out")
            continue
        if key in images:
            note = partial(into.note, f"{path}{where}", "damaged", image=images[key].name)
            into.parse(images[key], [(where, entry)], partial(_object, names=names, note=note))
        else:
            astray += 1
            into.note(f"{path}{where}", "no image", f"no single image has the id {key}; left out")
    for image in {id(image): image for image in images.values()}.values():
        if astray and not image.objects and not image.lost:
            reason = f"it has no annotation, and {astray:,} annotations of the file belong to no image"
            into.note(f"{path}, {image.name}", "incomplete", f"{reason}; the image is left out", image.name)
        else:
            into.add(image)


def _images(listed: list[Any], path: Path, into: Gathering) -> dict[str, WrittenImage]:
    """Return the images by id, without ids that two images have."""
    found: dict[str, WrittenImage] = {}
    by_name: dict[str, WrittenImage] = {}
    shared: set[str] = set()
    for i, entry in enumerate(listed):
        where = f"{path}, images[{i}]"
        try:
            size = int(number(entry.get("width") or 0)), int(number(entry.get("height") or 0))
            key, name = identity(entry["id"]), str(entry["file_name"])
        except MALFORMED as error:
            into.note(where, "damaged", f"{plainly(error)}; left out")
            continue
        if name in by_name and key not in found:
            reason = f"{name} is listed twice; the annotations of both entries are taken together"
            into.note(where, "duplicate", reason, name)
        image = by_name.setdefault(name, WrittenImage(path, name, size, str(entry.get("split") or "")))
        if found.setdefault(key, image) is not image:
            shared.add(key)
            into.note(where, "no image", f"its id {key} is that of {found[key].name}; both are left out", name)
    return {key: image for key, image in found.items() if key not in shared}


def _categories(content: dict[str, Any], path: Path, into: Gathering) -> dict[str, str]:
    """Return the names of the classes by id, in the order of their numbers, without ids that two classes have."""
    found: dict[str, str] = {}
    shared: set[str] = set()
    try:
        for entry in content["categories"]:
            key, name = identity(entry["id"]), class_name(entry["name"])
            if found.setdefault(key, name) != name:
                shared.add(key)
                reason = f"the id {key} is that of two categories, {found[key]} and {name}"
                into.note(str(path), "unknown class", reason)
    except MALFORMED as error:
        raise CalcoError(
            f"{path}: its categories need an id and a name each ({plainly(error)}); export it again"
        ) from error
    order = sorted(
        found.keys() - shared, key=lambda key: (not key.isdecimal(), int(key) if key.isdecimal() else 0, key)
    )
    return {key: found[key] for key in order}


def _object(entry: dict[str, Any], names: dict[str, str], note: Callable[[str], None]) -> list[WrittenObject]:
    category = identity(entry["category_id"])
    if category not in names:
        raise UnknownClassError(f"no single category has the id {category}")
    obj = WrittenObject(
        label=names[category],
        order="sized",
        ignored=flag(entry.get("iscrowd")) or flag(entry.get("ignore")),
        score=number(entry["score"]) if entry.get("score") is not None else None,
        track_id=int(number(entry["track_id"])) if entry.get("track_id") is not None else None,
    )
    box = entry.get("bbox")
    try:
        obj.polygons, obj.runs = _outline(entry.get("segmentation"))
    except MALFORMED as error:
        if not box:
            raise
        note(f"its segmentation cannot be used ({plainly(error)}); the box alone is kept")
    if box and len(box) == 4:
        left, top, width, height = map(number, box)
        obj.box = left, top, width, height
    elif box and len(box) == 8:
        obj.polygons = obj.polygons or (polygon(box),)
    elif box and not (obj.polygons or obj.runs):
        raise CalcoError(
            f"its bbox has {len(box)} numbers; it needs left, top, width, height, or a rotated box's corners in "
            "segmentation"
        )
    return [obj]


def _outline(outline: Any) -> tuple[tuple[Polygon, ...], Runs | None]:
    """Return the polygons, or the run lengths, of a segmentation."""
    if isinstance(outline, list) and len(outline) == 1 and isinstance(outline[0], dict):
        outline = outline[0]
    if isinstance(outline, dict):
        height, width = (int(number(value)) for value in outline["size"])
        counts = outline["counts"]
        if isinstance(counts, str):
            return (), Runs.of_string(counts, height, width)
        return (), Runs(numbers(counts).astype(np.int64), height, width)
    rings = [outline] if outline and isinstance(outline[0], int | float) else outline or []
    return tuple(map(polygon, rings)), None


def write_coco(path: str | Path, records: Sequence[Record], classes: Sequence[str] = ()) -> None:
    """Write a COCO file, whole or not at all.

    Polygons stay polygons; masks become packed run lengths.

    Args:
        path: The JSON file.
        records: With the sizes of their images.
        classes: The names of the classes in the order of their numbers, from 1; by default those that occur, sorted.

    Raises:
        CalcoError: If a size is missing, a class is not among the classes, or the file cannot be written.
    """
    ids = {name: i + 1 for i, name in enumerate(classes_of(records, classes))}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(records, 1):
        width, height = size_of(record)
        images.append({"id": image_id, "file_name": record.name, "width": width, "height": height})
        objects = record.detections
        ignored = objects.is_ignored.tolist()
        for i, box in enumerate(objects.boxes.astype(float)):
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": ids[objects.classes[i]],
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "iscrowd": int(ignored[i]),
            }
            entry |= _segmentation(objects.outlines[i] if objects.outlines else None, box)
            entry |= {} if objects.scores is None else {"score": float(objects.scores[i])}
            entry |= {} if objects.track_ids is None else {"track_id": int(objects.track_ids[i])}
            annotations.append(entry)
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})


def _segmentation(outline: Outline | None, box: Any) -> dict[str, Any]:
    """Return COCO's segmentation and area of an object."""
    if outline is None:
        return {"segmentation": [], "area": float((box[2] - box[0]) * (box[3] - box[1]))}
    if outline.mask is not None:
        packed = {"size": list(outline.mask.shape), "counts": Runs.of_mask(outline.mask).string()}
        return {"segmentation": packed, "area": int(outline.mask.sum())}
    sides = [ring.astype(np.float64).T for ring in outline.polygons]
    return {
        "segmentation": [ring.astype(float).ravel().tolist() for ring in outline.polygons],
        # The shoelace formula.
        "area": float(sum(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 for x, y in sides)),
    }
