"""Rows of tables as people have them: CSV in any encoding and with any separator, and sheets of workbooks.

A row that cannot be read is yielded too, with its line and the reason, so that every row is accounted for. Text around
the rows that is not used, such as a title, becomes a remark.
"""

import codecs
import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from calco.crime.clean import Cell, shown, spelling
from calco.crime.workbook import MOST_COLUMNS, Sheet
from calco.errors import CalcoError, printable
from calco.files import explain

BLOCK: Final = 1024  # lines that are split at once
LONGEST: Final = 50  # lines that one record may span
LONGEST_LINE: Final = 1 << 20  # characters of a line, and of the lines of one record
SEPARATORS: Final = ";,\t|"
SAMPLE: Final = 16 << 20  # bytes from which the encoding is guessed
ABOVE: Final = 30  # lines, or rows of a sheet, among which the names of the columns must be
csv.field_size_limit(LONGEST_LINE)
_GUESSES: Final = ("utf-8", "cp1252", "cp850", "mac_roman")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_SPANISH: Final = frozenset("áéíóúüñÁÉÍÓÚÜÑ¿¡«»°º–—‘’“”…€·")
# First bytes of files that are not text, and the remedy.
_NOT_TEXT: Final = (
    (b"PK\x03\x04", "is a workbook or a ZIP archive; the name of a workbook must end in .xlsx"),
    (b"\xd0\xcf\x11\xe0", "is a workbook of the old format .xls; save it as .xlsx or as CSV"),
    (b"PAR1", "is a Parquet file; its name must end in .parquet"),
    (b"\x1f\x8b", "is compressed; unpack it"),
)
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?[;,\t|]*\s*', re.IGNORECASE)  # which Excel writes and reads
# "=1+1", "+1 (2)", "@SUM(A1)", in letters of full width too; but "-5" and "+5,5" are numbers, and "-" is a sign.
_FORMULA: Final = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20].")
_NUMBER: Final = re.compile(r"[-+]?\d+(?:[.,]\d+)*")
Remarks = list[str]
Record = tuple[int, list[str], str]  # line, fields, and reason why it cannot be read ("" for none)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file."""

    line: int  # of a CSV file, or row of a sheet or Parquet file, from 1
    cells: Mapping[str, Cell]  # by the names of the wanted columns; empty if the record cannot be read
    problem: str = ""  # reason why it cannot be read
    raw: Mapping[str, Cell] = field(default_factory=dict)  # all cells by the names of the file
    sheet: str = ""  # of a workbook
    date1904: bool = False  # numbers count days from 1904


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that a source must have, with their other names; `renamed` maps names of the file to ours."""

    names: Mapping[str, tuple[str, ...]]
    renamed: Mapping[str, str] = field(default_factory=dict)

    def places(self, header: Sequence[str]) -> dict[str, int]:
        """Return the place of each column in a header without those that are missing, whatever case and accents."""
        if len(header) > MOST_COLUMNS:
            return {}
        ours = {spelling(file): spelling(name) for file, name in self.renamed.items()}
        there = [ours.get(spelling(name), spelling(name)) for name in header]
        return {
            name: there.index(known[0])
            for name, others in self.names.items()
            if (known := [spelling(one) for one in (name, *others) if spelling(one) in there])
        }

    def checked(self, header: Sequence[str], where: str) -> dict[str, int]:
        """Return the places of all columns; refuse a header that lacks one, or holds one twice."""
        places = self.places(header)
        if missing := [name for name in self.names if name not in places]:
            raise CalcoError(
                f"{where} has no column {missing[0]!r}; it has {', '.join(map(printable, header[:100]))[:300]}: "
                f"rename it, or give --columns 'ITS NAME={missing[0]}'"
            )
        names = Counter(map(spelling, header))
        if twice := [name for name, place in places.items() if names[spelling(header[place])] > 1]:
            raise CalcoError(f"{where} has the column {twice[0]!r} twice; remove one of them")
        return places


def renames(pairs: Sequence[str]) -> dict[str, str]:
    """Return name in the file => our name, of the option --columns."""
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise CalcoError(f"--columns {wrong[0]!r} must be of the form 'ITS NAME=OUR NAME'")
    return dict(pair.split("=", 1) for pair in pairs)


@contextmanager
def open_text(path: str | Path, encoding: str = "") -> Iterator[tuple[IO[str], str]]:
    """Open a text file and yield it with its encoding, given or detected.

    Bytes that do not fit stay in the text as lone surrogates, which `misfit` finds.
    """
    try:
        if encoding:
            "a".encode(encoding).decode(encoding)  # "hex" and "undefined" are codecs too
    except (LookupError, UnicodeError) as error:
        raise CalcoError(
            f"--encoding {encoding!r}: there is no such encoding; give one such as utf-8, cp1252 or latin-1"
        ) from error
    try:
        with Path(path).open("rb") as file:
            sample = file.read(SAMPLE)
        if wrong := [why for begins, why in _NOT_TEXT if sample.startswith(begins)]:
            raise CalcoError(f"{path} {wrong[0]}")
        chosen = encoding or guess_encoding(sample)
        errors = "replace" if re.search("16|32", chosen) else "surrogateescape"
        with Path(path).open(encoding=chosen, errors=errors) as text:
            yield text, chosen
    except UnicodeError as error:
        raise CalcoError(f"{path} cannot be read as {chosen}; name its encoding: --encoding cp1252") from error
    except OSError as error:
        raise explain(error, path, "read") from error


def guess_encoding(sample: bytes) -> str:
    """Return the encoding in which a sample makes most sense as Spanish.

    >>> guess_encoding("Año".encode("cp850")), guess_encoding("Año".encode("latin-1")), guess_encoding(b"plain")
    ('cp850', 'cp1252', 'utf-8')
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name
    zeros = [sample[start::2].count(0) for start in (0, 1)]
    if max(zeros) > len(sample) // 5:  # of two bytes a Latin letter has one that is zero
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"

    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last character may be cut off
        return "utf-8"
    except UnicodeDecodeError:
        foreign = [sign for sign in sample.decode("utf-8", "surrogateescape") if sign > "\x7f"]

    def sense(name: str) -> float:
        signs = [sign for sign in sample.decode(name, "surrogateescape") if sign > "\x7f"]
        return sum(sign in _SPANISH for sign in signs) / max(1, len(signs))

    # Bytes of another encoding hardly ever make a sign of UTF-8: some damaged bytes do not outweigh such signs.
    misfits = sum("\udc80" <= sign <= "\udcff" for sign in foreign)
    return "utf-8" if 2 * misfits <= len(foreign) else max(_GUESSES, key=sense)


