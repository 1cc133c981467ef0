"""Every row of the input ends in a table or in the rejects, in one transaction, twice with the same result."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.database import connect, duckdb_path, public
from calco.crime.generate import GenerateConfig, generate
from calco.crime.load import LoadConfig, Loaded, load
from calco.crime.schema import TABLES, quoting
from crime.servers import MariaDB
from crime.test_robberies import written

pytest.importorskip("ibis")

ROWS = 4_000
DIRTY = [
    ("2019", "7", "CONTRA EL PATRIMONIO", "ROBO", "ROBO AGRAVADO", "LIMA", "LIMA", "SURCO"),
    ("2019", " 3 ", "0401 - CONTRA EL PATRIMONIO", "ROBO*", "ROBO  AGRAVADO 2/", "LIMA", "LIMA", "Santiago de Surco"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "CAÑETE", "SAN LUIS"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "SAN LUIS"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "", "SAN LUIS"),
    ("2107", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "ATE"),
    ("2018", "muchos", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "ATE"),
    ("2018", "", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "ATE"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "12", "LIMA", "LIMA", "ATE"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "'); DROP TABLE Distrito; --"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kinds, two robberies of which one serves, DataCrim's rows by the thousand, and eleven dirty ones."""
    folder = tmp_path_factory.mktemp("sources")
    written(folder, {}, {"DISTRITO": "Atlántida"})
    (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\n")
    generate(GenerateConfig(out=str(folder / "datacrim.parquet"), rows=ROWS))
    with (folder / "dirty.csv").open("w", encoding="cp1252", newline="") as file:
        out = csv.writer(file)
        out.writerows(
            [("Año", "Numero", "Generica", "Especifica", "Modalidad", "Departamento", "Provincia", "Distrito")]
        )
        out.writerows(DIRTY)
    return folder


def config(sources: Path, to: object, datacrim: str = "datacrim.parquet", **options: Any) -> LoadConfig:
    return LoadConfig(
        robberies=str(sources / "robberies.csv"),
        kinds=str(sources / "kinds.csv"),
        datacrim=str(sources / datacrim),
        to=str(to),
        rejects=str(sources / "rejects.csv"),
        **options,
    )


def contents(url: object) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, as another program reads them."""
    backend = connect(str(url))
    try:
        cursor = backend.con.cursor()
        found: dict[str, list[tuple[Any, ...]]] = {}
        for name, table in TABLES.items():
            quote = quoting(backend.name)
            cursor.execute(f"SELECT {', '.join(map(quote, table.names))} FROM {quote(name)} ORDER BY {quote('id')}")
            found[name] = [
                tuple(str(cell) if isinstance(cell, date) else cell for cell in row) for row in cursor.fetchall()
            ]
        return found
    finally:
        backend.disconnect()


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    server = MariaDB()
    yield server
    server.stop()


@pytest.mark.parametrize("kind", ["duckdb", "mariadb", "sqlite"])
def test_twice_the_same_in_every_database(
    kind: str, sources: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    to = tmp_path / "crime.duckdb"
    first = load(config(sources, to))
    expected = contents(to)
    url = str(to)
    if kind == "mariadb":
        url = request.getfixturevalue("mariadb").url()
    elif kind == "sqlite":
        url = f"sqlite://{tmp_path}/crime.sqlite"
    for _ in range(2):
        done = load(config(sources, url))
        assert [(one.read, one.loaded, one.rejected) for one in done.sources] == [(1, 1, 0), (2, 1, 1), (ROWS, ROWS, 0)]
        assert done.tables == first.tables
        assert contents(url) == expected


def test_keys_hold_in_the_databases(sources: Path, tmp_path: Path, mariadb: MariaDB) -> None:
    load(config(sources, mariadb.url()))
    load(config(sources, tmp_path / "crime.duckdb"))
    query = "SELECT COUNT(*) FROM information_schema.{} WHERE constraint_type = '{}' AND table_schema = '{}'"
    (primary,) = mariadb.sql(query.format("table_constraints", "PRIMARY KEY", "crime"))
    (foreign,) = mariadb.sql(query.format("table_constraints", "FOREIGN KEY", "crime"))
    assert (primary, foreign) == ((10,), (8,))
    backend = connect(str(tmp_path / "crime.duckdb"))
    kinds = [row[0] for row in backend.con.execute("SELECT constraint_type FROM duckdb_constraints()").fetchall()]
    backend.disconnect()
    assert (kinds.count("PRIMARY KEY"), kinds.count("FOREIGN KEY")) == (10, 8)


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
    assert rejects[8] == ("Numero", "muchos", "no whole number from 0 on")
    assert rejects[9] == ("Numero", "", "no number of occurrences is told")
    assert rejects[10] == ("Modalidad", "12", "no modality is told")
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


def killed(url: str, sources: Path, rows: Path, when: Any) -> subprocess.Popen[bytes]:
    """Begins a load in a process of its own, and kills it with SIGKILL at the moment that `when` waits for."""
    words = ["crime", "load", "--datacrim", str(rows), "--to", url, "--rejects", str(sources / "killed.csv")]
    process = subprocess.Popen(
        [sys.executable, "-m", "calco", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    when(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return process


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.parquet"
    generate(GenerateConfig(out=str(path), rows=600_000, seed=1))
    return path


def test_a_process_that_dies_in_mid_load_leaves_the_duckdb_file_as_it_was(
    sources: Path, tmp_path: Path, many: Path
) -> None:
    to = tmp_path / "crime.duckdb"
    load(config(sources, to))
    before, size = contents(to), to.stat().st_size

    def grown(process: subprocess.Popen[bytes]) -> None:
        while to.stat().st_size < size + 1_000_000:
            assert process.poll() is None, "the load was over before it could be killed"
            time.sleep(0.005)

    killed(str(to), sources, many, grown)
    assert contents(to) == before
    load(config(sources, to))
    assert contents(to) == before


def test_a_server_that_dies_in_mid_load_keeps_what_it_had(sources: Path, mariadb: MariaDB, many: Path) -> None:
    load(config(sources, mariadb.url()))
    before = contents(mariadb.url())
    words = ["crime", "load", "--datacrim", str(many), "--to", mariadb.url(), "--rejects", str(sources / "killed.csv")]
    process = subprocess.Popen(
        [sys.executable, "-m", "calco", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for_rows(mariadb, process)
    mariadb.kill()
    _, told = process.communicate(timeout=60)
    mariadb.start()
    assert process.returncode == 2
    assert told.count("\n") == 1
    assert "nothing of this load was kept: start the server and load again" in told
    assert "clave" not in told
    assert contents(mariadb.url()) == before
    load(config(sources, mariadb.url()))
    assert contents(mariadb.url()) == before


def test_a_process_that_dies_in_mid_load_leaves_mariadb_as_it_was(sources: Path, mariadb: MariaDB, many: Path) -> None:
    load(config(sources, mariadb.url()))
    before = contents(mariadb.url())
    killed(mariadb.url(), sources, many, lambda process: wait_for_rows(mariadb, process))
    assert contents(mariadb.url()) == before
    load(config(sources, mariadb.url()))
    assert contents(mariadb.url()) == before


def wait_for_rows(mariadb: MariaDB, process: Any) -> None:
    """Until the server has taken ten statements of a load, most of them of five thousand rows."""

    def inserted() -> int:
        # Not information_schema.innodb_trx: who asks for it may wait for minutes behind a busy transaction.
        return int(str(mariadb.sql("SHOW GLOBAL STATUS LIKE 'Com_insert'")[0][1]))

    begun, until = inserted(), time.monotonic() + 120
    while inserted() < begun + 10:
        assert process.poll() is None and time.monotonic() < until, "the load was over before it could be stopped"
        time.sleep(0.02)


def test_what_a_server_refuses_is_one_line_without_the_password(
    sources: Path, mariadb: MariaDB, capsys: pytest.CaptureFixture[str]
) -> None:
    down = mariadb.url().replace(str(mariadb.port), "1")
    for url, told in (
        (mariadb.url(password="wrong"), "Access denied for user 'root'@'127.0.0.1' (using password: YES); check user"),
        (mariadb.url(database="nothing"), "Unknown database 'nothing'; make it first: CREATE DATABASE"),
        (down, "start the server, or check host and port"),
        (mariadb.url(database=""), "names no database; add it at the end"),
    ):
        with pytest.raises(SystemExit):
            main(["crime", "load", "--datacrim", str(sources / "dirty.csv"), "--to", url])
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert told in line
        assert "wrong" not in line
        assert "clave" not in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing is to be loaded"),
        (["--robberies", "robberies.csv"], "--robberies needs --kinds FILE beside it"),
        (["--kinds", "kinds.csv"], "nothing is to be loaded"),
        (["--datacrim", "nowhere.csv"], "cannot read nowhere.csv: No such file or directory"),
        (["--datacrim", "nowhere.parquet"], "cannot read nowhere.parquet: No such file or directory"),
        (["--datacrim", "kinds.csv"], "kinds.csv has no column 'Año'"),
        (["--datacrim", "broken.parquet"], "broken.parquet is no whole Parquet file"),
        (
            ["--datacrim", "dirty.csv", "--to", "crime.txt"],
            "crime.txt is no database; give a file that ends in .duckdb",
        ),
        (["--datacrim", "dirty.csv", "--to", "nowhere/crime.duckdb"], "there is no folder nowhere"),
        (["--datacrim", "dirty.csv", "--to", "text.duckdb"], "cannot use text.duckdb"),
        (["--datacrim", "dirty.csv", "--columns", "Año"], "--columns 'Año' must be of the form"),
        (["--datacrim", "dirty.csv", "--to", "nothing://a/b"], "cannot use nothing://a/b"),
        (["--datacrim", "header.csv"], "header.csv holds no row"),
        (
            ["--robberies", "none.csv", "--kinds", "kinds.csv"],
            "none.csv holds no robbery below the names of its columns",
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


def test_a_database_that_another_program_writes_is_told(sources: Path, tmp_path: Path) -> None:
    to = tmp_path / "crime.duckdb"
    load(config(sources, to))
    code = f"import duckdb, time; con = duckdb.connect({str(to)!r}); print('open', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout and other.stdout.readline()
    try:
        with pytest.raises(CalcoError, match="another program has the file open: close it there"):
            load(config(sources, to))
    finally:
        other.kill()
        other.communicate()


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


def test_no_password_is_shown() -> None:
    assert public("mysql://me:secret@host/db") == "mysql://me:***@host/db"


def test_the_verb_prints_counts_that_add_up(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--robberies", str(sources / "robberies.csv"), "--kinds", str(sources / "kinds.csv")]
    main(["crime", "load", *words, "--to", str(tmp_path / "crime.duckdb")])
    out, err = capsys.readouterr()
    assert "no district of Peru has this name" in out
    assert "Robos_Lima 1, " in out
    assert "Rechazos 1" in out
    assert "crime.rechazos.csv" in err


def test_a_load_gives_its_counts_in_python(sources: Path, tmp_path: Path) -> None:
    done: Loaded = load(config(sources, tmp_path / "crime.duckdb", "dirty.csv"))
    assert sum(one.read for one in done.sources) == sum(one.loaded + one.rejected for one in done.sources)
    assert done.reasons.total() == sum(one.rejected for one in done.sources) == done.tables["Rechazos"]
