"""Parts of what is prepared as files: whole under their names or not there at all, and the index of each last."""

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
from typing import Final

from calco.addresses import is_url
from calco.annotations.coco import write_coco
from calco.annotations.reading import read_annotations
from calco.annotations.record import Record
from calco.annotations.voc import write_voc
from calco.annotations.yolo import write_yolo
from calco.data import storage
from calco.data.curation import GROUPS
from calco.data.making import Made, Outcome
from calco.data.shards import END, INDEX, Index, Members, PairPlace, as_json, load_index, member_bytes, member_name
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.files import atomic_write, digest, explain, make_folder

_BESIDE: Final = ".calco-being-written"  # a name that a file has until it is whole
_IMAGES: Final = {"coco": "images", "voc": "JPEGImages", "yolo": "images"}  # a record's name is a path in this folder
_ANNOTATIONS: Final = {"voc": "Annotations/{}.xml", "yolo": "labels/{}.txt"}  # beside each image
_OF_ALL: Final = ("annotations/train.json", "annotations/val.json", "annotations/test.json", "data.yaml", GROUPS)


@dataclass(frozen=True)
class Lot:
    """The images of one part, in the order of their keys."""

    part: str  # such as "train-000000"
    split: str
    items: tuple[Item, ...]


@dataclass
class _Written:
    """A part that is being written."""

    total: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    bytes: int = 0
    pairs: list[PairPlace] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    channels: tuple[int, int] = (0, 0)
    records: list[Record] = field(default_factory=list)

    def add(self, made: Made, members: Members) -> None:
        checksum = hashlib.sha256(b"".join(made.files.values())).hexdigest()[:16]
        self.pairs.append(
            PairPlace(key=made.key, group=made.group, digest=made.digest, members=members, checksum=checksum)
        )
        self.channels = max(self.channels[0], made.channels[0]), max(self.channels[1], made.channels[1])


def write_part(folder: str, lot: Lot, format: str, outcomes: Iterator[Outcome], advance: Callable[[], None]) -> Index:
    """Write a part of as many outcomes as the lot has items, then its index; what was whole before stays.

    The folder may be an address that fsspec opens, where tar files are written.
    """
    done = _Written()
    stamp = _stamp_of(lot.items)  # before they are read: what changes later is noticed

    def pairs() -> Iterator[Made]:
        for key, outcome in islice(outcomes, len(lot.items)):
            if isinstance(outcome, str):
                done.left_out[key] = outcome
            else:
                yield from outcome
            advance()

    if format == "webdataset":
        _write_tar(folder, lot, done, pairs())
    else:
        _write_files(Path(folder), lot, format, done, pairs())
    index = Index(
        part=lot.part, split=lot.split, bytes=done.bytes, sha256=done.total.hexdigest(), channels=done.channels,
        pairs=tuple(done.pairs), left_out=done.left_out,
    )  # fmt: skip
    storage.write(_stamp_place(folder, lot.part), stamp)
    storage.write(storage.joined(folder, f"{INDEX}/{lot.part}.json"), as_json(index))
    return index


def _write_tar(folder: str, lot: Lot, done: _Written, pairs: Iterator[Made]) -> None:
    place = storage.joined(folder, f"{lot.part}.tar")
    with storage.replaced(place) as path, path.open("wb") as file:
        for made in pairs:
            members: Members = {}
            for kind, data in made.files.items():
                block, skipped = member_bytes(f"{member_name(made.key)}.{kind}", data)
                members[kind] = done.bytes + skipped, len(data)
                done.total.update(block)
                done.bytes += file.write(block)
            done.add(made, members)
        done.total.update(END)
        done.bytes += file.write(END)
    if not done.pairs:
        storage.remove(place)


