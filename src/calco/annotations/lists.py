"""Formats of one file for all images, each with a list of its objects.

BDD100K: Yu et al., "BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask Learning" (2020), boxes (`box2d`).

CreateML, as Create ML and Roboflow write it.

CVAT's XML for images: boxes, ellipses and masks too. Boxes that are rotated (in degrees, clockwise about their centre)
become outlines.

Label Studio, JSON and JSON-MIN: boxes, ellipses and polygons in percent of the image. Rotation is in degrees, clockwise
about a box's upper left corner. An image without annotations is left out; an annotation without a region means that it
is empty. Of several annotations of an image the last one counts.

VIA, versions 1 and 2, JSON and CSV: Dutta and Zisserman, "The VIA Annotation Software for Images, Audio and Video"
(2019). The class is the region's attribute that is named after it, or its only one.

JSON lines, as Dataturks wrote them: one object an image, with its address, in shares of width and height. Two points
are the corners of a box, more are a polygon; `annotation: null` means that the image is empty.
"""

import csv
import io
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np

from calco.annotations.gathering import Gathering, Parse, WrittenImage, WrittenObject
from calco.annotations.geometry import Runs, ellipse, rotated
from calco.annotations.parsing import (
    MALFORMED,
    class_name,
    flag,
    list_of,
    number,
    numbers,
    parse_json,
    plainly,
    polygon,
    read_json,
    read_xml,
    size_wh,
    unread_shape,
)
from calco.annotations.record import Size
from calco.errors import CalcoError
from calco.files import read_text

_CLASS: Final = ("class", "label", "category", "name", "type", "object", "object_name")
LABELSTUDIO_KEYS: Final = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels")
# Types of regions that label the whole image, or another region.
_OF_THE_IMAGE: Final = ("choices", "rating", "textarea", "labels", "relation")


def read_bdd(path: Path, into: Gathering) -> None:
    """Read a BDD100K file."""
    content = read_json(path)
    content = list_of(content, "frames", path) if isinstance(content, dict) else content
    num_open = 0

    def objects_of(entry: Any) -> tuple[str, list[Any]]:
        return str(entry["name"]), list(entry.get("labels") or [])

    def parse(entry: Any) -> list[WrittenObject]:
        nonlocal num_open
        if "box2d" not in entry and "poly2d" in entry:
            num_open += 1
            return []
        left, top, right, bottom = (number(entry["box2d"][side]) for side in ("x1", "y1", "x2", "y2"))
        crowd = flag((entry.get("attributes") or {}).get("crowd"))
        label = class_name(entry["category"])
        return [WrittenObject(label=label, box=(left, top, right, bottom), ignored=crowd)]

    _read_images(path, into, content, objects_of, parse)
    if num_open:
        into.note(str(path), "unused", f"{num_open:,} lanes and areas (poly2d) are not used")


def read_createml(path: Path, into: Gathering) -> None:
    """Read a CreateML file."""

    def objects_of(entry: Any) -> tuple[str, list[Any]]:
        name = str(entry["image"] if "image" in entry else entry["imagefilename"])
        return name, list(entry["annotations"] if "annotations" in entry else entry["annotation"])

    def parse(entry: Any) -> list[WrittenObject]:
        x, y, width, height = (number(entry["coordinates"][part]) for part in ("x", "y", "width", "height"))
        return [WrittenObject(label=class_name(entry["label"]), box=(x, y, width, height), order="centred")]

    _read_images(path, into, read_json(path), objects_of, parse)


def _read_images(
    path: Path, into: Gathering, content: Any, objects_of: Callable[[Any], tuple[str, list[Any]]], parse: Parse
) -> None:  # fmt: skip
    """Read a JSON list of images, of each of which `objects_of` gives the name and the entries of its objects."""
    for i, entry in enumerate(list_of(content, "", path)):
        try:
            name, listed = objects_of(entry)
        except MALFORMED as error:
            into.note(f"{path}, [{i}]", "no image", f"{plainly(error)}; left out")
            continue
        into.add(WrittenImage(path, name), ((f", [{i}], object {j}", each) for j, each in enumerate(listed)), parse)


