"""Label Studio's JSON and JSON-MIN: one file for all images; boxes, ellipses and polygons in percent of the image.

Rotation is in degrees, clockwise about a box's upper left corner. An image that nobody has annotated is left out; one
that somebody submitted without a region has nothing in it. Of several annotations of an image the last one counts.
"""

import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.geometry import ellipse, rotated
from calco.annotations.parsing import MALFORMED, class_name, number, plainly, polygon, read_json, size_wh
from calco.annotations.record import Size
from calco.errors import CalcoError

KEYS: Final = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels")
_OF_THE_IMAGE: Final = ("choices", "rating", "textarea", "labels", "relation")  # types without a place in it
_UPLOADED: Final = re.compile(r"(?i)^[0-9a-f]{4,8}-(?=.)")


def read(path: Path, into: Gathering) -> None:
    """Read a file of tasks."""
    content = read_json(path)
    content = [content] if isinstance(content, dict) else content
    if not isinstance(content, list):
        raise CalcoError(f"{path} is not a list of tasks, as Label Studio writes it; export it again")
    for i, task in enumerate(content):
        where = f"{path}, [{i}]"
        try:
            address, regions = _task(task, where, into)
            sizes = [size_wh(each["original_width"], each["original_height"]) for each in regions or []
                     if each.get("original_width") and each.get("original_height")]  # fmt: skip
        except MALFORMED as error:
            into.note(where, "no image", f"{plainly(error)}; left out")
            continue
        name = _name(address, path, into)
        if regions is None:
            into.note(where, "incomplete", "nobody has annotated it; the image is left out", name)
            continue
        size = next(filter(None, sizes), None)
        image = WrittenImage(path, name, size, shares=size is None)
        entries = ((f", [{i}], region {j}", region) for j, region in enumerate(regions) if not _is_of_image(region))
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
            into.note(where, "unused", f"of its {len(done)} annotations the last one is used", _base(named))
        return named, list(done[-1].get("result") or []) if done else None
    lists = [value for value in task.values() if isinstance(value, list)]
    regions = [region for value in lists for region in value if isinstance(region, dict)]
    return named, regions if regions or "annotation_id" in task or lists else None


def _name(address: str, path: Path, into: Gathering) -> str:
    """Return the image's name in an address: of an upload also without the digits that were put before it."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    name = local[0] if local else unquote(parts.path) or address
    if into.images and not into.images.find(name, path)[0]:
        bare = _UPLOADED.sub("", _base(name))
        return bare if into.images.find(bare, path)[0] else name
    return name


def _base(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _is_of_image(region: Any) -> bool:
    """Return True for a region that speaks of the whole image, or of another region."""
    value = region["value"] if isinstance(region.get("value"), dict) else region
    return region.get("type") in _OF_THE_IMAGE and not any(key in value for key in KEYS)


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
