"""Workbooks (.xlsx) as rows: read within bounds, and nothing in them is run, fetched or unpacked without end.

An own reader, for what a person must know about a table lies where readers of values do not look: merged cells, hidden
rows and sheets, errors, formulas without a stored value, the year from which days are counted. ECMA-376, part 1.
"""

import bisect
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final
from xml.parsers import expat

from calco.crime.clean import BadCell, Cell
from calco.errors import CalcoError
from calco.files import explain

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
MOST_CELLS: Final = 10_000_000  # of all sheets, with those that are merged
MOST_UNPACKED: Final = 512 << 20  # bytes of XML
MOST_ELEMENTS: Final = 20_000_000  # of XML
MOST_RATIO: Final = 100  # of unpacked to packed bytes, above 8 MiB; tables have 5 to 30
DEEPEST: Final = 100  # elements within elements
LONGEST: Final = 1 << 20  # characters of a cell; Excel allows 32,767
_BLOCK: Final = 1 << 16
_OLD: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # of .xls, and of workbooks with a password
_DATES: Final = frozenset([*range(14, 23), *range(27, 37), *range(50, 59)])  # formats that every workbook has
_NO_VALUE: Final = "a formula without a stored value; open the workbook in a spreadsheet program and save it"


@dataclass
class Sheet:
    """A sheet of a workbook.

    Attributes:
        title: Its name.
        rows: The number of each row that holds a cell, from 1, to its cells by the number of their column, from 0.
        hidden: Whether the sheet is.
        hidden_rows: The numbers of rows that are hidden, as by a filter.
        merged: The last row of each range of merged cells; their value stands in each of them.
        date1904: Whether days are counted from 1904 on.
    """

    title: str
    rows: dict[int, dict[int, Cell]] = field(default_factory=dict)
    hidden: bool = False
    hidden_rows: list[int] = field(default_factory=list)
    merged: list[int] = field(default_factory=list)
    date1904: bool = False


class _Refused(Exception):
    """Why a workbook is not read; the message ends in the remedy."""


def is_workbook(path: str | Path) -> bool:
    """Whether a file's name is that of a workbook."""
    return Path(path).suffix.lower() in (".xlsx", ".xlsm")


def read_workbook(path: str | Path) -> list[Sheet]:
    """The sheets of a workbook that hold a cell, in their order.

    Raises:
        CalcoError: When it is not a workbook, or exceeds what Excel allows.
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(8) == _OLD:
                raise _Refused("is a workbook of the old format .xls, or has a password; save it as .xlsx without one")
        with zipfile.ZipFile(path) as archive:
            return [sheet for sheet in _Book(archive).sheets() if sheet.rows]
    except _Refused as error:
        raise CalcoError(f"{path} {error}") from error
    except (
        zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, KeyError, ValueError, NotImplementedError,
        RuntimeError, IndexError, OverflowError,
    ) as error:  # fmt: skip
        raise CalcoError(f"{path} is no whole workbook ({str(error)[:200]}); save it anew as .xlsx") from error
    except OSError as error:
        raise explain(error, path, "read") from error


class _Book:
    """The parts of a workbook."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.left, self.elements_left = MOST_UNPACKED, MOST_ELEMENTS
        self.cells = self.depth = 0
        main = next((target for kind, target in self.related("").values() if kind == "officeDocument"), "")
        if not main:
            raise _Refused("is no whole workbook (it names no list of sheets); save it anew as .xlsx")
        self.main, parts = main, self.related(main)
        self.parts = {key: target for key, (_, target) in parts.items()}
        one = dict(parts.values())
        self.strings = _Strings().of(self, one["sharedStrings"]) if "sharedStrings" in one else []
        self.dates = _Styles().of(self, one["styles"]) if "styles" in one else []

    def sheets(self) -> Iterator[Sheet]:
        book = _Sheets()
        self.parse(self.main, book)
        for title, key, hidden in book.found:
            sheet = Sheet(title, hidden=hidden, date1904=book.date1904)
            if target := self.parts.get(key):
                self.parse(target, _Cells(sheet, self))
            yield sheet

    def related(self, part: str) -> "dict[str, tuple[str, str]]":
        """Key => kind and path of what a part refers to within the workbook."""
        where = PurePosixPath(part)
        name = f"{where.parent}/_rels/{where.name}.rels".removeprefix("./") if part else "_rels/.rels"
        found = _Relations(where.parent if part else PurePosixPath())
        self.parse(name, found)
        return found.found

    def parse(self, part: str, reader: "_Reader") -> None:
        """Gives a part to its reader, in blocks.

        Raises:
            _Refused: When it unpacks to more than is allowed, or declares entities.
        """
        parser = expat.ParserCreate(namespace_separator="|")
        parser.buffer_text = True
        self.depth = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            self.depth += 1
            self.elements_left -= 1
            if self.depth > DEEPEST or self.elements_left < 0:
                raise _too_large()
            reader.start(name.rpartition("|")[2], {key.rpartition("|")[2]: attributes[key] for key in attributes})

        def end(name: str) -> None:
            self.depth -= 1
            reader.end(name.rpartition("|")[2])

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = reader.text
        parser.StartDoctypeDeclHandler = _no_entities
        entry = self.archive.getinfo(part)
        if entry.file_size > self.left or entry.file_size > (8 << 20) + MOST_RATIO * entry.compress_size:
            raise _too_large()
        with self.archive.open(entry) as file:
            while block := file.read(_BLOCK):
                self.left -= len(block)
                if self.left < 0:
                    raise _too_large()
                parser.Parse(block)
        parser.Parse(b"", True)

    def count_cells(self, more: int = 1) -> None:
        self.cells += more
        if self.cells > MOST_CELLS:
            raise _Refused(f"has more than {MOST_CELLS:,} cells; save its sheets as CSV")


