"""Formats of one text an image, one object a line: DOTA, KITTI, and counts with corners.

DOTA: Xia et al., "DOTA: A Large-Scale Dataset for Object Detection in Aerial Images" (2018). Four corners in pixels, a
class and a difficulty; the corners become an outline. Lines such as `imagesource:GoogleEarth` and `gsd:0.1` may come
first.

KITTI: Geiger et al., "Are we ready for autonomous driving?" (2012). Type, truncated, occluded, alpha, left, top, right,
bottom in pixels, then the three-dimensional box, which is not read, and in results a score. Regions of the type
`DontCare` are not used.

Corners, as BBox-Label-Tool writes them: a count, then `xmin ymin xmax ymax` in pixels a line. A fifth word is the
class; without it a box is of the first class that is known, or an "object".
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np

from calco.annotations.gathering import UNNAMED, Gathering, WrittenObject
from calco.annotations.parsing import class_name, flag, number, read_text
from calco.errors import CalcoError

NUM_KITTI_WORDS: Final = (15, 16)


def is_dota_head(words: list[str]) -> bool:
    """Return whether a line describes the whole image."""
    return words[0].lower().startswith(("imagesource:", "gsd:"))


def read_dota(path: Path, into: Gathering) -> set[str]:
    """Read a text of DOTA, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """

    def parse(words: list[str], where: str) -> list[WrittenObject]:
        if len(words) not in (9, 10):
            raise CalcoError(f"{' '.join(words)[:60]!r} is not x1 y1 x2 y2 x3 y3 x4 y4 class difficult")
        corners = np.array([number(word) for word in words[:8]], np.float32).reshape(4, 2)
        ignored = len(words) == 10 and flag(words[9])
        return [WrittenObject(where=where, label=class_name(words[8]), polygons=(corners,), ignored=ignored)]

    lines = [(i, words) for i, words in _lines(path) if not is_dota_head(words)]
    return _read_lines(path, into, lines, parse)


def read_kitti(path: Path, into: Gathering) -> set[str]:
    """Read a text of KITTI, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """

    def parse(words: list[str], where: str) -> list[WrittenObject]:
        if len(words) not in NUM_KITTI_WORDS:
            raise CalcoError(f"it has {len(words)} words; KITTI's lines have 15, or 16")
        left, top, right, bottom = (number(word) for word in words[4:8])
        score = number(words[15]) if len(words) == 16 else None
        label = class_name(words[0])
        return [WrittenObject(where=where, label=label, corners=(left, top, right, bottom), score=score)]

    lines = _lines(path)
    cared = [(i, words) for i, words in lines if words[0].casefold() != "dontcare"]
    if passed := len(lines) - len(cared):
        into.note(str(path), "unused", f"its {passed} regions of the type DontCare are not used", path.stem)
    # What lies in such a region is unknown, so that an image with nothing else is not one in which nothing is.
    return _read_lines(path, into, cared, parse, lost=passed)


def read_corners(path: Path, into: Gathering) -> set[str]:
    """Read a text of a count and corners, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """

    def parse(words: list[str], where: str) -> list[WrittenObject]:
        try:
            left, top, right, bottom = (number(word) for word in words[:4])
        except (CalcoError, ValueError) as error:
            raise CalcoError(f"{' '.join(words)[:60]!r} is not a box (xmin ymin xmax ymax)") from error
        name = class_name(" ".join(words[4:]) or (into.classes or (UNNAMED,))[0])
        return [WrittenObject(where=where, label=name, corners=(left, top, right, bottom))]

    lines = _lines(path)
    if not lines or len(lines[0][1]) != 1 or not lines[0][1][0].isdecimal():
        raise CalcoError(f"{path}, line 1: it does not begin with the count of boxes; write how many there are")
    count = lines[0][1][0]
    if int(number(count)) != len(lines) - 1:
        reason = f"it counts {count} boxes and has {len(lines) - 1} lines of them; the lines are taken"
        into.note(f"{path}, line 1", "damaged", reason, path.stem)
    return _read_lines(path, into, lines[1:], parse)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the numbers, from 1, and the words of the lines that are not empty."""
    return [(i, line.split()) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]


def _read_lines(
    path: Path, into: Gathering, lines: Iterable[tuple[int, list[str]]],
    parse: Callable[[list[str], str], list[WrittenObject]], lost: int = 0,
) -> set[str]:  # fmt: skip
    return into.add_parsed(path, path.stem, ((f", line {i}", words) for i, words in lines), parse, lost=lost)
