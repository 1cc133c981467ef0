"""Formats of one text an image, one object a line: DOTA, KITTI, and counts with corners.

DOTA: Xia et al., "DOTA: A Large-Scale Dataset for Object Detection in Aerial Images" (2018). Four corners, a class and
a difficulty, after lines such as `imagesource:GoogleEarth` and `gsd:0.1`.

KITTI: Geiger et al., "Are we ready for autonomous driving?" (2012). Type, truncated, occluded, alpha, left, top, right,
bottom, then the three-dimensional box, which is not read, and in results a score.

Corners, as BBox-Label-Tool writes them: a count, then `xmin ymin xmax ymax` a line, with the class as a fifth word.
"""

from functools import partial
from pathlib import Path
from typing import Final

from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.parsing import class_name, flag, number, polygon
from calco.errors import CalcoError
from calco.files import read_text

NUM_KITTI_WORDS: Final = (15, 16)


def is_dota_head(words: list[str]) -> bool:
    """Return True for a line that describes the whole image."""
    return words[0].lower().startswith(("imagesource:", "gsd:"))


def words_of_lines(path: Path) -> list[tuple[str, list[str]]]:
    """Return the places, from ", line 1", and the words of the lines that are not empty."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(f", line {i}", line.split()) for i, line in lines if line.strip()]


def read_dota(path: Path, into: Gathering) -> None:
    """Read a text of DOTA."""
    lines = [(where, words) for where, words in words_of_lines(path) if not is_dota_head(words)]
    into.add(WrittenImage(path, path.stem), lines, _of_dota)


def _of_dota(words: list[str]) -> list[WrittenObject]:
    if len(words) not in (9, 10):
        raise CalcoError(f"{' '.join(words)[:60]!r} is not x1 y1 x2 y2 x3 y3 x4 y4 class difficult")
    corners = polygon([number(word) for word in words[:8]])
    ignored = len(words) == 10 and flag(words[9])
    return [WrittenObject(label=class_name(words[8]), polygons=(corners,), ignored=ignored)]


def read_kitti(path: Path, into: Gathering) -> None:
    """Read a text of KITTI."""
    image, lines = WrittenImage(path, path.stem), words_of_lines(path)
    cared = [(where, words) for where, words in lines if words[0].casefold() != "dontcare"]
    # What lies in a region of no care is unknown, so that an image with nothing else is not empty.
    image.lost = len(lines) - len(cared)
    if image.lost:
        into.note(str(path), "unused", f"its {image.lost} regions of the type DontCare are not used", path.stem)
    into.add(image, cared, _of_kitti)


def _of_kitti(words: list[str]) -> list[WrittenObject]:
    if len(words) not in NUM_KITTI_WORDS:
        raise CalcoError(f"it has {len(words)} words; KITTI's lines have 15, or 16")
    left, top, right, bottom = map(number, words[4:8])
    score = number(words[15]) if len(words) == 16 else None
    return [WrittenObject(label=class_name(words[0]), box=(left, top, right, bottom), score=score)]


def read_corners(path: Path, into: Gathering) -> None:
    """Read a text of a count and corners."""
    lines = words_of_lines(path)
    if not lines or len(lines[0][1]) != 1 or not lines[0][1][0].isdecimal():
        raise CalcoError(f"{path}, line 1: it does not begin with the count of boxes; write how many there are")
    count = lines[0][1][0]
    if int(number(count)) != len(lines) - 1:
        reason = f"it counts {count} boxes and has {len(lines) - 1} lines of them; the lines are taken"
        into.note(f"{path}, line 1", "damaged", reason, path.stem)
    into.add(WrittenImage(path, path.stem), lines[1:], partial(_of_corners, unnamed=into.unnamed()))


def _of_corners(words: list[str], unnamed: str) -> list[WrittenObject]:
    try:
        left, top, right, bottom = map(number, words[:4])
    except (CalcoError, ValueError) as error:
        raise CalcoError(f"{' '.join(words)[:60]!r} is not a box (xmin ymin xmax ymax)") from error
    label = class_name(" ".join(words[4:]) or unnamed)
    return [WrittenObject(label=label, box=(left, top, right, bottom))]
