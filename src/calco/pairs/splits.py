"""Training, validation and test: by a hash of the group, so that they stand when pictures are added."""

from collections.abc import Iterable
from dataclasses import dataclass

from calco.console import warn
from calco.errors import CalcoError
from calco.pairs.sources import Item
from calco.pairs.types import fraction


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How much is kept apart from training."""

    validation: float = 0.1
    """The share of groups that training is watched on."""

    test: float = 0.1
    """The share of groups that is kept for the final score."""

    def __post_init__(self) -> None:
        for name, share in (("validation", self.validation), ("test", self.test)):
            if not 0 <= share < 1:
                raise CalcoError(f"the {name} share is {share}; it must lie in [0, 1): try 0.1")
        if self.validation + self.test >= 1:
            total = self.validation + self.test
            raise CalcoError(f"validation and test take {total:g} of the pictures; training gets none: try 0.1 each")


def split_of(group: str, config: SplitConfig) -> str:
    """The split ("train", "val", "test") by the group's name alone: no seed, order or other picture changes it."""
    position = fraction("split", group)
    if position < config.test:
        return "test"
    return "val" if position < config.test + config.validation else "train"


def split_items(items: Iterable[Item], config: SplitConfig) -> dict[str, list[Item]]:
    """Items by split; a folder's own splits win.

    Training and validation are never empty: where the hash leaves one so, the next group in the hash's order moves.

    Raises:
        CalcoError: When there are fewer than two groups.
    """
    items = list(items)
    groups = sorted({item.group for item in items}, key=lambda group: fraction("split", group))
    if len(groups) < 2:
        raise CalcoError(
            f"there are {len(items)} pictures in {len(groups)} group(s); training needs two groups, one to "
            "learn from and one to be checked on: add pictures (all frames of a film are one group)"
        )
    chosen = {group: split_of(group, config) for group in groups}
    chosen |= _own_splits(items, chosen)
    if config.validation > 0 and "val" not in chosen.values():
        _move(groups, chosen, ("train", "test"), "val")
    if "train" not in chosen.values():
        _move(groups[::-1], chosen, ("val", "test"), "train")
    result: dict[str, list[Item]] = {"train": [], "val": [], "test": []}
    for item in items:
        result[chosen[item.group]].append(item)
    return result


def _own_splits(items: list[Item], hashed: dict[str, str]) -> dict[str, str]:
    """The splits that the folder names; where it names no validation, the hash takes it from the training pictures."""
    named = {item.split for item in items}
    folder: dict[str, str] = {}
    # One group on two sides would leak: it stays whole where it is seen first.
    moved = [item for item in items if item.split and folder.setdefault(item.group, item.split) != item.split]
    if moved:
        first = f"{moved[0].key} goes to {folder[moved[0].group]} with the group {moved[0].group}"
        warn(f"{len(moved)} pictures lie in another split's folder than the rest of their group; {first}")
    if "val" in named:
        return folder
    return {group: "val" if split == "train" and hashed[group] == "val" else split for group, split in folder.items()}


def _move(groups: list[str], chosen: dict[str, str], sources: tuple[str, ...], split: str) -> None:
    """Moves the first group of a split that can spare one."""
    for source in sources:
        candidates = [group for group in groups if chosen[group] == source]
        if len(candidates) > 1 or (candidates and source == "test"):
            chosen[candidates[0]] = split
            return
