"""Detectors of the hub, fetched from a server of this machine that answers as the hub does."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from calco.detection.initial import initial_network
from calco.detection.transformer import from_config
from calco.errors import CalcoError
from detection.test_learning import TINY

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(http.server.BaseHTTPRequestHandler):
    """`/owner/name/resolve/main/FILE` of a folder; in a repository named "cut", weights end in the middle."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        file = self.folder / parts[-1] if parts[2:3] == ["resolve"] else self.folder / "no"
        if not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{file.name}-{len(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            cut = parts[1] == "cut" and file.suffix == ".safetensors"
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    built: Any = from_config("d_fine", TINY, 5)
    built.save_pretrained(folder)
    handler = type("Hub", (_Hub,), {"folder": folder})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes huggingface_hub ask an address, without proxies, and keep what it fetches in a folder of the test."""
    for name in os.environ:
        if "proxy" in name.lower() or name == "HF_HUB_OFFLINE":
            monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)

    def point(endpoint: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    huggingface_hub.close_session()
    yield point
    huggingface_hub.close_session()


def origin_of(name: str) -> str:
    chosen = initial_network(name, ("a", "b"), scratch=False, lite={}, freeze=0)
    assert chosen.architecture == "d_fine"
    return chosen.origin


@pytest.mark.slow
def test_weights_come_from_the_hub_stay_on_the_disk_and_are_reported_when_cut(
    hub: str, at: Callable[[str], None]
) -> None:
    at(hub)
    assert origin_of("owner/tiny") == "owner/tiny: weights of the hub's owner/tiny"
    with pytest.raises(CalcoError, match="^--model owner/cut: it cannot be used as a detector"):
        origin_of("owner/cut")
    at("http://127.0.0.1:9")
    assert origin_of("owner/tiny") == "owner/tiny: weights of the hub's owner/tiny", "without a network, from the disk"
