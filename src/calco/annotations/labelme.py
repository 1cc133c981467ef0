"""Formats of one JSON file an image: LabelMe and Supervisely.

LabelMe, as the program of Kentaro Wada writes it: shapes with labels. Polygons, rectangles, circles and masks are
objects, and so are the rotated rectangles of its derivatives; points and lines enclose nothing. Shapes of one label
that share a `group_id` are parts of one object.

Supervisely: files are named after the image with `.json` after its ending; rectangles and polygons.
"""

import base64
import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image as Pillow

from calco import imaging
from calco.annotations.gathering import Gathering, WrittenObject
from calco.annotations.geometry import Polygon, Runs, ellipse, joined
from calco.annotations.parsing import MALFORMED, class_name, flag, number, numbers, parse_json, plainly, read_text
from calco.errors import CalcoError

_ROTATED: Final = ("rotation", "oriented_rectangle", "rotated_rectangle", "quadrilateral")  # four corners each
_OPEN: Final = ("point", "points", "line", "linestrip")


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise CalcoError(f"{path} has no list of shapes; LabelMe needs one: export it again")
    try:
        size = int(number(content["imageWidth"])), int(number(content["imageHeight"]))
    except MALFORMED:
        size = None
    named = str(content.get("imagePath") or "")
    own = into.images and into.images.find(path.stem, path)[0]
    name = path.stem if own or not named else named
    objects: dict[object, WrittenObject] = {}
    lost = 0
    for i, shape in enumerate(content["shapes"]):
        try:
            if size and shape.get("shape_type") == "mask":
                into.check_claim(name, path, size)
            obj = _object(shape, f", shapes[{i}]", size)
            group = shape.get("group_id")
            key = i if group is None else (obj.label, str(group))
        except MALFORMED as error:
            lost += 1
            into.note(f"{path}, shapes[{i}]", "damaged", f"{plainly(error)}; left out", path.stem)
            continue
        whole = objects.setdefault(key, obj)
        if whole is not obj:
            if not (whole.polygons and obj.polygons):
                objects[i] = obj  # only polygons can be parts
            whole.polygons += obj.polygons
    into.add(name, list(objects.values()), file=path, said=size, lost=lost)
    return {obj.label for obj in objects.values()}


def _object(shape: dict[str, Any], where: str, size: tuple[int, int] | None) -> WrittenObject:
    kind = shape.get("shape_type") or "polygon"
    points: Polygon = numbers(shape["points"]).astype(np.float32).reshape(-1, 2)
    obj = WrittenObject(where=where, label=class_name(shape["label"]), ignored=flag(shape.get("difficult")))
    if (kind in _ROTATED and len(points) == 4) or kind == "polygon":
        obj.polygons = (points,)
    elif kind == "rectangle":
        (left, top), (right, bottom) = (points[0], points[1]) if len(points) == 2 else (points.min(0), points.max(0))
        obj.corners = (float(left), float(top), float(right), float(bottom))
    elif kind == "circle":
        (x, y), radius = points[0].tolist(), float(np.linalg.norm(points[1] - points[0]))
        obj.polygons = (ellipse((x, y), (radius, radius)),)
    elif kind == "mask":
        obj.runs = _runs(shape["mask"], points, size)
    else:
        rule = "encloses nothing" if kind in _OPEN else "is not a shape that is read; export it as a polygon"
        raise CalcoError(f"a {str(kind)[:40]} {rule}")
    return obj


def _runs(packed: str, points: Polygon, size: tuple[int, int] | None) -> Runs:
    """The mask, which is kept as the PNG of its box, over the whole image."""
    if size is None or not 0 < size[0] * size[1] <= imaging.MAX_PIXELS:
        raise CalcoError("a mask needs imageWidth and imageHeight, of an image that can be read")
    data = base64.b64decode(packed, validate=True)
    # The header tells the size, before anything is unpacked.
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    left, top = (int(value) for value in points.min(0))
    if data[:8] != b"\x89PNG\r\n\x1a\n" or min(left, top) < 0:
        raise CalcoError("its mask is no PNG within the image")
    if left + width > size[0] or top + height > size[1]:
        raise CalcoError(f"its mask of {width}x{height} at {left}, {top} leaves the image of {size[0]}x{size[1]}")
    try:
        with Pillow.open(io.BytesIO(data), formats=["PNG"]) as png:
            part = np.array(png.convert("L"))
    except (OSError, SyntaxError) as error:
        raise CalcoError("its mask is a damaged PNG") from error
    whole = np.zeros((size[1], size[0]), np.bool_)
    whole[top : top + height, left : left + width] = part > 0
    return Runs.of_mask(whole)


def read_supervisely(path: Path, into: Gathering) -> set[str]:
    """Read a file of Supervisely, and return the classes that occur.

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
    entries = [(f", objects[{i}]", entry) for i, entry in enumerate(content["objects"])]
    return into.add_parsed(path, path.stem, entries, _figure, said=said)


def _figure(entry: dict[str, Any], where: str) -> list[WrittenObject]:
    kind = entry["geometryType"]
    if kind not in ("rectangle", "polygon"):
        rule = "encloses nothing" if kind in ("point", "line", "polyline") else "is not read; export it as COCO"
        raise CalcoError(f"a {str(kind)[:40]} {rule}")
    points = numbers(entry["points"]["exterior"]).astype(np.float32).reshape(-1, 2)
    obj = WrittenObject(where=where, label=class_name(entry["classTitle"]))
    if kind == "polygon":
        holes = [numbers(hole).astype(np.float32).reshape(-1, 2) for hole in entry["points"].get("interior") or []]
        obj.polygons = (joined((points, *holes)),)
        return [obj]
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    obj.corners = left, top, right, bottom
    return [obj]
