"""From a configuration to its pairs, and to batches of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from calco.data.dataset import PairDataset
from calco.data.palettes import named_palette, palette_name, recognised_palette
from calco.data.recipe_config import PER_IMAGE, fill_colour
from calco.data.recipes import RecipeConfig, build_recipe, has_class_targets, recipe_title, steps_of
from calco.data.source import settled
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError, UsageError
from calco.networks.config import GeneratorConfig
from calco.training.config import TrainConfig
from calco.training.task import RunData, absolute_path, absolute_paths


@dataclass(frozen=True, kw_only=True)
class Data(RunData[PairDataset]):
    """Pairs of a run, and the channels of their inputs and targets."""

    in_channels: int
    out_channels: int


def open_data(config: TrainConfig) -> tuple[Data, TrainConfig]:
    """Open the images; return the pairs, and the configuration with a concrete recipe and composition.

    Raises:
        CalcoError: If the images cannot be used, or do not fit the recipe.
    """
    if not config.images:
        raise CalcoError("no images were named; give a folder or openmoji: calco train IMAGES")
    config = _with_absolute_paths(config)
    source = open_source(config.images, config.source)
    if source.kind == "video" and config.source.video_groups == "auto":
        # The split stands, however many videos are added to the folder later.
        chosen: Literal["block", "video"] = "block" if any(item.when for item in source.items) else "video"
        config = replace(config, source=replace(config.source, video_groups=chosen))
    source, recipe_config = settled(source, config.recipe)
    if config.preset == "best" and has_class_targets(recipe_config) and config.keep.best_by != "iou":
        raise UsageError(
            f"the preset best follows the recipe, and these images have masks: give --recipe {recipe_config.recipe}"
        )
    if config.keep.best_by == "iou" and not has_class_targets(recipe_config):
        raise CalcoError(
            f"--best-by iou counts the pixels of classes, and the recipe {recipe_title(recipe_config.recipe)} paints "
            "none; choose l1, psnr or ssim"
        )
    recipe = build_recipe(recipe_config, source.kind, source.recipe)
    splits = split_items(source.items, config.split)
    training, validation = (
        PairDataset(
            source, splits[split], recipe, config.jitter, config.seed, train=split == "train", augment=config.augment
        )
        for split in ("train", "val")
    )
    first = training.pair(0, 0)
    if config.jitter.crop == "holes" and first.region is None:
        raise UsageError(
            f"--crop holes needs a recipe that erases, and {recipe_title(recipe_config.recipe)} does not; leave it "
            "out, or give --recipe erase"
        )
    in_channels, out_channels = first.input.shape[2], first.target.shape[2]
    chosen_generator = choose_composition(config.generator, recipe_config, in_channels, out_channels)
    config = replace(
        config, recipe=recipe_config, generator=replace(chosen_generator, labels=_labels(chosen_generator, training))
    )
    data = Data(
        source=source, splits=splits, train=training, validation=validation,
        in_channels=in_channels, out_channels=out_channels,
    )  # fmt: skip
    return data, config


def _labels(generator: GeneratorConfig, training: PairDataset) -> str:
    """Return the palette of the inputs, written out so that a model needs no file; or none."""
    labels = generator.labels
    if labels == "auto":
        some = range(0, len(training), -(-len(training) // 8))
        plain = generator.composition == "plain"
        labels = recognised_palette(training.pair(index, 0).input for index in some) if plain else "none"
    return labels if labels == "none" else palette_name(named_palette(labels))


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Make all paths absolute: a run is resumed, repeated and scored from other folders than its first."""
    erase, pasted = config.recipe.erase, config.recipe.composite
    if erase.masks is not None:
        erase = replace(erase, masks=str(Path(erase.masks).resolve()))
    pasted = replace(pasted, cutouts=absolute_path(pasted.cutouts), cutout_masks=absolute_path(pasted.cutout_masks))
    recipe = replace(config.recipe, erase=erase, composite=pasted)
    images = absolute_path(config.images) or ""
    start = absolute_path(config.start or None) or ""
    return replace(config, images=images, start=start, recipe=recipe, source=absolute_paths(config.source))


