"""Mutated files of every kind that Calco opens: no traceback, no hang, no memory beyond a bound, nothing lost.

`CALCO_FUZZ` sets how many files (another number than the default is another round, not a longer wait for the same), and
`CALCO_FUZZ_FROM` the number of the first. A file that breaks something is kept, and its number makes it again.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzz.images import images
from fuzz.mutations import mutate
from support import ROOT

FILES = int(os.environ.get("CALCO_FUZZ", "2000"))
FIRST = int(os.environ.get("CALCO_FUZZ_FROM", "0"))
WORKER = ROOT / "tests" / "fuzz" / "worker.py"
SECONDS = 30  # for one file, on a machine that is busy with other tests
MEGABYTES = 2000  # the bound that docs/bad-input.md states


def rounds(first: int, last: int, folder: Path) -> list[dict[str, Any]]:
    """What came of each file; a process that hangs or dies is one more outcome, and the next file is begun with."""
    found: list[dict[str, Any]] = []
    while first < last:
        found += list(_until_it_ends(first, last, folder))
        if not found or found[-1]["number"] < first:
            pytest.fail((folder / "stderr").read_text()[-3000:], pytrace=False)
        first = found[-1]["number"] + 1
    return found


def _until_it_ends(first: int, last: int, folder: Path) -> Iterator[dict[str, Any]]:
    """The outcomes that one process tells, the one that ended it included."""
    room = folder / str(first)
    room.mkdir()
    command = [sys.executable, str(WORKER), str(first), str(last), str(room)]
    lines: queue.Queue[str] = queue.Queue()
    with (
        (folder / "stderr").open("ab") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as worker,
    ):
        out = worker.stdout
        assert out
        reader = threading.Thread(target=lambda: [*map(lines.put, out), lines.put("")])
        reader.start()
        begun: dict[str, Any] = {}
        try:
            while line := lines.get(timeout=SECONDS if begun else 120):
                row = json.loads(line)
                if "number" in row:
                    begun = row
                else:
                    yield begun | row
                    begun = {}
        except queue.Empty:
            begun |= {"outcome": f"no answer within {SECONDS} seconds"}
        finally:
            worker.kill()
            reader.join()
    if "number" in begun:
        yield {"outcome": f"the process ended with {worker.returncode}", "megabytes": 0.0} | begun


@pytest.mark.slow
def test_mutated_files(tmp_path: Path) -> None:
    found = rounds(FIRST, FIRST + FILES, tmp_path)
    assert [row["number"] for row in found] == list(range(FIRST, FIRST + FILES))
    bad = [row for row in found if row["outcome"] not in ("fine", "refused")]
    assert bad == [], f"the files are kept in {tmp_path}"
    assert max(row["megabytes"] for row in found) < MEGABYTES
    assert "Traceback" not in (tmp_path / "stderr").read_text(errors="replace")
    outcomes = Counter(row["outcome"] for row in found)
    # A fuzzer that spoils everything, or nothing, tests nothing.
    assert min(outcomes["fine"], outcomes["refused"]) > FILES / 10


def test_what_hangs_or_dies_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, sys, time\n"
        "for number in range(int(sys.argv[1]), int(sys.argv[2])):\n"
        "    print(json.dumps({'number': number}), flush=True)\n"
        "    time.sleep(60) if number == 1 else os._exit(3) if number == 3 else None\n"
        "    print(json.dumps({'outcome': 'fine'}), flush=True)\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "WORKER", script)
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 1)
    outcomes = [row["outcome"] for row in rounds(0, 5, tmp_path)]
    assert outcomes == ["fine", "no answer within 1 seconds", "fine", "the process ended with 3", "fine"]


def calco(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "calco", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=120)


@pytest.mark.slow
def test_a_folder_of_mutated_files(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    known = list(images())
    for number in range(150):
        chance = np.random.default_rng([7, number])
        name, data = known[number % len(known)]
        other = known[int(chance.integers(len(known)))][1]
        whole = number % 3 == 0
        (folder / f"{number:03d}-{name}").write_bytes(data if whole else mutate(data, other, chance))
    names = {path.stem for path in folder.iterdir()}
    out = tmp_path / "pairs"
    done = calco("prepare", folder, "--recipe", "erase", "--out", out, "--jobs", 1, "--source", "photographs")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    parts = [json.loads(index.read_text()) for index in out.glob("index/*.json") if index.name != "settings.json"]
    written = {pair["key"] for part in parts for pair in part["pairs"]}
    assert written.isdisjoint(manifest["left_out"])
    assert written | set(manifest["left_out"]) == names
    assert sum(manifest["counts"].values()) == len(written)
    assert len(written) >= len(names) / 3
    checked = calco("check", folder, "--out", tmp_path / "check", "--source", "photographs", "--jobs", 1)
    assert checked.returncode in (0, 1), checked.stderr
    assert "Traceback" not in checked.stderr
    report = (tmp_path / "check" / "check.json").read_text()
    assert {name for name in manifest["left_out"] if name not in report} == set()
