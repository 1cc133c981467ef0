"""Pictures as a model learned to see them: grey of the right kind, and holes where a mask or transparency says so."""

import numpy as np

from calco.errors import CalcoError
from calco.images import PEAKS, Image, as_channels, as_dtype
from calco.pairs.colouring import grey_of
from calco.pairs.erasing import erased, given_region
from calco.pairs.recipes import RecipeConfig, steps_of
from calco.pairs.strokes import Bools
from calco.pairs.types import generator, size_wh


def adapted(picture: Image, mask: Image | None, recipe: RecipeConfig, in_channels: int, background: str) -> Image:
    """What the recipe would have made of a picture whose holes are given.

    Args:
        picture: HWC. For a model that learned to fill holes, what is not opaque is to be redrawn.
        mask: What is to be redrawn: HW or HW1 bool, or a mask's picture (white, or what the recipe says); None for
            transparency, or for holes that stand in the picture in the colour of the training.
        recipe: What the model learned.
        in_channels: Channels of the inputs that it learned from.
        background: As of the source: "channel" says that transparency belongs to the pictures.

    Returns:
        HWC of the same dtype; no other channels where the model does not need them.

    Raises:
        CalcoError: When there is a mask but the model fills no holes, or no mask and it needs one.
    """
    steps, config = steps_of(recipe.recipe), recipe.erase
    if "erase" not in steps:
        if mask is not None:
            raise CalcoError(f"a mask was given, but the model learned {recipe.recipe}, not erase; leave the mask out")
        return grey_of(picture, recipe.colorize) if steps[0] == "colorize" else picture
    shown, region = picture, None
    if (config.mask_channel and picture.shape[2] == in_channels) or (
        picture.shape[2] in (2, 4) and background != "channel"
    ):
        shown, region = picture[..., :-1], picture[..., -1] < PEAKS[str(picture.dtype)]
    if mask is not None:
        given = _region(mask, picture, recipe)
        region = given if region is None else region | given
    if region is None:
        if config.mask_channel:
            raise CalcoError(
                "the model redraws what a mask tells, and there is none; give one (calco translate --masks FOLDER), or "
                "a picture that is transparent there"
            )
        return picture
    if steps[0] == "colorize" and region.any():
        shown = grey_of(shown, recipe.colorize)
    shown = shown if background == "channel" else as_channels(shown, 1 if in_channels - config.mask_channel == 1 else 3)
    return erased(shown, region, config, generator(0, 0, "translate", "fill"))


def _region(mask: Image, picture: Image, recipe: RecipeConfig) -> Bools:
    """A mask as the caller has it => HW bool."""
    if mask.shape[:2] != picture.shape[:2]:
        raise CalcoError(
            f"the mask has {size_wh(mask)} pixels and the picture {size_wh(picture)}; both need the same size: resize "
            "one of them"
        )
    planes = mask if mask.ndim == 3 else mask[..., None]
    if planes.dtype == np.bool_:
        return np.asarray(planes.any(axis=2))
    return given_region(as_dtype(planes, np.uint8), recipe.erase)
