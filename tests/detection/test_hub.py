"""Detectors of the hub, fetched from a server of this machine that answers as the hub does."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from calco.detection.transformer import from_config
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


ASK = """
import json, sys
from calco.detection.initial import initial_network
from calco.errors import CalcoError
for name in sys.argv[1:]:
    try:
        chosen = initial_network(name, ("a", "b"), scratch=False, lite={}, freeze=0)
        print("FOUND", chosen.architecture, "|", chosen.origin)
    except CalcoError as error:
        print("TOLD", error)
"""


def ask(endpoint: str, home: Path, *names: str) -> list[str]:
    environment = {
        key: value for key, value in os.environ.items() if "proxy" not in key.lower() and key != "HF_HUB_OFFLINE"
    }
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *names], capture_output=True, text=True, check=True, env=environment, timeout=240
    )
    print(done.stderr[-3000:])
    return [line for line in done.stdout.splitlines() if line.startswith(("FOUND", "TOLD"))]


def test_weights_come_from_the_hub_stay_on_the_disk_and_are_told_when_cut(hub: str, tmp_path: Path) -> None:
    found = "FOUND d_fine | owner/tiny: weights of the hub's owner/tiny"
    whole, cut = ask(hub, tmp_path, "owner/tiny", "owner/cut")
    assert whole == found
    assert cut.startswith("TOLD --model owner/cut: it cannot be used as a detector")
    assert ask("http://127.0.0.1:9", tmp_path, "owner/tiny") == [found], "without a network, from the disk"
