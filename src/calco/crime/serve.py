"""`calco serve`: Calco's pages in browsers, from this machine."""

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
"""Seconds after which a database is read again that cannot be seen to have changed."""


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What is served, and where."""

    crime: str = ""
    """The database that calco crime load made, a file that ends in .duckdb or a URL: its charts, at /crime."""
    language: Literal["es", "en"] = "es"
    """The language that the charts open in: es or en; a button changes it."""
    port: int = 8000
    """The port; 0 takes any that is free."""
    host: str = LOOPBACK
    """The address that is listened at: 127.0.0.1 is seen from this machine alone, 0.0.0.0 by the whole network."""
    names: tuple[str, ...] = ()
    """Further names by which browsers may ask for this machine, such as calco.example.org behind a proxy. Its own name
    and addresses are known; a page that comes under any other name is refused, as it may be that of another site."""
    open: bool = False
    """Opens the page in the browser of this machine."""

    def __post_init__(self) -> None:
        """Checks that there is something to serve."""
        check_numbers(self, port=(0, 65_535))
        if not self.crime:
            raise CalcoError("nothing is to be served; name a database: calco serve --crime crime.duckdb")


@dataclass(frozen=True)
class Sent:
    """A page on its way to browsers.

    Attributes:
        html: Its bytes.
        packed: The same in gzip.
        tag: By which a browser knows that it has this one already.
    """

    html: bytes
    packed: bytes
    tag: str

    @classmethod
    def of(cls, html: str) -> "Sent":
        """From its text."""
        data = html.encode()
        return cls(data, gzip.compress(data, 6, mtime=0), f'"{hashlib.sha256(data).hexdigest()[:16]}"')


class Kept:
    """A page that is made when it is asked for and what it shows has changed.

    Args:
        make: Makes it.
        state: What changes with what it shows; where nothing can tell, it is made anew after some minutes.
    """

    def __init__(self, make: Callable[[], str], state: Callable[[], object]) -> None:
        self._make, self._state = make, state
        self._lock = threading.Lock()
        self._seen, self._made = state(), Sent.of(make())
        self._told = ""

    def get(self) -> Sent:
        """The page of now; where it cannot be made, the last one: it is tried again when next somebody asks."""
        with self._lock:
            state = self._state()
            if state != self._seen:
                try:
                    self._made = Sent.of(self._make())
                    self._seen, self._told = state, ""
                except CalcoError as error:
                    if str(error) != self._told:
                        warn(f"{error}; the page shows what it showed before")
                    self._told = str(error)
            return self._made


def state_of(url: str) -> object:
    """What changes with a database: the file's date and size, or every few minutes another number."""
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
    """Answers a browser."""

    pages: dict[str, Kept]

    def do_GET(self) -> None:
        """A page by its path; / leads to the first."""
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
    """Serves until it is interrupted.

    Raises:
        CalcoError: When the port is taken, or what is to be served cannot be read.
    """
    from calco.crime.dashboard import page, read

    def charts() -> str:
        return page(read(config.crime), language=config.language)

    pages = {"/crime": Kept(charts, lambda: state_of(config.crime))}
    with open_port(
        type("Handler", (_Handler,), {"pages": pages}),
        config.port,
        host=config.host,
        option="--port",
        names=config.names,
    ) as server:
        address = f"http://{LOOPBACK if config.host == '0.0.0.0' else config.host}:{server.server_port}"
        say(f"the charts are at {address}/crime; Ctrl-C ends")
        if config.open:
            webbrowser.open(f"{address}/crime")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(0.2)
    say("no longer served")
