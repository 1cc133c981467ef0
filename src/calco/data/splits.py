"""Training, validation and test: as the data set declares them by folders or lists, else by a hash of the group.

Whatever declares a split sets `Item.split`; `split_items` honours it.
"""

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

import numpy as np

from calco.data.config import SplitConfig
from calco.data.sample import fraction
from calco.data.source import Item
from calco.errors import CalcoError, printable
from calco.files import encoding_of, explained

LOG = logging.getLogger(__name__)
LeftOut: TypeAlias = list[tuple[str, str]]  # name, reason
SPLITS: Final = ("train", "val", "test")  # from what is trained on to what is kept furthest from it

# The words that the loaders of common frameworks know.
SPLIT_NAMES: Final[dict[str, str]] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
_FILLERS: Final = frozenset({
    "file", "files", "filelist", "filename", "filenames", "id", "ids", "image", "images", "img", "imgs", "index",
    "list", "name", "names", "pair", "pairs", "paths", "set", "split",
})  # fmt: skip
_LONGEST_LINE: Final = 4096


def furthest(splits: Iterable[str | None]) -> str | None:
    """Return, of several splits, the one that is kept furthest from training; None of none."""
    return max(filter(None, splits), key=SPLITS.index, default=None)


def split_named(name: str) -> str | None:
    """Return the split that a folder is named after, in any case and with a number at its end.

    >>> [split_named(name) for name in ("train2017", "Validation", "test_1", "trainers")]
    ['train', 'val', 'test', None]
    """
    return SPLIT_NAMES.get(re.sub(r"[ _-]?[0-9]+$", "", name).lower())


def split_of_list(name: str) -> str | None:
    """Return the split whose files a list names, by the list's own name.

    >>> [split_of_list(name) for name in ("train.txt", "list_val.lst", "trainval.txt", "cat_train.txt", "notes.txt")]
    ['train', 'val', 'train', None, None]
    """
    stem, ending = os.path.splitext(name)
    if ending.lower() not in (".txt", ".lst"):
        return None
    words = [word for word in re.findall(r"[a-z]+", stem.lower()) if word not in _FILLERS]
    if words in (["trainval"], ["train", "val"]):
        return "train"
    return SPLIT_NAMES.get(words[0]) if len(words) == 1 else None


@dataclass(frozen=True, slots=True)
class SplitLists:
    """Splits that lists of files declare."""

    split: dict[str, str]  # path of a file => its split; of several the one kept furthest from training
    names: tuple[str, ...]  # the lists, relative to the folder
    strangers: tuple[str, ...]  # lines that name no file here, with their list

    def remark(self) -> str:
        """Return a remark on the lists, and on lines that name nothing."""
        text = f"the splits are those of {', '.join(self.names)}"
        if self.strangers:
            text += f"; {len(self.strangers)} lines name no image here, such as {self.strangers[0]}"
        return text


def find_lists(root: str, paths: Sequence[str], lists: Iterable[str]) -> SplitLists | None:
    """Read the lists of a data set; of lists in several folders those of the folder that name the most files."""
    folders: dict[str, dict[str, str]] = {}
    for path in sorted(lists):
        if split := split_of_list(os.path.basename(path)):
            folders.setdefault(os.path.dirname(path), {})[path] = split
    read = []
    for each in folders.values():
        # A list of train and val together is not needed beside one of train.
        apart = {path: split for path, split in each.items() if not re.search(r"train_?val[^/]*$", path.lower())}
        read.append(read_lists(root, paths, apart if "train" in apart.values() else each))
    best = max(read, key=lambda found: len(found.split), default=None)
    return best if best and best.split else None


