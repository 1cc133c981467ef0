"""Guard for workbooks (.xlsx): checks each part of the archive against bounds before openpyxl reads it.

A workbook is a ZIP archive of XML from anywhere, and openpyxl trusts it: a few kilobytes may claim two billion rows.
The guard also notes merged cells, hidden rows and formulas without a stored value, which openpyxl leaves out when it
reads row by row. Format: ECMA-376, part 1.
"""

import zipfile
from typing import IO, Any, BinaryIO, Final
from xml.parsers import expat

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
MOST_CELLS: Final = 10_000_000  # of all sheets, with the empty ones before the last of each row
MOST_UNPACKED: Final = 512 << 20  # bytes of XML
MOST_RATIO: Final = 100  # of unpacked to packed bytes, above 8 MiB; tables have 5 to 30
DEEPEST: Final = 100  # elements within elements
LONGEST: Final = 1 << 20  # characters of a cell; Excel allows 32,767
_BLOCK: Final = 1 << 16
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_ROW, _SHARED, _FORMULA, _VALUE, _MERGED = (f"{_MAIN}|{name}" for name in ("row", "si", "f", "v", "mergeCell"))
_ROOTS: Final = ("workbook", "worksheet", "sst")


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
            while block := file.read(_BLOCK):
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
