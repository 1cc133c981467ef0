"""The recipes by name: functions from an image, its configuration and a generator to a pair, and how they chain."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from calco.data import custom
from calco.data.colouring import ColorizeConfig, grey_of
from calco.data.composite_config import CompositeConfig
from calco.data.compositing import composed
from calco.data.degrading import DegradeConfig, degraded
from calco.data.encoding import PAINTED, encoding_of
from calco.data.erasing import EraseConfig, erased, given_region
from calco.data.holes import erased_region
from calco.data.segmenting import AUTO, SegmentConfig, encoding_for, painted
from calco.data.sketching import SketchConfig, draw
from calco.data.types import Pair, Sample
from calco.errors import CalcoError
from calco.imaging import Image, as_channels


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """How an image becomes a pair."""

    recipe: str = "auto"
    """What is to be learnt: aligned, colorize, erase, sketch, degrade, segment, composite, a function in a file of
    one's own (my.py:fade), or a chain such as colorize+erase; auto follows the kind of images."""

    colorize: ColorizeConfig = field(default_factory=ColorizeConfig)
    """How the recipe colorize takes colour away."""

    erase: EraseConfig = field(default_factory=EraseConfig)
    """What the recipe erase takes away."""

    sketch: SketchConfig = field(default_factory=SketchConfig)
    """How the recipe sketch draws."""

    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    """How the recipe degrade damages."""

    segment: SegmentConfig = field(default_factory=SegmentConfig)
    """How the recipes segment and composite paint masks."""

    composite: CompositeConfig = field(default_factory=CompositeConfig)
    """What the recipe composite pastes on photographs."""

    mask_encoding: str = AUTO
    """The values of the classes in mask files, in the order of the palette, such as "number 0 1 2; void 255", "colour
    #000000 #ff0000" or "alpha transparent opaque"; auto decides once, from the values of all masks."""

    def __post_init__(self) -> None:
        if self.mask_encoding not in (AUTO, PAINTED):
            encoding_of(self.mask_encoding)
        names = [] if self.recipe == "auto" else steps_of(self.recipe)
        if self.erase.mask_channel and "erase" in names[:-1]:
            raise CalcoError(f"recipe {self.recipe!r}: with a mask channel, erase must stand last; put it there")


Step: TypeAlias = Callable[[Sample, RecipeConfig, np.random.Generator], Pair]


def _whole(sample: Sample) -> Image:
    """What a recipe that makes its own input starts from: the target of a pair, or the only image."""
    return sample.image if sample.partner is None else sample.partner


def aligned(sample: Sample, _config: RecipeConfig, _rng: np.random.Generator) -> Pair:
    """The image in, its partner out."""
    if sample.partner is None:
        raise CalcoError(f"{sample.key} has no partner, which the recipe aligned needs; choose another --recipe")
    return Pair(
        input=sample.image, target=sample.partner, key=sample.key, group=sample.group, weight=sample.weight,
        region=sample.region,
    )  # fmt: skip


def colorize(sample: Sample, config: RecipeConfig, _rng: np.random.Generator) -> Pair:
    """Grey (HW1) in, colour (HW3) out."""
    colour = as_channels(_whole(sample), 3)
    return Pair(input=grey_of(colour, config.colorize), target=colour, key=sample.key, group=sample.group)


def erase(sample: Sample, config: RecipeConfig, rng: np.random.Generator) -> Pair:
    """The image with holes in, the whole image out; the erased pixels are the region."""
    whole = _whole(sample)
    if config.erase.kinds == ("given",):
        if sample.mask is None:
            raise CalcoError(f"{sample.key} has no mask, which --holes given needs; leave it out to draw holes")
        encoding = None if config.mask_encoding == AUTO else encoding_for(sample.mask, config.mask_encoding, "binary")
        region = given_region(sample.mask, config.erase, encoding)
    else:
        region = erased_region(whole.shape[0], whole.shape[1], config.erase, rng)
    holed = erased(whole, region, config.erase, rng)
    weight = None
    if config.erase.weight != 1:
        weight = np.where(region, config.erase.weight, 1).astype(np.float32)
    return Pair(input=holed, target=whole, key=sample.key, group=sample.group, weight=weight, region=region)


