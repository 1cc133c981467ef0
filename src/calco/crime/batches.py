"""DataCrim's rows from Parquet or CSV, some at a time, as Arrow arrays."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.crime import clean
from calco.crime.clean import BadCell, Cell
from calco.crime.csv_records import LONGEST, misfit, records
from calco.crime.reading import Columns, Csv, Remarks, Row, header_row, open_csv, sheet_rows
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
    """The rows of a file, some at a time; `remarks` takes what a person should know.

    Raises:
        CalcoError: When it cannot be read, or a column is missing.
    """
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
