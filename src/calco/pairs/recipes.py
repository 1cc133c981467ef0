"""Recipes: pure functions from a picture and a generator to a pair. They chain: `colorize+erase`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.images import Image, as_channels, as_dtype, luminance
from calco.pairs.erasing import EraseConfig, erased_region, fill_colour, stroke_masks
from calco.pairs.palettes import mask_to_indices, named_palette, paint
from calco.pairs.sketching import SKETCHES, SketchConfig
from calco.pairs.types import Pair, Picture

__all__ = [
    "RECIPES",
    "EraseConfig",
    "Recipe",
    "RecipeConfig",
    "SegmentConfig",
    "SketchConfig",
    "build_recipe",
    "resolve",
]


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """How masks are painted."""

    palette: str = "binary"
    """The palette that gives each class its colour: binary, voc, facades or cityscapes."""

    def __post_init__(self) -> None:
        named_palette(self.palette)


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """How a picture becomes a pair."""

    recipe: str = "auto"
    """What is to be learnt: aligned, colorize, erase, sketch, segment, or a chain such as colorize+erase; auto follows
    the kind of pictures."""

    erase: EraseConfig = field(default_factory=EraseConfig)
    """What the recipe erase takes away."""

    sketch: SketchConfig = field(default_factory=SketchConfig)
    """How the recipe sketch draws."""

    segment: SegmentConfig = field(default_factory=SegmentConfig)
    """How the recipe segment paints masks."""

    def __post_init__(self) -> None:
        if self.recipe != "auto":
            _names(self.recipe)


Recipe: TypeAlias = Callable[[Picture, np.random.Generator], Pair]
Step: TypeAlias = Callable[[Picture, RecipeConfig, np.random.Generator], Pair]


def _whole(picture: Picture) -> Image:
    """What a recipe that makes its own input starts from: the target of a pair, or the only picture."""
    return picture.image if picture.partner is None else picture.partner


def aligned(picture: Picture, _config: RecipeConfig, _rng: np.random.Generator) -> Pair:
    """The picture in, its partner out."""
    if picture.partner is None:
        raise CalcoError(f"{picture.key} has no partner, which the recipe aligned needs; choose another --recipe")
    return Pair(
        input=picture.image, target=picture.partner, key=picture.key, group=picture.group, weight=picture.weight,
        region=picture.region,
    )  # fmt: skip


def colorize(picture: Picture, _config: RecipeConfig, _rng: np.random.Generator) -> Pair:
    """Luminance (HW1) in, colour (HW3) out."""
    colour = as_channels(_whole(picture), 3)
    return Pair(input=luminance(colour), target=colour, key=picture.key, group=picture.group)


def erase(picture: Picture, config: RecipeConfig, rng: np.random.Generator) -> Pair:
    """Strokes or rectangles filled with one colour in, the whole picture out; the erased pixels are the region."""
    whole = _whole(picture)
    region = erased_region(whole.shape[0], whole.shape[1], config.erase, rng)
    colour = fill_colour(config.erase.fill)
    holed = as_channels(whole, 1 if whole.shape[2] == 1 and len(set(colour)) == 1 else 3).copy()
    holed[region] = as_dtype(np.array(colour, np.uint8), whole.dtype)[: holed.shape[2]]
    weight = None
    if config.erase.weight != 1:
        weight = np.where(region, config.erase.weight, 1).astype(np.float32)
    return Pair(input=holed, target=whole, key=picture.key, group=picture.group, weight=weight, region=region)


def sketch(picture: Picture, config: RecipeConfig, _rng: np.random.Generator) -> Pair:
    """A drawing (HW1) made of the picture in, the picture out."""
    whole = _whole(picture)
    drawn = SKETCHES[config.sketch.style](whole, config.sketch)
    return Pair(input=drawn, target=whole, key=picture.key, group=picture.group)


def segment(picture: Picture, config: RecipeConfig, _rng: np.random.Generator) -> Pair:
    """The picture in, its mask painted in the palette out (HW3 `uint8`)."""
    if picture.mask is None:
        raise CalcoError(f"{picture.key} has no mask, which the recipe segment needs; choose another --recipe")
    palette = named_palette(config.segment.palette)
    try:
        painted = paint(mask_to_indices(picture.mask, palette), palette)
    except CalcoError as error:
        raise CalcoError(f"{picture.key}: {error}") from error
    return Pair(input=picture.image, target=painted, key=picture.key, group=picture.group)


RECIPES: Final[dict[str, Step]] = {
    "aligned": aligned,
    "colorize": colorize,
    "erase": erase,
    "sketch": sketch,
    "segment": segment,
}

# What takes its target from the source can only stand first in a chain; it names the kinds of source that have one.
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "aligned": ("side-by-side", "parallel", "hub", "openmoji"),
    "segment": ("masks", "annotations"),
}
AUTOMATIC: Final[dict[str, str]] = {
    "side-by-side": "aligned", "parallel": "aligned", "openmoji": "aligned", "hub": "aligned", "masks": "segment",
    "annotations": "segment",
}  # fmt: skip


def _names(recipe: str) -> list[str]:
    """The steps of a chain, checked."""
    names = [name.strip() for name in recipe.split("+")]
    for name in names:
        if name not in RECIPES:
            known = ", ".join(RECIPES)
            raise CalcoError(f"recipe {recipe!r} is unknown; choose one of {known}, or a chain such as colorize+erase")
    for name in names[1:]:
        if name in NEEDS:
            raise CalcoError(f"recipe {recipe!r}: {name} takes its target from the source; put it first in the chain")
    if len(set(names)) < len(names):
        raise CalcoError(f"recipe {recipe!r} names a step twice; name each once")
    return names


def resolve(config: RecipeConfig, source_kind: str, made: RecipeConfig | None = None) -> RecipeConfig:
    """Puts a recipe's name in the place of "auto", and checks that the source can serve it.

    Args:
        config: What is asked for.
        source_kind: The kind of the source.
        made: For pairs that were made before (shards): the recipe that made them, which is then the answer.

    Raises:
        CalcoError: When photographs leave the choice open, or the source lacks what the recipe needs.
    """
    if made is not None:
        if config.recipe not in ("auto", made.recipe):
            raise CalcoError(
                f"these pairs were made by the recipe {made.recipe}, not {config.recipe}; leave --recipe out, or "
                f"prepare them anew with --recipe {config.recipe}"
            )
        return made
    if config.recipe == "auto":
        if source_kind not in AUTOMATIC:
            raise CalcoError(
                f"{source_kind} do not tell what is to be learnt; choose it with --recipe colorize, erase, sketch or a "
                "chain such as colorize+erase"
            )
        return replace(config, recipe=AUTOMATIC[source_kind])
    first = _names(config.recipe)[0]
    if first in NEEDS and source_kind not in NEEDS[first]:
        others = ", ".join(name for name in RECIPES if source_kind in NEEDS.get(name, (source_kind,)))
        kinds = " or ".join(NEEDS[first])
        raise CalcoError(
            f"recipe {first} needs a source of {kinds}, and this is one of {source_kind}; choose --recipe {others}, "
            f"or force --source {'masks' if first == 'segment' else 'parallel'}"
        )
    return config


def build_recipe(config: RecipeConfig, source_kind: str, made: RecipeConfig | None = None) -> Recipe:
    """The function that the configuration describes.

    Each further step of a chain works on the input that the step before it made; the target stays that of the first.

    Raises:
        CalcoError: As `resolve`, and when the folder of stroke masks holds none.
    """
    resolved = resolve(config, source_kind, made)
    if made is not None:
        return Chain(replace(resolved, recipe="aligned"))
    if config.erase.masks and "erase" in _names(resolved.recipe):
        stroke_masks(config.erase.masks)  # a wrong folder is told now, not as the damage of every picture
    return Chain(resolved)


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of a resolved configuration; an object, not a closure, so that it can be sent to another process."""

    config: RecipeConfig

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Pair:
        """Makes the pair; the same generator serves all steps, in their order."""
        first, *others = (RECIPES[name] for name in _names(self.config.recipe))
        pair = first(picture, self.config, rng)
        for step in others:
            following = Picture(image=pair.input, key=pair.key, group=pair.group)
            pair = _followed(pair, step(following, self.config, rng))
        return pair


def _followed(pair: Pair, later: Pair) -> Pair:
    """The later input before the earlier target; the larger weight counts, regions unite."""
    weight: npt.NDArray[np.float32] | None = pair.weight if later.weight is None else later.weight
    if pair.weight is not None and later.weight is not None:
        weight = np.maximum(pair.weight, later.weight)
    region = pair.region if later.region is None else later.region
    if pair.region is not None and later.region is not None:
        region = pair.region | later.region
    return replace(pair, input=later.input, weight=weight, region=region)
