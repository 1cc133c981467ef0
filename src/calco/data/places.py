"""Image files and what their folders are called; and the plan that recognising them ends with."""

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from calco.data.declared import SPLITS, LeftOut
from calco.data.names import folder_names, shared_rests
from calco.data.partners import Entry
from calco.data.sources import Item
from calco.errors import printable


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found: kind, items sorted by key, what is left out and why, the finding in words, remarks."""

    kind: str
    items: tuple[Item, ...]
    left_out: LeftOut
    story: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder, by what it and those around it are called; one object for all files in it.

    Attributes:
        names: The parts of the names, in composed Unicode: `trainA` has two, train and A.
        splits: For each of them the split that it is named after, or None.
    """

    names: tuple[str, ...] = ()
    splits: tuple[str | None, ...] = ()

    @cached_property
    def split(self) -> str | None:
        """The split that the names declare; of several the one kept furthest from training."""
        return max(filter(None, self.splits), key=SPLITS.index, default=None)

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """The names that are of no split."""
        return tuple(name for name, split in zip(self.names, self.splits, strict=True) if split is None)

    def plain_at(self, depth: int) -> str:
        """One of these; empty where there are fewer."""
        return self.plain[depth] if depth < len(self.plain) else ""

    @cache  # noqa: B019 - a few folders, of which each is asked for a few depths
    def without(self, depth: int | None) -> tuple[tuple[str, ...], tuple[bool, ...]]:
        """The names without that of `plain_at(depth)`, and which of them are of splits."""
        plain = [place for place, split in enumerate(self.splits) if split is None]
        dropped = plain[depth] if depth is not None and depth < len(plain) else -1
        kept = [place for place in range(len(self.names)) if place != dropped]
        return tuple(self.names[place] for place in kept), tuple(self.splits[place] is not None for place in kept)


@dataclass(frozen=True, slots=True)
class Place:
    """An image file and its folder."""

    path: str
    folder: Folder

    @property
    def stem(self) -> str:
        """The name without its ending, in composed Unicode."""
        return composed(os.path.splitext(self.path.rpartition("/")[2])[0])

    def entry(self, without: int | None = None) -> Entry:
        """The file as one of a side, whose own folder is that of `plain_at(without)`."""
        folders, splits = self.folder.without(without)
        return Entry(self.path, folders, self.stem, splits, self.folder.split)


def place_of(path: str, root: str) -> Place:
    """A file and what its folders below the root are called."""
    return places_of([path], root)[0]


def places_of(paths: Iterable[str], root: str) -> list[Place]:
    """Files below a root and what their folders are called."""
    paths = list(paths)
    above = {path: path.removeprefix(root).split("/") for path in {path.rpartition("/")[0] + "/" for path in paths}}
    rests = shared_rests({composed(name) for names in above.values() for name in names[:-1]})
    folders: dict[str, Folder] = {}
    for path, names in above.items():
        parts = [part for name in names[:-1] for part in folder_names(composed(name), rests)]
        folders[path] = Folder(tuple(name for name, _ in parts), tuple(split for _, split in parts))
    return [Place(path, folders[path.rpartition("/")[0] + "/"]) for path in paths]


def composed(text: str) -> str:
    """Text as it is shown, in composed Unicode: a name copied from a Mac stays the same name."""
    if text.isascii() and text.isprintable():
        return text
    return unicodedata.normalize("NFC", printable(text))


def key_of(relative: str) -> str:
    """A relative path without its ending, in composed Unicode: a name copied from a Mac stays the same name."""
    return composed(os.path.splitext(relative)[0])


def name_of(path: str, root: str) -> str:
    """A path relative to the root, as it is shown."""
    return printable(path.removeprefix(root))
