"""Shards: tar files without unpacking, the manifest of the whole, and the index of each part."""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final, TypeAlias, TypeVar, cast
from urllib.parse import unquote

import msgspec

from calco.addresses import redact_record
from calco.data import storage
from calco.data.prepare_config import Format
from calco.data.recipes import RecipeConfig, check_recorded
from calco.errors import CalcoError
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
    digest: str  # sixteen hex digits of the contents of the image's own files
    # what there is of it ("input.png", "json", ...): the first byte in the tar file and how many; or, for other
    # formats, its files and the first sixteen hex digits of their SHA-256
    members: Members
    checksum: str  # the first sixteen hex digits of the SHA-256 of its members, one after the other


@dataclass(frozen=True, kw_only=True)
class Index:
    """One part: a tar file, or as many images as would stand in one."""

    part: str  # its name, such as "train-000000"
    split: str  # "train", "val" or "test"
    bytes: int  # how large it is
    sha256: str  # of the tar file; for other formats, of the names and digests of its files
    channels: tuple[int, int]
    pairs: tuple[PairPlace, ...] = ()  # in the order of their keys
    # key and reason of the images of this part that could not be used
    left_out: dict[str, str] = field(default_factory=dict)
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
    """SHA-256 over the format, the options and the digests of the parts; of no path, clock or number of processes."""
    content = [format, options, [[part.part, part.sha256] for part in parts]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def as_json(content: Any, *, indent: int | None = None) -> str:
    """Plain data as JSON in ASCII: names that are no UTF-8 survive it, passwords and tokens of addresses do not."""
    return json.dumps(redact_record(msgspec.to_builtins(content)), indent=indent) + "\n"


def load_manifest(folder: str) -> Manifest | None:
    """The manifest of a folder; None where there is none."""
    place = storage.joined(folder, MANIFEST)
    if not storage.exists(place):
        return None
    manifest = _loaded(place, lambda record: from_record(Manifest, record, place))
    check_recorded(manifest.recipe, place)
    return manifest


def load_index(folder: str, part: str) -> Index | None:
    """The index of a part; None where there is none."""
    place = storage.joined(folder, f"{INDEX}/{part}.json")
    if not storage.exists(place):
        return None
    # A part has a thousand pairs: field by field, as for the manifest, would take long.
    return _loaded(place, lambda record: msgspec.convert(record, Index))


def _loaded(place: str, build: Callable[[dict[str, Any]], T]) -> T:
    """A record of a file, its version checked."""
    try:
        # Python's own reader: it alone accepts names that are no UTF-8.
        record = json.loads(storage.read(place))
        version = record.get("version", 0) if isinstance(record, dict) else 0
        if isinstance(version, int) and version > VERSION:
            raise CalcoError(f"{place} is of the newer format {version}; update Calco: pip install --upgrade calco")
        if isinstance(version, int) and 0 < version < VERSION:
            raise CalcoError(
                f"{place} is of the older format {version}, and this version reads {VERSION}; prepare the pairs anew: "
                "calco prepare ... --overwrite"
            )
        if not isinstance(record, dict) or version != VERSION:
            raise CalcoError(
                f"{place} was not written by calco prepare; remove it to have the tar files read as they are"
            )
        return build(record)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise CalcoError(f"{place} is damaged ({error}); copy it anew, or prepare the shards anew") from error


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
    """Return a tar member as bytes, equal for equal arguments, and the offset of its data."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % tarfile.BLOCKSIZE), len(header)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar file."""

    name: str  # its path there
    start: int  # the first byte of its data
    size: int  # how many bytes its data has


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
    """The files in a tar file, by its headers."""
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
    """The sample that a member belongs to, and what it is of it: everything after the first dot of the last part."""
    folder, slash, last = name.removeprefix("./").rpartition("/")
    stem, dot, kind = last.partition(".")
    if not stem or not dot:
        raise CalcoError(f"{name} has no name, dot, and ending, as members of a shard have")
    return f"{folder}{slash}{stem}", kind.lower()
