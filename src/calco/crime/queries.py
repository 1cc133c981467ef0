"""The ten questions, each one Ibis expression, which every database answers alike."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import tyro

from calco.console import Table, cell
from calco.crime.clean import UNSPECIFIED
from calco.crime.database import DEFAULT, connect, needs
from calco.crime.published import PUBLISHED, Rebuilt, beside, rebuild
from calco.crime.reading import plain
from calco.crime.schema import MARIADB, REJECTS, TABLES, Kind
from calco.errors import CalcoError
from calco.files import atomic_write, make_folder, replacing
from calco.outputs import writing_file
from calco.records import check_numbers

if TYPE_CHECKING:
    import pyarrow as pa

TIED_ROWS: Final = 10  # of those that share an extreme, how many are shown
_SEVERAL: Final = "Varios"  # tells that there were several persons, not how old they are


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the tables.

    Attributes:
        name: What the command calls it.
        number: Its place among the ten.
        english: The question.
        spanish: The same.
        expression: The nine tables by name => the answer, as an Ibis expression.
        source: The table that it asks.
    """

    name: str
    number: int
    english: str
    spanish: str
    expression: Callable[["Held"], Any]
    source: str


class Held:
    """The tables of a database as Ibis expressions, by name."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    def __getitem__(self, name: str) -> Any:
        # The columns are named, so that a table that holds more, or holds them in another order, does no harm; and of
        # the kind that they must be, so that a database of somebody else has no text where a page expects numbers.
        table = self.backend.table(name)
        return table.select([_of_kind(table[column.name], column.kind) for column in TABLES[name].columns])

    def check(self) -> None:
        """Sees that the tables are there.

        Raises:
            CalcoError: Naming one that is not.
        """
        there = {name.lower() for name in self.backend.list_tables()}  # Spark tells them in small letters
        if missing := [name for name in TABLES if name.lower() not in there and name != REJECTS]:
            raise CalcoError(f"the database has no table {missing[0]}; make the tables with: calco crime load")


def _of_kind(column: Any, kind: Kind) -> Any:
    held = column.type()
    if kind == "int":
        return column if held.is_integer() else column.cast("int64").name(column.get_name())
    if kind == "date":
        return column if held.is_date() else column.cast("date").name(column.get_name())
    return column if held.is_string() else column.cast("string").name(column.get_name())


def _places(held: Held) -> Any:
    """District, province and department by the district's key."""
    district, province, department = held["Distrito"], held["Provincia"], held["Departamento"]
    province = province.rename(province="id").inner_join(
        department.rename(department="id"), [("Id_Departamento", "department")]
    )
    joined = district.rename(place="id").inner_join(province, [("Id_Provincia", "province")])
    return joined.select("place", "Nombre_Distrito", "Nombre_Provincia", "Nombre_Departamento")


def _crimes(held: Held) -> Any:
    """Modality, specific and generic crime by the modality's key."""
    modality, specific, generic = held["Modalidad_Crimen"], held["Crimen_Especifico"], held["Crimen_Generico"]
    specific = specific.rename(specific="id").inner_join(generic.rename(generic="id"), [("Id_Generico", "generic")])
    joined = modality.rename(modality="id").inner_join(specific, [("Id_Especifico", "specific")])
    return joined.select("modality", "generic", "Nombre_Modalidad", "Nombre_Especifico", "Nombre_Generico")


def _counted(table: Any, key: str, name: str = "Robos") -> Any:
    return table.group_by(key).aggregate(**{name: table.count()})


def kinds(held: Held) -> Any:
    """1. Every kind of robbery with its description and how many there were, most first."""
    import ibis

    kind, counts = held["Tipo_Robo"], _counted(held["Robos_Lima"], "Id_Tipo_Robo")
    joined = kind.left_join(counts, [("id", "Id_Tipo_Robo")])
    rows = joined.mutate(Robos=ibis.coalesce(counts.Robos, 0).cast("int64")).order_by(ibis.desc("Robos"), "id")
    return rows.select("Tipo", "Descripcion", "Robos")


def districts(held: Held) -> Any:
    """2. Robberies by district, most first. The key joins, not the name, so that none counts twice."""
    import ibis

    places, counts = _places(held), _counted(held["Robos_Lima"], "Id_Distrito")
    joined = counts.inner_join(places, [("Id_Distrito", "place")]).order_by(ibis.desc("Robos"), "Id_Distrito")
    return joined.select("Nombre_Distrito", "Nombre_Provincia", "Robos")


