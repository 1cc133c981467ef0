"""The recipes by name: functions from an image, its configuration and a generator to a pair, and how they chain."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from calco.data.colouring import grey_of
from calco.data.compositing import composed
from calco.data.degrading import degraded
from calco.data.erasing import erased, given_region
from calco.data.holes import erased_region
from calco.data.recipe_config import (
    AUTO,
    CompositeConfig,
    RecipeConfig,
)
from calco.data.segmenting import encoding_for, painted
from calco.data.sketching import draw
from calco.data.types import Pair, Sample
from calco.errors import CalcoError
from calco.imaging import Image, as_channels

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


RECIPE_STEPS: Final[dict[str, Step]] = {
    "aligned": aligned,
    "colorize": colorize,
    "erase": erase,
    "sketch": sketch,
    "degrade": degrade,
    "segment": segment,
    "composite": composite,
}
