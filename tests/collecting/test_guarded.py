"""Neither a list nor a redirection makes this machine ask itself or its network."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calco.addresses import is_public
from calco.collecting import FetchConfig
from calco.collecting.collect import download
from collecting.test_download import JPEG
from collecting.web import Web, serving, status, whole

httpcore = pytest.importorskip("httpcore")


@pytest.fixture
def inside() -> Iterator[Web]:
    """A server that must not be asked."""
    with serving() as server:
        server.put("/admin?delete=all", whole(JPEG))
        yield server


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


def fetched(folder: Path, *addresses: str, private: bool = False) -> Any:
    config = FetchConfig(timeout=5, patience=10, retries=1, pause=0.01)
    return download({f"{number:06d}": each for number, each in enumerate(addresses)}, folder, config, private=private)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and their addresses, one after the other at each look-up; the last one stays."""
    known: dict[str, list[str]] = {}
    look_up = socket.getaddrinfo

    def answer(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in known:
            host = known[name].pop(0) if len(known[name]) > 1 else known[name][0]
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("::ffff:93.184.216.34", True),
        ("127.0.0.1", False), ("127.9.9.9", False), ("0.0.0.0", False), ("10.1.2.3", False), ("172.16.0.1", False),
        ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("224.0.0.1", False),
        ("240.0.0.1", False), ("255.255.255.255", False), ("198.18.0.1", False), ("192.0.2.1", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00:ec2::254", False), ("fec0::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:169.254.169.254", False), ("2002:7f00:1::", False),
        ("64:ff9b::a00:1", False), ("ff02::1", False),
    ],
)  # fmt: skip
def test_what_is_on_the_public_internet(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]",
     "inside.example", "127.0.0.2"],
)  # fmt: skip
def test_a_redirection_to_the_inside_is_refused(
    host: str, web: Web, inside: Web, tmp_path: Path, names: dict[str, list[str]]
) -> None:
    names["inside.example"] = ["127.0.0.1"]
    to = f"http://{host}:{inside.server_port}/admin?delete=all"
    for private in (False, True):
        done = fetched(tmp_path, web.put("/a.png", status(302, Location=to)), private=private)
        assert "not on the public internet" in done.failed["000000"]
        assert "tried" not in done.failed["000000"]
    assert not inside.visits


@pytest.mark.parametrize(
    "address",
    ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/x.png", "http://192.168.1.1/", "http://[fd00::1]/",
     "http://2852039166/", "http://inside.example/a.png", "http://100.64.1.1/"],
)  # fmt: skip
def test_a_list_does_not_reach_the_network_by_itself(
    address: str, tmp_path: Path, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["inside.example"] = ["10.0.0.1"]
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", _never)
    reason = fetched(tmp_path, address).failed["000000"]
    assert "not on the public internet" in reason
    assert "--allow-private" in reason


async def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("it was connected to")


def test_the_list_itself_may_name_this_machine_and_with_the_option_its_network(
    web: Web, tmp_path: Path, names: dict[str, list[str]]
) -> None:
    names["here.example"] = ["127.0.0.1"]
    web.put("/a.png", whole(JPEG))
    port = web.server_port
    own = [f"http://127.0.0.1:{port}/a.png", f"http://localhost:{port}/a.png"]
    assert len(fetched(tmp_path / "own", *own).files) == 2
    named = f"http://here.example:{port}/a.png"
    assert "--allow-private" in fetched(tmp_path / "name", named).failed["000000"]
    assert len(fetched(tmp_path / "allowed", named, private=True).files) == 1


def test_a_redirection_within_what_the_list_names_is_followed(web: Web, tmp_path: Path) -> None:
    web.put("/b.png", whole(JPEG))
    assert len(fetched(tmp_path, web.put("/a.png", status(302, Location="/b.png"))).files) == 1


def test_the_connection_goes_to_the_address_that_was_checked(
    web: Web, tmp_path: Path, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["twofold.example"] = ["93.184.216.34", "127.0.0.1"]  # another meaning at the second look
    connected: list[str] = []

    async def connect(_self: Any, host: str, *_: Any, **__: Any) -> Any:
        connected.append(host)
        raise httpcore.ConnectError("nobody")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    reason = fetched(tmp_path, f"http://twofold.example:{web.server_port}/a.png").failed["000000"]
    assert connected == ["93.184.216.34"]
    assert "not on the public internet" in reason, "the second try has looked the name up anew"
    assert not web.visits


def test_a_host_with_an_address_inside_among_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 80)) for each in ("10.0.0.1", "93.184.216.34")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", _never)
    assert "10.0.0.1" in fetched(tmp_path, "http://mixed.example/a.png").failed["000000"]


def test_a_packed_answer_of_unknown_size_is_refused(web: Web, tmp_path: Path) -> None:
    import gzip

    def packed(kind: str, data: bytes) -> Any:
        def answer(visit: Any) -> None:
            visit.head(200, Content_Encoding=kind, Content_Length=len(data))
            visit.wfile.write(data)

        return answer

    bomb = gzip.compress(bytes(300_000_000), 9)
    assert len(bomb) < 400_000
    addresses = [
        web.put("/a", packed("br", b"x")),
        web.put("/b", packed("zstd", b"x")),
        web.put("/c", packed("gzip", bomb)),
    ]
    done = fetched(tmp_path, *addresses)
    assert "packed (br)" in done.failed["000000"]
    assert "packed (zstd)" in done.failed["000001"]
    assert "more than 100 MB" in done.failed["000002"]
