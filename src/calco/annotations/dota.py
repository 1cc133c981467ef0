"""DOTA's text: one file an image, four corners in pixels, a class and a difficulty a line.

Xia et al., "DOTA: A Large-Scale Dataset for Object Detection in Aerial Images" (2018). The corners become an outline.
Lines such as `imagesource:GoogleEarth` and `gsd:0.1` may come first.
"""

from pathlib import Path

import numpy as np

from calco.annotations.gathering import Gathering, Thing
from calco.annotations.parsing import class_name, flag, number, read_text
from calco.errors import CalcoError


def is_head(words: list[str]) -> bool:
    """Whether a line speaks of the whole image."""
    return words[0].lower().startswith(("imagesource:", "gsd:"))


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    objects, lost = [], 0
    for i, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or is_head(words):
            continue
        try:
            if len(words) not in (9, 10):
                raise CalcoError(f"{line.strip()[:60]!r} is not x1 y1 x2 y2 x3 y3 x4 y4 class difficult")
            corners = np.array([number(word) for word in words[:8]], np.float32).reshape(4, 2)
            ignored = len(words) == 10 and flag(words[9])
            thing = Thing(where=f", line {i}", label=class_name(words[8]), polygons=(corners,), ignored=ignored)
        except CalcoError as error:
            lost += 1
            into.note(f"{path}, line {i}", "damaged", f"{error}; left out", path.stem)
        else:
            objects.append(thing)
    into.add(path.stem, objects, file=path, lost=lost)
    return {thing.label for thing in objects}
