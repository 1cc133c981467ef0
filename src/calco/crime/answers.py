"""What `calco crime query` does: asks, shows, and writes answers."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import tyro

from calco.console import Table, cell
from calco.crime.csv_output import plain
from calco.crime.database import DEFAULT, connect
from calco.crime.extra import needs
from calco.crime.published import PUBLISHED, Rebuilt, beside, rebuild
from calco.crime.queries import Question, ask, named
from calco.errors import CalcoError
from calco.files import atomic_write, make_folder, replacing
from calco.outputs import writing_file
from calco.records import check_numbers

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["table", "csv", "parquet", "json"]
_WIDEST: Final = 60  # characters of a cell on the terminal
_WIDE: Final = 100  # characters of all heads, above which they are broken


@dataclass(frozen=True, kw_only=True)
class QueryConfig:
    """Which database is asked, and what becomes of the answers."""

    source: Annotated[str, tyro.conf.arg(name="from")] = DEFAULT
    """The database that calco crime load made: a file that ends in .duckdb, or a URL."""

    format: Format = "table"
    """table for the terminal, or csv, parquet, json."""

    out: str = ""
    """The file for one answer, or the folder for all; the terminal where none is named (Parquet needs one)."""

    rows: int = 20
    """Rows of a table on the terminal; 0 for all."""

    published: bool = True
    """Shows beside the table what was published, and why ours differs."""

    robberies: str = ""
    """The file of robberies: with it the study's faulty join is done again, and told which rows it lost and doubled."""

    kinds: str = ""
    """The file of kinds of robbery, beside --robberies."""

    memory: str = ""
    """The most that DuckDB may take, such as 4GB; by default what it takes itself."""

    threads: int = 0
    """DuckDB's threads; 0 for as many as there are cores."""

    def __post_init__(self) -> None:
        check_numbers(self, threads=1024)
        if self.format == "parquet" and not self.out:
            raise CalcoError("--format parquet needs --out: Parquet is no text for a terminal")
        if self.rows < 0 or self.threads < 0:
            raise CalcoError(f"--rows {self.rows} and --threads {self.threads} must be 0 or more")
        if bool(self.robberies) != bool(self.kinds) and not self.robberies.lower().endswith(".xlsx"):
            raise CalcoError("--robberies FILE and --kinds FILE go together")
        if self.memory and not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", self.memory):
            raise CalcoError(f"--memory {self.memory!r} must be a number with its unit, such as 4GB")


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what the database answered."""

    question: Question
    rows: "pa.Table"


def answers(name: str, config: QueryConfig) -> Iterator[Answer]:
    """Asks a question, or all of them.

    Args:
        name: The question's name or number, or "all".
        config: Which database.

    Raises:
        CalcoError: When there is no such question, or the database cannot be reached or cannot answer.
    """
    questions = named(name)
    if len(questions) > 1 and config.format != "table" and not config.out:
        raise CalcoError(f"{len(questions)} answers are not one {config.format.upper()}; name a folder: --out FOLDER")
    needs("ibis", "duckdb", "pyarrow")
    backend = connect(config.source, memory=config.memory, threads=config.threads)
    try:
        for question in questions:
            yield Answer(question, ask(backend, question, config.source))
    finally:
        backend.disconnect()


def rebuilt(config: QueryConfig) -> Rebuilt | None:
    """The study's join done again, where the files for it are named."""
    return rebuild(config.robberies, config.kinds or config.robberies) if config.robberies else None


def text_of(rows: "pa.Table", kind: Format) -> str:
    """An answer as CSV or JSON."""
    if kind == "json":
        return json.dumps(rows.to_pylist(), ensure_ascii=False, default=str, indent=1) + "\n"
    import pyarrow as pa
    import pyarrow.csv

    for place, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            rows = rows.set_column(place, field.name, pa.array(map(plain, rows.column(place).to_pylist()), pa.string()))
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(rows, sink)
    text: str = sink.getvalue().to_pybytes().decode()
    return text


def write(answer: Answer, config: QueryConfig, *, alone: bool) -> Path:
    """Writes an answer to the file, or into the folder where there are several.

    Raises:
        CalcoError: When it cannot be written.
    """
    kind: Format = "csv" if config.format == "table" else config.format
    path = Path(config.out)
    if not alone:
        make_folder(path)
        path = path / f"{answer.question.number:02d}-{answer.question.name}.{kind}"
    elif not path.parent.is_dir():
        raise CalcoError(f"cannot write {path}: there is no folder {path.parent}; make it, or choose another path")
    with writing_file(path, "calco crime query"):
        if kind == "parquet":
            import pyarrow.parquet as pq

            with replacing(path) as temporary:
                pq.write_table(answer.rows, temporary)
        else:
            atomic_write(path, text_of(answer.rows, kind))
    return path


def answer_table(answer: Answer, most: int) -> Table:
    """An answer for the terminal, its first rows."""
    rows = answer.rows
    shown = rows.slice(0, most) if most else rows
    more = f" (the first {shown.num_rows:,} of {rows.num_rows:,} rows)" if shown.num_rows < rows.num_rows else ""
    title = f"{answer.question.number}. {answer.question.english}{more}"
    wide = sum(map(len, rows.column_names)) > _WIDE
    table = Table(title=_cell(title, 200), title_justify="left")
    for name, kind in zip(rows.column_names, rows.schema.types, strict=True):
        heading = cell(*(name.replace("_", "_\n").split("\n") if wide else [_cell(name)]))
        table.add_column(heading, justify="left" if str(kind) in ("string", "date32[day]") else "right")
    for row in shown.to_pylist():
        table.add_row(*map(_cell, row.values()))
    return table


def _cell(value: Any, widest: int = _WIDEST) -> str:
    text = "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def published_table(answer: Answer, again: Rebuilt | None) -> Table | None:
    """What was published beside ours; None where nothing was, or the database holds nothing to compare."""
    found = beside(answer.question.name, answer.rows, again)
    if not found or not answer.rows.num_rows:
        return None
    with_again = any(one.rebuilt is not None for one in found)
    table = Table("", "published", *(["its join done again"] if with_again else []), "ours")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found:
        values = (one.published, one.rebuilt, one.ours) if with_again else (one.published, one.ours)
        table.add_row(
            _cell(one.name or "no date"), *(f"{v:,.10g}" if v is not None else "–" for v in map(_short, values))
        )
    return table


def _short(value: float | None) -> float | None:
    return round(value, 2) if value is not None else None


def why(answer: Answer) -> str:
    """Why ours differs from what was published, or that the source is missing."""
    if not answer.rows.num_rows:
        return (
            f"there is nothing to answer from: {answer.question.source} holds no row for it; calco crime load fills it"
        )
    return f"why ours differs: {PUBLISHED[answer.question.name].why}"


def fates_table(again: Rebuilt) -> Table:
    """What the study's join did to rows that it should have counted once."""
    table = Table(
        "robberies", "what the study's join did", title=f"its join gives {again.rows} rows", title_justify="left"
    )
    table.columns[0].justify = "right"
    for fate, count in again.fates.most_common():
        table.add_row(str(count), _cell(fate, 120))
    return table
