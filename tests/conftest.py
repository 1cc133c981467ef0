"""Fixtures of all tests."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ROOT, find_chromium, requires

# One thread each, here and in the processes that tests start: before torch is imported, without importing it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job in the background: what tests start must hear it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures (the variable CALCO_DATA, or ../shared/data); skips where it is absent."""
    folder = (ROOT / os.environ.get("CALCO_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}; set CALCO_DATA to their folder")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real browser, driven by playwright, that fetches nothing by itself."""
    chromium = find_chromium()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        requires(False, "playwright", "pip install -e '.[dev]'")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()
