"""Workbooks (.xlsx) as rows: openpyxl reads the values, within the bounds of the guard."""

import bisect
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from xml.parsers import expat

from calco.crime.clean import BadCell, Cell
from calco.crime.database import needs
from calco.crime.guard import MOST_COLUMNS, MOST_ROWS, GuardedArchive, RefusedWorkbook
from calco.errors import CalcoError
from calco.files import explain

if TYPE_CHECKING:
    from openpyxl.reader.excel import ExcelReader

_OLD: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # of .xls, and of workbooks with a password
_NO_VALUE: Final = BadCell(
    "", "a formula without a stored value; open the workbook in a spreadsheet program and save it"
)
# Errors of zipfile, expat and openpyxl on a damaged workbook, besides OSError.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, expat.ExpatError, SyntaxError, LookupError, ValueError, TypeError, AttributeError,
    ArithmeticError, EOFError, NotImplementedError, RuntimeError, AssertionError,
)  # fmt: skip


@dataclass
class Sheet:
    """A sheet of a workbook."""

    title: str
    rows: dict[int, dict[int, Cell]] = field(default_factory=dict)  # number from 1 => its cells by column, from 0
    hidden: bool = False
    hidden_rows: list[int] = field(default_factory=list)  # as by a filter
    merged: list[int] = field(default_factory=list)  # last row of each range; each of its cells holds the value
    date1904: bool = False  # days are counted from 1904


def is_workbook(path: str | Path) -> bool:
    """Return whether a file is a workbook, by its ending."""
    return Path(path).suffix.lower() in (".xlsx", ".xlsm")


def read_workbook(path: str | Path) -> list[Sheet]:
    """Return the sheets of a workbook that hold a cell, in their order."""
    needs("openpyxl")
    try:
        with Path(path).open("rb") as file:
            if file.read(8) == _OLD:
                raise RefusedWorkbook(
                    "is a workbook of the old format .xls, or has a password; save it as .xlsx without one"
                )
            with _damage_named():
                archive = GuardedArchive(file)
            with archive:
                return [sheet for sheet in _sheets(_opened(file, archive), archive) if sheet.rows]
    except RefusedWorkbook as error:
        raise CalcoError(f"{path} {error}") from error
    except OSError as error:
        raise explain(error, path, "read") from error


@contextmanager
def _damage_named() -> Iterator[None]:
    """Turn the errors of openpyxl into one kind, and hide its warnings of parts that are not read.

    The warnings of other threads are hidden meanwhile: a workbook is read before a load starts any.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, *_DAMAGE) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error.__cause__ or error)[:200]
        raise RefusedWorkbook(f"is a damaged workbook ({reason}); save it anew as .xlsx") from error


def _opened(file: BinaryIO, archive: GuardedArchive) -> "ExcelReader":
    """Return the workbook before any row of its sheets is read."""
    from openpyxl.reader.excel import ExcelReader

    with _damage_named():
        reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
        reader.archive = archive
        for beside in ("read_properties", "read_custom", "read_theme"):
            setattr(reader, beside, lambda: None)
        reader.read_chartsheet = lambda *_: None
        reader.read()
        parts = [(sheet.name, sheet.id and reader.parser.rels[sheet.id].target) for sheet in reader.parser.sheets]
    if lost := [name for name, target in parts if target not in reader.valid_files]:
        raise RefusedWorkbook(f"is a damaged workbook (its sheet {lost[0]!r} is missing); save it anew as .xlsx")
    return reader


def _sheets(reader: "ExcelReader", archive: GuardedArchive) -> Iterator[Sheet]:
    from openpyxl.utils.cell import range_boundaries
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    date1904 = reader.wb.epoch == CALENDAR_MAC_1904
    for found in reader.wb.worksheets:
        sheet = Sheet(found.title, hidden=found.sheet_state != "visible", date1904=date1904)
        with _damage_named():
            found.reset_dimensions()  # the size that a sheet states may be wrong
            rows = {
                number: {place: _value(cell) for place, cell in enumerate(row) if cell.value is not None}
                for number, row in enumerate(found.iter_rows(), 1)
            }
        part = archive.parts[found._worksheet_path]
        for number, place in part.formulas:
            rows.setdefault(number, {})[place] = _NO_VALUE
        sheet.rows = {number: cells for number, cells in sorted(rows.items()) if cells}
        sheet.hidden_rows = [row for row in part.hidden_rows if row in sheet.rows]
        for ref in part.merged:
            with _damage_named():
                bounds = range_boundaries(ref)
            _fill_merged(sheet, archive, *bounds)
        yield sheet


def _value(cell: Any) -> Cell:
    """Return the value of a cell, for the cleaning rules."""
    from openpyxl.utils.datetime import to_excel
    from openpyxl.utils.escape import unescape

    value = cell.value
    if isinstance(value, str):
        if cell.data_type == "e":
            return BadCell(value, "an error of a spreadsheet, not a value")
        # Characters that XML cannot hold are written as _x000D_.
        return (str(unescape(value)) if "_x" in value else value) or None
    if isinstance(value, bool):
        return "VERDADERO" if value else "FALSO"
    if isinstance(value, date):  # of which datetime is one
        return value if isinstance(value, datetime) else datetime.combine(value, time())
    if isinstance(value, time | timedelta):
        value = to_excel(value)  # a format of times makes no time of a number
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _fill_merged(
    sheet: Sheet, archive: GuardedArchive, left: int | None, top: int | None, right: int | None, bottom: int | None
) -> None:
    """Give the value of merged cells to each of them; a range of whole rows or columns has no ends."""
    left, top, right, bottom = left or 1, top or 1, min(right or MOST_COLUMNS, MOST_COLUMNS), bottom or MOST_ROWS
    if (value := sheet.rows.get(top, {}).get(left - 1)) is None:
        return
    sheet.merged.append(bottom)
    present = list(sheet.rows)
    rows = present[bisect.bisect_left(present, top) : bisect.bisect_right(present, bottom)]
    archive.count_cells(len(rows) * (right - left + 1))
    for row in rows:
        sheet.rows[row].update(dict.fromkeys(range(left - 1, right), value))
