"""One command at a time in a folder or a file: advisory locks that the kernel releases when a process dies."""

import contextlib
import errno
import fcntl
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from calco.errors import CalcoError
from calco.files import explain, explained, make_folder, short_name

LOCK: Final = ".calco.lock"
"""The lock file inside a folder that a command writes; it is removed when the command ends."""
_WITHOUT_LOCKS: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
_HOLDER: Final = re.compile(r"(calco[ \w-]*) \(process \d+\)\n?")

_log = logging.getLogger(__name__)
_held: dict[str, int] = {}  # lock file => the thread that holds it


@contextlib.contextmanager
def locked_folder(folder: str | Path, verb: str) -> Iterator[Path]:
    """Make a folder if need be, and hold its lock for a command such as "calco train"; yield the folder.

    Raises:
        CalcoError: If another command holds the lock, or the folder cannot be written to.
    """
    home = make_folder(folder)
    with _locked(home / LOCK, home, verb):
        yield home


@contextlib.contextmanager
def locked_file(path: str | Path, verb: str) -> Iterator[Path]:
    """Make the folder of a file if need be, and hold the file's lock, which lies beside it; yield the path.

    A link is followed first, so that one file has one lock.

    Raises:
        CalcoError: If another command holds the lock, or the folder cannot be written to.
    """
    real = Path(os.path.realpath(path))
    make_folder(real.parent)
    with _locked(real.with_name(lock_name(real.name)), Path(path), verb):
        yield Path(path)


def lock_name(name: str) -> str:
    """Return the name of a file's lock file, no longer than file systems allow."""
    return short_name(f".{name}", LOCK)


def is_lock(name: str) -> bool:
    """Return whether a file's name is that of a lock."""
    return name.startswith(".") and name.endswith(LOCK)


@contextlib.contextmanager
def _locked(lock: Path, target: Path, verb: str) -> Iterator[None]:
    key = os.path.realpath(lock)
    if _held.get(key) == threading.get_ident():  # one command calls another, such as calco demo
        yield
        return
    descriptor = _opened(lock, target)
    _held[key] = threading.get_ident()
    try:
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name; other content is left
            if not os.fstat(descriptor).st_size or _holder(descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{verb} (process {os.getpid()})\n".encode(), 0)
        yield
    finally:
        del _held[key]
        with contextlib.suppress(OSError):  # removed while the lock is held
            if not os.fstat(descriptor).st_size or _holder(descriptor):
                lock.unlink()
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a child process has inherited the descriptor
        os.close(descriptor)


def _opened(lock: Path, target: Path) -> int:
    """Open a lock file, lock it, and make sure that it still has its name."""
    while True:
        with explained(target, "lock"):
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(descriptor) or "another calco command"
            os.close(descriptor)
            raise CalcoError(f"{holder} is at work on {target}; wait for it to end, or choose another --out") from error
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                os.close(descriptor)
                raise explain(error, target, "lock") from error
            _log.warning(
                f"{target} is on a file system without locks ({error.strerror}); run one command on it at a time"
            )
            return descriptor
        # The holder before may have removed the file between opening and locking: then others lock a new one.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), os.lstat(lock)):
                return descriptor
        os.close(descriptor)


def _holder(descriptor: int) -> str | None:
    """Read command and process from a lock file; None if they are not (yet) there."""
    with contextlib.suppress(OSError):
        text = os.pread(descriptor, 200, 0).decode(errors="replace")
        if _HOLDER.fullmatch(text):
            return text.strip()
    return None
