"""Tables of reports: plain cells, and scores with their intervals on the scale of the column."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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
