"""CVAT's XML for images: one file for all images; boxes, polygons, ellipses and masks.

Boxes that are rotated (in degrees, clockwise about their centre) become outlines. Points and polylines enclose nothing.
"""

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.geometry import Runs, ellipse, rotated
from calco.annotations.parsing import class_name, number, numbers, polygon, read_xml, size_wh, unread_shape
from calco.errors import CalcoError


def read(path: Path, into: Gathering) -> None:
    """Read a file of many images."""
    root = read_xml(path)
    if root.tag != "annotations":
        raise CalcoError(f"{path} is a {root.tag!r}; CVAT's files are 'annotations': export it again")
    if root.find("track") is not None:
        raise CalcoError(f"{path} is CVAT's XML for videos, which is not read; export it as 'CVAT for images 1.1'")
    for entry in root.findall("image"):
        size = size_wh(entry.get("width"), entry.get("height"))
        image = WrittenImage(path, (entry.get("name") or "").strip(), size, entry.get("subset") or "")
        shapes = enumerate((shape for shape in entry if shape.tag != "tag"), 1)
        entries = ((f", image {image.name}, shape {i}", shape) for i, shape in shapes)
        into.add(image, entries, partial(_object, image=image, into=into))


def _object(shape: ElementTree.Element, image: WrittenImage, into: Gathering) -> list[WrittenObject]:
    obj = WrittenObject(label=class_name(shape.get("label") or ""))
    angle = np.radians(number(shape.get("rotation") or 0))
    if shape.tag == "box":
        left, top, right, bottom = _attributes(shape, "xtl", "ytl", "xbr", "ybr")
        obj.box = left, top, right, bottom
        if angle:
            obj.polygons = (rotated(obj.box, angle, ((left + right) / 2, (top + bottom) / 2)),)
            obj.box = None
    elif shape.tag == "polygon":
        pairs = (pair.split(",") for pair in (shape.get("points") or "").split(";") if pair)
        obj.polygons = (polygon([[number(x), number(y)] for x, y in pairs]),)
    elif shape.tag == "ellipse":
        x, y, across, down = _attributes(shape, "cx", "cy", "rx", "ry")
        obj.polygons = (ellipse((x, y), (across, down), angle),)
    elif shape.tag == "mask":
        # Its runs go through the rows of its box, and begin with the background.
        left, top, width, height = map(int, _attributes(shape, "left", "top", "width", "height"))
        into.check_mask(image, left, top, width, height)
        counts = numbers([number(part) for part in (shape.get("rle") or "").split(",")]).astype(np.int64)
        if (counts < 0).any() or counts.sum() != width * height:
            raise CalcoError(f"its run lengths do not cover its box of {width}x{height}")
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
        obj.runs = Runs.of_part(inside, left, top, image.size_wh or (0, 0))
    else:
        raise unread_shape(shape.tag)
    return [obj]


def _attributes(shape: ElementTree.Element, *names: str) -> list[float]:
    if absent := [name for name in names if shape.get(name) is None]:
        raise CalcoError(f"{absent[0]} is missing")
    return [number(shape.get(name)) for name in names]
