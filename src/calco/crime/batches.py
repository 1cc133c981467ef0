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
from calco.crime.reading import LONGEST, Columns, Row, guess_separator, misfit, open_text, records, split_record
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

Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(slots=True)
class Batch:
    """Some rows that could be read, and those among them that could not.

    Attributes:
        columns: Arrow arrays by our names of the columns.
        lines: Where each row stands in its file.
        numbers: The number of each record in its file, from 1.
        broken: What could not be read, with the number of the record.
    """

    columns: "dict[str, pa.Array]"
    lines: Numbers
    numbers: Numbers
    broken: list[Row] = field(default_factory=list)


def batches(
    path: str | Path, *, encoding: str = "", separator: str = "", renamed: Mapping[str, str] | None = None
) -> Iterator[Batch]:
    """The rows of a file, some at a time.

    Raises:
        CalcoError: When it cannot be read, or a column is missing.
    """
    columns = Columns(names=COLUMNS, renamed=renamed or {})
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        return _parquet(path, columns)
    return _csv(path, columns, encoding, separator)


def _parquet(path: str | Path, columns: Columns) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as source:
            names = pq.read_schema(source).names
            places = columns.checked(names, str(path))
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


def _csv(path: str | Path, columns: Columns, encoding: str, separator: str) -> Iterator[Batch]:
    with open_text(path, encoding) as (file, chosen):
        head = file.readline().rstrip("\n")
        if not head.strip():
            raise CalcoError(f"{path} is empty; it must begin with the names of its columns")
        sign = separator or guess_separator(head, columns)
        header = [name.strip().lstrip("\ufeff") for name in split_record(head, sign) or [head]]
        places = columns.checked(header, str(path))
        line, number = 2, 1
        while lines := list(islice(file, _LINES)):
            columns_read = _quick(lines, sign, len(header))
            if columns_read is not None:
                place = np.arange(len(lines))
                yield Batch(_named(columns_read, places), place + line, place + number)
                line, number = line + len(lines), number + len(lines)
                continue
            while "".join(lines).count('"') % 2 and (more := list(islice(file, LONGEST))):
                lines += more  # a record that goes on behind the block, or a quote that nobody closed
                if len(lines) > _LINES + LONGEST:
                    break
            some = list(records(iter(lines), sign, len(header), chosen, first=line))
            yield _slow(some, header, places, number)
            line, number = line + len(lines), number + len(some)


def _quick(lines: Sequence[str], separator: str, width: int) -> "list[pa.Array] | None":
    """The columns of lines in which nothing is wrong, each of them one record; None where one needs a closer look."""
    import pyarrow as pa
    import pyarrow.csv

    text = "".join(lines)
    if any(line.count('"') % 2 for line in lines) or misfit(text):
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


def _slow(
    some: Sequence[tuple[int, list[str], str]], header: Sequence[str], places: Mapping[str, int], first: int
) -> Batch:
    """A batch of records one by one, with what is wrong with some of them."""
    import pyarrow as pa

    good = [(number, row) for number, row in enumerate(some, first) if not row[2]]
    held = list(zip(*(row[1] for _, row in good), strict=True)) or [()] * len(header)
    return Batch(
        _named([pa.array(values, pa.string()) for values in held], places),
        np.array([row[0] for _, row in good], np.int64),
        np.array([number for number, _ in good], np.int64),
        [Row(line, {}, problem, dict(zip(header, fields, strict=False))) for line, fields, problem in some if problem],
    )
