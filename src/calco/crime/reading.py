"""Rows from files as people have them: CSV in any encoding and with any separator, and workbooks.

A row that cannot be read comes out too, with the reason and its line: nobody else can account for it.
"""

import codecs
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Final

from calco.crime.clean import Cell, fold
from calco.crime.extra import needs
from calco.errors import CalcoError, printable
from calco.files import explain

SEPARATORS: Final = ";,\t|"
SAMPLE: Final = 16 << 20  # bytes from which the encoding is guessed
LONGEST: Final = 50  # lines that one record may span
_GUESSES: Final = ("utf-8", "cp1252", "cp850", "mac_roman")
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SPANISH: Final = frozenset("áéíóúüñÁÉÍÓÚÜÑ¿¡«»°º–—‘’“”…€·")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file.

    Attributes:
        line: Where it begins, counted from 1: the line of a CSV file, the row of a sheet or of a Parquet file.
        cells: Its cells by the names that were asked for; empty where it could not be read.
        problem: Why it could not be read; empty where it could.
        raw: All of it, as it was found.
        sheet: The sheet of a workbook.
    """

    line: int
    cells: Mapping[str, Cell]
    problem: str = ""
    raw: Mapping[str, Cell] = field(default_factory=dict)
    sheet: str = ""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that a source must have.

    Attributes:
        names: What each is called here, and the other names that it goes by; accents and case do not matter.
        renamed: What the user calls them: the file's name to ours.
    """

    names: Mapping[str, tuple[str, ...]]
    renamed: Mapping[str, str] = field(default_factory=dict)

    def places(self, header: Sequence[str]) -> dict[str, int]:
        """At which place of a header each one stands; what is missing is not there."""
        ours = {fold(file): fold(name) for file, name in self.renamed.items()}
        found = [ours.get(fold(name), fold(name)) for name in header]
        return {
            name: found.index(folded)
            for name, others in self.names.items()
            for folded in map(fold, (name, *others))
            if folded in found
        }

    def checked(self, header: Sequence[str], where: str) -> dict[str, int]:
        """The places of all of them.

        Raises:
            CalcoError: When one is missing, or stands there twice.
        """
        places = self.places(header)
        if missing := [name for name in self.names if name not in places]:
            near = get_close_matches(missing[0].upper(), [name.upper() for name in header], 1, 0.6)
            perhaps = f" ({near[0]!r} may be it)" if near else ""
            raise CalcoError(
                f"{where} has no column {missing[0]!r}{perhaps}; it has {', '.join(map(printable, header))[:300]}: "
                f"rename it, or give --columns 'ITS NAME={missing[0]}'"
            )
        names = Counter(fold(name) for name in header)
        if twice := [name for name, place in places.items() if names[fold(header[place])] > 1]:
            raise CalcoError(f"{where} has the column {twice[0]!r} twice; remove one of them")
        return places


@contextmanager
def open_text(path: str | Path, encoding: str = "") -> Iterator[tuple[IO[str], str]]:
    """Opens a text file; yields it with the encoding that was given or found.

    Bytes that do not fit stay in the text as lone surrogates, for `misfit` to find.

    Raises:
        CalcoError: When it cannot be read, or there is no such encoding.
    """
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError as error:
        raise CalcoError(f"there is no encoding {encoding!r}; utf-8, cp1252, latin-1 are some") from error
    try:
        with Path(path).open("rb") as file:
            chosen = encoding or guess_encoding(file.read(SAMPLE))
        errors = "replace" if fold(chosen).startswith("UTF") and "16" in chosen else "surrogateescape"
        with Path(path).open(encoding=chosen, errors=errors) as text:
            yield text, chosen
    except OSError as error:
        raise explain(error, path, "read") from error


def guess_encoding(sample: bytes) -> str:
    """The encoding in which a sample makes most sense as Spanish.

    >>> guess_encoding("Año".encode("cp850")), guess_encoding("Año".encode("latin-1")), guess_encoding(b"plain")
    ('cp850', 'cp1252', 'utf-8')
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name

    def sense(name: str) -> float:
        text = sample.decode(name, "surrogateescape")
        foreign = Counter(sign for sign in text if sign > "\x7f")
        return sum(count for sign, count in foreign.items() if sign in _SPANISH) / max(1, foreign.total())

    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last character may be cut off
    except UnicodeDecodeError:
        signs = Counter(
            "\udc80" <= sign <= "\udcff" for sign in sample.decode("utf-8", "surrogateescape") if sign > "\x7f"
        )
        # Bytes of another encoding hardly ever make a sign of UTF-8: some damaged bytes do not outweigh such signs.
        return "utf-8" if signs[False] >= signs[True] else max(_GUESSES, key=sense)
    return "utf-8"


def misfit(text: str) -> bool:
    """Whether there are bytes in it that did not fit the encoding."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return "\ufffd" in text


