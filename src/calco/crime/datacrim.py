"""DataCrim's rows, in batches, to crimes by district, modality and year, or into the rejects.

A text column holds few different texts many times: each text is cleaned once, each place and each kind of crime is
looked up once, and what a row costs is a number in an array.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.crime import clean, dates
from calco.crime.clean import BadCell, Cell, UnusableCell, fold
from calco.crime.gazetteer import Gazetteer
from calco.crime.reading import LONGEST, Columns, Csv, Remarks, Row, header_row, misfit, open_csv, records, sheet_rows
from calco.crime.robberies import Reject, reject
from calco.crime.workbook import is_workbook, read_workbook
from calco.errors import CalcoError
from calco.files import explain

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "Año": ("Anio",),
    "Numero": ("Número",),
    "Generica": ("Genérica",),
    "Especifica": ("Específica",),
    "Modalidad": (),
    "Departamento": (),
    "Provincia": (),
    "Distrito": (),
}
TEXTS: Final = ("Departamento", "Provincia", "Distrito", "Generica", "Especifica", "Modalidad")
BATCH: Final = 131_072
_LINES: Final = 32_768  # of a CSV file that are looked at together
_CHARACTERS: Final = 64 << 20  # of them

Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(slots=True)
class Batch:
    """Some rows that could be read, and those among them that could not.

    Attributes:
        columns: Arrow arrays by our names of the columns.
        lines: Where each row stands in its file.
        numbers: The number of each record in its file, from 1.
        broken: What could not be read, with the number of the record.
        sheet: Of a workbook.
    """

    columns: "dict[str, pa.Array]"
    lines: Numbers
    numbers: Numbers
    broken: list[Row] = field(default_factory=list)
    sheet: str = ""


def batches(
    path: str | Path,
    *,
    encoding: str = "",
    separator: str = "",
    renamed: Mapping[str, str] | None = None,
    remarks: Remarks | None = None,
) -> Iterator[Batch]:
    """The rows of a file, some at a time; `remarks` takes what a person should know."""
    columns = Columns(names=COLUMNS, renamed=renamed or {})
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        return _parquet(path, columns)
    if is_workbook(path):
        return _workbook(path, columns, remarks)
    return _csv(path, columns, encoding, separator, remarks)


def _parquet(path: str | Path, columns: Columns) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as source:
            schema = pq.read_schema(source)
            names = schema.names
            places = columns.checked(names, str(path))
            if nested := [name for name, place in places.items() if pa.types.is_nested(schema.field(place).type)]:
                held = schema.field(places[nested[0]]).type
                raise CalcoError(f"{path}: the column {nested[0]!r} holds {held}; it must hold texts or numbers")
            wanted = [names[place] for place in places.values()]
            file = pq.ParquetFile(source, read_dictionary=[names[places[name]] for name in TEXTS])
            first = 1
            for batch in file.iter_batches(BATCH, columns=wanted):
                lines = np.arange(first, first + batch.num_rows)
                first += batch.num_rows
                yield Batch(dict(zip(places, (batch.column(name) for name in wanted), strict=True)), lines, lines)
    except OSError as error:
        if isinstance(error, pa.ArrowException) or error.errno is None:
            raise CalcoError(f"{path} is no whole Parquet file ({clean.squeezed(str(error))[:200]})") from error
        raise explain(error, path, "read") from error
    except pa.ArrowException as error:
        raise CalcoError(f"{path} is no whole Parquet file ({clean.squeezed(str(error))[:200]})") from error


def _workbook(path: str | Path, columns: Columns, remarks: Remarks | None) -> Iterator[Batch]:
    """Sheets that name most of the columns."""
    import pyarrow as pa

    sheets = [sheet for sheet in read_workbook(path) if len(columns.places(header_row(sheet, columns)[1])) > 4]
    if not sheets:
        raise CalcoError(f"{path} has no sheet with a row that names the columns {', '.join(COLUMNS)}")
    number = 1
    for sheet in sheets:
        rows = sheet_rows(sheet, columns, path, remarks)
        while some := list(islice(rows, _LINES)):
            checked = [(place, row, row.problem or _bad(row)) for place, row in enumerate(some, number)]
            good = [(place, row) for place, row, problem in checked if not problem]
            number += len(some)
            yield Batch(
                {name: pa.array([_text(row.cells[name]) for _, row in good], pa.string()) for name in COLUMNS},
                np.array([row.line for _, row in good], np.int64),
                np.array([place for place, _ in good], np.int64),
                [Row(row.line, {}, problem, row.raw, row.sheet) for _, row, problem in checked if problem],
                sheet.title,
            )


def _bad(row: Row) -> str:
    """What is wrong with a cell of a workbook that text could not say."""
    for name, cell in row.cells.items():
        if isinstance(cell, BadCell):
            return f"{name}: {cell.reason}"
        if isinstance(cell, float) and name in ("Año", "Numero"):
            return f"{name}: not a whole number from 0 on"
    return ""


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def _csv(path: str | Path, columns: Columns, encoding: str, separator: str, remarks: Remarks | None) -> Iterator[Batch]:
    with open_csv(path, columns, encoding=encoding, separator=separator, remarks=remarks) as held:
        line, number = held.first, 1
        while lines := _some(held.lines):
            columns_read = _quick(lines, held.separator, len(held.header))
            if columns_read is not None:
                place = np.arange(len(lines))
                yield Batch(_named(columns_read, held.places), place + line, place + number)
                line, number = line + len(lines), number + len(lines)
                continue
            while "".join(lines).count('"') % 2 and (more := list(islice(held.lines, LONGEST))):
                lines += more  # a record that goes on behind the block, or a quote that nobody closed
                if len(lines) > _LINES + LONGEST:
                    break
            some = list(records(iter(lines), held.separator, held.header, held.encoding, first=line))
            yield _slow(some, held, number)
            line, number = line + len(lines), number + len(some)


def _some(lines: Iterator[str]) -> list[str]:
    """The next lines, as many as are looked at together."""
    found, length = list[str](), 0
    for line in islice(lines, _LINES):
        found.append(line)
        length += len(line)
        if length > _CHARACTERS:
            break
    return found


def _quick(lines: Sequence[str], separator: str, width: int) -> "list[pa.Array] | None":
    """The columns of lines in which nothing is wrong, each of them one record; None where one needs a closer look."""
    import pyarrow as pa
    import pyarrow.csv

    text = "".join(lines)
    blank = f'{separator}" \t\n'
    if any(line.count('"') % 2 or not line.strip(blank) for line in lines) or misfit(text):
        return None
    names = [str(place) for place in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) * 4 + 64),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException:
        return None
    return [column.combine_chunks() for column in table.columns] if table.num_rows == len(lines) else None


def _named(columns: "Sequence[pa.Array]", places: Mapping[str, int]) -> "dict[str, pa.Array]":
    return {name: columns[place] for name, place in places.items()}


def _slow(some: Sequence[tuple[int, list[str], str]], held: Csv, first: int) -> Batch:
    """A batch of records one by one, with what is wrong with some of them."""
    import pyarrow as pa

    good = [(number, row) for number, row in enumerate(some, first) if not row[2]]
    columns = list(zip(*(row[1] for _, row in good), strict=True)) or [()] * len(held.header)
    return Batch(
        _named([pa.array(values, pa.string()) for values in columns], held.places),
        np.array([row[0] for _, row in good], np.int64),
        np.array([number for number, _ in good], np.int64),
        [Row(line, {}, problem, held.raw(fields)) for line, fields, problem in some if problem],
    )


if TYPE_CHECKING:
    import pyarrow as pa

_PLACE: Final = ("Departamento", "Provincia", "Distrito")
_CRIME: Final = ("Generica", "Especifica", "Modalidad")
_WIDEST: Final = 255


@dataclass
class Crimes:
    """The kinds of crime as they turn up: rows of three tables, numbered by first appearance."""

    generic: dict[str, int] = field(default_factory=dict)
    specific: dict[tuple[int, str], int] = field(default_factory=dict)
    modality: dict[tuple[int, str], int] = field(default_factory=dict)
    new: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def key(self, generic: str, specific: str, modality: str) -> int:
        """The key of a modality; one that is new goes to `new` as well, with its generic and specific crime."""
        names = [clean.letters(clean.stated(name)) for name in (generic, specific, modality)]
        for name, what in zip(names, ("generic crime", "specific crime", "modality"), strict=True):
            if not fold(name):
                raise UnusableCell(f"no {what} is given")
            if len(name) > _WIDEST:
                raise UnusableCell(f"the {what} has more than {_WIDEST} characters")
        above = self._known(self.generic, fold(names[0]), "Crimen_Generico", (names[0],))
        above = self._known(self.specific, (above, fold(names[1])), "Crimen_Especifico", (above, names[1]))
        return self._known(self.modality, (above, fold(names[2])), "Modalidad_Crimen", (above, names[2]))

    def _known(self, keys: dict[Any, int], name: Any, table: str, row: tuple[Any, ...]) -> int:
        if name not in keys:
            keys[name] = len(keys) + 1
            self.new.setdefault(table, []).append((keys[name], *row))
        return keys[name]


@dataclass
class Cleaner:
    """What turns batches into rows of `Crimenes_DataCrim`.

    Attributes:
        places: The gazetteer.
        path: The file, for the rejects.
        today: No year is later.
        crimes: The kinds of crime that have turned up.
    """

    places: Gazetteer
    path: str | Path
    today: date
    crimes: Crimes = field(default_factory=Crimes)
    _seen: dict[tuple[str, ...], int | UnusableCell] = field(default_factory=dict)

    def clean(self, batch: Batch) -> "tuple[pa.Table, list[Reject]]":
        """The rows of the table, whose `id` is the number of the record in its file, and what is not among them."""
        import pyarrow as pa

        districts, district_faults = self._looked_up(batch, _PLACE)
        years, year_faults = self._numbers(batch, "Año")
        counts, count_faults = self._numbers(batch, "Numero")
        faults = {**count_faults, **year_faults, **district_faults}
        # Last, and of good rows alone: what is looked up becomes a crime in the tables.
        modalities, modality_faults = self._looked_up(batch, _CRIME, leave_out=list(faults))
        faults |= modality_faults
        good = np.ones(len(batch.lines), bool)
        good[list(faults)] = False
        columns = (batch.numbers, districts, modalities, counts, years)
        names = ("id", "Id_Distrito", "Id_Modalidad", "Numero_Ocurrencias", "Anio")
        table = pa.table({name: values[good].astype(np.int32) for name, values in zip(names, columns, strict=True)})
        rejects = [reject("datacrim", self.path, row, "", "", row.problem) for row in batch.broken]
        rejects += [self._reject(batch, place, *faults[place]) for place in sorted(faults)]
        return table, sorted(rejects, key=lambda one: one.line)

    def _reject(self, batch: Batch, place: int, column: str, reason: str) -> Reject:
        raw = {name: values[place].as_py() for name, values in batch.columns.items()}
        row = Row(int(batch.lines[place]), raw, "", raw, batch.sheet)
        return reject("datacrim", self.path, row, column, raw[column], reason)

    def _looked_up(
        self, batch: Batch, names: Sequence[str], *, leave_out: Sequence[int] = ()
    ) -> tuple[Numbers, dict[int, tuple[str, str]]]:
        """The key that three texts of each row mean together, and the faults by the place of their row."""
        texts: list[list[str]] = []
        combined = np.zeros(len(batch.lines), np.int64)
        for name in names:
            held, codes = _coded(batch.columns[name])
            texts.append([one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in held])
            combined = combined * len(held) + codes
        combined[list(leave_out)] = -1
        different, first, where = np.unique(combined, return_index=True, return_inverse=True)
        keys = np.zeros(len(different), np.int64)
        wrong: dict[int, str] = {}
        for place in np.argsort(first).tolist():  # crimes are numbered as they turn up, whatever the batches are
            code, told = int(different[place]), []
            if code < 0:
                continue
            for held in reversed(texts):
                code, digit = divmod(code, len(held))
                told.append(held[digit])
            found = self._meant(names, tuple(reversed(told)))
            if isinstance(found, UnusableCell):
                wrong[place] = str(found)
            else:
                keys[place] = found
        faults: dict[int, tuple[str, str]] = {}
        if wrong:
            for row in np.flatnonzero(np.isin(where, list(wrong))).tolist():
                faults[row] = (names[-1], wrong[int(where[row])])
        return keys[where], faults

    def _meant(self, names: Sequence[str], told: tuple[str, ...]) -> int | UnusableCell:
        key = (names[0], *told)
        if key not in self._seen:
            try:
                if names is _CRIME:
                    self._seen[key] = self.crimes.key(*told)
                else:
                    department, province, district = (clean.letters(clean.stated(text)) for text in told)
                    self._seen[key] = self.places.district(district, province, department)
            except UnusableCell as error:
                self._seen[key] = error
        return self._seen[key]

    def _numbers(self, batch: Batch, name: str) -> tuple[Numbers, dict[int, tuple[str, str]]]:
        """The numbers of a column, each different text read once, and the faults by the place of their row."""
        held, codes = _coded(batch.columns[name])
        values = np.zeros(len(held), np.int64)
        wrong: dict[int, str] = {}
        for code, text in enumerate(held):
            try:
                values[code] = dates.year(text, today=self.today) if name == "Año" else _told_count(text)
            except UnusableCell as error:
                wrong[code] = str(error)
        faults: dict[int, tuple[str, str]] = {}
        if wrong:
            for row in np.flatnonzero(np.isin(codes, list(wrong))).tolist():
                faults[row] = (name, wrong[int(codes[row])])
        return values[codes], faults


def _told_count(text: Cell) -> int:
    if not clean.stated(text):
        raise UnusableCell("no number of occurrences is given")
    return clean.whole_number(text)


def _coded(values: "pa.Array") -> tuple[list[Any], Numbers]:
    """The different values of a column (with an empty text for what is missing), and each row's."""
    import pyarrow as pa

    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    held = ["" if value is None else value for value in coded.dictionary.to_pylist()]
    codes = coded.indices
    if codes.null_count:
        codes = codes.fill_null(len(held))
    return [*held, ""], codes.to_numpy(zero_copy_only=False).astype(np.int64)
