"""What writes a load into a database: all of it in one transaction, or nothing."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from calco.addresses import redact_address
from calco.crime.database import connect, database_errors
from calco.crime.schema import TABLES, quoting
from calco.errors import CalcoError

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE: Final = 5_000  # rows in one INSERT statement
_ALL_OR_NOTHING: Final = (
    "{url}: {name} has no transactions through Ibis, so that a load could stop half-way; load into DuckDB, and copy "
    "its tables"
)


class Store(Protocol):
    """What writes a load, all or nothing; `dialect` is Ibis's name of the database."""

    dialect: str

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
        CalcoError: When it cannot be reached, or has tables of somebody else under the names of ours.
    """
    backend = connect(url, read_only=False)
    try:
        _check_tables(backend, url)
    except CalcoError:
        backend.disconnect()
        raise
    if backend.name == "duckdb":
        return _DuckDB(backend, url)
    if not all(hasattr(backend.con, name) for name in ("cursor", "commit", "rollback")):
        raise CalcoError(_ALL_OR_NOTHING.format(url=redact_address(url), name=backend.name))
    return _Server(backend, url)


def _check_tables(backend: Any, url: str) -> None:
    """Refuses a database in which one of the names stands for another table, which a load would replace."""
    with database_errors(url):
        found = {name: set(backend.table(name).columns) for name in backend.list_tables() if name in TABLES}
    for name, columns in found.items():
        if other := columns ^ set(TABLES[name].names):
            raise CalcoError(
                f"{redact_address(url)} has another table {name} (what differs: {', '.join(sorted(other))}), which "
                "the load would replace; rename it, or choose another database with --to"
            )


class _DuckDB:
    """DuckDB takes Arrow as it is; making and dropping tables is part of a transaction there."""

    def __init__(self, backend: Any, url: str) -> None:
        self.backend, self.con, self.url, self.dialect = backend, backend.con, url, "duckdb"

    def begin(self, replaced: Sequence[str], *, keys: bool) -> None:
        with database_errors(self.url, "write into"):
            self.con.execute("BEGIN TRANSACTION")
            for name in reversed(list(TABLES)):
                if name in replaced:
                    self.con.execute(f'DROP TABLE IF EXISTS "{name}"')
            for name, table in TABLES.items():
                self.con.execute(table.create(keys=keys or name != "Crimenes_DataCrim"))

    def put(self, table: str, rows: "pa.Table") -> None:
        with database_errors(self.url, "write into"):
            self.con.register("_rows", rows)
            self.con.execute(f'INSERT INTO "{table}" SELECT {_columns(table, "duckdb")} FROM _rows')
            self.con.unregister("_rows")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with database_errors(self.url):
            rows: list[tuple[Any, ...]] = self.con.execute(query).fetchall()
            return rows

    def run(self, statement: str) -> None:
        with database_errors(self.url, "write into"):
            self.con.execute(statement)

    def commit(self) -> None:
        with database_errors(self.url, "write into"):
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
        with database_errors(self.url, "write into"):
            self._undo_by_rollback()
            for name, table in TABLES.items():
                self.run(table.create(self.dialect, keys=keys or name != "Crimenes_DataCrim"))
            self.con.commit()
            self._check_rollback()
            if self.dialect == "sqlite":
                self.run("PRAGMA foreign_keys = ON")
            for name in reversed(list(TABLES)):
                if name in replaced:
                    self.run(f"DELETE FROM {self.quote(name)}")

    def _undo_by_rollback(self) -> None:
        """Ibis opens servers so that every statement lasts at once; a load must not."""
        at_once = getattr(self.con, "autocommit", None)
        if callable(at_once):  # MySQLdb
            at_once(False)
        elif at_once is True:  # psycopg
            self.con.autocommit = False

    def _check_rollback(self) -> None:
        """Sees that a row that is taken back is gone, whatever the driver promises.

        Raises:
            CalcoError: When it is not.
        """
        table, key = map(self.quote, ("Departamento", "id"))
        self.run(f"INSERT INTO {table} ({_columns('Departamento', self.dialect)}) VALUES (-1, '')")
        self.con.rollback()
        if self.ask(f"SELECT {key} FROM {table} WHERE {key} = -1"):
            self.run(f"DELETE FROM {table} WHERE {key} = -1")
            raise CalcoError(_ALL_OR_NOTHING.format(url=redact_address(self.url), name=self.dialect))

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
            with database_errors(self.url, "write into"), contextlib.closing(self.con.cursor()) as cursor:
                cursor.executemany(f"{head}({marks})", [_plain(row) for row in zip(*columns, strict=True)])

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with database_errors(self.url), contextlib.closing(self.con.cursor()) as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def run(self, statement: str) -> None:
        with database_errors(self.url, "write into"), contextlib.closing(self.con.cursor()) as cursor:
            cursor.execute(statement)

    def commit(self) -> None:
        with database_errors(self.url, "write into"):
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


def arrow(table: str, rows: Sequence[tuple[Any, ...]]) -> "pa.Table":
    """Rows of one of the tables as Arrow."""
    import pyarrow as pa

    kinds = {"int": pa.int32(), "text": pa.string(), "long text": pa.string(), "date": pa.date32()}
    columns = list(zip(*rows, strict=True)) or [()] * len(TABLES[table].columns)
    return pa.table(
        {
            column.name: pa.array(values, kinds[column.kind])
            for column, values in zip(TABLES[table].columns, columns, strict=True)
        }
    )
