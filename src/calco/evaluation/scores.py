"""Scores of systems with their intervals, and the tables that show them: the same for translators and detectors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.console import Table as TerminalTable
from calco.console import cell
from calco.report.numbers import Language, number
from calco.report.page import Better, Column, Row, Table, score_cells

Floats: TypeAlias = npt.NDArray[np.float64]
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Metric:
    """Name of a score, its better side, its digits, and a sentence on what it is; `text` multiplies by the factor."""

    label: str
    better: Better | None
    decimals: int
    meaning: str
    unit: str = ""
    factor: float = 1.0

    @property
    def heading(self) -> str:
        """Label with an arrow to the better side, such as "L1 ↓"."""
        return self.label + {"lower": " ↓", "higher": " ↑", None: ""}[self.better]

    def text(self, value: float | None, language: Language = "en") -> str:
        """Return a value with the digits of this score; an en dash for what is not a number."""
        if value is None or not math.isfinite(value):
            return "–"
        return number(value * self.factor, language, f",.{self.decimals}f")

    def between(self, score: Any, to: str = " – ") -> str:
        """Return an interval such as "0.0471 – 0.0533"; nothing without one, or if it is narrower than the digits."""
        low, high = self.text(score.low), self.text(score.high)
        return "" if low == high or "–" in (low, high) else f"{low}{to}{high}"


@dataclass(frozen=True, slots=True)
class Score:
    """A mean with its 95% interval; `low` and `high` are None where no interval is computed."""

    mean: float
    low: float | None = None
    high: float | None = None
    num: int = 0
    """Images that have this score."""

    @classmethod
    def of(cls, mean: float, resampled: Floats | None, num: int) -> "Score":
        """Return a score with the interval of its resamples."""
        low, high = (None if resampled is None else interval(resampled)) or (None, None)
        return cls(mean, low, high, num)


Systems: TypeAlias = Mapping[str, Mapping[str, Score]]
"""System, metric, score."""


class Bootstrap:
    """Resamples images with replacement, always the same way for the same seed.

    Images of one group (variants of one photo, frames of one video) stay together, because they are not independent.
    If all are of one group (`alone`), there are no intervals: one video says nothing of how far others may lie.
    """

    def __init__(self, groups: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> None:
        names, places = np.unique(np.array(list(groups), np.str_), return_inverse=True)
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(len(names), np.full(len(names), 1 / max(1, len(names))), size=resamples)
        self.alone = len(names) == 1 < len(groups)
        self.places = places.astype(np.int64)  # number of each image's group
        self.weights = counts[:, self.places].astype(np.float64)  # resamples x images: how often each was chosen

    def means(self, values: npt.ArrayLike) -> Floats:
        """Return the mean of each resample without NaN; NaN if all images are of one group."""
        array = np.asarray(values, dtype=np.float64)
        present = ~np.isnan(array)
        return self.ratios(np.where(present, array, 0), present.astype(np.float64))

    def ratios(self, above: Floats, below: Floats) -> Floats:
        """Return the ratio of two sums in each resample; NaN if all images are of one group."""
        if self.alone:
            return np.full(len(self.weights), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((self.weights @ above) / (self.weights @ below))


def interval(resampled: Floats) -> tuple[float, float] | None:
    """Return the middle 95% of the resampled values; None if none is a number."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def plain(value: Any) -> Any:
    """Return plain data for JSON, which has no number for NaN and infinity: they become None."""
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def score_table(
    systems: Systems, metrics: Mapping[str, Metric], caption: str, highlight: Sequence[str] = (), *, mark: bool = True
) -> Table:
    """Return a table for a page: systems in rows, metrics in columns, each value with its interval."""
    columns = [
        score_cells({name: row.get(key) for name, row in systems.items()}, metric.better, metric.text, metric.between,
                    mark=mark)
        for key, metric in metrics.items()
    ]  # fmt: skip
    heads = [Column(metric.label, metric.meaning, metric.better) for metric in metrics.values()]
    rows = [Row(name, [column[name] for column in columns], highlight=name in highlight) for name in systems]
    return Table(caption, heads, rows)


def terminal_table(
    systems: Systems, metrics: Mapping[str, Metric], *, title: str = "", caption: str = "mean and 95% interval",
    best: bool = True,
) -> TerminalTable:  # fmt: skip
    """Return a table for the terminal: metrics in rows, systems in columns, intervals below the means."""
    result = TerminalTable(title=title or None, caption=caption, title_style="bold")
    result.add_column("")
    for system in systems:
        result.add_column(cell(*system.split("\n")), justify="right")
    for key, metric in metrics.items():
        shown = {name: metric.text(row[key].mean) for name, row in systems.items() if key in row}
        means = [row[key].mean for row in systems.values() if key in row and math.isfinite(row[key].mean)]
        top = metric.text((min if metric.better == "lower" else max)(means, default=None))
        cells = [cell(metric.heading)]
        for name, row in systems.items():
            winner = best and metric.better is not None and shown.get(name) == top != "–"
            cells.append(cell(shown.get(name, ""), style="bold green" if winner else ""))
            if key in row and (ends := metric.between(row[key], "–")):
                cells[-1].append(f"\n{ends}", style="dim")
        result.add_row(*cells)
    return result
