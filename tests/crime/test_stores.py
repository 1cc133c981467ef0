"""Every database holds the same, with keys, and what it had before when a load is cut off."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.database import connect
from calco.crime.load import load
from crime.loading import ROWS, config, contents
from crime.servers import MariaDB, PostgreSQL, Server, shared

pytest.importorskip("ibis")


SERVERS: dict[str, type[Server]] = {"mariadb": MariaDB, "postgres": PostgreSQL}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each server in turn; skips where one is not installed."""
    return shared(SERVERS[request.param])


@pytest.mark.parametrize("kind", ["duckdb", "sqlite", *SERVERS])
def test_twice_the_same_in_every_database(kind: str, sources: Path, tmp_path: Path) -> None:
    to = tmp_path / "crime.duckdb"
    first = load(config(sources, to))
    expected = contents(to)
    others = {"duckdb": str(to), "sqlite": f"sqlite://{tmp_path}/crime.sqlite"}
    url = others[kind] if kind in others else shared(SERVERS[kind]).url()
    for _ in range(2):
        done = load(config(sources, url))
        assert [(one.read, one.loaded, one.rejected) for one in done.sources] == [(1, 1, 0), (2, 1, 1), (ROWS, ROWS, 0)]
        assert done.tables == first.tables
        assert contents(url) == expected


KEYS = """SELECT COUNT(*) FROM information_schema.table_constraints
WHERE constraint_type = '{} KEY' AND table_schema IN ('crime', 'public')"""


def test_keys_hold_on_servers(sources: Path, server: Server) -> None:
    load(config(sources, server.url()))
    found = [server.sql(KEYS.format(kind), "crime") for kind in ("PRIMARY", "FOREIGN")]
    assert found == [[(10,)], [(8,)]]


def test_keys_hold_in_files(sources: Path, tmp_path: Path) -> None:
    for url in (f"{tmp_path}/crime.duckdb", f"sqlite://{tmp_path}/crime.sqlite"):
        load(config(sources, url))
    backend = connect(f"{tmp_path}/crime.duckdb")
    kinds = [row[0] for row in backend.con.execute("SELECT constraint_type FROM duckdb_constraints()").fetchall()]
    backend.disconnect()
    assert (kinds.count("PRIMARY KEY"), kinds.count("FOREIGN KEY")) == (10, 8)
    with closing(sqlite3.connect(tmp_path / "crime.sqlite")) as held:
        (made,) = held.execute("SELECT GROUP_CONCAT(sql) FROM sqlite_master WHERE type = 'table'").fetchone()
    assert (made.count("PRIMARY KEY"), made.count("FOREIGN KEY")) == (10, 8)


def test_a_database_that_takes_nothing_back_is_refused(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver may have all that transactions need, and yet write every statement at once."""
    opened = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **named: opened(*args, **{**named, "isolation_level": None}))
    with pytest.raises(CalcoError, match="sqlite has no transactions through Ibis, so that a load could stop half-way"):
        load(config(sources, f"sqlite://{tmp_path}/crime.sqlite"))
    with closing(opened(tmp_path / "crime.sqlite")) as held:
        assert held.execute('SELECT COUNT(*) FROM "Departamento"').fetchone() == (0,)


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_server_that_dies_in_mid_load_keeps_what_it_had(sources: Path, server: Server, many: Path) -> None:
    load(config(sources, server.url()))
    before = contents(server.url())
    words = ["crime", "load", "--datacrim", str(many), "--to", server.url(), "--rejects", str(sources / "killed.csv")]
    process = subprocess.Popen(
        [sys.executable, "-m", "calco", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for_rows(server, process)
    server.kill()
    _, told = process.communicate(timeout=60)
    server.start()
    assert process.returncode == 2
    assert told.count("\n") == 1
    assert "nothing of this load was kept: start the server and load again" in told
    assert "clave" not in told
    server.sql("SELECT 1")  # it may mend itself first
    assert contents(server.url()) == before
    load(config(sources, server.url()))
    assert contents(server.url()) == before


@pytest.mark.slow
def test_a_process_that_dies_in_mid_load_leaves_the_server_as_it_was(sources: Path, server: Server, many: Path) -> None:
    load(config(sources, server.url()))
    before = contents(server.url())
    killed(server.url(), sources, many, lambda process: wait_for_rows(server, process))
    assert contents(server.url()) == before
    load(config(sources, server.url()))
    assert contents(server.url()) == before


def wait_for_rows(server: Server, process: Any) -> None:
    """Until the server has taken some ten thousand rows of a load."""
    begun, until = server.taken(), time.monotonic() + 120
    while server.taken() < begun + 50_000:
        assert process.poll() is None and time.monotonic() < until, "the load was over before it could be stopped"
        time.sleep(0.02)


REFUSED = {
    "mariadb": (
        "Access denied for user 'root'@'127.0.0.1' (using password: YES); check user",
        "Unknown database 'nothing'; make it first: CREATE DATABASE",
    ),
    "postgres": (
        'password authentication failed for user "calco"; check user and password',
        'database "nothing" does not exist; make it first: CREATE DATABASE',
    ),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_what_a_server_refuses_is_one_line_without_the_password(
    kind: str, sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shared(SERVERS[kind])
    denied, unknown = REFUSED[kind]
    lost = [("mysql://root@127.0.0.1/", "names no database; add it at the end")] if kind == "mariadb" else []
    for url, told in (
        *lost,
        (server.url(password="wrong"), denied),
        (server.url(database="nothing"), unknown),
        (server.url().replace(str(server.port), "1"), "start the server, or check host and port"),
    ):
        with pytest.raises(SystemExit):
            main(["crime", "load", "--datacrim", str(sources / "dirty.csv"), "--to", url])
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert told in line
        assert "wrong" not in line
        assert "clave" not in line


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