def choose_composition(
    generator: GeneratorConfig, recipe: RecipeConfig, in_channels: int, out_channels: int
) -> GeneratorConfig:
    """Replace "auto" by the parts that a recipe keeps: lightness if it adds colour, all but the holes if it erases.

    Holes that have neither one colour nor a channel of their own (mean, noise) cannot be found: that stays plain.
    """
    steps = steps_of(recipe.recipe)
    by_channel = generator.hole_channel or ("erase" in steps and recipe.erase.mask_channel)
    by_colour = generator.hole is not None or recipe.erase.fill not in PER_IMAGE
    composition = generator.composition
    if composition == "auto" and generator.bridge_steps:
        composition = "plain"
    if composition == "auto":
        shown = in_channels - by_channel
        composition = "plain"
        if steps == ["colorize"] or (steps == ["colorize", "erase"] and (by_channel or by_colour)):
            composition = "lab" if recipe.colorize.space == "lab" else "luminance"
        elif steps == ["erase"] and (by_channel or by_colour):
            composition = "filled" if shown == out_channels or {shown, out_channels} == {1, 3} else "plain"
    if composition in ("plain", "residual") or (composition != "filled" and "erase" not in steps):
        return replace(generator, composition=composition)
    if not (by_channel or by_colour):
        raise CalcoError(
            f"composition {composition} must know what to redraw, and the fill {recipe.erase.fill} leaves no colour to "
            "know it by; give --mask-channel, another --fill, or composition plain"
        )
    hole = None if by_channel else generator.hole or fill_colour(recipe.erase.fill)
    return replace(generator, composition=composition, hole=hole, hole_channel=by_channel)


@dataclass(frozen=True)
class Batch:
    """Pairs for one forward pass."""

    input: Tensor  # N, in, H, W, uint8, or float32 in [-1, 1]
    target: Tensor  # N, out, H, W, the same
    weight: Tensor  # N, 1, H, W, float32

    def to(self, device: torch.device, memory_format: torch.memory_format) -> tuple[Tensor, Tensor, Tensor]:
        """Return input and target as float32 in [-1, 1] on the device, and the weight as it is."""
        x, y = (
            signed(t.to(device, non_blocking=True)).contiguous(memory_format=memory_format)
            for t in (self.input, self.target)
        )
        return x, y, self.weight.to(device, non_blocking=True)


def signed(images: Tensor) -> Tensor:
    """uint8 => float32 in [-1, 1], on the same device; floats lie there already."""
    return images.float().div_(127.5).sub_(1) if images.dtype == torch.uint8 else images


def load_batch(dataset: PairDataset, places: list[tuple[int, int]], *, pinned: bool = False) -> Batch:
    """Load the pairs at places (index, epoch); `pinned` keeps them in page-locked memory for a GPU."""
    rows = [dataset[place] for place in places]
    weights = [row["weight"] for row in rows]
    if all(weight.stride()[1:] == (0, 0) for weight in weights):  # each pair is weighed by one number, the same for all
        weight = weights[0].expand(len(weights), *weights[0].shape)
    else:
        weight = _stacked(weights, pinned)
    given, wanted = (_stacked([row[side] for row in rows], pinned) for side in ("input", "target"))
    return Batch(input=given, target=wanted, weight=weight)


def _stacked(images: list[Tensor], pinned: bool) -> Tensor:
    """CHW each => NCHW, in memory NHWC as images are; where depths are mixed, all become float32 in [-1, 1]."""
    if len({image.dtype for image in images}) > 1:
        images = [signed(image) for image in images]
    channels, height, width = images[0].shape
    stack = torch.empty((len(images), height, width, channels), dtype=images[0].dtype, pin_memory=pinned)
    stack = stack.permute(0, 3, 1, 2)
    for number, image in enumerate(images):
        # By NumPy: torch would call all cores for each copy, away from the networks.
        np.copyto(stack.numpy()[number], image.numpy())
    return stack
