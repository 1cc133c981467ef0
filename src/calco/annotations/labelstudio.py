"""Label Studio's JSON and JSON-MIN: one file for all images; boxes, ellipses and polygons in percent of the image.

Rotation is in degrees, clockwise about a box's upper left corner. An image that nobody has annotated is left out; one
that somebody submitted without a region has nothing in it. Of several annotations of an image the last one counts.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from calco.annotations.gathering import Gathering, WrittenObject
from calco.annotations.geometry import ellipse, rotated
from calco.annotations.parsing import MALFORMED, class_name, number, numbers, parse_json, plainly, read_text
from calco.annotations.record import Size
from calco.errors import CalcoError

KEYS: Final = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels")
_UPLOADED: Final = re.compile(r"(?i)^[0-9a-f]{4,8}-(?=.)")


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    content = [content] if isinstance(content, dict) else content
    if not isinstance(content, list):
        raise CalcoError(f"{path} is not a list of tasks, as Label Studio writes it; export it again")
    labels: set[str] = set()
    for i, task in enumerate(content):
        where = f"{path}, [{i}]"
        try:
            address, regions = _task(task, where, into)
        except MALFORMED as error:
            into.note(where, "no image", f"{plainly(error)}; left out")
            continue
        name = _name(address, path, into)
        if regions is None:
            into.note(where, "incomplete", "nobody has annotated it; the image is left out", name)
            continue
        objects, lost, said = [], 0, None
        for j, region in enumerate(regions):
            try:
                said = said or _size(region)
                objects += _objects(region, f", region {j}", said)
            except MALFORMED as error:
                lost += 1
                into.note(f"{where}, region {j}", "damaged", f"{plainly(error)}; left out", name)
        for obj in objects:
            obj.where = f", [{i}]{obj.where}"
        into.add(name, objects, file=path, said=said, shares=said is None, lost=lost)
        labels |= {obj.label for obj in objects}
    return labels


def _task(task: dict[str, Any], where: str, into: Gathering) -> tuple[str, list[Any] | None]:
    """Return the address of a task's image, and its regions; None where nobody has annotated it."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    # The name of the field is the project's own.
    texts = [value for value in data.values() if isinstance(value, str)]
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


def _size(region: dict[str, Any]) -> Size | None:
    """Return width and height of the image, where the region tells them."""
    width, height = region.get("original_width"), region.get("original_height")
    return (int(number(width)), int(number(height))) if width and height else None


def _objects(region: dict[str, Any], where: str, said: Size | None) -> list[WrittenObject]:
    """Return one object for each label of a region."""
    value = region["value"] if isinstance(region.get("value"), dict) else region
    key = next((key for key in KEYS if key in value), None)
    if key is None and region.get("type") in ("choices", "rating", "textarea", "labels", "relation"):
        return []  # it speaks of the whole image, or of another region
    names = [class_name(label) for label in (value[key] if key else value.get("labels") or [])]
    if not names:
        raise CalcoError("it has no label")
    # Percent of a size that is known become pixels, since a rotation needs square ones.
    across, down = (side / 100 for side in said or (1, 1))
    angle = np.radians(number(value.get("rotation") or 0))
    if said is None and angle:
        raise CalcoError("it is rotated, and original_width and original_height are missing")
    if "points" in value:
        corners = numbers(value["points"]).reshape(-1, 2) * (across, down)
        return [WrittenObject(where=where, label=name, polygons=(corners.astype(np.float32),)) for name in names]
    if "radiusX" in value:
        x, y, wide, high = (number(value[part]) for part in ("x", "y", "radiusX", "radiusY"))
        ring = ellipse((x * across, y * down), (wide * across, high * down), angle)
        return [WrittenObject(where=where, label=name, polygons=(ring,)) for name in names]
    if key in ("brushlabels", "keypointlabels"):
        raise CalcoError(f"{key} are not read; export brushes as COCO or PNG masks")
    left, top, width, height = (number(value[part]) for part in ("x", "y", "width", "height"))
    box = left * across, top * down, (left + width) * across, (top + height) * down
    if angle:
        return [WrittenObject(where=where, label=name, polygons=(rotated(box, angle, box[:2]),)) for name in names]
    return [WrittenObject(where=where, label=name, corners=box, order="sized") for name in names]
