"""The images of a run by their contents: what was replaced before a resume, and what the model has seen."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco.data.curation import MAX_COMPARED
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.files import read_json, write_json

RECORD: Final = "contents.json"
FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The images of training and validation.

    Attributes:
        by_digest: Whether the marks are digests; else they are sizes and times, of more images than are read for that.
        splits: Split => key => marks of its files; none of what cannot be read.
        earlier: Digests of images that this run was trained on and that are no longer there.
    """

    by_digest: bool
    splits: dict[str, dict[str, list[str]]]
    earlier: list[str] = field(default_factory=list)

    @property
    def trained_on(self) -> list[str] | None:
        """The digests of all images that the run was trained on; None where they are not known."""
        if not self.by_digest:
            return None
        return sorted({mark for marks in self.splits["train"].values() for mark in marks}.union(self.earlier))


def contents_of(source: Source, splits: Mapping[str, Sequence[Item]]) -> Contents:
    """The contents as they are now; reads all files, unless there are more than `MAX_COMPARED`."""
    chosen = {name: splits.get(name, ()) for name in ("train", "val")}
    by_digest = len(chosen["train"]) <= MAX_COMPARED
    marks = {
        name: {item.key: _marks(source, item, by_digest=by_digest) for item in items} for name, items in chosen.items()
    }
    return Contents(by_digest=by_digest, splits=marks)


def _marks(source: Source, item: Item, *, by_digest: bool) -> list[str]:
    try:
        if by_digest:
            return list(source.digests(item))
        found = (os.stat(path) for path in item.paths if os.path.exists(path))
        return [f"{status.st_size} {status.st_mtime_ns}" for status in found]
    except (CalcoError, OSError):
        return []  # what cannot be read is reported when it is loaded


def changes(before: Contents, now: Contents) -> str:
    """Describe how the images of training and validation differ from those of before; empty when they are the same."""
    parts = []
    for split, words in (("train", "training"), ("val", "validation")):
        old, new = before.splits.get(split, {}), now.splits[split]
        same_kind = before.by_digest == now.by_digest
        differ = sorted(key for key in old.keys() & new.keys() if same_kind and old[key] != new[key])
        # The first mark is that of the image and of what is said about it, the others are those of its files.
        said = [key for key in differ if now.by_digest and len(new[key]) > 1 and old[key][1:] == new[key][1:]]
        replaced = [key for key in differ if key not in said]
        found = (
            ("replaced", replaced),
            ("annotated anew", said),
            ("new", sorted(new.keys() - old)),
            ("gone", sorted(old.keys() - new.keys())),
        )
        parts += [f"{len(keys)} {words} images are {what}, such as {keys[0]}" for what, keys in found if keys]
    return "; ".join(parts)


def with_earlier(now: Contents, before: Contents) -> Contents:
    """The contents with the digests of what was trained on before and is no longer there."""
    seen = before.trained_on or []
    there = set(now.trained_on or ())
    return Contents(
        by_digest=now.by_digest, splits=now.splits, earlier=[digest for digest in seen if digest not in there]
    )


def save_contents(folder: Path, contents: Contents) -> None:
    """Writes the record of a run."""
    record: dict[str, Any] = {
        "format": FORMAT, "by_digest": contents.by_digest, "earlier": contents.earlier, "splits": contents.splits,
    }  # fmt: skip
    write_json(folder / RECORD, record)


def load_contents(folder: Path) -> Contents | None:
    """The record of a run; None where there is none.

    Raises:
        CalcoError: When it is damaged or of a newer format.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    record = read_json(path)
    try:
        if record["format"] != FORMAT:
            raise CalcoError(f"{path} is of the format {record['format']!r}; update Calco, or remove the file")
        splits = {str(name): {str(k): list(map(str, m)) for k, m in s.items()} for name, s in record["splits"].items()}
        return Contents(
            by_digest=bool(record["by_digest"]), splits={"train": {}, **splits}, earlier=list(record["earlier"])
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CalcoError(f"{path} is damaged ({error}); restore it from a copy, or remove it") from error
