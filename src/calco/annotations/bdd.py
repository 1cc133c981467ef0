"""BDD100K's JSON: one file for all images, boxes as `box2d` in pixels.

Yu et al., "BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask Learning" (2020). Lanes and areas (`poly2d`)
are not used.
"""

from pathlib import Path
from typing import Any

from calco.annotations.gathering import Gathering, Thing
from calco.annotations.parsing import MALFORMED, class_name, flag, number, parse_json, plainly, read_text
from calco.errors import CalcoError


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    content = parse_json(read_text(path), str(path))
    content = content.get("frames") if isinstance(content, dict) else content
    if not isinstance(content, list):
        raise CalcoError(f"{path} is not a list of images, as BDD100K writes it; export it again")
    labels: set[str] = set()
    unused = 0
    for i, entry in enumerate(content):
        objects, lost = [], 0
        try:
            name, listed = str(entry["name"]), list(entry.get("labels") or [])
        except MALFORMED as error:
            into.note(f"{path}, [{i}]", "no image", f"{plainly(error)}; left out")
            continue
        for j, each in enumerate(listed):
            where = f", [{i}].labels[{j}]"
            try:
                if "box2d" not in each and "poly2d" in each:
                    lost, unused = lost + 1, unused + 1
                    continue
                objects.append(_thing(each, where))
            except MALFORMED as error:
                lost += 1
                into.note(f"{path}{where}", "damaged", f"{plainly(error)}; left out", name)
        into.add(name, objects, file=path, lost=lost)
        labels |= {thing.label for thing in objects}
    if unused:
        into.note(str(path), "unused", f"{unused:,} lanes and areas (poly2d) are not used")
    return labels


def _thing(entry: dict[str, Any], where: str) -> Thing:
    left, top, right, bottom = (number(entry["box2d"][side]) for side in ("x1", "y1", "x2", "y2"))
    crowd = (entry.get("attributes") or {}).get("crowd")
    return Thing(
        where=where, label=class_name(entry["category"]), corners=(left, top, right, bottom), ignored=flag(crowd)
    )
