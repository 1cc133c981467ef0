"""The table: in the terminal, in Markdown, and in a page that holds it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from calco.benchmarks.timing import Row, Skipped
from calco.console import Table
from calco.errors import CalcoError
from calco.files import atomic_write, explain

BEGIN: Final = "<!-- calco bench: begin -->"
END: Final = "<!-- calco bench: end -->"
# Lines of their own: prose may name the markers too.
_PLACE: Final = re.compile(rf"^{BEGIN}$.*?^{END}$", re.MULTILINE | re.DOTALL)
_HEAD: Final = ("measured", "ours", "reference", "ratio", "lowest to highest", "the reference is")


def number(value: float) -> str:
    """Three digits that count: 1,234, 56.7, 0.089."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float, sign: str = "×") -> str:
    """Such as "6.2×" or "0.0041×"."""
    return f"{ratio:.3g}{sign}" if ratio < 0.1 else f"{ratio:.2f}{sign}" if ratio < 10 else f"{ratio:.0f}{sign}"


def told(row: Row | Skipped) -> str:
    """A row in one line."""
    if isinstance(row, Skipped):
        return f"{row.group} is not measured: {row.reason}"
    return (
        f"{row.name}: {number(row.ours)} {row.unit} against {number(row.reference)} ({row.against}), {times(row.ratio)}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    spread = f"{times(row.low)} to {times(row.high)}" if row.high > row.low else "–"
    values = (f"{number(row.ours)} {row.unit}", f"{number(row.reference)} {row.unit}", times(row.ratio))
    return (row.name, *values, spread, row.against)


def table(rows: Sequence[Row]) -> Table:
    """The table for the terminal."""
    drawn = Table(box=None, header_style="bold")
    for place, head in enumerate(_HEAD):
        drawn.add_column(head, justify="right" if 0 < place < 5 else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*_cells(row))
    return drawn


def markdown(rows: Sequence[Row], head: Sequence[str]) -> str:
    """The head as a list, and the table."""
    lines = [*(f"- {line}" for line in head), "", f"| {' | '.join(_HEAD)} |", "|---|--:|--:|--:|--:|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in rows)])


def check_page(path: str | Path) -> str:
    """The text of a page that has a place for the table.

    Raises:
        CalcoError: When it cannot be read, or has no place for it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise explain(error, path, "read") from error
    except UnicodeDecodeError as error:
        raise CalcoError(f"{path} is no text in UTF-8; name a page of Markdown") from error
    if not _PLACE.search(text):
        raise CalcoError(f"{path} has no place for the table; put the lines {BEGIN} and {END} where it shall stand")
    return text


def write_page(path: str | Path, rows: Sequence[Row], head: Sequence[str]) -> None:
    """Puts head and table between the two markers of a page."""
    table = f"{BEGIN}\n\n{markdown(rows, head)}\n\n{END}"
    atomic_write(path, _PLACE.sub(lambda _: table, check_page(path), count=1))
