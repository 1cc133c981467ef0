"""A server of images that misbehaves in every way that a test asks for."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Visit(BaseHTTPRequestHandler):
    """One request; the answer is what `Web.answers` has for its path."""

    protocol_version = "HTTP/1.1"
    server: "Web"

    def do_GET(self) -> None:
        self.server.visits[self.path] += 1
        with contextlib.suppress(OSError):  # the other side may have left
            self.server.answers[self.path](self)

    def log_message(self, *_args: object) -> None:
        pass

    def head(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def wait(self, seconds: float = 30) -> None:
        """Silence, until the test is over."""
        self.server.over.wait(seconds)
        self.close_connection = True


class Web(ThreadingHTTPServer):
    """Answers by path, and counts the visits."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.answers: dict[str, Callable[[Visit], None]] = {}
        self.visits: Counter[str] = Counter()
        self.over = threading.Event()

    def handle_error(self, *_args: object) -> None:
        pass

    def put(self, path: str, answer: Callable[[Visit], None]) -> str:
        """Gives a path its answer, and returns its address."""
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    with Web() as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield web
        finally:
            web.over.set()
            web.shutdown()
            thread.join()


def whole(data: bytes, kind: str = "image/jpeg") -> Callable[[Visit], None]:
    def answer(visit: Visit) -> None:
        visit.head(Content_Length=len(data), Content_Type=kind)
        visit.wfile.write(data)

    return answer


def status(number: int, **headers: object) -> Callable[[Visit], None]:
    return lambda visit: visit.head(number, Content_Length=0, **headers)


def first(times: int, then: Callable[[Visit], None], before: Callable[[Visit], None]) -> Callable[[Visit], None]:
    """`before` for so many visits, `then` for all later ones."""
    return lambda visit: (before if visit.server.visits[visit.path] <= times else then)(visit)


def claims(data: bytes, length: int) -> Callable[[Visit], None]:
    """A body under a false length, and the connection closed."""

    def answer(visit: Visit) -> None:
        visit.head(Content_Length=length, Content_Type="image/jpeg")
        visit.wfile.write(data)
        visit.close_connection = True

    return answer


def silent(visit: Visit) -> None:
    visit.wait()


def silent_in_the_middle(data: bytes) -> Callable[[Visit], None]:
    def answer(visit: Visit) -> None:
        visit.head(Content_Length=len(data))
        visit.wfile.write(data[: len(data) // 2])
        visit.wait()

    return answer


def dripping(data: bytes, seconds: float = 0.05) -> Callable[[Visit], None]:
    """A byte now and then: never silent for long, never done."""

    def answer(visit: Visit) -> None:
        visit.head(Content_Length=len(data))
        for byte in data:
            visit.wfile.write(bytes([byte]))
            visit.wait(seconds)

    return answer


def dripping_head(visit: Visit) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0\r\n" * 1000:
        visit.wfile.write(bytes([byte]))
        time.sleep(0.05)
        if visit.server.over.is_set():
            break
    visit.close_connection = True


def endless(visit: Visit) -> None:
    visit.head(Transfer_Encoding="chunked")
    while not visit.server.over.is_set():
        visit.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def hung_up(visit: Visit) -> None:
    visit.connection.close()
    visit.close_connection = True
