"""ZIP archives of images from clients: checked before anything is unpacked, and unpacked under names of our own."""

import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final

from calco import imaging
from calco.errors import CalcoError
from calco.files import SYSTEM_NAMES, explained, make_folder, replacing
from calco.imaging.formats import TooLargeError
from calco.web.refusals import RefusedError, Said

MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a ZIP archive, and of an empty one."""
_ARCHIVES: Final = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000  # flags of an entry: encrypted, strongly, with its name masked
_RATIO: Final = 200  # unpacked bytes for each packed one; flat drawings without loss reach about a hundred
_SMALL: Final = 16 << 20  # bytes up to which no ratio is suspicious
_ENTRY_BYTES: Final = 1 << 10  # of an entry of the directory, more than names need
_BLOCK: Final = 1 << 20
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # of each entry of a result: the same result has the same bytes
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, RuntimeError,
                      NotImplementedError, ValueError, LookupError)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one upload of a job may hold."""

    images: int = 2000
    """Files in an archive, or images in one upload."""
    pixels: int = 1 << 26
    """Pixels of an image, and of a frame of a video."""
    unpacked_bytes: int = 4 << 30
    """Bytes of everything in an archive."""
    video_seconds: float = 1800.0
    """Length of a video."""


@dataclass
class Unpacked:
    """Images of an archive or an upload, on this disk under numbers."""

    names: dict[str, str] = field(default_factory=dict)  # the client's name by the name on this disk
    left_out: dict[str, Said] = field(default_factory=dict)  # reason by the client's name


