"""`calco crime query`: the answers of a database beside the published ones, and the reasons for their differences.

The study joined robberies and districts by name: in capitals, without accents, within the department of Lima.
Repeating this join on the file of robberies gives its 352 rows and each of its counts, so the error in every row is
known, not guessed.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import tyro

from calco.crime.clean import UNSPECIFIED, fold, squeezed
from calco.crime.database import DEFAULT, check_folder, connect
from calco.crime.gazetteer import gazetteer
from calco.crime.queries import Question, ask, questions_named
from calco.crime.reading import plain
from calco.crime.robberies import clean_robberies, read_kinds, robbery_rows
from calco.errors import CalcoError, needs
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
    """The published answer to a question."""

    counts: Mapping[str, float]  # name => count; part of the rows if only a part was published
    key: tuple[str, ...]  # our columns that hold the name; none for a single figure
    value: str  # our column that holds the count
    why: str  # reason why ours differs
    rows: int = 0  # of the answer; 0 if their number was not published


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
    """Return the published figures of a question beside ours, in their order, then those that only ours has."""
    known = PUBLISHED[name]
    if not known.value:
        theirs = float(rebuilt.ages) if rebuilt and name == "ages" else None
        return [PublishedFigure("rows", known.rows, answer.num_rows, theirs)] if known.rows else []
    ours: dict[str, float] = {}
    for row in answer.select([*known.key, known.value]).to_pylist():
        label = " ".join(str(row[key]) for key in known.key if row[key] is not None)
        label = _abbreviated(label, known.counts) if known.key else next(iter(known.counts))
        ours.setdefault(label, row[known.value])  # the first of namesakes holds the most
    again: Mapping[str, float] = rebuilt.counts.get(name, {}) if rebuilt else {}
    names = [*known.counts, *(label for label in ours if label not in known.counts and len(known.counts) == known.rows)]
    found = [PublishedFigure(one, known.counts.get(one), ours.get(one), again.get(one)) for one in names]
    if known.rows:
        found.append(PublishedFigure("rows", known.rows, answer.num_rows))
    return found


def _abbreviated(label: str, published: Mapping[str, float]) -> str:
    """Return a name as it was published: there, generic crimes lack "Contra el" and what follows "y"."""
    words = re.sub("^CONTRA (EL |LOS )?", "", fold(label))
    alike = (name for name in published if words == fold(name) or words.startswith(f"{fold(name)} Y "))
    return next(alike, label) if words else label


@dataclass
class RebuiltStudy:
    """Table of robberies of the study, rebuilt."""

    rows: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # question => name => count
    ages: int = 0  # rows that state two ages
    fates: Counter[str] = field(default_factory=Counter)  # effect of the join => number of rows that differ from ours


def rebuild_study(robberies: str | Path, kinds: str | Path, *, today: date | None = None) -> RebuiltStudy:
    """Join robberies and districts by name, as the study did; no date may be later than `today`."""
    places, rows = gazetteer(), list(robbery_rows(robberies))
    described = read_kinds(kinds).rows
    names = {key: kind for key, kind, _ in described}
    cleaned = clean_robberies(rows, described, places, robberies, today=today or datetime.now(UTC).date())
    by_name: dict[str, list[int]] = defaultdict(list)
    for key, district in places.districts.items():
        if key // 10_000 == _LIMA and key not in _WITHOUT_CRIMES:
            by_name[fold(district)].append(key)
    done = RebuiltStudy()
    for number, ours, kind, weapon, day, *others in cleaned.rows:
        name = squeezed(rows[number - 1].cells["DISTRITO"])
        joined = by_name[fold(name)]
        provinces = " and ".join(places.provinces[key // 100] for key in joined)
        if not joined:
            within = f"in the department {places.departments[ours // 10_000]}"
            done.fates[f"lost: {name}, which is {places.districts[ours] if ours // 10_000 == _LIMA else within}"] += 1
        elif len(joined) > 1:
            done.fates[f"counted {len(joined)} times: {name}, in {provinces}"] += 1
        elif ours not in joined:
            done.fates[f"counted elsewhere: {name}, for the one in {provinces}"] += 1
        for place in joined:
            done.rows += 1
            done.counts["kinds"][names[kind]] += 1
            done.counts["districts"][places.districts[place]] += 1
            done.counts["weapons"][weapon] += 1
            done.counts["quarters"][f"{day.year} {(day.month + 2) // 3}" if day else ""] += 1
            done.ages += not any(age == UNSPECIFIED or age.startswith("Varios") for age in others[:2])
    return done


Format = Literal["table", "csv", "parquet", "json"]


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
        check_numbers(self, threads=(0, 1024), rows=(0, 2**31 - 1))
        if not self.question:
            raise CalcoError("no question is named; name all, a number from 1 to 10, or one such as districts")
        if self.format == "parquet" and not self.out:
            raise CalcoError("--format parquet: a terminal cannot show Parquet; name a file or folder with --out")
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
    needs("ibis", "duckdb", "pyarrow", extra="crime")
    backend = connect(config.source, memory=config.memory, threads=config.threads)
    try:
        for question in questions:
            yield Answer(question, ask(backend, question, config.source))
    finally:
        backend.disconnect()


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
    check_folder(path)
    with writing_file(path, "calco crime query"):
        if kind == "parquet":
            import pyarrow.parquet as pq

            with replacing(path) as temporary:
                pq.write_table(answer.rows, temporary)
        else:
            atomic_write(path, text_of(answer.rows, kind))
    return path
