"""What is skipped where nothing may be skipped is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

SKIPPED = """
import pytest
from support import BEYOND, requires

def test_what_can_be_installed():
    requires(False, "a thing", "apt-get install thing")

def test_what_cannot():
    pytest.skip(BEYOND + "another processor")
"""
WHOLE_FILE = "import pytest\npytest.importorskip('no_such_library')\n"


@pytest.mark.parametrize(
    ("ci", "told"), [("true", "1 failed, 1 skipped, 1 error"), pytest.param("", "3 skipped", marks=pytest.mark.slow)]
)
def test_a_skip_fails_in_continuous_integration(tmp_path: Path, ci: str, told: str) -> None:
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    (tmp_path / "test_some.py").write_text(SKIPPED)
    (tmp_path / "test_whole.py").write_text(WHOLE_FILE)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        f"pythonpath={ROOT / 'tests'}",
        "--rootdir",
        tmp_path,
        tmp_path,
    ]
    words += ["-p", "no:cacheprovider", "--continue-on-collection-errors", "-c", os.devnull]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "CI": ci}, cwd=tmp_path
    )
    assert told in done.stdout
    assert ("a thing is missing; apt-get install thing" in done.stdout) == (ci == "true")
