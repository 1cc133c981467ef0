"""From a configuration to the pairs it speaks of, and to a summary of both."""

import contextlib
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from calco.data.dataset import PairDataset
from calco.data.recipe_config import PER_IMAGE, fill_colour
from calco.data.recipes import RecipeConfig, build_recipe, has_class_targets, recipe_title, steps_of
from calco.data.resolving import settled
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError
from calco.networks.config import GeneratorConfig
from calco.training.batching import batches
from calco.training.config import TrainConfig
from calco.training.task import RunData, absolute_path, absolute_paths


@dataclass(frozen=True, kw_only=True)
class Data(RunData[PairDataset]):
    """The pairs of a run.

    Attributes:
        in_channels: Of the inputs.
        out_channels: Of the targets.
    """

    in_channels: int
    out_channels: int


def open_data(config: TrainConfig) -> tuple[Data, TrainConfig]:
    """Opens the images, and resolves what the configuration leaves to them.

    Returns:
        The data, and the configuration with a concrete recipe and composition.

    Raises:
        CalcoError: When the images cannot be used, or do not fit the recipe.
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
    if config.keep.best_by == "iou" and not has_class_targets(recipe_config):
        raise CalcoError(
            f"--best-by iou counts the pixels of classes, and the recipe {recipe_title(recipe_config.recipe)} paints "
            "none; choose l1, psnr or ssim"
        )
    recipe = build_recipe(recipe_config, source.kind, source.recipe)
    splits = split_items(source.items, config.split)

    def dataset(split: str, *, train: bool) -> PairDataset:
        return PairDataset(
            source, splits[split], recipe, config.jitter, config.seed, train=train, augment=config.augment
        )

    training, validation = dataset("train", train=True), dataset("val", train=False)
    first = training.pair(0, 0)
    in_channels, out_channels = first.input.shape[2], first.target.shape[2]
    config = replace(
        config,
        recipe=recipe_config,
        generator=choose_composition(config.generator, recipe_config, in_channels, out_channels),
    )
    data = Data(
        source=source, splits=splits, train=training, validation=validation,
        in_channels=in_channels, out_channels=out_channels,
    )  # fmt: skip
    return data, config


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Paths that hold from anywhere: a run is resumed, repeated and scored from other folders than its first."""
    masks = config.recipe.erase.masks
    if masks is not None:
        erase = replace(config.recipe.erase, masks=str(Path(masks).resolve()))
        config = replace(config, recipe=replace(config.recipe, erase=erase))
    pasted = config.recipe.composite
    pasted = replace(pasted, cutouts=absolute_path(pasted.cutouts), cutout_masks=absolute_path(pasted.cutout_masks))
    recipe = replace(config.recipe, composite=pasted)
    images = absolute_path(config.images) or ""
    return replace(config, images=images, recipe=recipe, source=absolute_paths(config.source))


def choose_composition(
    generator: GeneratorConfig, recipe: RecipeConfig, in_channels: int, out_channels: int
) -> GeneratorConfig:
    """Puts in the place of "auto" what a recipe lets stand: lightness for colour alone, all but the holes for erase.

    Holes that have neither one colour nor a channel of their own (mean, noise) cannot be found: that stays plain.
    """
    steps = steps_of(recipe.recipe)
    by_channel = generator.hole_channel or ("erase" in steps and recipe.erase.mask_channel)
    by_colour = generator.hole is not None or recipe.erase.fill not in PER_IMAGE
    composition = generator.composition
    if composition == "auto":
        shown = in_channels - by_channel
        composition = "plain"
        if steps == ["colorize"] or (steps == ["colorize", "erase"] and (by_channel or by_colour)):
            composition = "lab" if recipe.colorize.space == "lab" else "luminance"
        elif steps == ["erase"] and (by_channel or by_colour):
            composition = "filled" if shown == out_channels or {shown, out_channels} == {1, 3} else "plain"
    if composition == "plain" or (composition != "filled" and "erase" not in steps):
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
    """Pairs on their way into the networks."""

    input: Tensor  # N, in, H, W, uint8, or float32 in [-1, 1]
    target: Tensor  # N, out, H, W, the same
    weight: Tensor  # N, 1, H, W, float32

    def to(self, device: torch.device, memory_format: torch.memory_format) -> tuple[Tensor, Tensor, Tensor]:
        """Input and target as float32 in [-1, 1] on the device; the weight as it is."""
        x, y = (
            signed(t.to(device, non_blocking=True)).contiguous(memory_format=memory_format)
            for t in (self.input, self.target)
        )
        return x, y, self.weight.to(device, non_blocking=True)


