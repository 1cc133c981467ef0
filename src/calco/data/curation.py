"""Curation of a source: images that belong together, that are left out, and the number that is taken."""

import csv
import hashlib
import io
import os
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from calco.data.config import SourceConfig
from calco.data.sample import fraction
from calco.data.source import COMPARED_FILES, Item, Source
from calco.errors import CalcoError
from calco.files import read_text

T = TypeVar("T")
_File: TypeAlias = tuple[str, tuple[str, ...]]

GROUPS: Final = "groups.csv"
DROPPED: Final = "dropped.csv"

# Among more files copies are not looked for, since the look would take longer than people wait for a first image.
MAX_COMPARED: Final = 100_000

_ENDS = 4096  # bytes at either end of a file that tell most files apart


def curated(source: Source, config: SourceConfig) -> Source:
    """Leave out what is to be dropped, put copies and named groups together, and take no more than the limit."""
    if table := table_of(source.root, config.drop, DROPPED):
        reasons = {row[0]: row[1] for row in read_table(table, "key", "reason")}
        keys = {item.key for item in source.items} & reasons.keys()
        items = tuple(item for item in source.items if item.key not in keys)
        if not items:
            raise CalcoError(f"{table} leaves out all {len(keys)} images of {source.root}; take some of its lines out")
        left_out = (*source.left_out, *((key, f"{reasons[key]} ({table.name})") for key in sorted(keys)))
        notes = (*source.notes, f"the table {table} leaves out {len(keys)}", *_strangers(table, reasons.keys() - keys))
        source = replace(source, items=items, left_out=left_out, notes=notes)
    groups, remarks = Groups(), list(source.notes)
    if table := table_of(source.root, config.groups, GROUPS):
        named = list(read_table(table, "key", "group"))
        groups.named = {group for _, group in named}
        own = {item.key: item.group for item in source.items}
        found = [(own[key], group) for key, group in named if key in own]
        for group, name in found:
            groups.join(group, name)
        together = f"the table {table} puts {len(found)} images into {len({group for _, group in found})} groups"
        remarks += [together, *_strangers(table, {key for key, _ in named if key not in own})]
    if len(source.items) > MAX_COMPARED and source.kind in COMPARED_FILES:
        remarks.append(f"copies are looked for among {MAX_COMPARED:,} at most; calco check --write-groups finds them")
    else:
        for same in equal_parts(_files(source), _length, partial(_digest, ends=_ENDS), _digest):
            for _, others in same[1:]:
                for group, other in zip(same[0][1], others, strict=False):
                    groups.join(group, other)
    items = source.items
    if groups.above:
        items = tuple(
            item if (group := groups.of(item.group)) == item.group else replace(item, group=group) for item in items
        )
    return replace(source, items=limited(items, config.limit), notes=tuple(remarks))


class Groups:
    """Groups that are put together: whatever one of them is joined to, all of them are."""

    def __init__(self) -> None:
        self.above: dict[str, str] = {}
        self.named: set[str] = set()  # by the user: these names stay

    def of(self, group: str) -> str:
        """Return the name of the group that a group is part of by now."""
        while (above := self.above.get(group, group)) != group:
            self.above[group] = self.above.get(above, above)
            group = above
        return group

    def join(self, one: str, other: str) -> None:
        """Put two groups together, under the user's name or else the one that sorts first."""
        first, second = sorted((self.of(one), self.of(other)), key=lambda name: (name not in self.named, name))
        if first != second:
            self.above[second] = first


def equal_parts(parts: Iterable[list[T]], *tells: Callable[[T], Hashable]) -> list[list[T]]:
    """Divide parts by functions, the cheapest first, until all members of each are equal; the others fall away.

    A function returns what equals have in common, or None, which equals nothing.
    """
    found = list(parts)
    for tell in tells:
        divided: dict[tuple[int, Hashable], list[T]] = {}
        for number, part in enumerate(found):
            for member in part if len(part) > 1 else ():
                if (mark := tell(member)) is not None:
                    divided.setdefault((number, mark), []).append(member)
        found = list(divided.values())
    return [part for part in found if len(part) > 1]


def _files(source: Source) -> list[list[_File]]:
    """Return the files whose copies would leak, with their groups: those of the inputs, and those of the targets.

    A video has several groups, in the order of its frames, and its copy the same.
    """
    count = COMPARED_FILES.get(source.kind, 0)
    sides: list[dict[str, dict[str, None]]] = [{} for _ in range(count)]
    for item in source.items:
        for side, path in zip(sides, item.paths, strict=False):
            side.setdefault(path, {})[item.group] = None
    return [[(path, tuple(groups)) for path, groups in side.items()] for side in sides]


# Files that cannot be read equal none, and are reported when they are loaded.
def _length(file: _File) -> int | None:
    with suppress(OSError):
        return os.stat(file[0]).st_size
    return None


def _digest(file: _File, ends: int | None = None) -> bytes | None:
    """Return a digest of a file, or of so many bytes at either end of it."""
    with suppress(OSError), open(file[0], "rb") as opened:
        if ends is None:
            return hashlib.file_digest(opened, "blake2b").digest()
        head = opened.read(ends)
        opened.seek(max(len(head), os.fstat(opened.fileno()).st_size - ends))
        return hashlib.blake2b(head + opened.read()).digest()
    return None


def table_of(images: str, given: str | None, name: str) -> Path | None:
    """Return the table that was named, or the one that lies in the images' folder, if any."""
    beside = Path(images) / name
    return Path(given) if given is not None else beside if beside.is_file() else None


def _strangers(table: Path, keys: Iterable[str]) -> list[str]:
    unknown = sorted(keys)
    return [f"{len(unknown)} keys of {table} are no images here, such as {unknown[0]}"] if unknown else []


def read_table(path: Path, *columns: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a table with a line of names; commas or semicolons, in UTF-8."""
    text = read_text(path, "read the table")
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    try:
        header = next(rows, [])
        if missing := [name for name in columns if name not in header]:
            raise CalcoError(f"{path}, line 1: no column {missing[0]}; the first line must be {','.join(columns)}")
        for row in filter(None, rows):
            values = [row[header.index(name)] for name in columns] if len(row) == len(header) else []
            if not values or not all(values):
                where = f"{path}, line {rows.line_num}"
                raise CalcoError(f"{where}: {','.join(row)!r} is not a row of {','.join(header)}; correct or delete it")
            yield tuple(unicodedata.normalize("NFC", value) for value in values)
    except csv.Error as error:
        raise CalcoError(f"{path}, line {rows.line_num}: {error}; correct the line") from error


def limited(items: tuple[Item, ...], limit: int) -> tuple[Item, ...]:
    """Return at most `limit` items, whole groups in the order of their hash; one group at least."""
    if not limit or limit >= len(items):
        return items
    members: dict[str, list[Item]] = {}
    for item in items:
        members.setdefault(item.group, []).append(item)
    chosen: list[Item] = []
    for group in sorted(members, key=lambda name: fraction("limit", name)):
        if not chosen or len(chosen) + len(members[group]) <= limit:
            chosen += members[group]
    return tuple(sorted(chosen, key=lambda item: item.key))
