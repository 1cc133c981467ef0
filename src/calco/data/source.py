"""A source of images, which `sources` opens: its entries, how one is read, and what its masks mean for a recipe."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from calco.annotations.record import Problem
from calco.console import bar
from calco.data.mask_encoding import (
    EncodingError,
    MaskCounts,
    MaskDecision,
    MaskSurvey,
    colours_of,
    count_file,
    count_values,
    encoding_of,
    stored_values,
    survey_masks,
)
from calco.data.mask_recognition import areas_of, marks_of, recognise_masks
from calco.data.palettes import PALETTES, named_palette, palette_for, palette_name, palette_of_colours
from calco.data.recipe_config import AUTO, SegmentConfig
from calco.data.recipes import RecipeConfig, has_class_targets, resolve, steps_of
from calco.data.sample import Sample, size_wh
from calco.errors import CalcoError
from calco.files import digest as content_digest
from calco.imaging import Image
from calco.imaging.reading import read_labels

LOG = logging.getLogger(__name__)

_LOOKED_AT: Final = 16  # entries that decide the channels of all
# What a folder of image files may be read as, where it was taken for something else.
_FOLDERS: Final = ("side-by-side", "parallel", "masks", "photographs", "annotations")
COMPARED_FILES: Final = {"side-by-side": 2, "parallel": 2, "masks": 1, "photographs": 1, "annotations": 1, "video": 1}
"""Number of files of an item that show its content; equal masks are not equal images."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a source."""

    key: str  # the path relative to the root, without suffix, with forward slashes
    group: str  # items of one group stay on one side of a split
    paths: tuple[str, ...]  # its files: the input (or only) one first
    split: str | None = None  # "train", "val" or "test" when the folder is laid out so, else None
    place: tuple[int, ...] = ()  # where in its file, when the file holds several: a frame, a row, an offset
    # Of a frame in a video that is divided into blocks: its second, and the least number of seconds to the video's
    # frames on another side of a split.
    when: tuple[float, ...] = ()


Loader: TypeAlias = "Callable[[Source, Item], Sample]"


@dataclass(frozen=True)
class Source:
    """Images of one kind, listed but not yet read."""

    kind: str  # one of `Kind`, but not "auto"
    root: str  # the folder, file or name that was given
    items: tuple[Item, ...]  # sorted by key
    loader: Loader = field(compare=False)  # reads an item; can be sent to another process
    left_out: tuple[tuple[str, str], ...] = ()  # name and reason of what was found but does not serve
    direction: str = "AtoB"  # or "BtoA"
    channels: tuple[int, int] = (3, 3)  # of input and target: 1 where all images that were opened are grey
    background: str = "white"  # of transparent images, or "channel"
    recipe: RecipeConfig | None = None  # for pairs that were made before: how they were made
    # Returns the digest of an item, where the files that hold it hold others too.
    digester: "Callable[[Source, Item], str] | None" = field(default=None, compare=False)
    context: Any = field(default=None, compare=False, repr=False)  # for the loader; can be sent to another process
    story: str = field(default="", compare=False)  # what it was recognised as, in words
    classes: tuple[str, ...] = ()  # the names of what its annotations mark, without background
    # Remarks on how it was put in order, a sentence each without its full stop.
    notes: tuple[str, ...] = field(default=(), compare=False)
    # Faults of annotations whose images are used all the same.
    problems: tuple[Problem, ...] = field(default=(), compare=False, repr=False)
    masks: MaskDecision | None = field(default=None, compare=False, repr=False)  # once it is made

    def load(self, item: Item) -> Sample:
        """Read one item.

        Raises:
            CalcoError: If a file of it is damaged or its sizes do not fit.
        """
        return self.loader(self, item)

    def digest(self, item: Item) -> str:
        """Return 16 hex digits of the contents of an item."""
        return self.digester(self, item) if self.digester else content_digest(*item.paths)

    def digests(self, item: Item) -> tuple[str, ...]:
        """Return the digests of an item and of its image files: an image is known beside another mask or target."""
        whole = self.digest(item)
        if self.kind == "video" or (len(item.paths) == 1 and self.digester is None):
            return (whole,)  # a video is in all its frames, and one file is the whole
        return (whole, *(content_digest(path) for path in item.paths[: COMPARED_FILES.get(self.kind, 0)]))

    def summary(self) -> str:
        """Describe what was recognised, how many, how large, what was left out, and how to force another kind."""
        shown = [self.items[i] for i in np.linspace(0, len(self.items) - 1, min(3, len(self.items))).astype(int)]
        sizes = set()
        for item in shown:
            with suppress(CalcoError):
                sizes.add(size_wh(self.load(item).image))
        groups = len({item.group for item in self.items})
        text = f"{self.story}: {len(self.items)} images"
        text += f" in {groups} groups" if groups < len(self.items) else ""
        text += f" ({', '.join(sorted(sizes))} pixels)" if sizes else ""
        if self.left_out:
            names = ", ".join(f"{name} ({reason})" for name, reason in self.left_out[:3])
            text += f"; {len(self.left_out)} left out: {names}" + (", ..." if len(self.left_out) > 3 else "")
        text += "".join(f". {note[0].upper()}{note[1:]}" for note in self.notes)
        if self.kind not in _FOLDERS or self.digester:
            return text + "."  # nothing else can be read so
        others = "|".join(kind for kind in _FOLDERS if kind != self.kind)
        return f"{text}. If that is wrong: --source {others}."


