"""Inputs made of whole images by a model's own recipe, as in its training."""

from collections.abc import Callable
from typing import TypeAlias

from calco import imaging
from calco.data.augmentation import fit_image, whole_side
from calco.data.recipes import NEEDS, build_recipe, recipe_here, recipe_title, steps_of
from calco.data.sample import Sample, generator
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.model import ModelInfo

Maker: TypeAlias = Callable[[Image, str], Image]


def input_maker(info: ModelInfo, *, recipe: str | None = None, allow_code: bool = False, seed: int = 0) -> Maker:
    """What makes an input of a whole image: a sketch of it, a damaged copy, one with holes.

    The image is first brought to the scale of the training, where the recipe worked: there a blur of two pixels is
    what the model knows as such.

    Args:
        info: Of the model.
        recipe: Where the file of a function lies that the recipe names, such as "my.py:fade".
        allow_code: Runs functions in files that nobody has named on this machine.
        seed: Of the recipe's chance, together with the image's name.

    Returns:
        A function of the image and its name.

    Raises:
        CalcoError: When the recipe takes its input from the source, or its code may not run here.
    """
    config = recipe_here(info.recipe, recipe)
    if steps_of(config.recipe)[0] in NEEDS:
        raise CalcoError(
            f"the recipe {recipe_title(config.recipe)} makes no input of an image, its images come with it; "
            "leave --make-input out"
        )
    make = build_recipe(config, "photographs", allow_code=allow_code)

    def made(whole: Image, name: str) -> Image:
        image = Sample(image=imaging.as_channels(whole, info.out_channels), key=name, group=name)
        fitted = fit_image(image, whole_side(info.jitter), info.jitter)
        return make(fitted, generator(seed, 0, name, "recipe")).input

    return made
