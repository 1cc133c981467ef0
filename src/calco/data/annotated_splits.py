"""Splits that a data set with annotations declares: in data.yaml, in lists of images, or by the names of its files.

The first that declares one counts: YOLO's data.yaml; lists such as train.txt or ImageSets/Main/val.txt; what the
annotations say of each image; files of annotations such as instances_train.json; folders such as train2017.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from calco.annotations.data_yaml import DataYaml
from calco.annotations.record import Annotations, Record
from calco.data.declared import (
    SPLITS,
    LeftOut,
    SplitLists,
    by_folders,
    find_lists,
    listed,
    read_lists,
    remark,
    settled,
    split_named,
    split_of_list,
)
from calco.data.sources import Item
from calco.files import list_files


def with_declared_splits(
    items: Sequence[Item], records: Sequence[Record], found: Annotations, root: str
) -> tuple[tuple[Item, ...], LeftOut, tuple[str, ...]]:
    """Return items with the splits that their data set declares, those that are left out, and remarks on both.

    Args:
        items: Without a split, in the order of the records.
        records: What is said about each.
        found: All that was read.
        root: The folder of the images, with a separator at its end.

    Raises:
        CalcoError: If a list names none of the images, or cannot be read.
    """
    paths = [item.paths[0] for item in items]
    described = next((each for each in found.described if each.splits), None)
    if described and (lists := _of_data_yaml(described, paths, root)):
        return *listed(items, lists), (remark(lists),)
    texts = list_files(root, lambda name: split_of_list(name) is not None).paths
    in_folders, outside = by_folders(items)
    if lists := find_lists(root.rstrip("/") or "/", paths, texts):
        own = {item.key: item.split for item in in_folders}
        return *listed([replace(item, split=own.get(item.key)) for item in items], lists), (remark(lists),)
    by_entry = [replace(item, split=split_named(record.split)) for item, record in zip(items, records, strict=True)]
    if len({item.split for item in by_entry} - {None}) > 1:
        return *settled(by_entry, "of no split in the annotations"), ("the splits are those that the annotations name",)
    by_file = [replace(item, split=_of_files(record)) for item, record in zip(items, records, strict=True)]
    if len({item.split for item in by_file} - {None}) > 1:
        files = sorted({os.path.basename(record.where) for record in records if _of_files(record)})
        return *settled(by_file, f"annotated in none of {', '.join(files)}"), (
            f"the splits are those of {', '.join(files)}",
        )
    return in_folders, outside, ()


def _of_files(record: Record) -> str | None:
    """Return the split that the file of a record is named after; of several files the one furthest from training."""
    words = [re.findall(r"[A-Za-z]+[0-9]*", Path(where).stem) for where in (record.where, *record.also)]
    splits = [split for each in words for word in each if (split := split_named(word))]
    return max(splits, key=SPLITS.index) if splits else None


def _of_data_yaml(described: DataYaml, paths: Sequence[str], root: str) -> SplitLists | None:
    """Return the splits of data.yaml, whose entries are folders, lists of images, or images."""
    split: dict[str, str] = {}
    sides: dict[str, set[str]] = {}
    strangers: list[str] = []
    for name, places in described.splits:
        for place in places:
            inside = _inside(place, described, paths, root, name)
            sides.setdefault(name, set()).update(inside)
            strangers += [] if inside else [f"{name}: {place}"]
    train = sides.get("train", set())
    for name in SPLITS:
        # Where validation is all of training, nothing is kept apart.
        if name == "train" or sides.get(name, set()) != train:
            split |= dict.fromkeys(sides.get(name, ()), name)
    if not split:
        return None
    where = str(described.path).removeprefix(root)
    return SplitLists(split, (where,), tuple(f"{each} ({where})" for each in strangers))


def _inside(place: str, described: DataYaml, paths: Sequence[str], root: str, split: str) -> set[str]:
    """Return the images that an entry of data.yaml names."""
    candidates = _candidates(place, described, root)
    for path in candidates:
        if path.is_file() and path.suffix.lower() in (".txt", ".lst"):
            return set(read_lists(root, paths, {str(path): split}).split)
    for path in candidates:
        top = os.path.join(os.path.normpath(path), "")
        if inside := {each for each in paths if each.startswith(top) or each == str(path)}:
            return inside
    return set()


def _candidates(place: str, described: DataYaml, root: str) -> list[Path]:
    """Return the paths that an entry may mean: from its file, and, for a path of another machine, by its last parts."""
    named, home = PurePosixPath(place.strip().replace("\\", "/")), described.path.parent
    base = PurePosixPath(described.root.strip().replace("\\", "/"))
    found = [home / base / named, home / named, Path(root) / base / named, Path(root) / named]
    parts = [part for part in named.parts if part not in ("/", "..", ".")]
    tails = [parts[start:] for start in range(len(parts))]
    # A last part alone may be any folder, unless it is named after a split.
    tails = [tail for tail in tails if len(tail) > 1 or len(parts) == 1 or split_named(tail[0])]
    found += [top.joinpath(*tail) for tail in tails for top in (home, Path(root))]
    return list(dict.fromkeys(Path(os.path.normpath(path)) for path in found))
