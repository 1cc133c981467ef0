"""Images as a model learned to see them: grey of the right kind, and holes where a mask or transparency says so."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from calco import imaging
from calco.data.augmentation import fit_image, whole_side
from calco.data.mask_encoding import stored_values, survey_array
from calco.data.mask_recognition import marks_of
from calco.data.recipes import NEEDS, RecipeConfig, build_recipe, recipe_here, recipe_title, steps_of
from calco.data.recipes.colorize import grey_of
from calco.data.recipes.erase import erased, given_region
from calco.data.recipes.strokes import Bools
from calco.data.sample import Pair, Sample, generator
from calco.errors import CalcoError
from calco.imaging import PEAKS, Image, as_channels
from calco.imaging.arrays import in_strips
from calco.inference.folder import ModelInfo


def adapted(
    image: Image,
    mask: Image | None,
    recipe: RecipeConfig,
    in_channels: int,
    background: str,
    *,
    holed: bool | None = None,
) -> Image:
    """Return the input that the recipe would have made of an image whose holes are given.

    Args:
        image: HWC. For a model that learned to fill holes, what is not opaque is redrawn.
        mask: What is redrawn: HW or HW1 bool, or a mask's image (white, or the recipe's choice); None for transparency,
            or for holes that the image has in the colour of the training.
        recipe: The model's recipe.
        in_channels: Channels of the inputs that it learned from.
        background: As of the source: "channel" means that transparency belongs to the images.
        holed: Of a part of an image: there are holes in the whole.
    """
    steps, config = steps_of(recipe.recipe), recipe.erase
    if "erase" not in steps:
        if mask is not None:
            raise CalcoError(f"a mask was given, but the model learned {recipe.recipe}, not erase; leave the mask out")
        return grey_of(image, recipe.colorize) if steps[0] == "colorize" else image
    shown, region = image, None
    if transparency_tells(image.shape[2], recipe, in_channels, background):
        shown, region = image[..., :-1], image[..., -1] < PEAKS[str(image.dtype)]
    if mask is not None:
        given = region_of(mask, image.shape, recipe)
        region = given if region is None else region | given
    if region is None:
        if config.mask_channel:
            raise CalcoError(
                "the model redraws what a mask tells, and there is none; give one (calco translate --masks FOLDER), or "
                "an image that is transparent there"
            )
        return image
    if steps[0] == "colorize" and (region.any() if holed is None else holed):
        shown = grey_of(shown, recipe.colorize)
    shown = shown if background == "channel" else as_channels(shown, 1 if in_channels - config.mask_channel == 1 else 3)
    return erased(shown, region, config, generator(0, 0, "translate", "fill"))


def transparency_tells(channels: int, recipe: RecipeConfig, in_channels: int, background: str) -> bool:
    """Return whether transparency in an image of so many channels marks what is redrawn; all else as in `adapted`."""
    if "erase" not in steps_of(recipe.recipe):
        return False
    return (recipe.erase.mask_channel and channels == in_channels) or (channels in (2, 4) and background != "channel")


def region_of(mask: Image, shape: tuple[int, ...], recipe: RecipeConfig) -> Bools:
    """Convert a mask of an image of this shape to HW bool."""
    if mask.shape[:2] != shape[:2]:
        raise CalcoError(
            f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels and the image {shape[1]}x{shape[0]}; both need the "
            "same size: resize one of them"
        )
    planes = mask if mask.ndim == 3 else mask[..., None]
    if planes.dtype == np.bool_:
        return np.asarray(planes.any(axis=2))
    planes = stored_values(planes)
    encoding = marks_of(survey_array(planes)).encoding  # decided by the whole mask, not by each strip
    return in_strips(lambda strip: given_region(strip, recipe.erase, encoding), planes)


Maker: TypeAlias = Callable[[Image, str], Pair]


def pair_maker(info: ModelInfo, *, recipe: str | None = None, allow_code: bool = False, seed: int = 0) -> Maker:
    """Return a function of an image and its name that makes a pair by the model's recipe, as in the training.

    The image is first brought to the scale of the training, where the recipe worked: the model knows a blur of two
    pixels from there. `recipe` is the place of the file of a custom recipe, such as "my.py:fade", and `allow_code` runs
    it although nobody has named it on this machine.
    """
    config = recipe_here(info.recipe, recipe)
    if steps_of(config.recipe)[0] in NEEDS:
        raise CalcoError(
            f"the recipe {recipe_title(config.recipe)} makes no input of an image, its images come with it; "
            "leave --side-by-side and --make-input out"
        )
    make = build_recipe(config, "photographs", allow_code=allow_code)

    def made(whole: Image, name: str) -> Pair:
        image = Sample(image=imaging.as_channels(whole, info.out_channels), key=name, group=name)
        return make(fit_image(image, whole_side(info.jitter), info.jitter), generator(seed, 0, name, "recipe"))

    return made
