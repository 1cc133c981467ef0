"""What a folder of picture files holds: side-by-side files, two parallel folders, with masks, or photographs."""

import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from calco import images
from calco.errors import CalcoError, printable
from calco.files import Listing, explain, list_files
from calco.pairs.declared import LeftOut, split_named
from calco.pairs.frames import is_film
from calco.pairs.parts import Side, role_of, which_parts
from calco.pairs.sources import Item, SourceConfig


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found: kind, items sorted by key, what is left out and why, the finding in words, remarks."""

    kind: str
    items: tuple[Item, ...]
    left_out: LeftOut
    story: str
    notes: tuple[str, ...] = ()


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
    films: list[str] = []

    def wanted_file(name: str) -> bool:
        if images.is_picture(name):
            return True
        if is_film(name):
            films.append(name)
        return False

    listing = list_files(root, wanted_file)
    if not listing.paths:
        raise CalcoError(nothing_in(root, listing.left_out))
    plan = _folder(root, listing, wanted)
    if films:
        note = f"{len(films)} films lie among the pictures, such as {films[0]}; --source film takes them instead"
        plan = replace(plan, notes=(printable(note),))
    return plan


def _folder(root: Path, listing: Listing, wanted: SourceConfig) -> Plan:
    if wanted.source in ("auto", "parallel", "masks"):
        plan = _two_folders(listing, wanted)
        if plan is not None:
            return plan
    if wanted.source in ("parallel", "masks"):
        folders = ", ".join(_subfolders(root)) or "none"
        raise CalcoError(
            f"{root} does not hold two folders of pictures for --source {wanted.source} (its folders: {folders}); "
            "name them with --input and --target"
        )
    if wanted.source == "side-by-side" or (wanted.source == "auto" and _all_double(listing.paths)):
        return _side_by_side(listing, wanted.direction)
    return _photographs(listing, wanted.direction)


def nothing_in(root: Path, left_out: LeftOut, what: str = "picture") -> str:
    """Says what a folder holds in place of what was looked for."""
    found = list_files(root, lambda _name: True).paths
    endings = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in found)
    known = "pictures end in .jpg, .png, .webp, .tif, .bmp or the like"
    if what == "film":
        known = "films end in .mp4, .mov, .avi, .mkv, .webm or the like"
    if left_out:
        name, reason = left_out[0]
        return f"{root} holds no {what} that could be listed; left out: {len(left_out)}, such as {name} ({reason})"
    if not endings:
        return f"the folder {root} is empty; put {what}s into it or name another"
    seen = ", ".join(f"{ending} ({count})" for ending, count in endings.most_common(5))
    return f"{root} holds no {what}, only {seen}; {known}"


def _one_file(path: Path, wanted: SourceConfig) -> Plan:
    if not images.is_picture(path):
        raise CalcoError(f"{path} is no picture by its ending; name a folder of pictures or one picture")
    listing = Listing(os.path.join(path.parent, ""), [str(path)])
    if wanted.source == "side-by-side":
        return _side_by_side(listing, wanted.direction)
    if wanted.source in ("parallel", "masks"):
        raise CalcoError(f"{path} is one file; --source {wanted.source} needs two folders: --input and --target")
    return _photographs(listing, wanted.direction)


def _photographs(listing: Listing, direction: str) -> Plan:
    if direction == "BtoA":
        raise CalcoError(f"{listing.root} holds single photographs, which have no direction BtoA; leave it out")
    return Plan("photographs", _single_items(listing), listing.left_out, "photographs")


def _side_by_side(listing: Listing, direction: str) -> Plan:
    half = "left" if direction == "AtoB" else "right"
    story = f"side-by-side files, the {half} half is the input"
    return Plan("side-by-side", _single_items(listing), listing.left_out, story)


def _all_double(pictures: list[str]) -> bool:
    """Whether several files have one size, exactly twice as wide as high; one file alone may be a panorama."""
    sample = pictures[:: max(1, len(pictures) // 64)]
    sizes = [size for path in sample if (size := images.header_size_wh(path))]
    return len(sizes) > 1 and len(set(sizes)) == 1 and sizes[0][0] == 2 * sizes[0][1]


def _single_items(listing: Listing) -> tuple[Item, ...]:
    """One item a file; where two files differ in their ending only, the later ones keep it in their key."""
    start = len(listing.root)
    split_of = splits_by_folder({_first(path[start:]) for path in listing.paths})
    items: dict[str, Item] = {}
    for path in listing.paths:
        key = key_of(path[start:])
        while key in items:
            key += printable(os.path.splitext(path)[1])
        items[key] = Item(key, key, (path,), split_of.get(_first(path[start:])))
    return tuple(items[key] for key in sorted(items))


def _first(relative: str) -> str:
    return relative.split("/", 1)[0]


def _folders(relative: str) -> tuple[str, ...]:
    """The first two folders of a path, or the one that it has."""
    return tuple(relative.split("/", 3)[:-1][:2])


def splits_by_folder(names: set[str]) -> dict[str, str]:
    """Folder name => split, when all pictures lie in folders that are named after at least two splits."""
    found = {name: split for name in names if (split := split_named(name))}
    return found if len(found) == len(names) and len(set(found.values())) > 1 else {}


def key_of(relative: str) -> str:
    """A relative path without its ending, in composed Unicode: a name copied from a Mac stays the same name."""
    return unicodedata.normalize("NFC", printable(os.path.splitext(relative)[0]))


def _subfolders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _two_folders(listing: Listing, wanted: SourceConfig) -> Plan | None:
    """The plan of a folder with two sides in it (or in each of its splits); None when it is not so laid out."""
    start = len(listing.root)
    if any("/" not in path[start:] for path in listing.paths):
        return None  # pictures beside the folders
    folders = {_folders(path[start:]) for path in listing.paths}
    names = sorted({parts[0] for parts in folders})
    if len(names) > 2 and not splits_by_folder(set(names)):
        known = [name for name in names if role_of(name)]
        names = known if len(known) == 2 and len({role_of(name) for name in known}) == 2 else names
    depth = 0
    if splits_by_folder(set(names)):
        inner = [sorted({parts[1] for parts in folders if parts[0] == name and parts[1:]}) for name in names]
        names = inner[0] if all(found == inner[0] for found in inner) else []
        depth = 1
    if len(names) != 2:
        return None
    sides = {name: Side(name) for name in names}
    left_out = list(listing.left_out)
    others: Counter[str] = Counter()
    for path in listing.paths:
        parts = path[start:].split("/")
        if len(parts) > depth + 1 and parts[depth] in sides:
            inside = "/".join(parts[:depth] + parts[depth + 1 :])
            _add(sides[parts[depth]], inside, path, listing.root, left_out)
        else:
            others["/".join(parts[:-1][: depth + 1])] += 1
    between = " and ".join(names)
    left_out += [(printable(name), f"not of {between}: pictures in it: {count}") for name, count in others.items()]
    first, second = sides.values()
    roles = [role_of(name) for name in names]
    meant = wanted.source != "auto" or None not in roles or "mask" in roles
    if not meant and not first.files.keys() & second.files.keys():
        return None
    return _joined(first, second, wanted, Path(listing.root), left_out)


def _add(side: Side, inside: str, path: str, root: str, left_out: LeftOut) -> None:
    """Puts a file under its key, the path without the side's own folder; both sides then have the same."""
    first = side.files.setdefault(key_of(inside), path)
    if first != path:
        reason = f"shares its name with {os.path.basename(first)}, which is taken; rename or remove one"
        left_out.append((_name(path, root), printable(reason)))


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
    left_out: LeftOut = []
    for name in (wanted.input, wanted.target):
        folder = root / name if (root / name).is_dir() else Path(name)
        if not folder.is_dir():
            seen = ", ".join(_subfolders(root)) if root.is_dir() else "none, for it is no folder"
            raise CalcoError(f"there is no folder {name} in {root}; its folders: {seen or 'none'}")
        listing = list_files(folder, images.is_picture)
        left_out += [(f"{name}/{inside}", reason) for inside, reason in listing.left_out]
        side = Side(name)
        for path in listing.paths:
            _add(side, path[len(listing.root) :], path, os.path.join(root, ""), left_out)
        if not side.files:
            raise CalcoError(nothing_in(folder, listing.left_out))
        sides.append(side)
    return _joined(sides[0], sides[1], wanted, root, left_out)


