"""Databases by URL: DuckDB in a file, MariaDB and PostgreSQL on a server, and others that Ibis supports.

`connect` returns the Ibis backend that reads the tables; `open_store` returns the store that writes a load.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import ParseResult, unquote, urlparse

from calco.addresses import redact_address, redact_text
from calco.crime.schema import TABLES, quoting
from calco.errors import CalcoError, MissingExtraError, needs, printable

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT: Final = "crime.duckdb"
_FILES: Final = (".duckdb", ".ddb", ".db")
# A database from anywhere may hold views that read files of this machine or load a library: they must not run.
_CLOSED: Final[dict[str, Any]] = {
    "enable_external_access": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
}
_AT_ONCE: Final = 5_000  # rows in one INSERT statement
_ALL_OR_NOTHING: Final = (
    "{url}: {name} has no transactions through Ibis, so that a load could stop half-way; load into DuckDB, and copy "
    "its tables"
)
_LOST: Final = "nothing of this load was kept: start the server and load again"
# Error numbers of MariaDB, messages of other databases, and the remedy.
_REMEDIES: Final = (
    ((2002, 2003), "connection refused", "start the server, or check host and port"),
    ((1045, 1698), "password authentication failed|no password supplied|role .* does not exist",
     "check user and password"),
    ((1049,), "database .* does not exist", "make it first: CREATE DATABASE"),
    ((1044,), "permission denied for database", "grant the user the right to this database"),
    ((2005,), "could not translate host name", "check the name of the host"),
    ((2006, 2013), "server closed the connection|connection is lost", _LOST),
    ((), "no module named", "install the extra of Ibis for this database"),
    ((), "could not set lock on file|conflicting lock", "another program has the file open: close it there"),
)  # fmt: skip


def check_folder(path: Path) -> None:
    """Refuse to write a file into a folder that does not exist."""
    if not path.parent.is_dir():
        raise CalcoError(f"cannot write {path}: there is no folder {path.parent}; make it, or choose another path")


def duckdb_path(url: str) -> Path | None:
    """Return the DuckDB file that a URL or a path names; None for another database.

    `duckdb:///crime.duckdb` is a relative path, as in SQLAlchemy, and `duckdb:////data/crime.duckdb` an absolute one;
    `duckdb:///data/crime.duckdb` is taken for the latter if there is a folder /data.
    """
    if "://" not in url:
        if Path(url).suffix.lower() in _FILES:
            return Path(url)
        raise CalcoError(
            f"{redact_address(url)} is not a database; give a file that ends in .duckdb, or a URL such as "
            "mysql://USER:PASSWORD@HOST:3306/DATABASE"
        )
    if not url.startswith("duckdb://"):
        return None
    rest = unquote(url.removeprefix("duckdb://"))
    if not rest.strip("/"):
        raise CalcoError(f"{redact_address(url)} names no file; give one such as duckdb:///{DEFAULT}")
    if rest.startswith("/") and not rest.startswith("//"):
        absolute = Path(rest)
        return absolute if absolute.parent != Path("/") and absolute.parent.is_dir() else Path(rest[1:])
    return Path(rest.replace("//", "/", 1))


def connect(url: str, *, read_only: bool = True, memory: str = "", threads: int = 0) -> Any:
    """Return the Ibis backend of a database, without access to anything else on this machine.

    Args:
        url: A file, or a URL.
        read_only: For DuckDB and SQLite: the file must exist; other programs may read DuckDB's at the same time.
        memory: Memory limit of DuckDB, such as 4GB; empty for its own.
        threads: Threads of DuckDB; 0 for one per core.

    Raises:
        CalcoError: The database cannot be reached.
    """
    needs("ibis", "duckdb", extra="crime")
    import ibis

    path = duckdb_path(url)
    if path is not None:
        _check_file(path, read_only=read_only)
        bounds: dict[str, Any] = {"memory_limit": memory, "preserve_insertion_order": False} if memory else {}
        if threads:
            bounds["threads"] = threads
        with database_errors(url):
            # Absolute: "md:a.duckdb" is a file here, and not a database in a cloud.
            backend = ibis.duckdb.connect(path.absolute(), read_only=read_only, **bounds, **_CLOSED)
            backend.con.execute("SET lock_configuration = true")
            return backend
    parts = _parts(url)
    if parts.scheme == "sqlite":
        file = Path(unquote(parts.netloc + parts.path))
        _check_file(file, read_only=read_only)
        with database_errors(url):
            return _sqlite(file)
    if parts.scheme in ("mysql", "mariadb"):
        return _mariadb(url, parts)
    # Ibis takes "+" in a password for a space, and leaves %40 in a user's name as it is.
    is_postgres = parts.scheme in ("postgres", "postgresql")
    login = {"user": parts.username, "password": parts.password} if is_postgres else {}
    with database_errors(url):
        return ibis.connect(url, **{name: unquote(value) for name, value in login.items() if value})


def _check_file(path: Path, *, read_only: bool) -> None:
    if read_only and not path.is_file():
        raise CalcoError(f"there is no database {path}; make it with: calco crime load --to {path}")
    check_folder(path)


def _sqlite(path: Path) -> Any:
    """Open a SQLite file that attaches no other and loads no extension."""
    import sqlite3

    import ibis

    def authorize(action: int, first: str | None, second: str | None, *_place: str | None) -> int:
        loads = action == sqlite3.SQLITE_FUNCTION and "load_extension" in (first, second)
        return sqlite3.SQLITE_DENY if loads or action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK

    backend = ibis.sqlite.connect(path.absolute())
    backend.con.execute("PRAGMA trusted_schema = OFF")
    backend.con.set_authorizer(authorize)
    return backend


def _parts(url: str) -> ParseResult:
    """Return the parts of a URL; a password may hold characters that must be percent-encoded."""
    try:
        parts = urlparse(url)
        valid = parts.port is None or bool(parts.hostname)
        if parts.scheme != "sqlite":
            pieces = parts.query.split("&") if parts.query else []
            valid = valid and not parts.fragment and "@" not in parts.path and all("=" in piece for piece in pieces)
    except ValueError:  # a port that is not a number, or a bracket without an address of IPv6
        valid = False
    if not valid:
        raise CalcoError(
            f"{redact_address(url)} is not a valid address; it has the form SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, "
            "where user and password hold / ? # [ ] @ : % as %2F %3F %23 %5B %5D %40 %3A %25"
        )
    return parts


def _mariadb(url: str, parts: ParseResult) -> Any:
    try:
        from ibis.backends.mysql import Backend
    except ImportError as error:
        raise MissingExtraError(
            "MariaDB needs mysqlclient; install it: apt-get install libmariadb-dev pkg-config gcc python3-dev, then "
            "pip install 'calco[mariadb]'"
        ) from error
    shown = redact_address(url)
    if parts.query:
        raise CalcoError(
            f"{shown}: options behind ? are not used for MariaDB; the form is mysql://USER:PASSWORD@HOST:3306/DATABASE"
        )
    database = unquote(parts.path.strip("/"))
    if not database:
        raise CalcoError(f"{shown} names no database; add it at the end: {shown.rstrip('/')}/crime")

    class MariaDB(Backend):  # type: ignore[misc]  # Ibis ships no types
        def _post_connect(self) -> None:
            """Leave the time zone of the session: the tables hold dates, not times."""

    with database_errors(url):
        return MariaDB().connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or "root"),
            password=unquote(parts.password or ""),
            database=database,
            charset="utf8mb4",
            connect_timeout=10,
            local_infile=0,  # otherwise a server may ask for any file of this machine
        )


@contextlib.contextmanager
def database_errors(url: str, doing: str = "use") -> Iterator[None]:
    """Turn any error of a database into one line with its remedy."""
    try:
        yield
    except (CalcoError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise CalcoError(f"cannot {doing} {redact_address(url)}: {reason(error, url)}{_remedy(error)}") from error


def reason(error: Exception, url: str) -> str:
    """Return the error of a driver in one line, without the passwords of the URL."""
    if missing := re.search(r"Failed to import the (\w+) backend due to missing", str(error)):
        extra = "calco[postgres]" if missing[1] == "postgres" else f"ibis-framework[{missing[1]}]"
        return f"Ibis lacks the driver of {missing[1]}; install it: pip install '{extra}'"
    if "not a valid DuckDB" in str(error):
        return "it is not a DuckDB database; choose another file"
    if "configuration has been locked" in str(error):  # by `connect`, for all connections of this process
        return "it is open in this program already; close that connection first, by its disconnect()"
    words = error.args[1] if len(error.args) > 1 and isinstance(error.args[0], int) else error
    if "file system operations are disabled" in str(words) or "external extensions is disabled" in str(words):
        return (
            "a view or a macro in it reads files or loads extensions of this machine, which is not allowed; use a "
            "database that calco crime load made"
        )
    return printable(" ".join(redact_text(str(words), url).split()))[:300] or type(error).__name__


def _remedy(error: Exception) -> str:
    code = error.args[0] if error.args else None
    text = str(error).lower()
    for codes, words, remedy in _REMEDIES:
        if code in codes or (not isinstance(code, int) and re.search(words, text)):
            return f"; {remedy}"
    return ""


class Store:
    """Writes a load, all or nothing, through the driver that Ibis has opened.

    Making a table ends a transaction in MariaDB: tables are made before it, and emptied by DELETE within it.
    """

    def __init__(self, backend: Any, url: str) -> None:
        self.backend, self.con, self.url, self.dialect = backend, backend.con, url, str(backend.name)
        self.quote = quoting(self.dialect)

    def begin(self, replaced: Sequence[str], *, keys: bool) -> None:
        """Begin the transaction: all tables exist, and those to be replaced are empty.

        Without `keys` the table of DataCrim's crimes has none.
        """
        with database_errors(self.url, "write into"):
            # Ibis opens servers with autocommit.
            at_once = getattr(self.con, "autocommit", None)
            if callable(at_once):  # MySQLdb
                at_once(False)
            elif at_once is True:  # psycopg
                self.con.autocommit = False
            for name, table in TABLES.items():
                self.run(table.create(self.dialect, keys=keys or name != "Crimenes_DataCrim"))
            self.con.commit()
            self._check_rollback()
            if self.dialect == "sqlite":
                self.run("PRAGMA foreign_keys = ON")
            for name in reversed(list(TABLES)):
                if name in replaced:
                    self.run(f"DELETE FROM {self.quote(name)}")

    def _check_rollback(self) -> None:
        """Check that a row is gone after a rollback, whatever the driver promises."""
        table, key = map(self.quote, ("Departamento", "id"))
        self.run(f"INSERT INTO {table} ({self._columns('Departamento')}) VALUES (-1, '')")
        self.con.rollback()
        if self.run(f"SELECT {key} FROM {table} WHERE {key} = -1"):
            self.run(f"DELETE FROM {table} WHERE {key} = -1")
            raise CalcoError(_ALL_OR_NOTHING.format(url=redact_address(self.url), name=self.dialect))

    def put(self, table: str, rows: "pa.Table") -> None:
        """Add rows with all columns of the table."""
        import pyarrow as pa

        head = f"INSERT INTO {self.quote(table)} ({self._columns(table)}) VALUES "
        numbers = all(pa.types.is_integer(kind) for kind in rows.schema.types)
        for start in range(0, rows.num_rows, _AT_ONCE):
            columns = [column.to_pylist() for column in rows.slice(start, _AT_ONCE).columns]
            if numbers:  # written out: quicker than a driver's parameters, and nothing in them needs quoting
                self.run(head + ",".join(map(str, zip(*columns, strict=True))))
                continue
            marks = ", ".join(["?" if self.dialect == "sqlite" else "%s"] * len(columns))
            values = [[cell.isoformat() if isinstance(cell, date) else cell for cell in column] for column in columns]
            with database_errors(self.url, "write into"), contextlib.closing(self.con.cursor()) as cursor:
                cursor.executemany(f"{head}({marks})", list(zip(*values, strict=True)))

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement within the transaction; return its rows."""
        with database_errors(self.url, "write into"), contextlib.closing(self.con.cursor()) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def commit(self) -> None:
        """Commit the transaction."""
        with database_errors(self.url, "write into"):
            self.con.commit()

    def close(self) -> None:
        """Close the database; what is not committed is dropped."""
        with contextlib.suppress(Exception):
            self.con.rollback()
        with contextlib.suppress(Exception):
            self.backend.disconnect()

    def _columns(self, table: str) -> str:
        return ", ".join(map(self.quote, TABLES[table].names))


