"""A database shows no password, and a foreign one reads nothing of this machine."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.answers import QueryConfig, query
from calco.crime.database import connect
from calco.crime.load import load
from crime.loading import config, contents
from crime.servers import MariaDB, PostgreSQL, shared

pytest.importorskip("ibis")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:se/cret@127.0.0.1:1/crime",
        "mysql://root:se#cret@127.0.0.1:1/crime",
        "mysql://root:se?cret@127.0.0.1:1/crime",
        "mysql://root:[cret@127.0.0.1:1/crime",
        "mysql://root:cret]@127.0.0.1:1/crime",
        "mysql://root:12/cret@127.0.0.1:1/crime",
        "mysql://root:x@cret@127.0.0.1:1/crime",
        "mysql://127.0.0.1:1/crime?user=root&password=cret",
        "mysql://root:cret@127.0.0.1:port/crime",
        "mysql://root:cret@127.0.0.1:1",
        "postgres://root:se/cret@127.0.0.1:1/crime",
        "postgres://root:cr%2Fet@127.0.0.1:1/crime",
        "postgres://127.0.0.1:1/crime?user=u&password=cret",
        "postgres://127.0.0.1:1/crime?user=u&passwrod=cret",
        "nothing://root:cret@127.0.0.1:1/crime",
        "root:cret@127.0.0.1/crime",
        "host=127.0.0.1 password=cret",
    ],
)
def test_no_verb_shows_a_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("")
    for verb in ("query kinds --from", "dashboard --from", "forecast --from", "load --datacrim x.csv --to"):
        with pytest.raises(SystemExit) as left:
            main(["crime", *verb.split(), url])
        assert left.value.code == 2
        told = "".join(capfd.readouterr())
        assert not any(password in told for password in ("cret", "cr%2Fet", "cr/et"))
        assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", [MariaDB, PostgreSQL])
def test_a_driver_s_error_shows_no_password(kind: type[MariaDB] | type[PostgreSQL]) -> None:
    with pytest.raises(CalcoError, match="root:\\*\\*\\*@") as told:
        connect(f"{kind.scheme}://root:127.0.0.1@127.0.0.1:1/crime")
    assert str(told.value).count("127.0.0.1") == 1  # what the driver says of the host is hidden with the password


def test_a_plus_in_a_password_is_a_plus() -> None:
    postgres = shared(PostgreSQL)
    postgres.sql("CREATE ROLE \"a+b\" LOGIN PASSWORD 'uno+dos/tres'")
    backend = connect(f"postgres://a%2Bb:uno+dos%2Ftres@127.0.0.1:{postgres.port}/crime")
    assert backend.con.info.user == "a+b"
    backend.disconnect()


@pytest.fixture
def foreign(loaded: Path, tmp_path: Path) -> Path:
    """A database whose table of robberies is a view that reads a file beside it."""
    import duckdb

    path = shutil.copy(loaded, tmp_path / "foreign.duckdb")
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP-SECRET")
    with duckdb.connect(str(path)) as held:
        held.execute('CREATE TABLE kept AS SELECT * FROM "Robos_Lima"; DROP TABLE "Robos_Lima"')
        held.execute(
            f"""CREATE VIEW "Robos_Lima" AS
            SELECT * REPLACE ((SELECT content FROM read_text('{secret}')) AS "Tipo_Arma") FROM kept
            WHERE (SELECT size FROM read_text('{secret}')) > 0"""
        )
    return path


@pytest.mark.parametrize("verb", ["query weapons --format csv", "dashboard --out page.html", "chart kinds", "forecast"])
def test_a_view_in_a_foreign_database_reads_no_file(
    verb: str, foreign: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(foreign.parent)
    with pytest.raises(SystemExit) as left:
        main(["crime", *verb.split(), "--from", str(foreign)])
    assert left.value.code == 2
    assert "reads files or loads extensions of this machine" in capfd.readouterr().err
    assert not (foreign.parent / "page.html").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "ATTACH 'other.duckdb'",
        "COPY (SELECT 1) TO 'out.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '/etc/passwd'",
        "LOAD httpfs",
        "INSTALL httpfs",
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_duckdb_opens_nothing_beside_its_file(
    statement: str, read_only: bool, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    monkeypatch.chdir(foreign.parent)
    before = sorted(path.name for path in foreign.parent.iterdir())
    backend = connect(str(foreign), read_only=read_only, memory="1GB", threads=1)
    with pytest.raises(duckdb.Error):
        backend.con.execute(statement).fetchall()
    backend.disconnect()
    assert sorted(path.name for path in foreign.parent.iterdir()) == before


@pytest.mark.slow
def test_duckdb_still_lays_on_disk_what_exceeds_its_memory(tmp_path: Path) -> None:
    backend = connect(str(tmp_path / "a.duckdb"), read_only=False, memory="150MB", threads=1)
    rows = "SELECT r, random() AS x, repeat('x', 100) || r AS t FROM range(2000000) s(r) ORDER BY x"
    (count,) = backend.con.execute(f"CREATE TABLE t AS {rows}").fetchone()
    backend.disconnect()
    assert count == 2_000_000


@pytest.mark.parametrize(
    "statement", ["ATTACH '/tmp/other.sqlite' AS other", "SELECT load_extension('x')", "VACUUM INTO 'copy.sqlite'"]
)
def test_sqlite_opens_nothing_beside_its_file(statement: str, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a.sqlite").close()
    backend = connect(f"sqlite://{tmp_path}/a.sqlite", read_only=False)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized|authorization denied"):
        backend.con.execute(statement)
    backend.disconnect()


def test_a_question_makes_no_sqlite_file(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="there is no database"):
        list(query(QueryConfig(question="kinds", source=f"sqlite://{tmp_path}/no.sqlite")))
    assert list(tmp_path.iterdir()) == []


def test_a_sqlite_file_named_duckdb_is_refused(tmp_path: Path) -> None:
    """DuckDB would fetch an extension for it."""
    path = tmp_path / "a.duckdb"
    with closing(sqlite3.connect(path)) as held:
        held.execute("CREATE TABLE a (b)")
        held.commit()
    with pytest.raises(CalcoError, match="a.duckdb"):
        connect(str(path))


def test_a_file_named_like_a_cloud_is_a_file(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load(config(sources, "md:a.duckdb"))
    assert (tmp_path / "md:a.duckdb").is_file()
    assert len(contents("md:a.duckdb")["Robos_Lima"]) == 1


def test_a_server_asks_for_no_file_of_this_machine(tmp_path: Path) -> None:
    server = shared(MariaDB)
    server.sql("SET GLOBAL local_infile = 1")
    server.sql("CREATE TABLE a (b TEXT)", "crime")
    (tmp_path / "secret.txt").write_text("TOP-SECRET")
    backend = connect(server.url())
    with pytest.raises(Exception, match=r"(?i)local|command is not allowed"):
        backend.raw_sql(f"LOAD DATA LOCAL INFILE '{tmp_path}/secret.txt' INTO TABLE a")
    backend.disconnect()
    assert server.sql("SELECT COUNT(*) FROM a", "crime") == [(0,)]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("Crimenes_DataCrim", "Anio", "<img src=x onerror=alert(1)>"),
        ("Robos_Lima", "Id_Distrito", "__proto__"),
    ],
)
def test_text_where_numbers_must_stand_is_refused(
    table: str, column: str, value: str, loaded: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a database of somebody else; the page would hold it."""
    import duckdb

    path = shutil.copy(loaded, tmp_path / "foreign.duckdb")
    with duckdb.connect(str(path)) as held:
        held.execute(f'CREATE TABLE kept AS SELECT * REPLACE (\'{value}\' AS "{column}") FROM "{table}"')
        held.execute(f'DROP TABLE "{table}"; CREATE VIEW "{table}" AS SELECT * FROM kept')
    with pytest.raises(SystemExit) as left:
        main(["crime", "dashboard", "--from", str(path), "--out", str(tmp_path / "page.html")])
    assert left.value.code == 2
    assert "cannot add up" in capfd.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_duckdb_that_this_program_has_open_is_named_with_the_remedy(foreign: Path) -> None:
    backend = connect(str(foreign))
    with pytest.raises(CalcoError, match=r"open in this program already; close that connection first, by its disconn"):
        connect(str(foreign))
    backend.disconnect()
    connect(str(foreign)).disconnect()
