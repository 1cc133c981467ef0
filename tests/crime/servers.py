"""A MariaDB server of a test's own, which may be killed and started again."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from support import requires

PASSWORD = "clave:con@signos/"


class MariaDB:
    """A server on a port of its own, with its data in a folder."""

    def __init__(self) -> None:
        self.program = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
        install = shutil.which("mariadb-install-db")
        remedy = "apt-get install mariadb-server"
        requires(self.program and install, "MariaDB's server", remedy)
        requires(_has_driver(), "mysqlclient", "pip install -e '.[mariadb]'")
        # Not in pytest's own folder, which is root's alone where root runs the tests: the server has a user of its own.
        self.folder = folder = Path(tempfile.mkdtemp(prefix="calco-mariadb-"))
        self.user = "mysql" if os.geteuid() == 0 else getpass.getuser()
        if os.geteuid() == 0:
            shutil.chown(folder, "mysql")
        subprocess.run(
            [
                str(install),
                f"--user={self.user}",
                f"--datadir={folder}/data",
                "--auth-root-authentication-method=normal",
            ],
            check=True,
            capture_output=True,
        )
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self.sql(f"SET PASSWORD = PASSWORD('{PASSWORD}')", password="")
        self.sql("CREATE DATABASE crime")

    def url(self, password: str = "clave%3Acon%40signos%2F", database: str = "crime") -> str:
        return f"mysql://root:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                str(self.program), "--no-defaults", f"--user={self.user}", f"--datadir={self.folder}/data",
                f"--socket={self.folder}/s", "--bind-address=127.0.0.1", f"--port={self.port}",
                f"--pid-file={self.folder}/pid", "--skip-name-resolve",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, "the server does not start"
                time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

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


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _has_driver() -> bool:
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        return False
    return True
