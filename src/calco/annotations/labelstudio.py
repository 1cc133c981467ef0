"""Label Studio's JSON and JSON-MIN: one file for all images; boxes, ellipses and polygons in percent of the image.

Rotation is in degrees, clockwise about a box's upper left corner. An image without annotations is left out; an
annotation without a region means that it is empty. Of several annotations of an image the last one counts.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.geometry import ellipse, rotated
from calco.annotations.parsing import MALFORMED, class_name, list_of, number, plainly, polygon, read_json, size_wh
from calco.annotations.record import Size
from calco.errors import CalcoError

KEYS: Final = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels")
# Types of regions that label the whole image, or another region.
_OF_THE_IMAGE: Final = ("choices", "rating", "textarea", "labels", "relation")


def read(path: Path, into: Gathering) -> None:
    """Read a file of tasks."""
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
        into.parse(image, entries, partial(_objects, size=size))
        into.add(image)


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


def _objects(region: dict[str, Any], where: str, size: Size | None) -> list[WrittenObject]:
    """Return one object for each label of a region."""
    value = region["value"] if isinstance(region.get("value"), dict) else region
    key = next((key for key in KEYS if key in value), "labels")
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
    return [WrittenObject(where=where, label=name, **shape) for name in names]
