"""Shards: tar files without unpacking, the manifest of the whole, and the index of each part."""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, TypeVar, cast

import msgspec

from calco.addresses import is_url, redact_record
from calco.data import storage
from calco.data.config import Format
from calco.data.recipes import RecipeConfig, check_recorded
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.files import digest
from calco.records import from_record

VERSION: Final = 3
MANIFEST: Final = "manifest.json"
INDEX: Final = "index"
SETTINGS: Final = f"{INDEX}/settings.json"

T = TypeVar("T")
Members: TypeAlias = dict[str, "tuple[int, int] | str"]


@dataclass(frozen=True, kw_only=True)
class PairPlace:
    """A pair in the index of its part."""

    key: str  # the name of the pair
    group: str  # pairs of one group stay on one side of a split
    digest: str  # 16 hex digits of the contents of the image's own files
    # "input.png", "json", ...: the first byte in the tar file and how many; for other formats, its files and 16 hex
    # digits of their SHA-256
    members: Members
    checksum: str  # 16 hex digits of the SHA-256 of its members, one after the other


@dataclass(frozen=True, kw_only=True)
class Index:
    """One part: a tar file, or as many images as would stand in one."""

    part: str  # its name, such as "train-000000"
    split: str  # "train", "val" or "test"
    bytes: int  # how large it is
    sha256: str  # of the tar file; for other formats, of the names and digests of its files
    channels: tuple[int, int]
    pairs: tuple[PairPlace, ...] = ()  # in the order of their keys
    left_out: dict[str, str] = field(default_factory=dict)  # key and reason of images that could not be used
    version: int = VERSION  # of this format


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part as the manifest names it."""

    part: str
    split: str
    pairs: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Prepared pairs: their source, recipe and parts."""

    format: Format  # one of `Format`
    digest: str  # equal for two builds exactly when their pairs are; see `digest_of`
    recipe: RecipeConfig  # how the pairs were made
    source: dict[str, Any]  # the kind of the images, where they were, and how they were read
    options: dict[str, Any]  # seed, size, fit, variants and the shares of the splits
    channels: tuple[int, int]  # of the inputs and of the targets: the most that occur
    counts: dict[str, int]  # pairs by split
    parts: tuple[Part, ...]  # in order
    left_out: dict[str, str]  # name and reason of every image that was not used
    calco: str  # the version of Calco that wrote it
    version: int = VERSION  # of this format


