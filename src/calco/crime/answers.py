"""`calco crime query`: the answers of a database beside the published ones, and the reasons for their differences.

The study joined robberies and districts by name: in capitals, without accents, within the department of Lima.
Repeating this join on the file of robberies gives its 352 rows and each of its counts, so the error in every row is
known, not guessed.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import tyro

from calco.console import Table, cell
from calco.crime.clean import UNSPECIFIED, fold, squeezed
from calco.crime.database import DEFAULT, connect, needs
from calco.crime.gazetteer import gazetteer
from calco.crime.queries import Question, ask, questions_named
from calco.crime.reading import plain
from calco.crime.robberies import clean_robberies, read_kinds, robbery_rows
from calco.errors import CalcoError
from calco.files import atomic_write, make_folder, replacing
from calco.outputs import writing_file
from calco.records import check_numbers

if TYPE_CHECKING:
    import pyarrow as pa

_LIMA: Final = 15  # the department
# Yauyos has a Miraflores too, without crimes in DataCrim: Miraflores occurs once in the published answer.
_WITHOUT_CRIMES: Final = frozenset({151021})
_OTHERS: Final = "the loaded rows are those of DataCrim's panel only if they were collected from it"


@dataclass(frozen=True, slots=True)
class Published:
    """The published answer to a question.

    Attributes:
        counts: Name => count; part of the rows if only a part was published.
        key: Our columns that hold the name; none for a single figure.
        value: Our column that holds the count.
        why: Reason why ours differs.
        rows: Number of rows of the answer; 0 if it was not published.
    """

    counts: Mapping[str, float]
    key: tuple[str, ...]
    value: str
    why: str
    rows: int = 0


_JOIN: Final = (
    "the study joined districts by name, within the department of Lima: Cercado de Lima, Callao and names such as "
    "Magdalena, Chosica or Huachipa found no match and were lost, Surco was taken for the Surco of Huarochirí, and "
    "each robbery in San Luis counted twice, once for the San Luis of Cañete"
)
PUBLISHED: Final[dict[str, Published]] = {
    "kinds": Published(
        {"Asalto": 184, "Hurto": 66, "Sicariato": 31, "Raqueteo": 29, "Marcaje": 26, "Otros": 11, "Extorsión": 3,
         "Pepazo": 2},
        ("Tipo",), "Robos", _JOIN, 8,
    ),
    "districts": Published(
        {"San Juan de Lurigancho": 39, "San Martín de Porres": 25, "Comas": 24, "Los Olivos": 22, "La Victoria": 21,
         "Chorrillos": 21, "Miraflores": 17, "Carabayllo": 16, "San Luis": 6},
        ("Nombre_Distrito",), "Robos", f"{_JOIN}; it printed San Luis twice, with 3 each",
    ),
    "ages": Published(
        {}, ("id",), "",
        f"{_JOIN}; as in the study, \"Varios (2)\" is no age: it states a number of persons", 7,
    ),
    "most-2019": Published(
        {"the most in one row": 1732}, (), "Numero_Ocurrencias",
        "the study queried the maximum and, without grouping, names, which MySQL takes from another row; here the "
        f"names are those of the row with the maximum, and ties are counted; {_OTHERS}",
    ),
    "crimes-2019": Published(
        {"San Juan de Lurigancho": 35_304, "Lima": 28_568, "Callao": 23_976, "Chiclayo": 20_008, "Comas": 18_684},
        ("Nombre_Distrito",), "Delitos",
        f"{_OTHERS}; districts are grouped by key, so that namesakes stay apart", 1_297,
    ),
    "quarters": Published(
        {"2017 2": 185, "2017 1": 119, "2016 4": 45, "": 3}, ("Anio", "Trimestre"), "Robos",
        f"{_JOIN}; robberies without a date stood in 1900 there", 4,
    ),
    "fewest-2017": Published(
        {}, ("id",), "",
        f"as for the maximum of 2019, the names came from another row; many rows share the minimum; {_OTHERS}",
    ),
    "means-by-district": Published({}, ("Nombre_Distrito",), "Media", _OTHERS, 1_827),
    "weapons": Published(
        {"Pistola": 255, "Otros": 48, "Sin Arma": 31, "Arma Blanca": 13, "No especifica": 2, "Comba": 1,
         "Pistola - Comba": 1, "Machete": 1},
        ("Tipo_Arma",), "Robos", _JOIN, 8,
    ),
    "means-by-generic": Published(
        {"Poderes del Estado": 1.03, "Patrimonio": 22.78}, ("Nombre_Generico",), "Media",
        f"the names were cut short in the publication; {_OTHERS}", 21,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A published figure beside ours (None for neither); `rebuilt` is the figure of the repeated join."""

    name: str
    published: float | None
    ours: float | None
    rebuilt: float | None = None


