"""Tar files without unpacking: what stands where in one, and the bytes of a member for a new one.

Nothing is ever extracted to disk: a member is a place in the file, and its name is a name.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final, cast
from urllib.parse import unquote

from calco.errors import CalcoError

END: Final = bytes(2 * tarfile.BLOCKSIZE)  # what a tar file ends with
_LONGEST_HEADER: Final = 1 << 20  # bytes; a header that claims more is no header
_UNSAFE: Final = re.compile(r"[%\\\x00-\x1f\x7f\udc80-\udcff]|(?<![^/])\.|(?<![^/])/|\.(?=[^/]*$)")


def member_name(key: str) -> str:
    r"""A key as the stem of members: what tar or WebDataset would misread stands as %XX.

    That is every dot of the last part (what follows the first one is the kind of member), a dot or slash that begins a
    part (nothing climbs out of a folder), percent signs, control characters, and bytes that are no UTF-8.

    >>> member_name("cats/fig. 1"), member_name("../x")
    ('cats/fig%2E 1', '%2E./x')
    """
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found[0])), key)


def key_of(name: str) -> str:
    """The key that `member_name` was given."""
    return unquote(name, errors="surrogateescape")


def member_bytes(name: str, data: bytes) -> tuple[bytes, int]:
    """A member as it stands in a tar file, the same for the same arguments, and how far into it the data begins."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % tarfile.BLOCKSIZE), len(header)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar file.

    Attributes:
        name: Its path there.
        start: The first byte of its data.
        size: How many bytes its data has.
    """

    name: str
    start: int
    size: int


class _Headers:
    """What `tarfile` reads headers from; a damaged header cannot make it fetch more than headers have."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.tell, self.seek = file.tell, file.seek

    def read(self, length: int = -1) -> bytes:
        if not 0 <= length <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {length} bytes")
        return self.file.read(length)


def members(file: IO[bytes], length: int | None, left_out: dict[str, str]) -> Iterator[Member]:
    """The files in a tar file, by its headers.

    Args:
        file: Open for reading, at its beginning.
        length: Its bytes, None where nobody knows.
        left_out: Name and reason of each member that does not serve are added; under "" what is wrong with the file.
    """
    at = -1
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Headers(file)), mode="r:", errorlevel=1) as tar:
            while (info := tar.next()) is not None:
                if info.offset <= at or info.size < 0:
                    raise tarfile.ReadError("it leads back to its beginning")
                at = info.offset
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if reason := _refused(info, length):
                    left_out[info.name] = reason
                elif info.isreg():
                    yield Member(info.name, info.offset_data, info.size)
            at = tar.offset
        file.seek(at)
        rest = file.read(tarfile.BLOCKSIZE)
        # `tarfile` takes a damaged header for the end.
        if len(rest) < tarfile.BLOCKSIZE or any(rest):
            left_out[""] = f"it is damaged or cut short at byte {at}"
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError, RecursionError) as error:
        reason = (
            "no tar file, or a compressed one: unpack it with gunzip" if at < 0 else f"damaged or cut short ({error})"
        )
        left_out[""] = f"it is {reason}"


def _refused(info: tarfile.TarInfo, length: int | None) -> str:
    """Why a member does not serve; nothing for folders and for what does."""
    if info.name.startswith("/") or ".." in info.name.split("/"):
        return "its path leads out of the tar file"
    if info.issym() or info.islnk():
        return "it is a link"
    if not (info.isdir() or info.isreg()) or info.issparse():
        return "it is no plain file"
    if length is not None and info.isreg() and info.offset_data + info.size > length:
        return "the tar file ends before it does"
    return ""


def sample_of(name: str) -> tuple[str, str]:
    """The sample that a member belongs to, and what it is of it: everything after the first dot of the last part.

    Raises:
        CalcoError: When there is no dot, or nothing before it.
    """
    folder, slash, last = name.removeprefix("./").rpartition("/")
    stem, dot, kind = last.partition(".")
    if not stem or not dot:
        raise CalcoError(f"{name} has no name, dot, and ending, as members of a shard have")
    return f"{folder}{slash}{stem}", kind.lower()
