"""What commands write into a folder: one command at a time, and no file of others is replaced.

Locks are advisory; the kernel releases them when a process dies. A hidden log tells the files of Calco from those of
others: a file is recorded before it gets its name, so that no interruption leaves one that nobody claims. What the log
does not name, or what has been changed since, belongs to somebody else: it is neither replaced, nor removed, nor taken
for a result.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from calco import journal
from calco.errors import CalcoError
from calco.files import before_rename, explain, explained, make_folder, sha256, short_name, sweep_files

LOG: Final = ".calco-outputs.jsonl"
FORMAT: Final = 1
_SPARE: Final = 1000  # lines of the log beyond which outdated ones are removed

Stamp = dict[str, Any]
"""What tells one version of an input from another: size, times, inode and SHA-256."""


class Outputs:
    """Files that commands have written into a folder and below it, read from the log.

    Args:
        folder: The folder.
        verb: Command that writes now.
        overwrite: Replace files that the log names although somebody has changed them since.
        apart: Folder in it whose files come and go, and are known by their content: they are not recorded.
        growing: Names of journals, whose content differs from what is recorded of them.

    Raises:
        CalcoError: If the log cannot be read, is not one, or is of a newer format.
    """

    def __init__(
        self, folder: str | Path, verb: str, *, overwrite: bool = False, apart: str = "", growing: Sequence[str] = ()
    ) -> None:
        self.folder, self.verb, self.overwrite = Path(folder), verb, overwrite
        self.apart, self.growing = apart, frozenset(growing)
        self._root = os.path.join(os.path.abspath(folder), "")
        self._log = self.folder / LOG
        self._files: dict[str, dict[str, Any]] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._guard = threading.Lock()
        self._read()

    @contextlib.contextmanager
    def active(self) -> Iterator["Outputs"]:
        """Check, then record every file that gets its name by `files.replacing` in the folder."""
        with before_rename(self._replaces):
            yield self

    def name_of(self, path: str | Path) -> str | None:
        """Name of a path below the folder; None outside it."""
        full = os.path.abspath(path)
        return full.removeprefix(self._root) if full.startswith(self._root) else None

    def owns(self, path: str | Path) -> bool:
        """Return whether a path is as a command of Calco has left it; its bytes are read only if its time differs."""
        entry = self._files.get(self.name_of(path) or "")
        if entry is None or os.path.islink(path) or not os.path.isfile(path):
            return False
        if entry.get("grows"):
            return True
        try:
            status = os.lstat(path)
            same_time = status.st_mtime_ns == entry.get("mtime_ns")
            return status.st_size == entry.get("bytes") and (same_time or sha256(path) == entry.get("sha256"))
        except (OSError, CalcoError):
            return False

    def names(self) -> list[str]:
        """Names that this command has written; the files need not be there any more."""
        return [name for name, row in self._files.items() if row.get("by") == self.verb]

    def may_replace(self, path: str | Path) -> bool:
        """Return whether nothing of somebody else is under a name."""
        if not os.path.lexists(path):
            return True
        named = self.overwrite and self.name_of(path) in self._files
        return (named and not os.path.isdir(path)) or self.owns(path)

    def check(self, paths: Iterable[str | Path]) -> None:
        """Make sure that nothing of somebody else is under the names that will be written.

        Raises:
            CalcoError: Naming the first such file.
        """
        if others := [path for path in paths if not self.may_replace(path)]:
            changed = self.name_of(others[0]) in self._files
            reason = "has been changed since Calco wrote it" if changed else "was not written by Calco"
            more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            raise CalcoError(f"{others[0]}{more} is there already and {reason}; move it away, or choose another --out")

    def record(self, path: str | Path, *, grows: bool = False) -> None:
        """Record a file that is under its name; one that `grows`, as a journal does, is recorded again at its end."""
        name = self.name_of(path)
        assert name is not None, path
        self._put(name, path, grows=grows)

    def remove(self, path: str | Path) -> bool:
        """Remove a file if it is as Calco left it (with `overwrite`: if the log names it); return whether it is gone.

        Raises:
            CalcoError: If the permissions do not allow it.
        """
        if not os.path.lexists(path):
            return True
        if not self.may_replace(path):
            return False
        with explained(path, "remove"):
            os.unlink(path)
        return True

    def stamps(self, key: str, settings: str) -> list[Stamp] | None:
        """Return the inputs from which a result was made by these settings; None if it was not."""
        row = self._done.get(key)
        return None if row is None or row["settings"] != settings else list(row["inputs"])

    def note_done(self, key: str, settings: str, inputs: Sequence[Stamp]) -> None:
        """Note by which settings and from which inputs a result was made."""
        row = {"done": key, "settings": settings, "inputs": list(inputs)}
        with self._guard:
            self._done[key] = row
            journal.append_shared(self._log, row, first={"format": FORMAT})

    def _replaces(self, temporary: Path, final: Path) -> bool:
        """Check and record a file that is about to get its name; return False if it is outside the folder."""
        name = self.name_of(final)
        if name is None or name == LOG:
            return False
        if not (self.apart and name.startswith(f"{self.apart}/")):
            self.check([final])
            self._put(name, temporary, grows=name in self.growing)
        return True

    def _put(self, name: str, path: str | Path, *, grows: bool) -> None:
        entry: dict[str, Any] = {"grows": True}
        if not grows:
            stamp = stamp_of(path)
            entry = {each: stamp[each] for each in ("bytes", "mtime_ns", "sha256")}
        row = {"file": name, "by": self.verb, **entry}
        with self._guard:
            self._files[name] = row
            journal.append_shared(self._log, row, first={"format": FORMAT})

    def _read(self) -> None:
        try:
            lines = self._log.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise explain(error, self._log, "read") from error
        rows = [row for line in lines if (row := journal.decode(line)) is not None]
        if lines and (not rows or not isinstance(rows[0].get("format"), int)):
            raise CalcoError(f"{self._log} is not a log of Calco's outputs; move it away, or choose another --out")
        if rows and rows[0]["format"] > FORMAT:
            raise CalcoError(f"{self._log} is of a newer format than {FORMAT}; update Calco, or choose another --out")
        for row in rows[1:]:
            if isinstance(row.get("file"), str):
                self._files[row["file"]] = row
            elif isinstance(row.get("done"), str) and {"settings", "inputs"} <= row.keys():
                self._done[row["done"]] = row
        if len(lines) > 2 * (len(self._files) + len(self._done)) + _SPARE:
            with journal.shared(self._log):  # nobody appends meanwhile
                journal.write(self._log, [{"format": FORMAT}, *self._files.values(), *self._done.values()])


@contextlib.contextmanager
def writing_folder(
    folder: str | Path, verb: str, *, overwrite: bool = False, apart: str = "", growing: Sequence[str] = ()
) -> Iterator[Outputs]:
    """Hold a folder, made if need be, for a command whose files there are checked and recorded; options of `Outputs`.

    Raises:
        CalcoError: If another command is at work there, or the folder cannot be written to.
    """
    with locked_folder(folder, verb) as home:
        outputs = Outputs(home, verb, overwrite=overwrite, apart=apart, growing=growing)
        with outputs.active():
            yield outputs


@contextlib.contextmanager
def writing_file(path: str | Path, verb: str, *, beside: Sequence[str | Path] = ()) -> Iterator[Outputs]:
    """Hold a file, and others `beside` it, for a command without --overwrite; its own earlier versions are replaced.

    Raises:
        CalcoError: If another command is writing the file, or one of the files is there and Calco did not write it.
    """
    with locked_file(path, verb):
        outputs = Outputs(Path(path).parent, verb)
        outputs.check([path, *beside])
        sweep_files([path, *beside])
        with outputs.active():
            yield outputs


@contextlib.contextmanager
def new_file(
    path: str | Path, verb: str, *, beside: Sequence[str | Path] = (), overwrite: bool = False
) -> Iterator[None]:
    """Hold a file, and others `beside` it, for a command with --overwrite, which replaces also files of others.

    Raises:
        CalcoError: If another command is writing the file, or one of the files is there and `overwrite` is not given.
    """
    with locked_file(path, verb):
        for each in (path, *beside):
            if os.path.isdir(each):
                raise CalcoError(f"{each} is a folder; choose another --out")
            if os.path.lexists(each) and not overwrite:
                raise CalcoError(f"{each} is there already; choose another --out, or --overwrite")
        sweep_files([path, *beside])
        yield


def check_not_input(source: str, target: str | Path) -> None:
    """Refuse to replace what is read."""
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise CalcoError(f"the result would replace {source}; choose another --out")


def stamp_of(path: str | Path) -> Stamp:
    """Return what tells this version of an input from others.

    Raises:
        CalcoError: If it cannot be read.
    """
    with explained(path, "read"):
        status = os.stat(path)
    return _quick(status) | {"sha256": sha256(path)}


def is_unchanged(path: str | Path, stamp: Stamp) -> bool:
    """Return whether an input is what it was; its bytes are read only if size, times or inode differ."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    if status.st_size != stamp.get("bytes"):
        return False
    return _quick(status).items() <= stamp.items() or sha256(path) == stamp.get("sha256")


def _quick(status: os.stat_result) -> Stamp:
    # The time of change of the inode differs after every write, also where somebody puts the time of the content back.
    return {
        "bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns, "inode": status.st_ino
    }  # fmt: skip


def settings_digest(settings: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of settings as JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


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