def common_channels(source: Source, images: Callable[[Item], Iterable[Image]]) -> tuple[int, int]:
    """Return the channels of input and target that all have, by some entries; `images` reads both sides of one."""
    seen: tuple[set[int], set[int]] = (set(), set())
    for item in source.items[:: max(1, len(source.items) // _LOOKED_AT)]:
        with suppress(CalcoError):  # reported when it is read
            for channels, image in zip(seen, images(item), strict=False):
                channels.add(image.shape[2])
    first, second = (4 if {2, 3} <= channels else max(channels, default=3) for channels in seen)
    return first, second


@dataclass(frozen=True)
class _PartnerAsMask:
    """Reads the pairs of a source as images with masks; can be sent to another process."""

    source: Source

    def __call__(self, _source: Source, item: Item) -> Sample:
        sample = self.source.load(item)
        return replace(sample, partner=None, mask=None if sample.partner is None else stored_values(sample.partner))


def with_masks(source: Source, config: RecipeConfig) -> Source:
    """Return a source whose target halves are masks, if it has side-by-side files and the recipe is to segment."""
    if source.kind != "side-by-side" or config.recipe == AUTO or steps_of(config.recipe)[0] != "segment":
        return source
    bare = replace(source, items=())  # the loader goes along to other processes
    return replace(source, kind="masks", loader=_PartnerAsMask(bare), story=f"{source.story}, the other its mask")


def settled(
    source: Source, config: RecipeConfig, items: Sequence[Item] | None = None, *, resolved: bool = False
) -> tuple[Source, RecipeConfig]:
    """Resolve a recipe for a source, and decide what the values of its masks mean.

    For the recipe `segment`, the target halves of side-by-side files are masks.

    Args:
        source: The data set.
        config: As given, or that of a model.
        items: Those of the source whose masks count; None for all.
        resolved: The recipe is that of a model, whose classes stand.

    Returns:
        The source with the decision, and the recipe with palette and encoding.

    Raises:
        CalcoError: As `resolve`, and if the values of the masks are no classes, or not those of the palette.
    """
    asked = config.segment.palette
    source = with_masks(source, config)
    if not resolved:
        config = resolve(config, source.kind, source.recipe, source.classes)
    classes = has_class_targets(config)
    erases_given = "erase" in steps_of(config.recipe) and config.erase.kinds == ("given",)
    if source.kind != "masks" or not (classes or erases_given):
        return source, config
    survey = _survey(source, source.items if items is None else items)
    if classes:
        decision = _classes(survey, config.mask_encoding, asked)
    elif config.mask_encoding != AUTO and _fits(survey, config.mask_encoding):
        known = encoding_of(config.mask_encoding)
        decision = MaskDecision(known, PALETTES["binary"], f"as in training, {known}", survey)
    else:
        decision = marks_of(survey)
    LOG.info(f"masks: {decision.story}")
    config = replace(config, mask_encoding=str(decision.encoding))
    if classes:
        config = replace(config, segment=SegmentConfig(palette=palette_name(decision.palette)))
    return replace(source, masks=decision), config


def _survey(source: Source, items: Sequence[Item]) -> MaskSurvey:
    """Return the values of the masks of some items."""

    def count(item: Item) -> MaskCounts:
        if len(item.paths) == 2:
            return count_file(read_labels(item.paths[1]))
        mask = source.load(item).mask
        if mask is None:
            raise CalcoError(f"{item.key} has no mask")
        return count_values(mask)

    with bar("counting the values of masks", len(items)) as advance:
        return survey_masks(items, lambda item: item.key, count, advance)


def _classes(survey: MaskSurvey, encoding: str, asked: str) -> MaskDecision:
    """Decide the classes of masks, as before where an earlier decision fits them."""
    palette = None if asked == AUTO else named_palette(asked)
    shown = asked if asked in PALETTES or len(asked) < 80 else f"{asked[:60]}..."
    if encoding != AUTO:
        known = encoding_of(encoding)
        count = len(known.classes)
        if palette is None:
            palette = PALETTES["binary"] if count == 2 else palette_for([f"class {n}" for n in range(1, count)])
        if len(palette) != count:
            raise CalcoError(
                f"--mask-encoding has {count} classes and the palette {shown} {len(palette)}; give both the same number"
            )
        if _fits(survey, encoding):
            story = f"{count} classes as in --mask-encoding or the model, {known}"
            return MaskDecision(known, palette, story, survey)
    try:
        return recognise_masks(survey, palette, shown)
    except EncodingError:
        # Where compression has left few pixels with the colour of their class, a built-in palette may still show.
        values, name = survey.total, "none"
        if palette is None and values:
            name = palette_of_colours(colours_of(list(values)), np.array(list(values.values())))
        if name == "none":
            raise
        return recognise_masks(survey, PALETTES[name], name)


def _fits(survey: MaskSurvey, encoding: str) -> bool:
    """Return whether an encoding has the values of a set, but for a few."""
    return areas_of(survey, encoding_of(encoding))[-2] <= 0.01 * survey.pixels
