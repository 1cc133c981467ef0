"""Who may ask, how much and how slowly; what every answer carries; and what is written about it."""

import contextlib
import json
import socket
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from calco.errors import CalcoError
from calco.web import ServeConfig
from calco.web import serve as module
from support import small_disk
from web.studios import Site, image, opened
from web.test_api import API, form, png

TOKEN = "a-token-of-many-letters"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9", 200),
        ("[::1]:9", 200),
        ("evil.example", 403),
        ("192.168.3.4", 403),
    ],
)
def test_only_names_of_this_machine_are_answered(site: Site, host: str, status: int) -> None:
    for path in ("/", f"{API}/health"):
        assert site.get(path, headers={"Host": host}).status_code in (status, 307 if status == 200 else status)


def test_a_page_of_another_site_may_not_send_forms(site: Site) -> None:
    for origin, status in [("https://evil.example", 403), ("null", 403), (site.url, 200)]:
        assert site.post(f"{API}/translate", **form(), headers={"Origin": origin}).status_code == status
    assert site.get(f"{API}/health", headers={"Origin": "https://evil.example"}).status_code == 200


def test_every_answer_has_the_headers_of_safety(site: Site) -> None:
    for path in ("/", f"{API}/health", "/nowhere"):
        answer = site.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers


def test_a_token_is_asked_for_and_kept_by_browsers(runs: Path, tmp_path: Path) -> None:
    with opened(tmp_path, runs / "faces", token=TOKEN) as site:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "calco_token=wrong"}):
            refused = site.get(f"{API}/models", headers=headers)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert site.get(f"{API}/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        door = site.get("/", headers={"Accept": "text/html"})
        assert door.status_code == 401 and '<input name="token"' in door.text
        with httpx.Client(base_url=site.url) as browser:
            entered = browser.get("/", params={"token": TOKEN, "x": "1"})
            assert (entered.status_code, entered.headers["location"]) == (303, "/?x=1")
            cookie = entered.headers["set-cookie"].lower()
            assert "httponly" in cookie and "samesite=lax" in cookie
            assert browser.get(f"{API}/models").status_code == 200
        assert TOKEN not in (tmp_path / "access.jsonl").read_text()
        described = site.get(f"{API}/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
        assert described["security"] == [{"token": []}]


def test_a_body_is_measured_while_it_comes(runs: Path, tmp_path: Path) -> None:
    with opened(tmp_path, runs / "faces", image_megabytes=0.1) as site:
        told = site.post(f"{API}/translate", **form(data=bytes(200_000)))
        assert told.status_code == 413 and "more than 100,000 bytes" in told.json()["detail"]

        def endless():  # no length is claimed
            for _ in range(10_000):
                yield bytes(10_000)

        with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            answer = site.post(f"{API}/translate", content=endless(), headers={"Content-Type": "application/json"})
            assert answer.status_code == 413
        assert site.get(f"{API}/health").status_code == 200


def test_a_full_disk_is_one_line(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", 200) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        told = site.post(f"{API}/translate", **form(data=bytes(3_000_000)))
        assert (told.status_code, told.headers["retry-after"]) == (503, "60")
        assert "the disk of the studio is full" in told.json()["detail"]
        assert list(disk.iterdir()) == []
    assert site.get(f"{API}/health").status_code == 200


def test_a_fault_of_ours_is_one_line_without_paths(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("/home/ana/secret")

    monkeypatch.setattr(site.studio, "find", broken)
    told = site.post(f"{API}/translate", **form())
    assert (told.status_code, told.json()["detail"]) == (500, "this is a fault of the studio; its terminal shows more")
    assert caplog.messages == ["POST /api/v1/translate failed: KeyError: '/home/ana/secret'"]


def test_a_log_that_cannot_be_written_stops_nothing(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk", 500) as disk, opened(disk, runs / "faces") as site:
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        for _ in range(3):
            assert site.post(f"{API}/translate", **form()).status_code == 200
    assert caplog.text.count("cannot be written: No space left on device") == 1


def told_by(connection: socket.socket, seconds: float) -> bytes:
    """What a studio sends until it closes the connection, or the time is over."""
    connection.settimeout(seconds)
    said = b""
    with contextlib.suppress(OSError):
        while part := connection.recv(65536):
            said += part
    return said


def test_slow_clients_are_ended_and_block_nobody(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEAD_SECONDS", 0.5)
    monkeypatch.setattr(module, "_READ_SECONDS", 0.5)
    with opened(tmp_path, runs / "faces", seconds=1.0) as site, contextlib.ExitStack() as held:

        def asked(text: str) -> socket.socket:
            connection = held.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            connection.sendall(text.encode())
            return connection

        start = time.monotonic()
        head = asked("GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        silent = asked("")
        second = asked("GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /api")  # slow in the second request
        body = asked("POST /api/v1/translate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                     "Content-Length: 1000\r\n\r\n{")  # fmt: skip
        assert told_by(head, 20) == b"" and told_by(silent, 20) == b""
        assert told_by(second, 20).startswith(b"HTTP/1.1 200")
        assert b"came too slowly" in told_by(body, 20)
        assert time.monotonic() - start < 10
        assert site.studio.waiting() == 0
        assert site.get(f"{API}/health").status_code == 200


def test_a_client_that_never_reads_is_ended(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ_SECONDS", 0.5)
    with opened(tmp_path, runs / "faces") as site, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", site.port))
        asked = httpx.Request("POST", f"{site.url}{API}/translate", **form(data=png(image(2000, 2000)), format="tiff"))
        asked.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
        connection.sendall(f"POST {API}/translate HTTP/1.1\r\n{head}\r\n".encode() + asked.content)
        rows: list[str] = []
        for _ in range(300):
            rows = (tmp_path / "access.jsonl").read_text().splitlines() if (tmp_path / "access.jsonl").exists() else []
            if rows:
                break
            time.sleep(0.05)
        assert json.loads(rows[0])["status"] == 200
        assert len(told_by(connection, 5)) < 5_000_000  # of twelve million: the rest was given up
        assert site.get(f"{API}/health").status_code == 200


def test_a_client_that_leaves_frees_its_place(site: Site) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", site.port)) as connection:
            connection.sendall(b"POST /api/v1/translate HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               b"Content-Type: application/json\r\n"
                               b"Content-Length: 1000\r\n\r\n{")  # fmt: skip
            time.sleep(0.05)
    for _ in range(200):
        if not site.studio.waiting():
            break
        time.sleep(0.02)
    assert site.studio.waiting() == 0


def test_the_access_log_has_no_content(runs: Path, tmp_path: Path) -> None:
    with opened(tmp_path, runs / "faces") as site:
        site.post(f"{API}/translate?secret=1", **form())
        site.get("/nowhere")
    rows = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert [(row["path"], row["status"], row["client"]) for row in rows] == [
        (f"{API}/translate", 200, "127.0.0.1"), ("/nowhere", 404, "127.0.0.1")
    ]  # fmt: skip
    assert rows[0].keys() == {"time", "client", "method", "path", "status", "ms", "bytes_in", "bytes_out"}
    assert rows[0]["bytes_in"] > image().nbytes / 2
    assert (tmp_path / "access.jsonl").stat().st_mode & 0o077 == 0


def test_other_machines_need_a_token_or_are_let_in_expressly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALCO_TOKEN", raising=False)
    assert ServeConfig().secret() == "" and ServeConfig(host="::1").secret() == ""
    assert len(ServeConfig(host="0.0.0.0").secret()) >= 32
    assert ServeConfig(host="0.0.0.0").secret() != ServeConfig(host="0.0.0.0").secret()
    assert ServeConfig(host="0.0.0.0", open=True).secret() == ""
    assert ServeConfig(token=TOKEN).secret() == TOKEN
    monkeypatch.setenv("CALCO_TOKEN", TOKEN)
    assert ServeConfig(host="0.0.0.0").secret() == ServeConfig().secret() == TOKEN
    monkeypatch.setenv("CALCO_TOKEN", "short")
    for options in ({"token": "short"}, {"open": True, "token": TOKEN}):
        with pytest.raises(CalcoError, match="--token|--open"):
            ServeConfig(**options)  # type: ignore[arg-type]
    with pytest.raises(CalcoError, match="CALCO_TOKEN has 5 characters"):
        ServeConfig().secret()
