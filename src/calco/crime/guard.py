"""Guard for workbooks (.xlsx): checks each part of the archive against bounds before openpyxl reads it.

A workbook is a ZIP archive of XML from anywhere, and openpyxl trusts it: a few kilobytes may claim two billion rows.
The guard also notes merged cells, hidden rows and formulas without a stored value, which openpyxl leaves out when it
reads row by row. Format: ECMA-376, part 1.
"""

import zipfile
from collections.abc import Callable
from typing import IO, Any, BinaryIO, Final
from xml.parsers import expat

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
MOST_CELLS: Final = 10_000_000  # of all sheets, with the empty ones before the last of each row
MOST_UNPACKED: Final = 512 << 20  # bytes of XML
MOST_ELEMENTS: Final = 25_000_000  # of XML
MOST_HELD: Final = 500_000  # elements that openpyxl holds at once, which is all but those of rows and shared texts
MOST_ATTRIBUTES: Final = 64  # of an element
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
    """An archive that refuses parts which exceed the bounds.

    Attributes:
        parts: Findings about each part that was opened.
        elements: Number of XML elements that may still follow.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.parts: dict[str, Part] = {}
        self.elements = MOST_ELEMENTS
        self._bytes, self._cells = MOST_UNPACKED, MOST_CELLS

    def open(self, name: Any, *_how: Any, **_more: Any) -> IO[bytes]:
        """Open a part that is read piece by piece."""
        return self._given(name, streamed=True)

    def read(self, name: Any, *_how: Any) -> bytes:
        """Return a whole part."""
        with self._given(name, streamed=False) as part:
            return part.read()

    def count_cells(self, more: int) -> None:
        """Count cells, also those that a merged range fills."""
        self._cells -= more
        if self._cells < 0:
            raise RefusedWorkbook(f"has more than {MOST_CELLS:,} cells; save its sheets as CSV")

    def _given(self, name: str, *, streamed: bool) -> IO[bytes]:
        if name not in self.parts:
            self._check(name, Part(self, streamed=streamed))
        part = self.parts[name]
        part.given += 1
        if part.given > 2 or part.streamed != streamed:  # a sheet is opened for its size, and for its rows
            raise RefusedWorkbook("has two sheets, or other parts, in one place; save it anew as .xlsx")
        return super().open(name)

    def _check(self, name: str, part: "Part") -> None:
        entry = self.getinfo(name)
        if entry.file_size > self._bytes or entry.file_size > (8 << 20) + MOST_RATIO * entry.compress_size:
            raise too_large()
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedWorkbook("is packed in a way that workbooks are not; save it anew as .xlsx")
        self._bytes -= entry.file_size
        parser = expat.ParserCreate(namespace_separator="|")
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = part.start, part.end
        parser.CharacterDataHandler = part.text
        parser.StartDoctypeDeclHandler = _no_entities
        with super().open(entry) as file:  # gives no more bytes than the entry says
            while block := file.read(_BLOCK):
                parser.Parse(block)
        parser.Parse(b"", True)
        self.parts[name] = part


class Part:
    """One pass over the XML of a part.

    Attributes:
        streamed: Whether openpyxl frees rows and shared texts once it has read them.
        given: Number of times that the part was opened.
        formulas: Row, from 1, and column, from 0, of each formula without a stored value.
        hidden_rows: Numbers of hidden rows.
        merged: Ranges of merged cells, such as "A1:B2".
    """

    def __init__(self, archive: GuardedArchive, *, streamed: bool) -> None:
        from openpyxl.utils.cell import coordinate_to_tuple

        self.streamed, self.given = streamed, 0
        self.formulas: set[tuple[int, int]] = set()
        self.hidden_rows: list[int] = []
        self.merged: list[str] = []
        self._archive = archive
        self._place: Callable[[str], tuple[int, int]] = coordinate_to_tuple
        self._depth = self._held = self._before = self._length = self._row = self._column = 0
        self._row_depth = 0  # of the row that is open
        self._text_depth = 0  # of the cell or shared text that is open: its characters are counted together
        self._element = self._kind = ""
        self._formula = self._valued = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        self._depth += 1
        self._held += 1
        self._archive.elements -= 1
        if self._depth > DEEPEST or self._held > MOST_HELD or len(attributes) > MOST_ATTRIBUTES:
            raise too_large()
        if self._archive.elements < 0:
            raise too_large()
        self._element = name
        if not self._text_depth:
            self._length = 0
        if name == _ROW:
            self._start_row(attributes)
        elif self._row_depth and self._depth == self._row_depth + 1:
            self._start_cell(attributes)
        elif name == _FORMULA:
            self._formula = True
        elif name == _SHARED and not self._text_depth:
            self._text_depth, self._before = self._depth, self._held - 1
        elif name == _MERGED:
            self.merged.append(attributes["ref"])
        elif self._depth == 1 and name.rpartition("|")[2] in _ROOTS and not name.startswith(f"{_MAIN}|"):
            raise RefusedWorkbook("is a Strict Open XML workbook; save it as .xlsx of the usual kind (Excel Workbook)")

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        if self._depth == self._text_depth:
            self._text_depth = 0
            if self._row_depth and self._formula and not self._valued and self._kind != "str":
                self.formulas.add((self._row, self._column - 1))
            elif name == _SHARED and self.streamed:
                self._held = self._before
        elif self._depth == self._row_depth:
            self._row_depth = 0
            if self.streamed:
                self._held = self._before
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
        self._row, self._column, self._row_depth, self._before = row, 0, self._depth, self._held - 1
        if attributes.get("hidden") in ("1", "true"):
            self.hidden_rows.append(row)

    def _start_cell(self, attributes: dict[str, str]) -> None:
        row, column = self._row, self._column + 1
        if ref := attributes.get("r"):
            try:
                row, column = self._place(ref)
            except ValueError as error:
                shown = f"has a cell {ref[:20]!r}; Excel's columns are A to XFD: save it anew as .xlsx"
                raise RefusedWorkbook(shown) from error
        if column > MOST_COLUMNS:
            raise RefusedWorkbook(f"has a column {column:,}; Excel has {MOST_COLUMNS:,} columns: save it anew as .xlsx")
        if row != self._row or column <= self._column:
            raise RefusedWorkbook(
                f"has the cell {str(ref)[:20]!r} in row {self._row:,} twice, or out of order; save it anew as .xlsx"
            )
        self._archive.count_cells(column - self._column)
        self._column, self._text_depth, self._length = column, self._depth, 0
        self._kind, self._formula, self._valued = attributes.get("t", "n"), False, False


def too_large() -> RefusedWorkbook:
    """Return the refusal of a workbook that unpacks without end."""
    return RefusedWorkbook("unpacks to more, or to deeper XML, than a table holds; save its sheets as CSV")


def _no_entities(*_declared: object) -> None:
    raise RefusedWorkbook("declares a document type, which no workbook does; save it anew as .xlsx")
