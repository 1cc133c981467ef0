"""Consoles that lack characters, readers that leave, and files that take no more: one line, and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calco import imaging

ENCODINGS = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


def calco(
    *words: str, variables: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[bytes]:
    """The real command line in a process of its own, which takes no progress bar for a terminal's."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "-m", "calco", *words]
    return subprocess.run(command, env=os.environ | (variables or {}), check=False, **given)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ñandú")
    for number, name in enumerate(("árbol", "漢字", "niña", "pingüino")):
        imaging.write(folder / f"{name}.png", np.full((40, 40, 3), number * 50, np.uint8))
    return folder


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        *(
            (ENCODINGS[0], words)
            for words in (["--help"], ["detect", "watch", "--help"], ["crime", "forecast", "--help"])
        ),
        *((variables, ["detect", "watch", "--help"]) for variables in ENCODINGS[1:]),
    ],
    ids=str,
)
def test_help_is_printed_whatever_the_encoding(variables: dict[str, str], words: list[str]) -> None:
    done = calco(*words, variables=variables)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"calco" in done.stdout


@pytest.mark.parametrize(
    "variables", [ENCODINGS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in ENCODINGS[1:])], ids=str
)
def test_names_and_tables_are_printed_whatever_the_encoding(
    photos: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    done = calco("check", str(photos), "--out", str(tmp_path / "página"), "--jobs", "1", variables=variables)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 1)
    assert b"Traceback" not in said
    assert b"check.html" in said
    done = calco("translate", "ningún modelo", str(photos), "--out", str(tmp_path / "o"), variables=variables)
    assert done.returncode == 2
    assert done.stderr.startswith(b"calco: there is no ning")
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_leaves_gets_no_traceback() -> None:
    """As `calco --help | head`: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = calco("train", "--help", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no installation brings it: a device that is always full")
def test_a_result_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = calco("--help", stdout=full)
    assert done.returncode == 2
    assert (
        done.stderr
        == b"calco: cannot write the output: No space left on device; free some space or choose another disk\n"
    )


def test_remarks_that_nobody_reads_do_not_end_the_work(photos: Path, tmp_path: Path) -> None:
    """As `calco check … 2>&1 | head -1`, whose reader leaves while the work goes on."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = calco("prepare", str(photos), "--recipe", "erase", "--jobs", "1", "--out", str(tmp_path / "pairs"),
                     stderr=writing)  # fmt: skip
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert b"digest" in done.stdout


def test_closed_streams_are_no_obstacle() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m calco train --help >&- 2>&-"], check=False, capture_output=True
    )
    assert done.returncode == 0
