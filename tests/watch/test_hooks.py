"""Hooks that work, fail, hang and come back: one line each, and nothing else lost."""

import http.server
import json
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from calco import journal
from calco.errors import CalcoError
from calco.watch.hooks import Command, Failed, Hooks, Webhook


def script(folder: Path, text: str) -> Command:
    path = folder / "hook.py"
    path.write_text(text)
    return Command([sys.executable, str(path)])


def event(number: int = 1) -> dict[str, Any]:
    return {"event": number, "rule": "año", "time": 1.5}


def delivered(call: Any, log: Path, count: int = 1, **how: Any) -> Hooks:
    hooks = Hooks(call, log, **{"seconds": 5.0, "retries": 0, **how})
    for number in range(1, count + 1):
        hooks.put(event(number))
    hooks.close(20)
    return hooks


def test_a_command_gets_the_event_and_is_called_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    call = script(tmp_path, f"import sys\nopen({str(tmp_path / 'got')!r}, 'ab').write(sys.stdin.buffer.read())")
    delivered(call, tmp_path / "hooks.jsonl", 2)
    assert [json.loads(line) for line in (tmp_path / "got").read_text().splitlines()] == [event(1), event(2)]
    hooks = Hooks(call, tmp_path / "other.jsonl", seconds=5, retries=0)
    for number in (1, 2, 2, 1, 3):  # what was raised again before it was delivered
        hooks.put({"event": number + 10})
    hooks.close(20)
    assert hooks.delivered == 3 and len((tmp_path / "got").read_text().splitlines()) == 5
    again = delivered(call, tmp_path / "hooks.jsonl", 3)  # as after an interruption: the third alone is new
    assert again.delivered == 1 and len((tmp_path / "got").read_text().splitlines()) == 6
    rows = journal.read(tmp_path / "hooks.jsonl")
    assert [(row["event"], row["delivered"], row["tries"]) for row in rows] == [
        (1, True, 1),
        (2, True, 1),
        (3, True, 1),
    ]
    assert caplog.messages == []


def test_a_failing_command_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    call = script(tmp_path, "import sys\nprint('no line to the guard', file=sys.stderr)\nsys.exit(3)")
    delivered(call, tmp_path / "hooks.jsonl", 3, retries=1)
    said = caplog.messages
    assert len(said) == 2 and "ended with 3 (no line to the guard); event 1 is in events.jsonl" in said[0]
    assert "3 of 3 events were not delivered; hooks.jsonl says why" in said[1]
    rows = journal.read(tmp_path / "hooks.jsonl")
    assert [(row["delivered"], row["tries"]) for row in rows] == [(False, 2)] * 3


def test_a_hanging_command_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    call = script(
        tmp_path,
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', \"import time; time.sleep(1.5); open({str(alive)!r}, 'w')\"])\n"
        "time.sleep(60)",
    )
    began = time.monotonic()
    with pytest.raises(Failed, match="has not ended within 1 s and was stopped"):
        call(b"{}", 1.0)
    assert time.monotonic() - began < 10
    time.sleep(max(0.0, 2.5 - (time.monotonic() - began)))
    assert not alive.exists()


def test_handing_over_never_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hooks = Hooks(script(tmp_path, "import time; time.sleep(60)"), tmp_path / "log", seconds=60, retries=0)
    began = time.monotonic()
    for number in range(1500):
        hooks.put(event(number))
    assert time.monotonic() - began < 10
    began = time.monotonic()
    hooks.close(0.5)
    assert time.monotonic() - began < 5
    assert "still holds" in caplog.text


def test_a_program_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be started: no such file"):
        Command([str(tmp_path / "gone")])(b"", 1)
    with pytest.raises(CalcoError, match="may not be run; check its path"):
        Command.of(str(tmp_path / "gone") + " x")


class Answers(http.server.BaseHTTPRequestHandler):
    """Takes what is posted to /good, refuses at /bad, sends elsewhere from /away, and is slow at /slow."""

    got: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/slow":
            time.sleep(1)
        if self.path == "/rude":
            self.wfile.write(b"what?\r\n\r\n")
            return
        self.send_response({"/good": 204, "/bad": 503, "/away": 302}.get(self.path, 200))
        if self.path == "/away":
            self.send_header("Location", "/good")
        self.end_headers()
        self.got.append(data if self.path == "/good" else b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def test_a_webhook(server: str, tmp_path: Path) -> None:
    delivered(Webhook(f"{server}/good"), tmp_path / "log")
    assert json.loads(Answers.got[-1]) == event()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/bad", "answered 503 Service Unavailable"),
        ("/away", "answered 302 Found"),
        ("/slow", "has not answered within 0.3 s"),
        ("/rude", "answered what is no HTTP"),
    ],
)
def test_a_webhook_that_fails(server: str, path: str, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        Webhook(server + path)(b"{}", 0.3 if path == "/slow" else 5.0)


def test_a_webhook_where_nobody_listens() -> None:
    with pytest.raises(Failed, match="cannot be reached"):
        Webhook("http://127.0.0.1:9/alarm")(b"{}", 2.0)
    assert Webhook("https://user:secret@example.org/token/abc").name == "the webhook https://example.org"


class Drips(socketserver.BaseRequestHandler):
    """Sends a beginning at once, then a byte every tenth of a second for as long as the other side takes it."""

    beginning = b""

    def handle(self) -> None:
        try:
            self.request.recv(4096)
            self.request.sendall(self.beginning)
            while True:
                self.request.sendall(b"X")
                time.sleep(0.1)
        except OSError:
            pass


@pytest.mark.parametrize(
    ("scheme", "beginning"),
    [
        ("http", b"HTTP/1.1 200 OK\r\n"),
        ("http", b""),
        ("https", b"\x16\x03\x03\x40\x00"),  # the head of a long record of the TLS handshake
    ],
    ids=["headers", "status", "handshake"],
)
def test_the_limit_of_a_webhook_covers_the_whole_try(scheme: str, beginning: bytes) -> None:
    handler = type("Handler", (Drips,), {"beginning": beginning})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as served:
        served.daemon_threads = True
        threading.Thread(target=served.serve_forever, daemon=True).start()
        with pytest.raises(Failed, match=r"has not answered within 0\.5 s"):
            Webhook(f"{scheme}://127.0.0.1:{served.server_address[1]}/alarm")(b"{}", 0.5)
        for thread in threading.enumerate():
            if thread.name == "calco-webhook":
                thread.join(10)
                assert not thread.is_alive(), "the try is cut off, not left running"
        served.shutdown()
