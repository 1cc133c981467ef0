"""Pairs of an image as the bytes of files: the work of each process."""

import json
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.detections import Detections
from calco.data.augmentation import fit_image
from calco.data.config import Format, JitterConfig
from calco.data.palettes import named_palette
from calco.data.recipes import Recipe, RecipeConfig
from calco.data.recipes.composite import composite_image
from calco.data.recipes.segment import painted
from calco.data.sample import Pair, Sample, generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image
from calco.work import Engine, results

MASKS: Final = "masks"  # folder of painted masks, beside that of the images

_CHUNK: Final = 4  # images that a process gets at once
_SCALES: Final = (1.0, 0.5, 0.25, 0.1, 0.01, 0.001)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Settings with which a process makes pairs: sent to it once."""

    source: Source  # without its items
    recipe: Recipe | None  # None for images that are written as they are, or with objects pasted on them
    scenes: RecipeConfig | None  # how objects are pasted and painted; None where none are
    fit: JitterConfig  # its `resize` is the size of the pairs; 0 keeps that of the images
    variants: int  # pairs of each image
    seed: int
    format: Format


@dataclass(frozen=True, kw_only=True)
class Made:
    """A pair as the bytes of its files ("input.png", "target.png", "json", ...), or an image and its objects."""

    key: str
    group: str
    digest: str
    channels: tuple[int, int]
    files: dict[str, bytes]
    objects: Detections | None = None
    size_wh: tuple[int, int] = (0, 0)


Outcome: TypeAlias = tuple[str, list[Made] | str]  # an image's key, and its pairs or the reason why there are none


def make(job: Job, item: Item) -> list[Made]:
    """Return all pairs of an image; the n-th uses the random numbers of the n-th epoch of a training."""
    sample = fit_image(job.source.load(item), job.fit.resize, job.fit)
    digest = job.source.digest(item)
    made = []
    for variant in range(job.variants):
        rng = generator(job.seed, variant, item.key, "recipe")
        key = item.key if job.variants == 1 else f"{item.key}@{variant}"
        if job.recipe is None:
            made.append(_annotated(sample, key, item, digest, job.scenes, rng))
            continue
        pair = job.recipe(sample, rng)
        files = _FILES[job.format](pair, key, variant, digest)
        channels = pair.input.shape[2], pair.target.shape[2]
        made.append(Made(key=key, group=item.group, digest=digest, channels=channels, files=files))
    return made


def _annotated(
    sample: Sample, key: str, item: Item, digest: str, scenes: RecipeConfig | None, rng: np.random.Generator
) -> Made:
    """Return an image with its objects, as it is or with more of them pasted; then its painted mask comes along."""
    masks = {}
    if scenes is not None:
        sample = composite_image(sample, scenes.composite, rng, split=item.split)
        masks = {f"{MASKS}.png": imaging.encode(painted(sample, named_palette(scenes.segment.palette))[0], ".png")}
    if sample.detections is None:
        raise CalcoError(f"{sample.key} has neither boxes nor outlines; name them with --annotations")
    ending, data = _without_loss(sample.image)
    height, width, channels = sample.image.shape
    return Made(
        key=key, group=sample.group, digest=digest, channels=(channels, channels), files={ending: data, **masks},
        objects=sample.detections, size_wh=(width, height),
    )  # fmt: skip


def _tar_members(pair: Pair, key: str, variant: int, digest: str) -> dict[str, bytes]:
    """Return the members of a pair in a tar file, in their order; `docs/shards.md` describes them."""
    height, width = pair.input.shape[:2]
    record: dict[str, Any] = {
        "key": key, "group": pair.group, "variant": variant, "source_digest": digest, "width": width, "height": height,
    }  # fmt: skip
    for side, image in (("input", pair.input), ("target", pair.target)):
        record[side] = {"channels": image.shape[2], "dtype": str(image.dtype)}
    files = _both(pair)
    if pair.weight is not None:
        levels, record["weight_scale"] = _as_levels(pair.weight)
        files["weight.png"] = imaging.encode(levels, ".png")
    if pair.region is not None:
        files["region.png"] = imaging.encode(pair.region[..., None].astype(np.uint8) * np.uint8(255), ".png")
    return files | {"json": json.dumps(record).encode()}


def _both(pair: Pair, *_: object) -> dict[str, bytes]:
    sides = {"input": _without_loss(pair.input), "target": _without_loss(pair.target)}
    return {f"{side}.{ending}": data for side, (ending, data) in sides.items()}


def _without_loss(image: Image) -> tuple[str, bytes]:
    """Return ending and bytes: PNG where that holds depth and channels, else TIFF."""
    ending = "png" if image.dtype != np.float32 and image.shape[2] <= 4 else "tif"
    return ending, imaging.encode(image, f".{ending}")


def _as_levels(weight: npt.NDArray[np.float32]) -> tuple[Image, float]:
    """HW `float32` => grey levels HW1 and the weight of one level: exact where some round number allows it."""
    largest = float(weight.max())
    for scale in _SCALES:
        levels = np.rint(weight / scale)
        if largest / scale <= 65535 and np.array_equal((levels * scale).astype(np.float32), weight):
            break
    else:
        scale = largest / 65535
        levels = np.rint(weight / scale)
    return levels.astype(np.uint8 if levels.max() <= 255 else np.uint16)[..., None], scale


def _halves(pair: Pair, *_: object) -> dict[str, bytes]:
    """Return input and target in one image, with the channels and the depth of whichever has more."""
    sides = [pair.input, pair.target]
    channels = max(side.shape[2] for side in sides)
    if channels > 4 or any(side.dtype == np.float32 for side in sides):
        raise CalcoError(f"{pair.key}: a PNG holds neither floats nor {channels} channels; take --format webdataset")
    depth = max((side.dtype for side in sides), key=lambda dtype: dtype.itemsize)
    whole = np.concatenate([imaging.as_channels(imaging.as_dtype(side, depth), channels) for side in sides], axis=1)
    return {"png": imaging.encode(whole, ".png")}


_FILES: Final[dict[str, Callable[[Pair, str, int, str], dict[str, bytes]]]] = {
    "webdataset": _tar_members,
    "side-by-side": _halves,
    "parallel": _both,
}


def outcomes(job: Job, items: Iterable[Item]) -> list[Outcome]:
    """Return the pairs of some images; one that cannot be used gives the reason and costs no other."""
    result: list[Outcome] = []
    for item in items:
        try:
            result.append((item.key, make(job, item)))
        except CalcoError as error:
            result.append((item.key, str(error)))
        except MemoryError:
            result.append((item.key, "it is too large for the memory; make it smaller, or give --size"))
    return result


def in_order(job: Job, items: list[Item], engine: Engine) -> Generator[Outcome, None, None]:
    """Yield the pairs of the images, in their order, made by any number of processes of this machine."""
    length = _CHUNK if engine.jobs != 1 and len(items) > _CHUNK else 1
    chunks = [items[start : start + length] for start in range(0, len(items), length)]
    with closing(results(engine, partial(partial, outcomes, job), chunks)) as done:
        for _, some in done:
            yield from some
