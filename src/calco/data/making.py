"""One image to its pairs, as the bytes of files: what each process does."""

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
from calco.data.config import JitterConfig
from calco.data.palettes import named_palette
from calco.data.prepare_config import Format
from calco.data.recipes import Recipe, RecipeConfig
from calco.data.recipes.composite import composite_image
from calco.data.recipes.segment import painted
from calco.data.sample import Pair, Sample, generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image
from calco.work import Engine, results

MASKS: Final = "masks"
"""The folder of painted masks, beside that of the images."""

_CHUNK: Final = 4  # images that a process is given at once
_SCALES: Final = (1.0, 0.5, 0.25, 0.1, 0.01, 0.001)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Settings that a process needs to make pairs: sent to it once.

    Attributes:
        source: Without its items.
        recipe: What makes a pair of an image; None for images that are written as they are, or with objects in them.
        scenes: How objects are pasted and painted, where images are written with them; else None.
        fit: How images are brought to a size.
        side: The size; 0 keeps their own.
        variants: How many pairs of each image.
        seed: From which every chance derives.
        format: What is written of a pair.
    """

    source: Source
    recipe: Recipe | None
    scenes: RecipeConfig | None = None
    fit: JitterConfig
    side: int
    variants: int
    seed: int
    format: Format = "webdataset"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A pair as the bytes of its files ("input.png", "target.png", "json", ...), or an image and what is in it."""

    key: str
    group: str
    digest: str
    channels: tuple[int, int]
    files: dict[str, bytes]
    objects: Detections | None = None
    size_wh: tuple[int, int] = (0, 0)


Outcome: TypeAlias = tuple[str, list[Made] | str]
"""An image's key, and its pairs or the reason why there are none."""


def make(job: Job, item: Item) -> list[Made]:
    """All pairs of an image; the chance of the n-th is that of the n-th pass of a training over the image.

    Raises:
        CalcoError: If it cannot be read, or the recipe cannot use it.
    """
    image = fit_image(job.source.load(item), job.side, job.fit)
    digest = job.source.digest(item)
    made = []
    for variant in range(job.variants):
        rng = generator(job.seed, variant, item.key, "recipe")
        key = item.key if job.variants == 1 else f"{item.key}@{variant}"
        if job.recipe is None:
            made.append(_annotated(image, key, item, digest, job.scenes, rng))
            continue
        pair = job.recipe(image, rng)
        files = _FILES[job.format](pair, key, variant, digest)
        channels = pair.input.shape[2], pair.target.shape[2]
        made.append(Made(key=key, group=item.group, digest=digest, channels=channels, files=files))
    return made


def _annotated(
    sample: Sample, key: str, item: Item, digest: str, scenes: RecipeConfig | None, rng: np.random.Generator
) -> Made:
    """An image with what is in it: as it is, or with objects pasted, whose painted mask comes along."""
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


def _everything(pair: Pair, key: str, variant: int, digest: str) -> dict[str, bytes]:
    """Return the files of a pair in a tar file, in this order."""
    height, width = pair.input.shape[:2]
    record: dict[str, Any] = {
        "key": key, "group": pair.group, "variant": variant, "source_digest": digest, "width": width, "height": height,
        "input": _kind(pair.input), "target": _kind(pair.target),
    }  # fmt: skip
    files = _both(pair)
    if pair.weight is not None:
        levels, record["weight_scale"] = _as_levels(pair.weight)
        files["weight.png"] = imaging.encode(levels, ".png")
    if pair.region is not None:
        files["region.png"] = imaging.encode(pair.region[..., None].astype(np.uint8) * np.uint8(255), ".png")
    return files | {"json": json.dumps(record).encode()}


def _kind(image: Image) -> dict[str, Any]:
    return {"channels": image.shape[2], "dtype": str(image.dtype)}


def _both(pair: Pair, *_: object) -> dict[str, bytes]:
    """Input and target."""
    sides = {"input": _without_loss(pair.input), "target": _without_loss(pair.target)}
    return {f"{side}.{ending}": data for side, (ending, data) in sides.items()}


def _without_loss(image: Image) -> tuple[str, bytes]:
    """Ending and bytes: PNG where that holds depth and channels, else TIFF."""
    ending = "png" if image.dtype != np.float32 and image.shape[2] <= 4 else "tif"
    return ending, imaging.encode(image, f".{ending}")


def _as_levels(weight: npt.NDArray[np.float32]) -> tuple[Image, float]:
    """HW `float32` => grey levels HW1 and what one level counts: exact where some round number allows it."""
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
    """Input and target in one image, with the channels and the depth of whichever has more."""
    sides = [pair.input, pair.target]
    channels = max(side.shape[2] for side in sides)
    if channels > 4 or any(side.dtype == np.float32 for side in sides):
        raise CalcoError(f"{pair.key}: a PNG holds neither floats nor {channels} channels; take --format webdataset")
    depth = max((side.dtype for side in sides), key=lambda dtype: dtype.itemsize)
    whole = np.concatenate([imaging.as_channels(imaging.as_dtype(side, depth), channels) for side in sides], axis=1)
    return {"png": imaging.encode(whole, ".png")}


_FILES: Final[dict[str, Callable[[Pair, str, int, str], dict[str, bytes]]]] = {
    "webdataset": _everything,
    "side-by-side": _halves,
    "parallel": _both,
}


def outcomes(job: Job, items: Iterable[Item]) -> list[Outcome]:
    """Return the pairs of some images, or why there are none; one that cannot be used costs no other."""
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
    """Yield the pairs of the images, in their order, made by any number of processes of this machine.

    Raises:
        CalcoError: If a process ends before its work.
    """
    length = _CHUNK if engine.jobs != 1 and len(items) > _CHUNK else 1
    chunks = [items[start : start + length] for start in range(0, len(items), length)]
    with closing(results(engine, partial(partial, outcomes, job), chunks)) as done:
        for _, some in done:
            yield from some
