"""What tests ask of the machine that runs them."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def requires(found: object, what: str, remedy: str) -> None:
    """Skips the test, with its reason, when something that `make test` installs is missing; fails instead when CI=true.

    Args:
        found: Whether it is there (any true value).
        what: What is missing, for the reason.
        remedy: What brings it.
    """
    if found:
        return
    reason = f"{what} is missing; {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def find_chromium() -> str:
    """The path of a browser for the tests of pages, or skips."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    requires(found, "chromium", "apt-get install chromium")
    assert found
    return found