def csv_rows(path: str | Path, columns: Columns, *, encoding: str = "", separator: str = "") -> Iterator[Row]:
    """The records of a CSV file.

    Raises:
        CalcoError: When it cannot be read, is empty, or misses a column.
    """
    with open_text(path, encoding) as (file, chosen):
        head = file.readline().rstrip("\n")
        if not head.strip():
            raise CalcoError(f"{path} is empty; it must begin with the names of its columns")
        sign = separator or guess_separator(head, columns)
        header = [name.strip().lstrip("\ufeff") for name in split_record(head, sign) or [head]]
        places = columns.checked(header, str(path))
        for line, fields, problem in records(file, sign, len(header), chosen, first=2):
            raw = dict(zip(header, fields, strict=False))
            cells = {} if problem else {name: fields[place] for name, place in places.items()}
            yield Row(line, cells, problem, raw)


def guess_separator(head: str, columns: Columns) -> str:
    """The sign by which a first line falls into most of the columns that are asked for."""
    return max(SEPARATORS, key=lambda sign: (len(columns.places(split_record(head, sign) or [])), head.count(sign)))


def records(
    lines: Iterator[str], separator: str, width: int, encoding: str, *, first: int = 1
) -> Iterator[tuple[int, list[str], str]]:
    """Cuts lines into records: yields line, fields, and what is wrong with them, or "".

    Where a quote is opened and not closed, the line that opens it is lost, and no line after it.

    Args:
        lines: With their ends.
        separator: Between fields.
        width: How many fields a record must have.
        encoding: The file's, for the words.
        first: The number of the first line.
    """
    ahead: deque[str] = deque()
    number = first
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        taken, fields = 1, None
        if '"' not in line:
            if line == "\n":  # nobody's record
                number += 1
                continue
            fields = line.rstrip("\n").split(separator)
        else:
            fields, taken = _quoted(line, lines, ahead, separator, width)
        if fields is None:
            yield number, [line.rstrip("\n")], "a quote is opened and not closed"
        elif len(fields) != width:
            yield number, fields, f"{len(fields)} fields, where the header has {width}"
        elif misfit("".join(fields)):
            yield number, fields, f"bytes that are not {encoding}"
        else:
            yield number, fields, ""
        number += taken


def _quoted(
    line: str, lines: Iterator[str], ahead: deque[str], separator: str, width: int
) -> tuple[list[str] | None, int]:
    """The fields of a record with quotes, and how many lines it spans; no fields where it has no end."""
    block = [line]
    while (fields := split_record("".join(block).removesuffix("\n"), separator, strict=len(block) > 1)) is None:
        following = ahead.popleft() if ahead and len(block) < LONGEST else next(lines, None)
        if following is None or len(block) >= LONGEST:
            ahead.extendleft(reversed([*block[1:], *([] if following is None else [following])]))
            return None, 1
        block.append(following)
    if len(block) > 1 and len(fields) != width:
        ahead.extendleft(reversed(block[1:]))
        return None, 1
    return fields, len(block)


_CLOSED: Final = re.compile(r'"([^"]*(?:""[^"]*)*)"(?!")')


def split_record(text: str, separator: str, *, strict: bool = False) -> list[str] | None:
    """The fields of a record; None where a quote is not closed.

    Args:
        text: Without the end of its last line.
        separator: One sign.
        strict: After a closed quote nothing but a separator may come; otherwise what comes belongs to the field.
    """
    fields: list[str] = []
    place = 0
    while True:
        value = ""
        if text.startswith('"', place):
            quoted = _CLOSED.match(text, place)
            if quoted is None:
                return None
            value, place = quoted[1].replace('""', '"'), quoted.end()
        end = text.find(separator, place)
        end = len(text) if end < 0 else end
        rest = text[place:end]
        if strict and value and rest.strip():
            return None
        fields.append(value + rest)
        if end >= len(text):
            return fields
        place = end + 1


@contextmanager
def open_workbook(path: str | Path) -> Iterator[Mapping[str, list[list[Cell]]]]:
    """Yields the rows of each sheet of a workbook that has any.

    Raises:
        CalcoError: When it is no workbook, or openpyxl is missing.
    """
    import warnings
    import zipfile

    needs("openpyxl")
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it has and we do not read: styles, validations
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            sheets = {
                sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets
            }
            book.close()
    except OSError as error:
        raise explain(error, path, "read") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, IndexError, SyntaxError) as error:
        raise CalcoError(
            f"{path} is no whole workbook ({printable(str(error))[:200]}); save it anew as .xlsx"
        ) from error
    yield {title: rows for title, rows in sheets.items() if rows}


def sheet_rows(title: str, rows: Sequence[Sequence[Cell]], columns: Columns, path: str | Path) -> Iterator[Row]:
    """The records of one sheet, whose first row names the columns; rows without any cell are nobody's."""
    header = ["" if cell is None else str(cell).strip() for cell in rows[0]]
    places = columns.checked(header, f"{path}, sheet {title},")
    for number, cells in enumerate(rows[1:], 2):
        if any(cell is not None and str(cell).strip() for cell in cells):
            padded = [*cells, *[None] * (len(header) - len(cells))]
            raw = {name: cell for name, cell in zip(header, padded, strict=False) if name}
            yield Row(number, {name: padded[place] for name, place in places.items()}, "", raw, title)
