"""Pictures with boxes in a page: the boxes are lines of the page, sharp at any size, told apart by more than colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeAlias

import numpy as np

from calco import images
from calco.images import Image
from calco.page.html import asset, picture

Look: TypeAlias = Literal["thing", "missed", "right", "wrong", "passed", "double"]

SIDE = 480
"""Pixels of the longer side of a picture in a page."""
CROWDED = 7
"""Boxes from which on labels are shown only where somebody points at them, or in the enlarged picture."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to be drawn.

    Attributes:
        box: Left, top, right, bottom in pixels of the picture.
        label: What stands at it.
        look: "thing" (what is there), "missed", "right", "wrong", "passed" (neither), or "double".
    """

    box: Sequence[float]
    label: str
    look: Look


def boxed(image: Image, marks: Sequence[Mark], alt: str) -> str:
    """A picture with its boxes over it."""
    height, width = image.shape[:2]
    shown = images.as_dtype(images.visible(image), np.uint8)
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        shown = images.resize(shown, (max(1, round(width * scale)), max(1, round(height * scale))))
    drawn = "".join(_drawn(mark, width, height) for mark in marks)
    crowded = " crowded" if len(marks) >= CROWDED else ""
    return f'<div class="boxed{crowded}">{picture(shown, alt)}{drawn}</div>'


def _drawn(mark: Mark, width: int, height: int) -> str:
    left, top, right, bottom = (float(value) for value in mark.box)
    x, y = 100 * left / width, 100 * top / height
    across, down = 100 * (right - left) / width, 100 * (bottom - top) / height
    side = (" east" if x + across / 2 > 55 else "") + (" within" if y < 6 else "")
    return (
        f'<i class="mark {mark.look}{side}" title="{escape(mark.label)}" '
        f'style="left:{x:.2f}%;top:{y:.2f}%;width:{across:.2f}%;height:{down:.2f}%"><b>{escape(mark.label)}</b></i>'
    )


def card(key: str, inner: str, words: str, badge: str = "") -> str:
    """A picture in a frame, with its name (a button that enlarges it) and some words."""
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
    """What enlarges pictures and hides boxes."""
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
