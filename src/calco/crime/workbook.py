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
from calco.crime.guard import MOST_COLUMNS, MOST_ROWS, GuardedArchive, Part, RefusedWorkbook, too_large
from calco.errors import CalcoError
from calco.files import explain

if TYPE_CHECKING:
    from openpyxl.reader.excel import ExcelReader

MOST_TEXT: Final = 512 << 20  # characters of all cells, of which many may share one text
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
    """A sheet of a workbook.

    Attributes:
        title: Name of the sheet.
        rows: Number of each row with a cell, from 1 => its cells by the number of their column, from 0.
        hidden: Whether the sheet is hidden.
        hidden_rows: Numbers of hidden rows, as by a filter.
        merged: Last row of each range of merged cells; each of these cells holds the value.
        date1904: Whether days are counted from 1904.
    """

    title: str
    rows: dict[int, dict[int, Cell]] = field(default_factory=dict)
    hidden: bool = False
    hidden_rows: list[int] = field(default_factory=list)
    merged: list[int] = field(default_factory=list)
    date1904: bool = False


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
    """Turn the errors of openpyxl into one kind."""
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
    """The workbook, of whose sheets no row is read yet."""
    from openpyxl.reader.excel import ExcelReader
    from openpyxl.xml.constants import ARC_STYLE, STYLES_TYPE

    with _damage_named():
        reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
        reader.archive = archive
        for beside in ("read_properties", "read_custom", "read_theme"):
            setattr(reader, beside, lambda: None)
        reader.read_chartsheet = lambda *_: None
        reader.read()
        parts = [(sheet.name, sheet.id and reader.parser.rels[sheet.id].target) for sheet in reader.parser.sheets]
        styles = reader.package.find(STYLES_TYPE)
    if lost := [name for name, target in parts if target not in reader.valid_files]:
        raise RefusedWorkbook(f"is a damaged workbook (its sheet {lost[0]!r} is missing); save it anew as .xlsx")
    if styles and styles.PartName != f"/{ARC_STYLE}":
        raise RefusedWorkbook(
            f"has the formats of its cells in {styles.PartName}, where they are not read; save it anew"
        )
    return reader


def _sheets(reader: "ExcelReader", archive: GuardedArchive) -> Iterator[Sheet]:
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    left = MOST_TEXT
    date1904 = reader.wb.epoch == CALENDAR_MAC_1904
    for found in reader.wb.worksheets:
        part = archive.parts[found._worksheet_path]
        sheet = Sheet(found.title, hidden=found.sheet_state != "visible", date1904=date1904)
        for number, row in enumerate(_rows(found), 1):
            cells: dict[int, Cell] = {}
            for place, cell in enumerate(row):
                if cell.value is not None:
                    cells[place] = value = _value(cell)
                    if isinstance(value, str):
                        left -= len(value)
            if left < 0:
                raise too_large()
            if cells:
                sheet.rows[number] = cells
        _finish(sheet, part, archive)
        yield sheet


def _rows(found: Any) -> Iterator[tuple[Any, ...]]:
    with _damage_named():
        found.reset_dimensions()  # what a sheet says of its size need not be so
        yield from found.iter_rows()


def _value(cell: Any) -> Cell:
    """The value of a cell, for the cleaning rules."""
    value = cell.value
    if isinstance(value, str):
        if cell.data_type == "e":
            return BadCell(value, "an error of a spreadsheet, not a value")
        return (_unescaped(value) if "_x" in value else value) or None
    if isinstance(value, bool):
        return "VERDADERO" if value else "FALSO"
    if isinstance(value, date):  # of which datetime is one
        return value if isinstance(value, datetime) else datetime.combine(value, time())
    if isinstance(value, time | timedelta):
        value = _days(value)  # a format of times makes no time of a number
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _unescaped(text: str) -> str:
    """Text in which characters that XML cannot hold stand as _x000D_."""
    from openpyxl.utils.escape import unescape

    return str(unescape(text))


def _days(value: time | timedelta) -> float:
    from openpyxl.utils.datetime import to_excel

    return float(to_excel(value))


def _finish(sheet: Sheet, part: Part, archive: GuardedArchive) -> None:
    """Formulas without a value, rows that are hidden, and the value of merged cells in each of them."""
    from openpyxl.utils.cell import range_boundaries

    for number, place in part.formulas:
        sheet.rows.setdefault(number, {})[place] = _NO_VALUE
    sheet.rows = dict(sorted(sheet.rows.items()))
    sheet.hidden_rows = [row for row in part.hidden_rows if row in sheet.rows]
    present = list(sheet.rows)
    for ref in part.merged:
        with _damage_named():
            left, top, right, bottom = range_boundaries(ref)
        left, top, right, bottom = left or 1, top or 1, min(right or MOST_COLUMNS, MOST_COLUMNS), bottom or MOST_ROWS
        if (value := sheet.rows.get(top, {}).get(left - 1)) is None:
            continue
        sheet.merged.append(bottom)
        rows = present[bisect.bisect_left(present, top) : bisect.bisect_right(present, bottom)]
        archive.count_cells(len(rows) * (right - left + 1))
        for row in rows:
            sheet.rows[row].update(dict.fromkeys(range(left - 1, right), value))
