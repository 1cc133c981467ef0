"""Images with boxes in a page: the boxes are lines of the page, sharp at any size, told apart by more than colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from markupsafe import Markup

from calco.imaging import Image
from calco.report.page import fitted, img_tag

Look: TypeAlias = Literal["object", "missed", "right", "wrong", "passed", "double"]

SIDE = 480
"""Pixels of the longer side of an image in a page."""
_SHOWN: Final = 320  # pixels that an image is wide in a card, about
_LETTER, _LINE = 6.5, 16.0  # pixels of a label's letters and of its line, about
CROWDED = 7
"""Boxes from which on labels are shown only on hover, or in the enlarged image."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to be drawn.

    Attributes:
        box: Left, top, right, bottom in pixels of the image.
        label: Text beside it.
        look: "object" (ground truth), "missed", "right", "wrong", "passed" (neither), or "double".
    """

    box: Sequence[float]
    label: str
    look: Look


def boxed(image: Image, marks: Sequence[Mark], alt: str) -> Markup:
    """An image with its boxes over it."""
    height, width = image.shape[:2]
    places = _places(marks, width, height)
    drawn = Markup("").join(_drawn(mark, place, width, height) for mark, place in zip(marks, places, strict=True))
    crowded = " crowded" if len(marks) >= CROWDED else ""
    return Markup('<div class="boxed{}">{}{}</div>').format(crowded, img_tag(fitted(image, SIDE), alt), drawn)


def _places(marks: Sequence[Mark], width: int, height: int) -> list[str]:
    """The corner of its box at which each label covers the least of the others; the last mark, on top, goes first."""
    scale = _SHOWN / width
    taken: list[tuple[float, float, float, float]] = []
    chosen = []
    for mark in reversed(marks):
        left, top, right, bottom = (float(value) * scale for value in mark.box)
        wide = _LETTER * len(mark.label) + 8
        rows = [("", top - _LINE), (" below", bottom), (" within", top)]
        if mark.look in ("object", "missed"):
            rows.insert(0, rows.pop(1))
        best, least = "", float("inf")
        for place, x, y in ((row + side, x, y) for row, y in rows for side, x in (("", left), (" east", right - wide))):
            label = (x, y, x + wide, y + _LINE)
            visible = _shared(label, (0, 0, _SHOWN, height * scale))
            cost = wide * _LINE - visible + sum(_shared(label, other) for other in taken)
            if cost < least - 1:  # of places that are as good, the first
                best, least, where = place, cost, label
        taken.append(where)
        chosen.append(best)
    return chosen[::-1]


def _shared(one: Sequence[float], other: Sequence[float]) -> float:
    """The area that two rectangles share."""
    across, down = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, down)


def _drawn(mark: Mark, place: str, width: int, height: int) -> Markup:
    left, top, right, bottom = (float(value) for value in mark.box)
    tag = (
        '<i class="mark {0}{1}" title="{2}" style="left:{3:.2f}%;top:{4:.2f}%;width:{5:.2f}%;height:{6:.2f}%">'
        "<b>{2}</b></i>"
    )
    shares = (100 * left / width, 100 * top / height, 100 * (right - left) / width, 100 * (bottom - top) / height)
    return Markup(tag).format(mark.look, place, mark.label, *shares)
