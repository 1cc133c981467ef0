"""Recipes: functions from a sample and a random generator to a pair, by name, as a configuration describes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from calco.data.mask_encoding import PAINTED, MaskEncoding, encoding_of, painted_encoding
from calco.data.palettes import PALETTES, Palette, named_palette, palette_for, written_out
from calco.data.recipe_config import (
    AUTO,
    NEEDS,
    ColorizeConfig,
    CompositeConfig,
    DegradeConfig,
    EraseConfig,
    RecipeConfig,
    SegmentConfig,
    SketchConfig,
    has_class_targets,
    is_code,
    recipe_title,
    short_name,
    steps_of,
)
from calco.data.recipes.colorize import colorize_pair
from calco.data.recipes.composite import check_cutouts, composite_pair, cutouts_of
from calco.data.recipes.custom import is_pinned, move_code, permit_code, pin_code, run_code
from calco.data.recipes.degrade import degrade_pair
from calco.data.recipes.erase import erase_pair, stroke_masks
from calco.data.recipes.segment import segment_pair
from calco.data.recipes.sketch import sketch_pair
from calco.data.sample import Pair, Sample
from calco.errors import CalcoError

__all__ = [
    "NEEDS", "RECIPES", "ColorizeConfig", "CompositeConfig", "DegradeConfig", "EraseConfig", "Recipe", "RecipeConfig",
    "SegmentConfig", "SketchConfig", "build_recipe", "check_recorded", "has_class_targets", "recipe_here",
    "recipe_title", "resolve", "steps_of",
]  # fmt: skip

Recipe: TypeAlias = Callable[[Sample, np.random.Generator], Pair]


def aligned_pair(sample: Sample, _rng: np.random.Generator) -> Pair:
    """Return the image as the input and its partner as the target."""
    if sample.partner is None:
        raise CalcoError(f"{sample.key} has no partner, which the recipe aligned needs; choose another --recipe")
    return Pair(
        input=sample.image, target=sample.partner, key=sample.key, group=sample.group, weight=sample.weight,
        region=sample.region,
    )  # fmt: skip


def _encoding(config: RecipeConfig, palette: Palette) -> MaskEncoding | None:
    """Return the encoding of the masks; None where each mask is recognised alone."""
    if config.mask_encoding == PAINTED:
        return painted_encoding(palette)
    return None if config.mask_encoding == AUTO else encoding_of(config.mask_encoding)


RECIPES: Final[dict[str, Callable[[RecipeConfig], Recipe]]] = {
    "aligned": lambda _: aligned_pair,
    "colorize": lambda config: partial(colorize_pair, config=config.colorize),
    "erase": lambda config: partial(erase_pair, config=config.erase, encoding=_encoding(config, PALETTES["binary"])),
    "sketch": lambda config: partial(sketch_pair, config=config.sketch),
    "degrade": lambda config: partial(degrade_pair, config=config.degrade),
    "segment": lambda config: partial(
        segment_pair, palette=(palette := named_palette(config.segment.palette)), encoding=_encoding(config, palette)
    ),
    "composite": lambda config: partial(
        composite_pair, config=config.composite, palette=named_palette(config.segment.palette)
    ),
}
"""Functions from a resolved configuration to a recipe, by name."""

AUTOMATIC: Final[dict[str, str]] = {
    "side-by-side": "aligned", "parallel": "aligned", "openmoji": "aligned", "shards": "aligned",
    "masks": "segment", "annotations": "segment",
}  # fmt: skip
"""Recipe that "auto" stands for, by the kind of the source."""

_FORCED: Final = {"aligned": "parallel", "segment": "masks", "composite": "photographs"}


def check_recorded(config: RecipeConfig, where: str | Path) -> None:
    """Refuse a recipe of a file that names code without its digest: only a person may name code so."""
    for step in [] if config.recipe == "auto" else steps_of(config.recipe):
        if is_code(step) and not is_pinned(step):
            raise CalcoError(
                f"{where} names the code {step} without the digest of its file, so Calco did not write it; name it "
                f"yourself: --recipe {step}, without this file"
            )


def recipe_here(config: RecipeConfig, given: str | None) -> RecipeConfig:
    """Return the recipe of a model, with its functions in the files that are given for this machine (`my.py:fade`)."""
    if given is None:
        return config
    steps = steps_of(config.recipe)
    places = {short_name(step): place for place, step in enumerate(steps) if is_code(step)}
    for here in steps_of(given):
        place = places.get(short_name(here))
        if place is None or not is_code(here):
            raise CalcoError(
                f"the model's recipe is {recipe_title(config.recipe)}; --recipe {given} can only say where the file "
                "of a function in it is on this machine, such as --recipe my.py:fade"
            )
        steps[place] = move_code(steps[place], here)
    return replace(config, recipe="+".join(steps))


def resolve(
    config: RecipeConfig, source_kind: str, made: RecipeConfig | None = None, classes: Sequence[str] = ()
) -> RecipeConfig:
    """Return the configuration with everything that it leaves open, so that it means the same anywhere.

    The recipe's name replaces "auto", classes and colours the name of a palette file, and a function in a file gets
    the digest of that file; by naming it, the person here allows it to run here. `made` is the recipe of pairs that
    were made before (shards), which is then the answer; `classes` are those of the source's annotations.
    """
    if made is not None:
        if config.recipe not in ("auto", made.recipe):
            raise CalcoError(
                f"these pairs were made by the recipe {made.recipe}, not {config.recipe}; leave --recipe out, or "
                f"prepare them again with --recipe {config.recipe}"
            )
        return made
    if config.recipe == "auto":
        if source_kind not in AUTOMATIC:
            raise CalcoError(
                f"a source of {source_kind} leaves the recipe open; choose one:  --recipe colorize, "
                "erase, sketch or a chain such as colorize+erase; if these are pairs: --source side-by-side, or two "
                "folders with --input and --target"
            )
        config = replace(config, recipe=AUTOMATIC[source_kind])
    _check_source(config, source_kind)
    composes = steps_of(config.recipe)[0] == "composite"
    if config.composite.cutouts and not composes:
        raise CalcoError(
            f"--cutouts {config.composite.cutouts} goes with --recipe composite, not {config.recipe}; leave one out"
        )
    if has_class_targets(config):
        named = cutouts_of(config.composite, anew=True).classes if composes else classes
        config = replace(config, segment=SegmentConfig(palette=_palette(config.segment.palette, named)))
    steps = (pin_code(step) if is_code(step) else step for step in steps_of(config.recipe))
    return replace(config, recipe="+".join(steps))


def _check_source(config: RecipeConfig, source_kind: str) -> None:
    """Refuse a recipe that needs what the source does not have."""
    names = steps_of(config.recipe)
    if "erase" in names and config.erase.kinds == ("given",) and source_kind != "masks":
        raise CalcoError(
            f"--holes given takes the masks beside the images, and this is a source of {source_kind}; "
            "name them: --source masks --input IMAGES --target MASKS, or generate holes: --holes any"
        )
    first = names[0]
    if first in NEEDS and source_kind not in NEEDS[first]:
        others = ", ".join(name for name in RECIPES if source_kind in NEEDS.get(name, (source_kind,)))
        kinds = " or ".join(NEEDS[first])
        raise CalcoError(
            f"recipe {first} needs a source of {kinds}, and this is one of {source_kind}; choose --recipe {others}, "
            f"or force --source {_FORCED[first]}"
        )


def _palette(name: str, classes: Sequence[str]) -> str:
    """Return a built-in palette by its name, any other written out."""
    if name == "auto" and classes:
        return written_out(palette_for(classes))
    palette = named_palette(name)
    known = {each for each, _ in palette}
    if missing := [each for each in classes if each not in known]:
        raise CalcoError(
            f"palette {name} has no colour for {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}; "
            "the annotations name it: add a line for each class, or take --palette auto"
        )
    return "binary" if name == "auto" else name if name in PALETTES else written_out(palette)


def build_recipe(
    config: RecipeConfig, source_kind: str, made: RecipeConfig | None = None, *, allow_code: bool = False
) -> Recipe:
    """Return the function that a configuration describes.

    Each further step of a chain works on the input that the step before it made; the target stays that of the first.

    Args:
        config: With a concrete recipe; "auto" and palettes are resolved here too, files of code are not.
        source_kind: Kind of the source.
        made: Of pairs that were made before: the recipe that made them.
        allow_code: Runs functions in files that nobody has named on this machine.

    Returns:
        A function from a `Sample` and a generator to a `Pair`, which can be sent to another process.

    Raises:
        CalcoError: As `resolve`; if the folder of stroke masks or cut-outs has none; and if code may not or cannot run.
    """
    if made is not None:
        name = "segment" if has_class_targets(made) else "aligned"
        return RECIPES[name](replace(resolve(config, source_kind, made), mask_encoding=PAINTED))
    if config.recipe == "auto":
        config = resolve(config, source_kind)
    steps = steps_of(config.recipe)
    if steps[0] == "composite" and source_kind in NEEDS["segment"]:
        # A model of composites is evaluated on images that somebody annotated.
        steps[0] = "segment"
        config = replace(config, recipe="+".join(steps))
    _check_source(config, source_kind)
    for step in filter(is_code, steps):
        permit_code(step, allow_code=allow_code)
    if steps[0] == "composite":
        check_cutouts(config.composite)
    if config.erase.masks and "erase" in steps:
        stroke_masks(config.erase.masks)  # reports a wrong folder now, not as the damage of every image
    return Chain(tuple(RECIPES[step](config) if step in RECIPES else partial(run_code, step) for step in steps))


@dataclass(frozen=True, slots=True)
class Chain:
    """Recipes in a row; an object, not a closure, so that it can be sent to another process."""

    steps: tuple[Recipe, ...]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Pair:
        """Make the pair: the last input with the first target, the larger weights, and all regions."""
        first, *others = self.steps
        pair = first(sample, rng)
        for step in others:
            later = step(replace(sample, image=pair.input, partner=None), rng)
            weights = [each.weight for each in (pair, later) if each.weight is not None]
            regions = [each.region for each in (pair, later) if each.region is not None]
            pair = replace(
                pair,
                input=later.input,
                weight=reduce(np.maximum, weights) if weights else None,
                region=reduce(np.logical_or, regions) if regions else None,
            )
        return pair
