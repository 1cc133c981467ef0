"""Recipes: pure functions from an image and a generator to a pair, as a configuration describes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.data import custom
from calco.data.cutouts import check_cutouts, cutouts_of
from calco.data.encoding import PAINTED
from calco.data.holes import stroke_masks
from calco.data.palettes import PALETTES, named_palette, palette_for, written_out
from calco.data.recipe_config import (
    NEEDS,
    RECIPES,
    ColorizeConfig,
    CompositeConfig,
    DegradeConfig,
    EraseConfig,
    RecipeConfig,
    SegmentConfig,
    SketchConfig,
    draws_classes,
    is_code,
    recipe_title,
    short_name,
    steps_of,
)
from calco.data.steps import RECIPE_STEPS
from calco.data.types import Pair, Sample
from calco.errors import CalcoError

__all__ = [
    "NEEDS",
    "RECIPES",
    "ColorizeConfig",
    "CompositeConfig",
    "DegradeConfig",
    "EraseConfig",
    "Recipe",
    "RecipeConfig",
    "SegmentConfig",
    "SketchConfig",
    "build_recipe",
    "check_recorded",
    "draws_classes",
    "recipe_here",
    "recipe_title",
    "resolve",
    "steps_of",
]

Recipe: TypeAlias = Callable[[Sample, np.random.Generator], Pair]

AUTOMATIC: Final[dict[str, str]] = {
    "side-by-side": "aligned", "parallel": "aligned", "openmoji": "aligned", "shards": "aligned",
    "masks": "segment", "annotations": "segment",
}  # fmt: skip


_FORCED: Final = {"aligned": "parallel", "segment": "masks", "composite": "photographs"}


def check_recorded(config: RecipeConfig, where: str | Path) -> None:
    """Makes sure that a recipe from a file names code only with its digest: without it, a person names code.

    Raises:
        CalcoError: Naming the file.
    """
    for step in [] if config.recipe == "auto" else steps_of(config.recipe):
        if is_code(step) and "@" not in step.rpartition(":")[2]:
            raise CalcoError(
                f"{where} names the code {step} without the digest of its file, so it is not what Calco wrote; name it "
                f"yourself: --recipe {step}, without this file"
            )


def recipe_here(config: RecipeConfig, given: str | None) -> RecipeConfig:
    """The recipe of a model, with its functions in the files that the person at this machine names.

    Args:
        config: Of the model.
        given: "my.py:fade", or several such joined by +; None leaves the recipe as it is.

    Raises:
        CalcoError: When a file is not the one of the training, or the model's recipe has no such function.
    """
    if given is None:
        return config
    steps = steps_of(config.recipe)
    for here in steps_of(given):
        name = short_name(here)
        place = next(
            (i for i, step in enumerate(steps) if is_code(step) and short_name(step) == name),
            -1,
        )
        if place < 0 or not is_code(here):
            raise CalcoError(
                f"the model's recipe is {recipe_title(config.recipe)}; --recipe {given} can only tell where the file "
                "of a function in it lies here, such as --recipe my.py:fade"
            )
        steps[place] = custom.moved(steps[place], here)
    return replace(config, recipe="+".join(steps))


def resolve(
    config: RecipeConfig, source_kind: str, made: RecipeConfig | None = None, classes: Sequence[str] = ()
) -> RecipeConfig:
    """Writes out what a configuration leaves open, so that it means the same anywhere.

    The recipe's name takes the place of "auto", classes and colours that of a palette file, and a function in a file
    gets the digest of that file; by naming it, the person here allows it to run here.

    Args:
        config: What is asked for.
        source_kind: The kind of the source.
        made: For pairs that were made before (shards): the recipe that made them, which is then the answer.
        classes: Of the source's annotations.

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
                f"a source of {source_kind} does not tell what is to be learnt; choose it with --recipe colorize, "
                "erase, sketch or a chain such as colorize+erase; if these are pairs: --source side-by-side, or two "
                "folders with --input and --target"
            )
        config = replace(config, recipe=AUTOMATIC[source_kind])
    _check_source(config, source_kind)
    if config.composite.cutouts and steps_of(config.recipe)[0] != "composite":
        raise CalcoError(
            f"--cutouts {config.composite.cutouts} goes with --recipe composite, not {config.recipe}; leave one out"
        )
    if draws_classes(config):
        named = (
            cutouts_of(config.composite, anew=True).classes if steps_of(config.recipe)[0] == "composite" else classes
        )
        config = replace(config, segment=SegmentConfig(palette=_palette(config.segment.palette, named)))
    steps = (custom.pinned(step) if is_code(step) else step for step in steps_of(config.recipe))
    return replace(config, recipe="+".join(steps))


