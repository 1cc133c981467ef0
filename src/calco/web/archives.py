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
from typing import IO, Any, Final

from calco import imaging
from calco.errors import CalcoError
from calco.files import SYSTEM_NAMES, explained, make_folder, replacing
from calco.web.refusals import RefusedError

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


class JobError(RefusedError):
    """An upload is not taken, or a job cannot be done with it.

    Attributes:
        reason: Name of the reason.
        values: What stands in the sentence, plain data.
    """

    def __init__(self, reason: str, /, **values: Any) -> None:
        self.reason, self.values = reason, values
        self.status, english, spanish = REASONS[reason]
        super().__init__(english.format(**values), spanish.format(**values))


REASONS: Final[dict[str, tuple[int, str, str]]] = {
    "archive_damaged": (
        422,
        "the ZIP is cut off or damaged ({reason}); pack and upload it again",
        "el ZIP está incompleto o dañado ({reason}); comprímelo y súbelo de nuevo",
    ),
    "archive_empty": (
        422,
        "the ZIP holds no image; pack JPEG, PNG or other images",
        "el ZIP no contiene imágenes; comprime imágenes JPEG, PNG u otras",
    ),
    "archive_name": (
        422,
        "the ZIP names a file outside itself ({name}); pack the images without absolute names and without ..",
        "el ZIP nombra un archivo fuera de sí mismo ({name}); comprime las imágenes sin rutas absolutas y sin ..",
    ),
    "archive_link": (
        422,
        "the ZIP holds a link or a device ({name}); pack the images themselves",
        "el ZIP contiene un enlace o un dispositivo ({name}); comprime las imágenes mismas",
    ),
    "archive_encrypted": (
        422,
        "the ZIP is encrypted ({name}); pack the images without a password",
        "el ZIP está cifrado ({name}); comprime las imágenes sin contraseña",
    ),
    "archive_nested": (
        422,
        "the ZIP holds another archive ({name}); pack its images themselves",
        "el ZIP contiene otro archivo comprimido ({name}); comprime directamente las imágenes",
    ),
    "archive_count": (
        413,
        "the ZIP holds more than {most:,} files; upload them in several parts",
        "el ZIP contiene más de {most:,} archivos; súbalos en varias partes",
    ),
    "archive_bytes": (
        413,
        "the ZIP unpacks to more than {most:,} MB; upload the images in several parts",
        "el ZIP descomprimido ocupa más de {most:,} MB; sube las imágenes en varias partes",
    ),
    "archive_bomb": (
        413,
        "the ZIP unpacks to {ratio:,} times its size ({name}), which no photograph does; pack the images again",
        "el ZIP se descomprime a {ratio:,} veces su tamaño ({name}), como ninguna fotografía; comprime las imágenes de "
        "nuevo",
    ),
    "count": (
        413,
        "the upload holds more than {most:,} images; upload them in several parts",
        "hay más de {most:,} imágenes; súbalas en varias partes",
    ),
    "none": (
        422,
        "none of the {count} files can be used; the first, {name}: {reason}",
        "ninguno de los {count} archivos se puede usar; el primero, {name}: {reason}",
    ),
    "not_known": (
        415,
        "the upload is neither an image, nor a video, nor a ZIP of images, or it is cut off; choose another file",
        "el archivo no es una imagen, ni un vídeo, ni un ZIP de imágenes, o está incompleto; elige otro",
    ),
    "pixels": (
        413,
        "{width} x {height} pixels are more than the {most:,} that are taken; make it smaller",
        "{width} x {height} píxeles son más que los {most:,} que se aceptan; hazlo más pequeño",
    ),
    "long": (
        413,
        "the video is {minutes:.0f} minutes long, and at most {most:g} are taken; cut it, or use calco translate",
        "el vídeo dura {minutes:.0f} minutos, y se aceptan {most:g} como máximo; recórtalo, o usa calco translate",
    ),
    "frames": (
        413,
        "the video has more than {most:,} frames; cut it, or use calco translate",
        "el vídeo tiene más de {most:,} fotogramas; recórtalo, o usa calco translate",
    ),
    "disk": (
        503,
        "the disk of the studio is full; ask for room there, and upload again",
        "el disco del estudio está lleno; pide que se libere espacio, y súbelo de nuevo",
    ),
    "memory": (
        422,
        "the memory of the studio does not suffice; upload smaller images",
        "la memoria del estudio no alcanza; sube imágenes más pequeñas",
    ),
    "stalled": (
        422,
        "nothing was done for {minutes:.0f} minutes; try a smaller upload",
        "no hubo avance durante {minutes:.0f} minutos; prueba con un archivo más pequeño",
    ),
    "interrupted": (
        422,
        "it was interrupted {times} times at the same place ({reason}); try a smaller upload",
        "se interrumpió {times} veces en el mismo punto ({reason}); prueba con un archivo más pequeño",
    ),
    "defect": (
        422,
        "an error in Calco ended the job ({error}); the terminal of the studio says more",
        "un error de Calco terminó el trabajo ({error}); la terminal del estudio dice más",
    ),
    "model": (
        422,
        "{reason}",
        "el modelo no puede hacerlo: {reason}",
    ),
    # What is not an error: what a job does, and what it says at its end.
    "frame": (200, "frame {count:,}{of}", "fotograma {count:,}{of}"),
    "image": (200, "image {count:,}{of}", "imagen {count:,}{of}"),
    "left_out": (
        200,
        "{count:,} of {total:,} files are left out; left_out.txt in the ZIP says why",
        "se omitieron {count:,} de {total:,} archivos; left_out.txt en el ZIP dice por qué",
    ),
    "notes": (200, "{notes}", "{notes}"),
    "delivered": (200, "the result was delivered and deleted", "el resultado se entregó y se borró"),
    "room": (
        200,
        "the result was deleted to make room for others; upload again",
        "el resultado se borró para hacer lugar a otros; súbelo de nuevo",
    ),
}
"""Status of HTTP and sentence in English and Spanish of each reason."""


