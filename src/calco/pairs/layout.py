"""What a folder holds: side-by-side files, two parallel folders, pictures with masks, or photographs."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calco import images
from calco.errors import CalcoError
from calco.files import explain
from calco.pairs.parts import Layout, role_of, which_parts

Entry = tuple[str, str | None, tuple[Path, ...]]  # key, split, files

SPLITS: Final[dict[str, str]] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found: kind, entries sorted by key, what is left out and why, and the finding in words."""

    kind: str
    entries: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...]
    story: str


def recognise(root: Path, wanted: Layout) -> Plan:
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
            raise CalcoError(f"there is no folder {root}; check the path, or name the built-in drawings: openmoji")
    except OSError as error:
        raise explain(error, root, "read") from error
    pictures = images.list_pictures(root)
    if not pictures:
        raise CalcoError(_nothing_in(root))
    if wanted.source in ("auto", "parallel", "masks"):
        plan = _two_folders(root, wanted)
        if plan is not None:
            return plan
    if wanted.source in ("parallel", "masks"):
        folders = ", ".join(_subfolders(root)) or "none"
        raise CalcoError(
            f"{root} does not hold two folders of pictures for --source {wanted.source} (its folders: {folders}); "
            "name them with --input and --target"
        )
    if wanted.source == "side-by-side" or (wanted.source == "auto" and _all_double(pictures)):
        return _side_by_side(root, pictures, wanted.direction)
    return _photographs(root, pictures, wanted.direction)


def _nothing_in(root: Path) -> str:
    endings = Counter(path.suffix.lower() or "no ending" for path in root.rglob("*") if path.is_file())
    if not endings:
        return f"the folder {root} is empty; put pictures into it or name another"
    seen = ", ".join(f"{ending} ({count})" for ending, count in endings.most_common(5))
    return f"{root} holds no picture, only {seen}; pictures end in .jpg, .png, .webp, .tif, .bmp or the like"


def _one_file(path: Path, wanted: Layout) -> Plan:
    if not images.is_picture(path):
        raise CalcoError(f"{path} is no picture by its ending; name a folder of pictures or one picture")
    if wanted.source == "side-by-side":
        return _side_by_side(path.parent, [path], wanted.direction)
    if wanted.source in ("parallel", "masks"):
        raise CalcoError(f"{path} is one file; --source {wanted.source} needs two folders: --input and --target")
    return _photographs(path.parent, [path], wanted.direction)


def _photographs(root: Path, pictures: list[Path], direction: str) -> Plan:
    if direction == "BtoA":
        raise CalcoError(f"{root} holds single photographs, which have no direction BtoA; leave --direction out")
    return Plan("photographs", _single_entries(root, pictures), (), "photographs")


def _side_by_side(root: Path, pictures: list[Path], direction: str) -> Plan:
    half = "left" if direction == "AtoB" else "right"
    story = f"side-by-side files, the {half} half is the input"
    return Plan("side-by-side", _single_entries(root, pictures), (), story)


