"""Databases by URL: DuckDB in a file, MariaDB on a server, and whatever else Ibis speaks to.

A `Store` writes: all of a load in one transaction. `connect` gives the Ibis backend with which the tables are read.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import ParseResult, unquote, urlparse

from calco.crime.extra import needs
from calco.crime.schema import MARIADB, TABLES, quoting
from calco.errors import CalcoError, printable

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT: Final = "duckdb:///crime.duckdb"
_MARIADB_SCHEMES: Final = ("mysql", "mariadb")
_FILES: Final = (".duckdb", ".ddb", ".db")
_AT_ONCE: Final = 5_000  # rows in one INSERT statement


def public(url: str) -> str:
    """The URL without its password."""
    parts = urlparse(url)
    return url.replace(f":{parts.password}@", ":***@", 1) if parts.password else url


def duckdb_path(url: str) -> Path | None:
    """The file that a URL or a path means for DuckDB; None where it means another database.

    `duckdb:///crime.duckdb` is a file here, as SQLAlchemy writes it, and `duckdb:////data/crime.duckdb` one elsewhere;
    `duckdb:///data/crime.duckdb` is taken for the latter where there is a folder /data.
    """
    if "://" not in url:
        if Path(url).suffix.lower() in _FILES:
            return Path(url)
        raise CalcoError(
            f"{url} is no database; give a file that ends in .duckdb, or a URL such as {DEFAULT} or "
            "mysql://USER:PASSWORD@HOST:3306/DATABASE"
        )
    if not url.startswith("duckdb://"):
        return None
    rest = unquote(url.removeprefix("duckdb://"))
    if not rest.strip("/"):
        raise CalcoError(f"{url} names no file; such as {DEFAULT}")
    if rest.startswith("/") and not rest.startswith("//"):
        absolute = Path(rest)
        return absolute if absolute.parent != Path("/") and absolute.parent.is_dir() else Path(rest[1:])
    return Path(rest.replace("//", "/", 1))


def connect(url: str, *, read_only: bool = True) -> Any:
    """The Ibis backend of a database.

    Args:
        url: A file, or a URL.
        read_only: For DuckDB: others may read at the same time.

    Raises:
        CalcoError: When it cannot be reached, with the reason and the remedy.
    """
    needs("ibis", "duckdb")
    import ibis

    path = duckdb_path(url)
    if path is not None:
        if read_only and not path.is_file():
            raise CalcoError(f"there is no database {path}; make it with: calco crime load --to {path}")
        if not path.parent.is_dir():
            raise CalcoError(f"cannot write {path}: there is no folder {path.parent}; make it, or choose another path")
        with _told(url):
            return ibis.duckdb.connect(path, read_only=read_only)
    parts = urlparse(url)
    if parts.scheme in _MARIADB_SCHEMES:
        return _mariadb(ibis, url, parts)
    with _told(url):
        return ibis.connect(url)


def _mariadb(ibis: Any, url: str, parts: ParseResult) -> Any:
    try:
        import MySQLdb  # noqa: F401
    except ImportError as error:
        raise CalcoError(
            "MariaDB needs mysqlclient; install it: apt-get install libmariadb-dev pkg-config gcc python3-dev, then "
            "pip install 'calco[mariadb]'"
        ) from error
    database = parts.path.strip("/")
    if not database:
        raise CalcoError(f"{public(url)} names no database; add it at the end: {public(url).rstrip('/')}/crime")
    with _told(url), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unable to set session timezone")  # the tables hold dates, not times
        return ibis.mysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or "root"),
            password=unquote(parts.password or ""),
            database=database,
            charset="utf8mb4",
            connect_timeout=10,
        )


@contextlib.contextmanager
def _told(url: str, doing: str = "use") -> Iterator[None]:
    """What a database answers, as one line with its remedy."""
    try:
        yield
    except (CalcoError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise CalcoError(f"cannot {doing} {public(url)}: {reason(error)}{_remedy(error)}") from error


def reason(error: Exception) -> str:
    """A driver's error in one line."""
    words = error.args[1] if len(error.args) > 1 and isinstance(error.args[0], int) else error
    return printable(" ".join(str(words).split()))[:300] or type(error).__name__


def _remedy(error: Exception) -> str:
    code = error.args[0] if error.args else None
    remedies = {
        1044: "grant the user the right to this database",
        1045: "check user and password",
        1049: "make it first: CREATE DATABASE",
        1698: "check user and password",
        2002: "start the server, or check host and port",
        2003: "start the server, or check host and port",
        2005: "check the name of the host",
        2006: "nothing of this load was kept: start the server and load again",
        2013: "nothing of this load was kept: start the server and load again",
    }
    if isinstance(code, int):
        return f"; {remedies[code]}" if code in remedies else ""
    text = str(error).lower()
    if "lock" in text and "duckdb" in type(error).__module__:
        return "; another program has the file open: close it there"
    if "not a valid duckdb" in text:
        return "; choose another file"
    if isinstance(error, ImportError) or "no module named" in text:
        return "; install the extra of Ibis for this database"
    return ""


