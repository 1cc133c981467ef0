"""Fixtures of all tests."""

import os
from pathlib import Path

import pytest

from support import ROOT

# One thread each, here and in the processes that tests start: before torch is imported, without importing it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures (the variable CALCO_DATA, or ../shared/data); skips where it is absent."""
    folder = (ROOT / os.environ.get("CALCO_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}; set CALCO_DATA to their folder")
    return folder
