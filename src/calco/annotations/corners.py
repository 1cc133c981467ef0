"""A count, then `xmin ymin xmax ymax` a line, in pixels: one text an image, as BBox-Label-Tool writes it.

A fifth word is the class; without it a box is of the first class that is known, or an "object".
"""

from pathlib import Path
from typing import Final

from calco.annotations.gathering import Gathering, Thing
from calco.annotations.parsing import class_name, number, read_text
from calco.errors import CalcoError

UNNAMED: Final = "object"  # the class of boxes of which nobody told it


def read(path: Path, into: Gathering) -> set[str]:
    """Reads a file, and returns the classes that occur.

    Raises:
        CalcoError: When it cannot be read as a whole.
    """
    lines = [(i, line.split()) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    if not lines or len(lines[0][1]) != 1 or not lines[0][1][0].isdecimal():
        raise CalcoError(f"{path}, line 1: it does not begin with the count of boxes; write how many there are")
    objects, lost = [], 0
    for i, words in lines[1:]:
        try:
            left, top, right, bottom = (number(word) for word in words[:4])
        except (CalcoError, ValueError):
            lost += 1
            reason = f"{' '.join(words)[:60]!r} is no box (xmin ymin xmax ymax); left out"
            into.note(f"{path}, line {i}", "damaged", reason, path.stem)
        else:
            name = class_name(" ".join(words[4:]) or (into.classes or (UNNAMED,))[0])
            objects.append(Thing(where=f", line {i}", label=name, corners=(left, top, right, bottom)))
    if int(number(lines[0][1][0])) != len(lines) - 1:
        reason = f"it counts {lines[0][1][0]} boxes and has {len(lines) - 1} lines of them; the lines are taken"
        into.note(f"{path}, line 1", "damaged", reason, path.stem)
    into.add(path.stem, objects, file=path, lost=lost)
    return {thing.label for thing in objects}