class Store(Protocol):
    """What writes a load, all or nothing."""

    def begin(self, replaced: Sequence[str], *, keys: bool) -> None:
        """Begins the transaction: the tables are there, and those that are replaced are empty.

        Args:
            replaced: Tables that this load writes anew.
            keys: Whether the table of DataCrim's crimes gets keys.
        """

    def put(self, table: str, rows: "pa.Table") -> None:
        """Adds rows with all columns of the table."""

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """The rows that a query gives within the transaction."""

    def run(self, statement: str) -> None:
        """Runs a statement within the transaction."""

    def commit(self) -> None:
        """Makes it last."""

    def close(self) -> None:
        """Lets go of the database; what is not committed is gone."""


def open_store(url: str) -> Store:
    """Opens a database for writing.

    Raises:
        CalcoError: When it cannot be reached.
    """
    backend = connect(url, read_only=False)
    if backend.name == "duckdb":
        return _DuckDB(backend, url)
    if not all(hasattr(backend.con, name) for name in ("cursor", "commit", "rollback")):
        raise CalcoError(
            f"{public(url)}: {backend.name} has no transactions through Ibis, so that a load could stop half-way; load "
            "into DuckDB, and copy its tables"
        )
    return _Server(backend, url)


class _DuckDB:
    """DuckDB takes Arrow as it is; making and dropping tables is part of a transaction there."""

    def __init__(self, backend: Any, url: str) -> None:
        self.backend, self.con, self.url = backend, backend.con, url

    def begin(self, replaced: Sequence[str], *, keys: bool) -> None:
        with _told(self.url, "write into"):
            self.con.execute("BEGIN TRANSACTION")
            for name in reversed(list(TABLES)):
                if name in replaced:
                    self.con.execute(f'DROP TABLE IF EXISTS "{name}"')
            for name, table in TABLES.items():
                self.con.execute(table.create(keys=keys or name != "Crimenes_DataCrim"))

    def put(self, table: str, rows: "pa.Table") -> None:
        with _told(self.url, "write into"):
            self.con.register("_rows", rows)
            self.con.execute(f'INSERT INTO "{table}" SELECT {_columns(table, "duckdb")} FROM _rows')
            self.con.unregister("_rows")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with _told(self.url):
            rows: list[tuple[Any, ...]] = self.con.execute(query).fetchall()
            return rows

    def run(self, statement: str) -> None:
        with _told(self.url, "write into"):
            self.con.execute(statement)

    def commit(self) -> None:
        with _told(self.url, "write into"):
            self.con.execute("COMMIT")

    def close(self) -> None:
        self.backend.disconnect()


class _Server:
    """MariaDB, SQLite, PostgreSQL: through the driver that Ibis has opened.

    Making a table ends a transaction in MariaDB: tables are made before it, and emptied by DELETE within it.
    """

    def __init__(self, backend: Any, url: str) -> None:
        self.backend, self.con, self.url, self.dialect = backend, backend.con, url, backend.name
        self.quote = quoting(self.dialect)

    def begin(self, replaced: Sequence[str], *, keys: bool) -> None:
        with _told(self.url, "write into"):
            if self.dialect == MARIADB:
                self.con.autocommit(False)
            for name, table in TABLES.items():
                self.run(table.create(self.dialect, keys=keys or name != "Crimenes_DataCrim"))
            self.con.commit()
            if self.dialect == "sqlite":
                self.run("PRAGMA foreign_keys = ON")
            for name in reversed(list(TABLES)):
                if name in replaced:
                    self.run(f"DELETE FROM {self.quote(name)}")

    def put(self, table: str, rows: "pa.Table") -> None:
        import pyarrow as pa

        head = f"INSERT INTO {self.quote(table)} ({_columns(table, self.dialect)}) VALUES "
        numbers = all(pa.types.is_integer(kind) for kind in rows.schema.types)
        for start in range(0, rows.num_rows, _AT_ONCE):
            columns = [column.to_pylist() for column in rows.slice(start, _AT_ONCE).columns]
            if numbers:  # written out: quicker than a driver's parameters, and nothing in them needs quoting
                self.run(head + ",".join(map(str, zip(*columns, strict=True))))
                continue
            mark = "?" if self.dialect == "sqlite" else "%s"
            marks = ", ".join([mark] * len(columns))
            with _told(self.url, "write into"), contextlib.closing(self.con.cursor()) as cursor:
                cursor.executemany(f"{head}({marks})", [_plain(row) for row in zip(*columns, strict=True)])

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with _told(self.url), contextlib.closing(self.con.cursor()) as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def run(self, statement: str) -> None:
        with _told(self.url, "write into"), contextlib.closing(self.con.cursor()) as cursor:
            cursor.execute(statement)

    def commit(self) -> None:
        with _told(self.url, "write into"):
            self.con.commit()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.con.rollback()
        with contextlib.suppress(Exception):
            self.backend.disconnect()


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.isoformat() if hasattr(value, "isoformat") else value for value in row)


def _columns(table: str, dialect: str) -> str:
    return ", ".join(map(quoting(dialect), TABLES[table].names))
