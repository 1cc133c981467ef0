"""Pairs of files of two sides: by equal names, then by names without what differs."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from calco.data.sources.names import Entry
from calco.errors import printable


@dataclass(slots=True)
class Side:
    """One side of pairs.

    Attributes:
        name: Of its folder, or the word that tells its files: what tells its role.
        entries: Its files.
        title: What it is called in messages, where that is not its name.
    """

    name: str
    entries: list[Entry] = field(default_factory=list)
    title: str = ""

    def __str__(self) -> str:
        return printable(self.title or self.name)

    @property
    def paths(self) -> list[str]:
        """Of its files."""
        return [entry.path for entry in self.entries]


Pairs: TypeAlias = list[tuple[Entry, Entry]]
_Form: TypeAlias = Callable[[Entry], Hashable]

_WHOLE: Final[_Form] = lambda entry: (entry.folders, entry.stem)  # noqa: E731
_BARE: Final[_Form] = lambda entry: (entry.folders, entry.bare)  # noqa: E731
_FOLDED: Final[_Form] = lambda entry: entry.key.casefold()  # noqa: E731
_FOLDED_BARE: Final[_Form] = lambda entry: "/".join((*entry.folders, entry.bare)).casefold()  # noqa: E731
_UNSPLIT: Final[_Form] = lambda entry: (entry.unsplit, entry.stem)  # noqa: E731
_UNSPLIT_BARE: Final[_Form] = lambda entry: (entry.unsplit, entry.bare)  # noqa: E731

# What two names have in common, from what is certain to what is less so.
_FORMS: Final = (
    (_FOLDED, _FOLDED), (_WHOLE, _BARE), (_BARE, _WHOLE), (_BARE, _BARE), (_FOLDED, _FOLDED_BARE),
    (_FOLDED_BARE, _FOLDED), (_FOLDED_BARE, _FOLDED_BARE), (_UNSPLIT, _UNSPLIT), (_UNSPLIT, _UNSPLIT_BARE),
    (_UNSPLIT_BARE, _UNSPLIT), (_UNSPLIT_BARE, _UNSPLIT_BARE),
)  # fmt: skip


@dataclass(slots=True)
class Matching:
    """The pairs of two sides.

    Attributes:
        pairs: First and second, in the order of the first's keys.
        loosely: How many of them have names that are not equal, and one of them.
        left_out: Path and reason of what has no partner.
    """

    pairs: Pairs
    loosely: Pairs
    left_out: list[tuple[str, str]]


def match(first: Side, second: Side) -> Matching:
    """Find the partner of each file.

    Of several files with one name and different endings the one whose whole name equals its partner's is taken. Names
    that are not equal are compared without case, words such as `_mask`, and folders of splits, and taken where only one
    partner is possible; as a last resort, without the beginning and the end that all names of a side have in common,
    where that matches all of them.
    """
    pairs, rest, taken = _equal(first.entries, second.entries)
    loosely: Pairs = []
    for forms in _FORMS:
        found = _unique(*rest, *forms)
        loosely += found
        rest = _without(rest, found)
    if not pairs and not loosely:
        loosely = _trimmed(first.entries, second.entries)
        rest = _without(rest, loosely)
    left_out = [
        (entry.path, taken.get(entry.path) or f"no partner in {other}")
        for side, other in zip(rest, (second, first), strict=True)
        for entry in side
    ]
    return Matching(sorted(pairs + loosely, key=lambda pair: pair[0].key), loosely, left_out)


_Rest: TypeAlias = tuple[list[Entry], list[Entry]]


def _equal(first: Iterable[Entry], second: Iterable[Entry]) -> tuple[Pairs, _Rest, dict[str, str]]:
    """Pairs of equal names, what is left of each side, and for what shares its name with a pair the reason."""
    left, right = _by(first, _WHOLE), _by(second, _WHOLE)
    pairs: Pairs = []
    reasons: dict[str, str] = {}
    for form, one in left.items():
        if not (other := right.get(form)):
            continue
        pairs.append(_best(one, other))
        for side, chosen in zip((one, other), pairs[-1], strict=True):
            reason = f"shares its name with {os.path.basename(chosen.path)}, which is taken; rename or remove one"
            reasons |= {entry.path: printable(reason) for entry in side if entry is not chosen}
    used = {entry.path for pair in pairs for entry in pair}
    rest = [entry for each in left.values() for entry in each if entry.path not in used]
    return pairs, (rest, [entry for each in right.values() for entry in each if entry.path not in used]), reasons


def _best(one: list[Entry], other: list[Entry]) -> tuple[Entry, Entry]:
    """Of files with one name those whose endings are equal too, else the first of each."""
    for name in (lambda path: path, str.lower):
        by_name = {name(_file(entry)): entry for entry in reversed(other)}
        for entry in one:
            if partner := by_name.get(name(_file(entry))):
                return entry, partner
    return one[0], other[0]


def _file(entry: Entry) -> str:
    return unicodedata.normalize("NFC", os.path.basename(entry.path))


def _by(entries: Iterable[Entry], form: _Form) -> dict[Hashable, list[Entry]]:
    found: dict[Hashable, list[Entry]] = {}
    for entry in entries:
        found.setdefault(form(entry), []).append(entry)
    return found


def _unique(first: list[Entry], second: list[Entry], one_form: _Form, other_form: _Form) -> Pairs:
    """Pairs by a form that a single file of each side has."""
    if not (first and second):
        return []
    left, right = _by(first, one_form), _by(second, other_form)
    return [
        (one[0], other[0]) for form, one in left.items() if len(one) == 1 and len(other := right.get(form, [])) == 1
    ]


def _without(rest: _Rest, pairs: Pairs) -> _Rest:
    used = {entry.path for pair in pairs for entry in pair}
    first, second = ([entry for entry in side if entry.path not in used] for side in rest)
    return first, second


def _trimmed(first: list[Entry], second: list[Entry]) -> Pairs:
    """Pairs by names without what all names of a side begin and end with, where that leaves equal names alone."""
    sides = [_trims([entry.stem for entry in side]) for side in (first, second)]
    left, right = (
        {(entry.folders, name): entry for entry, name in zip(side, names, strict=True)}
        for side, names in zip((first, second), sides, strict=True)
    )
    if len(left) == len(first) == len(right) == len(second) > 1 and left.keys() == right.keys():
        return [(left[form], right[form]) for form in left]
    return []


def _trims(stems: list[str]) -> list[str]:
    """Names without what all of them begin and end with, up to a separator or a digit."""
    if not stems:
        return []
    start = _beginning(stems)
    start = re.sub(r"[^ _.\-]*\Z", "", start) if re.search(r"[ _.\-]", start) else re.sub(r"\d*\Z", "", start)
    start = start if all(len(stem) > len(start) for stem in stems) else ""
    end = _beginning([stem[len(start) :][::-1] for stem in stems])[::-1]
    end = re.sub(r"\A[^ _.\-]*", "", end)
    return [stem[len(start) : len(stem) - len(end)] for stem in stems]


def _beginning(texts: list[str]) -> str:
    """Return the beginning that all texts share."""
    first, last = min(texts), max(texts)
    length = next(
        (place for place, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first)
    )
    return first[:length]


def commonest_addition(pairs: Pairs) -> str:
    """Two names that were matched without being equal, for a message."""
    counted = Counter(len(one.stem) - len(other.stem) for one, other in pairs)
    wanted = counted.most_common(1)[0][0]
    one, other = next(pair for pair in pairs if len(pair[0].stem) - len(pair[1].stem) == wanted)
    return printable(f"{os.path.basename(one.path)} = {os.path.basename(other.path)}")
