"""CreateML's JSON, as Create ML and Roboflow write it: one file for all images, boxes by their centre in pixels."""

from pathlib import Path
from typing import Any

from calco.annotations.gathering import Gathering, Thing
from calco.annotations.parsing import MALFORMED, class_name, number, parse_json, plainly, read_text
from calco.errors import CalcoError


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, list):
        raise CalcoError(f"{path} is not a list of images, as CreateML needs one; export it again")
    labels: set[str] = set()
    for i, entry in enumerate(content):
        objects, lost = [], 0
        try:
            name = str(entry["image"] if "image" in entry else entry["imagefilename"])
            listed = list(entry["annotations"] if "annotations" in entry else entry["annotation"])
        except MALFORMED as error:
            into.note(f"{path}, [{i}]", "no image", f"{plainly(error)}; left out")
            continue
        for j, each in enumerate(listed):
            where = f", [{i}].annotations[{j}]"
            try:
                objects.append(_thing(each, where))
            except MALFORMED as error:
                lost += 1
                into.note(f"{path}{where}", "damaged", f"{plainly(error)}; left out", name)
        into.add(name, objects, file=path, lost=lost)
        labels |= {thing.label for thing in objects}
    return labels


def _thing(entry: dict[str, Any], where: str) -> Thing:
    x, y, width, height = (number(entry["coordinates"][part]) for part in ("x", "y", "width", "height"))
    return Thing(
        where=where,
        label=class_name(entry["label"]),
        corners=(x - width / 2, y - height / 2, x + width / 2, y + height / 2),
        order="centred",
    )
