"""Windows to learn from: around the objects of annotated images, and anywhere else."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.detections import Detections
from calco.data.erasing import given_region
from calco.data.recipe_config import EraseConfig
from calco.data.source import Item, Source
from calco.data.types import Sample, generator
from calco.detection.boxes import iou
from calco.detection.sliding.classifier import BACKGROUND
from calco.errors import CalcoError
from calco.imaging import Image

Boxes = npt.NDArray[np.float64]

UNNAMED: Final = "object"
"""The class of a mask's parts, which have no name."""
_OBJECTS: Final = 6  # of an image, the largest
_VIEWS: Final = 3  # windows about each thing, a little displaced
_OTHERS: Final = 8  # windows of each image that hold no thing
_MARGIN: Final = 1.1  # of a window about a thing
_APART: Final = 0.3  # IoU with every window about a thing below which a window holds none
_LEAST_PART: Final = 0.01  # of the image, below which a part of a mask is a splinter


@dataclass(frozen=True, eq=False)
class Example:
    """A window, and what it holds.

    Attributes:
        crop: HW3 `uint8`.
        label: A class, or background.
        key: Of its image.
    """

    crop: Image
    label: str
    key: str


def objects_in(sample: Sample) -> Detections:
    """The boxes of an image: those it comes with, or around the parts of its mask.

    Raises:
        CalcoError: When it has neither.
    """
    if sample.detections is not None:
        return sample.detections
    if sample.mask is None:
        raise CalcoError(f"{sample.key} has neither boxes nor a mask; --examples needs annotated images")
    parts = given_region(sample.mask, EraseConfig()).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(parts, connectivity=8)
    kept = [stats[place] for place in range(1, count) if stats[place][4] >= _LEAST_PART * parts.size]
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in kept], np.float32).reshape(-1, 4)
    return Detections(boxes=boxes, classes=(UNNAMED,) * len(boxes))


def examples_of(
    source: Source,
    items: Sequence[Item],
    window_wh: tuple[int, int],
    seed: int,
    *,
    others: int = _OTHERS,
    left_out: list[tuple[str, str]],
    advance: Callable[[int], None],
) -> Iterator[Example]:
    """The windows of some images, which depend on seed and key alone.

    Args:
        source: Annotated images.
        items: Those that are looked at.
        window_wh: Whose proportions the windows have.
        seed: From which they are drawn.
        others: Windows without a thing, of each sample; the first of them do not change with this number.
        left_out: Takes name and reason of images that cannot be read.
        advance: Is told how many images are done.
    """
    for number, item in enumerate(items):
        try:
            sample = source.load(item)
            objects = objects_in(sample)
        except CalcoError as error:
            left_out.append((item.key, str(error)))
            continue
        image = as_seen(sample.image)
        yield from _of_image(image, objects, item.key, window_wh, seed, others)
        advance(number + 1)


def as_seen(image: Image) -> Image:
    """An image of any kind as a classifier sees it: HW3 `uint8`."""
    return np.ascontiguousarray(imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3))


def cut(image: Image, box: Sequence[float] | npt.NDArray[np.generic]) -> Image:
    """The pixels of a box that lies in the image, one at least."""
    left, top, right, bottom = (round(float(value)) for value in box)
    left, top = min(left, image.shape[1] - 1), min(top, image.shape[0] - 1)
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]


def _of_image(
    image: Image, objects: Detections, key: str, window_wh: tuple[int, int], seed: int, others: int
) -> Iterator[Example]:
    height, width = image.shape[:2]
    ratio = window_wh[0] / window_wh[1]
    solid = objects.select(np.argsort(-objects.areas(), kind="stable")).clipped(width, height)
    rng = generator(seed, 0, key, "windows about objects")
    for place in range(min(_OBJECTS, len(solid))):
        for view in range(_VIEWS):
            grown, shift = (1.0, np.zeros(2)) if not view else (rng.uniform(0.85, 1.3), rng.uniform(-0.1, 0.1, 2))
            crop = cut(image, _around(solid.boxes[place], ratio, width, height, grown, shift))
            yield Example(crop[:, ::-1] if rng.random() < 0.5 else crop, solid.classes[place], key)
    taken = np.array([_around(box, ratio, width, height) for box in solid.boxes]).reshape(-1, 4)
    rng = generator(seed, 0, key, "other windows")
    for _ in range(others):
        if (free := _elsewhere(taken, ratio, width, height, rng)) is not None:
            yield Example(cut(image, free), BACKGROUND, key)


def _around(
    box: npt.NDArray[np.generic],
    ratio: float,
    width: int,
    height: int,
    grown: float = 1.0,
    shift: npt.NDArray[np.float64] | None = None,
) -> Boxes:
    """The window about a thing: of the window's proportions and inside the image, as far as it reaches."""
    left, top, right, bottom = (float(value) for value in box)
    across = max(right - left, (bottom - top) * ratio) * _MARGIN * grown
    size = np.minimum([across, across / ratio], [width, height])
    centre = np.array([left + right, top + bottom]) / 2 + (0 if shift is None else shift * size)
    corner = np.clip(centre - size / 2, 0, np.array([width, height]) - size)
    return np.concatenate([corner, corner + size])


def _elsewhere(taken: Boxes, ratio: float, width: int, height: int, rng: np.random.Generator) -> Boxes | None:
    """A window of any size that holds no thing, or None where chance finds none."""
    whole = min(width, height * ratio)
    for _ in range(8):
        across = whole * np.exp(rng.uniform(np.log(0.15), 0))
        size = np.array([across, across / ratio])
        corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - size)
        box = np.concatenate([corner, corner + size])
        if not len(taken) or iou(box[None], taken).max() < _APART:
            return box
    return None
