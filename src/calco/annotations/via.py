"""VGG Image Annotator's JSON and CSV (versions 1 and 2): one file for all images; regions with attributes.

Dutta and Zisserman, "The VIA Annotation Software for Images, Audio and Video" (2019). Rectangles, polygons, circles and
ellipses are objects; points and polylines enclose nothing. The class is the region's attribute that is named after it,
or its only one; a region without attributes is of the first class that is known, or an "object".
"""

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco.annotations.corners import UNNAMED
from calco.annotations.gathering import Gathering, Thing
from calco.annotations.geometry import ellipse
from calco.annotations.parsing import MALFORMED, class_name, number, numbers, parse_json, plainly, read_text
from calco.errors import CalcoError

_CLASS: Final = ("class", "label", "category", "name", "type", "object", "object_name")


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    text = read_text(path)
    files = _rows(text, path) if path.suffix.lower() == ".csv" else _entries(text, path)
    labels: set[str] = set()
    for name, regions in files.items():
        objects, lost = [], 0
        for i, region in enumerate(regions):
            where = f", {name}, regions[{i}]"
            try:
                objects.append(_thing(region, where, into))
            except MALFORMED as error:
                lost += 1
                into.note(f"{path}{where}", "damaged", f"{plainly(error)}; left out", name)
        into.add(name, objects, file=path, lost=lost)
        labels |= {thing.label for thing in objects}
    return labels


def _entries(text: str, path: Path) -> dict[str, list[Any]]:
    content = parse_json(text, str(path))
    if isinstance(content, dict) and "_via_img_metadata" in content:
        content = content["_via_img_metadata"]
    if not isinstance(content, dict):
        raise CalcoError(f"{path} has no images by their names, as VIA writes them; export it again")
    found: dict[str, list[Any]] = {}
    for key, entry in content.items():
        try:
            regions = entry["regions"]
            found.setdefault(str(entry["filename"]), []).extend(
                regions.values() if isinstance(regions, dict) else regions
            )
        except MALFORMED as error:
            raise CalcoError(f"{path}, {key[:60]}: {plainly(error)}; export it again") from error
    return found


def _rows(text: str, path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    # VIA 1 writes a mark before the first name of a column.
    reader = csv.DictReader(io.StringIO(text.lstrip("#")), skipinitialspace=True)
    try:
        for row in reader:
            regions = found.setdefault(row.get("filename") or "", [])
            if (row.get("region_count") or "0").strip() != "0":
                shape, attributes = (
                    json.loads(row.get(f"region_{part}_attributes" if part else "region_attributes") or "{}")
                    for part in ("shape", "")
                )
                regions.append({"shape_attributes": shape, "region_attributes": attributes})
    except (csv.Error, ValueError, RecursionError) as error:
        raise CalcoError(f"{path}, line {reader.line_num}: {error}; export it again") from error
    return found


def _thing(region: dict[str, Any], where: str, into: Gathering) -> Thing:
    shape = region["shape_attributes"]
    kind = shape.get("name")
    thing = Thing(where=where, label=_label(region.get("region_attributes") or {}, into))
    if kind == "rect":
        left, top, width, height = (number(shape[part]) for part in ("x", "y", "width", "height"))
        thing.corners, thing.order = (left, top, left + width, top + height), "sized"
    elif kind == "polygon":
        thing.polygons = (numbers([shape["all_points_x"], shape["all_points_y"]]).T.astype(np.float32),)
    elif kind == "circle":
        radius = number(shape["r"])
        thing.polygons = (ellipse((number(shape["cx"]), number(shape["cy"])), (radius, radius)),)
    elif kind == "ellipse":
        centre, radii = (number(shape["cx"]), number(shape["cy"])), (number(shape["rx"]), number(shape["ry"]))
        thing.polygons = (ellipse(centre, radii, number(shape.get("theta") or 0)),)
    else:
        rule = "encloses nothing" if kind in ("point", "polyline", "line") else "is not a shape that is read"
        raise CalcoError(f"a {str(kind)[:40]} {rule}")
    return thing


def _label(attributes: dict[str, Any], into: Gathering) -> str:
    """Return the class among a region's attributes.

    Raises:
        CalcoError: If several attributes may be it.
    """
    if not attributes:
        return (into.classes or (UNNAMED,))[0]
    named = [key for wanted in _CLASS for key in attributes if key.strip().casefold() == wanted]
    if not named and len(attributes) > 1:
        listed = ", ".join(map(repr, list(attributes)[:4]))
        raise CalcoError(f"which of its attributes {listed} is its class is not known; call the attribute 'class'")
    value = attributes[(named or list(attributes))[0]]
    if isinstance(value, dict):  # a box that is ticked
        ticked = [key for key, chosen in value.items() if chosen]
        if len(ticked) != 1:
            raise CalcoError(f"{len(ticked)} classes are ticked; tick one")
        value = ticked[0]
    return class_name(value)