def published_figures(name: str, answer: "pa.Table", rebuilt: "RebuiltStudy | None" = None) -> list[PublishedFigure]:
    """Return the published figures beside ours, in their order, then those that only ours has."""
    known = PUBLISHED[name]
    if not known.value:
        theirs = float(rebuilt.ages) if rebuilt and name == "ages" else None
        return [PublishedFigure("rows", known.rows, answer.num_rows, theirs)] if known.rows else []
    ours: dict[str, float] = {}
    for row in answer.select([*known.key, known.value]).to_pylist():
        label = " ".join(str(row[key]) for key in known.key if row[key] is not None)
        label = label if known.key else next(iter(known.counts))
        ours.setdefault(_told(label, known.counts), row[known.value])  # the first of namesakes holds the most
    again: Mapping[str, float] = rebuilt.counts.get(name, {}) if rebuilt else {}
    names = [*known.counts, *(label for label in ours if label not in known.counts and len(known.counts) == known.rows)]
    found = [PublishedFigure(one, known.counts.get(one), ours.get(one), again.get(one)) for one in names]
    if known.rows:
        found.append(PublishedFigure("rows", known.rows, answer.num_rows))
    return found


def _told(label: str, published: Mapping[str, float]) -> str:
    """A name as it was published: generic crimes are abbreviated there."""
    short = {fold(name): name for name in published if len(name) > len("Patrimonio") - 1}
    words = fold(label).removeprefix("CONTRA ").removeprefix("EL ").removeprefix("LOS ")
    return short.get(words) or next((name for key, name in short.items() if words.startswith(f"{key} Y ")), label)


@dataclass
class RebuiltStudy:
    """Table of robberies of the study, rebuilt.

    Attributes:
        rows: Number of rows.
        counts: Question => name => count.
        ages: Number of rows that state two ages.
        fates: Effect of the join on a row of the file => number of rows, for rows that differ from ours.
    """

    rows: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ages: int = 0
    fates: Counter[str] = field(default_factory=Counter)


def rebuild_study(robberies: str | Path, kinds: str | Path, *, today: date | None = None) -> RebuiltStudy:
    """Join robberies and districts by name, as the study did."""
    places, rows = gazetteer(), list(robbery_rows(robberies))
    described = read_kinds(kinds).rows
    names = {key: kind for key, kind, _ in described}
    cleaned = clean_robberies(rows, described, places, robberies, today=today or datetime.now(UTC).date())
    by_name: dict[str, list[int]] = defaultdict(list)
    for key, district in places.districts.items():
        if key // 10_000 == _LIMA and key not in _WITHOUT_CRIMES:
            by_name[fold(district)].append(key)
    done = RebuiltStudy()
    for row in cleaned.rows:
        told = squeezed(rows[row[0] - 1].cells["DISTRITO"])
        joined = by_name[fold(told)]
        done.fates.update(_fates(told, row[1], joined))
        for place in joined:
            _count(done, row, names, places.districts[place])
    return done


