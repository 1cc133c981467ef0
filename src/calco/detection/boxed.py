"""Images with boxes in a page: the boxes are lines of the page, sharp at any size, told apart by more than colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal, TypeAlias

import numpy as np

from calco import imaging
from calco.imaging import Image
from calco.report.html import asset, img_tag

Look: TypeAlias = Literal["thing", "missed", "right", "wrong", "passed", "double"]

SIDE = 480
"""Pixels of the longer side of an image in a page."""
_SHOWN: Final = 320  # pixels that an image is wide in a card, about
_LETTER, _LINE = 6.5, 16.0  # pixels of a label's letters and of its line, about
CROWDED = 7
"""Boxes from which on labels are shown only where somebody points at them, or in the enlarged image."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to be drawn.

    Attributes:
        box: Left, top, right, bottom in pixels of the image.
        label: What stands at it.
        look: "thing" (what is there), "missed", "right", "wrong", "passed" (neither), or "double".
    """

    box: Sequence[float]
    label: str
    look: Look


def boxed(image: Image, marks: Sequence[Mark], alt: str) -> str:
    """An image with its boxes over it."""
    height, width = image.shape[:2]
    shown = imaging.as_dtype(imaging.visible(image), np.uint8)
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        shown = imaging.resize(shown, (max(1, round(width * scale)), max(1, round(height * scale))))
    drawn = "".join(map(_drawn, marks, _places(marks, width, height), [(width, height)] * len(marks)))
    crowded = " crowded" if len(marks) >= CROWDED else ""
    return f'<div class="boxed{crowded}">{img_tag(shown, alt)}{drawn}</div>'


def _places(marks: Sequence[Mark], width: int, height: int) -> list[str]:
    """At which corner of its box each label covers the least of the others; what is drawn last, on top, goes first."""
    scale = _SHOWN / width
    taken: list[tuple[float, float, float, float]] = []
    chosen = []
    for mark in reversed(marks):
        left, top, right, bottom = (float(value) * scale for value in mark.box)
        wide = _LETTER * len(mark.label) + 8
        rows = [("", top - _LINE), (" below", bottom), (" within", top)]
        if mark.look in ("thing", "missed"):
            rows.insert(0, rows.pop(1))
        best, least = "", float("inf")
        for place, x, y in ((row + side, x, y) for row, y in rows for side, x in (("", left), (" east", right - wide))):
            label = (x, y, x + wide, y + _LINE)
            seen = _shared(label, (0, 0, _SHOWN, height * scale))
            cost = wide * _LINE - seen + sum(_shared(label, other) for other in taken)
            if cost < least - 1:  # of places that are as good, the first
                best, least, where = place, cost, label
        taken.append(where)
        chosen.append(best)
    return chosen[::-1]


def _shared(one: Sequence[float], other: Sequence[float]) -> float:
    """The area that two rectangles share."""
    across, down = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, down)


def _drawn(mark: Mark, place: str, size_wh: tuple[int, int]) -> str:
    left, top, right, bottom = (float(value) for value in mark.box)
    width, height = size_wh
    x, y = 100 * left / width, 100 * top / height
    across, down = 100 * (right - left) / width, 100 * (bottom - top) / height
    return (
        f'<i class="mark {mark.look}{place}" title="{escape(mark.label)}" '
        f'style="left:{x:.2f}%;top:{y:.2f}%;width:{across:.2f}%;height:{down:.2f}%"><b>{escape(mark.label)}</b></i>'
    )


def card(key: str, inner: str, words: str, badge: str = "") -> str:
    """An image in a frame, with its name (a button that enlarges it) and some words."""
    name = escape(key)
    mark = f'<span class="part">{escape(badge)}</span>' if badge else ""
    return (
        f'<li class="case">{inner}<div class="foot"><button type="button" class="title" title="{name}: enlarge">{name}'
        f'</button>{mark}<span class="scores">{escape(words)}</span></div></li>'
    )


def cards(title: str, made: Sequence[str], note: str = "") -> str:
    """A titled grid of cards; nothing without any."""
    if not made:
        return ""
    text = f' <span class="soft" style="font-weight:400">{escape(note)}</span>' if note else ""
    return f'<h3>{escape(title)}{text}</h3><ul class="cases">{"".join(made)}</ul>'


def style() -> str:
    """The style of pages with boxes."""
    return asset("calco.evaluation", "report.css") + asset("calco.detection", "detection.css")


def script() -> str:
    """What enlarges images and hides boxes."""
    return asset("calco.detection", "detection.js")


DIALOG = (
    '<dialog aria-labelledby="case-name"><div class="bar"><h2 id="case-name"></h2>'
    '<button type="button" class="close">Close</button></div><div class="large"></div></dialog>'
)


def switches(choices: Sequence[tuple[Look, str]]) -> str:
    """Buttons that show and hide boxes of a look, and so are their legend."""
    buttons = "".join(
        f'<button type="button" data-look="{look}" aria-pressed="true"><i class="swatch {look}"></i>{escape(words)}'
        "</button>"
        for look, words in choices
    )
    return f'<div class="looks" role="group" aria-label="Boxes that are shown">{buttons}</div>'
