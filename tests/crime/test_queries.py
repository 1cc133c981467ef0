"""The ten answers, beside counts made by hand: from the files themselves, by plain Python that knows no table."""

import csv
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.answers import PUBLISHED, Answer, QueryConfig, published_figures, query, rebuild_study
from calco.crime.generate import GenerateConfig, generate
from calco.crime.load import LoadConfig, load
from calco.crime.queries import QUESTIONS, TIED_ROWS
from crime.servers import MariaDB, PostgreSQL, shared

pytest.importorskip("ibis")

Rows = list[tuple[Any, ...]]
# What one sees in the file: names that are not the district's official one, or are written without its accents.
OFFICIAL = {
    "Cercado de Lima": "Lima", "Surco": "Santiago de Surco", "Magdalena": "Magdalena del Mar", "Chosica": "Lurigancho",
    "Huachipa": "Lurigancho", "Lurigancho-Chosica": "Lurigancho", "Manchay": "Pachacámac", "Salamanca": "Ate",
    "Carmen de la Legua": "Carmen de la Legua Reynoso",
}  # fmt: skip
ROWS = 8_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> dict[str, str]:
    """The real robberies, and rows of DataCrim that are made up, clean."""
    folder = tmp_path_factory.mktemp("files")
    generate(GenerateConfig(out=str(folder / "datacrim.csv"), rows=ROWS, dirty=0))
    return {
        "robberies": str(real_data / "crime" / "crimenes.csv"),
        "kinds": str(real_data / "crime" / "descripcion_crimen.csv"),
        "datacrim": str(folder / "datacrim.csv"),
    }