def read_lists(root: str, paths: Sequence[str], lists: dict[str, str]) -> SplitLists:
    """Read lists (path => split) whose lines are paths from here or from another machine, names, or names and more."""
    root = os.path.join(root, "")
    by_end: dict[str, list[str]] = {}  # every end of a path, with and without the ending of the name
    for path in paths:
        parts = composed(path.removeprefix(root)).split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            by_end.setdefault(end, []).append(path)
            by_end.setdefault(os.path.splitext(end)[0], []).append(path)

    def files_of(line: str) -> list[str]:
        for text in dict.fromkeys((line, *re.split(r"[\t,;]+", line)[:2], *line.split()[:2])):
            parts = PurePosixPath(composed(text.strip().strip("\"'")).replace("\\", "/")).parts
            for start in range(len(parts)):
                if found := by_end.get("/".join(parts[start:])):
                    return found
        return []

    split: dict[str, str] = {}
    strangers: list[str] = []
    for place, name in lists.items():
        for line in _lines(place):
            found = files_of(line)
            strangers += [] if found else [printable(f"{line} ({place.removeprefix(root)})")]
            split |= {path: max(split.get(path, "train"), name, key=SPLITS.index) for path in found}
    return SplitLists(split, tuple(printable(place.removeprefix(root)) for place in lists), tuple(strangers))


def composed(text: str) -> str:
    """Return text as it is shown, in composed Unicode: a name copied from a Mac stays the same name."""
    return text if text.isascii() and text.isprintable() else unicodedata.normalize("NFC", printable(text))


def _lines(path: str) -> list[str]:
    """Return the lines of a list, in the encodings that text editors write."""
    with explained(path, "read the list"):
        data = Path(path).read_bytes()
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    lines = (line.strip() for line in text.replace("\0", "").splitlines())
    return [line[:_LONGEST_LINE] for line in lines if line and not line.startswith("#")]


def listed(items: Iterable[Item], lists: SplitLists) -> tuple[tuple[Item, ...], LeftOut]:
    """Return items with the splits of lists; see `settled`. Of two splits the one further from training counts."""
    found: list[Item] = []
    for item in items:
        splits = [lists.split[path] for path in item.paths if path in lists.split]
        found.append(replace(item, split=furthest([*splits, item.split]) if splits else None))
    names = ", ".join(lists.names)
    if not any(item.split for item in found):
        raise CalcoError(f"none of {len(found)} images is listed in {names}; correct the lists")
    return settled(found, f"listed in none of {names}", complete="train" in lists.split.values())


def settled(items: Iterable[Item], reason: str, *, complete: bool = False) -> tuple[tuple[Item, ...], LeftOut]:
    """Return the items with the splits that count, once all declared splits are known.

    Where training is declared as well as validation or test, an item without a split is left out. Where it is not, such
    an item is for training. Training alone declares nothing: all items are split by their hash.
    """
    items = tuple(items)
    named = {item.split for item in items if item.split}
    held_out = bool(named - {"train"})
    left_out: LeftOut = []
    if "train" in named and (held_out or complete):
        left_out = [(item.key, reason) for item in items if not item.split]
        items = tuple(item for item in items if item.split)
    if not held_out and named:
        items = tuple(replace(item, split=None) for item in items)
    return items, left_out


def by_folders(items: Iterable[Item]) -> tuple[tuple[Item, ...], LeftOut]:
    """Return items with the splits that the folders in their keys are named after; see `settled`."""
    found, folders = [], set[str]()
    for item in items:
        splits = {folder: split for folder in item.key.split("/")[:-1] if (split := split_named(folder))}
        found.append(replace(item, split=next(iter(splits.values()), None)))
        folders |= splits.keys()
    return settled(found, f"in none of the folders {', '.join(sorted(folders))}")


def split_of(group: str, config: SplitConfig) -> str:
    """Return the split ("train", "val", "test") by the group's name alone: no seed, order or other image changes it."""
    position = fraction("split", group)
    if position < config.test:
        return "test"
    return "val" if position < config.test + config.validation else "train"


