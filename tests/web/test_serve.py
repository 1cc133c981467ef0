"""`calco serve` as a command: its address, its pages in a real browser, its end, and what it refuses to start with."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import calco
from calco.cli import main
from calco.crime.dashboard import page, read
from calco.crime.load import LoadConfig, load
from calco.errors import CalcoError
from calco.web import serve as module
from crime.test_robberies import written
from web.studios import image, make_translator

pytest.importorskip("ibis")


def filled(folder: Path, *districts: str) -> Path:
    """A database with a robbery in each of these districts."""
    written(folder, *({"DISTRITO": name, "MODALIDAD DE ROBO": "Asalto"} for name in districts))
    (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\n")
    to = folder / "crime.duckdb"
    load(LoadConfig(robberies=str(folder / "robberies.csv"), kinds=str(folder / "kinds.csv"), to=str(to)))
    return to


@contextlib.contextmanager
def served(*words: str) -> Iterator[tuple[str, Any]]:
    """The address of a studio in a process of its own, and the process."""
    command = [sys.executable, "-m", "calco", "serve", *words, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while line := process.stderr.readline():
            said += line
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        assert address, said
        yield address[0], process
        process.kill()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return filled(tmp_path, "Comas", "Ate")


@pytest.fixture
def site(database: Path) -> Iterator[tuple[str, Any]]:
    with served("--crime", str(database), "--language", "en", "--folder", str(database.parent / "state")) as found:
        yield found


@pytest.mark.slow
def test_the_charts_are_the_page_of_now(site: tuple[str, Any], database: Path, browser: Any) -> None:
    address, process = site
    tab = browser.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(f"{address}/crime", timeout=120_000)
    tab.wait_for_selector("html[data-drawn=yes]", timeout=120_000)
    assert tab.url == f"{address}/crime"
    assert "2 robberies" in tab.inner_text("#told")
    assert said == []

    first = httpx.get(f"{address}/crime")
    assert first.text == page(read(str(database)), language="en", home="./")
    assert first.headers["content-encoding"] == "gzip"
    assert httpx.get(f"{address}/crime", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert httpx.get(f"{address}/other").status_code == 404
    assert httpx.get(f"{address}/crime", headers={"Host": "elsewhere.example"}).status_code == 403

    filled(database.parent, "Comas", "Ate", "Surco")
    tab.reload()
    tab.wait_for_selector("html[data-drawn=yes]", timeout=120_000)
    assert "3 robberies" in tab.inner_text("#told")
    tab.get_by_role("link", name="Calco").click()
    assert tab.url == f"{address}/"
    tab.close()

    before, whole = httpx.get(f"{address}/crime").text, filled(database.parent, "Comas").read_bytes()
    database.write_bytes(b"no database")
    for _ in range(2):
        assert httpx.get(f"{address}/crime").text == before
    database.write_bytes(whole)
    assert httpx.get(f"{address}/crime").text == page(read(str(database)), language="en", home="./") != before
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert told.count("browsers see the last page") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{database}"], "crime.duckdb is not a model; name a run, a model folder"),
        (["nowhere"], "there is no nowhere; name a run, a model folder"),
        (["--host", "203.0.113.9"], "cannot serve a page on port 7860 of 203.0.113.9"),
        (["--token", "short"], "--token has 5 characters"),
        (["--crime", "nowhere.duckdb"], "there is no database nowhere.duckdb"),
        (["--crime", "{database}", "--port", "{taken}"], "in use; choose another, or --port 0"),
        (["--crime", "{database}", "--port", "99999"], "port is 99999; it must lie between 0 and 65535"),
    ],
)
def test_what_cannot_be_served_is_told(
    words: list[str], told: str, database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(database.parent)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        named = {"database": str(database), "taken": str(held.getsockname()[1])}
        with pytest.raises(SystemExit) as left:
            main(["serve", *(word.format(**named) for word in words)])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


def test_a_model_answers_soon_after_the_command(tmp_path: Path) -> None:
    make_translator(tmp_path / "faces")
    with served(str(tmp_path / "faces"), "--folder", str(tmp_path / "state")) as (address, process):
        with calco.Client(address) as client:
            assert client.load("faces")(image()).shape == (40, 50, 3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (tmp_path / "state" / "access.jsonl").exists()


@pytest.mark.slow
def test_other_machines_need_the_token_that_is_printed(tmp_path: Path) -> None:
    make_translator(tmp_path / "faces")
    words = [str(tmp_path / "faces"), "--host", "0.0.0.0", "--port", "0", "--folder", str(tmp_path / "state")]
    command = [sys.executable, "-m", "calco", "serve", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        token = re.search(r"the token of the studio is (\S{32})\n", process.stderr.readline())
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        assert token and address
        with calco.Client(address[0]) as stranger, pytest.raises(CalcoError, match="the token is missing or wrong"):
            stranger.models()
        with calco.Client(address[0], token=token[1]) as client:
            assert client.models().keys() == {"faces"}
        process.kill()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "_NEEDED", ("no_such_library",))
    with pytest.raises(SystemExit):
        main(["serve"])
    assert "pip install 'calco[web]'" in capsys.readouterr().err