def misfit(text: str) -> bool:
    """Return whether a text holds bytes that did not fit the encoding."""
    return not text.isascii() and bool(re.search("[\ud800-\udfff\ufffd]", text))


def csv_rows(
    path: str | Path, columns: Columns, *, encoding: str = "", separator: str = "", remarks: Remarks | None = None
) -> Iterator[Row]:
    """Yield the records of a CSV file."""
    with open_text(path, encoding) as (file, chosen):
        table = open_table(bounded_lines(file, path), columns, str(path), chosen, separator, remarks)
        for line, fields, problem in table.records:
            cells = {} if problem else {name: fields[place] for name, place in table.places.items()}
            yield Row(line, cells, problem, table.named(fields))


class Table(NamedTuple):
    """A table of CSV below its header."""

    names: list[str]  # of the columns in the file
    places: dict[str, int]  # of each wanted column in a record
    records: Iterator[Record]

    def named(self, fields: Sequence[str]) -> dict[str, Cell]:
        """Return a record by the names of its columns; those without a name by their number."""
        more = [""] * (len(fields) - len(self.names))
        names = (name or f"column {number}" for number, name in enumerate([*self.names, *more], 1))
        return dict(zip(names, fields, strict=False))


def open_table(
    lines: Iterator[str], columns: Columns, where: str, encoding: str, separator: str = "",
    remarks: Remarks | None = None,
) -> Table:  # fmt: skip
    """Read lines of CSV, with their ends, up to the names of the columns; `where` names them in messages.

    Lines above the names, such as a title or `sep=;`, are skipped; titles are reported in `remarks`.
    """
    ahead = list(islice(lines, ABOVE))
    start = 0
    if ahead and (given := _SEPARATOR_LINE.fullmatch(ahead[0].lstrip("\ufeff"))):
        separator, start = separator or given[1], 1
    while start < len(ahead) and not ahead[start].strip("\ufeff \t\r\n"):
        start += 1
    if start == len(ahead):
        raise CalcoError(f"{where} is empty; it must begin with the names of its columns")
    at, taken, sign, header = _find_header(ahead, start, columns, separator)
    places = columns.checked(header, where)
    if remarks is not None and at > start:
        remarks.append(f"{where}: lines above the names of the columns are not used ({at - start})")
    rest = chain(ahead[at + taken :], lines)
    return Table(header, places, _records(rest, sign, header, encoding, first=at + taken + 1))


