"""Server of pages on this machine; each browser is answered in a thread of its own."""

import contextlib
import io
import ipaddress
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from calco.errors import CalcoError
from calco.files import explain

LOG = logging.getLogger(__name__)
LOOPBACK: Final = "127.0.0.1"
# A page of another site that reaches this machine under a name of its own is refused.
_OWN_NAMES: Final = frozenset({LOOPBACK, "localhost", "::1"})
_AT_ONCE: Final = 1000  # threads; connections beyond them are closed
_SECONDS: Final = 30.0  # for a whole request, and for taking the answer


@dataclass(frozen=True, kw_only=True)
class HostRule:
    """Names by which this machine may be asked: a page of another site reaches it under a name of that site."""

    names: frozenset[str] = _OWN_NAMES
    any_address: bool = False
    """Answer requests to any IP address as well: a page of another site comes under a name."""

    @classmethod
    def of(cls, host: str, names: Iterable[str] = ()) -> "HostRule":
        """Return the rule of a server that listens at `host`; `names` are further names of this machine."""
        alone = host in _OWN_NAMES
        name = socket.gethostname().lower()
        short = name.partition(".")[0]
        here = () if alone else (host, name, short, f"{short}.local")
        return cls(names=_OWN_NAMES | {_host_of(name) for name in (*names, *here) if name}, any_address=not alone)

    def allows(self, asked: Sequence[str]) -> bool:
        """Return whether a request with these Host headers names this machine."""
        host = _host_of(asked[0]) if len(asked) == 1 else ""
        if host in self.names or not self.any_address:
            return host in self.names
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(host))
        return False


class Handler(BaseHTTPRequestHandler):
    """Answers a browser without a line on the terminal."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Calco", ""
    timeout = _SECONDS
    hosts = HostRule()

    def setup(self) -> None:
        """Read with one time limit for a whole request, however slowly it arrives."""
        super().setup()
        self._reader = _TimedReader(self.connection)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        """Answer one request of a connection."""
        self._reader.until = time.monotonic() + self.timeout
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Read the head of a request; from then on the time limit is that of the answer."""
        fine = super().parse_request()
        self.connection.settimeout(self.timeout)
        return fine

    def welcome(self) -> bool:
        """Return whether a request names this machine; answer 403 if not."""
        allowed = self.hosts.allows(self.headers.get_all("Host") or [])
        if not allowed:
            self.send_error(403)
        return allowed

    def answer(self, kind: str, data: bytes, *, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer: its media type, its bytes, the status of HTTP and further headers."""
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
        """Log nothing."""


class _TimedReader(io.RawIOBase):
    """Bytes of a connection until a moment: a byte now and then does not prolong it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.until = time.monotonic() + _SECONDS

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into a buffer."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _host_of(asked: str) -> str:
    """Return the host in a Host header, without its port: "[::1]:8000" => "::1"."""
    asked = asked.strip().lower()
    host = asked[1:].partition("]")[0] if asked.startswith("[") else asked.partition(":")[0]
    return host.rstrip(".")


class Server(ThreadingHTTPServer):
    """A server with a queue for many browsers at once, which ignores those that leave."""

    request_queue_size = 1024  # the kernel may allow fewer
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; without a free one close the connection."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer within the thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, which may be gone already."""
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """Ignore a browser that has left; log other errors in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            LOG.warning("a page could not be answered: %s: %s", type(error).__name__, error)


def open_port(
    handler: type[Handler], port: int, *, host: str = LOOPBACK, option: str, names: Iterable[str] = ()
) -> Server:
    """Return a server that listens already; `option` names the port in messages, `names` are those of this machine."""
    if not 0 <= port < 65536:
        raise CalcoError(f"{option} {port} is no port; choose one from 1024 to 65535, such as {option} 8000")
    own = type(handler.__name__, (handler,), {"hosts": HostRule.of(host, names)})
    try:
        return Server((host, port), own)
    except OSError as error:
        raise port_error(error, port, host, option) from error


def port_error(error: OSError, port: int, host: str, option: str) -> CalcoError:
    """Return the error of a port that cannot be listened on; `option` chooses it."""
    at = "" if host == LOOPBACK else f" of {host}"
    reason = str(explain(error, "", "")).rpartition(": ")[2].lower()
    return CalcoError(
        f"cannot serve a page on port {port}{at}: {reason}; choose another, or {option} 0 for any that is free"
    )
