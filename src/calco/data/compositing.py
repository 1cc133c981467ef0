"""Images with exact truth: cut-outs pasted on a photograph, and for each of them the pixels that stay visible."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline, nothing
from calco.data.cutouts import cutouts_of, draw_cutout
from calco.data.pasting import Patch, cut_to_size, finish, shadow
from calco.data.recipe_config import CompositeConfig
from calco.data.types import size_wh
from calco.errors import CalcoError
from calco.imaging import Image, as_channels, as_dtype

_PLACES = 12  # that are tried for each thing
_LEAST_SIDE = 32  # pixels of a photograph
_LEAST_PIXELS = 16  # of a thing that is visible
_BEYOND = 0.25  # of a thing's width and height that may lie beyond the border

Planes = npt.NDArray[np.float32]


@dataclass
class _Laid:
    """A thing that lies in the image.

    Attributes:
        label: Its class.
        cover: HW: what it makes of each pixel of its window, 0 to 1; less where others lie over it.
        left: Of the window.
        top: Of the window.
        full: Its pixels, were nothing of it hidden.
    """

    label: str
    cover: Planes
    left: int
    top: int
    full: int


def composed(
    photograph: Image, config: CompositeConfig, rng: np.random.Generator, *, split: str | None = None
) -> tuple[Image, Detections]:
    """Pastes cut-outs on a photograph.

    Later objects lie over earlier ones. A pixel belongs to the one that makes at least half of it; the boxes are those
    of the visible pixels.

    Args:
        photograph: HWC of any depth, grey or colour, with or without transparency.
        config: Which cut-outs, how many, how.
        rng: Draws everything.
        split: "train", "val" or "test" takes the cut-outs of that side alone; None takes all.

    Returns:
        The image with the height, width and channels of the photograph, `uint8`; and the objects in it, each with its
        exact mask, in the order in which they were laid.

    Raises:
        CalcoError: When no cut-out can be used, or the photograph is too small.
    """
    height, width = photograph.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        raise CalcoError(
            f"the photograph has {size_wh(photograph)} pixels, where no thing could be recognised; take one of at "
            f"least {_LEAST_SIDE} each way"
        )
    cutouts = cutouts_of(config)
    canvas = as_channels(as_dtype(photograph, np.uint8), 3).astype(np.float32)
    laid: list[_Laid] = []
    unusable: dict[str, str] = {}
    num = int(rng.integers(config.pasted[0], config.pasted[1] + 1))
    for _ in range(num):
        label = cutouts.classes[int(rng.integers(len(cutouts.classes)))]
        try:
            cutout = draw_cutout(cutouts.of_class(label, split), rng)
        except CalcoError as error:
            unusable[label] = str(error)
            continue
        longer = float(rng.uniform(*config.cutout_size)) * min(height, width)
        _lay(canvas, laid, label, cut_to_size(*cutout, longer, config, rng), config, rng)
    if not laid and len(unusable) == len(cutouts.classes):
        raise CalcoError(f"no cut-out can be pasted; the first reason: {next(iter(unusable.values()))}")
    image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return as_channels(image, photograph.shape[2]), _objects(laid, height, width)


def _lay(
    canvas: Planes, laid: list[_Laid], label: str, plain: Patch, config: CompositeConfig, rng: np.random.Generator
) -> None:
    """Lays a thing where there is room for it; nowhere, where all places that are tried would hide too much."""
    import cv2

    for _ in range(_PLACES):
        left, top = _place(plain, canvas.shape[:2], rng)
        there, own = _cut(plain.alpha.shape, left, top, canvas.shape[:2])
        at = there[1].start, there[0].start
        if not _fits(plain, plain.alpha[own], at, laid, config.least_visible):
            continue  # before the work of finishing it
        patch = finish(plain, cv2.convertScaleAbs(canvas[there]), config, rng)
        cover = patch.alpha[own]
        if not _fits(patch, cover, at, laid, config.least_visible):
            continue
        light = shadow(patch, config.cutout_shadow, rng)[own][..., None]
        share = cover[..., None]
        canvas[there] = canvas[there] * light * (1 - share) + patch.colour[own] * share
        for other in laid:
            rows, columns = _shared(other, cover.shape, at)
            other.cover[rows[0], columns[0]] *= 1 - cover[rows[1], columns[1]]
        laid.append(_Laid(label, cover.copy(), *at, int((patch.full >= 0.5).sum())))
        return


def _fits(patch: Patch, cover: Planes, at: tuple[int, int], laid: list[_Laid], least: float) -> bool:
    """Whether enough of a thing would be visible, and enough of each one under it."""
    if _too_little(cover, int((patch.full >= 0.5).sum()), least):
        return False
    for other in laid:
        rows, columns = _shared(other, cover.shape, at)
        remaining = other.cover.copy()
        remaining[rows[0], columns[0]] *= 1 - cover[rows[1], columns[1]]
        if _too_little(remaining, other.full, least):
            return False
    return True


def _too_little(cover: Planes, full: int, least: float) -> bool:
    return int((cover >= 0.5).sum()) < max(_LEAST_PIXELS, least * full)


def _shared(
    other: _Laid, shape: tuple[int, ...], at: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and the columns that a window shares with a thing's, each as they count in the thing's and in it."""
    bounds = []
    for axis, (first, own) in enumerate(((other.top, at[1]), (other.left, at[0]))):
        start, end = max(first, own), min(first + other.cover.shape[axis], own + shape[axis])
        end = max(start, end)
        bounds.append((slice(start - first, end - first), slice(start - own, end - own)))
    return bounds[0], bounds[1]


def _place(patch: Patch, size: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    """Left and top of a patch; a part of the thing may lie beyond the border."""
    ends = []
    for extent, whole in zip(patch.alpha.shape, size, strict=True):
        own = extent - 2 * patch.margin
        beyond = round(_BEYOND * own)
        first, last = sorted((-beyond, whole - own + beyond))
        ends.append(int(rng.integers(first, last + 1)) - patch.margin)
    return ends[1], ends[0]


def _cut(
    shape: tuple[int, ...], left: int, top: int, size: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and columns of the canvas that a patch covers, and those of the patch that cover them."""
    bounds = []
    for first, extent, whole in ((top, shape[0], size[0]), (left, shape[1], size[1])):
        start, end = max(0, first), min(whole, first + extent)
        bounds.append((slice(start, end), slice(start - first, end - first)))
    (rows, own_rows), (columns, own_columns) = bounds
    return (rows, columns), (own_rows, own_columns)


def _objects(laid: list[_Laid], height: int, width: int) -> Detections:
    """The boxes and masks of what is visible."""
    if not laid:
        return nothing()
    masks, boxes = [], []
    for thing in laid:
        mask = np.zeros((height, width), np.bool_)
        seen = thing.cover >= 0.5
        mask[thing.top : thing.top + seen.shape[0], thing.left : thing.left + seen.shape[1]] = seen
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        masks.append(Outline(mask=mask))
    return Detections(
        boxes=np.array(boxes, np.float32), classes=tuple(thing.label for thing in laid), outlines=tuple(masks)
    )
