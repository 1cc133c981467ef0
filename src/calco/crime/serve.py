"""`calco serve`: the charts of a database in browsers, from this machine."""

import contextlib
import gzip
import hashlib
import threading
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from calco.console import say, warn
from calco.errors import CalcoError
from calco.records import check_numbers
from calco.report.server import LOOPBACK, Handler, open_port

_AGAIN: Final = 300.0
"""Seconds between two reads of a database whose changes cannot be detected."""


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Serve the charts of a database to browsers."""

    crime: str = ""
    """Database of calco crime load, a file that ends in .duckdb or a URL; its charts are at /crime."""
    language: Literal["es", "en"] = "es"
    """Language in which the charts open: es or en; a button changes it."""
    port: int = 8000
    """Port; 0 for any free one."""
    host: str = LOOPBACK
    """Address to listen on: 127.0.0.1 for this machine alone, 0.0.0.0 for the whole network."""
    names: tuple[str, ...] = ()
    """Further host names of this machine, such as calco.example.org behind a proxy. Its own names are known;
    requests for any other name are refused, because they may come from another site."""
    open: bool = False
    """Open the page in the browser of this machine."""

    def __post_init__(self) -> None:
        """Checks that there is something to serve."""
        check_numbers(self, port=(0, 65_535))
        if not self.crime:
            raise CalcoError("no database is named; give one: calco serve --crime crime.duckdb")


@dataclass(frozen=True)
class ServedPage:
    """A page as it is sent.

    Attributes:
        html: Its bytes.
        packed: The same, compressed by gzip.
        tag: Its ETag.
    """

    html: bytes
    packed: bytes
    tag: str

    @classmethod
    def of(cls, html: str) -> "ServedPage":
        """Return the page of a text."""
        data = html.encode()
        return cls(data, gzip.compress(data, 6, mtime=0), f'"{hashlib.sha256(data).hexdigest()[:16]}"')


class CachedPage:
    """A page that is rendered again when its data have changed.

    Args:
        make: Renders the page.
        state: Returns a value that changes with the data.
    """

    def __init__(self, make: Callable[[], str], state: Callable[[], object]) -> None:
        self._make, self._state = make, state
        self._lock = threading.Lock()
        self._seen, self._made = state(), ServedPage.of(make())
        self._reported = ""

    def get(self) -> ServedPage:
        """Return the current page; the last one if it cannot be rendered, which the next request tries again."""
        with self._lock:
            state = self._state()
            if state != self._seen:
                try:
                    self._made = ServedPage.of(self._make())
                    self._seen, self._reported = state, ""
                except CalcoError as error:
                    if str(error) != self._reported:
                        warn(f"{error}; browsers see the last page")
                    self._reported = str(error)
            return self._made


def state_of(url: str) -> object:
    """Return a value that changes with a database: date and size of its file, or a number that changes with time."""
    from calco.crime.database import duckdb_path

    path = duckdb_path(url)
    try:
        found = path.stat() if path else None
    except OSError:
        found = None
    if found is None:
        return int(time.monotonic() / _AGAIN)
    return found.st_mtime_ns, found.st_size


class _Handler(Handler):
    """Sends the pages."""

    pages: dict[str, CachedPage]

    def do_GET(self) -> None:
        """Send a page by its path; / redirects to the first."""
        if not self.welcome():
            return
        path = self.path.split("?")[0]
        if path == "/":
            self.answer("text/plain", b"", code=302, headers={"Location": next(iter(self.pages))})
            return
        if path not in self.pages:
            self.send_error(404)
            return
        page = self.pages[path].get()
        kind, fresh = (
            "text/html; charset=utf-8",
            {"Cache-Control": "no-cache", "ETag": page.tag, "Vary": "Accept-Encoding"},
        )
        if self.headers.get("If-None-Match") == page.tag:
            self.answer(kind, b"", code=304, headers=fresh)
        elif "gzip" in self.headers.get("Accept-Encoding", ""):
            self.answer(kind, page.packed, headers={**fresh, "Content-Encoding": "gzip"})
        else:
            self.answer(kind, page.html, headers=fresh)

    do_HEAD = do_GET


def serve(config: ServeConfig) -> None:
    """Serve until interrupted.

    Args:
        config: The database and the port.

    Raises:
        CalcoError: The port is taken, or the database cannot be read.
    """
    from calco.crime.dashboard import page, read

    def charts() -> str:
        return page(read(config.crime), language=config.language)

    pages = {"/crime": CachedPage(charts, lambda: state_of(config.crime))}
    with open_port(
        type("Handler", (_Handler,), {"pages": pages}),
        config.port,
        host=config.host,
        option="--port",
        names=config.names,
    ) as server:
        address = f"http://{LOOPBACK if config.host == '0.0.0.0' else config.host}:{server.server_port}"
        say(f"the charts are at {address}/crime; Ctrl-C stops")
        if config.open:
            webbrowser.open(f"{address}/crime")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(0.2)
    say("stopped")
