"""The scripts of tools/: each describes itself on one screen, and refuses what it does not know in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [path for path in sorted((ROOT / "tools").rglob("*.py")) if "__main__" in path.read_text(encoding="utf-8")]
"""Scripts, not the modules that they import."""


def answer(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "100"},
    )  # fmt: skip


def test_measure_refuses_a_folder_without_the_library_in_one_line(tmp_path: Path) -> None:
    refused = answer(ROOT / "tools" / "measure.py", str(tmp_path))
    assert refused.returncode == 2
    assert refused.stderr == f"measure.py: {tmp_path}: this folder has no src/calco; --help lists the arguments\n"


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_script_describes_itself_on_one_screen(script: Path) -> None:
    described = answer(script, "--help")
    assert described.returncode == 0, described.stderr
    assert not described.stderr
    assert described.stdout.startswith(f"usage: {script.name}")
    assert len(described.stdout.splitlines()) <= 40


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_script_refuses_an_unknown_argument_in_one_line(script: Path) -> None:
    refused = answer(script, "--unknown")
    assert refused.returncode == 2
    assert not refused.stdout
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith(f"{script.name}: ")
