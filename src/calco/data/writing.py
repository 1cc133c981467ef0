"""A part of what is prepared, from pairs to files: whole under its name or not there at all, and its index last."""

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Final

from calco.addresses import is_url
from calco.annotations.coco import write_coco
from calco.annotations.reading import read_annotations
from calco.annotations.record import Record
from calco.annotations.voc import write_voc
from calco.annotations.yolo import write_yolo
from calco.data import storage
from calco.data.curation import GROUPS
from calco.data.making import Made, Outcome
from calco.data.shards import END, INDEX, Index, PairPlace, as_json, load_index, member_bytes, member_name
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.files import atomic_write, digest, explain, make_folder

_BESIDE: Final = ".calco-being-written"  # a name that a file has until it is whole


@dataclass(frozen=True)
class Lot:
    """The images of one part.

    Attributes:
        part: Its name, such as "train-000000".
        split: "train", "val" or "test".
        items: In the order of their keys.
    """

    part: str
    split: str
    items: tuple[Item, ...]


@dataclass
class _Written:
    """Part that is being written."""

    total: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    bytes: int = 0
    pairs: list[PairPlace] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    channels: tuple[int, int] = (0, 0)
    records: list[Record] = field(default_factory=list)

    def add(self, made: Made, members: dict[str, tuple[int, int] | str]) -> None:
        """Note a pair."""
        checksum = hashlib.sha256(b"".join(made.files.values())).hexdigest()[:16]
        self.pairs.append(
            PairPlace(key=made.key, group=made.group, digest=made.digest, members=members, checksum=checksum)
        )
        self.channels = max(self.channels[0], made.channels[0]), max(self.channels[1], made.channels[1])


Put = Callable[[Made], dict[str, "tuple[int, int] | str"]]


def write_part(folder: str, lot: Lot, format: str, outcomes: Iterator[Outcome], advance: Callable[[], None]) -> Index:
    """Write a part of as many outcomes as the lot has items, then its index.

    Args:
        folder: Where to; for tar files also an address that fsspec opens.
        lot: Its name and images.
        format: What is written of a pair.
        outcomes: Of the lot's items, in their order; others may follow.
        advance: Called after each image.

    Raises:
        CalcoError: If the disk or the permissions do not allow it; what was whole before stays.
    """
    done = _Written()
    stamp = stamp_of(lot.items)  # before they are read: what changes later is noticed
    if format == "webdataset":
        _write_tar(folder, lot, done, outcomes, advance)
    else:
        _write_files(Path(folder), lot, format, done, outcomes, advance)
    index = Index(
        part=lot.part, split=lot.split, bytes=done.bytes, sha256=done.total.hexdigest(), channels=done.channels,
        pairs=tuple(done.pairs), left_out=done.left_out,
    )  # fmt: skip
    storage.write(stamp_place(folder, lot.part), stamp)
    storage.write(storage.joined(folder, f"{INDEX}/{lot.part}.json"), as_json(index))
    return index


def _fill(lot: Lot, done: _Written, outcomes: Iterator[Outcome], advance: Callable[[], None], put: Put) -> None:
    for key, outcome in islice(outcomes, len(lot.items)):
        if isinstance(outcome, str):
            done.left_out[key] = outcome
        else:
            for made in outcome:
                done.add(made, put(made))
        advance()


def _write_tar(folder: str, lot: Lot, done: _Written, outcomes: Iterator[Outcome], advance: Callable[[], None]) -> None:
    def append(file: IO[bytes], data: bytes) -> None:
        file.write(data)
        done.total.update(data)
        done.bytes += len(data)

    place = storage.joined(folder, f"{lot.part}.tar")
    with storage.replaced(place) as path, path.open("wb") as file:

        def put(made: Made) -> dict[str, tuple[int, int] | str]:
            members: dict[str, tuple[int, int] | str] = {}
            for kind, data in made.files.items():
                block, skipped = member_bytes(f"{member_name(made.key)}.{kind}", data)
                members[kind] = done.bytes + skipped, len(data)
                append(file, block)
            return members

        _fill(lot, done, outcomes, advance, put)
        append(file, END)
    if not done.pairs:
        storage.remove(place)