class _DuckDB(Store):
    """DuckDB takes Arrow as it is; making and dropping tables is part of a transaction there."""

    def begin(self, replaced: Sequence[str], *, keys: bool) -> None:
        self.run("BEGIN TRANSACTION")
        for name in reversed(list(TABLES)):
            if name in replaced:
                self.run(f'DROP TABLE IF EXISTS "{name}"')
        for name, table in TABLES.items():
            self.run(table.create(keys=keys or name != "Crimenes_DataCrim"))

    def put(self, table: str, rows: "pa.Table") -> None:
        with database_errors(self.url, "write into"):
            self.con.register("_rows", rows)
            self.con.execute(f'INSERT INTO "{table}" SELECT {self._columns(table)} FROM _rows')
            self.con.unregister("_rows")

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with database_errors(self.url, "write into"):
            rows: list[tuple[Any, ...]] = self.con.execute(statement).fetchall()
            return rows


def open_store(url: str) -> Store:
    """Open a database for writing; refuse one that has other tables under our names, which a load would replace."""
    backend = connect(url, read_only=False)
    try:
        with database_errors(url):
            found = {name: set(backend.table(name).columns) for name in backend.list_tables() if name in TABLES}
        for name, columns in found.items():
            if other := columns ^ set(TABLES[name].names):
                raise CalcoError(
                    f"{redact_address(url)} has another table {name} (what differs: {', '.join(sorted(other))}), which "
                    "the load would replace; rename it, or choose another database with --to"
                )
    except CalcoError:
        backend.disconnect()
        raise
    if backend.name == "duckdb":
        return _DuckDB(backend, url)
    if not all(hasattr(backend.con, name) for name in ("cursor", "commit", "rollback")):
        raise CalcoError(_ALL_OR_NOTHING.format(url=redact_address(url), name=backend.name))
    return Store(backend, url)


def arrow(table: str, rows: Sequence[tuple[Any, ...]]) -> "pa.Table":
    """Return rows of one of the tables as Arrow."""
    import pyarrow as pa

    kinds = {"int": pa.int32(), "text": pa.string(), "long text": pa.string(), "date": pa.date32()}
    columns = list(zip(*rows, strict=True)) or [()] * len(TABLES[table].columns)
    return pa.table(
        {
            column.name: pa.array(values, kinds[column.kind])
            for column, values in zip(TABLES[table].columns, columns, strict=True)
        }
    )
