"""Database servers of the tests' own, which may be killed and started again."""

import atexit
import functools
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from support import requires

PASSWORD = "clave:con@signos/"
QUOTED = "clave%3Acon%40signos%2F"  # as it stands in a URL


class Server:
    """A server on a port of its own, with its data in a folder."""

    scheme: str
    user: str
    owner: str  # whom the server runs as where root runs the tests
    ends_by = signal.SIGKILL  # as a power cut would

    def __init__(self) -> None:
        # Not in pytest's own folder, which is root's alone where root runs the tests: the server has a user of its own.
        self.folder = Path(tempfile.mkdtemp(prefix="calco-server-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.owner)
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, password: str = QUOTED, database: str = "crime") -> str:
        return f"{self.scheme}://{self.user}:{password}@127.0.0.1:{self.port}/{database}"

    def command(self) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def sql(self, statement: str, database: str = "", password: str = PASSWORD) -> list[tuple[object, ...]]:
        raise NotImplementedError

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self.owner if os.geteuid() == 0 else None,
        )
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, "the server does not start"
                time.sleep(0.1)

    def kill(self) -> None:
        """Ends it at once, whatever it does."""
        assert self.process
        self.process.send_signal(self.ends_by)
        self.process.wait()

    def taken(self) -> int:
        """About how many rows it has been given, seen from outside of the transaction that gives them."""
        raise NotImplementedError

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)


Started = TypeVar("Started", bound=Server)


class MariaDB(Server):
    scheme, user, owner = "mysql", "root", "mysql"

    def __init__(self) -> None:
        self.program = _program("mariadbd", "/usr/sbin")
        install = shutil.which("mariadb-install-db")
        requires(self.program and install, "MariaDB's server", "apt-get install mariadb-server")
        requires(find_spec("MySQLdb"), "mysqlclient", "pip install -e '.[mariadb]'")
        super().__init__()
        who = self.owner if os.geteuid() == 0 else getpass.getuser()
        made = [f"--user={who}", f"--datadir={self.folder}/data", "--auth-root-authentication-method=normal"]
        subprocess.run([str(install), *made], check=True, capture_output=True)
        self.start()
        self.sql(f"SET PASSWORD = PASSWORD('{PASSWORD}')", password="")
        self.sql("CREATE DATABASE crime")

    def command(self) -> list[str]:
        return [
            self.program, "--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/s",
            "--bind-address=127.0.0.1", f"--port={self.port}", f"--pid-file={self.folder}/pid", "--skip-name-resolve",
        ]  # fmt: skip

    def taken(self) -> int:
        # Not information_schema.innodb_trx: who asks for it may wait for minutes behind a busy transaction.
        return int(str(self.sql("SHOW GLOBAL STATUS LIKE 'Com_insert'")[0][1])) * 5000

    def sql(self, statement: str, database: str = "", password: str = PASSWORD) -> list[tuple[object, ...]]:
        import MySQLdb

        connection = MySQLdb.connect(
            host="127.0.0.1", port=self.port, user="root", password=password, database=database, autocommit=True
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()


class PostgreSQL(Server):
    scheme, user, owner = "postgres", "calco", "postgres"
    ends_by = signal.SIGQUIT  # without tidying up; SIGKILL would leave its processes, each in a session of its own

    def __init__(self) -> None:
        newest = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"), key=str)
        self.program = _program("postgres", str(newest))
        install = shutil.which("initdb") or shutil.which("initdb", path=newest)
        requires(self.program and install, "PostgreSQL's server", "apt-get install postgresql")
        requires(find_spec("psycopg"), "psycopg", "pip install -e '.[postgres]'")
        super().__init__()
        (self.folder / "password").write_text(PASSWORD)
        made = ["--auth=scram-sha-256", f"--pwfile={self.folder}/password", "--username=calco", "--no-sync"]
        subprocess.run(
            [str(install), *made, "--encoding=UTF8", "--locale=C", f"--pgdata={self.folder}/data"],
            check=True,
            capture_output=True,
            user=self.owner if os.geteuid() == 0 else None,
        )
        self.start()
        self.sql("CREATE DATABASE crime")

    def command(self) -> list[str]:
        return [
            self.program, "-D", f"{self.folder}/data", "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port),
        ]  # fmt: skip

    def taken(self) -> int:
        sizes = "SELECT COALESCE(SUM(pg_relation_size(oid)), 0) FROM pg_class WHERE relname = 'Crimenes_DataCrim'"
        return int(str(self.sql(sizes, "crime")[0][0])) // 60  # bytes of a row

    def sql(self, statement: str, database: str = "postgres", password: str = PASSWORD) -> list[tuple[object, ...]]:
        import psycopg

        until = time.monotonic() + 30
        while True:
            try:
                connection = psycopg.connect(
                    host="127.0.0.1", port=self.port, user="calco", password=password, dbname=database, autocommit=True
                )
                break
            except psycopg.OperationalError:  # it answers, and is not ready
                assert time.monotonic() < until
                time.sleep(0.1)
        with connection:
            found = connection.execute(statement.encode())
            return list(found.fetchall()) if found.description else []


_SHARED: list[Server] = []


@functools.cache
def shared(kind: type[Started]) -> Started:
    """A server for all tests of this process, which ends with them: to make one takes seconds."""
    found = kind()
    _SHARED.append(found)
    return found


@atexit.register
def stop_shared() -> None:
    """Ends them: conftest.py calls this, since a worker of pytest-xdist may be killed before it comes to its exit."""
    while _SHARED:
        _SHARED.pop().stop()


def _program(name: str, folder: str) -> str:
    return shutil.which(name) or shutil.which(name, path=folder) or ""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
