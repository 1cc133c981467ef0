"""Formats of one file for all images, each with a list of its objects: BDD100K, CreateML, VIA, JSON lines.

BDD100K: Yu et al., "BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask Learning" (2020). Boxes are `box2d`
in pixels; lanes and areas (`poly2d`) are not used.

CreateML, as Create ML and Roboflow write it: boxes by their centre in pixels.

VIA, versions 1 and 2, JSON and CSV: Dutta and Zisserman, "The VIA Annotation Software for Images, Audio and Video"
(2019). Rectangles, polygons, circles and ellipses are objects; points and polylines enclose nothing. The class is the
region's attribute that is named after it, or its only one; a region without attributes is of the first class that is
known, or an "object".

JSON lines, as Dataturks wrote them: one object an image, with its address. Corners are shares of width and height. Two
points are the corners of a box, more are a polygon; `annotation: null` says that nothing is in the image.
"""

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np

from calco.annotations.gathering import UNNAMED, Gathering, WrittenObject
from calco.annotations.geometry import ellipse
from calco.annotations.parsing import MALFORMED, class_name, flag, number, numbers, parse_json, plainly, read_text
from calco.annotations.record import Size
from calco.errors import CalcoError

_CLASS: Final = ("class", "label", "category", "name", "type", "object", "object_name")


def read_bdd(path: Path, into: Gathering) -> set[str]:
    """Read a BDD100K file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    content = content.get("frames") if isinstance(content, dict) else content
    if not isinstance(content, list):
        raise CalcoError(f"{path} is not a list of images, as BDD100K writes it; export it again")
    open_shapes = 0

    def objects_of(entry: Any) -> tuple[str, str, list[Any]]:
        return str(entry["name"]), "labels", list(entry.get("labels") or [])

    def parse(entry: Any, where: str) -> list[WrittenObject]:
        nonlocal open_shapes
        if "box2d" not in entry and "poly2d" in entry:
            open_shapes += 1
            return []
        left, top, right, bottom = (number(entry["box2d"][side]) for side in ("x1", "y1", "x2", "y2"))
        crowd = flag((entry.get("attributes") or {}).get("crowd"))
        label = class_name(entry["category"])
        return [WrittenObject(where=where, label=label, corners=(left, top, right, bottom), ignored=crowd)]

    labels = _read_images(path, into, content, objects_of, parse)
    if open_shapes:
        into.note(str(path), "unused", f"{open_shapes:,} lanes and areas (poly2d) are not used")
    return labels


def read_createml(path: Path, into: Gathering) -> set[str]:
    """Read a CreateML file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, list):
        raise CalcoError(f"{path} is not a list of images, as CreateML needs one; export it again")

    def objects_of(entry: Any) -> tuple[str, str, list[Any]]:
        name = str(entry["image"] if "image" in entry else entry["imagefilename"])
        return name, "annotations", list(entry["annotations"] if "annotations" in entry else entry["annotation"])

    def parse(entry: Any, where: str) -> list[WrittenObject]:
        x, y, width, height = (number(entry["coordinates"][part]) for part in ("x", "y", "width", "height"))
        corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        return [WrittenObject(where=where, label=class_name(entry["label"]), corners=corners, order="centred")]

    return _read_images(path, into, content, objects_of, parse)


def _read_images(
    path: Path, into: Gathering, images: list[Any], objects_of: Callable[[Any], tuple[str, str, list[Any]]],
    parse: Callable[[Any, str], list[WrittenObject]],
) -> set[str]:  # fmt: skip
    """Read a JSON list of images.

    Args:
        path: The file.
        into: Takes the objects.
        images: Entries of the list.
        objects_of: Image entry => name of the image, key of its list of objects, and that list.
        parse: Entry of an object and its place => the objects.
    """
    labels: set[str] = set()
    for i, entry in enumerate(images):
        try:
            name, key, listed = objects_of(entry)
        except MALFORMED as error:
            into.note(f"{path}, [{i}]", "no image", f"{plainly(error)}; left out")
            continue
        entries = [(f", [{i}].{key}[{j}]", each) for j, each in enumerate(listed)]
        labels |= into.add_parsed(path, name, entries, parse)
    return labels