def sketch(sample: Sample, config: RecipeConfig, rng: np.random.Generator) -> Pair:
    """A drawing (HW1) made of the image in, the image out."""
    whole = _whole(sample)
    return Pair(input=draw(whole, config.sketch, rng), target=whole, key=sample.key, group=sample.group)


def degrade(sample: Sample, config: RecipeConfig, rng: np.random.Generator) -> Pair:
    """The damaged image in, the whole one out."""
    whole = _whole(sample)
    return Pair(input=degraded(whole, config.degrade, rng), target=whole, key=sample.key, group=sample.group)


def segment(sample: Sample, config: RecipeConfig, _rng: np.random.Generator) -> Pair:
    """The image in, its mask (or outlines, or boxes) painted in the palette out (HW3 `uint8`); void has weight 0."""
    target, weight = painted(sample, config.segment, config.mask_encoding)
    if weight is not None and sample.weight is not None:
        weight = weight * sample.weight
    return Pair(
        input=sample.image, target=target, key=sample.key, group=sample.group,
        weight=sample.weight if weight is None else weight, region=sample.region,
    )  # fmt: skip


def composite(sample: Sample, config: RecipeConfig, rng: np.random.Generator) -> Pair:
    """The photograph with cut-outs pasted on it in, what is visible of them painted in the palette out."""
    scene = composite_image(sample, config.composite, rng)
    target, _ = painted(scene, config.segment)
    return Pair(input=scene.image, target=target, key=sample.key, group=sample.group)


def composite_image(
    sample: Sample, config: CompositeConfig, rng: np.random.Generator, *, split: str | None = None
) -> Sample:
    """The photograph with cut-outs pasted on it, and what is where; `split` as in `composed`.

    Raises:
        CalcoError: When no cut-out can be used, or the photograph is too small.
    """
    try:
        image, objects = composed(_whole(sample), config, rng, split=split)
    except CalcoError as error:
        raise CalcoError(f"{sample.key}: {error}") from error
    return Sample(image=image, key=sample.key, group=sample.group, detections=objects)


RECIPES: Final[dict[str, Step]] = {
    "aligned": aligned,
    "colorize": colorize,
    "erase": erase,
    "sketch": sketch,
    "degrade": degrade,
    "segment": segment,
    "composite": composite,
}

# What takes its target from the source can only stand first in a chain; it names the kinds of source that have one.
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "aligned": ("side-by-side", "parallel", "openmoji", "shards"),
    "segment": ("masks", "annotations"),
    "composite": ("photographs", "video", "hub", "openmoji"),
}


def steps_of(recipe: str) -> list[str]:
    """The steps of a chain, checked: names of recipes, and functions in files (`my.py:fade`).

    Raises:
        CalcoError: When one is unknown, or they cannot follow each other.
    """
    names: list[str] = []
    open_path = ""
    for part in recipe.split("+"):
        # A path may hold a plus itself: it ends where the name of a function stands.
        text = f"{open_path}+{part}" if open_path else part
        step = text.strip()
        known = step in RECIPES or custom.is_code(step)
        names += [step] if known else []
        open_path = "" if known else text
    if open_path or not names:
        known_names = ", ".join(RECIPES)
        raise CalcoError(
            f"recipe {recipe!r} is unknown; choose one of {known_names}, a function in a file such as my.py:fade, or a "
            "chain such as colorize+erase"
        )
    for name in names[1:]:
        if name in NEEDS:
            raise CalcoError(f"recipe {recipe!r}: {name} takes its target from the source; put it first in the chain")
    if len(set(names)) < len(names):
        raise CalcoError(f"recipe {recipe!r} names a step twice; name each once")
    if "degrade" in names and "erase" in names[: names.index("degrade")]:
        raise CalcoError(f"recipe {recipe!r}: degrade would blur the marks of the holes; let erase follow it")
    return names


def draws_classes(config: RecipeConfig) -> bool:
    """Whether the targets are maps of classes, whose colours may not be mixed."""
    return config.recipe != "auto" and steps_of(config.recipe)[0] in ("segment", "composite")


def recipe_title(recipe: str) -> str:
    """A recipe without paths and digests, for titles: `/home/ana/my.py:fade@0123456789abcdef+erase` => fade+erase."""
    return recipe if recipe == "auto" else "+".join(map(custom.short_name, steps_of(recipe)))
