"""Locks: one command at a time in a folder or a file, released by the kernel, leaving nothing behind."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calco.errors import CalcoError
from calco.outputs import LOCK, is_lock, lock_name, locked_file, locked_folder
from support import lock_held

HOLD = """
import sys
from calco.outputs import locked_file, locked_folder
with (locked_folder if sys.argv[1] == "folder" else locked_file)(sys.argv[2], "calco test"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(kind: str, target: Path) -> "subprocess.Popen[str]":
    """Another process that holds the lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, kind, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_second_process_is_refused_until_the_first_has_ended(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    locked = locked_folder if kind == "folder" else locked_file
    with holding(kind, target) as process:
        with pytest.raises(CalcoError) as refused, locked(target, "calco other"):
            pass
        assert str(refused.value) == (
            f"calco test (process {process.pid}) is at work on {target}; wait for it to end, or choose another --out"
        )
        process.communicate()
    with locked(target, "calco other"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == (["out"] if kind == "folder" else [])


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with holding("folder", tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / LOCK).exists()
    with locked_folder(tmp_path, "calco other"):
        assert (tmp_path / LOCK).read_text() == f"calco other (process {os.getpid()})\n"
    assert not (tmp_path / LOCK).exists()


def test_a_command_may_call_another_on_the_same_folder(tmp_path: Path) -> None:
    with locked_folder(tmp_path, "calco demo"), locked_folder(tmp_path / ".", "calco train"):
        assert (tmp_path / LOCK).read_text().startswith("calco demo ")
    assert not (tmp_path / LOCK).exists()


def test_a_link_and_its_file_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near.mp4").symlink_to("far/video.mp4")
    with (
        lock_held(tmp_path / "far" / lock_name("video.mp4"), "calco translate"),
        pytest.raises(CalcoError, match="work"),
    ):
        locked_file(tmp_path / "near.mp4", "calco translate").__enter__()


def test_a_file_of_somebody_under_the_name_of_the_lock_is_kept(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("mine")
    with locked_folder(tmp_path, "calco train"):
        pass
    assert (tmp_path / LOCK).read_text() == "mine"


def test_long_names_have_locks_too(tmp_path: Path) -> None:
    name = "ñ" * 125 + ".mp4"  # 254 bytes
    assert is_lock(lock_name(name))
    assert lock_name(name) != lock_name("n" + name[1:])
    with locked_file(tmp_path / name, "calco translate"):
        assert len(list(tmp_path.iterdir())) == 1


def test_a_file_system_without_locks_is_reported_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked_folder(tmp_path / "out", "calco train"):
        pass
    assert "is on a file system without locks (No locks available)" in caplog.text
    assert not list((tmp_path / "out").iterdir())
