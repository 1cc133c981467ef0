"""Journals: files of JSON lines that only grow, so that interrupted work resumes after the last whole line.

Each row is with the operating system when `add` returns, so a killed process loses none; with `sync` it is on the disk,
so a power cut loses none either.
"""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from calco.errors import CalcoError
from calco.files import explain, explained, make_folder, replacing

_MADE_BY: Final = b'{"made_by": '
_NOT_OURS: Final = "is in the way and was not written by Calco; move it away, or choose another --out"
_OF_OTHERS: Final = (
    "holds the results of an interrupted call with another model, other options or another input; repeat that call, "
    "start anew with --overwrite, or choose another --out"
)

logger = logging.getLogger(__name__)


def encode(row: Mapping[str, Any], *, sort_keys: bool = False) -> bytes:
    """Return a row as one line of UTF-8; bytes of file names that are not UTF-8 are escaped."""
    text = json.dumps(row, ensure_ascii=False, sort_keys=sort_keys)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """Return the row of a line; None if the line is cut off or holds something else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def read(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a journal; none if there is no such file. A last line that a kill cut off is left out.

    Raises:
        CalcoError: If it cannot be read, or a line before the last one is damaged.
    """
    return [row for _, row in _lines(Path(path))]


def write(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a journal, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(map(encode, rows))


@contextlib.contextmanager
def shared(path: str | Path) -> Iterator[int]:
    """Open a file for appending, for this process alone; file systems without locks append as they can."""
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


def append_shared(path: str | Path, row: Mapping[str, Any], *, first: Mapping[str, Any]) -> None:
    """Append a row to a file that several processes write; `first` is the first row of an empty file."""
    with explained(path, "write"), shared(path) as descriptor:
        size = os.fstat(descriptor).st_size
        # A line that a kill cut off must not swallow the next one.
        before = b"" if size and os.pread(descriptor, 1, size - 1) == b"\n" else b"\n" if size else encode(first)
        os.write(descriptor, before + encode(row))


class Journal:
    """A journal that is being written; opening it drops a damaged line and all rows after it, which is logged.

    Args:
        path: The file; the first row makes it.
        made_by: Settings that made the rows, for the first line; None for a file of rows alone.
        sync: Force each row onto the disk.

    Attributes:
        size: Number of bytes of its whole lines.
        count: Number of rows, without the line of what made them.

    Raises:
        CalcoError: If it cannot be read or written, or holds rows that something else made.
    """

    def __init__(self, path: str | Path, made_by: Mapping[str, Any] | None = None, *, sync: bool = False) -> None:
        self.path, self.sync, self.size, self.count = Path(path), sync, 0, 0
        self._head = b"" if made_by is None else encode({"made_by": made_by}, sort_keys=True)
        make_folder(self.path.parent)
        with explained(path, "write"):
            if self.path.exists():
                self._recover()
            if self._head and not self.size:
                self.path.write_bytes(self._head)
                self.size = len(self._head)

    def _recover(self) -> None:
        """Find the end of the last whole line, and cut off what comes after it."""
        with self.path.open("rb") as file:
            first = file.read(len(self._head))
            # Nothing, or a head that a kill cut off, begins anew; so does another head without rows.
            begins_alike = first == self._head
            if not self._head.startswith(first):
                if not first.startswith(_MADE_BY[: len(first)]):
                    raise CalcoError(f"{self.path} {_NOT_OURS}")
                file.seek(0)
                if sum(1 for _ in file) > 1:
                    raise CalcoError(f"{self.path} {_OF_OTHERS}")
        if begins_alike:
            try:
                for line, (size, _) in enumerate(_lines(self.path)):
                    self.size, self.count = size, line + (not self._head)
            except _DamagedError as error:
                logger.warning("%s is damaged; it and the rows after it are written again", error.place)
        if self.path.stat().st_size > self.size:
            os.truncate(self.path, self.size)

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row.

        Raises:
            CalcoError: If the disk is full, or the folder is gone; the journal then ends with the row before.
        """
        line = encode(row)
        with explained(self.path, "write"), self.path.open("ab", buffering=0) as file:
            try:
                file.write(line)
                if self.sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(self.size)
                raise
        self.size, self.count = self.size + len(line), self.count + 1

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield all rows, in order."""
        for _, row in self.entries():
            yield row

    def entries(self) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Yield all rows, in order, each after the state before it."""
        before = len(self._head)
        for number, (size, row) in enumerate(_lines(self.path, before)):
            yield [before, number], row
            before = size

    @property
    def start(self) -> list[int]:
        """State before the first row."""
        return [len(self._head), 0]

    def state(self) -> list[int]:
        """Return bytes and rows so far, for `recall`."""
        return [self.size, self.count]

    def recall(self, state: list[int]) -> None:
        """Cut off the rows that were written after `state` was taken: they are written again.

        Raises:
            CalcoError: If the file is shorter than it was then.
        """
        size, count = state
        with explained(self.path, "write"):
            there = self.path.stat().st_size if self.path.exists() else 0
            if there < size:
                raise CalcoError(
                    f"{self.path} has {there} bytes and had {size}; restore it, or begin anew with --overwrite"
                )
            if there > size:
                os.truncate(self.path, size)
        self.size, self.count = size, count

    def finish(self, path: str | Path) -> None:
        """Write the rows to another file, without the line of what made them, and remove this one."""
        write(path, self.rows())
        self.path.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a journal with a first line of what made it, if there is one.

    Raises:
        CalcoError: If Calco did not write the file, or the permissions do not allow it.
    """
    with explained(path, "remove"):
        if os.path.lexists(path):
            with path.open("rb") as file:
                first = file.read(len(_MADE_BY))
            if not _MADE_BY.startswith(first):
                raise CalcoError(f"{path} {_NOT_OURS}")
            path.unlink()


class _DamagedError(CalcoError):
    """A line holds something else than a row."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: not a JSON object; remove the line, or move the file away")
        self.place = place


def _lines(path: Path, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows from a byte on, each with the byte at which it ends; a last line that a kill cut off is none."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            size = start
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                row = decode(line)
                if row is None:
                    raise _DamagedError(f"{path}, line {number}")
                size += len(line)
                yield size, row
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain(error, path, "read") from error
