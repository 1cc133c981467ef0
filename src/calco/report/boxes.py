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
    """A box to be drawn: its corners in pixels of the image (left, top, right, bottom), its label and its look.

    Looks are "object" (ground truth), "missed", "right", "wrong", "passed" (neither), and "double".
    """

    box: Sequence[float]
    label: str
    look: Look


def boxed(image: Image, marks: Sequence[Mark], alt: str) -> Markup:
    """Return an image with its boxes over it."""
    height, width = image.shape[:2]
    drawn = Markup("").join(_mark(mark, width, height) for mark in marks)
    crowded = " crowded" if len(marks) >= CROWDED else ""
    return Markup('<div class="boxed{}">{}{}</div>').format(crowded, img_tag(fitted(image, SIDE), alt), drawn)


def _mark(mark: Mark, width: int, height: int) -> Markup:
    left, top, right, bottom = (float(value) for value in mark.box)
    # Labels of objects are below and those of predictions above, so that those of one object do not overlap.
    line = _LINE * width / _SHOWN
    rows = {"": top >= line, " below": bottom + line <= height, " within": True}
    if mark.look in ("object", "missed"):
        rows = {" below": rows[" below"], **rows}
    place = next(row for row, fits in rows.items() if fits)
    east = " east" if left + _LETTER * len(mark.label) * width / _SHOWN > width else ""
    tag = (
        '<i class="mark {0}{1}" title="{2}" style="left:{3:.2f}%;top:{4:.2f}%;width:{5:.2f}%;height:{6:.2f}%">'
        "<b>{2}</b></i>"
    )
    shares = (100 * left / width, 100 * top / height, 100 * (right - left) / width, 100 * (bottom - top) / height)
    return Markup(tag).format(mark.look, place + east, mark.label, *shares)