def _joined(first: Side, second: Side, wanted: SourceConfig, root: Path, left_out: LeftOut) -> Plan:
    """Decides which side is what, and matches the two."""
    if not first.files.keys() & second.files.keys():
        # Where no name is equal, endings such as `_mask` are overlooked.
        first, second = _bare(first, root, left_out), _bare(second, root, left_out)
    keys = sorted(first.files.keys() & second.files.keys())
    if not keys:
        examples = "; ".join(f"{side.name} has {_examples(side)}" for side in (first, second))
        raise CalcoError(
            f"no file name stands in both {first.name} and {second.name} of {root} ({examples}); give both pictures "
            "of a pair the same name (endings may differ), or name a folder of photographs alone"
        )
    kind, swapped = which_parts(first, second, wanted, root)
    if swapped != (wanted.direction == "BtoA" and kind == "parallel"):
        first, second = second, first
    if kind == "masks" and wanted.direction == "BtoA":
        raise CalcoError(
            "pictures with masks have no direction BtoA; to go from masks to pictures: "
            f"--source parallel --input {second.name} --target {first.name}"
        )
    for side, other in ((first, second), (second, first)):
        alone = [side.files[key] for key in sorted(side.files.keys() - other.files.keys())]
        left_out += [(_name(path, os.path.join(root, "")), f"no partner in {other.name}") for path in alone]
    story = f"two parallel folders, {first.name} (input) and {second.name} (target)"
    story = f"pictures ({first.name}) with masks ({second.name})" if kind == "masks" else story
    split_of = splits_by_folder({_first(key) for key in keys})
    items = (Item(key, key, (first.files[key], second.files[key]), split_of.get(_first(key))) for key in keys)
    return Plan(kind, tuple(items), left_out, printable(story))


def _examples(side: Side) -> str:
    return ", ".join(sorted(os.path.basename(path) for path in side.files.values())[:3])


def _bare(side: Side, root: Path, left_out: LeftOut) -> Side:
    """The same files under keys without such endings."""
    bare = Side(side.name)
    for key, path in side.files.items():
        shorter = re.sub(r"(?i)[ _-]+(mask|seg|label|labels|matte|gt|segmentation)$", "", key)
        _add(bare, f"{shorter}.", path, os.path.join(root, ""), left_out)
    return bare