def ages(held: Held) -> Any:
    """3. Robberies that state the victim's age and the offender's; "Varios (2)" states a number of persons, no age."""
    robberies = held["Robos_Lima"]
    told = [
        (robberies[name] != UNSPECIFIED) & ~robberies[name].startswith(_SEVERAL)
        for name in ("Edad_Victima", "Edad_Delincuente")
    ]
    rows = robberies.filter(told).rename(robbery="id")
    joined = rows.inner_join(_places(held), [("Id_Distrito", "place")])
    joined = joined.inner_join(held["Tipo_Robo"].rename(kind="id"), [("Id_Tipo_Robo", "kind")]).order_by("robbery")
    return joined.select(
        "robbery", "Fecha", "Nombre_Distrito", "Tipo", "Edad_Victima", "Edad_Delincuente",
        "Genero_Victima", "Genero_Delincuente",
    ).rename(id="robbery")  # fmt: skip


def most_2019(held: Held) -> Any:
    """4. The row of 2019 that holds the most occurrences, with its own names; rows that tie, and how many they are."""
    return _extreme(held, 2019, "max")


def fewest_2017(held: Held) -> Any:
    """7. The rows of 2017 that hold the fewest occurrences; how many tie, and the first of them."""
    return _extreme(held, 2017, "min")


def _extreme(held: Held, year: int, which: str) -> Any:
    rows = held["Crimenes_DataCrim"]
    rows = rows.filter(rows.Anio == year)
    edge = getattr(rows.Numero_Ocurrencias, which)()
    tied = rows.filter(rows.Numero_Ocurrencias == edge.as_scalar())
    # Few rows are kept before names are joined to them: the rows that tie may be millions.
    few = tied.order_by("id").limit(TIED_ROWS).rename(row="id").mutate(Filas_Empatadas=tied.count().as_scalar())
    joined = few.inner_join(_crimes(held), [("Id_Modalidad", "modality")])
    joined = joined.inner_join(_places(held), [("Id_Distrito", "place")]).order_by("row")
    return joined.select(
        "row", "Nombre_Modalidad", "Nombre_Especifico", "Nombre_Generico", "Nombre_Distrito", "Nombre_Provincia",
        "Nombre_Departamento", "Numero_Ocurrencias", "Filas_Empatadas",
    ).rename(id="row")  # fmt: skip


def crimes_2019(held: Held) -> Any:
    """5. Crimes of 2019 by district, with province and department, most first."""
    import ibis

    rows = held["Crimenes_DataCrim"]
    rows = rows.filter(rows.Anio == 2019)
    sums = rows.group_by("Id_Distrito").aggregate(Delitos=rows.Numero_Ocurrencias.cast("int64").sum().cast("int64"))
    joined = sums.inner_join(_places(held), [("Id_Distrito", "place")]).order_by(ibis.desc("Delitos"), "Id_Distrito")
    return joined.select("Nombre_Distrito", "Nombre_Provincia", "Nombre_Departamento", "Delitos")


def quarters(held: Held) -> Any:
    """6. Robberies by quarter, most first; those without a date stand as such."""
    import ibis

    robberies = held["Robos_Lima"]
    rows = robberies.select(
        Anio=robberies.Fecha.year().cast("int64"), Trimestre=robberies.Fecha.quarter().cast("int64")
    )
    counts = rows.group_by("Anio", "Trimestre").aggregate(Robos=rows.count())
    when = ibis.coalesce(counts.Anio * 10 + counts.Trimestre, 0)
    return counts.order_by(counts.Robos.desc(), when.asc())


def means_by_district(held: Held) -> Any:
    """8. The mean of occurrences in a row by district, most first."""
    import ibis

    joined = _means(held["Crimenes_DataCrim"], "Id_Distrito").inner_join(_places(held), [("Id_Distrito", "place")])
    means = joined.mutate(Media=joined.total.cast("float64") / joined.Filas.cast("float64"))
    rows = means.order_by(ibis.desc("Media"), "Id_Distrito")
    return rows.select("Nombre_Distrito", "Nombre_Provincia", "Nombre_Departamento", "Media", "Filas")


def weapons(held: Held) -> Any:
    """9. Robberies by weapon, most first."""
    import ibis

    return _counted(held["Robos_Lima"], "Tipo_Arma").order_by(ibis.desc("Robos"), "Tipo_Arma")