def _check_source(config: RecipeConfig, source_kind: str) -> None:
    """Refuses a recipe that needs what the source does not have."""
    names = steps_of(config.recipe)
    if "erase" in names and config.erase.kinds == ("given",) and source_kind != "masks":
        raise CalcoError(
            f"--holes given takes the masks beside the images, and this is a source of {source_kind}; "
            "name them: --source masks --input IMAGES --target MASKS, or draw holes: --holes any"
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
    """A built-in palette by its name, any other written out."""
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
    """The function that a configuration describes, as `resolve` gave it.

    Each further step of a chain works on the input that the step before it made; the target stays that of the first.

    Args:
        config: With a concrete recipe; "auto" and palettes are resolved here too, files of code are not.
        source_kind: The kind of the source.
        made: For pairs that were made before: the recipe that made them.
        allow_code: Runs functions in files that nobody has named on this machine.

    Raises:
        CalcoError: As `resolve`, when the folder of stroke masks or cut-outs holds none, and when code may not or
            cannot run.
    """
    if made is not None:
        name = "segment" if draws_classes(made) else "aligned"
        return Chain(replace(resolve(config, source_kind, made), recipe=name, mask_encoding=PAINTED))
    if config.recipe == "auto":
        config = resolve(config, source_kind)
    steps = steps_of(config.recipe)
    if steps[0] == "composite" and source_kind in NEEDS["segment"]:
        # What was learnt from composites is judged on images whose truth somebody drew.
        steps[0] = "segment"
        config = replace(config, recipe="+".join(steps))
    _check_source(config, source_kind)
    for step in filter(is_code, steps):
        custom.permit(step, allow_code=allow_code)
    if steps[0] == "composite":
        check_cutouts(config.composite)
    if config.erase.masks and "erase" in steps:
        stroke_masks(config.erase.masks)  # a wrong folder is told now, not as the damage of every image
    return Chain(config)


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of a resolved configuration; an object, not a closure, so that it can be sent to another process."""

    config: RecipeConfig

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Pair:
        """Makes the pair; the same generator serves all steps, in their order."""
        first, *others = steps_of(self.config.recipe)
        pair = self._made(first, sample, rng)
        for step in others:
            pair = _followed(pair, self._made(step, replace(sample, image=pair.input, partner=None), rng))
        return pair

    def _made(self, step: str, sample: Sample, rng: np.random.Generator) -> Pair:
        return RECIPE_STEPS[step](sample, self.config, rng) if step in RECIPE_STEPS else custom.run(step, sample, rng)


def _followed(pair: Pair, later: Pair) -> Pair:
    """The later input before the earlier target; the larger weight counts, regions unite."""
    weight: npt.NDArray[np.float32] | None = pair.weight if later.weight is None else later.weight
    if pair.weight is not None and later.weight is not None:
        weight = np.maximum(pair.weight, later.weight)
    region = pair.region if later.region is None else later.region
    if pair.region is not None and later.region is not None:
        region = pair.region | later.region
    return replace(pair, input=later.input, weight=weight, region=region)
