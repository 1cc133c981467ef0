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

from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.geometry import Polygon, Runs, ellipse, extent, joined
from calco.annotations.parsing import class_name, flag, list_of, polygon, read_json, size_wh, unread_shape
from calco.errors import CalcoError

_ROTATED: Final = ("rotation", "oriented_rectangle", "rotated_rectangle", "quadrilateral")  # four corners each


def read(path: Path, into: Gathering) -> None:
    """Read a file of LabelMe."""
    content = read_json(path)
    shapes = list_of(content, "shapes", path)
    size = size_wh(content.get("imageWidth"), content.get("imageHeight"))
    image = WrittenImage(path, into.own_name(path, str(content.get("imagePath") or "")), size)
    groups: dict[int, tuple[str, str]] = {}  # group of an object, by its identity

    def parse(shape: Any) -> list[WrittenObject]:
        obj = _object(shape, image, into)
        if shape.get("group_id") is not None:
            groups[id(obj)] = obj.label, str(shape["group_id"])
        return [obj]

    into.parse(image, ((f", shapes[{i}]", shape) for i, shape in enumerate(shapes)), parse)
    objects: dict[object, WrittenObject] = {}
    for obj in image.objects:
        whole = objects.setdefault(groups.get(id(obj), id(obj)), obj)
        if whole is not obj and whole.polygons and obj.polygons:
            whole.polygons += obj.polygons
        elif whole is not obj:
            objects[id(obj)] = obj  # only polygons can be parts
    image.objects = list(objects.values())
    into.add(image)


def _object(shape: dict[str, Any], image: WrittenImage, into: Gathering) -> WrittenObject:
    kind = shape.get("shape_type") or "polygon"
    points = polygon(shape["points"])
    obj = WrittenObject(label=class_name(shape["label"]), ignored=flag(shape.get("difficult")))
    if (kind in _ROTATED and len(points) == 4) or kind == "polygon":
        obj.polygons = (points,)
    elif kind == "rectangle":
        (left, top), (right, bottom) = points.tolist() if len(points) == 2 else (points.min(0), points.max(0))
        obj.box = float(left), float(top), float(right), float(bottom)
    elif kind == "circle":
        (x, y), radius = points[0].tolist(), float(np.linalg.norm(points[1] - points[0]))
        obj.polygons = (ellipse((x, y), (radius, radius)),)
    elif kind == "mask":
        obj.runs = _runs(shape["mask"], points, image, into)
    else:
        raise unread_shape(kind, "; export it as a polygon")
    return obj


def _runs(packed: str, points: Polygon, image: WrittenImage, into: Gathering) -> Runs:
    """Return a mask, which is kept as the PNG of its box, over the whole image."""
    data = base64.b64decode(packed, validate=True)
    # The header tells the size, before anything is unpacked.
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    left, top = map(int, points.min(0))
    into.check_mask(image, left, top, width, height)
    try:
        with Pillow.open(io.BytesIO(data), formats=["PNG"]) as png:
            return Runs.of_part(np.array(png.convert("L")) > 0, left, top, image.size_wh or (0, 0))
    except (OSError, SyntaxError) as error:
        raise CalcoError("its mask is a damaged PNG") from error


def read_supervisely(path: Path, into: Gathering) -> None:
    """Read a file of Supervisely."""
    content = read_json(path)
    figures = list_of(content, "objects", path)
    size = content["size"] if isinstance(content.get("size"), dict) else {}
    image = WrittenImage(path, path.stem, size_wh(size.get("width"), size.get("height")))
    into.add(image, ((f", objects[{i}]", entry) for i, entry in enumerate(figures)), _figure)


def _figure(entry: dict[str, Any]) -> list[WrittenObject]:
    kind = entry["geometryType"]
    if kind not in ("rectangle", "polygon"):
        raise unread_shape(kind, "; export it as COCO")
    points = polygon(entry["points"]["exterior"])
    obj = WrittenObject(label=class_name(entry["classTitle"]))
    if kind == "polygon":
        obj.polygons = (joined((points, *map(polygon, entry["points"].get("interior") or []))),)
    else:
        obj.box = extent([points])
    return [obj]
