"""What tests ask of the machine that runs them."""

import contextlib
import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


BEYOND = "no installation brings it: "
"""How the reason begins of a test that is skipped in continuous integration too."""


def requires(found: object, what: str, remedy: str) -> None:
    """Skips the test, with its reason, when something that `make test` installs is missing.

    With CI=true that is a failure, as every other skip is whose reason does not begin with `BEYOND` (see conftest.py).

    Args:
        found: Whether it is there (any true value).
        what: What is missing, for the reason.
        remedy: What brings it.
    """
    if not found:
        pytest.skip(f"{what} is missing; {remedy}")


@contextlib.contextmanager
def numpys_own_generator_rests() -> Iterator[None]:
    """Checks that NumPy's global generator, which nothing may use, stays as it is."""
    import numpy as np

    state = np.random.get_state
    before = state()[1].tobytes()
    yield
    assert state()[1].tobytes() == before


NO_SMALL_DISK = BEYOND + "the right to mount a small disk"


def mount_disk(folder: Path, kilobytes: int) -> bool:
    """Mounts a disk of so many kilobytes at a folder; False where that may not be done."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    return bool(shutil.which("mount")) and not subprocess.run(mount, capture_output=True, check=False).returncode


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of so many kilobytes at a folder, for a while; skips where it cannot be mounted."""
    if not mount_disk(folder, kilobytes):
        pytest.skip(NO_SMALL_DISK)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def lock_held(lock: Path, verb: str) -> Iterator[None]:
    """Another command at work, as its lock file shows it."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{verb} (process 1)\n")
        file.flush()
        yield


def find_chromium() -> str:
    """The path of a browser for the tests of pages, or skips."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    requires(found, "chromium", "apt-get install chromium")
    assert found
    return found