def read_via(path: Path, into: Gathering) -> set[str]:
    """Read a file of VIA, JSON or CSV, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    text = read_text(path)
    images = _via_rows(text, path) if path.suffix.lower() == ".csv" else _via_entries(text, path)
    labels: set[str] = set()
    for name, regions in images.items():
        entries = [(f", {name}, regions[{i}]", region) for i, region in enumerate(regions)]
        labels |= into.add_parsed(path, name, entries, partial(_via_region, into=into))
    return labels


def _via_entries(text: str, path: Path) -> dict[str, list[Any]]:
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


def _via_rows(text: str, path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    # VIA 1 writes a mark before the first name of a column.
    reader = csv.DictReader(io.StringIO(text.lstrip("#")), skipinitialspace=True)
    try:
        for row in reader:
            regions = found.setdefault(row.get("filename") or "", [])
            if (row.get("region_count") or "0").strip() != "0":
                names = "region_shape_attributes", "region_attributes"
                shape, attributes = (json.loads(row.get(name) or "{}") for name in names)
                regions.append({"shape_attributes": shape, "region_attributes": attributes})
    except (csv.Error, ValueError, RecursionError) as error:
        raise CalcoError(f"{path}, line {reader.line_num}: {error}; export it again") from error
    return found


def _via_region(region: Any, where: str, into: Gathering) -> list[WrittenObject]:
    shape = region["shape_attributes"]
    kind = shape.get("name")
    obj = WrittenObject(where=where, label=_via_label(region.get("region_attributes") or {}, into))
    if kind == "rect":
        left, top, width, height = (number(shape[part]) for part in ("x", "y", "width", "height"))
        obj.corners, obj.order = (left, top, left + width, top + height), "sized"
    elif kind == "polygon":
        obj.polygons = (numbers([shape["all_points_x"], shape["all_points_y"]]).T.astype(np.float32),)
    elif kind == "circle":
        radius = number(shape["r"])
        obj.polygons = (ellipse((number(shape["cx"]), number(shape["cy"])), (radius, radius)),)
    elif kind == "ellipse":
        centre, radii = (number(shape["cx"]), number(shape["cy"])), (number(shape["rx"]), number(shape["ry"]))
        obj.polygons = (ellipse(centre, radii, number(shape.get("theta") or 0)),)
    else:
        rule = "encloses nothing" if kind in ("point", "polyline", "line") else "is not a shape that is read"
        raise CalcoError(f"a {str(kind)[:40]} {rule}")
    return [obj]


def _via_label(attributes: dict[str, Any], into: Gathering) -> str:
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


def read_jsonlines(path: Path, into: Gathering) -> set[str]:
    """Read JSON lines, and return the classes that occur.

    Images go by the names in their addresses when most of these are known, else by the numbers of their lines.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    found: list[tuple[int, str, list[WrittenObject], Size | None, int]] = []
    for i, line in enumerate(read_text(path).split("\n")):
        if line.strip():
            try:
                found.append((i, *_line_of(line, i, path, into)))
            except MALFORMED as error:
                place = f"{path}, line {i + 1}"
                into.note(place, "unreadable", f"{plainly(error).removeprefix(f'{place}, line 1, ')}; left out")
    names = {i: _name_in(address) for i, address, *_ in found}
    known = [into.images is not None and into.images.find(name, path)[0] for name in names.values()]
    by_number = 2 * sum(map(bool, known)) < len(known)
    for i, address, objects, said, lost in found:
        into.add(
            names[i],
            objects,
            file=path,
            said=said,
            shares=True,
            number=i,
            by_number=by_number,
            address=address,
            lost=lost,
        )
    return {obj.label for entry in found for obj in entry[2]}


def _name_in(address: str) -> str:
    """The file's name in an address."""
    return PurePosixPath(unquote(urlsplit(address).path)).name or address


def _line_of(line: str, i: int, path: Path, into: Gathering) -> tuple[str, list[WrittenObject], Size | None, int]:
    content = parse_json(line, f"{path}, line {i + 1}")
    address = str(content["content"])
    objects, said, lost = [], None, 0
    for j, entry in enumerate(content["annotation"] or []):
        try:
            objects += _shapes(entry, f", annotation[{j}]")
            if entry.get("imageWidth") and entry.get("imageHeight"):
                said = int(number(entry["imageWidth"])), int(number(entry["imageHeight"]))
        except MALFORMED as error:
            lost += 1
            where = f"{path}, line {i + 1}, annotation[{j}]"
            into.note(where, "damaged", f"{plainly(error)}; left out", _name_in(address))
    return address, objects, said, lost


def _shapes(entry: dict[str, Any], where: str) -> list[WrittenObject]:
    """One for each of its labels."""
    given = [entry["label"]] if isinstance(entry["label"], str) else entry["label"]
    labels = [class_name(label) for label in given]
    points = np.array([[number(point["x"]), number(point["y"])] for point in entry["points"]])
    if not labels or len(points) < 2:
        raise CalcoError("it needs a label and two points")
    # Four points whose x and y are two numbers each are a rectangle.
    if len(points) == 2 or (len(points) == 4 and all(len(set(axis)) == 2 for axis in points.T.tolist())):
        first, last = (points[0], points[1]) if len(points) == 2 else (points.min(0), points.max(0))
        corners = (*first.tolist(), *last.tolist())
        return [WrittenObject(where=where, label=label, corners=corners) for label in labels]
    return [WrittenObject(where=where, label=label, polygons=(points.astype(np.float32),)) for label in labels]
