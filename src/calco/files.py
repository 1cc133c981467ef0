"""Whole files or none: writing under a temporary name, digests, JSON; and what lies in a folder."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco.addresses import redact_record
from calco.errors import CalcoError, DiskError, WriteError, printable

_REMEDIES = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space of the quota or choose another disk",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f) or choose another disk",
    errno.EROFS: "choose another disk",
    errno.EIO: "check the disk, or choose another one",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_NAME_BYTES = 255  # of a file's name, on all common file systems
_SUFFIX_BYTES = 32  # of a suffix; what is longer is a name with a dot in it
_HALF = re.compile(r"\.(.*)\.[0-9a-f]{16}\.tmp(\.[^.]*)?", re.DOTALL)  # the names of `temporary_path`
_before_rename: list[Callable[[Path, Path], bool]] = []
_UMASK = os.umask(0o022)  # it can only be read by setting it
os.umask(_UMASK)


def explain(error: OSError, path: str | Path, doing: str) -> CalcoError:
    """Turn an error of the operating system into a sentence with the path and a remedy.

    A verb that begins with "read" gives a plain `CalcoError`, others a `WriteError`, or a `DiskError` where the disk
    takes nothing more.
    """
    remedies = {
        "PermissionError": "check who owns it, or choose another folder",
        "FileNotFoundError": "check the path",
        "IsADirectoryError": "name a file, not a folder",
        "NotADirectoryError": "a part of the path is a file: choose another path",
        "FileExistsError": "a file stands where a folder is needed: choose another path",
    }
    remedy = remedies.get(type(error).__name__, _REMEDIES.get(error.errno or 0, ""))
    reason = error.strerror or str(error)
    kind = CalcoError if doing.startswith("read") else DiskError if error.errno in _DISK else WriteError
    return kind(f"cannot {doing} {path}: {reason}" + (f"; {remedy}" if remedy else ""))


@contextlib.contextmanager
def explained(path: str | Path, doing: str) -> Iterator[None]:
    """Turn an error of the operating system into that of `explain`."""
    try:
        yield
    except OSError as error:
        raise explain(error, path, doing) from error


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents, and return it; one that cannot be made or written to is an error."""
    folder = Path(path)
    with explained(folder, "make the folder"):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CalcoError(f"cannot write into {folder}: permission denied; check who owns it, or choose another folder")
    return folder


def cut_name(text: str, room: int) -> str:
    """Cut a name to so many bytes, without half a character: some disks accept valid UTF-8 only."""
    data = os.fsencode(text)
    return text if len(data) <= room else data[: max(0, room)].decode("utf-8", "ignore")


def short_name(name: str, ending: str = "") -> str:
    """Return a file's name with an ending such as ".part", cut and with a digest if both exceed 255 bytes."""
    if len(os.fsencode(name + ending)) <= _NAME_BYTES:
        return name + ending
    mark = "~" + hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    return cut_name(name, _NAME_BYTES - len(os.fsencode(mark + ending))) + mark + ending


def temporary_path(final: Path) -> Path:
    """Return a free name beside a file for the time of writing: hidden, with its suffix, at most 255 bytes long."""
    suffix = final.suffix if len(os.fsencode(final.suffix)) <= _SUFFIX_BYTES else ""
    # The random part is long enough that no two meet, however alike the names are where they are cut.
    return final.with_name(f".{cut_name(final.stem, 80)}.{uuid.uuid4().hex[:16]}.tmp{suffix}")


@contextlib.contextmanager
def before_rename(call: Callable[[Path, Path], bool]) -> Iterator[None]:
    """Call a function with the temporary and the final path of each file before `put_in_place` renames it.

    Of several active ones, the newest that returns True is the last to be called.
    """
    _before_rename.append(call)
    try:
        yield
    finally:
        _before_rename.remove(call)