def sentence(code: str, values: Mapping[str, Any], *, spanish: bool = False) -> str:
    """Return what a job says, empty without a code."""
    if not code:
        return ""
    _, english, translated = REASONS[code]
    return (translated if spanish else english).format(**values)


@dataclass
class Unpacked:
    """Images of an archive or an upload, on this disk under numbers."""

    names: dict[str, str] = field(default_factory=dict)  # the client's name by the name on this disk
    left_out: dict[str, str] = field(default_factory=dict)  # reason by the client's name


def check_archive(path: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    """Return the files of an archive in its order; nothing is unpacked.

    Raises:
        JobError: If it is damaged, or holds something that is refused.
    """
    _check_directory(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except _UNREADABLE as error:
        raise JobError("archive_damaged", reason=_reason(error)) from error
    files = [entry for entry in entries if not entry.is_dir()]
    if len(files) > limits.images:
        raise JobError("archive_count", most=limits.images)
    for entry in entries:
        _check_entry(entry)
    if sum(entry.file_size for entry in files) > limits.unpacked_bytes:
        raise JobError("archive_bytes", most=limits.unpacked_bytes >> 20)
    wanted = [entry for entry in files if not _is_hidden(entry.filename)]
    if not wanted:
        raise JobError("archive_empty")
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
        raise JobError("archive_damaged", reason="its directory is missing")
    size = struct.unpack_from("<L", tail, end + 12)[0]
    if tail[max(0, end - 76) :][:4] == b"PK\x06\x06":  # the record of ZIP64, which counts in 64 bits
        size = max(size if size != 0xFFFFFFFF else 0, struct.unpack_from("<Q", tail, end - 76 + 40)[0])
    if size > _ENTRY_BYTES * limits.images:
        raise JobError("archive_count", most=limits.images)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename  # `filename` ends at a zero byte
    shown = name[:80]
    flat = name.replace("\\", "/")
    if flat.startswith("/") or re.match(r"[A-Za-z]:", flat) or ".." in flat.split("/") or "\0" in flat or not flat:
        raise JobError("archive_name", name=shown)
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise JobError("archive_link", name=shown)
    if entry.flag_bits & _ENCRYPTED:
        raise JobError("archive_encrypted", name=shown)
    if PurePosixPath(flat).suffix.lower() in _ARCHIVES:
        raise JobError("archive_nested", name=shown)
    ratio = entry.file_size // max(1, entry.compress_size)
    if entry.file_size > _SMALL and ratio > _RATIO:
        raise JobError("archive_bomb", name=shown, ratio=ratio)


def _is_hidden(name: str) -> bool:
    """Return whether a file is a system's own, such as __MACOSX/._a.jpg."""
    return any(part[:1] == "." or part.lower() in SYSTEM_NAMES for part in name.replace("\\", "/").split("/"))


def unpack(path: Path, folder: Path, limits: Limits) -> Unpacked:
    """Unpack the images of an archive into a folder, under numbers; what is not an image is left out.

    Raises:
        JobError: As `check_archive`, and if the archive is not what its directory says.
    """
    make_folder(folder)
    found, total, taken = Unpacked(), 0, set[str]()
    try:
        with zipfile.ZipFile(path) as archive:
            for number, entry in enumerate(check_archive(path, limits)):
                name = entry.filename.replace("\\", "/")
                if name in taken:
                    found.left_out[f"{name} (again)"] = "another file of the ZIP has this name"
                    continue
                taken.add(name)
                target = folder / f"{number:06d}"
                try:
                    total += _copy(archive, entry, target, total, limits.unpacked_bytes)
                except _UNREADABLE as error:
                    target.unlink(missing_ok=True)
                    found.left_out[name] = f"damaged in the ZIP ({_reason(error)})"
                    continue
                take(target, name, found, limits)
    except _UNREADABLE as error:
        raise JobError("archive_damaged", reason=_reason(error)) from error
    return found


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, total: int, most: int) -> int:
    """Unpack a file; return its bytes, which are counted as they come, after `total` of those before it."""
    count = 0
    with archive.open(entry) as packed, explained(target, "write"), target.open("wb") as file:
        while block := _read(packed):
            count += len(block)
            if total + count > most:
                raise JobError("archive_bytes", most=most >> 20)
            if not file.tell() and block.startswith(MAGIC):
                raise JobError("archive_nested", name=entry.filename[:80])
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
    try:
        ending = imaging.true_ending(file)
        size = imaging.header_size_wh(file)
        if size is not None and size[0] * size[1] > limits.pixels:
            raise JobError("pixels", width=size[0], height=size[1], most=limits.pixels)
    except JobError as error:
        found.left_out[name] = str(error)
    except CalcoError:
        found.left_out[name] = "not an image, or damaged"
    else:
        file.rename(file.with_suffix(ending))
        found.names[file.with_suffix(ending).name] = name
        return
    file.unlink(missing_ok=True)


def pack(target: Path, files: Iterable[tuple[str, Path]], texts: Mapping[str, str]) -> None:
    """Write an archive of files and texts by their names, whole or not at all; images are packed already."""
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, path in files:
            with path.open("rb") as file, archive.open(zipfile.ZipInfo(name, _DATE), "w", force_zip64=True) as entry:
                while block := file.read(_BLOCK):
                    entry.write(block)
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), text)


def _reason(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error).strip() else type(error).__name__
    return text[:120]