def _write_files(
    folder: Path, lot: Lot, format: str, done: _Written, outcomes: Iterator[Outcome], advance: Callable[[], None]
) -> None:
    def put(made: Made) -> dict[str, tuple[int, int] | str]:
        members: dict[str, tuple[int, int] | str] = {}
        for kind, data in made.files.items():
            imaged = format in IMAGES and "." not in kind
            name = file_name(lot.split, made.key, f"{IMAGES[format]}.{kind}" if imaged else kind)
            _put(folder / name, data, lot.part)
            digest = hashlib.sha256(data).hexdigest()[:16]
            done.total.update(f"{name}\n{digest}\n".encode())
            done.bytes += len(data)
            members[name] = digest
            if imaged and made.objects is not None:
                place = Path(name).relative_to(IMAGES[format]).as_posix()
                done.records.append(Record(name=place, objects=made.objects, size_wh=made.size_wh))
        return members

    _fill(lot, done, outcomes, advance, put)
    if done.records:
        done.total.update(keep(folder, lot.part, done.records))
    os.sync()  # once for all of them: the index must not be on the disk before its files


def file_name(split: str, key: str, kind: str) -> str:
    """Where a file of a pair lies: "input/train/a.png" for the kind "input.png", "train/a.png" for "png"."""
    side, dot, ending = kind.rpartition(".")
    return f"{side}{'/' if dot else ''}{split}/{member_name(key)}.{ending}"


def _put(path: Path, data: bytes, part: str) -> None:
    make_folder(path.parent)
    temporary = path.parent / f"{_BESIDE}-{part}{path.suffix}"
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise explain(error, path, "write") from error


def write_groups(folder: Path, indexes: Iterable[Index]) -> None:
    """Note which files belong together, as whoever reads the folder will name them; nothing where none do.

    Raises:
        CalcoError: If the disk or the permissions do not allow it.
    """
    pairs = [(index.split, pair) for index in indexes for pair in index.pairs]
    num = Counter(pair.group for _, pair in pairs)
    rows = [(f"{split}/{member_name(pair.key)}", pair.group) for split, pair in pairs if num[pair.group] > 1]
    if rows:
        table = io.StringIO()
        csv.writer(table).writerows([("key", "group"), *rows])
        atomic_write(folder / GROUPS, table.getvalue())


def clear(folder: Path, format: str) -> None:
    """Remove what was prepared before, and nothing else.

    Args:
        folder: Where it lies.
        format: Of what lies there.

    Raises:
        CalcoError: If the permissions do not allow it.
    """
    for path in sorted((folder / INDEX).glob("*.json")):
        names = [f"{path.stem}.tar"]
        with suppress(CalcoError):
            index = load_index(str(folder), path.stem)
            pairs = index.pairs if index and format != "webdataset" else ()
            members = [name for pair in pairs for name in pair.members]
            names += members + [written_beside(format, name) for name in members]
        try:
            # Names come from a file: one that leads elsewhere is not followed.
            for name in (name for name in names if name and ".." not in Path(name).parts):
                if not Path(name).is_absolute():
                    (folder / name).unlink(missing_ok=True)
            forget(folder, path.stem)
            Path(stamp_place(str(folder), path.stem)).unlink(missing_ok=True)
            path.unlink()
        except OSError as error:
            raise explain(error, path, "remove") from error
    remove_annotations(folder)
    (folder / GROUPS).unlink(missing_ok=True)


def stamp_of(items: Iterable[Item]) -> str:
    """Sixteen hex digits of the names, sizes and times of images: while they stay, the contents need not be read.

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
    """Where the stamp of a part's images is; hidden and outside the index, which depends on no clock."""
    return storage.joined(folder, f"{INDEX}/.{part}.stamp")


def kept_part(folder: str, part: str, items: tuple[Item, ...], format: str, source: Source) -> tuple[Index | None, str]:
    """The index of a part that was written before and need not be written again.

    Args:
        folder: Where the parts are.
        part: Its name.
        items: The images that it is made of.
        format: What is written of a pair.
        source: What tells their digests.

    Returns:
        The index, or None and, where a whole part was there, the reason why it is written again.
    """
    try:
        index = load_index(folder, part)
        if index is None:
            return None, ""
        stamp, place = stamp_of(items), stamp_place(folder, part)
        same = stamp and storage.exists(place) and storage.read(place) == stamp.encode()
        if reason := ("" if same else _changed(index, items, source)) or _damaged(folder, index, format):
            return None, reason
        return index, ""
    except (CalcoError, OSError) as error:
        return None, str(error)


