"""The server of pages: many at once, some slow, some that leave, some that are not who they say."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from calco.report import server as module
from calco.report.server import Handler, open_port

BODY = b"x" * 3_000_000


class Page(Handler):
    """A large page, a small one, and one that fails."""

    def do_GET(self) -> None:
        if not self.welcome():
            return
        if self.path == "/fault":
            raise KeyError("\x1b[31m[/b]")
        self.answer("text/plain", BODY if self.path == "/large" else b"fine")

    do_HEAD = do_GET


Opened = Callable[..., int]


@pytest.fixture
def opened() -> Iterator[Opened]:
    servers = []

    def start(host: str = "127.0.0.1", **options: object) -> int:
        server = open_port(Page, 0, host=host, option="--port", **options)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(port: int, path: str = "/", *, host: str | None = None, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    for name in [] if host == "" else [f"127.0.0.1:{port}"] if host is None else host.split(" "):
        connection.putheader("Host", name)
    connection.endheaders()
    with contextlib.closing(connection):
        answer = connection.getresponse()
        answer.read()
        return answer


def test_the_queue_holds_what_many_browsers_ask_at_once() -> None:
    with contextlib.ExitStack() as held:
        # Nobody accepts yet: a connection beyond the queue would wait for the kernel to try again.
        server = held.enter_context(open_port(Page, 0, option="--port"))
        place = ("127.0.0.1", int(server.server_address[1]))
        browsers = [held.enter_context(socket.create_connection(place, timeout=20)) for _ in range(300)]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for browser in browsers:
            browser.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert all(browser.recv(15).startswith(b"HTTP/1.1 200") for browser in browsers)
        server.shutdown()


def test_a_browser_that_leaves_in_the_middle_says_nothing(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    port = opened()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as browser:
            browser.sendall(f"GET /large HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            browser.recv(100)
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.create_connection(("127.0.0.1", port)) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHo")  # and one that leaves in the middle of asking
    assert asked(port).status == 200
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_ours_is_one_line(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    port = opened()
    with pytest.raises(http.client.RemoteDisconnected):
        asked(port, "/fault")
    for _ in range(100):
        if caplog.messages:
            break
        time.sleep(0.02)
    assert caplog.messages == ["a page could not be answered: KeyError: '\\x1b[31m[/b]'"]


@pytest.mark.parametrize(
    ("host", "loopback", "network"),
    [
        (None, 200, 200),
        ("localhost", 200, 200),
        ("LOCALHOST.:8000", 200, 200),
        ("[::1]:8000", 200, 200),
        ("192.168.3.4:8000", 403, 200),
        ("evil.example", 403, 403),
        ("127.0.0.1.evil.example", 403, 403),
        ("evil.example:127.0.0.1", 403, 403),
        ("localhost evil.example", 403, 403),
        ("", 403, 403),
        ("calco.example.org", 200, 200),
    ],
)
def test_only_names_of_this_machine_are_answered(host: str, loopback: int, network: int, opened: Opened) -> None:
    assert asked(opened(names=("Calco.example.org",)), host=host).status == loopback
    assert asked(opened("0.0.0.0", names=("Calco.example.org",)), host=host).status == network
    assert asked(opened("0.0.0.0"), host=socket.gethostname()).status == 200


def test_other_methods_and_frames_of_other_sites_are_refused(opened: Opened) -> None:
    port = opened()
    assert asked(port, method="POST").status == 501
    head = asked(port, method="HEAD")
    assert head.status == 200
    assert head.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert head.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in head.headers["Server"]


def test_a_slow_request_is_ended_and_blocks_nobody(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Page, "timeout", 0.5)
    port = opened()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        assert asked(port).status == 200
        ended = False
        for _ in range(300):  # a byte before each silence would be long enough: the whole time is limited
            try:
                slow.sendall(b"X")
                slow.settimeout(0.1)
                ended = slow.recv(1000) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
            if ended:
                break
        assert ended


def test_connections_beyond_the_limit_are_closed(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    port = opened()
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    for each in held:
        each.sendall(b"GET /")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as third:
        third.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert third.recv(100) == b""
    for each in held:
        each.close()