@pytest.fixture(scope="module")
def duckdb(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("duckdb") / "crime.duckdb"
    load(LoadConfig(to=str(path), **files))
    return str(path)


@pytest.fixture(scope="module")
def answered(duckdb: str) -> dict[str, Answer]:
    return {answer.question.name: answer for answer in query(QueryConfig(question="all", source=duckdb))}


def rows_of(answer: Answer) -> Rows:
    return [tuple(row.values()) for row in answer.rows.to_pylist()]


@pytest.fixture(scope="module")
def robberies(files: dict[str, str]) -> list[dict[str, str]]:
    """The records that the study's rules keep: no stroke in age or gender, and a district."""
    with open(files["robberies"], encoding="latin-1", newline="") as file:
        records = list(csv.DictReader(file, delimiter=";"))
    assert len(records) == 476
    persons = ("EDAD VICTIMA", "EDAD DELINCUENTE", "GENERO VICTIMA", "GENERO DELINCUENTE")
    return [row for row in records if row["DISTRITO"].strip() and not any("/" in row[name] for name in persons)]


@pytest.fixture(scope="module")
def crimes(files: dict[str, str]) -> list[dict[str, str]]:
    with open(files["datacrim"], encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def plain(text: str) -> str:
    letters = unicodedata.normalize("NFD", text.upper())
    return "".join(one for one in letters if not unicodedata.combining(one)).replace("-", " ").strip()


def test_kinds_counted_by_hand(answered: dict[str, Answer], robberies: list[dict[str, str]]) -> None:
    counts = Counter(row["MODALIDAD DE ROBO"].strip() for row in robberies)
    rows = rows_of(answered["kinds"])
    assert {kind: count for kind, _, count in rows} == counts
    assert [count for *_, count in rows] == sorted(counts.values(), reverse=True)
    assert all(len(description) > 20 for _, description, _ in rows)


def test_districts_counted_by_hand(answered: dict[str, Answer], robberies: list[dict[str, str]]) -> None:
    counts = Counter(plain(OFFICIAL.get(row["DISTRITO"].strip(), row["DISTRITO"])) for row in robberies)
    rows = rows_of(answered["districts"])
    assert {plain(district): count for district, _, count in rows} == counts
    assert len(rows) == len(counts)  # nobody stands there twice
    assert [count for *_, count in rows] == sorted(counts.values(), reverse=True)
    assert rows[0] == ("Lima", "Lima", 42)
    assert ("San Luis", "Lima", 3) in rows


def test_ages_counted_by_hand(answered: dict[str, Answer], robberies: list[dict[str, str]]) -> None:
    told = Counter(
        (row["EDAD VICTIMA"], row["EDAD DELINCUENTE"])
        for row in robberies
        if row["EDAD VICTIMA"][:1].isdigit() and row["EDAD DELINCUENTE"][:1].isdigit()
    )
    rows = answered["ages"].rows.to_pylist()
    assert Counter((row["Edad_Victima"], row["Edad_Delincuente"]) for row in rows) == told
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


def test_weapons_counted_by_hand(answered: dict[str, Answer], robberies: list[dict[str, str]]) -> None:
    counts = Counter(row["TIPO DE ARMA"].strip().casefold() or "otros" for row in robberies)
    rows = rows_of(answered["weapons"])
    assert {weapon.casefold(): count for weapon, count in rows} == counts
    assert [count for _, count in rows] == sorted(counts.values(), reverse=True)


def test_quarters_counted_by_hand(answered: dict[str, Answer], robberies: list[dict[str, str]]) -> None:
    # Only dates that can be read at sight: the others' rules have tests of their own.
    at_sight = Counter()
    hard = 0
    for row in robberies:
        parts = row["FECHA"].split("/")
        if len(parts) == 3 and len(parts[2]) == 4 and int(parts[1]) <= 12 and parts[2] in ("2016", "2017"):
            at_sight[int(parts[2]), (int(parts[1]) + 2) // 3] += 1
        else:
            hard += 1
    rows = rows_of(answered["quarters"])
    assert sum(count for *_, count in rows) == len(robberies)
    for year, quarter, count in rows:
        assert at_sight[year, quarter] <= count <= at_sight[year, quarter] + hard
    assert rows == [(2017, 2, 239), (2017, 1, 148), (2016, 4, 53), (None, None, 3)]


def test_extremes_counted_by_hand(answered: dict[str, Answer], crimes: list[dict[str, str]]) -> None:
    for name, year, which in (("most-2019", "2019", max), ("fewest-2017", "2017", min)):
        numbered = [(number, row) for number, row in enumerate(crimes, 1) if row["Año"] == year]
        edge = which(int(row["Numero"]) for _, row in numbered)
        tied = [(number, row) for number, row in numbered if int(row["Numero"]) == edge]
        rows = answered[name].rows.to_pylist()
        assert [row["id"] for row in rows] == [number for number, _ in tied][:TIED_ROWS]
        for row, (_, record) in zip(rows, tied, strict=False):
            assert row["Numero_Ocurrencias"] == edge
            assert row["Filas_Empatadas"] == len(tied)
            assert plain(row["Nombre_Distrito"]) == plain(record["Distrito"])  # the names of the row itself
            assert row["Nombre_Modalidad"] == record["Modalidad"]
            assert row["Nombre_Especifico"] == record["Especifica"]
            assert row["Nombre_Generico"] == record["Generica"]


def test_sums_and_means_counted_by_hand(answered: dict[str, Answer], crimes: list[dict[str, str]]) -> None:
    sums: Counter[tuple[str, ...]] = Counter()
    by_district, by_generic = defaultdict(list), defaultdict(list)
    for row in crimes:
        place = plain(row["Distrito"]), plain(row["Provincia"]), plain(row["Departamento"])
        if row["Año"] == "2019":
            sums[place] += int(row["Numero"])
        by_district[place].append(int(row["Numero"]))
        by_generic[row["Generica"]].append(int(row["Numero"]))
    rows = rows_of(answered["crimes-2019"])
    assert {tuple(map(plain, row[:3])): row[3] for row in rows} == sums
    assert [row[3] for row in rows] == sorted(sums.values(), reverse=True)
    rows = rows_of(answered["means-by-district"])
    means = {place: sum(held) / len(held) for place, held in by_district.items()}
    assert {tuple(map(plain, row[:3])): row[3] for row in rows} == pytest.approx(means)
    assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)
    rows = rows_of(answered["means-by-generic"])
    assert {row[0]: row[1] for row in rows} == pytest.approx(
        {name: sum(held) / len(held) for name, held in by_generic.items()}
    )
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)


@pytest.mark.parametrize("kind", ["sqlite", "mariadb", "postgres"])
def test_other_databases_answer_the_same(
    kind: str, files: dict[str, str], answered: dict[str, Answer], tmp_path: Path
) -> None:
    servers = {"mariadb": MariaDB, "postgres": PostgreSQL}
    url = shared(servers[kind]).url() if kind in servers else f"sqlite://{tmp_path}/crime.sqlite"
    load(LoadConfig(to=url, rejects=str(tmp_path / "rejects.csv"), **files))
    for answer in query(QueryConfig(question="all", source=url)):
        ours = answered[answer.question.name].rows
        assert answer.rows.column_names == ours.column_names
        assert rows_of(answer) == rows_of(Answer(answer.question, ours)), answer.question.name


def test_the_studys_join_done_again_gives_what_was_published(
    files: dict[str, str], answered: dict[str, Answer]
) -> None:
    again = rebuild_study(files["robberies"], files["kinds"])
    assert again.rows == 352
    assert again.ages == PUBLISHED["ages"].rows
    for name in ("kinds", "weapons", "quarters"):
        assert again.counts[name] == PUBLISHED[name].counts, name
    for district, count in PUBLISHED["districts"].counts.items():
        assert again.counts["districts"][district] == count
    assert again.fates["lost: Cercado de Lima, which is Lima"] == 42
    assert again.fates["counted 2 times: San Luis, in Lima and Cañete"] == 3
    assert again.fates["counted elsewhere: Surco, for the one in Huarochirí"] == 13
    ours = {
        one.name: (one.published, one.rebuilt, one.ours)
        for one in published_figures("kinds", answered["kinds"].rows, again)
    }
    assert ours["Asalto"] == (184, 184, 223)


def test_the_command_shows_and_writes(
    duckdb: str, files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(
        ["crime", "query", "districts", "--from", duckdb, "--robberies", files["robberies"], "--kinds", files["kinds"]]
    )
    told = capsys.readouterr().out
    assert "San Juan de Lurigancho" in told and "352 rows" in told and "lost: " in told
    main(["crime", "query", "2", "--from", duckdb, "--format", "csv"])
    assert capsys.readouterr().out.startswith('"Nombre_Distrito","Nombre_Provincia","Robos"\n"Lima","Lima",42\n')
    for kind in ("csv", "json", "parquet"):
        main(["crime", "query", "all", "--from", duckdb, "--format", kind, "--out", str(tmp_path / kind)])
        assert len(list((tmp_path / kind).glob(f"*.{kind}"))) == len(QUESTIONS)


def test_bad_input_is_one_line(duckdb: str, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="'eleven': there is no such question; name all"):
        list(query(QueryConfig(question="eleven", source=duckdb)))
    with pytest.raises(CalcoError, match="there is no database .*; make it with: calco crime load"):
        list(query(QueryConfig(question="kinds", source=str(tmp_path / "none.duckdb"))))
    with pytest.raises(CalcoError, match="10 answers do not fit into one file; name a folder: --out FOLDER"):
        list(query(QueryConfig(question="all", source=duckdb, format="json")))
    with pytest.raises(CalcoError, match="a terminal cannot show Parquet"):
        QueryConfig(question="kinds", format="parquet")
    import duckdb as engine

    engine.connect(str(tmp_path / "empty.duckdb")).close()
    with pytest.raises(CalcoError, match="has no table Departamento; make the tables"):
        list(query(QueryConfig(question="kinds", source=str(tmp_path / "empty.duckdb"))))


def test_without_rows_the_answer_says_so(
    tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    to = str(tmp_path / "crime.duckdb")
    load(LoadConfig(robberies=files["robberies"], kinds=files["kinds"], to=to))
    main(["crime", "query", "crimes-2019", "--from", to])
    assert "Crimenes_DataCrim holds no row for it" in capsys.readouterr().out
