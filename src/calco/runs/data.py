"""The images of a run: where they came from, how they were divided, and what could not be used."""

from collections.abc import Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from calco.data.config import SourceConfig
from calco.data.source import Item, Source


class Readable(Sized, Protocol):
    """The images of one split, as a run reads them."""

    damaged: dict[str, str]
    """Key and reason of every one that could not be used so far."""
    cache_bytes: int
    """How much memory those take at most that are kept."""


D = TypeVar("D", bound=Readable)


@dataclass(frozen=True, kw_only=True)
class RunData(Generic[D]):
    """The images of a run.

    Attributes:
        source: Where they are from.
        splits: Items by split.
        train: Those that are learned from.
        validation: Those that are checked on.
    """

    source: Source
    splits: dict[str, list[Item]]
    train: D
    validation: D

    def provenance(self) -> dict[str, Any]:
        """Where the training images came from."""
        return {
            "images": self.source.root,
            "source": self.source.kind,
            "splits": {name: len(items) for name, items in self.splits.items()},
        }

    def left_out(self) -> dict[str, str]:
        """Every image that was not used, and why."""
        damaged = self.train.damaged | self.validation.damaged
        used = {item.key for items in self.splits.values() for item in items}
        unsplit = {item.key: "too near to another split, or in a group with it" for item in self.source.items}
        unsplit = {key: reason for key, reason in unsplit.items() if key not in used}
        return dict(self.source.left_out) | unsplit | {key: damaged[key] for key in sorted(damaged)}


def whole_path(path: str | None) -> str | None:
    """A path that holds from anywhere, where something stands at it; other words as they are."""
    return str(Path(path).resolve()) if path and Path(path).exists() else path


def whole_paths(named: SourceConfig) -> SourceConfig:
    """The same with paths that hold from anywhere: a run is resumed and scored from other folders than its first."""
    return replace(
        named,
        annotations=whole_path(named.annotations),
        groups=whole_path(named.groups),
        drop=whole_path(named.drop),
    )
