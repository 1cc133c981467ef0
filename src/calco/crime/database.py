"""Databases by URL: DuckDB in a file, MariaDB and PostgreSQL on a server, and whatever else Ibis speaks to.

`connect` gives the Ibis backend with which the tables are read; `stores` writes them.
"""

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import ParseResult, unquote, urlparse

from calco.crime.extra import needs
from calco.errors import CalcoError, printable

DEFAULT: Final = "duckdb:///crime.duckdb"
_MARIADB_SCHEMES: Final = ("mysql", "mariadb")
_FILES: Final = (".duckdb", ".ddb", ".db")


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
        with told(url):
            return ibis.duckdb.connect(path, read_only=read_only)
    parts = urlparse(url)
    if parts.scheme in _MARIADB_SCHEMES:
        return _mariadb(ibis, url, parts)
    with told(url):
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
    with told(url), warnings.catch_warnings():
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
def told(url: str, doing: str = "use") -> Iterator[None]:
    """What a database answers, as one line with its remedy."""
    try:
        yield
    except (CalcoError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise CalcoError(f"cannot {doing} {public(url)}: {reason(error)}{_remedy(error)}") from error


def reason(error: Exception) -> str:
    """A driver's error in one line."""
    if missing := re.search(r"Failed to import the (\w+) backend due to missing", str(error)):
        extra = "calco[postgres]" if missing[1] == "postgres" else f"ibis-framework[{missing[1]}]"
        return f"Ibis lacks the driver of {missing[1]}; install it: pip install '{extra}'"
    if "not a valid DuckDB" in str(error):
        return "it is no DuckDB database; choose another file"
    words = error.args[1] if len(error.args) > 1 and isinstance(error.args[0], int) else error
    return printable(" ".join(str(words).split()))[:300] or type(error).__name__


_REFUSALS: Final = {  # what databases say that give no numbers for it
    r"connection refused": "; start the server, or check host and port",
    r"password authentication failed|no password supplied|role .* does not exist": "; check user and password",
    r"database .* does not exist": "; make it first: CREATE DATABASE",
    r"server closed the connection|connection is lost": "; nothing of this load was kept: start the server and load "
    "again",
    r"no module named": "; install the extra of Ibis for this database",
}


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
    return next((remedy for words, remedy in _REFUSALS.items() if re.search(words, text)), "")
