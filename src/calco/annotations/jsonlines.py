"""JSON lines as Dataturks wrote them: one object an image, with its address.

Corners are shares of width and height. Two points are the corners of a box, more are a polygon; `annotation: null` says
that nothing is in the image.
"""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from calco.annotations.gathering import Gathering, Thing
from calco.annotations.parsing import MALFORMED, class_name, number, parse_json, plainly, read_text
from calco.annotations.record import Size
from calco.errors import CalcoError


def read(path: Path, into: Gathering) -> set[str]:
    """Reads a file, and returns the classes that occur.

    Images go by the names in their addresses when most of these are known, else by the numbers of their lines.

    Raises:
        CalcoError: When it cannot be read as a whole.
    """
    found: list[tuple[int, str, list[Thing], Size | None, int]] = []
    for i, line in enumerate(read_text(path).split("\n")):
        if line.strip():
            try:
                found.append((i, *_record(line, i, path, into)))
            except MALFORMED as error:
                place = f"{path}, line {i + 1}"
                into.note(place, "unreadable", f"{plainly(error).removeprefix(f'{place}, line 1, ')}; left out")
    names = {i: _name(address) for i, address, *_ in found}
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
    return {thing.label for entry in found for thing in entry[2]}


def _name(address: str) -> str:
    """The file's name in an address."""
    return PurePosixPath(unquote(urlsplit(address).path)).name or address


def _record(line: str, i: int, path: Path, into: Gathering) -> tuple[str, list[Thing], Size | None, int]:
    content = parse_json(line, f"{path}, line {i + 1}")
    address = str(content["content"])
    objects, said, lost = [], None, 0
    for j, entry in enumerate(content["annotation"] or []):
        try:
            objects += _objects(entry, f", annotation[{j}]")
            if entry.get("imageWidth") and entry.get("imageHeight"):
                said = int(number(entry["imageWidth"])), int(number(entry["imageHeight"]))
        except MALFORMED as error:
            lost += 1
            where = f"{path}, line {i + 1}, annotation[{j}]"
            into.note(where, "damaged", f"{plainly(error)}; left out", _name(address))
    return address, objects, said, lost


def _objects(entry: dict[str, Any], where: str) -> list[Thing]:
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
        return [Thing(where=where, label=label, corners=corners) for label in labels]
    return [Thing(where=where, label=label, polygons=(points.astype(np.float32),)) for label in labels]