def digest_of(format: str, options: dict[str, Any], parts: tuple[Part, ...]) -> str:
    """Return the SHA-256 of format, options and digests of the parts; no path, clock or number of processes counts."""
    content = [format, options, [[part.part, part.sha256] for part in parts]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def as_json(content: Any, *, indent: int | None = None) -> str:
    """Return plain data as JSON in ASCII: names that are not UTF-8 survive, passwords in addresses do not."""
    return json.dumps(redact_record(msgspec.to_builtins(content)), indent=indent) + "\n"


def load_manifest(folder: str) -> Manifest | None:
    """Return the manifest of a folder; None where there is none."""
    place = storage.joined(folder, MANIFEST)
    if not storage.exists(place):
        return None
    manifest = _loaded(place, lambda record: from_record(Manifest, record, place))
    check_recorded(manifest.recipe, place)
    return manifest


def load_index(folder: str, part: str) -> Index | None:
    """Return the index of a part; None where there is none."""
    place = storage.joined(folder, f"{INDEX}/{part}.json")
    if not storage.exists(place):
        return None
    # A part has a thousand pairs: field by field, as for the manifest, would take long.
    return _loaded(place, lambda record: msgspec.convert(record, Index))


def _loaded(place: str, build: Callable[[dict[str, Any]], T]) -> T:
    """Return the content of a file, its version checked."""
    try:
        # Python's own reader: it alone accepts names that are no UTF-8.
        record = json.loads(storage.read(place))
        version = record.get("version") if isinstance(record, dict) else None
        if version == VERSION:
            return build(record)
        if isinstance(version, int) and version > VERSION:
            raise CalcoError(f"{place} is of the newer format {version}; update Calco: pip install --upgrade calco")
        if isinstance(version, int) and version > 0:
            raise CalcoError(
                f"{place} is of the older format {version}, and this version reads {VERSION}; prepare the pairs anew: "
                "calco prepare ... --overwrite"
            )
        raise CalcoError(f"{place} was not written by calco prepare; remove it to have the tar files read as they are")
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise CalcoError(f"{place} is damaged ({error}); copy it anew, or prepare the shards anew") from error


@dataclass(frozen=True)
class Lot:
    """The images of one part, in the order of their keys."""

    part: str  # such as "train-000000"
    split: str
    items: tuple[Item, ...]


def kept_part(folder: str, lot: Lot, format: str, source: Source) -> tuple[Index | None, str]:
    """Return the index of a part that is still as it was written; else None, and why the part is written again.

    The reason is "" where there was no such part.
    """
    try:
        index = load_index(folder, lot.part)
        if index is None:
            return None, ""
        stamp, place = stamp_of(lot.items), stamp_place(folder, lot.part)
        if not (stamp and storage.exists(place) and storage.read(place) == stamp.encode()):
            made = {pair.key: pair.digest for pair in index.pairs}
            for item in lot.items:
                if (made.get(item.key) or made.get(f"{item.key}@0")) != source.digest(item):
                    return None, f"{item.key} is not the image that it was made of"
        reason = _damaged(folder, index, format)
        return (None, reason) if reason else (index, "")
    except (CalcoError, OSError) as error:
        return None, str(error)


def stamp_of(items: Iterable[Item]) -> str:
    """Return 16 hex digits of the names, sizes and times of images: while they stay, contents need not be read.

    Of images at an address, the name alone. Empty where an image is no file of its own: its contents are compared.
    """
    total = hashlib.sha256()
    for item in items:
        here = [path for path in item.paths if not is_url(path)]
        if not item.paths or not all(map(os.path.isfile, here)):
            return ""
        marks = [(stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, here)]
        total.update(repr((item.key, item.place, marks)).encode("utf-8", "backslashreplace"))
    return total.hexdigest()[:16]


def stamp_place(folder: str, part: str) -> str:
    """Return where the stamp of a part is kept: hidden and outside the index, which depends on no clock."""
    return storage.joined(folder, f"{INDEX}/.{part}.stamp")


def records_place(folder: Path, part: str) -> Path:
    """Return where the objects of a part's images are kept until all parts are there; hidden from readers."""
    return folder / INDEX / f".{part}.coco.json"


def _damaged(folder: str, index: Index, format: str) -> str:
    """Name the first file of a part that is not as it was written; at an address only the size is compared."""
    if not index.pairs:
        return ""
    if format == "webdataset":
        place = storage.joined(folder, f"{index.part}.tar")
        whole = storage.size(place) == index.bytes
        if whole and not is_url(place):
            with open(place, "rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == index.sha256
        return "" if whole else f"{place} is not as it was written"
    total = hashlib.sha256()
    for pair in index.pairs:
        for name, written in pair.members.items():
            path = Path(folder, name)
            if not path.is_file():
                return f"{name} is missing"
            if (found := digest(path)) != written:
                return f"{name} is not as it was written"
            total.update(f"{name}\n{found}\n".encode())
    noted = records_place(Path(folder), index.part)
    if noted.is_file():
        total.update(noted.read_bytes())
    return "" if total.hexdigest() == index.sha256 else "its index or its annotations are not as they were written"


END: Final = bytes(2 * tarfile.BLOCKSIZE)  # what a tar file ends with
_LONGEST_HEADER: Final = 1 << 20  # bytes; a header that claims more is no header
_UNSAFE: Final = re.compile(r"[%\\\x00-\x1f\x7f\udc80-\udcff]|(?<![^/])\.|(?<![^/])/|\.(?=[^/]*$)")


def member_name(key: str) -> str:
    r"""Return a key as the stem of members: what tar or WebDataset would misread is written as %XX.

    That is every dot of the last part (what follows the first one is the kind of member), a dot or slash that begins a
    part (nothing climbs out of a folder), percent signs, control characters, and bytes that are no UTF-8.

    >>> member_name("cats/fig. 1"), member_name("../x")
    ('cats/fig%2E 1', '%2E./x')
    """
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found[0])), key)


def member_bytes(name: str, data: bytes) -> tuple[bytes, int]:
    """Return a tar member as bytes, equal for equal arguments, and the offset of its data."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % tarfile.BLOCKSIZE), len(header)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar file."""

    name: str
    start: int  # first byte of its data
    size: int  # bytes of its data


class _Headers:
    """File from which `tarfile` reads headers; a damaged header cannot make it fetch more than headers have."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.tell, self.seek = file.tell, file.seek

    def read(self, length: int = -1) -> bytes:
        if not 0 <= length <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {length} bytes")
        return self.file.read(length)


def members(file: IO[bytes], length: int | None, left_out: dict[str, str]) -> Iterator[Member]:
    """Yield the files in a tar file of a known length or none, by its headers.

    Name and reason of each member that cannot be used are added to `left_out`; under "" the fault of the file.
    """
    at = -1
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Headers(file)), mode="r:", errorlevel=1) as tar:
            while (info := tar.next()) is not None:
                if info.offset <= at or info.size < 0:
                    raise tarfile.ReadError("it leads back to its beginning")
                at = info.offset
                vars(tar)["members"].clear()  # it would keep them all
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
        torn = f"it is damaged or cut short ({error})"
        left_out[""] = torn if at >= 0 else "it is no tar file, or a compressed one: unpack it with gunzip"


def _refused(info: tarfile.TarInfo, length: int | None) -> str:
    """Say why a member cannot be used; "" for folders and for those that can."""
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
    """Return the sample of a member, and its kind: everything after the first dot of the last part."""
    folder, slash, last = name.removeprefix("./").rpartition("/")
    stem, dot, kind = last.partition(".")
    if not stem or not dot:
        raise CalcoError(f"{name} has no name, dot, and ending, as members of a shard have")
    return f"{folder}{slash}{stem}", kind.lower()
