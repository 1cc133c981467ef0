"""Supervisely's JSON: one file an image, named after it with `.json` behind the ending; rectangles and polygons."""

from pathlib import Path
from typing import Any

import numpy as np

from calco.annotations.gathering import Gathering, Thing
from calco.annotations.geometry import joined
from calco.annotations.parsing import MALFORMED, class_name, number, numbers, parse_json, plainly, read_text
from calco.errors import CalcoError


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise CalcoError(f"{path} has no list of objects; Supervisely needs one: export it again")
    try:
        said = int(number(content["size"]["width"])), int(number(content["size"]["height"]))
    except MALFORMED:
        said = None
    objects, lost = [], 0
    for i, entry in enumerate(content["objects"]):
        try:
            objects.append(_thing(entry, f", objects[{i}]"))
        except MALFORMED as error:
            lost += 1
            into.note(f"{path}, objects[{i}]", "damaged", f"{plainly(error)}; left out", path.stem)
    into.add(path.stem, objects, file=path, said=said, lost=lost)
    return {thing.label for thing in objects}


def _thing(entry: dict[str, Any], where: str) -> Thing:
    kind = entry["geometryType"]
    if kind not in ("rectangle", "polygon"):
        rule = "encloses nothing" if kind in ("point", "line", "polyline") else "is not read; export it as COCO"
        raise CalcoError(f"a {str(kind)[:40]} {rule}")
    points = numbers(entry["points"]["exterior"]).astype(np.float32).reshape(-1, 2)
    thing = Thing(where=where, label=class_name(entry["classTitle"]))
    if kind == "polygon":
        holes = [numbers(hole).astype(np.float32).reshape(-1, 2) for hole in entry["points"].get("interior") or []]
        thing.polygons = (joined((points, *holes)),)
        return thing
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    thing.corners = left, top, right, bottom
    return thing
