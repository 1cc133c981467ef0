"""What a folder of image files holds: side-by-side files, two sides in folders or names, with masks, or photographs."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calco import images
from calco.errors import CalcoError, printable
from calco.files import Listing, explain, list_files
from calco.pairs.declared import SPLITS, LeftOut, find_lists, listed, remark, settled, split_named, split_of_list
from calco.pairs.frames import is_film
from calco.pairs.partners import Entry, Side, commonest_addition, match
from calco.pairs.parts import file_name, folder_names, pick_sides, role_of, thumbnail_of, which_parts
from calco.pairs.sources import Item, SourceConfig

_DEPTH = 3  # folders below the first in which the two sides are looked for
_MOSTLY = 0.6  # of the images must be in pairs, where only words in their names tell that they are pairs
_TABLES = ("groups.csv", "dropped.csv")


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
        stem = _composed(os.path.splitext(os.path.basename(self.path))[0])
        splits = tuple(self.splits[place] is not None for place in kept)
        return Entry(
            self.path, tuple(self.folders[place] for place in kept), stem, file_name(stem)[0], splits, self.split
        )


def recognise(root: Path, wanted: SourceConfig) -> Plan:
    """Lists the files of a source.

    Raises:
        CalcoError: When the path is absent, unreadable or empty, or the two folders share no name.
    """
    if wanted.input or wanted.target:
        return _named_folders(root, wanted)
    try:
        if root.is_file():
            return _one_file(root, wanted)
        if not root.is_dir():
            others = "drawings (openmoji) or a data set of the hub (hub:owner/name)"
            raise CalcoError(f"there is no folder {root}; check the path, or name the built-in {others}")
    except OSError as error:
        raise explain(error, root, "read") from error
    listing = list_files(root, images.is_picture)
    if not listing.paths:
        raise CalcoError(nothing_in(root, listing.left_out))
    return _finished(_folder(root, listing, wanted), [listing])


def _finished(plan: Plan, listings: Sequence[Listing]) -> Plan:
    """The plan with the splits that folders and lists declare, and remarks on what was passed over."""
    folders = sorted({part for item in plan.items for part in item.key.split("/")[:-1] if split_named(part)})
    items, left_out = settled(plan.items, f"in none of the folders {', '.join(folders)}")
    notes = list(plan.notes)
    for listing in listings:
        names = [name for name in listing.others if split_of_list(os.path.basename(name))]
        lists = find_lists(listing.root, listing.paths, [listing.root + name for name in names]) if names else None
        if lists:
            items, unlisted = listed(items, lists)
            left_out += unlisted
            notes.append(remark(lists))
        films = [name for name in listing.others if is_film(name)]
        if films:
            found = f"{len(films)} films lie among the images, such as {films[0]}"
            notes.append(printable(f"{found}; --source film takes them instead"))
        notes += listing.remarks("images", *films, *_TABLES, *(lists.names if lists else ()))
    return replace(plan, items=items, left_out=[*plan.left_out, *left_out], notes=tuple(notes))


def _folder(root: Path, listing: Listing, wanted: SourceConfig) -> Plan:
    places = [place_of(path, listing.root) for path in _without_thumbnails(listing)]
    if wanted.source in ("auto", "parallel", "masks"):
        plan = _two_folders(places, listing, wanted) or _two_words(places, listing, wanted)
        if plan is not None:
            return plan
    if wanted.source in ("parallel", "masks"):
        folders = ", ".join(_subfolders(root)) or "none"
        raise CalcoError(
            f"{root} does not hold two folders of pictures for --source {wanted.source} (its folders: {folders}), nor "
            "files with words such as x.jpg and x_mask.png; name the folders with --input and --target"
        )
    if wanted.source == "side-by-side" or (wanted.source == "auto" and _all_double([place.path for place in places])):
        return _side_by_side(places, listing, wanted.direction)
    return _photographs(places, listing, wanted)


def _without_thumbnails(listing: Listing) -> list[str]:
    """The images; those that are certainly thumbnails of others are left out."""
    by_stem = {os.path.splitext(path)[0]: path for path in listing.paths}
    kept = []
    for path in listing.paths:
        if original := thumbnail_of(path, by_stem):
            listing.leave_out(path, printable(f"a thumbnail of {os.path.basename(original)}"))
        else:
            kept.append(path)
    return kept


def place_of(path: str, root: str) -> Place:
    """A file and what its folders below the root are called."""
    parts = [part for name in path.removeprefix(root).split("/")[:-1] for part in folder_names(_composed(name))]
    return Place(path, tuple(name for name, _ in parts), tuple(split for _, split in parts))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", printable(text))


def key_of(relative: str) -> str:
    """A relative path without its ending, in composed Unicode: a name copied from a Mac stays the same name."""
    return _composed(os.path.splitext(relative)[0])


def nothing_in(root: Path, left_out: LeftOut, what: str = "picture") -> str:
    """Says what a folder holds in place of what was looked for."""
    found = list_files(root, lambda _name: True)
    endings = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in found.paths)
    known = "pictures end in .jpg, .png, .webp, .tif, .bmp or the like"
    if what == "film":
        known = "films end in .mp4, .mov, .avi, .mkv, .webm or the like"
    if left_out:
        name, reason = left_out[0]
        return f"{root} holds no {what} that could be listed; left out: {len(left_out)}, such as {name} ({reason})"
    hidden = "".join(f"; {note}" for note in found.remarks(what))
    if not endings:
        state = "holds nothing else" if hidden else "is empty"
        return f"the folder {root} {state}; put {what}s into it or name another{hidden}"
    seen = ", ".join(f"{ending} ({count})" for ending, count in endings.most_common(5))
    return f"{root} holds no {what}, only {seen}; {known}{hidden}"


def _one_file(path: Path, wanted: SourceConfig) -> Plan:
    if not images.is_picture(path):
        raise CalcoError(f"{path} is no picture by its ending; name a folder of pictures or one picture")
    listing = Listing(os.path.join(path.parent, ""), [str(path)])
    places = [Place(str(path), (), ())]
    if wanted.source == "side-by-side":
        return _side_by_side(places, listing, wanted.direction)
    if wanted.source in ("parallel", "masks"):
        raise CalcoError(f"{path} is one file; --source {wanted.source} needs two folders: --input and --target")
    return _photographs(places, listing, wanted)


def _photographs(places: Sequence[Place], listing: Listing, wanted: SourceConfig) -> Plan:
    if wanted.direction == "BtoA":
        raise CalcoError(
            f"{listing.root} holds single photographs, which have no direction BtoA; if each file is an input and a "
            "target beside each other: --source side-by-side; else leave --direction out"
        )
    left_out = list(listing.left_out)
    if wanted.source == "auto":
        places, masks = _without_masks(places)
        left_out += [(_name(path, listing.root), reason) for path, reason in masks.items()]
    return Plan("photographs", _single_items(places, listing.root), left_out, "photographs")


def _without_masks(places: Sequence[Place]) -> tuple[list[Place], dict[str, str]]:
    """The images, and of those that are masks of others by their names the reason why they are no photographs."""
    stems = {os.path.splitext(place.path)[0]: place.path for place in places}
    masks: dict[str, str] = {}
    for place in places:
        base, word = file_name(os.path.basename(os.path.splitext(place.path)[0]))
        original = stems.get(os.path.join(os.path.dirname(place.path), base)) if role_of(word) == "mask" else None
        if original:
            name = printable(os.path.basename(original))
            masks[place.path] = f"a mask of {name} by its name; --source masks takes both, --source photographs each"
    return [place for place in places if place.path not in masks], masks


def _side_by_side(places: Sequence[Place], listing: Listing, direction: str) -> Plan:
    half = "left" if direction == "AtoB" else "right"
    story = f"side-by-side files, the {half} half is the input"
    return Plan("side-by-side", _single_items(places, listing.root), listing.left_out, story)


def _all_double(pictures: Sequence[str]) -> bool:
    """Whether several files are exactly twice as wide as high; one file alone may be a panorama."""
    sample = pictures[:: max(1, len(pictures) // 64)]
    sizes = [size for path in sample if (size := images.header_size_wh(path))]
    return len(sizes) > 1 and all(width == 2 * height for width, height in sizes)


def _single_items(places: Iterable[Place], root: str) -> tuple[Item, ...]:
    """One item a file; where two files differ in their ending only, the later ones keep it in their key."""
    items: dict[str, Item] = {}
    for place in places:
        key = key_of(place.path.removeprefix(root))
        while key in items:
            key += printable(os.path.splitext(place.path)[1])
        items[key] = Item(key, key, (place.path,), place.split)
    return tuple(items[key] for key in sorted(items))


def _subfolders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _two_folders(places: Sequence[Place], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """The plan of two folders that are the sides of pairs, at the top or further down; None when there are none."""
    for depth in range(_DEPTH):
        if picked := pick_sides(_names(places, depth)):
            sides, others = _sides(places, picked, depth)
            known = all(map(role_of, picked)) or "mask" in map(role_of, picked)
            if known or wanted.source != "auto" or match(*sides).pairs:
                return _of_folders(sides, others, listing, wanted)
    names = sorted(_names(places, 0))
    if len(names) == 2 and names[0]:
        sides, others = _sides(places, (names[0], names[1]), 0)
        if wanted.source != "auto" or match(*sides).pairs:
            return _of_folders(sides, others, listing, wanted)
    unclear = [name for name in names if role_of(name) in ("mask", "target")]
    if len(unclear) > 1 and len(names) > len(unclear):
        raise CalcoError(
            f"{listing.root} holds several folders that could be the targets ({', '.join(map(printable, unclear))}); "
            f"say which: --input FOLDER --target {printable(unclear[0])} (or --source photographs)"
        )
    return None


def _names(places: Sequence[Place], depth: int) -> set[str]:
    """The names of the folders at a depth, those of splits aside; "" where there is none."""
    return {place.plain[depth] if len(place.plain) > depth else "" for place in places}


def _sides(places: Sequence[Place], picked: tuple[str, str], depth: int) -> tuple[list[Side], Counter[str]]:
    """The two sides, and how many files lie in other folders."""
    sides = [Side(name, title=name or "the images beside it") for name in picked]
    others: Counter[str] = Counter()
    for place in places:
        name = place.plain[depth] if len(place.plain) > depth else ""
        if name in picked:
            sides[picked.index(name)].entries.append(place.entry(depth))
        else:
            others["/".join(place.plain[: depth + 1]) or "the folder itself"] += 1
    return sides, others


def _of_folders(sides: list[Side], others: Counter[str], listing: Listing, wanted: SourceConfig) -> Plan:
    between = " and ".join(map(str, sides))
    left_out = [(printable(name), f"not of {between}: pictures in it: {count}") for name, count in others.items()]
    return _joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *left_out])


def _two_words(places: Sequence[Place], listing: Listing, wanted: SourceConfig) -> Plan | None:
    """The plan of files in one folder that words in their names tell apart, such as x.jpg and x_mask.png, or None."""
    entries = [place.entry() for place in places]
    stems = {(entry.folders, entry.stem) for entry in entries}
    named = [(entry, *file_name(entry.stem)) for entry in entries]
    originals = {(entry.folders, base) for entry, base, word in named if word and (entry.folders, base) in stems}
    bases: dict[tuple[tuple[str, ...], str], dict[str, list[Entry]]] = {}
    for entry, base, word in named:
        if (entry.folders, entry.stem) in originals:
            base, word = entry.stem, ""
        bases.setdefault((entry.folders, base), {}).setdefault(word, []).append(replace(entry, stem=base, bare=base))
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
    for side in sides:
        side.title = f"files such as {os.path.basename(side.entries[0].path)}"
    if wanted.source == "auto" and not _of_one_size(sides):
        return None
    others = [e.path for words in bases.values() for word, es in words.items() if word not in picked for e in es]
    between = " and ".join(map(str, sides))
    left_out = [(_name(path, listing.root), f"neither of {between}") for path in others]
    return _joined(sides[0], sides[1], wanted, Path(listing.root), [*listing.left_out, *left_out])


def _ambiguous(root: str, masks: Sequence[str], kinds: Counter[str], num_places: int) -> None:
    if 2 * sum(kinds[word] for word in masks) >= num_places:
        words = " and ".join(f"_{word}" for word in masks)
        raise CalcoError(
            f"{root} holds images with several masks each ({words}), and nothing tells which are meant; put those that "
            "are into a folder of their own (--input IMAGES --target MASKS), or force --source photographs"
        )


def _of_one_size(sides: Sequence[Side]) -> bool:
    """Whether the files of pairs have one size, or are masks; a and b may be two views of one house."""
    if any(role_of(side.name) in ("mask", "label") for side in sides):
        return True
    pairs = match(*sides).pairs
    sizes = [[images.header_size_wh(entry.path) for entry in pair] for pair in pairs[:: max(1, len(pairs) // 8)]]
    return sum(one == other for one, other in sizes) * 2 > len(sizes)


def _name(path: str, root: str) -> str:
    return printable(path.removeprefix(root))


def _named_folders(root: Path, wanted: SourceConfig) -> Plan:
    """The plan of two folders that the user names."""
    if not (wanted.input and wanted.target):
        given, missing = ("--input", "--target") if wanted.input else ("--target", "--input")
        raise CalcoError(f"{given} is given without {missing}; name both folders")
    if wanted.source not in ("auto", "parallel", "masks"):
        raise CalcoError(f"--input and --target do not go with --source {wanted.source}; leave one of them out")
    sides: list[Side] = []
    listings: list[Listing] = []
    left_out: LeftOut = []
    for name in (wanted.input, wanted.target):
        folder = root / name if (root / name).is_dir() else Path(name)
        if not folder.is_dir():
            seen = ", ".join(_subfolders(root)) if root.is_dir() else "none, for it is no folder"
            raise CalcoError(f"there is no folder {name} in {root}; its folders: {seen or 'none'}")
        listing = list_files(folder, images.is_picture)
        if not listing.paths:
            raise CalcoError(nothing_in(folder, listing.left_out))
        entries = [place_of(path, listing.root).entry() for path in _without_thumbnails(listing)]
        left_out += [(f"{name}/{inside}", reason) for inside, reason in listing.left_out]
        sides.append(Side(name, entries))
        listings.append(listing)
    return _finished(_joined(sides[0], sides[1], wanted, root, left_out), [_beside(root, listings), *listings])


def _beside(root: Path, listings: Sequence[Listing]) -> Listing:
    """What lies in the root itself: lists of splits may name the files of both folders."""
    others = [path.name for path in root.iterdir() if path.is_file()] if root.is_dir() else []
    lists = [name for name in others if split_of_list(name)]
    return Listing(os.path.join(root, ""), [path for each in listings for path in each.paths], others=lists)


def _joined(first: Side, second: Side, wanted: SourceConfig, root: Path, left_out: LeftOut) -> Plan:
    """Decides which side is what, and matches the two."""
    found = match(first, second)
    if not found.pairs:
        examples = "; ".join(f"{side} has {_examples(side)}" for side in (first, second))
        raise CalcoError(
            f"no file name stands in both {first} and {second} of {root} ({examples}); give both pictures "
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
            "pictures with masks have no direction BtoA; to go from masks to pictures: "
            f"--source parallel --input {second} --target {first}"
        )
    left_out = left_out + [(_name(path, os.path.join(root, "")), reason) for path, reason in found.left_out]
    story = f"two parallel folders, {first} (input) and {second} (target)"
    story = f"pictures ({first}) with masks ({second})" if kind == "masks" else story
    items = {one.key: Item(one.key, one.key, (one.path, other.path), _further(one, other)) for one, other in pairs}
    notes: tuple[str, ...] = ()
    if found.loosely:
        example = commonest_addition(found.loosely)
        notes = (f"{len(found.loosely)} pairs are matched by names that are not equal, such as {example}",)
    return Plan(kind, tuple(items[key] for key in sorted(items)), left_out, printable(story), notes)


def _further(one: Entry, other: Entry) -> str | None:
    """The declared split of a pair: of two the one kept further from training."""
    return max(filter(None, (one.split, other.split)), key=SPLITS.index, default=None)


def _examples(side: Side) -> str:
    return printable(", ".join(sorted(os.path.basename(entry.path) for entry in side.entries)[:3]))
