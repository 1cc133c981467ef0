"""What every page has in common that Calco serves from this machine."""

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from calco.errors import CalcoError
from calco.files import explain

LOOPBACK: Final = "127.0.0.1"
# Another page that reaches this machine under a name of its own may not look.
_OWN_NAMES: Final = frozenset({LOOPBACK, "localhost", "[::1]"})


class Handler(BaseHTTPRequestHandler):
    """Answers a browser, in silence: the terminal shows how the work goes, not who looks at it."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    guarded = True
    """Whether it listens for this machine alone."""

    def welcome(self) -> bool:
        """Whether this machine was asked by its own name, or by any where others may ask; answers 403 where not."""
        asked = self.headers.get("Host", "")
        if self.guarded and (asked.rpartition(":")[0] or asked) not in _OWN_NAMES:
            self.send_error(403)
            return False
        return True

    def answer(self, kind: str, data: bytes, *, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Sends a whole answer.

        Args:
            kind: Its media type.
            data: Its bytes.
            code: Of HTTP.
            headers: Further ones.
        """
        self.send_response(code)
        own = {"Content-Type": kind, "Content-Length": str(len(data)), "Cache-Control": "no-store"}
        for name, value in {**own, "X-Content-Type-Options": "nosniff", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def open_port(handler: type[Handler], port: int, *, host: str = LOOPBACK, option: str) -> ThreadingHTTPServer:
    """A server that listens already, and answers each browser in a thread of its own.

    Args:
        handler: Answers.
        port: 0 for any that is free.
        host: The address of this machine that is listened at.
        option: By which the port is chosen, for the messages.

    Raises:
        CalcoError: When it cannot listen there.
    """
    if not 0 <= port < 65536:
        raise CalcoError(f"{option} {port} is no port; choose one from 1024 to 65535, such as {option} 8000")
    own = type(handler.__name__, (handler,), {"guarded": host in _OWN_NAMES})
    try:
        server = ThreadingHTTPServer((host, port), own)
    except OSError as error:
        at = "" if host == LOOPBACK else f" of {host}"
        raise CalcoError(
            f"cannot serve a page on port {port}{at}: {explain(error, '', '').args[0].split(': ')[-1].lower()}; choose "
            f"another, or {option} 0 for any that is free"
        ) from error
    server.daemon_threads = True
    return server
