"""A source of images: its entries, and how one of them is read. `sources` opens them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from calco.annotations.record import Problem
from calco.data.mask_encoding import MaskDecision
from calco.data.recipes import RecipeConfig
from calco.data.sample import Sample, size_wh
from calco.errors import CalcoError
from calco.files import digest as content_digest

# What a folder of image files may be read as, where it was taken for something else.
_FOLDERS: Final = ("side-by-side", "parallel", "masks", "photographs", "annotations")
COMPARED_FILES: Final = {"side-by-side": 2, "parallel": 2, "masks": 1, "photographs": 1, "annotations": 1, "video": 1}
"""Number of files of an item that show its content; equal masks are not equal images."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a source.

    Attributes:
        key: The path relative to the root, without suffix, with forward slashes.
        group: Items of one group stay on one side of a split.
        paths: Its files: the input (or only) one first.
        split: "train", "val" or "test" when the folder is laid out so, else None.
        place: Where in its file, when the file holds several: a frame, a row, an offset.
        when: Of a frame in a video that is divided into blocks: its second, and how many seconds must lie between it
            and the video's frames on another side of a split.
    """

    key: str
    group: str
    paths: tuple[str, ...]
    split: str | None = None
    place: tuple[int, ...] = ()
    when: tuple[float, ...] = ()


Loader: TypeAlias = "Callable[[Source, Item], Sample]"


@dataclass(frozen=True)
class Source:
    """Images of one kind, listed but not yet read.

    Attributes:
        kind: One of `Kind`, but not "auto".
        root: The folder, file or name that was given.
        items: Sorted by key.
        loader: What reads an item; a function of a module, so that it can be sent to another process.
        left_out: Name and reason of what was found but does not serve.
        direction: "AtoB" or "BtoA".
        channels: Channels of input and target: 1 where all the images that were looked at are grey.
        background: What transparent images are laid over, or "channel".
        recipe: For pairs that were made before: how they were made.
        digester: What tells the digest of an item, where the files that hold it hold others too.
        context: What the loader needs besides; can be sent to another process.
        story: What it was recognised as, in words.
        classes: The names of what its annotations mark, without background.
        notes: Remarks on how it was put in order, a sentence each without its full stop.
        problems: What is wrong with annotations of images that are used all the same.
        masks: What its masks were recognised as, once that was decided.
    """

    kind: str
    root: str
    items: tuple[Item, ...]
    loader: Loader = field(compare=False)
    left_out: tuple[tuple[str, str], ...] = ()
    direction: str = "AtoB"
    channels: tuple[int, int] = (3, 3)
    background: str = "white"
    recipe: RecipeConfig | None = None
    digester: "Callable[[Source, Item], str] | None" = field(default=None, compare=False)
    context: Any = field(default=None, compare=False, repr=False)
    story: str = field(default="", compare=False)
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    problems: tuple[Problem, ...] = field(default=(), compare=False, repr=False)
    masks: MaskDecision | None = field(default=None, compare=False, repr=False)

    def load(self, item: Item) -> Sample:
        """Read one item."""
        return self.loader(self, item)

    def digest(self, item: Item) -> str:
        """Sixteen hex digits of its contents."""
        return self.digester(self, item) if self.digester else content_digest(*item.paths)

    def digests(self, item: Item) -> tuple[str, ...]:
        """Its digest, and those of each of its image files: an image is known again beside another mask or target."""
        whole = self.digest(item)
        if self.kind == "video" or (len(item.paths) == 1 and self.digester is None):
            return (whole,)  # a video is in all its frames, and one file is the whole
        return (whole, *(content_digest(path) for path in item.paths[: COMPARED_FILES.get(self.kind, 0)]))

    def summary(self) -> str:
        """One or two plain sentences: what was recognised, how many, how large, what was left out, how to force it."""
        shown = [self.items[i] for i in np.linspace(0, len(self.items) - 1, min(3, len(self.items))).astype(int)]
        sizes = sorted({size for item in shown for size in self._sizes(item)})
        groups = len({item.group for item in self.items})
        text = f"{self.story}: {len(self.items)} images"
        text += f" in {groups} groups" if groups < len(self.items) else ""
        text += f" ({', '.join(sizes)} pixels)" if sizes else ""
        if self.left_out:
            names = ", ".join(f"{name} ({reason})" for name, reason in self.left_out[:3])
            text += f"; {len(self.left_out)} left out: {names}" + (", ..." if len(self.left_out) > 3 else "")
        text += "".join(f". {note[0].upper()}{note[1:]}" for note in self.notes)
        if self.kind not in _FOLDERS or self.digester:
            return text + "."  # nothing else can be read so
        others = "|".join(kind for kind in _FOLDERS if kind != self.kind)
        return f"{text}. If that is wrong: --source {others}."

    def _sizes(self, item: Item) -> set[str]:
        try:
            return {size_wh(self.load(item).image)}
        except CalcoError:
            return set()
