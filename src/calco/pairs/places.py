"""Image files and what their folders are called; and the plan that recognising them ends with."""

import os
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from calco.errors import printable
from calco.pairs.declared import SPLITS, LeftOut
from calco.pairs.partners import Entry
from calco.pairs.parts import file_name, folder_names, shared_rests
from calco.pairs.sources import Item


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found: kind, items sorted by key, what is left out and why, the finding in words, remarks."""

    kind: str
    items: tuple[Item, ...]
    left_out: LeftOut
    story: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """An image file, and what the folders in which it lies are called.

    Attributes:
        path: Where it is.
        folders: The parts of the names of its folders, in composed Unicode: `trainA` has two, train and A.
        splits: For each of them the split that it is named after, or None.
    """

    path: str
    folders: tuple[str, ...]
    splits: tuple[str | None, ...]

    @property
    def split(self) -> str | None:
        """The split that its folders declare; of several the one kept furthest from training."""
        return max(filter(None, self.splits), key=SPLITS.index, default=None)

    @property
    def plain(self) -> tuple[str, ...]:
        """The folders that name no split."""
        return tuple(name for name, split in zip(self.folders, self.splits, strict=True) if split is None)

    def entry(self, without: int | None = None) -> Entry:
        """The file as one of a side, whose own folder is that of `plain` at the index `without`."""
        plain = [place for place, split in enumerate(self.splits) if split is None]
        dropped = plain[without] if without is not None and without < len(plain) else -1
        kept = [place for place in range(len(self.folders)) if place != dropped]
        stem = composed(os.path.splitext(os.path.basename(self.path))[0])
        splits = tuple(self.splits[place] is not None for place in kept)
        return Entry(
            self.path, tuple(self.folders[place] for place in kept), stem, file_name(stem)[0], splits, self.split
        )


def place_of(path: str, root: str, rests: Collection[str] = ()) -> Place:
    """A file and what its folders below the root are called; `rests` as in `folder_names`."""
    folders = path.removeprefix(root).split("/")[:-1]
    parts = [part for name in folders for part in folder_names(composed(name), rests)]
    return Place(path, tuple(name for name, _ in parts), tuple(split for _, split in parts))


def places_of(paths: Iterable[str], root: str) -> list[Place]:
    """Files below a root."""
    paths = list(paths)
    names = {name for path in paths for name in path.removeprefix(root).split("/")[:-1]}
    rests = shared_rests(map(composed, names))
    return [place_of(path, root, rests) for path in paths]


def composed(text: str) -> str:
    """Text as it is shown, in composed Unicode: a name copied from a Mac stays the same name."""
    return unicodedata.normalize("NFC", printable(text))


def key_of(relative: str) -> str:
    """A relative path without its ending, in composed Unicode: a name copied from a Mac stays the same name."""
    return composed(os.path.splitext(relative)[0])


def name_of(path: str, root: str) -> str:
    """A path relative to the root, as it is shown."""
    return printable(path.removeprefix(root))