def put_in_place(temporary: Path, final: Path) -> None:
    """Give a finished file its name, in place of an earlier one; the system or a `before_rename` call may refuse."""
    any(call(temporary, final) for call in reversed(_before_rename))
    os.replace(temporary, final)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; rename it at the end, or remove it on failure.

    Raises:
        CalcoError: If the disk or the permissions do not allow it.
    """
    final = Path(path)
    temporary = temporary_path(final)
    try:
        yield temporary
        # Without fsync a power cut may leave the new name with the old or no contents.
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        # Some libraries write for the owner only; a model is for everybody who may read the folder.
        temporary.chmod(0o666 & ~_UMASK)
        put_in_place(temporary, final)
    except OSError as error:
        raise explain(error, final, "write") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep_files(paths: Iterable[str | Path]) -> None:
    """Remove what killed commands left half written of some files or model folders, and nothing of others beside them.

    Nobody else may be writing these files.
    """
    wanted: dict[Path, set[tuple[str, str]]] = {}
    for path in map(Path, paths):
        if name := _HALF.fullmatch(temporary_path(path).name):
            wanted.setdefault(path.parent, set()).add((name[1], name[2] or ""))
    for folder, halves in wanted.items():
        sweep(folder, halves)


def sweep(folder: str | Path, halves: set[tuple[str, str]] | None = None) -> None:
    """Remove what killed commands left half written in a folder whose lock the caller holds; nothing else.

    With `halves`, only what has these beginnings and endings.
    """
    with contextlib.suppress(OSError):
        for path in [path for path in Path(folder).iterdir() if path.name[0] == "." and ".tmp" in path.name]:
            name = _HALF.fullmatch(path.name)
            if name is not None and (halves is None or (name[1], name[2] or "") in halves):
                with contextlib.suppress(OSError):
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write a whole file, or leave what was there; bytes of a file's name that are not UTF-8 are escaped."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON with two spaces of indentation, whole or not at all, without passwords and tokens of addresses."""
    atomic_write(path, json.dumps(redact_record(content), indent=2, ensure_ascii=False) + "\n")


def read_text(path: str | Path, doing: str = "read") -> str:
    """Read a text in UTF-8 or UTF-16, with or without a byte-order mark."""
    with explained(path, doing):
        data = Path(path).read_bytes()
    try:
        return data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        raise CalcoError(f"{path}, line {line}: the byte {byte} is not UTF-8; save the file as UTF-8") from error


def encoding_of(data: bytes) -> str:
    """Return the Unicode encoding that the first bytes of a text show; UTF-8 where they show none."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    # Without a mark, the zero bytes of Latin letters and digits tell the order of the bytes.
    even, odd = data[:200:2].count(0), data[1:200:2].count(0)
    if max(even, odd) > 0.4 * len(data[:200:2]):
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8-sig"


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object; a file that is absent, unreadable or holds something else is an error."""
    with explained(path, "read"):
        return parse_json(Path(path).read_bytes(), path)


def parse_json(data: bytes, path: str | Path) -> dict[str, Any]:
    """Parse a JSON object from the bytes of the file `path`; anything else is an error."""
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CalcoError(f"{path} is not valid JSON ({error}); restore it from a copy or make it anew") from error
    if not isinstance(content, dict):
        raise CalcoError(f"{path} holds a {type(content).__name__}, not a JSON object; restore it or make it anew")
    return content