def read_labelstudio(path: Path, into: Gathering) -> None:
    """Read a file of Label Studio's tasks."""
    content = read_json(path)
    for i, task in enumerate([content] if isinstance(content, dict) else list_of(content, "", path)):
        where = f"{path}, [{i}]"
        try:
            address, regions = _task(task, where, into)
            sizes = [size_wh(each["original_width"], each["original_height"]) for each in regions or []
                     if each.get("original_width") and each.get("original_height")]  # fmt: skip
        except MALFORMED as error:
            into.note(where, "no image", f"{plainly(error)}; left out")
            continue
        parts = urlsplit(address)
        name = (parse_qs(parts.query).get("d") or [unquote(parts.path) or address])[0]
        if regions is None:
            into.note(where, "incomplete", "nobody has annotated it; the image is left out", name)
            continue
        size = next(filter(None, sizes), None)
        image = WrittenImage(path, name, size, shares=size is None)
        places = ((f", [{i}], region {j}", region) for j, region in enumerate(regions))
        entries = (each for each in places if each[1].get("type") not in _OF_THE_IMAGE)
        into.add(image, entries, partial(_of_region, size=size))


def _task(task: dict[str, Any], where: str, into: Gathering) -> tuple[str, list[Any] | None]:
    """Return the address of a task's image, and its regions; None where nobody has annotated it."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    # The name of the field is the project's own.
    texts = (value for value in data.values() if isinstance(value, str))
    named = data.get("image") or next(
        (text for text in texts if re.search(r"(?i)\.(jpe?g|png|webp|tiff?|bmp)", text)), ""
    )
    if not named or not isinstance(named, str):
        raise CalcoError("it names no image")
    if data is not task:  # JSON
        done = task.get("annotations", task.get("completions")) or []
        done = [each for each in done if isinstance(each, dict) and not each.get("was_cancelled")]
        if len(done) > 1:
            into.note(where, "unused", f"of its {len(done)} annotations the last one is used", named)
        return named, list(done[-1].get("result") or []) if done else None
    lists = [value for value in task.values() if isinstance(value, list)]
    regions = [region for value in lists for region in value if isinstance(region, dict)]
    return named, regions if regions or "annotation_id" in task or lists else None


def _of_region(region: dict[str, Any], size: Size | None) -> list[WrittenObject]:
    """Return one object for each label of a region."""
    value = region["value"] if isinstance(region.get("value"), dict) else region
    key = next((key for key in LABELSTUDIO_KEYS if key in value), "labels")
    names = [class_name(label) for label in value.get(key) or []]
    if not names:
        raise CalcoError("it has no label")
    # Percent of a size that is known become pixels, since a rotation needs square ones.
    across, down = (side / 100 for side in size or (1, 1))
    angle = np.radians(number(value.get("rotation") or 0))
    if size is None and angle:
        raise CalcoError("it is rotated, and original_width and original_height are missing")
    shape: dict[str, Any]
    if "points" in value:
        shape = {"polygons": (polygon(value["points"]) * np.array([across, down], np.float32),)}
    elif "radiusX" in value:
        x, y, wide, high = (number(value[part]) for part in ("x", "y", "radiusX", "radiusY"))
        shape = {"polygons": (ellipse((x * across, y * down), (wide * across, high * down), angle),)}
    elif key in ("brushlabels", "keypointlabels"):
        raise CalcoError(f"{key} are not read; export brushes as COCO or PNG masks")
    else:
        x, y, width, height = (number(value[part]) for part in ("x", "y", "width", "height"))
        box = x * across, y * down, width * across, height * down
        corners = box[0], box[1], (x + width) * across, (y + height) * down
        shape = {"polygons": (rotated(corners, angle, box[:2]),)} if angle else {"box": box, "order": "sized"}
    return [WrittenObject(label=name, **shape) for name in names]


def read_via(path: Path, into: Gathering) -> None:
    """Read a file of VIA, JSON or CSV."""
    text = read_text(path)
    images = _via_rows(text, path) if path.suffix.lower() == ".csv" else _via_entries(text, path)
    for name, regions in images.items():
        entries = ((f", {name}, regions[{i}]", region) for i, region in enumerate(regions))
        into.add(WrittenImage(path, name), entries, partial(_via_region, unnamed=into.unnamed()))


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
                regions.append({name: json.loads(row.get(name) or "{}")
                                for name in ("region_shape_attributes", "region_attributes")})  # fmt: skip
    except (csv.Error, ValueError, RecursionError) as error:
        raise CalcoError(f"{path}, line {reader.line_num}: {error}; export it again") from error
    return found


def _via_region(region: Any, unnamed: str) -> list[WrittenObject]:
    shape = region["region_shape_attributes" if "region_shape_attributes" in region else "shape_attributes"]
    kind = shape.get("name")
    obj = WrittenObject(label=_via_label(region.get("region_attributes") or {}, unnamed))
    if kind == "rect":
        left, top, width, height = (number(shape[part]) for part in ("x", "y", "width", "height"))
        obj.box, obj.order = (left, top, width, height), "sized"
    elif kind == "polygon":
        obj.polygons = (polygon(list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))),)
    elif kind in ("circle", "ellipse"):
        radii = ("r", "r") if kind == "circle" else ("rx", "ry")
        x, y, across, down = (number(shape[part]) for part in ("cx", "cy", *radii))
        obj.polygons = (ellipse((x, y), (across, down), number(shape.get("theta") or 0)),)
    else:
        raise unread_shape(kind)
    return [obj]


def _via_label(attributes: dict[str, Any], unnamed: str) -> str:
    """Return the class among a region's attributes."""
    if not attributes:
        return unnamed
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