def _no_entities(*_declared: object) -> None:
    raise _Refused("declares a document type, which no workbook does; save it anew as .xlsx")


def _too_large() -> _Refused:
    return _Refused("unpacks to more, or to deeper XML, than a table holds; save its sheets as CSV")


class _Reader:
    """What reads the elements of a part; text is collected between `keep` and `taken`."""

    def __init__(self) -> None:
        self._held: list[str] | None = None
        self._length = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def end(self, name: str) -> None:
        """Most elements end without notice."""

    def text(self, text: str) -> None:
        if self._held is not None:
            self._length += len(text)
            if self._length > LONGEST:
                raise _Refused(f"has a cell of more than {LONGEST:,} characters; Excel allows 32,767")
            self._held.append(text)

    def keep(self) -> None:
        if self._held is None:
            self._held, self._length = [], 0

    def taken(self) -> str:
        text, self._held = "".join(self._held or ()), None
        return text


class _Relations(_Reader):
    def __init__(self, folder: PurePosixPath) -> None:
        super().__init__()
        self.folder, self.found = folder, dict[str, tuple[str, str]]()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes["Target"]
            path = posixpath.normpath(posixpath.join("/", self.folder, target)).lstrip("/")
            self.found[attributes["Id"]] = attributes["Type"].rpartition("/")[2], path


class _Sheets(_Reader):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, bool]] = []
        self.date1904 = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            self.found.append((attributes["name"], attributes.get("id", ""), attributes.get("state", "") != "visible"
                               and "state" in attributes))  # fmt: skip
        elif name == "workbookPr":
            self.date1904 = attributes.get("date1904", "0") in ("1", "true")


class _Strings(_Reader):
    """The texts that cells share; pronunciations (rPh) are no part of them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pieces: list[str] = []
        self.beside = False

    def of(self, book: _Book, part: str) -> list[str]:
        book.parse(part, self)
        return self.found

    def start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002
        if name == "si":
            self.pieces = []
        elif name == "rPh":
            self.beside = True
        elif name == "t" and not self.beside:
            self.keep()

    def end(self, name: str) -> None:
        if name == "t" and not self.beside:
            self.pieces.append(self.taken())
        elif name == "rPh":
            self.beside = False
        elif name == "si":
            self.found.append(_unescaped("".join(self.pieces)))


class _Styles(_Reader):
    """Whether each format of cells shows a date."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: dict[str, str] = {}
        self.found: list[bool] = []
        self.within = False

    def of(self, book: _Book, part: str) -> list[bool]:
        book.parse(part, self)
        return self.found

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            self.codes[attributes["numFmtId"]] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            self.within = True
        elif name == "xf" and self.within:
            number = attributes.get("numFmtId", "0")
            self.found.append(
                _shows_date(self.codes[number])
                if number in self.codes
                else number.isdecimal() and int(number) in _DATES
            )

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self.within = False


def _shows_date(code: str) -> bool:
    """Whether a format shows a day, a month or a year.

    >>> [_shows_date(code) for code in ("dd/mm/yyyy", "[$-C0A]d mmm", "0.00", '0 "días"', "[h]:mm", "General")]
    [True, True, False, False, False, False]
    """
    plain = re.sub(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]', "", code.split(";", maxsplit=1)[0]).lower()
    return "general" not in plain and bool(re.search("[dy]|mmm", plain))


