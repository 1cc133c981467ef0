"""CVAT's XML for images: one file for all images; boxes, polygons, ellipses and masks.

Boxes that are rotated (in degrees, clockwise about their centre) become outlines. Points and polylines enclose nothing.
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calco.annotations.gathering import Gathering, WrittenObject
from calco.annotations.geometry import Polygon, Runs, ellipse, rotated
from calco.annotations.parsing import class_name, number, numbers
from calco.annotations.record import Size
from calco.annotations.voc import parse_xml
from calco.errors import CalcoError


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    root = parse_xml(path)
    if root.tag != "annotations":
        raise CalcoError(f"{path} is a {root.tag!r}; CVAT's files are 'annotations': export it again")
    if root.find("track") is not None:
        raise CalcoError(f"{path} is CVAT's XML for videos, which is not read; export it as 'CVAT for images 1.1'")
    labels: set[str] = set()
    for entry in root.findall("image"):
        name = (entry.get("name") or "").strip()
        try:
            said = int(number(entry.get("width") or 0)), int(number(entry.get("height") or 0))
        except CalcoError:
            said = (0, 0)
        shapes = [shape for shape in entry if shape.tag != "tag"]
        entries = [(f", image {name}, shape {i}", shape) for i, shape in enumerate(shapes, 1)]

        def parse(shape: ElementTree.Element, where: str, name: str = name, said: Size = said) -> list[WrittenObject]:
            if shape.tag == "mask":
                into.check_claim(name, path, said)
            return [_object(shape, where, said)]

        labels |= into.add_parsed(path, name, entries, parse, said=said, split=entry.get("subset") or "")
    return labels


def _object(shape: ElementTree.Element, where: str, size_wh: Size) -> WrittenObject:
    obj = WrittenObject(where=where, label=class_name(shape.get("label") or ""))
    angle = np.radians(number(shape.get("rotation") or 0))
    if shape.tag == "box":
        left, top, right, bottom = (_attribute(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        if angle:
            centre = (left + right) / 2, (top + bottom) / 2
            obj.polygons = (rotated((left, top, right, bottom), angle, centre),)
        else:
            obj.corners = left, top, right, bottom
    elif shape.tag == "polygon":
        pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair]
        corners: Polygon = numbers([[number(x), number(y)] for x, y in pairs]).astype(np.float32)
        obj.polygons = (corners,)
    elif shape.tag == "ellipse":
        x, y, across, down = (_attribute(shape, name) for name in ("cx", "cy", "rx", "ry"))
        obj.polygons = (ellipse((x, y), (across, down), angle),)
    elif shape.tag == "mask":
        obj.runs = _runs(shape, size_wh)
    else:
        rule = "encloses nothing" if shape.tag in ("points", "polyline") else "is not a shape that is read"
        raise CalcoError(f"a {shape.tag[:40]} {rule}")
    return obj


def _attribute(shape: ElementTree.Element, name: str) -> float:
    value = shape.get(name)
    if value is None:
        raise CalcoError(f"{name} is missing")
    return number(value)


def _runs(shape: ElementTree.Element, size_wh: Size) -> Runs:
    """Return the mask, whose runs go through the rows of its box and begin with the background."""
    left, top, width, height = (int(_attribute(shape, name)) for name in ("left", "top", "width", "height"))
    if min(left, top, width - 1, height - 1) < 0 or left + width > size_wh[0] or top + height > size_wh[1]:
        raise CalcoError(f"its mask of {width}x{height} at {left}, {top} leaves the image of {size_wh[0]}x{size_wh[1]}")
    counts = numbers([number(part) for part in (shape.get("rle") or "").split(",")]).astype(np.int64)
    if (counts < 0).any() or counts.sum() != width * height:
        raise CalcoError(f"its run lengths do not cover its box of {width}x{height}")
    whole = np.zeros((size_wh[1], size_wh[0]), np.bool_)
    inside = np.arange(len(counts)) % 2 == 1
    whole[top : top + height, left : left + width] = np.repeat(inside, counts).reshape(height, width)
    return Runs.of_mask(whole)
