"""Inputs made of whole pictures by a model's own recipe, as in its training."""

from collections.abc import Callable
from typing import TypeAlias

from calco import images
from calco.errors import CalcoError
from calco.images import Image
from calco.inference.model import ModelInfo
from calco.pairs.jitter import fit_picture, whole_side
from calco.pairs.recipes import NEEDS, build_recipe, recipe_here, recipe_title, steps_of
from calco.pairs.types import Picture, generator

Maker: TypeAlias = Callable[[Image, str], Image]


def input_maker(info: ModelInfo, *, recipe: str | None = None, allow_code: bool = False, seed: int = 0) -> Maker:
    """What makes an input of a whole picture: a sketch of it, a damaged copy, one with holes.

    The picture is first brought to the scale of the training, where the recipe worked: there a blur of two pixels is
    what the model knows as such.

    Args:
        info: Of the model.
        recipe: Where the file of a function lies that the recipe names, such as "my.py:fade".
        allow_code: Runs functions in files that nobody has named on this machine.
        seed: Of the recipe's chance, together with the picture's name.

    Returns:
        A function of the picture and its name.

    Raises:
        CalcoError: When the recipe takes its input from the source, or its code may not run here.
    """
    config = recipe_here(info.recipe, recipe)
    if steps_of(config.recipe)[0] in NEEDS:
        raise CalcoError(
            f"the recipe {recipe_title(config.recipe)} makes no input of a picture, its pictures come with it; "
            "leave --make-input out"
        )
    make = build_recipe(config, "photographs", allow_code=allow_code)

    def made(whole: Image, name: str) -> Image:
        picture = Picture(image=images.as_channels(whole, info.out_channels), key=name, group=name)
        fitted = fit_picture(picture, whole_side(info.jitter), info.jitter)
        return make(fitted, generator(seed, 0, name, "recipe")).input

    return made