def signed(images: Tensor) -> Tensor:
    """uint8 => float32 in [-1, 1], on the same device; floats lie there already."""
    return images.float().div_(127.5).sub_(1) if images.dtype == torch.uint8 else images


def load_batch(dataset: PairDataset, places: list[tuple[int, int]], *, pinned: bool = False) -> Batch:
    """The pairs at these places (index, epoch).

    Args:
        dataset: What makes them.
        places: Index and epoch of each.
        pinned: Puts them where a GPU can fetch them by itself, while the CPU does something else.
    """
    count = len(places)
    given, wanted, weights = _Stack(count, pinned), _Stack(count, pinned), list[Tensor]()
    for place in places:
        row = dataset[place]
        # At once, while the pixels are in the processor's cache.
        given.put(row["input"])
        wanted.put(row["target"])
        weights.append(row["weight"])
    return Batch(input=given.whole, target=wanted.whole, weight=_weighed(weights, pinned))


class _Stack:
    """CHW one after another => NCHW, in memory NHWC as images are.

    Where depths are mixed, all become `float32` in [-1, 1].

    Attributes:
        whole: The batch.
    """

    def __init__(self, count: int, pinned: bool) -> None:
        self.count, self.pinned, self.filled = count, pinned, 0
        self.whole = torch.empty(0)

    def put(self, image: Tensor) -> None:
        """Copies the next image to its place."""
        if not self.filled:
            self.whole = self._room(image.shape, image.dtype)
        elif image.dtype != self.whole.dtype:
            image = signed(image)
            if self.whole.dtype != image.dtype:
                before, self.whole = self.whole, self._room(image.shape, image.dtype)
                self.whole[: self.filled] = signed(before[: self.filled])
        # By NumPy: torch would call all cores for each copy, away from the networks.
        np.copyto(self.whole.numpy()[self.filled], image.numpy())
        self.filled += 1

    def _room(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        channels, height, width = shape
        room = torch.empty((self.count, height, width, channels), dtype=dtype, pin_memory=self.pinned)
        return room.permute(0, 3, 1, 2)


def _weighed(weights: list[Tensor], pinned: bool) -> Tensor:
    """1HW each => N1HW; one number for all pixels where they count alike in all pairs."""
    if all(weight.stride()[1:] == (0, 0) for weight in weights):
        return weights[0].expand(len(weights), *weights[0].shape)
    stack = _Stack(len(weights), pinned)
    for weight in weights:
        stack.put(weight)
    return stack.whole


def throughput(
    dataset: PairDataset, *, batch: int, workers: int = 1, epoch: int = 0, seconds: float = math.inf
) -> float:
    """Pairs a second that the feed gives to a loop that does nothing with them.

    Args:
        dataset: The first pass over it reads and fits the images, later ones find those that are kept.
        batch: Pairs in a batch.
        workers: As of `calco.training.batching.batches`.
        epoch: Which one.
        seconds: Ends after so many; by default after one epoch.
    """
    started, pairs = time.monotonic(), 0
    with contextlib.closing(
        batches(load_batch, dataset, seed=dataset.seed, epoch=epoch, batch=batch, skip=0, workers=workers)
    ) as feed:
        for ready in feed:
            pairs += len(ready.input)
            if time.monotonic() - started >= seconds:
                break
    return pairs / (time.monotonic() - started)
