"""Files beside YOLO's labels: names of the classes, keypoints, and which images are for training.

`data.yaml` is read with every scalar as text: a class called `no` or `012` keeps its name. Nothing in it is expanded or
followed, so that a small file cannot become a large one.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from calco.annotations.parsing import class_name, number
from calco.errors import CalcoError
from calco.files import read_text

_MOST_BYTES: Final = 1 << 22  # the names of 100,000 classes; a larger file describes no data set
_YAML: Final = (".yaml", ".yml")
_DATA: Final = ("data", "dataset")
_OTHER_LISTS: Final = ("labels.txt", "class_names.txt", "names.txt", "obj_names.txt")
_MOST_KEYPOINTS: Final = 1000
_SPLITS: Final = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataYaml:
    """Content of a file beside YOLO's labels, with paths as they are written."""

    path: Path
    names: tuple[str, ...] = ()  # of the classes, in the order of their numbers
    kpt_shape: tuple[int, int] | None = None  # number of keypoints, and numbers of each (2 or 3)
    root: str = ""  # folder to which the paths of the splits are relative
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()  # split, and the folders, lists or images of it


def find_data_yaml(folder: Path, top: Path) -> tuple[DataYaml, ...]:
    """Read the files in a folder and above it, up to `top`, that describe labels: the nearest first.

    In one folder YAML comes first (`data.yaml` before others), then `classes.txt`, `*.names` and other lists of names.
    """
    found = []
    # Labels that lie elsewhere may be described in their own folder or the one above.
    parents = [folder, *folder.parents] if folder.is_relative_to(top) else [folder, folder.parent]
    for parent in parents:
        try:
            paths = sorted(path for path in parent.iterdir() if path.is_file() and not path.name.startswith("."))
        except OSError:
            paths = []
        ranked = sorted((rank, path) for path in paths if (rank := _rank(path)) is not None)
        found += [_read(path) for _, path in ranked]
        if parent == top:
            break
    return tuple(each for each in found if each.names or each.kpt_shape or each.splits)


def _rank(path: Path) -> int | None:
    """Return the place of a file among those that may describe labels; None for any other."""
    suffix, name = path.suffix.lower(), path.name.lower()
    kinds = (suffix in _YAML and path.stem.lower() in _DATA, suffix in _YAML, name == "classes.txt",
             suffix == ".names", name in _OTHER_LISTS)  # fmt: skip
    return kinds.index(True) if any(kinds) else None


def _read(path: Path) -> DataYaml:
    if path.stat().st_size > _MOST_BYTES:
        raise CalcoError(
            f"{path} has {path.stat().st_size:,} bytes; the names of classes need less than {_MOST_BYTES:,}"
        )
    text = read_text(path)
    if path.suffix.lower() not in _YAML:
        return DataYaml(path=path, names=_listed(path, text))
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if path.stem.lower() not in _DATA and not re.search(r"(?m)^\s*[\"']?(names|kpt_shape)\b", text):
            return DataYaml(path=path)  # the file of another program
        reason = " ".join(str(error).split())
        raise CalcoError(f"{path} is not valid YAML ({reason}); correct it or write it anew") from error
    if not isinstance(content, dict) or not {"names", "nc", "kpt_shape"} & content.keys():
        return DataYaml(path=path)  # the file of another program
    names, num = _names(path, content.get("names")), content.get("nc")
    if names and isinstance(num, str) and num.strip() and num.strip() != str(len(names)):
        raise CalcoError(f"{path}: nc is {num[:40]}, and there are {len(names)} names; correct one of them")
    return DataYaml(
        path=path,
        names=names,
        kpt_shape=_keypoints(path, content.get("kpt_shape")),
        root=content["path"] if isinstance(content.get("path"), str) else "",
        splits=_splits(path, content),
    )


def _listed(path: Path, text: str) -> tuple[str, ...]:
    """Return the names of a list, one a line: the first is number 0."""
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")]
    if text.strip() and "" in lines:
        place = lines.index("") + 1
        raise CalcoError(f"{path}, line {place} is empty, and the lines number the classes from 0; fill or delete it")
    return tuple(class_name(line) for line in lines if line)


def _names(path: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, dict):
        numbers = sorted(names, key=lambda key: (len(str(key)), str(key)))
        if numbers != [str(number) for number in range(len(names))]:
            raise CalcoError(f"{path}: names must be a list, or be numbered from 0 without gaps; write them so")
        names = [names[number] for number in numbers]
    if names in (None, ""):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CalcoError(f"{path}: names must be a list of words, or be numbered from 0 without gaps; write them so")
    return tuple(class_name(name) for name in names)


def _keypoints(path: Path, shape: Any) -> tuple[int, int] | None:
    if shape in (None, ""):
        return None
    try:
        count, each = (int(number(part)) for part in shape)
    except (CalcoError, TypeError, ValueError):
        count, each = 0, 0
    if not 0 < count <= _MOST_KEYPOINTS or each not in (2, 3):
        raise CalcoError(f"{path}: kpt_shape is {str(shape)[:60]}; it must be the number of keypoints, then 2 or 3")
    return count, each


def _splits(path: Path, content: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for key, split in _SPLITS.items():
        named = content.get(key)
        places = [named] if isinstance(named, str) else named or []
        if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
            raise CalcoError(f"{path}: {key} must be a folder, a list of images, or several of these; write it so")
        if places := [place for place in places if place.strip()]:
            found.append((split, tuple(places)))
    return tuple(found)
