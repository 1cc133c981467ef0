"""The part of a video that is done: packets in a file that only grows, so that no interruption can break it."""

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from calco.errors import CalcoError
from calco.files import explain

FORMAT: Final = 1
_MAGIC: Final = b"calco video part\n"
_HEAD: Final = struct.Struct("<BIqI")  # kind, bytes, time stamp or number, CRC-32 of the bytes
_NOTE, _PACKET, _KEY, _END = range(4)
_NOT_OURS: Final = "is in the way and was not written by Calco; move it away, or choose another --out"
_OF_OTHERS: Final = (
    "holds the frames of an interrupted call with another model, other options or another input; repeat that call, "
    "start anew with --overwrite, or choose another --out"
)


class Piece(NamedTuple):
    """A packet: its bytes, its time stamp, and whether a player can begin there."""

    data: bytes
    pts: int
    is_key: bool


@dataclass
class Journal:
    """A part at work.

    Attributes:
        path: The file.
        done: Frames that it holds.
        last: The time stamp of the last of them; None where there is none.
        safe: Frames that a journal which goes on after a kill would have.
        notes: What was noted of them, by number.
    """

    path: Path
    done: int = 0
    last: int | None = None
    safe: int = 0
    notes: dict[int, Any] = field(default_factory=dict)
    _file: BinaryIO | None = None
    _end: int = 0  # of what is kept

    @classmethod
    def open(cls, path: Path, record: dict[str, Any]) -> "Journal":
        """Goes on with a part that the same record began, up to its last finished group of images; or begins one.

        Args:
            path: The file; the caller holds the lock of the video.
            record: What made it: video, model, options, all that another result would come from.

        Raises:
            CalcoError: If another record began the part, or Calco did not write the file.
            OSError: When it cannot be written.
        """
        head = json.dumps({"format": FORMAT, **record}, sort_keys=True).encode()
        start = _MAGIC + len(head).to_bytes(4, "little") + head
        journal = cls(path)
        with contextlib.suppress(OSError), path.open("rb") as file:
            if file.read(len(start)) == start:
                journal._recall(file)
        if not journal._end and (reason := _foreign(path, start)):
            raise CalcoError(f"{path} {reason}")
        end, journal.safe = journal._end, journal.done
        if end:
            os.truncate(path, end)
        journal._file = path.open("ab" if end else "wb")
        if not end:
            journal._file.write(start)
            journal._file.flush()
        return journal

    def _recall(self, file: BinaryIO) -> None:
        """Finds the end of the last group of images that is whole: where the next one begins."""
        count, last, notes = 0, None, dict[int, Any]()
        for offset, kind, number, data in _records(file):
            if kind == _NOTE:
                notes[number] = json.loads(data)
                continue
            if kind in (_KEY, _END) and count:
                self._end, self.done, self.last = offset, count, last
            if kind == _END:
                continue
            count, last = count + 1, number if last is None else max(last, number)
        self.notes = {number: note for number, note in notes.items() if number < self.done}

    def note(self, number: int, content: Any) -> None:
        """Notes something about a frame, before its packet comes."""
        self._put(_NOTE, number, json.dumps(content).encode())
        self.notes[number] = content

    def add(self, data: bytes, pts: int, *, is_key: bool) -> None:
        """Appends a packet.

        Raises:
            OSError: When the disk is full.
        """
        self._put(_KEY if is_key else _PACKET, pts, data)
        if is_key:
            self.safe = self.done
        self.done += 1
        self.last = pts if self.last is None else max(self.last, pts)

    def finish(self) -> None:
        """Notes that all packets of the frames so far are there."""
        if self._file is not None:
            self._put(_END, self.done, b"")

    def _put(self, kind: int, number: int, data: bytes) -> None:
        assert self._file is not None
        self._file.write(_HEAD.pack(kind, len(data), number, zlib.crc32(data)) + data)
        self._file.flush()

    def stamps(self) -> list[int]:
        """The time stamps of all packets, in the order of decoding."""
        with self._begun() as file:
            return [number for _, kind, number, _ in _records(file, skip=True) if kind in (_PACKET, _KEY)]

    def pieces(self) -> Iterator[Piece]:
        """All packets, in the order of decoding."""
        with self._begun() as file:
            for _, kind, number, data in _records(file):
                if kind in (_PACKET, _KEY):
                    yield Piece(data, number, kind == _KEY)

    @contextlib.contextmanager
    def _begun(self) -> Iterator[BinaryIO]:
        with self.path.open("rb") as file:
            file.seek(len(_MAGIC))
            file.seek(int.from_bytes(file.read(4), "little"), os.SEEK_CUR)
            yield file

    def close(self, *, keep: bool) -> None:
        """Closes the file, and removes it where nobody will go on with it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if not keep or not self.done:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def remove_part(path: Path) -> None:
    """Removes a part, whatever began it.

    Raises:
        CalcoError: If Calco did not write the file, or the permissions do not allow it.
    """
    try:
        if not os.path.lexists(path):
            return
        with path.open("rb") as file:
            if not _MAGIC.startswith(file.read(len(_MAGIC))):
                raise CalcoError(f"{path} {_NOT_OURS}")
        path.unlink()
    except OSError as error:
        raise explain(error, path, "remove") from error


def _foreign(path: Path, start: bytes) -> str:
    """Why a part with another beginning may not be begun anew; empty if it may."""
    if not os.path.lexists(path):
        return ""
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
        if not _MAGIC.startswith(head):
            return _NOT_OURS
        if not head or (head + file.read(len(start) - len(_MAGIC))) == start[: os.fstat(file.fileno()).st_size]:
            return ""  # nothing, or nothing but this beginning
        file.seek(len(_MAGIC))
        file.seek(int.from_bytes(file.read(4), "little"), os.SEEK_CUR)
        keys = sum(kind == _KEY for _, kind, _, _ in _records(file, skip=True))
    return _OF_OTHERS if keys > 1 else ""  # before the second key frame there is nothing that could be resumed


def _records(file: BinaryIO, *, skip: bool = False) -> Iterator[tuple[int, int, int, bytes]]:
    """Place, kind, number and bytes of each record, up to the first that is not whole."""
    size = os.fstat(file.fileno()).st_size
    offset = file.tell()
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        kind, length, number, check = _HEAD.unpack(head)
        if offset + _HEAD.size + length > size:
            return
        data = b""
        if skip:
            file.seek(length, os.SEEK_CUR)
        else:
            data = file.read(length)
            if zlib.crc32(data) != check:
                return
        yield offset, kind, number, data
        offset += _HEAD.size + length
