"""Pages that hold everything they show: Jinja2 templates with escaping on, tables, images inside, one stylesheet.

Boxes over an image are lines of the page, sharp at any size, told apart by more than colour.
"""

import base64
import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image as Pillow

from calco import imaging
from calco.addresses import redact_record
from calco.files import atomic_write, make_folder
from calco.imaging import Image
from calco.report.numbers import filled, number
from calco.version import __version__

MAX_SIDE = 640
"""Pixels; larger images are shrunk in a page."""

About = Mapping[str, str | Sequence[str]]
"""Names and their texts, in the order to be shown; a list of names is folded."""


def asset(name: str) -> Markup:
    """Return a stylesheet or script of `report/static`."""
    return Markup((files("calco.report") / "static" / name).read_text(encoding="utf-8"))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("calco.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    environment.filters["redacted"] = lambda entries: redact_record(dict(entries))
    environment.globals |= {"asset": asset, "img": img_tag, "filled": filled, "version": __version__}
    return environment


def render(template: str, **values: Any) -> str:
    """Return the text of `templates/{template}.html.j2`; every value that is not `Markup` is escaped."""
    return _environment().get_template(f"{template}.html.j2").render(values)


def write_page(out: str | Path, template: str, *, name: str = "report.html", **values: Any) -> Path:
    """Write a whole HTML page that needs no other file and may load none: its policy forbids it."""
    path = Path(out)
    path = path if path.suffix.lower() in (".html", ".htm") else path / name
    make_folder(path.parent)
    atomic_write(path, render(template, **values))
    return path


def count(num: int, noun: str = "image") -> str:
    """Return a number with its noun, such as "1 image" or "1,200 images"."""
    plural = noun if num == 1 else f"{noun}es" if noun.endswith(("x", "ch", "ss")) else f"{noun}s"
    return f"{number(num)} {plural}"


def data_uri(image: Image) -> str:
    """Return an image as a data URI: PNG if that is about as small as JPEG, as for drawings and class maps."""
    shown = fitted(image, MAX_SIDE)
    opened = Pillow.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown)
    exact, small = io.BytesIO(), io.BytesIO()
    opened.save(small, "JPEG", quality=92, subsampling=0)
    opened.save(exact, "PNG", compress_level=1)  # in a third of the time, to about a fifth more bytes
    if small.tell() * 2 >= exact.tell():
        exact = io.BytesIO()
        opened.save(exact, "PNG")
    kind, data = ("jpeg", small) if small.tell() * 1.5 < exact.tell() else ("png", exact)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def fitted(image: Image, side: int) -> Image:
    """Return an image as it is shown, HW1 or HW3 uint8, shrunk so that no side is longer than `side` pixels."""
    shown = imaging.as_dtype(imaging.visible(image), np.uint8)
    height, width = shown.shape[:2]
    scale = min(1.0, side / max(height, width))
    return shown if scale == 1 else imaging.resize(shown, (max(1, round(width * scale)), max(1, round(height * scale))))


def img_tag(image: Image, alt: str, css: str = "") -> Markup:
    """Return an `img` with its size, so that the page does not jump while it is laid out."""
    height, width = image.shape[:2]
    tag = '<img class="{}" width="{}" height="{}" alt="{}" src="{}">'
    return Markup(tag).format(css, width, height, escape(alt), data_uri(image))


Look: TypeAlias = Literal["object", "missed", "right", "wrong", "passed", "double", "found"]

SIDE = 480
"""Pixels of the longer side of an image in a page."""
_SHOWN: Final = 320  # pixels that an image is wide in a card, about
_LETTER, _LINE = 6.5, 16.0  # pixels of a label's letters and of its line, about
CROWDED = 7
"""Boxes from which on labels are shown only on hover, or in the enlarged image."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to be drawn: its corners in pixels of the image (left, top, right, bottom), its label and its look.

    Looks are "object" (ground truth), "missed", "right", "wrong", "passed" (neither), "double", and "found" where
    nobody knows whether it is right. Scripts of a page find the score of a box, if it has one.
    """

    box: Sequence[float]
    label: str
    look: Look
    score: float | None = None


def boxed(image: Image, marks: Sequence[Mark], alt: str) -> Markup:
    """Return an image with its boxes over it."""
    height, width = image.shape[:2]
    drawn = marks_over(marks, width, height)
    crowded = " crowded" if len(marks) >= CROWDED else ""
    return Markup('<div class="boxed{}">{}{}</div>').format(crowded, img_tag(fitted(image, SIDE), alt), drawn)


def marks_over(marks: Sequence[Mark], width: int, height: int) -> Markup:
    """Return the boxes over an image of this size in pixels, for an element that is exactly as large as the image."""
    return Markup("").join(_mark(mark, width, height) for mark in marks)


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
        '<i class="mark {0}{1}" title="{2}" style="left:{3:.2f}%;top:{4:.2f}%;width:{5:.2f}%;height:{6:.2f}%"{7}>'
        "<b>{2}</b></i>"
    )
    scored = Markup("") if mark.score is None else Markup(' data-score="{:.4f}"').format(mark.score)
    shares = (100 * left / width, 100 * top / height, 100 * (right - left) / width, 100 * (bottom - top) / height)
    return Markup(tag).format(mark.look, place + east, mark.label, *shares, scored)


Better = Literal["lower", "higher"]


class Interval(Protocol):
    """A mean with its 95% interval; `low` and `high` are None where there is none."""

    @property
    def mean(self) -> float:
        """The value."""

    @property
    def low(self) -> float | None:
        """Lower end."""

    @property
    def high(self) -> float | None:
        """Upper end."""


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column: its label, what it means, which values are better, and its class in the style."""

    label: str
    meaning: str = ""
    better: Better | None = None
    css: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value."""

    text: str
    interval: str = ""  # as text
    best: bool = False  # of its column
    track: tuple[float, float, float] | None = None  # left end, value, right end on the column's scale, percent
    css: str = ""
    shade: tuple[str, float] | None = None  # colour and share of it, of a confusion matrix


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its head and its cells; plain texts are cells of their own."""

    head: str
    cells: Sequence[Cell | str]
    highlight: bool = False
    badge: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the caption is read out, the corner stands above the heads of rows."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    corner: str = ""
    css: str = ""


def score_cells(
    scores: Mapping[str, Interval | None],
    better: Better | None,
    text: Callable[[float], str],
    interval: Callable[[Interval], str],
    *,
    mark: bool = True,
) -> dict[str, Cell]:
    """Return the cells of one column of scores, by system; equal digits mean equally good."""
    known = {name: score for name, score in scores.items() if score is not None and math.isfinite(score.mean)}
    ends = [end for score in known.values() for end in (score.mean, score.low, score.high) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    top = (min if better == "lower" else max)((score.mean for score in known.values()), default=math.nan)

    def at(value: float) -> float:
        return 4 + 92 * (value - low) / (high - low) if high > low else 50.0

    cells = {}
    for name, score in scores.items():
        if score is None or name not in known:
            cells[name] = Cell("–")
            continue
        mean = score.mean
        left, right = (mean if end is None else end for end in (score.low, score.high))
        best = mark and better is not None and text(mean) == text(top)
        cells[name] = Cell(text(mean), interval(score), best, (at(left), at(mean), at(right)))
    return cells
