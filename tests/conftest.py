"""Fixtures of all tests."""

import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from calco.console import print_notes
from support import BEYOND, ROOT, find_chromium, requires

# One thread each, here and in the processes that tests start: before torch is imported, without importing it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job in the background: what tests start must hear it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped for something that can be installed fails with CI=true."""
    report = yield
    owed(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So does a whole file."""
    report = yield
    owed(report)
    return report


def owed(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Makes a skip a failure where nothing may be skipped."""
    if report.skipped and os.environ.get("CI") == "true" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(BEYOND):
            report.outcome = "failed"
            report.longrepr = f"skipped, and with CI=true nothing may be that can be installed: {reason}"


def pytest_sessionfinish() -> None:
    """The database servers that tests of this process shared end with it."""
    if servers := sys.modules.get("crime.servers"):
        servers.stop_shared()


@pytest.fixture(autouse=True)
def _notes() -> None:
    """Print what the library logs, as the command line does."""
    print_notes()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images (the variable CALCO_DATA, or ../shared/data); skips where it is absent."""
    folder = (ROOT / os.environ.get("CALCO_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"{BEYOND}the real images, which are not at {folder}; set CALCO_DATA to their folder")
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
