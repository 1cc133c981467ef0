"""CSV for spreadsheets: text that they would run as a formula stands behind an apostrophe, as OWASP advises."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

# "=1+1", "+1 (2)", "@SUM(A1)", in letters of full width too; but "-5" and "+5,5" are numbers, and "-" is a sign.
_FORMULA: Final = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20].")
_NUMBER: Final = re.compile(r"[-+]?\d+(?:[.,]\d+)*")


def plain(value: Any) -> Any:
    """A value that a spreadsheet takes for text or for a number, never for a formula.

    >>> [plain(value) for value in ("=1+1", "-5", -5, "-", "@x", "Ate")]
    ["'=1+1", '-5', -5, '-', "'@x", 'Ate']
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV with commas, without formulas."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([plain(value) for value in row] for row in rows)
    return text.getvalue()