def _all_double(pictures: list[Path]) -> bool:
    """Whether several files have one size, exactly twice as wide as high; one file alone may be a panorama."""
    sample = pictures[:: max(1, len(pictures) // 64)]
    sizes = [size for path in sample if (size := images.header_size_wh(path))]
    return len(sizes) > 1 and len(set(sizes)) == 1 and sizes[0][0] == 2 * sizes[0][1]


def _single_entries(root: Path, pictures: list[Path]) -> tuple[Entry, ...]:
    """One entry a file; where two files differ in their ending only, the later ones keep it in their key."""
    split_by_folder = _splits({path.relative_to(root).parts[0] for path in pictures})
    entries: dict[str, Entry] = {}
    for path in pictures:
        key = _key(path, root)
        key = f"{key}{path.suffix}" if key in entries else key
        entries[key] = (key, split_by_folder.get(path.relative_to(root).parts[0]), (path,))
    return tuple(entries[key] for key in sorted(entries))


def _splits(first_parts: set[str]) -> dict[str, str]:
    """Folder name => split, when all pictures lie in folders that are named after at least two splits."""
    found = {name: SPLITS[name.lower()] for name in first_parts if name.lower() in SPLITS}
    return found if len(found) == len(first_parts) and len(set(found.values())) > 1 else {}


def _key(path: Path, root: Path) -> str:
    """Relative path without suffix; composed Unicode, so that a name copied from a Mac stays the same name."""
    return unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix())


def _subfolders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _two_folders(root: Path, wanted: Layout) -> Plan | None:
    """The plan of a folder with two sides in it (or in each of its splits); None when it is not so laid out."""
    names = [name for name in _subfolders(root) if images.list_pictures(root / name)]
    if any(images.is_picture(path) for path in root.iterdir() if path.is_file()):
        return None
    if len(names) > 2 and not _splits(set(names)):
        known = [name for name in names if role_of(name)]
        names = known if len(known) == 2 and len({role_of(name) for name in known}) == 2 else names
    sides = names
    folders = {name: [root / name] for name in names}
    if _splits(set(names)):
        inner = [_subfolders(root / name) for name in names]
        sides = inner[0] if all(found == inner[0] for found in inner) else []
        folders = {side: [root / name / side for name in names] for side in sides}
    if len(sides) != 2:
        return None
    first, second = (
        {key: path for folder in folders[side] for key, path in _listed(folder, root, side)} for side in sides
    )
    roles = [role_of(side) for side in sides]
    meant = wanted.source != "auto" or None not in roles or "mask" in roles
    if not meant and not _matched(first, second)[0]:
        return None
    return _joined((sides[0], first), (sides[1], second), wanted, root)


def _listed(folder: Path, root: Path, side: str) -> list[tuple[str, Path]]:
    """Key and path of each picture; the key leaves the side's own folder out, so that both sides have the same."""
    parts = [part for part in folder.relative_to(root).parts if part != side]
    found: dict[str, Path] = {}
    for path in images.list_pictures(folder):
        found.setdefault("/".join([*parts, _key(path, folder)]), path)
    return list(found.items())


def _named_folders(root: Path, wanted: Layout) -> Plan:
    """The plan of two folders that the user names."""
    if not (wanted.input and wanted.target):
        given, missing = ("--input", "--target") if wanted.input else ("--target", "--input")
        raise CalcoError(f"{given} is given without {missing}; name both folders")
    if wanted.source not in ("auto", "parallel", "masks"):
        raise CalcoError(f"--input and --target do not go with --source {wanted.source}; leave one of them out")
    sides: list[tuple[str, dict[str, Path]]] = []
    for name in (wanted.input, wanted.target):
        folder = root / name if (root / name).is_dir() else Path(name)
        if not folder.is_dir():
            seen = ", ".join(_subfolders(root)) if root.is_dir() else "none, for it is no folder"
            raise CalcoError(f"there is no folder {name} in {root}; its folders: {seen or 'none'}")
        found = dict(_listed(folder, folder, ""))
        if not found:
            raise CalcoError(_nothing_in(folder))
        sides.append((name, found))
    return _joined(sides[0], sides[1], wanted, root)


def _joined(
    first: tuple[str, dict[str, Path]], second: tuple[str, dict[str, Path]], wanted: Layout, root: Path
) -> Plan:
    """Decides which side is what, and matches the two."""
    matched, left_out = _matched(first[1], second[1], first[0], second[0])
    if not matched:
        examples = "; ".join(f"{name} has {_examples(found)}" for name, found in (first, second))
        raise CalcoError(
            f"no file name stands in both {first[0]} and {second[0]} of {root} ({examples}); give both pictures of "
            "a pair the same name (endings may differ), or name a folder of photographs alone"
        )
    kind, swapped = which_parts(first, second, wanted, root)
    if swapped != (wanted.direction == "BtoA" and kind == "parallel"):
        first, second = second, first
        matched = {key: (b, a) for key, (a, b) in matched.items()}
    if kind == "masks" and wanted.direction == "BtoA":
        raise CalcoError(
            "pictures with masks have no direction BtoA; to go from masks to pictures: "
            f"--source parallel --input {second[0]} --target {first[0]}"
        )
    story = f"two parallel folders, {first[0]} (input) and {second[0]} (target)"
    story = f"pictures ({first[0]}) with masks ({second[0]})" if kind == "masks" else story
    split_by_folder = _splits({key.split("/")[0] for key in matched})
    entries = tuple((key, split_by_folder.get(key.split("/")[0]), matched[key]) for key in sorted(matched))
    return Plan(kind, entries, left_out, story)


def _examples(found: dict[str, Path]) -> str:
    return ", ".join(sorted(path.name for path in found.values())[:3])


def _matched(
    first: dict[str, Path], second: dict[str, Path], first_name: str = "A", second_name: str = "B"
) -> tuple[dict[str, tuple[Path, Path]], tuple[tuple[str, str], ...]]:
    """Pairs by key, and what has no partner; where no key is equal, endings such as `_mask` are overlooked."""
    if not first.keys() & second.keys():
        first, second = ({_bare(key): path for key, path in side.items()} for side in (first, second))
    pairs = {key: (first[key], second[key]) for key in first.keys() & second.keys()}
    alone = [(path.name, f"no partner in {second_name}") for key, path in first.items() if key not in pairs]
    alone += [(path.name, f"no partner in {first_name}") for key, path in second.items() if key not in pairs]
    return pairs, tuple(alone)


def _bare(key: str) -> str:
    return re.sub(r"(?i)[ _-]+(mask|seg|label|labels|matte|gt|segmentation)$", "", key)
