"""Splits that a data set declares: by the names of its folders, or by lists of its files such as `train.txt`.

Whatever declares a split sets `Item.split`; `split_items` honours it.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

from calco.data.source import Item
from calco.errors import CalcoError, printable
from calco.files import explain

SPLITS: Final = ("train", "val", "test")  # from what is trained on to what is kept furthest from it

# The words that the loaders of common frameworks know.
SPLIT_NAMES: Final[dict[str, str]] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
LeftOut: TypeAlias = list[tuple[str, str]]  # name, reason
LIST_ENDINGS: Final = (".txt", ".lst")
_FILLERS: Final = frozenset({
    "file", "files", "filelist", "filename", "filenames", "id", "ids", "image", "images", "img", "imgs", "index",
    "list", "name", "names", "pair", "pairs", "paths", "set", "split",
})  # fmt: skip
_LONGEST_LINE: Final = 4096


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
    if ending.lower() not in LIST_ENDINGS:
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


def find_lists(root: str, paths: Sequence[str], lists: Iterable[str]) -> SplitLists | None:
    """Read the lists of a data set; of lists in several folders those of the folder that name the most files."""
    folders: dict[str, dict[str, str]] = {}
    for path in sorted(lists):
        if split := split_of_list(os.path.basename(path)):
            folders.setdefault(os.path.dirname(path), {})[path] = split
    if not folders:
        return None
    files = _Files(root, paths)
    read = []
    for each in folders.values():
        # A list of train and val together is not needed beside one of train.
        apart = {path: split for path, split in each.items() if not re.search(r"train_?val[^/]*$", path.lower())}
        read.append(files.read(apart if "train" in apart.values() else each))
    best = max(read, key=lambda found: len(found.split))
    return best if best.split else None


def read_lists(root: str, paths: Sequence[str], lists: dict[str, str]) -> SplitLists:
    """Read lists (path => split) whose splits are known."""
    return _Files(root, paths).read(lists)


class _Files:
    """Files by every end of their path, with and without the ending of the name."""

    def __init__(self, root: str, paths: Sequence[str]) -> None:
        self.root = os.path.join(root, "")
        self.by_end: dict[str, list[str]] = {}
        for path in paths:
            parts = _composed(path.removeprefix(self.root)).split("/")
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                self.by_end.setdefault(end, []).append(path)
                self.by_end.setdefault(os.path.splitext(end)[0], []).append(path)

    def read(self, lists: dict[str, str]) -> SplitLists:
        split: dict[str, str] = {}
        strangers: list[str] = []
        for place, name in lists.items():
            for line in _lines(place):
                found = self.find(line)
                if not found:
                    strangers.append(printable(f"{line} ({place.removeprefix(self.root)})"))
                for path in found:
                    split[path] = max(split.get(path, "train"), name, key=SPLITS.index)
        return SplitLists(split, tuple(printable(place.removeprefix(self.root)) for place in lists), tuple(strangers))

    def find(self, line: str) -> list[str]:
        """Return the files of a line: a path from here or from another machine, a name, or a name and more."""
        for text in dict.fromkeys((line, *re.split(r"[\t,;]+", line)[:2], *line.split()[:2])):
            parts = PurePosixPath(_composed(text.strip().strip("\"'")).replace("\\", "/")).parts
            for start in range(len(parts)):
                if found := self.by_end.get("/".join(parts[start:])):
                    return found
        return []


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", printable(text))


def _lines(path: str) -> list[str]:
    """Return the lines of a list, in the encodings that text editors write."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise explain(error, path, "read the list") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
    lines = (line.strip() for line in text.replace("\0", "").splitlines())
    return [line[:_LONGEST_LINE] for line in lines if line and not line.startswith("#")]


def listed(items: Iterable[Item], lists: SplitLists) -> tuple[tuple[Item, ...], LeftOut]:
    """Return items with the splits of lists; see `settled`. Of two splits the one further from training counts."""
    found: list[Item] = []
    for item in items:
        splits = [lists.split[path] for path in item.paths if path in lists.split]
        splits += [item.split] if item.split and splits else []
        found.append(replace(item, split=max(splits, key=SPLITS.index) if splits else None))
    reason = f"listed in none of {', '.join(lists.names)}"
    if not any(item.split for item in found):
        raise CalcoError(f"none of {len(found)} images is listed in {', '.join(lists.names)}; correct the lists")
    return settled(found, reason, complete="train" in lists.split.values())


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
    found = []
    for item in items:
        splits = [split for folder in item.key.split("/")[:-1] if (split := split_named(folder))]
        found.append(replace(item, split=splits[0] if splits else None))
    folders = sorted({f for item in found for f in item.key.split("/")[:-1] if split_named(f)})
    return settled(found, f"in none of the folders {', '.join(folders)}")


def remark(lists: SplitLists) -> str:
    """Return a remark on the lists, and on lines that name nothing."""
    text = f"the splits are those of {', '.join(lists.names)}"
    if lists.strangers:
        text += f"; {len(lists.strangers)} lines name no image here, such as {lists.strangers[0]}"
    return text
