"""Colours and labels of objects in images: what they are called, written where it can be read."""

import colorsys
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco.imaging import Image

Colour: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom, pixels

# Far from each other, for people with weak red or green as well, and from what photographs are full of.
_FIRST: Final[tuple[Colour, ...]] = (
    (255, 149, 0), (0, 212, 255), (255, 45, 149), (124, 252, 0), (255, 235, 59), (186, 104, 255), (255, 59, 48),
    (0, 230, 170), (120, 144, 255), (255, 180, 190),
)  # fmt: skip
_GOLDEN: Final = 0.61803398875  # turns of the hue from one colour to the next, which keep far from all before
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL: Final = 22.0  # pixels of a capital letter at scale 1
_LEAST_TEXT: Final = 8.0  # pixels of a capital letter, below which nobody reads it
_SMALL_BOX: Final = 20  # times the side of a usual box is the image's for which letters are a third of that side


def numbered_colour(number: int) -> Colour:
    """The colour of the n-th class or track, RGB; the same always, and unlike those before."""
    if 0 <= number < len(_FIRST):
        return _FIRST[number]
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def colour_of(name: str, classes: Sequence[str] = ()) -> Colour:
    """The colour of a class, RGB: by its place among the classes, by its name where it is not among them."""
    place = list(classes).index(name) if name in classes else len(_FIRST) + zlib.crc32(name.encode()) % 10_000
    return numbered_colour(place)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How thick and large objects are drawn, so that they can be seen in an image of any size.

    Attributes:
        line: Pixels of a box's line.
        scale: Of the letters, as OpenCV has it.
        pen: Pixels of a letter's line.
        gap: Pixels around a label's letters.
    """

    line: int
    scale: float
    pen: int
    gap: int

    @classmethod
    def of(cls, image: Image, share: float = 1.0, boxes: npt.NDArray[np.float32] | None = None) -> "Sizes":
        """Those for an image; `share` times the usual ones.

        With boxes (N x 4), where these are small, labels and lines are too, down to two fifths: they would cover what
        they name.
        """
        side = float(np.sqrt(image.shape[0] * image.shape[1])) * share
        if boxes is not None and len(boxes):
            usual = float(np.median(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))) * share
            side = min(side, max(0.4 * side, _SMALL_BOX * usual))
        capital = max(_LEAST_TEXT, side / 60)
        scale = capital / _CAPITAL
        return cls(max(1, round(side / 350)), scale, max(1, round(1.6 * scale)), max(2, round(capital / 3)))


def draw_labels(
    scene: Image,
    boxes: npt.NDArray[np.float32],
    texts: Sequence[str],
    colours: Sequence[Colour],
    sizes: Sizes | None = None,
) -> None:
    """Writes beside boxes, where a label covers the least of the others.

    Args:
        scene: HW3 `uint8`, RGB; it is drawn on.
        boxes: N x 4, left, top, right, bottom, pixels; those that come first have the first choice.
        texts: One a box; an empty one writes nothing.
        colours: Behind each.
        sizes: Of the letters; by default those that fit the image.
    """
    sizes = sizes or Sizes.of(scene)
    height, width = scene.shape[:2]
    taken: list[Rectangle] = []
    for box, text, colour in zip(boxes.tolist(), texts, colours, strict=True):
        if shown := fitting(text, width, sizes):
            place = _free(box, _label_wh(shown, sizes), (width, height), taken)
            taken.append(place)
            draw_label(scene, shown, place[:2], colour, sizes)


def draw_label(scene: Image, text: str, corner: tuple[int, int], colour: Colour, sizes: Sizes | None = None) -> None:
    """Writes on a coloured ground.

    Args:
        scene: HW3 `uint8`, RGB; it is drawn on.
        text: One line.
        corner: Left and top of the ground, pixels.
        colour: Of the ground, RGB; the letters are black or white, whatever is seen better on it.
        sizes: Of the letters; by default those that fit the image.
    """
    sizes = sizes or Sizes.of(scene)
    width, height = _label_wh(text, sizes)
    left, top = corner
    cv2.rectangle(scene, (left, top), (left + width - 1, top + height - 1), colour, -1)
    # Rec. 601's luma; people read black on anything but dark colours.
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
    base = top + sizes.gap + round(_CAPITAL * sizes.scale)
    cv2.putText(scene, _written(text), (left + sizes.gap, base), _FONT, sizes.scale, ink, sizes.pen, cv2.LINE_AA)


def fitting(text: str, width: int, sizes: Sizes) -> str:
    """A text that is at most so many pixels wide as a label: its end is left out where it must be."""
    if _label_wh(text, sizes)[0] <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + ".."
        if _label_wh(shorter, sizes)[0] <= width:
            return shorter
    return ""


def _label_wh(text: str, sizes: Sizes) -> tuple[int, int]:
    """Of the ground: with as much space above capitals as below the lines of g and p."""
    width = cv2.getTextSize(_written(text), _FONT, sizes.scale, sizes.pen)[0][0]
    return int(width) + 2 * sizes.gap, round(_CAPITAL * sizes.scale * 1.3) + 2 * sizes.gap


def _written(text: str) -> str:
    """OpenCV writes all letters from 5.0 on; before, those of ASCII alone, and question marks for others."""
    if text.isascii() or int(cv2.__version__.split(".")[0]) >= 5:
        return text
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _free(box: Sequence[float], size_wh: tuple[int, int], scene_wh: tuple[int, int],
          taken: Sequence[Rectangle]) -> Rectangle:  # fmt: skip
    """The place for a label that covers the least of those before; above the box where nothing speaks against it."""
    left, top, right, bottom = (round(value) for value in box)
    width, height = size_wh
    corners = (
        (left, top - height), (left, top), (left, bottom), (right - width, top - height), (right - width, bottom),
        (right, top), (left - width, top), (left, bottom - height),
    )  # fmt: skip
    best, least = (0, 0, width, height), float("inf")
    for x, y in corners:
        x0 = min(max(x, 0), max(0, scene_wh[0] - width))
        y0 = min(max(y, 0), max(0, scene_wh[1] - height))
        place = (x0, y0, x0 + width, y0 + height)
        # What had to be moved into the image covers its own box, which costs a little.
        cost = sum(_shared(place, other) for other in taken) + 0.1 * (abs(x - x0) * height + abs(y - y0) * width)
        if cost < least:
            best, least = place, cost
        if cost == 0:
            break
    return best


def _shared(one: Rectangle, other: Rectangle) -> int:
    """Square pixels that two rectangles share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, across) * max(0, down)
