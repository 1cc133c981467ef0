"""DataCrim's rows, in batches, to crimes by district, modality and year, or into the rejects.

A text column holds few different texts many times: each text is cleaned once, each place and each kind of crime is
looked up once, and what a row costs is a number in an array.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from calco.crime.reading import (
    Columns,
    Remarks,
    Row,
    bounded_lines,
    header_row,
    open_table,
    open_text,
    sheet_rows,
)
from calco.crime.robberies import WIDEST, Reject, reject
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
BATCH: Final = 131_072  # rows of Parquet
_LINES: Final = 16_384  # rows of CSV: objects of Python, whose number slows its collector
_PLACE: Final = ("Departamento", "Provincia", "Distrito")
_CRIME: Final = ("Generica", "Especifica", "Modalidad")

Numbers: TypeAlias = npt.NDArray[np.int64]
Faults: TypeAlias = dict[int, tuple[str, str]]  # place of a row in its batch => column and reason


@dataclass(slots=True)
class Batch:
    """Some rows of a file, and those among them that could not be read."""

    columns: "dict[str, pa.Array]"  # by our names
    lines: Numbers  # of each row in its file
    numbers: Numbers  # of each record in its file, from 1
    broken: list[Row] = field(default_factory=list)
    sheet: str = ""  # of a workbook


def batches(
    path: str | Path,
    *,
    encoding: str = "",
    separator: str = "",
    renamed: Mapping[str, str] | None = None,
    remarks: Remarks | None = None,
) -> Iterator[Batch]:
    """Yield the rows of a file, some at a time; notes for the user are added to `remarks`."""
    columns = Columns(names=COLUMNS, renamed=renamed or {})
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        yield from _parquet(path, columns)
        return
    if not is_workbook(path):
        yield from _csv(path, columns, encoding, separator, remarks)
        return
    # Sheets that name most of the columns.
    sheets = [sheet for sheet in read_workbook(path) if len(columns.places(header_row(sheet, columns)[1])) > 4]
    if not sheets:
        raise CalcoError(f"{path} has no sheet with a row that names the columns {', '.join(COLUMNS)}")
    first = 1
    for sheet in sheets:
        rows = list(sheet_rows(sheet, columns, path, remarks))
        checked = [(number, row, row.problem or _bad(row)) for number, row in enumerate(rows, first)]
        good = [
            (number, row.line, ["" if cell is None else str(cell) for cell in row.cells.values()])
            for number, row, problem in checked
            if not problem
        ]
        broken = [Row(row.line, {}, problem, row.raw, row.sheet) for _, row, problem in checked if problem]
        yield _batch(good, {name: place for place, name in enumerate(COLUMNS)}, broken, sheet.title)
        first += len(rows)


def _csv(path: str | Path, columns: Columns, encoding: str, separator: str, remarks: Remarks | None) -> Iterator[Batch]:
    with open_text(path, encoding) as (file, chosen):
        table = open_table(bounded_lines(file, path), columns, str(path), chosen, separator, remarks)
        first = 1
        while some := list(islice(table.records, _LINES)):
            numbered = enumerate(some, first)
            good = [(number, line, fields) for number, (line, fields, problem) in numbered if not problem]
            broken = [Row(line, {}, problem, table.named(fields)) for line, fields, problem in some if problem]
            yield _batch(good, table.places, broken)
            first += len(some)


def _batch(
    good: Sequence[tuple[int, int, list[str]]], places: Mapping[str, int], broken: list[Row], sheet: str = ""
) -> Batch:
    """Return a batch of (number, line, texts), in which each column has a place, and the rows that cannot be read."""
    import pyarrow as pa

    numbers, lines, rows = zip(*good, strict=True) if good else ((), (), ())
    columns = {name: pa.array([texts[place] for texts in rows], pa.string()) for name, place in places.items()}
    return Batch(columns, np.array(lines, np.int64), np.array(numbers, np.int64), broken, sheet)


def _bad(row: Row) -> str:
    """Return the fault of a cell of a workbook that its text would not show."""
    for name, cell in row.cells.items():
        if isinstance(cell, BadCell):
            return f"{name}: {cell.reason}"
        if isinstance(cell, float) and name in ("Año", "Numero"):
            return f"{name}: not a whole number from 0 on"
    return ""


def _parquet(path: str | Path, columns: Columns) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as source:
            schema = pq.read_schema(source)
            places = columns.checked(schema.names, str(path))
            if nested := [name for name, place in places.items() if pa.types.is_nested(schema.field(place).type)]:
                held = schema.field(places[nested[0]]).type
                raise CalcoError(f"{path}: the column {nested[0]!r} holds {held}; it must hold texts or numbers")
            names = {ours: schema.names[place] for ours, place in places.items()}
            file = pq.ParquetFile(source, read_dictionary=[names[ours] for ours in (*_PLACE, *_CRIME)])
            first = 1
            for batch in file.iter_batches(BATCH, columns=list(names.values())):
                lines = np.arange(first, first + batch.num_rows)
                first += batch.num_rows
                yield Batch({ours: batch.column(name) for ours, name in names.items()}, lines, lines)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and not isinstance(error, pa.ArrowException) and error.errno is not None:
            raise explain(error, path, "read") from error
        reason = clean.squeezed(str(error))[:200]
        raise CalcoError(f"{path} is not a whole Parquet file ({reason})") from error


@dataclass
class Cleaner:
    """Turns batches into rows of `Crimenes_DataCrim`; `new` holds new rows of the tables of crimes."""

    places: Gazetteer
    path: str | Path  # for the rejects
    today: date  # the latest possible
    new: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    _keys: dict[str, dict[Any, int]] = field(default_factory=dict)
    _known: dict[tuple[Cell, ...], int | UnusableCell] = field(default_factory=dict)

    def clean(self, batch: Batch) -> "tuple[pa.Table, list[Reject]]":
        """Return the rows of the table, whose `id` is the number of the record in its file, and the rejects."""
        import pyarrow as pa

        faults: Faults = {}
        keys = {
            "Id_Distrito": self._look_up(batch, _PLACE, self._place, faults),
            "Anio": self._look_up(batch, ("Año",), lambda cell: dates.year(cell, today=self.today), faults),
            "Numero_Ocurrencias": self._look_up(batch, ("Numero",), _occurrences, faults),
            # Last, and of good rows alone: crimes that are looked up get into the tables.
            "Id_Modalidad": self._look_up(batch, _CRIME, self._crime, faults),
        }
        good = np.ones(len(batch.lines), bool)
        good[list(faults)] = False
        columns = {"id": batch.numbers, **keys}
        names = ("id", "Id_Distrito", "Id_Modalidad", "Numero_Ocurrencias", "Anio")
        table = pa.table({name: columns[name][good].astype(np.int32) for name in names})
        rejects = [reject("datacrim", self.path, row, "", "", row.problem) for row in batch.broken]
        for place, (column, reason) in faults.items():
            raw = {name: values[place].as_py() for name, values in batch.columns.items()}
            row = Row(int(batch.lines[place]), raw, "", raw, batch.sheet)
            rejects.append(reject("datacrim", self.path, row, column, raw[column], reason))
        return table, sorted(rejects, key=lambda one: one.line)

    def _look_up(self, batch: Batch, names: Sequence[str], meaning: Callable[..., int], faults: Faults) -> Numbers:
        """Return the number that the cells of each row in some columns mean; faults go to `faults`.

        Rows that have a fault already are left out.
        """
        coded = [_coded(batch.columns[name]) for name in names]
        shape = tuple(len(held) for held, _ in coded)
        combined = np.ravel_multi_index([codes for _, codes in coded], shape)
        combined[list(faults)] = -1
        different, first, where = np.unique(combined, return_index=True, return_inverse=True)
        numbers = np.zeros(len(different), np.int64)
        wrong: dict[int, str] = {}
        for place in np.argsort(first).tolist():  # crimes are numbered in the order of the rows, in any batches
            if different[place] < 0:
                continue
            indices = np.unravel_index(different[place], shape)
            cells = [held[index] for (held, _), index in zip(coded, indices, strict=True)]
            found = self._remembered(names, meaning, cells)
            if isinstance(found, UnusableCell):
                wrong[place] = str(found)
            else:
                numbers[place] = found
        for row in np.flatnonzero(np.isin(where, list(wrong))).tolist() if wrong else ():
            faults[row] = (names[-1], wrong[int(where[row])])
        return numbers[where]

    def _remembered(self, names: Sequence[str], meaning: Callable[..., int], cells: list[Any]) -> int | UnusableCell:
        known = (names[0], *cells)
        if known not in self._known:
            try:
                self._known[known] = meaning(*cells)
            except UnusableCell as error:
                self._known[known] = error
        return self._known[known]

    def _place(self, *cells: Cell) -> int:
        department, province, district = map(_letters, cells)
        return self.places.district(district, province, department)

    def _crime(self, *cells: Cell) -> int:
        """Return the key of a modality; a new one goes to `new`, with its generic and specific crime."""
        names = [_letters(cell) for cell in cells]
        for name, what in zip(names, ("generic crime", "specific crime", "modality"), strict=True):
            if not fold(name):
                raise UnusableCell(f"no {what} is given")
            if len(name) > WIDEST:
                raise UnusableCell(f"the {what} has more than {WIDEST} characters")
        above: tuple[int, ...] = ()
        for table, name in zip(("Crimen_Generico", "Crimen_Especifico", "Modalidad_Crimen"), names, strict=True):
            keys = self._keys.setdefault(table, {})
            if (*above, fold(name)) not in keys:
                keys[*above, fold(name)] = len(keys) + 1
                self.new.setdefault(table, []).append((len(keys), *above, name))
            above = (keys[*above, fold(name)],)
        return above[0]


def _letters(cell: Any) -> str:
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    return clean.letters(clean.stated(text))


def _occurrences(cell: Cell) -> int:
    if not clean.stated(cell):
        raise UnusableCell("no number of occurrences is given")
    return clean.whole_number(cell)


def _coded(values: "pa.Array") -> tuple[list[Any], Numbers]:
    """Return the different values of a column (with an empty text for a missing one), and the place of each row's."""
    import pyarrow as pa

    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    held = ["" if value is None else value for value in coded.dictionary.to_pylist()]
    codes = coded.indices.fill_null(len(held)) if coded.indices.null_count else coded.indices
    return [*held, ""], codes.to_numpy(zero_copy_only=False).astype(np.int64)