def _changed(index: Index, items: tuple[Item, ...], source: Source) -> str:
    """Describe the first image that is not the one that the part was made of; empty if all are."""
    made = {pair.key: pair.digest for pair in index.pairs}
    for item in items:
        known = made.get(item.key) or made.get(f"{item.key}@0")
        if known is None or known != source.digest(item):
            return f"{item.key} is not the image that it was made of"
    return ""


def _damaged(folder: str, index: Index, format: str) -> str:
    """Describe the first file of a part that is not as it was written. Elsewhere only the size is compared."""
    if not index.pairs:
        return ""
    if format != "webdataset":
        return _damaged_files(Path(folder), index, format)
    place = storage.joined(folder, f"{index.part}.tar")
    if storage.size(place) != index.bytes or (not is_url(place) and _sha256(Path(place)) != index.sha256):
        return f"{place} is not as it was written"
    return ""


def _damaged_files(folder: Path, index: Index, format: str) -> str:
    total = hashlib.sha256()
    for pair in index.pairs:
        for name, written in pair.members.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if (found := digest(folder / name)) != written:
                return f"{name} is not as it was written"
            total.update(f"{name}\n{found}\n".encode())
    if format in IMAGES:
        total.update(kept_records(folder, index.part))
    return "" if total.hexdigest() == index.sha256 else "its index or its annotations are not as they were written"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


IMAGES: Final = {"coco": "images", "voc": "JPEGImages", "yolo": "images"}
"""The folder of the images in each format; a record's name is a path in it."""

_ANNOTATIONS: Final = {"coco": "", "voc": "Annotations/{}.xml", "yolo": "labels/{}.txt"}


def keep(folder: Path, part: str, records: Sequence[Record]) -> bytes:
    """Note what a part's images hold, until all parts are there; returns it as it was written."""
    write_coco(_kept(folder, part), records)
    return _kept(folder, part).read_bytes()


def kept_records(folder: Path, part: str) -> bytes:
    """Return what was noted; empty if nothing was."""
    return _kept(folder, part).read_bytes() if _kept(folder, part).is_file() else b""


def forget(folder: Path, part: str) -> None:
    """Remove what was noted."""
    _kept(folder, part).unlink(missing_ok=True)


def _kept(folder: Path, part: str) -> Path:
    # Hidden, so that nobody who reads the set takes it for a second one.
    return folder / INDEX / f".{part}.coco.json"


def write_annotations(folder: Path, format: str, parts: Sequence[tuple[str, str]], classes: Sequence[str]) -> None:
    """Write what all parts hold in the format's own files.

    Args:
        folder: Where the images lie.
        format: "coco", "voc" or "yolo".
        parts: Name and split of each part.
        classes: In the order of their numbers; those that occur besides follow.

    Raises:
        CalcoError: If something cannot be written.
    """
    by_split: dict[str, list[Record]] = {}
    for part, split in parts:
        by_split.setdefault(split, []).extend(read_annotations(_kept(folder, part)).records)
    records = [record for found in by_split.values() for record in found]
    occurring = sorted({name for record in records for name in record.objects.classes})
    names = tuple(dict.fromkeys([*classes, *occurring]))
    if format == "coco":
        make_folder(folder / "annotations")
        for split, found in by_split.items():
            write_coco(folder / "annotations" / f"{split}.json", found, names)
    else:
        {"voc": write_voc, "yolo": write_yolo}[format](folder, records, names)


def written_beside(format: str, name: str) -> str:
    """The file that `write_annotations` writes for an image's file; empty where all stand in one."""
    first, _, place = name.partition("/")
    return _ANNOTATIONS[format].format(place.rpartition(".")[0]) if first == IMAGES.get(format) else ""


def remove_annotations(folder: Path) -> None:
    """Remove the files that speak of the whole set."""
    for name in ("annotations/train.json", "annotations/val.json", "annotations/test.json", "data.yaml"):
        with suppress(FileNotFoundError):
            (folder / name).unlink()