def split_names(items: Iterable[Item], config: SplitConfig) -> dict[str, str]:
    """Return the split of each item by its key, as `split_items` divides them.

    An item that no split holds has the split that it is declared, or "gap". Where the items are too few to be divided,
    those that declare nothing are for training.
    """
    items = list(items)
    result, rest = dict[str, list[Item]](), "gap"
    try:
        result = split_items(items, config)
    except CalcoError:
        rest = "train"
    named = {item.key: name for name, part in result.items() for item in part}
    return {item.key: named.get(item.key, item.split or rest) for item in items}


def split_items(items: Iterable[Item], config: SplitConfig) -> dict[str, list[Item]]:
    """Return items by split: the declared split (`Item.split`) where there is one, else by the hash of the group.

    What is declared validation or test is never trained on: an item that is declared otherwise than the rest of its
    group (a copy of a test image in the training folder) is in no split. Where no validation is declared, the hash
    takes it from training. Both are reported in one line. Items that declare nothing beside others that do are shared
    out among training and the splits that are not declared.

    With a smaller share for training, the groups that come first by another hash are trained on, so that a smaller
    share is a part of a larger one; the others are in no split.

    Training and validation (unless its share is 0) are never empty: where the hash leaves one so, the next group in the
    hash's order moves. Of a video that is divided into blocks each side gets its share by itself, so that other videos
    change nothing; frames too near to those of another side are in no split, and that is reported.

    Raises:
        CalcoError: If the items are too few to be divided.
    """
    items = list(items)
    groups = sorted({item.group for item in items}, key=lambda group: fraction("split", group))
    if len(groups) < (2 if config.validation else 1):
        raise CalcoError(
            f"there are {len(items)} images in {len(groups)} group(s); training needs two groups, one to "
            "learn from and one to be checked on: add images; a video of five seconds or more is "
            "divided (--video-groups block); or train without validation (--split.validation 0)"
        )
    videos: dict[str, list[Item]] = {}  # the frames of each video that is divided into blocks, by their time
    for item in items:
        if item.when:
            videos.setdefault(item.paths[0], []).append(item)
    divided = [sorted(videos[video], key=lambda item: item.when) for video in sorted(videos)]
    declared: dict[str, str] = {}  # of several splits of a group the one that is kept furthest from training
    for item in items:
        if item.split:
            declared[item.group] = max(declared.get(item.group, "train"), item.split, key=SPLITS.index)
    fixed = {group for group, split in declared.items() if split != "train"}
    chosen = _chosen(groups, divided, declared, config)
    near = {item.key for video in divided for item in _too_near(video, chosen)}
    # In a group that is declared validation or test, while the item itself is not.
    crossing = {item.key for item in items if item.group in fixed and item.split != declared[item.group]}
    result: dict[str, list[Item]] = {"train": [], "val": [], "test": []}
    for item in items:
        if item.key not in near and item.key not in crossing:
            result[chosen[item.group]].append(item)
    result["train"] = _learned(result["train"], config.training)
    for split, verb in {"train": "train", "val": "validate"}.items():
        if not result[split] and (split == "train" or config.validation > 0):
            raise CalcoError(
                f"no frame is left to {verb} on, since {len(near)} are too near to those of another side; take more of "
                "the frames (--frames 1), or more videos"
                if near
                else f"the splits that the data set declares leave no image to {verb} on; declare some, or name the "
                "folder of the images that are to be split"
            )
    if declared:
        _report_declared(items, crossing, result)
    if near:
        gaps = sorted({video[0].when[1] for video in divided})
        seconds = f"{gaps[0]:g}" if len(gaps) == 1 else f"{gaps[0]:g} to {gaps[-1]:g}"
        LOG.warning(
            f"{len(near)} frames are left out: they lie within {seconds} s of frames on another side of the split"
        )
    return result


def _learned(items: list[Item], share: float) -> list[Item]:
    """Return those of a share of the groups, at least one."""
    if share == 1:
        return items
    groups = sorted({item.group for item in items}, key=lambda group: fraction("training", group))
    chosen = set(groups[: max(1, round(share * len(groups)))])
    found = [item for item in items if item.group in chosen]
    LOG.info(f"{len(found)} of {len(items)} images are trained on (--split.training {share:g})")
    return found