def _fates(told: str, ours: int, joined: Sequence[int]) -> list[str]:
    places = gazetteer()
    if not joined:
        where = (
            places.districts[ours]
            if ours // 10_000 == _LIMA
            else f"the department {places.departments[ours // 10_000]}"
        )
        return [f"lost: {told}, which is {'in ' if ours // 10_000 != _LIMA else ''}{where}"]
    if len(joined) > 1:
        where = " and ".join(places.provinces[key // 100] for key in joined)
        return [f"counted {len(joined)} times: {told}, in {where}"]
    return (
        [f"counted elsewhere: {told}, for the one in {places.provinces[joined[0] // 100]}"]
        if ours not in joined
        else []
    )


def _count(done: RebuiltStudy, row: tuple[Any, ...], kinds: Mapping[int, str], district: str) -> None:
    day: date | None = row[4]
    done.rows += 1
    done.counts["kinds"][kinds[row[2]]] += 1
    done.counts["districts"][district] += 1
    done.counts["weapons"][row[3]] += 1
    done.counts["quarters"][f"{day.year} {(day.month + 2) // 3}" if day else ""] += 1
    done.ages += not any(age == UNSPECIFIED or age.startswith("Varios") for age in row[5:7])


Format = Literal["table", "csv", "parquet", "json"]


_WIDEST: Final = 60  # characters of a cell on the terminal


_WIDE: Final = 100  # characters of all heads, above which they are broken


@dataclass(frozen=True, kw_only=True)
class QueryConfig:
    """Answer the ten questions, beside the published answers."""

    question: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """all, a number from 1 to 10, or kinds, districts, ages, most-2019, crimes-2019, quarters, fewest-2017,
    means-by-district, weapons, means-by-generic."""

    source: Annotated[str, tyro.conf.arg(name="from")] = DEFAULT
    """The database that calco crime load made: a file that ends in .duckdb, or a URL."""

    format: Format = "table"
    """table for the terminal, or csv, parquet, json."""

    out: str = ""
    """File for one answer, or folder for all; by default the terminal (Parquet needs a file)."""

    rows: int = 20
    """Rows of a table on the terminal; 0 for all."""

    published: bool = True
    """Show the published figures beside the table, and the reason for the differences."""

    robberies: str = ""
    """File of robberies; with it the faulty join of the study is repeated, and lost and doubled rows are listed."""

    kinds: str = ""
    """File of the kinds of robbery, for --robberies."""

    memory: str = ""
    """Memory limit of DuckDB, such as 4GB; by default its own."""

    threads: int = 0
    """Threads of DuckDB; 0 for one per core."""

    def __post_init__(self) -> None:
        check_numbers(self, threads=1024)
        if not self.question:
            raise CalcoError("no question is named; name all, a number from 1 to 10, or one such as districts")
        if self.format == "parquet" and not self.out:
            raise CalcoError("--format parquet: a terminal cannot show Parquet; name a file or folder with --out")
        if self.rows < 0 or self.threads < 0:
            raise CalcoError(f"--rows {self.rows}, --threads {self.threads}: both must be 0 or more")
        if bool(self.robberies) != bool(self.kinds) and not self.robberies.lower().endswith(".xlsx"):
            raise CalcoError("--robberies FILE and --kinds FILE go together")
        if self.memory and not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", self.memory):
            raise CalcoError(f"--memory {self.memory!r}: give a number with its unit, such as 4GB")


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and the answer of the database, as an Arrow table."""

    question: Question
    rows: "pa.Table"


def query(config: QueryConfig) -> Iterator[Answer]:
    """Answer a question, or all of them.

    Args:
        config: The question, the database, and what becomes of the answers.

    Yields:
        Each answer, in the order of the questions.

    Raises:
        CalcoError: The question does not exist, or the database cannot be reached or cannot answer.
    """
    questions = questions_named(config.question)
    if len(questions) > 1 and config.format != "table" and not config.out:
        raise CalcoError(
            f"--format {config.format}: {len(questions)} answers do not fit into one file; name a folder: --out FOLDER"
        )
    needs("ibis", "duckdb", "pyarrow")
    backend = connect(config.source, memory=config.memory, threads=config.threads)
    try:
        for question in questions:
            yield Answer(question, ask(backend, question, config.source))
    finally:
        backend.disconnect()


def rebuilt(config: QueryConfig) -> RebuiltStudy | None:
    """Return the repeated join of the study, if its files are named."""
    return rebuild_study(config.robberies, config.kinds or config.robberies) if config.robberies else None


def text_of(rows: "pa.Table", kind: Format) -> str:
    """Return an answer as CSV or JSON."""
    if kind == "json":
        return json.dumps(rows.to_pylist(), ensure_ascii=False, default=str, indent=1) + "\n"
    import pyarrow as pa
    import pyarrow.csv

    for place, column in enumerate(rows.schema):
        if pa.types.is_string(column.type):
            rows = rows.set_column(place, column.name, pa.array(map(plain, rows[place].to_pylist()), pa.string()))
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(rows, sink)
    text: str = sink.getvalue().to_pybytes().decode()
    return text


def write(answer: Answer, config: QueryConfig) -> Path:
    """Write an answer to the file, or into the folder if all are asked for; return its path."""
    kind: Format = "csv" if config.format == "table" else config.format
    path = Path(config.out)
    if config.question == "all":
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
    """Return the first rows of an answer for the terminal."""
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


def published_table(answer: Answer, again: RebuiltStudy | None) -> Table | None:
    """Return the published figures beside ours; None without any, or if the answer is empty."""
    found = published_figures(answer.question.name, answer.rows, again)
    if not found or not answer.rows.num_rows:
        return None
    with_again = any(one.rebuilt is not None for one in found)
    table = Table("", "published", *(["its join repeated"] if with_again else []), "ours")
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
    """Return the reason why ours differs from the published answer, or that the source is missing."""
    if not answer.rows.num_rows:
        return f"no answer: {answer.question.source} holds no row for it; fill it with calco crime load"
    return f"reason for the difference: {PUBLISHED[answer.question.name].why}"


def fates_table(again: RebuiltStudy) -> Table:
    """Return the effects of the study's join on rows that it should have counted once."""
    table = Table(
        "robberies",
        "effect of the study's join",
        title=f"the repeated join gives {again.rows} rows",
        title_justify="left",
    )
    table.columns[0].justify = "right"
    for fate, count in again.fates.most_common():
        table.add_row(str(count), _cell(fate, 120))
    return table