def _write_files(folder: Path, lot: Lot, format: str, done: _Written, pairs: Iterator[Made]) -> None:
    for made in pairs:
        members: Members = {}
        for kind, data in made.files.items():
            imaged = format in _IMAGES and "." not in kind
            # "input/train/a.png" for "input.png", "train/a.png" for "png"; images of annotated formats in their folder.
            side, dot, ending = f"{_IMAGES[format]}.{kind}".rpartition(".") if imaged else kind.rpartition(".")
            name = f"{side}{'/' if dot else ''}{lot.split}/{member_name(made.key)}.{ending}"
            _put(folder / name, data, lot.part)
            members[name] = content = hashlib.sha256(data).hexdigest()[:16]
            done.total.update(f"{name}\n{content}\n".encode())
            done.bytes += len(data)
            if imaged and made.objects is not None:
                place = Path(name).relative_to(_IMAGES[format]).as_posix()
                done.records.append(Record(name=place, objects=made.objects, size_wh=made.size_wh))
        done.add(made, members)
    if done.records:
        noted = _records_place(folder, lot.part)
        write_coco(noted, done.records)
        done.total.update(noted.read_bytes())
    os.sync()  # once for all of them: the index must not be on the disk before its files


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
    """Write which files belong together, by the keys that a reader of the folder gives them; nothing where none do."""
    pairs = [(index.split, pair) for index in indexes for pair in index.pairs]
    num = Counter(pair.group for _, pair in pairs)
    rows = [(f"{split}/{member_name(pair.key)}", pair.group) for split, pair in pairs if num[pair.group] > 1]
    if rows:
        table = io.StringIO()
        csv.writer(table).writerows([("key", "group"), *rows])
        atomic_write(folder / GROUPS, table.getvalue())


def clear(folder: Path, format: str) -> None:
    """Remove what was prepared in a format before, and nothing else."""
    for path in sorted((folder / INDEX).glob("*.json")):
        names = [f"{path.stem}.tar", str(_records_place(Path(), path.stem)), f"{INDEX}/.{path.stem}.stamp"]
        with suppress(CalcoError):
            index = load_index(str(folder), path.stem)
            for name in (name for pair in index.pairs for name in pair.members) if index else ():
                top, _, place = name.partition("/")
                beside = _ANNOTATIONS.get(format, "") if top == _IMAGES.get(format) else ""
                names += [] if format == "webdataset" else [name, beside.format(place.rpartition(".")[0])]
        for name in [*filter(None, names), f"{INDEX}/{path.name}"]:
            # Names come from a file: one that leads elsewhere is not followed.
            if not Path(name).is_absolute() and ".." not in Path(name).parts:
                _remove(folder / name)
    for name in _OF_ALL:
        _remove(folder / name)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise explain(error, path, "remove") from error


def _stamp_of(items: Iterable[Item]) -> str:
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


def _stamp_place(folder: str, part: str) -> str:
    # Hidden and outside the index, which depends on no clock.
    return storage.joined(folder, f"{INDEX}/.{part}.stamp")


def kept_part(folder: str, lot: Lot, format: str, source: Source) -> tuple[Index | None, str]:
    """Return the index of a part that is still as it was written; else None, and why the part is written again.

    The reason is "" where there was no such part.
    """
    try:
        index = load_index(folder, lot.part)
        if index is None:
            return None, ""
        stamp, place = _stamp_of(lot.items), _stamp_place(folder, lot.part)
        same = stamp and storage.exists(place) and storage.read(place) == stamp.encode()
        if reason := ("" if same else _changed(index, lot.items, source)) or _damaged(folder, index, format):
            return None, reason
        return index, ""
    except (CalcoError, OSError) as error:
        return None, str(error)


def _changed(index: Index, items: Sequence[Item], source: Source) -> str:
    """Name the first image that is not the one that the part was made of; "" if all are."""
    made = {pair.key: pair.digest for pair in index.pairs}
    for item in items:
        known = made.get(item.key) or made.get(f"{item.key}@0")
        if known is None or known != source.digest(item):
            return f"{item.key} is not the image that it was made of"
    return ""


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
    noted = _records_place(Path(folder), index.part)
    if format in _IMAGES and noted.is_file():
        total.update(noted.read_bytes())
    return "" if total.hexdigest() == index.sha256 else "its index or its annotations are not as they were written"


def _records_place(folder: Path, part: str) -> Path:
    # Objects of a part's images, until all parts are there; hidden, so that no reader takes it for a second set.
    return folder / INDEX / f".{part}.coco.json"


def write_annotations(
    folder: Path, format: str, parts: Sequence[tuple[str, str]], classes: Sequence[str]
) -> list[Record]:
    """Write the objects of all parts (each a name and a split) in the format's own files, and return them.

    The classes are in the order of their numbers; those that occur besides follow.
    """
    by_split: dict[str, list[Record]] = {}
    for part, split in parts:
        by_split.setdefault(split, []).extend(read_annotations(_records_place(folder, part)).records)
    records = [record for found in by_split.values() for record in found]
    occurring = sorted({name for record in records for name in record.objects.classes})
    names = tuple(dict.fromkeys([*classes, *occurring]))
    if format == "coco":
        make_folder(folder / "annotations")
        for split, found in by_split.items():
            write_coco(folder / "annotations" / f"{split}.json", found, names)
    else:
        {"voc": write_voc, "yolo": write_yolo}[format](folder, records, names)
    return records