def _chosen(
    groups: Sequence[str], divided: Iterable[list[Item]], declared: Mapping[str, str], config: SplitConfig
) -> dict[str, str]:
    """Return the split of each group: the hash fills undeclared splits, and takes no test from training."""
    hashed = {group: split_of(group, config) for group in groups}
    for video in divided:
        hashed |= _of_blocks(video, config)
    named = set(declared.values())
    chosen = {group: "train" if split in named else split for group, split in hashed.items()}
    for group, split in declared.items():
        validates = split == "train" and "val" not in named and hashed[group] == "val"
        chosen[group] = "val" if validates else split
    free = [group for group in groups if declared.get(group, "train") == "train"]
    if config.validation > 0 and "val" not in chosen.values():
        _move(free, chosen, ("train", "test"), "val")
    if "train" not in chosen.values():
        _move(free[::-1], chosen, ("val", "test"), "train")
    return chosen


def _report_declared(items: Sequence[Item], crossing: Collection[str], result: Mapping[str, Sequence[Item]]) -> None:
    """Report what is declared, what was not and is split off, and what no split can hold."""
    counts = Counter(item.split for item in items if item.split)
    text = ", ".join(f"{counts[name]} {name}" for name in SPLITS if counts[name])
    if "val" not in counts and result["val"]:
        text += f"; it declares no validation: {len(result['val'])} are kept from training for it"
    if "test" not in counts and not result["test"]:
        text += "; it declares no test: calco evaluate scores on validation"
    LOG.info(f"the data set declares its splits: {text}")
    if crossing:
        first = min(crossing)
        group = next(item.group for item in items if item.key == first)
        other = next(item for item in items if item.group == group and item.key not in crossing)
        LOG.warning(
            f"{len(crossing)} images are left out: they are copies of images that are declared {other.split}, or "
            f"in one group with them, such as {first} ({other.key})"
        )


def _of_blocks(video: list[Item], config: SplitConfig) -> dict[str, str]:
    """Return the sides of a video's blocks, by the order of their hashes; each side has one if they suffice."""
    blocks = sorted({item.group for item in video}, key=lambda group: fraction("split", group))
    if len(blocks) < 3:
        return {}
    test, val = (max(1, round(share * len(blocks))) if share else 0 for share in (config.test, config.validation))
    test, val = min(test, len(blocks) - 2), min(val, len(blocks) - 1 - min(test, len(blocks) - 2))
    return {
        block: "test" if place < test else "val" if place < test + val else "train"
        for place, block in enumerate(blocks)
    }


def _too_near(video: list[Item], chosen: Mapping[str, str]) -> list[Item]:
    """Return the frames to leave out: of training those near to others, between validation and test half of each."""
    sides = np.array([chosen[item.group] for item in video])
    seconds = np.array([item.when[0] for item in video])
    gap = video[0].when[1]
    out = np.zeros(len(video), np.bool_)
    kept = np.flatnonzero(sides != "train")
    for before, after in pairwise(kept):
        if sides[before] != sides[after] and seconds[after] - seconds[before] < gap:
            middle = (seconds[before] + seconds[after]) / 2
            out[kept] |= np.abs(seconds[kept] - middle) < gap / 2
    held = seconds[(sides != "train") & ~out]
    if len(held):
        place = np.searchsorted(held, seconds)
        nearest = np.minimum(
            np.abs(seconds - held[np.clip(place, 0, len(held) - 1)]),
            np.abs(seconds - held[np.clip(place - 1, 0, len(held) - 1)]),
        )
        out |= (sides == "train") & (nearest < gap)
    return [video[place] for place in np.flatnonzero(out)]


def _move(groups: list[str], chosen: dict[str, str], sources: tuple[str, ...], split: str) -> None:
    """Move the first group of a split that can spare one."""
    for source in sources:
        candidates = [group for group in groups if chosen[group] == source]
        if len(candidates) > 1 or (candidates and source == "test"):
            chosen[candidates[0]] = split
            return
