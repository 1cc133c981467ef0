"""Every row of the input ends in a table or in the rejects, with its reason and its line."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.database import connect, duckdb_path
from calco.crime.datacrim import COLUMNS
from calco.crime.generate import GenerateConfig, generate
from calco.crime.load import LoadConfig, LoadResult, load
from calco.outputs import lock_name
from crime.loading import DIRTY, ROWS, config, contents
from crime.test_robberies import written
from support import lock_held

pytest.importorskip("ibis")


def test_dirty_rows_are_in_a_table_or_in_the_rejects_with_reason_and_line(sources: Path, tmp_path: Path) -> None:
    to = tmp_path / "crime.duckdb"
    done = load(config(sources, to, "dirty.csv"))
    count = done.sources[2]
    assert (count.read, count.loaded, count.rejected) == (len(DIRTY), 4, 7)
    tables = contents(to)
    assert [row[1:] for row in tables["Crimenes_DataCrim"]] == [
        (150140, 1, 7, 2019),
        (150140, 1, 3, 2019),  # one district and one modality, however they are written
        (150514, 2, 1, 2018),
        (150134, 2, 1, 2018),
    ]
    rejects = {row[4]: (row[5], row[6], row[7]) for row in tables["Rechazos"] if row[1] == "datacrim"}
    assert rejects[6] == (
        "Distrito",
        "SAN LUIS",
        "ambiguous: there are districts of this name in Lima (Lima), Cañete (Lima)",
    )
    assert rejects[7] == ("Año", "2107", "the year 2107 lies in the future")
    assert rejects[8] == ("Numero", "muchos", "not a whole number from 0 on")
    assert rejects[9] == ("Numero", "", "no number of occurrences is given")
    assert rejects[10] == ("Modalidad", "12", "no modality is given")
    assert rejects[11] == ("Distrito", "'); DROP TABLE Distrito; --", "no district of Peru has this name")
    assert rejects[12] == ("", "", "7 fields, where the header has 8")
    with (sources / "rejects.csv").open(encoding="utf-8", newline="") as file:
        beside = list(csv.DictReader(file))
    assert len(beside) == len(tables["Rechazos"]) == 8
    assert {row["Motivo"] for row in beside} == {row[7] for row in tables["Rechazos"]}
    assert json.loads(beside[0]["Registro"])["DISTRITO"] == "Atlántida"


def test_csv_and_parquet_give_the_same_tables(sources: Path, tmp_path: Path) -> None:
    generate(GenerateConfig(out=str(tmp_path / "rows.csv"), rows=ROWS))
    load(LoadConfig(datacrim=str(tmp_path / "rows.csv"), to=str(tmp_path / "a.duckdb")))
    load(LoadConfig(datacrim=str(sources / "datacrim.parquet"), to=str(tmp_path / "b.duckdb")))
    assert contents(tmp_path / "a.duckdb") == contents(tmp_path / "b.duckdb")


def test_a_source_that_is_not_named_stays(sources: Path, tmp_path: Path) -> None:
    to = tmp_path / "crime.duckdb"
    load(config(sources, to, "dirty.csv"))
    before = contents(to)
    load(LoadConfig(datacrim=str(sources / "dirty.csv"), to=str(to)))
    assert contents(to) == before
    done = load(LoadConfig(robberies=str(sources / "robberies.csv"), kinds=str(sources / "kinds.csv"), to=str(to)))
    assert done.tables["Crimenes_DataCrim"] == 4
    assert contents(to) == before


def test_what_else_is_in_the_database_stays(sources: Path, tmp_path: Path) -> None:
    to = tmp_path / "crime.duckdb"
    load(config(sources, to))
    backend = connect(str(to), read_only=False)
    backend.con.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    backend.disconnect()
    load(config(sources, to))
    backend = connect(str(to))
    assert backend.con.execute("SELECT answer FROM mine").fetchall() == [(42,)]
    backend.disconnect()


def test_tables_without_keys_hold_the_same(sources: Path, tmp_path: Path) -> None:
    with_keys = load(config(sources, tmp_path / "a.duckdb", keys="yes"))
    without = load(config(sources, tmp_path / "b.duckdb", keys="no"))
    assert (with_keys.keys, without.keys) == (True, False)
    assert contents(tmp_path / "a.duckdb") == contents(tmp_path / "b.duckdb")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no source is named"),
        (["--robberies", "robberies.csv"], "--robberies needs --kinds FILE"),
        (["--kinds", "kinds.csv"], "no source is named"),
        (["--datacrim", "nowhere.csv"], "cannot read nowhere.csv: No such file or directory"),
        (["--datacrim", "nowhere.parquet"], "cannot read nowhere.parquet: No such file or directory"),
        (["--datacrim", "kinds.csv"], "kinds.csv has no column 'Año'"),
        (["--datacrim", "broken.parquet"], "broken.parquet is not a whole Parquet file"),
        (
            ["--datacrim", "dirty.csv", "--to", "crime.txt"],
            "crime.txt is not a database; give a file that ends in .duckdb",
        ),
        (["--datacrim", "dirty.csv", "--to", "nowhere/crime.duckdb"], "there is no folder nowhere"),
        (["--datacrim", "dirty.csv", "--to", "text.duckdb"], "cannot use text.duckdb"),
        (["--datacrim", "dirty.csv", "--columns", "Año"], "--columns 'Año' must be of the form"),
        (["--datacrim", "dirty.csv", "--to", "nothing://a/b"], "cannot use nothing://a/b"),
        (["--datacrim", "header.csv"], "header.csv: the file holds no row"),
        (
            ["--robberies", "none.csv", "--kinds", "kinds.csv"],
            "none.csv: there is no robbery below the names of the columns",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words: list[str],
    told: str,
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("kinds.csv", "robberies.csv", "dirty.csv"):
        (tmp_path / name).write_bytes((sources / name).read_bytes())
    (tmp_path / "broken.parquet").write_bytes((sources / "datacrim.parquet").read_bytes()[:5000])
    (tmp_path / "text.duckdb").write_text("no database\n" * 9999)
    (tmp_path / "header.csv").write_bytes((sources / "dirty.csv").read_bytes().splitlines(keepends=True)[0])
    (tmp_path / "none.csv").write_bytes((sources / "robberies.csv").read_bytes().splitlines(keepends=True)[0])
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(SystemExit) as left:
        main(["crime", "load", *words])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("crime.duckdb", "crime.duckdb"),
        ("duckdb:///crime.duckdb", "crime.duckdb"),
        ("duckdb://crime.duckdb", "crime.duckdb"),
        ("duckdb:////nowhere/crime.duckdb", "/nowhere/crime.duckdb"),
        ("duckdb:///tmp/crime.duckdb", "/tmp/crime.duckdb"),
        ("mysql://a/b", None),
    ],
)
def test_which_file_an_address_means(url: str, file: str | None) -> None:
    assert duckdb_path(url) == (Path(file) if file else None)


def test_the_verb_prints_counts_that_add_up(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--robberies", str(sources / "robberies.csv"), "--kinds", str(sources / "kinds.csv")]
    main(["crime", "load", *words, "--to", str(tmp_path / "crime.duckdb")])
    out, err = capsys.readouterr()
    assert "no district of Peru has this name" in out
    assert "Robos_Lima 1, " in out
    assert "Rechazos 1" in out
    assert "crime.rechazos.csv" in err


def test_a_load_gives_its_counts_in_python(sources: Path, tmp_path: Path) -> None:
    done: LoadResult = load(config(sources, tmp_path / "crime.duckdb", "dirty.csv"))
    assert sum(one.read for one in done.sources) == sum(one.loaded + one.rejected for one in done.sources)
    assert done.reasons.total() == sum(one.rejected for one in done.sources) == done.tables["Rechazos"]


@pytest.mark.parametrize("source", ["robberies", "datacrim"])
def test_a_source_of_which_nothing_can_be_used_replaces_nothing(
    source: str, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "crime.duckdb"
    load(config(sources, to))
    before, rejects = contents(to), (sources / "rejects.csv").read_bytes()
    lines = (sources / f"{source if source == 'robberies' else 'dirty'}.csv").read_bytes().splitlines(keepends=True)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(lines[0] + lines[1].replace(b"Ate", b"Atlantida").replace(b"SURCO", b"ATLANTIDA") * 3)
    kinds = ["--kinds", str(sources / "kinds.csv")] if source == "robberies" else []
    words = [f"--{source}", str(bad), *kinds]
    with pytest.raises(SystemExit) as left:
        main(
            [
                "crime",
                "load",
                f"--{source}",
                str(bad),
                *words,
                "--to",
                str(to),
                "--rejects",
                str(sources / "rejects.csv"),
            ]
        )
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "bad.csv: none of its 3 rows can be used (3: no district of Peru has this name)" in line
    assert contents(to) == before
    assert (sources / "rejects.csv").read_bytes() == rejects
    new = tmp_path / "new.duckdb"
    with pytest.raises(SystemExit):
        main(["crime", "load", *words, "--to", str(new)])
    assert not new.exists()


def test_spellings_of_one_name_are_one(sources: Path, tmp_path: Path) -> None:
    changes = [
        {"TIPO DE ARMA": weapon, "OCUPACIÓN": work, "GENERO VICTIMA": gender, "DISTRITO": district}
        for weapon, work, gender, district in (
            ("CUCHILLO", "policia", "HOMBRE", "SAN MARTIN DE PORRES"),
            ("Cuchillo", "Policía", "hombre", "San Martín de Porres"),
            ("Pistola/cuchillo", "Polici\u0301a", "Hombre", "san marti\u0301n de porres"),
            ("pistola / CUCHILLO", "POLICÍA", "Hombres", "San  Martin\u00a0de Porres"),
        )
    ]
    written(tmp_path, *changes)
    to = tmp_path / "crime.duckdb"
    load(LoadConfig(robberies=str(tmp_path / "robberies.csv"), kinds=str(sources / "kinds.csv"), to=str(to)))
    rows = contents(to)["Robos_Lima"]
    assert [row[3] for row in rows] == ["Cuchillo"] * 2 + ["Pistola / Cuchillo"] * 2
    assert {(row[1], row[7], row[11]) for row in rows} == {(150135, "Hombre", "Policía")}


def test_kinds_that_differ_by_a_number_are_two(tmp_path: Path) -> None:
    (tmp_path / "kinds.csv").write_text("Crimen;Descripcion\nRobo 1;x\nRobo 2;y\n")
    written(tmp_path, {"MODALIDAD DE ROBO": "ROBO 2"}, {"MODALIDAD DE ROBO": "Robo 3"})
    to = tmp_path / "crime.duckdb"
    load(LoadConfig(robberies=str(tmp_path / "robberies.csv"), kinds=str(tmp_path / "kinds.csv"), to=str(to)))
    held = contents(to)
    assert [row[2] for row in held["Robos_Lima"]] == [2]
    assert [row[6] for row in held["Rechazos"]] == ["Robo 3"]


def test_numbers_of_a_parquet_file_are_what_they_are(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = {"Generica": "P", "Especifica": "R", "Modalidad": "A", "Departamento": "LIMA", "Provincia": "LIMA"}
    counts = [1000.0, 1.732, None, float("nan"), -1.0, 7.0]
    columns = {"Año": [2019] * 6, "Numero": counts, **{name: [text] * 6 for name, text in texts.items()}}
    pq.write_table(pa.table({**columns, "Distrito": [b"ATE"] * 6}), tmp_path / "a.parquet")
    done = load(LoadConfig(datacrim=str(tmp_path / "a.parquet"), to=str(tmp_path / "a.duckdb")))
    held = contents(tmp_path / "a.duckdb")
    assert [(row[0], row[3]) for row in held["Crimenes_DataCrim"]] == [(1, 1000), (6, 7)]
    assert [(row[4], row[6]) for row in held["Rechazos"]] == [(2, "1.732"), (3, ""), (4, "nan"), (5, "-1.0")]
    assert done.sources[0].read == 6


@pytest.mark.parametrize("word", ["#N/A", "N.A.", "-", "VERDADERO", ""])
def test_what_is_no_name_of_a_crime_becomes_none(word: str, tmp_path: Path) -> None:
    header = "Año,Numero,Generica,Especifica,Modalidad,Departamento,Provincia,Distrito\n"
    (tmp_path / "a.csv").write_text(f"{header}2019,1,P,R,{word},LIMA,LIMA,ATE\n2019,1,P,R,A,LIMA,LIMA,ATE\n")
    load(LoadConfig(datacrim=str(tmp_path / "a.csv"), to=str(tmp_path / "a.duckdb")))
    held = contents(tmp_path / "a.duckdb")
    assert [row[2] for row in held["Modalidad_Crimen"]] == ["A"]
    assert [(row[4], row[5]) for row in held["Rechazos"]] == [(2, "Modalidad")]


def test_no_csv_holds_a_formula(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(
        tmp_path, {"TIPO DE ARMA": "=HYPERLINK(A1)"}, {"DISTRITO": "@SUM(A1)"}, {"MUERTOS": "-5"}, {"DISTRITO": "+1|x"}
    )
    words = ["--robberies", "robberies.csv", "--kinds", str(sources / "kinds.csv"), "--to", "a.duckdb"]
    main(["crime", "load", *words])
    with (tmp_path / "a.rechazos.csv").open(encoding="utf-8", newline="") as file:
        rejects = list(csv.DictReader(file))
    assert [row["Valor"] for row in rejects] == ["'@SUM(A1)", "-5", "'+1|x"]
    assert [row[6] for row in contents("a.duckdb")["Rechazos"]] == [
        "@SUM(A1)",
        "-5",
        "+1|x",
    ]  # in the database as it was
    main(["crime", "query", "weapons", "--from", "a.duckdb", "--format", "csv", "--out", "weapons.csv"])
    assert (tmp_path / "weapons.csv").read_text() == '"Tipo_Arma","Robos"\n"\'=HYPERLINK(A1)",1\n'
    main(["crime", "query", "weapons", "--from", "a.duckdb", "--format", "json", "--out", "weapons.json"])
    assert '"=HYPERLINK(A1)"' in (tmp_path / "weapons.json").read_text()


def test_a_column_is_renamed_to_one_of_ours(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="--columns 'DISTRIT': there is no such column; ours are FECHA"):
        load(config(sources, tmp_path / "a.duckdb", columns=("BARRIO=DISTRIT",)))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"datacrim": "a.parquet", "encoding": "utf-8"}, "--encoding and --separator are for CSV files"),
        ({"robberies": "a.xlsx", "separator": ";"}, "--encoding and --separator are for CSV files"),
        ({"robberies": "a.csv", "kinds": "b.csv", "sheets": ("MAYO",)}, "--sheets is for a workbook"),
        ({"datacrim": "a.csv", "keep_several": True}, "--keep-several is for robberies"),
    ],
)
def test_an_option_that_nothing_heeds_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(CalcoError, match=told):
        LoadConfig(**options)


@pytest.mark.parametrize(("column", "value"), [("Distrito", ["ATE"]), ("Numero", [1]), ("Modalidad", {"a": 1})])
def test_nested_columns_of_a_parquet_file_are_refused(column: str, value: Any, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    row = dict(zip(COLUMNS, (2019, 1, "P", "R", "A", "LIMA", "LIMA", "ATE"), strict=True))
    pq.write_table(pa.table({name: [cell] for name, cell in {**row, column: value}.items()}), tmp_path / "a.parquet")
    with pytest.raises(CalcoError, match=f"the column '{column}' holds .*; it must hold texts or numbers"):
        load(LoadConfig(datacrim=str(tmp_path / "a.parquet"), to=str(tmp_path / "a.duckdb")))


def test_a_rejected_row_leaves_no_crime_behind(tmp_path: Path) -> None:
    header = "Año,Numero,Generica,Especifica,Modalidad,Departamento,Provincia,Distrito\n"
    (tmp_path / "a.csv").write_text(f"{header}2019,x,BAD,BAD,BAD,LIMA,LIMA,ATE\n2019,1,P,R,A,LIMA,LIMA,ATE\n")
    load(LoadConfig(datacrim=str(tmp_path / "a.csv"), to=str(tmp_path / "a.duckdb")))
    assert [row[2] for row in contents(tmp_path / "a.duckdb")["Modalidad_Crimen"]] == ["A"]


def test_a_load_at_work_keeps_its_database(sources: Path, tmp_path: Path) -> None:
    to = tmp_path / "c.duckdb"
    with lock_held(tmp_path / lock_name("c.duckdb"), "calco crime load"):
        with pytest.raises(CalcoError, match=r"calco crime load \(process 1\) is at work on .*c.duckdb"):
            load(config(sources, to))
        assert not to.exists()
        to.write_bytes(b"what the other writes")
        with pytest.raises(CalcoError, match="is at work"):
            load(config(sources, to))
        assert to.read_bytes() == b"what the other writes"


@pytest.mark.slow
def test_of_two_loads_at_once_one_is_whole_and_none_is_lost(sources: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "calco", "crime", "load", "--robberies", str(sources / "robberies.csv"),
             "--kinds", str(sources / "kinds.csv"), "--to", "c.duckdb"]  # fmt: skip
    two = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(2)]
    told = [process.communicate(timeout=120)[1].decode() for process in two]
    codes = sorted(process.returncode for process in two)
    assert codes in ([0, 2], [0, 0]), told  # both are done where one came after the other
    assert "Robos_Lima" in connect(str(tmp_path / "c.duckdb")).list_tables()
    for process, words_of in zip(two, told, strict=True):
        if process.returncode:
            assert "is at work on" in words_of and len(words_of.strip().splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if "lock" in path.name or ".tmp" in path.name]


def test_what_a_killed_load_left_half_written_is_removed(sources: Path, tmp_path: Path) -> None:
    half, theirs = tmp_path / ".c.rechazos.0123456789abcdef.tmp.csv", tmp_path / ".c.rechazos.old.tmp.csv"
    half.write_text("half")
    theirs.write_text("mine")
    options = LoadConfig(
        robberies=str(sources / "robberies.csv"), kinds=str(sources / "kinds.csv"), to=str(tmp_path / "c.duckdb")
    )
    load(options)
    assert not half.exists()
    assert theirs.read_text() == "mine"
    load(options)  # its own rejects are replaced
    (tmp_path / "c.rechazos.csv").write_text("mine")
    before = contents(tmp_path / "c.duckdb")
    with pytest.raises(CalcoError, match="c.rechazos.csv is there already and has been changed since"):
        load(options)
    assert contents(tmp_path / "c.duckdb") == before


@pytest.mark.parametrize("url", ["{}/other.duckdb", "sqlite:///{}/other.sqlite"])
def test_a_table_of_somebody_under_one_of_our_names_is_kept(sources: Path, tmp_path: Path, url: str) -> None:
    to = url.format(tmp_path)
    backend = connect(to, read_only=False)
    backend.con.execute('CREATE TABLE "Robos_Lima" (id INTEGER, note VARCHAR(20))')
    backend.con.execute("INSERT INTO \"Robos_Lima\" VALUES (1, 'mine')")
    if hasattr(backend.con, "in_transaction"):
        backend.con.commit()
    backend.disconnect()
    with pytest.raises(CalcoError, match="has another table Robos_Lima"):
        load(config(sources, to))
    backend = connect(to)
    assert backend.con.execute('SELECT note FROM "Robos_Lima"').fetchall() == [("mine",)]
    backend.disconnect()
