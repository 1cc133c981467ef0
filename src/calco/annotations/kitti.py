"""KITTI's text: one file an image, one object a line; its two-dimensional box in pixels is read.

Geiger et al., "Are we ready for autonomous driving?" (2012): type, truncated, occluded, alpha, left, top, right,
bottom, then the three-dimensional box, and in results a score. Regions of the type `DontCare` are not used.
"""

from pathlib import Path
from typing import Final

from calco.annotations.gathering import Gathering, Thing
from calco.annotations.parsing import class_name, number, read_text
from calco.errors import CalcoError

NUM_WORDS: Final = (15, 16)
_PASSED: Final = "dontcare"


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    objects, lost, passed = [], 0, 0
    for i, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if words[0].casefold() == _PASSED:
            passed += 1
            continue
        try:
            if len(words) not in NUM_WORDS:
                raise CalcoError(f"it has {len(words)} words; KITTI's lines have {NUM_WORDS[0]}, or {NUM_WORDS[1]}")
            left, top, right, bottom = (number(word) for word in words[4:8])
            score = number(words[15]) if len(words) == NUM_WORDS[1] else None
            label = class_name(words[0])
        except CalcoError as error:
            lost += 1
            into.note(f"{path}, line {i}", "damaged", f"{error}; left out", path.stem)
        else:
            objects.append(Thing(where=f", line {i}", label=label, corners=(left, top, right, bottom), score=score))
    if passed:
        into.note(str(path), "unused", f"its {passed} regions of the type DontCare are not used", path.stem)
    # What lies in such a region is unknown, so that an image with nothing else is not one in which nothing is.
    into.add(path.stem, objects, file=path, lost=lost + passed)
    return {thing.label for thing in objects}
