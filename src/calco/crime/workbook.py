"""Workbooks (.xlsx) as rows: openpyxl reads the values, after a guard has checked each part of the archive.

A workbook is a ZIP archive of XML from anywhere, and openpyxl trusts it: a few kilobytes may claim two billion rows.
The guard also notes merged cells, hidden rows and formulas without a stored value, which openpyxl leaves out when it
reads row by row. Format: ECMA-376, part 1.
"""

import bisect
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final
from xml.parsers import expat

from calco.crime.clean import BadCell, Cell
from calco.errors import CalcoError, needs
from calco.files import explain

if TYPE_CHECKING:
    from openpyxl.reader.excel import ExcelReader

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
MOST_CELLS: Final = 10_000_000  # of all sheets, with the empty ones before the last of each row
MOST_UNPACKED: Final = 512 << 20  # bytes of XML
MOST_RATIO: Final = 100  # of unpacked to packed bytes, above 8 MiB; tables have 5 to 30
DEEPEST: Final = 100  # elements within elements
LONGEST: Final = 1 << 20  # characters of a cell; Excel allows 32,767
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_ROW, _SHARED, _FORMULA, _VALUE, _MERGED = (f"{_MAIN}|{name}" for name in ("row", "si", "f", "v", "mergeCell"))
_ROOTS: Final = ("workbook", "worksheet", "sst")
_OLD: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # of .xls, and of workbooks with a password
_NO_VALUE: Final = BadCell(
    "", "a formula without a stored value; open the workbook in a spreadsheet program and save it"
)
# Errors of zipfile, expat and openpyxl on a damaged workbook, besides OSError.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, expat.ExpatError, SyntaxError, LookupError, ValueError, TypeError, AttributeError,
    ArithmeticError, EOFError, NotImplementedError, RuntimeError, AssertionError,
)  # fmt: skip


class RefusedWorkbook(Exception):
    """Reason why a workbook is not read; the message ends in the remedy."""


class GuardedArchive(zipfile.ZipFile):
    """An archive that refuses parts which exceed the bounds; `parts` holds the findings about each opened part."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.parts: dict[str, Part] = {}
        self._bytes, self._cells = MOST_UNPACKED, MOST_CELLS

    def open(self, name: Any, *_how: Any, **_more: Any) -> IO[bytes]:
        """Open a part, which is checked before."""
        if name not in self.parts:
            self._check(self.getinfo(name), Part(self))
        return super().open(name)

    def count_cells(self, more: int) -> None:
        """Count cells, also those that a merged range fills; refuse too many."""
        self._cells -= more
        if self._cells < 0:
            raise RefusedWorkbook(f"has more than {MOST_CELLS:,} cells; save its sheets as CSV")

    def _check(self, entry: zipfile.ZipInfo, part: "Part") -> None:
        if entry.file_size > self._bytes or entry.file_size > (8 << 20) + MOST_RATIO * entry.compress_size:
            raise _too_large()
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedWorkbook("is packed in a way that workbooks are not; save it anew as .xlsx")
        self._bytes -= entry.file_size
        parser = expat.ParserCreate(namespace_separator="|")
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = part.start, part.end
        parser.CharacterDataHandler = part.text
        parser.StartDoctypeDeclHandler = _refuse_entities
        with super().open(entry) as file:  # returns no more bytes than the entry states
            while block := file.read(1 << 16):
                parser.Parse(block)
        parser.Parse(b"", True)
        self.parts[entry.filename] = part


class Part:
    """One pass over the XML of a part.

    Attributes:
        formulas: Row, from 1, and column, from 0, of each formula without a stored value.
        hidden_rows: Numbers of hidden rows.
        merged: Ranges of merged cells, such as "A1:B2".
    """

    def __init__(self, archive: GuardedArchive) -> None:
        self.formulas: set[tuple[int, int]] = set()
        self.hidden_rows: list[int] = []
        self.merged: list[str] = []
        self._archive = archive
        self._depth = self._length = self._row = self._column = 0
        self._row_depth = 0  # of the row that is open
        self._text_depth = 0  # of the cell or shared text that is open: its characters are counted together
        self._element = self._kind = ""
        self._formula = self._valued = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise _too_large()
        self._element = name
        if not self._text_depth:
            self._length = 0
        if not self._row_depth:
            self._archive.count_cells(1)  # openpyxl holds elements outside rows: they count as well
        if name == _ROW:
            self._start_row(attributes)
        elif self._row_depth and self._depth == self._row_depth + 1:
            self._start_cell(attributes)
        elif name == _FORMULA:
            self._formula = True
        elif name == _SHARED and not self._text_depth:
            self._text_depth = self._depth
        elif name == _MERGED:
            self.merged.append(attributes["ref"])
        elif self._depth == 1 and name.rpartition("|")[2] in _ROOTS and not name.startswith(f"{_MAIN}|"):
            raise RefusedWorkbook("is a Strict Open XML workbook; save it as .xlsx of the usual kind (Excel Workbook)")

    def end(self, _name: str) -> None:
        """Handle the end of an element."""
        if self._depth == self._text_depth:
            self._text_depth = 0
            if self._row_depth and self._formula and not self._valued and self._kind != "str":
                self.formulas.add((self._row, self._column - 1))
        elif self._depth == self._row_depth:
            self._row_depth = 0
        self._depth -= 1

    def text(self, text: str) -> None:
        """Handle characters between two tags."""
        self._length += len(text)
        if self._length > LONGEST:
            raise RefusedWorkbook(f"has a cell of more than {LONGEST:,} characters; Excel allows 32,767")
        if self._element == _VALUE and not text.isspace():
            self._valued = True

    def _start_row(self, attributes: dict[str, str]) -> None:
        row = int(attributes.get("r", self._row + 1))
        if not 1 <= row <= MOST_ROWS:
            raise RefusedWorkbook(f"has a row {row:,}; Excel has {MOST_ROWS:,} rows: save it anew as .xlsx")
        if row <= self._row or self._row_depth or self._text_depth:
            raise RefusedWorkbook(f"has its row {row:,} twice, or behind a later one; save it anew as .xlsx")
        self._row, self._column, self._row_depth = row, 0, self._depth
        if attributes.get("hidden") in ("1", "true"):
            self.hidden_rows.append(row)

    def _start_cell(self, attributes: dict[str, str]) -> None:
        from openpyxl.utils.cell import coordinate_to_tuple

        row, column, ref = self._row, self._column + 1, attributes.get("r", "")
        if ref:
            try:
                row, column = coordinate_to_tuple(ref)
            except ValueError:
                column = MOST_COLUMNS + 1
        if column > MOST_COLUMNS:
            raise RefusedWorkbook(f"has a cell {ref[:20]!r}; Excel's columns are A to XFD: save it anew as .xlsx")
        if row != self._row or column <= self._column:
            raise RefusedWorkbook(
                f"has the cell {ref[:20]!r} in row {self._row:,} twice, or out of order; save it anew as .xlsx"
            )
        self._archive.count_cells(column - self._column)
        self._column, self._text_depth, self._length = column, self._depth, 0
        self._kind, self._formula, self._valued = attributes.get("t", "n"), False, False


def _too_large() -> RefusedWorkbook:
    return RefusedWorkbook("unpacks to more, or to deeper XML, than a table holds; save its sheets as CSV")


def _refuse_entities(*_declared: object) -> None:
    raise RefusedWorkbook("declares a document type, which no workbook does; save it anew as .xlsx")


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
    needs("openpyxl", extra="crime")
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