def check_archive(path: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    """Return the files of an archive in its order; nothing is unpacked.

    Raises:
        RefusedError: If it is damaged, or holds something that is refused.
    """
    _check_directory(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except _UNREADABLE as error:
        raise RefusedError("archive_damaged", reason=_reason(error)) from error
    files = [entry for entry in entries if not entry.is_dir()]
    if len(files) > limits.images:
        raise RefusedError("archive_count", most=limits.images)
    for entry in entries:
        _check_entry(entry)
    if sum(entry.file_size for entry in files) > limits.unpacked_bytes:
        raise RefusedError("archive_bytes", most=limits.unpacked_bytes >> 20)
    wanted = [entry for entry in files if not _is_hidden(entry.filename)]
    if not wanted:
        raise RefusedError("archive_empty")
    return wanted


def _check_directory(path: Path, limits: Limits) -> None:
    """Bound the directory of an archive before it is read: millions of entries would take the memory."""
    with explained(path, "read"), path.open("rb") as file:
        length = file.seek(0, 2)
        start = max(0, length - (1 << 16) - 22 - 76)
        file.seek(start)
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        raise RefusedError("archive_damaged", reason=("zip_directory", {}))
    size = struct.unpack_from("<L", tail, end + 12)[0]
    if tail[max(0, end - 76) :][:4] == b"PK\x06\x06":  # the record of ZIP64, which counts in 64 bits
        size = max(size if size != 0xFFFFFFFF else 0, struct.unpack_from("<Q", tail, end - 76 + 40)[0])
    if size > _ENTRY_BYTES * limits.images:
        raise RefusedError("archive_count", most=limits.images)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename  # `filename` ends at a zero byte
    shown = name[:80]
    flat = name.replace("\\", "/")
    if flat.startswith("/") or re.match(r"[A-Za-z]:", flat) or ".." in flat.split("/") or "\0" in flat or not flat:
        raise RefusedError("archive_name", name=shown)
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise RefusedError("archive_link", name=shown)
    if entry.flag_bits & _ENCRYPTED:
        raise RefusedError("archive_encrypted", name=shown)
    if PurePosixPath(flat).suffix.lower() in _ARCHIVES:
        raise RefusedError("archive_nested", name=shown)
    ratio = entry.file_size // max(1, entry.compress_size)
    if entry.file_size > _SMALL and ratio > _RATIO:
        raise RefusedError("archive_bomb", name=shown, ratio=ratio)


def _is_hidden(name: str) -> bool:
    """Return whether a file is a system's own, such as __MACOSX/._a.jpg."""
    return any(part[:1] == "." or part.lower() in SYSTEM_NAMES for part in name.replace("\\", "/").split("/"))


def unpack(path: Path, folder: Path, limits: Limits) -> Unpacked:
    """Unpack the images of an archive into a folder, under numbers; what is not an image is left out.

    Raises:
        RefusedError: As `check_archive`, and if the archive is not what its directory says.
    """
    make_folder(folder)
    found, total, taken = Unpacked(), 0, set[str]()
    try:
        with zipfile.ZipFile(path) as archive:
            for number, entry in enumerate(check_archive(path, limits)):
                name = entry.filename.replace("\\", "/")
                if name in taken:
                    found.left_out[f"{name} (2)"] = ("file_again", {})
                    continue
                taken.add(name)
                target = folder / f"{number:06d}"
                try:
                    total += _copy(archive, entry, target, total, limits.unpacked_bytes)
                except _UNREADABLE as error:
                    target.unlink(missing_ok=True)
                    found.left_out[name] = ("file_damaged", {"reason": _reason(error)})
                    continue
                take(target, name, found, limits)
    except _UNREADABLE as error:
        raise RefusedError("archive_damaged", reason=_reason(error)) from error
    return found


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, total: int, most: int) -> int:
    """Unpack a file; return its bytes, which are counted as they come, after `total` of those before it."""
    count = 0
    with archive.open(entry) as packed, explained(target, "write"), target.open("wb") as file:
        while block := _read(packed):
            count += len(block)
            if total + count > most:
                raise RefusedError("archive_bytes", most=most >> 20)
            if not file.tell() and block.startswith(MAGIC):
                raise RefusedError("archive_nested", name=entry.filename[:80])
            file.write(block)
    return count


def _read(packed: IO[bytes]) -> bytes:
    """Read a block; errors of damaged data are no errors of the disk."""
    try:
        return packed.read(_BLOCK)
    except OSError as error:
        raise zipfile.BadZipFile(str(error)) from error


def take(file: Path, name: str, found: Unpacked, limits: Limits) -> None:
    """Give an image on this disk the ending of its content; note its name, or remove it and note why."""
    reason: Said = ("file_kind", {})
    try:
        ending = image_ending(file, limits)
    except RefusedError as error:
        ending, reason = None, (error.reason, error.values)
    if ending is None:
        found.left_out[name] = reason
        file.unlink(missing_ok=True)
        return
    file.rename(file.with_suffix(ending))
    found.names[file.with_suffix(ending).name] = name


def image_ending(file: Path, limits: Limits) -> str | None:
    """Return the ending of an image by its content, such as ".jpg", from its header; None if it is not an image.

    Raises:
        RefusedError: If it has too many pixels.
    """
    try:
        ending = imaging.true_ending(file)
    except TooLargeError as error:
        raise RefusedError("claims", most=limits.pixels) from error
    except CalcoError:
        return None
    check_size(imaging.header_size_wh(file), limits)
    return ending


def check_size(size_wh: tuple[int, int] | None, limits: Limits) -> None:
    """Refuse an image or a frame of too many pixels; None stands for a size that the header does not tell."""
    if size_wh is not None and size_wh[0] * size_wh[1] > limits.pixels:
        raise RefusedError("pixels", width=size_wh[0], height=size_wh[1], most=limits.pixels)


def pack(target: Path, files: Iterable[tuple[str, Path]], texts: Mapping[str, str]) -> None:
    """Write an archive of files and texts by their names, whole or not at all; images are packed already."""
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, path in files:
            with path.open("rb") as file, archive.open(zipfile.ZipInfo(name, _DATE), "w", force_zip64=True) as entry:
                while block := file.read(_BLOCK):
                    entry.write(block)
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), text)


def _reason(error: BaseException) -> Said:
    """Return why an archive cannot be read, in both languages: the library has English alone."""
    if isinstance(error, NotImplementedError):
        return "zip_method", {}
    if "CRC" in str(error) or isinstance(error, zlib.error | lzma.LZMAError | EOFError):
        return "zip_data", {}
    return "zip_layout", {}