def means_by_generic(held: Held) -> Any:
    """10. The mean of occurrences in a row by generic crime, least first."""
    import ibis

    joined = _means(held["Crimenes_DataCrim"], "Id_Modalidad").inner_join(_crimes(held), [("Id_Modalidad", "modality")])
    by_generic = joined.group_by("generic", "Nombre_Generico").aggregate(
        total=joined.total.sum().cast("float64"), Filas=joined.Filas.sum().cast("int64")
    )
    means = by_generic.mutate(Media=by_generic.total / by_generic.Filas.cast("float64"))
    return means.order_by(ibis.asc("Media"), "generic").select("Nombre_Generico", "Media", "Filas")


def _means(rows: Any, key: str) -> Any:
    """What means are made of: whole numbers, which add up to the same in any order and any database."""
    total = rows.Numero_Ocurrencias.cast("int64").sum().cast("int64")
    return rows.group_by(key).aggregate(total=total, Filas=rows.count())


_ROBBERIES, _DATACRIM = "Robos_Lima", "Crimenes_DataCrim"
QUESTIONS: Final[dict[str, Question]] = {
    question.name: question
    for question in (
        Question("kinds", 1, "Which kinds of robbery are there, and how many of each?",
                 "¿Qué tipos de robo hay y cuántos de cada uno?", kinds, _ROBBERIES),
        Question("districts", 2, "How many robberies are there in each district of Lima and Callao?",
                 "¿Cuántos robos hay en cada distrito de Lima y Callao?", districts, _ROBBERIES),
        Question("ages", 3, "Which robberies state the age of both the victim and the offender?",
                 "¿Qué robos indican la edad de la víctima y la del delincuente?", ages, _ROBBERIES),
        Question("most-2019", 4, "Which modality had the most occurrences in 2019, and where?",
                 "¿Qué modalidad tuvo más ocurrencias en 2019, y dónde?", most_2019, _DATACRIM),
        Question("crimes-2019", 5, "How many crimes were there in each district in 2019?",
                 "¿Cuántos delitos hubo en cada distrito en 2019?", crimes_2019, _DATACRIM),
        Question("quarters", 6, "How many robberies were there in each quarter?",
                 "¿Cuántos robos hubo en cada trimestre?", quarters, _ROBBERIES),
        Question("fewest-2017", 7, "Which modality had the fewest occurrences in 2017, and where?",
                 "¿Qué modalidad tuvo menos ocurrencias en 2017, y dónde?", fewest_2017, _DATACRIM),
        Question("means-by-district", 8, "How many occurrences does a row hold on average, by district?",
                 "¿Cuántas ocurrencias tiene en promedio una fila, por distrito?", means_by_district, _DATACRIM),
        Question("weapons", 9, "Which weapons are used in robberies?",
                 "¿Qué armas se usan en los robos?", weapons, _ROBBERIES),
        Question("means-by-generic", 10, "How many occurrences does a row hold on average, by generic crime?",
                 "¿Cuántas ocurrencias tiene en promedio una fila, por delito genérico?", means_by_generic, _DATACRIM),
    )
}  # fmt: skip


def questions_named(name: str) -> list[Question]:
    """The question of a name or a number, or all of them.

    Raises:
        CalcoError: When there is none.
    """
    if name == "all":
        return list(QUESTIONS.values())
    found = [one for one in QUESTIONS.values() if name in (one.name, str(one.number))]
    if not found:
        raise CalcoError(f"there is no question {name!r}; ask all, a number from 1 to 10, or {', '.join(QUESTIONS)}")
    return found


def ask(backend: Any, question: Question, url: str = "") -> "pa.Table":
    """The answer of a database.

    Args:
        backend: An Ibis backend that holds the tables.
        question: One of `QUESTIONS`.
        url: The database's, whose passwords no error shows.

    Raises:
        CalcoError: When the database cannot answer.
    """
    from calco.crime.database import reason

    held = Held(backend)
    try:
        held.check()
        return fetched(backend, question.expression(held))
    except CalcoError:
        raise
    except Exception as error:  # each database has errors of its own
        raise CalcoError(
            f"the database cannot answer question {question.number} ({question.name}): {reason(error, url)}"
        ) from error


def fetched(backend: Any, expression: Any) -> "pa.Table":
    """What a database answers to an Ibis expression."""
    import pyarrow as pa

    if backend.name != MARIADB:
        answer: pa.Table = expression.to_pyarrow()
        return answer
    # Straight from the driver, without pandas between, where numbers beside an empty cell become floats.
    with contextlib.closing(backend.con.cursor()) as cursor:
        cursor.execute(backend.compile(expression))
        rows = cursor.fetchall()
    schema = expression.schema().to_pyarrow()
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


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
    questions = questions_named(name)
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
