"""Images as a model learned to see them: grey of the right kind, and holes where a mask or transparency says so."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from calco import imaging
from calco.data.augmentation import fit_image, whole_side
from calco.data.mask_encoding import read_mask, stored_values, survey_array
from calco.data.mask_recognition import marks_of
from calco.data.recipes import NEEDS, RecipeConfig, build_recipe, recipe_here, recipe_title, steps_of
from calco.data.recipes.colorize import grey_of
from calco.data.recipes.erase import erased, given_region
from calco.data.recipes.strokes import Bools
from calco.data.sample import Sample, generator
from calco.errors import CalcoError
from calco.imaging import PEAKS, Image, as_channels, as_image
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
    """What the recipe would have made of an image whose holes are given.

    Args:
        image: HWC. For a model that learned to fill holes, what is not opaque is to be redrawn.
        mask: What is to be redrawn: HW or HW1 bool, or a mask's image (white, or what the recipe says); None for
            transparency, or for holes that stand in the image in the colour of the training.
        recipe: What the model learned.
        in_channels: Channels of the inputs that it learned from.
        background: As of the source: "channel" says that transparency belongs to the images.
        holed: Of a part of an image, whether there are holes anywhere in the whole.

    Returns:
        HWC of the same dtype; no other channels where the model does not need them.

    Raises:
        CalcoError: When there is a mask but the model fills no holes, or no mask and it needs one.
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
    """Whether what is not opaque in an image of so many channels is to be redrawn; all else as in `adapted`."""
    if "erase" not in steps_of(recipe.recipe):
        return False
    return (recipe.erase.mask_channel and channels == in_channels) or (channels in (2, 4) and background != "channel")


def marked_in(path: str, recipe: RecipeConfig) -> Image:
    """What a mask file marks for a model that learned `erase`, HW1 bool.

    Raises:
        CalcoError: When it cannot be read, or its values are not understood.
    """
    return given_region(read_mask(path), recipe.erase)[..., None]


def as_mask(mask: object) -> Image:
    """Check an array that a caller gives as a mask: HW or HW1 bool, or an image.

    Raises:
        CalcoError: When it is neither.
    """
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.ndim in (2, 3) and mask.size:
        return np.asarray(mask)
    return as_image(mask, "the mask")


def region_of(mask: Image, shape: tuple[int, ...], recipe: RecipeConfig) -> Bools:
    """A mask as the caller has it => HW bool.

    Raises:
        CalcoError: When its size is not that of the image, whose height and width begin `shape`.
    """
    if mask.shape[:2] != shape[:2]:
        raise CalcoError(
            f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels and the image {shape[1]}x{shape[0]}; both need the "
            "same size: resize one of them"
        )
    planes = mask if mask.ndim == 3 else mask[..., None]
    if planes.dtype == np.bool_:
        return np.asarray(planes.any(axis=2))
    planes = stored_values(planes)
    encoding = marks_of(survey_array(planes)).encoding  # the whole mask tells which, its strips would not
    return in_strips(lambda strip: given_region(strip, recipe.erase, encoding), planes)


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
