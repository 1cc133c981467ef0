"""Files that commands have written into a folder: a hidden log tells them from the files of others.

A file is recorded before it gets its name, so that no interruption leaves one that nobody claims. What the log does not
name, or what has been changed since, belongs to somebody else: it is neither replaced, nor removed, nor taken for a
result.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from calco.errors import CalcoError
from calco.files import atomic_write, before_rename, explain, sweep_files
from calco.journal import decode
from calco.locks import locked_file, locked_folder

LOG: Final = ".calco-outputs.jsonl"
FORMAT: Final = 1
_BLOCK: Final = 1 << 20
_SPARE: Final = 1000  # lines of the log beyond which outdated ones are removed

Stamp = dict[str, Any]
"""What tells one version of an input from another: size, times, inode and SHA-256."""


class Outputs:
    """Files that commands have written into a folder and below it.

    Attributes:
        folder: The folder.
        verb: The command that writes now.
        overwrite: Whether files that the log names may be replaced although somebody has changed them since.
        apart: A folder in it whose files come and go, and are known by their content: they are not recorded.
        growing: Names of journals, whose content differs from what is recorded of them.
    """

    def __init__(
        self, folder: str | Path, verb: str, *, overwrite: bool = False, apart: str = "", growing: Sequence[str] = ()
    ) -> None:
        """Reads the log.

        Raises:
            CalcoError: If the log cannot be read, is not one, or is of a newer format.
        """
        self.folder, self.verb, self.overwrite = Path(folder), verb, overwrite
        self.apart, self.growing = apart, frozenset(growing)
        self._root = os.path.join(os.path.abspath(folder), "")
        self._files: dict[str, dict[str, Any]] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._guard = threading.Lock()
        self._read()

    @contextlib.contextmanager
    def active(self) -> Iterator["Outputs"]:
        """Within it every file that gets its name by `files.replacing` in the folder is checked, then recorded."""
        with before_rename(self._replaces):
            yield self

    def name_of(self, path: str | Path) -> str | None:
        """Name of a path below the folder; None outside it."""
        full = os.path.abspath(path)
        return full.removeprefix(self._root) if full.startswith(self._root) else None

    def owns(self, path: str | Path) -> bool:
        """Whether a path is as a command of Calco has left it."""
        entry = self._files.get(self.name_of(path) or "")
        if entry is None or os.path.islink(path) or not os.path.isfile(path):
            return False
        return bool(entry.get("grows")) or _is_as_recorded(path, entry)

    def names(self) -> list[str]:
        """What this command has written, by name; it need not be there any more."""
        return [name for name, row in self._files.items() if row.get("by") == self.verb]

    def may_replace(self, path: str | Path) -> bool:
        """Whether nothing of somebody else is under a name."""
        if not os.path.lexists(path):
            return True
        named = self.overwrite and self.name_of(path) in self._files
        return (named and not os.path.isdir(path)) or self.owns(path)

    def check(self, paths: Iterable[str | Path]) -> None:
        """Makes sure that nothing of somebody else is under the names that will be written.

        Raises:
            CalcoError: Naming the first such file.
        """
        if others := [path for path in paths if not self.may_replace(path)]:
            raise _foreign(others[0], len(others) - 1, changed=self.name_of(others[0]) in self._files)

    def record(self, path: str | Path, *, grows: bool = False) -> None:
        """Records a file that is under its name.

        Args:
            path: The file, below the folder.
            grows: Whether it is going to change, as a journal does; another record follows when it is finished.
        """
        name = self.name_of(path)
        assert name is not None, path
        self._put(name, {"grows": True} if grows else _described(path))

    def remove(self, path: str | Path) -> bool:
        """Removes a file if it is as Calco left it (with `overwrite`: if the log names it); whether it is gone.

        Raises:
            CalcoError: If the permissions do not allow it.
        """
        if not os.path.lexists(path):
            return True
        if not self.may_replace(path):
            return False
        try:
            os.unlink(path)
        except OSError as error:
            raise explain(error, path, "remove") from error
        return True

    def stamps(self, key: str, settings: str) -> list[Stamp] | None:
        """The inputs from which a result was made by these settings; None if it was not."""
        row = self._done.get(key)
        return None if row is None or row["settings"] != settings else list(row["inputs"])

    def note_done(self, key: str, settings: str, inputs: Sequence[Stamp]) -> None:
        """Notes by which settings and from which inputs a result was made."""
        row = {"done": key, "settings": settings, "inputs": list(inputs)}
        with self._guard:
            self._done[key] = row
            self._append(row)

    def _replaces(self, temporary: Path, final: Path) -> bool:
        """Checks and records a file that is about to get its name; False if it is none of the folder's."""
        name = self.name_of(final)
        if name is None or name == LOG:
            return False
        if self.apart and name.startswith(f"{self.apart}/"):
            return True
        self.check([final])
        self._put(name, {"grows": True} if name in self.growing else _described(temporary))
        return True

    def _put(self, name: str, entry: dict[str, Any]) -> None:
        row = {"file": name, "by": self.verb, **entry}
        with self._guard:
            self._files[name] = row
            self._append(row)

    @property
    def _log(self) -> Path:
        return self.folder / LOG

    def _read(self) -> None:
        try:
            lines = self._log.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise explain(error, self._log, "read") from error
        rows = [row for line in lines if (row := decode(line)) is not None]
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
            self._compact()

    def _compact(self) -> None:
        """Writes the log anew without outdated lines; nobody appends meanwhile."""
        with _locked_log(self._log):
            rows = [{"format": FORMAT}, *self._files.values(), *self._done.values()]
            atomic_write(self._log, "".join(map(_line, rows)))

    def _append(self, row: dict[str, Any]) -> None:
        try:
            with _locked_log(self._log) as descriptor:
                head = "" if os.fstat(descriptor).st_size else _line({"format": FORMAT})
                # A line that a kill cut off must not swallow the next one.
                torn = "" if head or os.pread(descriptor, 1, os.fstat(descriptor).st_size - 1) == b"\n" else "\n"
                os.write(descriptor, (head + torn + _line(row)).encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise explain(error, self._log, "write") from error


@contextlib.contextmanager
def writing_folder(
    folder: str | Path, verb: str, *, overwrite: bool = False, apart: str = "", growing: Sequence[str] = ()
) -> Iterator[Outputs]:
    """Holds a folder for a command that writes into it; what the command writes there is checked and recorded.

    Args:
        folder: The folder, made if need be.
        verb: The command, such as "calco translate".
        overwrite: As in `Outputs`.
        apart: As in `Outputs`.
        growing: As in `Outputs`.

    Raises:
        CalcoError: If another command is at work there, or the folder cannot be written to.
    """
    with locked_folder(folder, verb) as home:
        outputs = Outputs(home, verb, overwrite=overwrite, apart=apart, growing=growing)
        with outputs.active():
            yield outputs


@contextlib.contextmanager
def writing_file(path: str | Path, verb: str, *, beside: Sequence[str | Path] = ()) -> Iterator[Outputs]:
    """Holds a file that a command without --overwrite writes; its own earlier versions are replaced.

    Args:
        path: The file; its folder is made if need be.
        verb: The command.
        beside: Other files in the same folder that it writes too.

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
    """Holds a file that a command with --overwrite writes: what is there is replaced if that is given.

    Args:
        path: The file; its folder is made if need be.
        verb: The command.
        beside: Other files that it writes too.
        overwrite: Whether these files are replaced, whoever wrote them.

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


def stamp_of(path: str | Path) -> Stamp:
    """What tells this version of an input from others.

    Raises:
        CalcoError: If it cannot be read.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise explain(error, path, "read") from error
    return _quick(status) | {"sha256": _sha256(path)}


def is_unchanged(path: str | Path, stamp: Stamp) -> bool:
    """Whether an input is what it was; its bytes are read only if size, times or inode differ."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    if status.st_size != stamp.get("bytes"):
        return False
    return all(stamp.get(name) == value for name, value in _quick(status).items()) or (
        _sha256(path) == stamp.get("sha256")
    )


def settings_digest(settings: Any) -> str:
    """The first 16 hex digits of the SHA-256 of settings as JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _quick(status: os.stat_result) -> Stamp:
    # The time of change of the inode differs after every write, also where somebody puts the time of the content back.
    return {
        "bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns, "inode": status.st_ino
    }  # fmt: skip


def _described(path: str | Path) -> dict[str, Any]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise explain(error, path, "read") from error
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": _sha256(path)}


def _is_as_recorded(path: str | Path, entry: dict[str, Any]) -> bool:
    """Whether a file is the one that was recorded; its bytes are read only if it has another time."""
    try:
        status = os.lstat(path)
        if status.st_size != entry.get("bytes"):
            return False
        return status.st_mtime_ns == entry.get("mtime_ns") or _sha256(path) == entry.get("sha256")
    except (OSError, CalcoError):
        return False


def _sha256(path: str | Path) -> str:
    total = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    except OSError as error:
        raise explain(error, path, "read") from error
    return total.hexdigest()


def _foreign(path: str | Path, more: int, *, changed: bool) -> CalcoError:
    reason = "has been changed since Calco wrote it" if changed else "was not written by Calco"
    others = f" (and {more} more)" if more else ""
    return CalcoError(f"{path}{others} is there already and {reason}; move it away, or choose another --out")


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def _locked_log(path: Path) -> Iterator[int]:
    """A log open for appending, to this process alone; file systems without locks append as they can."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # not replaced meanwhile
                yield descriptor
                return
        finally:
            os.close(descriptor)
