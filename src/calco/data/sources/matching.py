"""Pairs of files of two sides: by equal names, then by names without what differs."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product, takewhile
from typing import Final, Literal, TypeAlias

from calco.data.sources.names import Entry, file_name
from calco.errors import printable


@dataclass(slots=True)
class Side:
    """One side of pairs."""

    name: str  # of its folder, or the word in the names of its files: it gives the role
    entries: list[Entry] = field(default_factory=list)
    title: str = ""  # in messages, if that is not its name

    def __str__(self) -> str:
        return printable(self.title or self.name)

    @property
    def paths(self) -> list[str]:
        """Paths of its files."""
        return [entry.path for entry in self.entries]


Pairs: TypeAlias = list[tuple[Entry, Entry]]
Level: TypeAlias = Literal["exact", "folded", "unsplit"]


@dataclass(slots=True)
class Matching:
    """The pairs of two sides."""

    pairs: Pairs  # first and second, in the order of the first's keys
    loosely: Pairs  # those of them whose names are not equal
    left_out: list[tuple[str, str]]  # path and reason of each file without a partner


def name_in(entry: Entry, level: Level = "exact", *, bare: bool = False) -> str:
    """Return what names may have in common: the path, without case, folders of splits, or words such as `_mask`."""
    folders = entry.folder.plain if level == "unsplit" else entry.folder.names
    name = "/".join((*folders, file_name(entry.stem)[0] if bare else entry.stem))
    return name.casefold() if level == "folded" else name


# From what is certain to what is less so.
_LEVELS: Final[tuple[Level, ...]] = ("exact", "folded", "unsplit")


def match(first: Side, second: Side) -> Matching:
    """Find the partner of each file.

    Of several files with one name and different endings the one whose whole name equals its partner's is taken. Names
    that are not equal are compared without case, words such as `_mask`, and folders of splits, and taken where only one
    partner is possible; as a last resort, without the beginning and the end that all names of a side have in common,
    where that matches all of them.
    """
    left, right = _by(first.entries, name_in), _by(second.entries, name_in)
    pairs = [_best(left[name], right[name]) for name in left if name in right]
    reasons: dict[str, str] = {}
    for pair in pairs:
        for found, chosen in zip((left, right), pair, strict=True):
            reason = f"shares its name with {os.path.basename(chosen.path)}, which is taken; rename or remove one"
            reasons |= {entry.path: printable(reason) for entry in found[name_in(chosen)] if entry is not chosen}
    used = {entry.path for pair in pairs for entry in pair} | reasons.keys()
    rest = _without((first.entries, second.entries), used)
    loosely: Pairs = []
    for level, *bare in product(_LEVELS, (False, True), (False, True)):
        if all(rest):
            left, right = (
                _by(side, partial(name_in, level=level, bare=is_bare)) for side, is_bare in zip(rest, bare, strict=True)
            )
            alone = [(a[0], b[0]) for name, a in left.items() if len(a) == len(b := right.get(name, [])) == 1]
            loosely += alone
            rest = _without(rest, {entry.path for pair in alone for entry in pair})
    if not pairs and not loosely:
        loosely = _trimmed(first.entries, second.entries)
        rest = _without(rest, {entry.path for pair in loosely for entry in pair})
    left_out = list(reasons.items())
    for side, other in zip(rest, (second, first), strict=True):
        left_out += [(entry.path, f"no partner in {other}") for entry in side]
    return Matching(sorted(pairs + loosely, key=lambda pair: pair[0].key), loosely, left_out)


def _best(one: list[Entry], other: list[Entry]) -> tuple[Entry, Entry]:
    """Return, of files with one name, those whose endings are equal too, else the first of each."""

    def difference(pair: tuple[Entry, Entry]) -> tuple[bool, bool]:
        first, second = (unicodedata.normalize("NFC", os.path.basename(entry.path)) for entry in pair)
        return first.lower() != second.lower(), first != second

    return min(product(one, other), key=difference)


def _by(entries: Iterable[Entry], form: Callable[[Entry], str]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(form(entry), []).append(entry)
    return found


def _without(sides: tuple[list[Entry], list[Entry]], used: Set[str]) -> tuple[list[Entry], list[Entry]]:
    first, second = ([entry for entry in side if entry.path not in used] for side in sides)
    return first, second


def _trimmed(first: list[Entry], second: list[Entry]) -> Pairs:
    """Return pairs by names without what all names of a side begin and end with, if that leaves equal names alone."""
    sides = []
    for side in (first, second):
        stems = [entry.stem for entry in side]
        # Up to a separator or a digit.
        start = _beginning(stems)
        start = re.sub(r"[^ _.\-]*\Z", "", start) if re.search(r"[ _.\-]", start) else re.sub(r"\d*\Z", "", start)
        start = start if all(len(stem) > len(start) for stem in stems) else ""
        end = re.sub(r"\A[^ _.\-]*", "", _beginning([stem[len(start) :][::-1] for stem in stems])[::-1])
        names = (stem[len(start) : len(stem) - len(end)] for stem in stems)
        sides.append({name_in(replace(e, stem=name)): e for e, name in zip(side, names, strict=True)})
    left, right = sides
    if len(left) == len(first) == len(right) == len(second) > 1 and left.keys() == right.keys():
        return [(left[name], right[name]) for name in left]
    return []


def _beginning(texts: list[str]) -> str:
    """Return the beginning that all texts share."""
    return "".join(same[0] for same in takewhile(lambda each: len(set(each)) == 1, zip(*texts, strict=False)))
