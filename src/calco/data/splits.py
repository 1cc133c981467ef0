"""Training, validation and test: as the data set declares them, else by a hash of the group."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from calco.data.config import SplitConfig
from calco.data.declared import SPLITS
from calco.data.sample import fraction
from calco.data.source import Item
from calco.errors import CalcoError

LOG = logging.getLogger(__name__)


def split_of(group: str, config: SplitConfig) -> str:
    """Return the split ("train", "val", "test") by the group's name alone: no seed, order or other image changes it."""
    position = fraction("split", group)
    if position < config.test:
        return "test"
    return "val" if position < config.test + config.validation else "train"


def split_items(items: Iterable[Item], config: SplitConfig) -> dict[str, list[Item]]:
    """Return items by split: the declared split (`Item.split`) where there is one, else by the hash of the group.

    What is declared validation or test is never trained on: an item that is declared otherwise than the rest of its
    group (a copy of a test image in the training folder) is in no split. Where no validation is declared, the hash
    takes it from training. Both are reported in one line. Items that declare nothing beside others that do are shared
    out among training and the splits that are not declared.

    Training and validation (unless its share is 0) are never empty: where the hash leaves one so, the next group in the
    hash's order moves. Of a video that is divided into blocks each side gets its share by itself, so that other videos
    change nothing; frames too near to those of another side are in no split, and that is reported.
    """
    items = list(items)
    result, problem = _split(items, config)
    if problem:
        raise CalcoError(problem)
    return result


def try_split(items: Iterable[Item], config: SplitConfig) -> dict[str, list[Item]] | None:
    """Return what `split_items` returns; None where the items are too few to be divided."""
    result, problem = _split(list(items), config)
    return None if problem else result


def split_names(items: Iterable[Item], config: SplitConfig) -> dict[str, str]:
    """Return the split of each item by its key, as `split_items` divides them.

    An item that no split holds has the split that it is declared, or "gap". Where the items are too few to be divided,
    those that declare nothing are for training.
    """
    items = list(items)
    result, problem = _split(items, config)
    named = {item.key: name for name, part in result.items() for item in part}
    return {item.key: named.get(item.key, item.split or ("train" if problem else "gap")) for item in items}


def _split(items: list[Item], config: SplitConfig) -> tuple[dict[str, list[Item]], str]:
    """Return the items by split, and why they cannot be divided; no item is in a split then."""
    result: dict[str, list[Item]] = {"train": [], "val": [], "test": []}
    groups = sorted({item.group for item in items}, key=lambda group: fraction("split", group))
    if len(groups) < (2 if config.validation else 1):
        return result, (
            f"there are {len(items)} images in {len(groups)} group(s); training needs two groups, one to "
            "learn from and one to be checked on: add images; a video of five seconds or more is "
            "divided (--video-groups block); or train without validation (--split.validation 0)"
        )
    chosen = {group: split_of(group, config) for group in groups}
    videos = _videos(items)
    for video in videos:
        chosen |= _of_blocks(video, config)
    declared: dict[str, str] = {}  # of several splits of a group the one that is kept furthest from training
    for item in items:
        if item.split:
            declared[item.group] = max(declared.get(item.group, "train"), item.split, key=SPLITS.index)
    chosen = _with_declared(chosen, declared)
    fixed = {group for group, split in declared.items() if split != "train"}
    if config.validation > 0 and "val" not in chosen.values():
        _move([group for group in groups if group not in fixed], chosen, ("train", "test"), "val")
    if "train" not in chosen.values():
        _move([group for group in groups[::-1] if group not in fixed], chosen, ("val", "test"), "train")
    near = {item.key for video in videos for item in _too_near(video, chosen)}
    # In a group that is declared validation or test, while the item itself is not.
    crossing = {item.key for item in items if item.group in fixed and item.split != declared[item.group]}
    for item in items:
        if item.key not in near and item.key not in crossing:
            result[chosen[item.group]].append(item)
    for split, verb in {"train": "train", "val": "validate"}.items():
        if not result[split] and (split == "train" or config.validation > 0):
            problem = (
                f"no frame is left to {verb} on, since {len(near)} are too near to those of another side; take more of "
                "the frames (--frames 1), or more videos"
                if near
                else f"the splits that the data set declares leave no image to {verb} on; declare some, or name the "
                "folder of the images that are to be split"
            )
            return {name: [] for name in result}, problem
    _report_declared(items, declared, crossing, result)
    if near:
        gaps = sorted({video[0].when[1] for video in videos})
        seconds = f"{gaps[0]:g}" if len(gaps) == 1 else f"{gaps[0]:g} to {gaps[-1]:g}"
        LOG.warning(
            f"{len(near)} frames are left out: they lie within {seconds} s of frames on another side of the split"
        )
    return result, ""


def _with_declared(hashed: Mapping[str, str], declared: Mapping[str, str]) -> dict[str, str]:
    """Return the split of each group: the hash fills undeclared splits, and takes no test from training."""
    named = set(declared.values())
    chosen = {group: "train" if split in named else split for group, split in hashed.items()}
    for group, split in declared.items():
        validates = split == "train" and "val" not in named and hashed[group] == "val"
        chosen[group] = "val" if validates else split
    return chosen


def _report_declared(
    items: Sequence[Item], declared: Mapping[str, str], crossing: Collection[str], result: Mapping[str, Sequence[Item]]
) -> None:
    """Report what is declared, what was not and is split off, and what no split can hold."""
    if not declared:
        return
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


def _videos(items: Iterable[Item]) -> list[list[Item]]:
    """Return the frames of each video that is divided into blocks, by their time."""
    videos: dict[str, list[Item]] = {}
    for item in items:
        if item.when:
            videos.setdefault(item.paths[0], []).append(item)
    return [sorted(videos[video], key=lambda item: item.when) for video in sorted(videos)]


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