def sha256(*paths: str | Path) -> str:
    """Return the SHA-256 over the contents of files, in order, in hex digits."""
    total = hashlib.sha256()
    for path in paths:
        with explained(path, "read"), Path(path).open("rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def digest(*paths: str | Path) -> str:
    """Return the first 16 hex digits of `sha256`."""
    return sha256(*paths)[:16]


@dataclass(slots=True)
class Listing:
    """Files below a folder, in relative names except for `paths`."""

    root: str  # the folder, with a separator at its end
    paths: list[str] = field(default_factory=list)  # wanted files, sorted; bytes that are not UTF-8 as Python has them
    left_out: list[tuple[str, str]] = field(default_factory=list)  # name and reason of what could not be read
    hidden: list[str] = field(default_factory=list)  # hidden and system files, and folders with a separator
    others: list[str] = field(default_factory=list)  # files that were not wanted

    def leave_out(self, path: str, reason: str) -> None:
        """Note a file that cannot be used, and why."""
        self.left_out.append((printable(path.removeprefix(self.root)), reason))

    def remarks(self, wanted: str, *known: str) -> tuple[str, ...]:
        """Describe what was passed over, a sentence each: hidden and system files, and files other than `wanted`.

        Args:
            wanted: Plural noun for the wanted files, such as "images".
            known: Names of other files that are used for something else.
        """
        others = sorted(set(self.others) - set(known))
        notes = [self.hidden_remark()] if self.hidden else []
        notes += [f"files that are no {wanted} by their ending are not used ({_counted(others)})"] if others else []
        return tuple(notes)

    def hidden_remark(self) -> str:
        """Describe what is hidden or a system's own, as a sentence without its full stop."""
        return f"hidden and system files are passed over ({_counted(self.hidden)})"


SYSTEM_NAMES: Final = frozenset({
    "$recycle.bin", "#recycle", "#snapshot", "@eadir", "@recycle", "__macosx", "desktop.ini", "ehthumbs.db",
    "ehthumbs_vista.db", "lost+found", "system volume information", "thumbs.db",
})  # fmt: skip
"""Names, in lower case, of files and folders that systems and file servers keep for themselves (`Thumbs.db`)."""
_NAMED: Final = 6  # names that a remark shows


def _counted(names: list[str]) -> str:
    """A number and some names; of many files of one name or one ending only one of them."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(names):
        base = os.path.basename(name.rstrip("/"))
        kind = base.lower() if base.lower() in SYSTEM_NAMES or not os.path.splitext(base)[1] else ""
        kinds.setdefault(kind or os.path.splitext(base)[1].lower(), []).append(name)
    parts = sorted(kinds.values(), key=len, reverse=True)
    shown = [printable(part[0]) + (f" and {len(part) - 1} more like it" if len(part) > 1 else "") for part in parts]
    if len(parts) == 1 and len(parts[0]) <= _NAMED:
        shown = [printable(name) for name in parts[0]]
    return f"{len(names)}: {', '.join(shown[:_NAMED])}" + (", ..." if len(shown) > _NAMED else "")


def list_files(folder: str | Path, wanted: Callable[[str], bool]) -> Listing:
    """List a folder and all below it, each file and each folder once.

    Hidden files and those of `SYSTEM_NAMES` are passed over, and named. Links are followed; a linked folder that is
    listed already (a circle, or a second way to one place) is noted and not entered again, and so is a folder that may
    not be read.

    Args:
        folder: Where to begin.
        wanted: Function that takes a file's name, without its folder, and returns whether it is to be listed.

    Raises:
        CalcoError: If the folder itself is absent, is no folder, or may not be read.
    """
    top = os.fspath(Path(folder))
    listing = Listing(os.path.join(top, ""))
    seen: set[tuple[int, int]] = set()
    folders: list[str] = [top]
    links: list[str] = []
    while folders or links:
        # Links last: where two ways lead to a folder, its own name counts.
        path = folders.pop() if folders else links.pop(links.index(min(links)))
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                listing.leave_out(path, "leads to a folder that is listed already")
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name[0] == "." or entry.name.lower() in SYSTEM_NAMES:
                        is_folder = entry.is_dir(follow_symlinks=False)
                        listing.hidden.append(entry.path.removeprefix(listing.root) + ("/" if is_folder else ""))
                    else:
                        _list_entry(entry, wanted, listing, folders, links)
        except OSError as error:
            if path == top:
                raise explain(error, top, "read the folder") from error
            listing.leave_out(path, (error.strerror or str(error)).lower())
    listing.paths.sort()
    return listing


def _list_entry(
    entry: "os.DirEntry[str]", wanted: Callable[[str], bool], listing: Listing, folders: list[str], links: list[str]
) -> None:
    try:
        if entry.is_dir():
            (links if entry.is_symlink() else folders).append(entry.path)
        elif wanted(entry.name):
            if entry.is_file():
                listing.paths.append(entry.path)
            else:  # reading from a pipe or a device might never end
                listing.leave_out(entry.path, "a link to nothing" if entry.is_symlink() else "not a file")
        else:
            listing.others.append(entry.path.removeprefix(listing.root))
    except OSError as error:  # such as links in a circle
        listing.leave_out(entry.path, (error.strerror or str(error)).lower())
