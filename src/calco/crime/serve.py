"""`calco serve`: the charts of a database in browsers, from this machine."""

import contextlib
import gzip
import hashlib
import logging
import threading
import time
import webbrowser
from dataclasses import dataclass
from typing import Final, Literal

from calco.errors import CalcoError
from calco.records import check_numbers
from calco.report.server import LOOPBACK, Handler, open_port

LOG = logging.getLogger(__name__)
PATH: Final = "/crime"
_AGAIN: Final = 300.0  # seconds between two reads of a database whose changes cannot be detected


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
        check_numbers(self, port=(0, 65_535))
        if not self.crime:
            raise CalcoError("no database is named; give one: calco serve --crime crime.duckdb")


class CachedPage:
    """The page of a database, which is rendered again when its data have changed."""

    def __init__(self, config: ServeConfig) -> None:
        self._config, self._lock, self._reported = config, threading.Lock(), ""
        self._render(_state_of(config.crime))

    def _render(self, state: object) -> None:
        from calco.crime.dashboard import page, read

        html = page(read(self._config.crime), language=self._config.language).encode()
        tag = f'"{hashlib.sha256(html).hexdigest()[:16]}"'
        self._state, self._page = state, (html, gzip.compress(html, 6, mtime=0), tag)

    def get(self) -> tuple[bytes, bytes, str]:
        """Return the page, the page compressed by gzip, and its ETag; the last page if it cannot be rendered."""
        with self._lock:
            state = _state_of(self._config.crime)
            if state != self._state:
                try:
                    self._render(state)
                    self._reported = ""
                except CalcoError as error:
                    if str(error) != self._reported:
                        LOG.warning("%s; browsers see the last page", error)
                    self._reported = str(error)
            return self._page


def _state_of(url: str) -> object:
    """Return a value that changes with a database: date and size of its file, or a number that changes with time."""
    from calco.crime.database import duckdb_path

    path = duckdb_path(url)
    with contextlib.suppress(OSError):
        if path:
            found = path.stat()
            return found.st_mtime_ns, found.st_size
    return int(time.monotonic() / _AGAIN)


class _Handler(Handler):
    """Sends the page."""

    page: CachedPage

    def do_GET(self) -> None:
        """Answer a browser."""
        if not self.welcome():
            return
        path = self.path.split("?")[0]
        if path == "/":
            self.answer("text/plain", b"", code=302, headers={"Location": PATH})
            return
        if path != PATH:
            self.send_error(404)
            return
        html, packed, tag = self.page.get()
        headers = {"Cache-Control": "no-cache", "ETag": tag, "Vary": "Accept-Encoding"}
        kind, code = "text/html; charset=utf-8", 200
        if self.headers.get("If-None-Match") == tag:
            html, code = b"", 304
        elif "gzip" in self.headers.get("Accept-Encoding", ""):
            html, headers["Content-Encoding"] = packed, "gzip"
        self.answer(kind, html, code=code, headers=headers)

    do_HEAD = do_GET


def serve(config: ServeConfig) -> None:
    """Serve until interrupted.

    Args:
        config: The database and the port.

    Raises:
        CalcoError: The port is taken, or the database cannot be read.
    """
    handler = type("Handler", (_Handler,), {"page": CachedPage(config)})
    with open_port(handler, config.port, host=config.host, option="--port", names=config.names) as server:
        host = LOOPBACK if config.host == "0.0.0.0" else config.host
        address = f"http://{host}:{server.server_port}{PATH}"
        LOG.info("the charts are at %s; Ctrl-C stops", address)
        if config.open:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(0.2)
    LOG.info("stopped")
