"""Two sides of pairs among image files: in folders, by words in their names, or by their endings; and their pairs.

The files of two sides are paired by equal names, then by names without what differs.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product, takewhile
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from calco import imaging
from calco.data.config import SourceConfig
from calco.data.source import Item
from calco.data.sources.names import Entry, file_name, name_of, pick_sides, role_of
from calco.data.splits import LeftOut, furthest
from calco.errors import CalcoError, printable
from calco.files import Listing

_DEPTH = 3  # folders below the first in which the two sides are looked for
_MOSTLY = 0.6  # of the images must be in pairs, where only words in their names make them pairs


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


@dataclass(frozen=True, slots=True)
class Plan:
    """Layout of a folder: items sorted by key, names and reasons of what is left out, a description and remarks."""

    kind: str
    items: tuple[Item, ...]
    left_out: LeftOut
    story: str
    notes: tuple[str, ...] = ()


def two_folders(entries: Sequence[Entry], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """Return the plan of two folders that are the sides of pairs, at the top or further down; None without them."""
    names = [{folder.plain_at(depth) for folder in {entry.folder for entry in entries}} for depth in range(_DEPTH)]
    for depth in range(_DEPTH):
        if picked := pick_sides(names[depth]):
            known = all(map(role_of, picked)) or "mask" in map(role_of, picked)
            if plan := _of_folders(entries, picked, depth, listing, wanted, sure=known):
                return plan
    top = sorted(names[0])
    if len(top) == 2 and top[0] and (plan := _of_folders(entries, (top[0], top[1]), 0, listing, wanted)):
        return plan
    for each in names:
        _ask_for_sides(each, listing.root)
    return None


def _ask_for_sides(names: set[str], root: str) -> None:
    """Refuse folders of which several could be a side of pairs."""
    roles = [(role_of(name), name) for name in sorted(names)]
    masks = [name for role, name in roles if role == "mask"]
    both = [name for role, name in roles if role in ("input", "target")]
    found = {role for role, _ in roles}
    meant = both if {"input", "target"} <= found else masks if len(masks) > 1 and len(names) > len(masks) else []
    if meant:
        target = next((name for name in meant if role_of(name) != "input"), meant[0])
        raise CalcoError(
            f"{root} holds several folders that could be the sides of pairs ({', '.join(map(printable, meant))}); "
            f"say which: --input FOLDER --target FOLDER, such as --target {printable(target)} (or --source "
            "photographs)"
        )


def _of_folders(
    entries: Sequence[Entry], picked: tuple[str, str], depth: int, listing: Listing, wanted: SourceConfig, *,
    sure: bool = False,
) -> Plan | None:  # fmt: skip
    """Return the plan of two folders at a depth; None if neither their names nor their files show it."""
    sides = [Side(name, title="" if name else "the images beside it") for name in picked]
    others: Counter[str] = Counter()
    bare = {folder: folder.without(depth) for folder in {entry.folder for entry in entries}}
    for entry in entries:
        name = entry.folder.plain_at(depth)
        if name in picked:
            sides[picked.index(name)].entries.append(replace(entry, folder=bare[entry.folder]))
        else:
            others["/".join(entry.folder.plain[: depth + 1]) or "the folder itself"] += 1
    first, second = ({entry.key for entry in side.entries} for side in sides)
    if not sure and wanted.source == "auto" and first.isdisjoint(second):
        return None
    between = " and ".join(map(str, sides))
    left_out = [(printable(name), f"not of {between}: images in it: {count}") for name, count in others.items()]
    return joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *left_out])


def two_words(entries: Sequence[Entry], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """Return the plan of files in one folder that differ in words of their names, such as x.jpg and x_mask.png."""
    named = [(entry, *file_name(entry.stem)) for entry in entries]
    if len({word for _, _, word in named}) < 2:
        return None
    keys = {entry.key for entry in entries}
    originals = {replace(entry, stem=base).key for entry, base, word in named if word} & keys
    bases: dict[str, dict[str, list[Entry]]] = {}
    for entry, base, word in named:
        if entry.key in originals:
            base, word = entry.stem, ""
        bare = replace(entry, stem=base)
        bases.setdefault(bare.key, {}).setdefault(word, []).append(bare)
    kinds = Counter(word for words in bases.values() if len(words) > 1 for word in words)
    picked = pick_sides([word for word, count in kinds.items() if 2 * count >= max(kinds.values())])
    if picked is None:
        masks = [word for word in kinds if role_of(word) == "mask"]
        if wanted.source == "auto" and len(masks) > 1 and 2 * sum(kinds[word] for word in masks) >= len(entries):
            words = " and ".join(f"_{word}" for word in masks)
            raise CalcoError(
                f"{listing.root} holds images with several masks each ({words}), and it is not clear which are meant; "
                "put those into a folder of their own (--input IMAGES --target MASKS), or force --source photographs"
            )
        return None
    whole = [words for words in bases.values() if all(map(words.get, picked))]
    in_pairs = sum(len(words[word]) for words in whole for word in picked)
    if in_pairs < 2:
        return None
    sides = [Side(word, [entry for words in bases.values() for entry in words.get(word, [])]) for word in picked]
    for side in sides:
        side.title = f"files such as {os.path.basename(whole[0][side.name][0].path)}"
    if wanted.source == "auto":
        if in_pairs < _MOSTLY * len(entries):
            return None
        if not any(role_of(word) in ("mask", "label") for word in picked):
            # One pair of names may be a coincidence, and a and b may be two views of one house.
            pairs, _, _ = match(*sides)
            few = pairs[:: max(1, len(pairs) // 8)]
            sizes = [[imaging.header_size_wh(entry.path) for entry in pair] for pair in few]
            if in_pairs < 4 or 2 * sum(one == other for one, other in sizes) <= len(sizes):
                return None
    between = " and ".join(map(str, sides))
    others = [entry for words in bases.values() for word, each in words.items() if word not in picked for entry in each]
    left_out = [(name_of(entry.path, listing.root), f"neither of {between}") for entry in others]
    return joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *left_out])


def two_endings(entries: Sequence[Entry], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """Return the plan of images and masks that differ in their endings alone, such as x.jpg and x.png."""
    stems: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        stems.setdefault(entry.key, {})[os.path.splitext(entry.path)[1].lower()] = entry
    kinds = Counter(tuple(sorted(group)) for group in stems.values() if len(group) == 2)
    if wanted.source == "parallel" or not kinds:
        return None
    endings, count = kinds.most_common(1)[0]
    if wanted.source == "auto" and 2 * count < _MOSTLY * len(entries):
        return None
    chosen = [group for group in stems.values() if set(group) == set(endings)]
    flat = [ending for ending in endings if looks_like_masks([group[ending].path for group in chosen])]
    if len(flat) != 1:
        return None  # copies of photographs in two formats
    sides = [
        Side("mask" if ending in flat else "", [group[ending] for group in stems.values() if ending in group])
        for ending in sorted(endings, key=lambda ending: ending in flat)
    ]
    for side in sides:
        side.title = f"files such as {os.path.basename(side.entries[0].path)}"
    used = {path for side in sides for path in side.paths}
    others = [(name_of(entry.path, listing.root), "of another ending") for entry in entries if entry.path not in used]
    return joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *others])


def joined(first: Side, second: Side, wanted: SourceConfig, root: Path, left_out: LeftOut) -> Plan:
    """Match two sides, and decide which is the input and which the target."""
    pairs, loose, unmatched = match(first, second)
    if not pairs:
        names = (sorted(os.path.basename(path) for path in side.paths)[:3] for side in (first, second))
        examples = "; ".join(
            f"{side} has {printable(', '.join(each))}" for side, each in zip((first, second), names, strict=True)
        )
        raise CalcoError(
            f"no file name stands in both {first} and {second} of {root} ({examples}); give both images "
            "of a pair the same name (endings may differ), or name a folder of photographs alone"
        )
    kind, swapped = _which_parts(
        Side(first.name, [one for one, _ in pairs]), Side(second.name, [other for _, other in pairs]), wanted, root
    )
    if swapped != (wanted.direction == "BtoA" and kind == "parallel"):
        first, second = second, first
        pairs = [(other, one) for one, other in pairs]
    if kind == "masks" and wanted.direction == "BtoA":
        raise CalcoError(
            "images with masks have no direction BtoA; to go from masks to images: "
            f"--source parallel --input {second} --target {first}"
        )
    left_out = left_out + [(name_of(path, os.path.join(root, "")), reason) for path, reason in unmatched]
    story = "two parallel sides" if first.title or second.title else "two parallel folders"
    story = f"{story}, {first} (input) and {second} (target)"
    story = f"images ({first}) with masks ({second})" if kind == "masks" else story
    items = {}
    for one, other in pairs:
        # Of two splits the one kept further from training.
        split = furthest((one.folder.split, other.folder.split))
        items[one.key] = Item(one.key, one.key, (one.path, other.path), split)
    notes: tuple[str, ...] = ()
    # Names that differ only in the folders of splits need no remark.
    loosely = [pair for pair in loose if name_in(pair[0], "unsplit") != name_in(pair[1], "unsplit")]
    if loosely:
        example = printable(" = ".join(os.path.basename(entry.path) for entry in loosely[0]))
        notes = (f"{len(loosely)} pairs are matched by names that are not equal, such as {example}",)
    return Plan(kind, tuple(items[key] for key in sorted(items)), left_out, printable(story), notes)


_RANKS: Final = {"input": 0, "label": 0, None: 1, "target": 2, "mask": 2}  # the input first
_FLAT: Final = 8  # colours of masks that JPEG has blurred
_MOST: Final = 0.95  # of the pixels have one of them


def _which_parts(first: Side, second: Side, wanted: SourceConfig, root: Path) -> tuple[str, bool]:
    """Return the kind, and True if the second side is the input (or the image)."""
    roles = role_of(first.name.split("/")[-1]), role_of(second.name.split("/")[-1])
    named = wanted.input is not None
    by_rank = _RANKS[roles[0]] != _RANKS[roles[1]]
    unknown = (
        f"{root} has two folders with the same file names, {first.name} and {second.name}, and neither names nor "
        f"images show which is the input; name it: --input {first.name} --target {second.name} (or the other way "
        "round, or --source photographs)"
    )
    if wanted.source == "parallel" or set(roles) == {"input", "target"}:
        if wanted.source == "masks":
            raise CalcoError(f"{first.name} and {second.name} are no masks by their names; name them with --target")
        if named or by_rank:
            return "parallel", not named and _RANKS[roles[0]] > _RANKS[roles[1]]
        raise CalcoError(unknown)
    if wanted.source == "masks" and not named and roles.count("mask") == 1:
        return "masks", roles[0] == "mask"
    # By their few colours, unless its name shows that a side is something else.
    flat = tuple(
        role not in ("input", "target") and looks_like_masks(side.paths, named=role == "mask")
        for role, side in zip(roles, (first, second), strict=True)
    )
    if named:
        return ("masks" if flat[1] or wanted.source == "masks" else "parallel"), False
    if flat[0] != flat[1]:
        return "masks", flat[0]
    if wanted.source != "masks" and by_rank:
        return "parallel", _RANKS[roles[0]] > _RANKS[roles[1]]
    raise CalcoError(unknown)


def looks_like_masks(paths: list[str], *, named: bool = False) -> bool:
    """Return True if a few of the images have at most 32 colours, or almost nothing between black and white.

    `named` masks may have colours that JPEG has blurred.
    """
    for path in sorted(paths)[:: max(1, len(paths) // 5)][:6]:
        try:
            image = imaging.read(path)
        except CalcoError:
            continue  # the other files decide
        pixels = image.reshape(-1, image.shape[2])
        if len(np.unique(pixels[:: max(1, len(pixels) // 200_000)], axis=0)) <= 32:
            continue
        if named:
            # Steps of 32 levels whose middle is 0, so that what JPEG makes of a flat colour stays in one of them.
            coarse = (imaging.as_dtype(pixels, np.uint8).astype(int) + 16) // 32
            counts = np.unique(coarse, axis=0, return_counts=True)[1]
            if np.sort(counts)[-_FLAT:].sum() > _MOST * counts.sum():
                continue
        grey = imaging.as_dtype(imaging.luminance(image), np.uint8).astype(int)
        if np.mean((grey < 16) | (grey > 239)) <= 0.98 or np.ptp(image.astype(int), axis=2).mean() >= 4:
            return False
    return True


Pairs: TypeAlias = list[tuple[Entry, Entry]]
Level: TypeAlias = Literal["exact", "folded", "unsplit"]


def name_in(entry: Entry, level: Level = "exact", *, bare: bool = False) -> str:
    """Return what names may have in common: the path, without case, folders of splits, or words such as `_mask`."""
    folders = entry.folder.plain if level == "unsplit" else entry.folder.names
    name = "/".join((*folders, file_name(entry.stem)[0] if bare else entry.stem))
    return name.casefold() if level == "folded" else name


# From what is certain to what is less so.
_LEVELS: Final[tuple[Level, ...]] = ("exact", "folded", "unsplit")


def match(first: Side, second: Side) -> tuple[Pairs, Pairs, LeftOut]:
    """Return pairs in the order of their keys, those with unequal names, and path and reason of files without one.

    Of several files with one name and different endings the one whose whole name equals its partner's is taken. Names
    that are not equal are compared without case, words such as `_mask`, and folders of splits, and taken where only one
    partner is possible; as a last resort, without the beginning and the end that all names of a side have in common,
    where that matches all of them.
    """
    left, right = _by(first.entries, name_in), _by(second.entries, name_in)
    pairs = [min(product(left[name], right[name]), key=_difference) for name in left if name in right]
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
    return sorted(pairs + loosely, key=lambda pair: pair[0].key), loosely, left_out


def _difference(pair: tuple[Entry, Entry]) -> tuple[bool, bool]:
    """Order files of one name: first those whose endings are equal too."""
    first, second = (unicodedata.normalize("NFC", os.path.basename(entry.path)) for entry in pair)
    return first.lower() != second.lower(), first != second


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
