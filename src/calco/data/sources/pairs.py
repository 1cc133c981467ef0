"""Two sides of pairs among image files: in folders, by words in their names, or by their endings."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from calco import imaging
from calco.data.config import SourceConfig
from calco.data.declared import SPLITS, LeftOut
from calco.data.source import Item
from calco.data.sources.matching import Side, commonest_addition, match
from calco.data.sources.names import Entry, Place, file_name, name_of, pick_sides, role_of
from calco.errors import CalcoError, printable
from calco.files import Listing

_DEPTH = 3  # folders below the first in which the two sides are looked for
_MOSTLY = 0.6  # of the images must be in pairs, where only words in their names tell that they are pairs


@dataclass(frozen=True, slots=True)
class Plan:
    """Layout of a folder: kind, items sorted by key, names and reasons of what is left out, a description, remarks."""

    kind: str
    items: tuple[Item, ...]
    left_out: LeftOut
    story: str
    notes: tuple[str, ...] = ()


def two_folders(places: Sequence[Place], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """The plan of two folders that are the sides of pairs, at the top or further down; None when there are none."""
    for depth in range(_DEPTH):
        if picked := pick_sides(_names(places, depth)):
            sides, others = _sides(places, picked, depth)
            known = all(map(role_of, picked)) or "mask" in map(role_of, picked)
            if known or wanted.source != "auto" or _share_names(sides):
                return _of_folders(sides, others, listing, wanted)
    names = sorted(_names(places, 0))
    if len(names) == 2 and names[0]:
        sides, others = _sides(places, (names[0], names[1]), 0)
        if wanted.source != "auto" or _share_names(sides):
            return _of_folders(sides, others, listing, wanted)
    for depth in range(_DEPTH):
        _ask_for_sides(_names(places, depth), listing.root)
    return None


def _ask_for_sides(names: set[str], root: str) -> None:
    """Refuse folders of which several could be a side of pairs, and none is told to be it."""
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


def _share_names(sides: Sequence[Side]) -> bool:
    """Return whether two sides, of which not both have names that tell it, have file names in common."""
    first, second = ({entry.key for entry in side.entries} for side in sides)
    return not first.isdisjoint(second)


def _names(places: Sequence[Place], depth: int) -> set[str]:
    """The names of the folders at a depth, those of splits aside; "" where there is none."""
    return {folder.plain_at(depth) for folder in {place.folder for place in places}}


def _sides(places: Sequence[Place], picked: tuple[str, str], depth: int) -> tuple[list[Side], Counter[str]]:
    """The two sides, and how many files lie in other folders."""
    sides = [Side(name, title="" if name else "the images beside it") for name in picked]
    others: Counter[str] = Counter()
    for place in places:
        name = place.folder.plain_at(depth)
        if name in picked:
            sides[picked.index(name)].entries.append(place.entry(depth))
        else:
            others["/".join(place.folder.plain[: depth + 1]) or "the folder itself"] += 1
    return sides, others


def _of_folders(sides: list[Side], others: Counter[str], listing: Listing, wanted: SourceConfig) -> Plan:
    between = " and ".join(map(str, sides))
    left_out = [(printable(name), f"not of {between}: images in it: {count}") for name, count in others.items()]
    return joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *left_out])


def two_words(places: Sequence[Place], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """The plan of files in one folder that words in their names tell apart, such as x.jpg and x_mask.png, or None."""
    told = [file_name(place.stem) for place in places]
    if len({word for _, word in told}) < 2:
        return None
    entries = [place.entry() for place in places]
    stems = {(entry.folders, entry.stem) for entry in entries}
    named = [(entry, base, word) for entry, (base, word) in zip(entries, told, strict=True)]
    originals = {(entry.folders, base) for entry, base, word in named if word and (entry.folders, base) in stems}
    bases: dict[tuple[tuple[str, ...], str], dict[str, list[Entry]]] = {}
    for entry, base, word in named:
        if (entry.folders, entry.stem) in originals:
            base, word = entry.stem, ""
        bases.setdefault((entry.folders, base), {}).setdefault(word, []).append(replace(entry, stem=base))
    kinds = Counter(word for words in bases.values() if len(words) > 1 for word in words)
    picked = pick_sides([word for word, count in kinds.items() if 2 * count >= max(kinds.values())])
    if picked is None:
        if wanted.source == "auto" and (masks := [word for word in kinds if role_of(word) == "mask"])[1:]:
            _ambiguous(listing.root, masks, kinds, len(places))
        return None
    in_pairs = sum(len(words[word]) for words in bases.values() if all(map(words.get, picked)) for word in picked)
    if in_pairs < 2 or (wanted.source == "auto" and in_pairs < _MOSTLY * len(places)):
        return None
    if wanted.source == "auto" and in_pairs < 4 and not any(role_of(word) == "mask" for word in picked):
        return None  # one pair of names may be a coincidence
    sides = [Side(word, [entry for words in bases.values() for entry in words.get(word, [])]) for word in picked]
    example = next(words for words in bases.values() if all(map(words.get, picked)))
    for side in sides:
        side.title = f"files such as {os.path.basename(example[side.name][0].path)}"
    if wanted.source == "auto" and not _of_one_size(sides):
        return None
    others = [e.path for words in bases.values() for word, es in words.items() if word not in picked for e in es]
    between = " and ".join(map(str, sides))
    left_out = [(name_of(path, listing.root), f"neither of {between}") for path in others]
    return joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *left_out])


def two_endings(places: Sequence[Place], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """The plan of images and masks that differ in their endings alone, such as x.jpg and x.png, or None."""
    if wanted.source == "parallel" or len({os.path.splitext(place.path)[1].lower() for place in places}) < 2:
        return None
    stems: dict[tuple[tuple[str, ...], str], dict[str, Entry]] = {}
    for place in places:
        entry = place.entry()
        stems.setdefault((entry.folders, entry.stem), {})[os.path.splitext(place.path)[1].lower()] = entry
    kinds = Counter(tuple(sorted(group)) for group in stems.values() if len(group) == 2)
    if not kinds:
        return None
    endings, count = kinds.most_common(1)[0]
    if wanted.source == "auto" and 2 * count < _MOSTLY * len(places):
        return None
    chosen = [group for group in stems.values() if set(group) == set(endings)]
    paths = {ending: [group[ending].path for group in chosen] for ending in endings}
    flat = [ending for ending in endings if looks_like_masks(paths[ending])]
    if len(flat) != 1:
        return None  # copies of photographs in two formats
    sides = [
        Side("mask" if ending in flat else "", [group[ending] for group in stems.values() if ending in group])
        for ending in sorted(endings, key=lambda ending: ending in flat)
    ]
    for side in sides:
        side.title = f"files such as {os.path.basename(side.entries[0].path)}"
    used = {path for side in sides for path in side.paths}
    others = [(name_of(place.path, listing.root), "of another ending") for place in places if place.path not in used]
    return joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *others])


def _ambiguous(root: str, masks: Sequence[str], kinds: Counter[str], num_places: int) -> None:
    if 2 * sum(kinds[word] for word in masks) >= num_places:
        words = " and ".join(f"_{word}" for word in masks)
        raise CalcoError(
            f"{root} holds images with several masks each ({words}), and nothing tells which are meant; put those that "
            "are into a folder of their own (--input IMAGES --target MASKS), or force --source photographs"
        )


def _of_one_size(sides: Sequence[Side]) -> bool:
    """Return whether the files of pairs have one size, or are masks; a and b may be two views of one house."""
    if any(role_of(side.name) in ("mask", "label") for side in sides):
        return True
    pairs = match(*sides).pairs
    sizes = [[imaging.header_size_wh(entry.path) for entry in pair] for pair in pairs[:: max(1, len(pairs) // 8)]]
    return sum(one == other for one, other in sizes) * 2 > len(sizes)


def joined(first: Side, second: Side, wanted: SourceConfig, root: Path, left_out: LeftOut) -> Plan:
    """Decide which side is what, and matches the two."""
    found = match(first, second)
    if not found.pairs:
        examples = "; ".join(f"{side} has {_examples(side)}" for side in (first, second))
        raise CalcoError(
            f"no file name stands in both {first} and {second} of {root} ({examples}); give both images "
            "of a pair the same name (endings may differ), or name a folder of photographs alone"
        )
    pairs = found.pairs
    kind, swapped = which_parts(
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
    left_out = left_out + [(name_of(path, os.path.join(root, "")), reason) for path, reason in found.left_out]
    story = "two parallel sides" if first.title or second.title else "two parallel folders"
    story = f"{story}, {first} (input) and {second} (target)"
    story = f"images ({first}) with masks ({second})" if kind == "masks" else story
    items = {one.key: Item(one.key, one.key, (one.path, other.path), _further(one, other)) for one, other in pairs}
    notes: tuple[str, ...] = ()
    # Names that are equal but for the folders of splits say enough.
    loosely = [(one, other) for one, other in found.loosely if (one.unsplit, one.stem) != (other.unsplit, other.stem)]
    if loosely:
        example = commonest_addition(loosely)
        notes = (f"{len(loosely)} pairs are matched by names that are not equal, such as {example}",)
    return Plan(kind, tuple(items[key] for key in sorted(items)), left_out, printable(story), notes)


def _further(one: Entry, other: Entry) -> str | None:
    """The declared split of a pair: of two the one kept further from training."""
    return max(filter(None, (one.split, other.split)), key=SPLITS.index, default=None)


def _examples(side: Side) -> str:
    return printable(", ".join(sorted(os.path.basename(entry.path) for entry in side.entries)[:3]))


_RANKS: Final = {"input": 0, "label": 0, None: 1, "target": 2, "mask": 2}  # the input first
_FLAT: Final = 8  # colours of masks that JPEG has blurred
_MOST: Final = 0.95  # of the pixels have one of them


def which_parts(first: Side, second: Side, wanted: SourceConfig, root: Path) -> tuple[str, bool]:
    """The kind, and whether the second side is the input (or the image)."""
    roles = role_of(first.name.split("/")[-1]), role_of(second.name.split("/")[-1])
    named = wanted.input is not None
    if wanted.source == "parallel" or set(roles) == {"input", "target"}:
        if wanted.source == "masks":
            raise CalcoError(f"{first.name} and {second.name} are no masks by their names; name them with --target")
        if named or roles in (("input", "target"), ("input", None), (None, "target")):
            return "parallel", False
        if roles in (("target", "input"), ("target", None), (None, "input")):
            return "parallel", True
        if _RANKS[roles[0]] != _RANKS[roles[1]]:
            return "parallel", _RANKS[roles[0]] > _RANKS[roles[1]]
        raise CalcoError(_which(first.name, second.name, root))
    if wanted.source == "masks" and not named and roles.count("mask") == 1:
        return "masks", roles[0] == "mask"
    flat = tuple(_is_mask(role, side.paths) for role, side in zip(roles, (first, second), strict=True))
    if named:
        return ("masks" if flat[1] or wanted.source == "masks" else "parallel"), False
    if flat in ((False, True), (True, False)):
        return "masks", flat[0]
    if wanted.source != "masks" and _RANKS[roles[0]] != _RANKS[roles[1]]:
        return "parallel", _RANKS[roles[0]] > _RANKS[roles[1]]
    raise CalcoError(_which(first.name, second.name, root))


def _which(first: str, second: str, root: Path) -> str:
    return (
        f"{root} has two folders with the same file names, {first} and {second}, and nothing tells which is the input; "
        f"say it: --input {first} --target {second} (or the other way round, or --source photographs)"
    )


def _is_mask(role: str | None, paths: list[str]) -> bool:
    """Return whether one side is masks: by its few colours, unless its name says that it is something else."""
    if role in ("input", "target"):
        return False
    return looks_like_masks(paths, named=role == "mask")


def looks_like_masks(paths: list[str], *, named: bool = False) -> bool:
    """Return whether a few of the images have few colours, or black and white alone.

    Args:
        paths: Of the images.
        named: Whether their folder is called after masks; then a few colours that JPEG has blurred suffice.
    """
    return all(_few_colours(path, named) for path in sorted(paths)[:: max(1, len(paths) // 5)][:6])


def _few_colours(path: str, named: bool) -> bool:
    """A palette file, at most 32 colours, or (as JPEG leaves them) almost nothing between black and white."""
    try:
        image = imaging.read(path)
    except CalcoError:
        return True  # a damaged file tells nothing; the others decide
    if len(np.unique(image.reshape(-1, image.shape[2])[:: max(1, image[..., 0].size // 200_000)], axis=0)) <= 32:
        return True
    if named:
        # Steps of 32 levels whose middle is 0, so that what JPEG makes of a flat colour stays in one of them.
        coarse = (imaging.as_dtype(image, np.uint8).astype(int) + 16) // 32
        counts = np.unique(coarse.reshape(-1, image.shape[2]), axis=0, return_counts=True)[1]
        if np.sort(counts)[-_FLAT:].sum() > _MOST * counts.sum():
            return True
    grey = imaging.as_dtype(imaging.luminance(image), np.uint8).astype(int)
    return bool(np.mean((grey < 16) | (grey > 239)) > 0.98 and np.ptp(image.astype(int), axis=2).mean() < 4)
