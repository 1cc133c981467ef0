"""What every page has in common that Calco serves from this machine.

Each browser is answered in a thread of its own. Whoever asks slowly, reads slowly or leaves in the middle costs that
thread alone, for a while, and says nothing on the terminal.
"""

import contextlib
import io
import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from calco.console import warn
from calco.errors import CalcoError
from calco.files import explain

LOOPBACK: Final = "127.0.0.1"
# A page of another site that reaches this machine under a name of its own may not look.
_OWN_NAMES: Final = frozenset({LOOPBACK, "localhost", "::1"})
_QUEUE: Final = 1024  # browsers that may wait to be accepted; the kernel may allow fewer
_AT_ONCE: Final = 1000  # threads; who comes beyond them is turned away
_SECONDS: Final = 30.0  # for a whole request, and for the answer to be taken


class Handler(BaseHTTPRequestHandler):
    """Answers a browser, in silence: the terminal shows how the work goes, not who looks at it."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Calco", ""
    timeout = _SECONDS
    names: frozenset[str] = _OWN_NAMES
    """Names by which this machine may be asked."""
    any_address = False
    """Whether it may be asked by any IP address: a page of another site comes under a name."""

    def setup(self) -> None:
        """Reads with one limit of time for a whole request, however it drips."""
        super().setup()
        self._reader = _Dripping(self.connection)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        """Answers one request of a connection."""
        self._reader.until = time.monotonic() + self.timeout
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Reads the head of a request; from then on the limit of time is that of the answer."""
        fine = super().parse_request()
        self.connection.settimeout(self.timeout)
        return fine

    def welcome(self) -> bool:
        """Return whether this machine was asked by a name of its own; answers 403 where not."""
        asked = self.headers.get_all("Host") or [""]
        if len(asked) == 1 and self._known(_host_of(asked[0])):
            return True
        self.send_error(403)
        return False

    def _known(self, host: str) -> bool:
        if host in self.names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return self.any_address

    def answer(self, kind: str, data: bytes, *, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(code)
        own = {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
        }
        for name, value in {**own, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Dripping(io.RawIOBase):
    """What a browser sends, until a moment: a byte now and then does not prolong it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.until = time.monotonic() + _SECONDS

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _host_of(asked: str) -> str:
    """The host in a Host header, without its port: "[::1]:8000" => "::1"."""
    asked = asked.strip().lower()
    host = asked[1:].partition("]")[0] if asked.startswith("[") else asked.partition(":")[0]
    return host.rstrip(".")


class Server(ThreadingHTTPServer):
    """A server whose queue holds what many browsers ask at once, and which says nothing of those that leave."""

    request_queue_size = _QUEUE
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; without a free one the connection is closed."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in the thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, which may be gone already."""
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Say nothing of a browser that has left, and one line of anything else."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            warn(f"a page could not be answered: {type(error).__name__}: {error}")


def open_port(
    handler: type[Handler], port: int, *, host: str = LOOPBACK, option: str, names: Iterable[str] = ()
) -> Server:
    """Return a server that listens already, and answers each browser in a thread of its own."""
    if not 0 <= port < 65536:
        raise CalcoError(f"{option} {port} is no port; choose one from 1024 to 65535, such as {option} 8000")
    alone = host in _OWN_NAMES
    known = _OWN_NAMES | {_host_of(name) for name in (*names, *(() if alone else (host, *_names_here())))}
    own = type(handler.__name__, (handler,), {"names": known, "any_address": not alone})
    try:
        return Server((host, port), own)
    except OSError as error:
        at = "" if host == LOOPBACK else f" of {host}"
        raise CalcoError(
            f"cannot serve a page on port {port}{at}: {explain(error, '', '').args[0].split(': ')[-1].lower()}; choose "
            f"another, or {option} 0 for any that is free"
        ) from error


def _names_here() -> set[str]:
    """Names of this machine in its network; none is looked up there."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local"} - {""}