def read_jsonlines(path: Path, into: Gathering) -> None:
    """Read JSON lines; images go by the names in their addresses if most of these are known, else by line number."""
    images: list[WrittenImage] = []
    for i, line in enumerate(read_text(path).split("\n")):
        if not line.strip():
            continue
        place = f"{path}, line {i + 1}"
        try:
            content = parse_json(line, place)
            address, entries = str(content["content"]), list(enumerate(content["annotation"] or []))
        except MALFORMED as error:
            into.note(place, "unreadable", f"{plainly(error).removeprefix(f'{place}, line 1, ')}; left out")
            continue
        name = PurePosixPath(unquote(urlsplit(address).path)).name or address
        image = WrittenImage(path, name, shares=True, number=i, address=address)
        into.parse(image, ((f", annotation[{j}]", entry) for j, entry in entries), partial(_shapes, image=image))
        images.append(image)
    known = sum(into.images is not None and into.images.find(image.name, path)[0] is not None for image in images)
    for image in images:
        image.by_number = 2 * known < len(images)
        into.add(image)


def _shapes(entry: dict[str, Any], image: WrittenImage) -> list[WrittenObject]:
    """Return one object for each label of an entry, which may also give the size of the image."""
    labels = [class_name(label) for label in ([entry["label"]] if isinstance(entry["label"], str) else entry["label"])]
    points = np.array([[number(point["x"]), number(point["y"])] for point in entry["points"]])
    if not labels or len(points) < 2:
        raise CalcoError("it needs a label and two points")
    if entry.get("imageWidth") and entry.get("imageHeight"):
        image.size_wh = int(number(entry["imageWidth"])), int(number(entry["imageHeight"]))
    shape: dict[str, Any] = {"polygons": (points.astype(np.float32),)}
    # Four points whose x and y are two numbers each are a rectangle.
    if len(points) == 2:
        shape = {"box": tuple(points.ravel().tolist())}
    elif len(points) == 4 and all(len(set(axis)) == 2 for axis in points.T.tolist()):
        shape = {"box": (*points.min(0).tolist(), *points.max(0).tolist())}
    return [WrittenObject(label=label, **shape) for label in labels]


def read_cvat(path: Path, into: Gathering) -> None:
    """Read a file of CVAT."""
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
        into.add(image, entries, partial(_cvat_object, image=image, into=into))


def _cvat_object(shape: ElementTree.Element, image: WrittenImage, into: Gathering) -> list[WrittenObject]:
    obj = WrittenObject(label=class_name(shape.get("label") or ""))
    angle = np.radians(number(shape.get("rotation") or 0))
    if shape.tag == "box":
        left, top, right, bottom = _cvat_numbers(shape, "xtl", "ytl", "xbr", "ybr")
        obj.box = left, top, right, bottom
        if angle:
            obj.polygons = (rotated(obj.box, angle, ((left + right) / 2, (top + bottom) / 2)),)
            obj.box = None
    elif shape.tag == "polygon":
        pairs = (pair.split(",") for pair in (shape.get("points") or "").split(";") if pair)
        obj.polygons = (polygon([[number(x), number(y)] for x, y in pairs]),)
    elif shape.tag == "ellipse":
        x, y, across, down = _cvat_numbers(shape, "cx", "cy", "rx", "ry")
        obj.polygons = (ellipse((x, y), (across, down), angle),)
    elif shape.tag == "mask":
        # Its runs go through the rows of its box, and begin with the background.
        left, top, width, height = map(int, _cvat_numbers(shape, "left", "top", "width", "height"))
        into.check_mask(image, left, top, width, height)
        counts = numbers([number(part) for part in (shape.get("rle") or "").split(",")]).astype(np.int64)
        if (counts < 0).any() or counts.sum() != width * height:
            raise CalcoError(f"its run lengths do not cover its box of {width}x{height}")
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
        obj.runs = Runs.of_part(inside, left, top, image.size_wh or (0, 0))
    else:
        raise unread_shape(shape.tag)
    return [obj]


def _cvat_numbers(shape: ElementTree.Element, *names: str) -> list[float]:
    if absent := [name for name in names if shape.get(name) is None]:
        raise CalcoError(f"{absent[0]} is missing")
    return [number(shape.get(name)) for name in names]