class _Cells(_Reader):
    """The cells of one sheet."""

    def __init__(self, sheet: Sheet, book: _Book) -> None:
        super().__init__()
        self.sheet, self.book = sheet, book
        self.row = self.column = 0
        self.cells: dict[int, Cell] = {}
        self.kind = ""
        self.dated = self.formula = self.beside = False
        self.value: str | None = None
        self.merges: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._start_cell(attributes)
        elif name == "v" or (name == "t" and not self.beside):
            self.keep()
        elif name == "f":
            self.formula = True
        elif name == "rPh":
            self.beside = True
        elif name == "row":
            self.row = int(attributes.get("r", self.row + 1))
            if not 1 <= self.row <= MOST_ROWS:
                raise _Refused(f"has a row {self.row:,}; Excel has {MOST_ROWS:,} rows: save it anew as .xlsx")
            self.column, self.cells = -1, {}
            if attributes.get("hidden", "0") in ("1", "true"):
                self.sheet.hidden_rows.append(self.row)
        elif name == "mergeCell":
            self.merges.append(attributes["ref"])

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self.column = _column(attributes["r"]) if "r" in attributes else self.column + 1
        if self.column >= MOST_COLUMNS:
            raise _Refused(
                f"has a column {self.column + 1:,}; Excel has {MOST_COLUMNS:,} columns: save it anew as .xlsx"
            )
        style = int(attributes.get("s", 0))
        self.dated = style < len(self.book.dates) and self.book.dates[style]
        self.kind, self.value, self.formula = attributes.get("t", "n"), None, False

    def end(self, name: str) -> None:
        if name == "v" or (name == "t" and not self.beside):
            self.value = (self.value or "") + self.taken()
        elif name == "rPh":
            self.beside = False
        elif name == "c":
            cell = self._cell()
            if cell is not None:
                self.book.count_cells()
                self.cells[self.column] = cell
        elif name == "row" and self.cells:
            self.sheet.rows.setdefault(self.row, {}).update(self.cells)
        elif name == "worksheet":
            self._finish()

    def _cell(self) -> Cell:
        text = self.value
        if self.formula and self.kind != "str" and not (text or "").strip():
            return BadCell("", _NO_VALUE)
        if text is None:
            return None
        if self.kind == "s":
            return self.book.strings[int(text)] or None
        if self.kind in ("str", "inlineStr"):
            return _unescaped(text) or None
        if self.kind == "b":
            return "VERDADERO" if text.strip() == "1" else "FALSO"
        if self.kind == "e":
            return BadCell(text, "an error of a spreadsheet, not a value")
        if self.kind == "d":
            return datetime.fromisoformat(text).replace(tzinfo=None)
        return _number(text, dated=self.dated, date1904=self.sheet.date1904) if text.strip() else None

    def _finish(self) -> None:
        """Rows in order, and the value of merged cells in each of them."""
        sheet = self.sheet
        sheet.rows = dict(sorted(sheet.rows.items()))
        sheet.hidden_rows = [row for row in sheet.hidden_rows if row in sheet.rows]
        present = list(sheet.rows)
        for ref in self.merges:
            first, _, last = ref.replace("$", "").partition(":")
            left, right = _column(first), _column(last or first)
            top, bottom = (int(re.sub(r"\D", "", corner)) for corner in (first, last or first))
            if (value := sheet.rows.get(top, {}).get(left)) is None:
                continue
            sheet.merged.append(bottom)
            rows = present[bisect.bisect_left(present, top) : bisect.bisect_right(present, bottom)]
            self.book.count_cells(len(rows) * (min(right, MOST_COLUMNS) - left + 1))
            for row in rows:
                sheet.rows[row].update(dict.fromkeys(range(left, min(right, MOST_COLUMNS) + 1), value))


def _column(ref: str) -> int:
    """The number of a column, from 0.

    >>> _column("A1"), _column("AB12")
    (0, 27)
    """
    found = re.match(r"([A-Za-z]+)\d", ref)
    if not found or len(found[1]) > 3:
        raise _Refused(f"has a cell {ref[:20]!r}; Excel's columns are A to XFD: save it anew as .xlsx")
    number = 0
    for letter in found[1].upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def _number(text: str, *, dated: bool, date1904: bool) -> Cell:
    value = float(text)
    if dated and 1 <= value < 2_958_466:  # until the end of the year 9999
        start = datetime(1904, 1, 1) if date1904 else datetime(1899, 12, 30) if value >= 61 else datetime(1899, 12, 31)
        return start + timedelta(seconds=round(value * 86_400))
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _unescaped(text: str) -> str:
    """Text in which signs that XML cannot hold stand as _x000D_."""
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text) if "_x" in text else text