def _find_header(ahead: Sequence[str], start: int, columns: Columns, separator: str) -> tuple[int, int, str, list[str]]:
    """Return the line that names most of the columns, the number of its lines, its separator and its names."""
    best = (-1, 0, 0, "", [""])
    for at in range(start, len(ahead)):
        for taken in range(1, 11):  # a name may span lines
            text = "".join(ahead[at : at + taken]).rstrip("\n")
            sign = separator or max(
                SEPARATORS, key=lambda one: (len(columns.places(split_record(text, one) or [])), text.count(one))
            )
            if (fields := split_record(text, sign)) is not None or at + taken >= len(ahead):
                break
        names = [" ".join(name.strip("\ufeff").split()) for name in fields or [text]]
        if (count := len(columns.places(names))) > best[0]:
            best = (count, at, taken, sign, names)
    return best[1:]


def bounded_lines(file: IO[str], path: str | Path) -> Iterator[str]:
    """Yield the lines of a file; refuse one without an end."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise CalcoError(
                f"{path}, line {number}: more than {LONGEST_LINE:,} characters without an end of line; it must be CSV"
            )
        yield line


def _records(
    lines: Iterator[str], separator: str, header: Sequence[str], encoding: str, *, first: int
) -> Iterator[Record]:
    """Yield the records from line `first` on.

    A quote that is opened and not closed costs the line that opens it, and no line after it. Records of empty fields
    are skipped. Separators after the last column, in the records or in the header, do no harm.
    """
    ahead: deque[str] = deque()
    number = first
    names = [name.strip() for name in header]
    while ahead or (block := list(islice(lines, BLOCK))):
        if not ahead:
            if rows := _faultless(block, separator, names):
                yield from zip(count(number), rows, repeat(""))
                number += len(rows)
                continue
            ahead.extend(block)
        line = ahead.popleft()
        fields, taken = _split(line, lines, ahead, separator, names)
        if fields is None:
            yield number, [line.rstrip("\n")], "a quote is opened and not closed"
        elif not any(field and not field.isspace() for field in fields):
            pass
        elif len(fields) != len(names):
            yield number, fields, f"{len(fields)} fields, where the header has {len(names)}"
        elif misfit("".join(fields)):
            yield number, fields, f"bytes that are not {encoding}"
        elif [field.strip() for field in fields] == names:
            yield number, fields, "the names of the columns again"
        else:
            yield number, fields, ""
        number += taken


def _faultless(lines: Sequence[str], separator: str, names: Sequence[str]) -> list[list[str]]:
    """Return the fields of lines that hold one faultless record each; nothing if one of them may not."""
    try:
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return []
    whole = len(rows) == len(lines) and all(len(row) == len(names) for row in rows) and not misfit("".join(lines))
    return rows if whole and not any(row[0].strip() in ("", names[0]) for row in rows) else []


def _fitted(fields: list[str], names: Sequence[str]) -> list[str]:
    """Return fields without empty ones after the last column, or with empty ones for columns without a name."""
    while len(fields) > len(names) and (not fields[-1] or fields[-1].isspace()):
        fields.pop()
    if len(fields) < len(names) and not any(names[len(fields) :]):
        fields += [""] * (len(names) - len(fields))
    return fields


def _split(
    line: str, lines: Iterator[str], ahead: deque[str], separator: str, names: Sequence[str]
) -> tuple[list[str] | None, int]:
    """Return the fields of a record (None if it has no end), and the number of its lines."""
    block, length = [line], len(line)
    while (fields := split_record("".join(block).removesuffix("\n"), separator, strict=len(block) > 1)) is None:
        following = None if len(block) == LONGEST else ahead.popleft() if ahead else next(lines, None)
        length += len(following or "")
        if following is None or length > LONGEST_LINE:
            ahead.extendleft(reversed([*block[1:], *([] if following is None else [following])]))
            return None, 1
        block.append(following)
    fields = _fitted(fields, names)
    if len(block) > 1 and len(fields) != len(names):
        ahead.extendleft(reversed(block[1:]))
        return None, 1
    return fields, len(block)


def split_record(text: str, separator: str, *, strict: bool = False) -> list[str] | None:
    """Return the fields of a record without its last end of line; None if a quote is not closed.

    With `strict` only a separator may follow a closed quote; otherwise the text after it belongs to the field.
    """
    reader = csv.reader([text, ""], delimiter=separator, strict=strict)
    try:
        fields = next(reader)
    except csv.Error:
        return None
    return fields if reader.line_num == 1 else None  # an open quote takes the second line as well


def header_row(sheet: Sheet, columns: Columns) -> tuple[int, list[str]]:
    """Return the row of a sheet that names most of the columns, and its names."""
    best, at, names, before = -1, 0, [""], 0
    for number, cells in islice(sheet.rows.items(), ABOVE):
        row = [shown(cells.get(place)) for place in range(max(cells) + 1)]
        if (count := len(columns.places(row))) > best or (row == names and before == at and number in sheet.merged):
            best, at, names = max(count, best), number, row
        before = number
    return at, names


def sheet_rows(sheet: Sheet, columns: Columns, path: str | Path, remarks: Remarks | None = None) -> Iterator[Row]:
    """Yield the records of a sheet below its header; empty rows are skipped."""
    at, header = header_row(sheet, columns)
    where = f"{path}, sheet {sheet.title}"
    places = columns.checked(header, f"{where},")
    if remarks is not None:
        remarks += [f"{where}: {note}" for note in _notes(sheet, at)]
    names = {place: name for place, name in enumerate(header) if name}
    for number, cells in sheet.rows.items():
        if number <= at or all(isinstance(cell, str) and not shown(cell) for cell in cells.values()):
            continue
        again = all(shown(cells.get(place)) == name for place, name in names.items())
        problem = "the names of the columns again" if again else ""
        raw = {names.get(place, f"column {place + 1}"): cells.get(place) for place in sorted({*names, *cells})}
        found = {name: cells.get(place) for name, place in places.items()}
        yield Row(number, found, problem, raw, sheet.title, sheet.date1904)


def _notes(sheet: Sheet, at: int) -> Iterator[str]:
    """Yield notes on a sheet whose header is row `at`."""
    if sheet.hidden:
        yield "it is hidden, and is read as well"
    if hidden := sum(row > at for row in sheet.hidden_rows):
        yield f"rows that are hidden, as by a filter, are read as well ({hidden})"
    if merged := sum(bottom > at for bottom in sheet.merged):
        yield f"merged cells give their value to each of their rows (ranges: {merged})"
    if above := sum(number < at for number in sheet.rows):
        yield f"rows above the names of the columns are not used ({above})"


def plain(value: Any) -> Any:
    """Return a value that a spreadsheet takes for text or a number, never for a formula, as OWASP advises.

    >>> [plain(value) for value in ("=1+1", "-5", -5, "-", "@x", "Ate")]
    ["'=1+1", '-5', -5, '-', "'@x", 'Ate']
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV with commas, without formulas."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([plain(value) for value in row] for row in rows)
    return text.getvalue()
