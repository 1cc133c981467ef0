"""Recipe `composite`: cut-outs pasted on a photograph, with the visible pixels of each as ground truth."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline, nothing
from calco.data.palettes import Palette
from calco.data.recipe_config import CompositeConfig
from calco.data.recipes.cutouts import Cutouts, list_cutouts, random_cutout, resized, unusable, unweighted
from calco.data.recipes.segment import painted
from calco.data.sample import Pair, Sample, size_wh
from calco.errors import CalcoError
from calco.imaging import Image, as_channels, as_dtype

LOG = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]
Point = tuple[int, int]  # row, column
Window = tuple[slice, slice]
_MARGIN = 4  # pixels around an object, in which blur and soft edges run out
_SHADOW = 0.06  # of an object's longer side: reach of its shadow; half of it is the deviation of the blur
_MOST_ENLARGED = 2.0  # times; larger shows nothing but how small the file was
_STRONGEST = 1.6  # times that contrast changes, when colours are matched
_PLACES = 12  # that are tried for each object
_LEAST_SIDE = 32  # pixels of a photograph
_LEAST_PIXELS = 16  # of an object that are visible
_BEYOND = 0.25  # of an object's width and height that may lie beyond the border


@dataclass(frozen=True)
class Patch:
    """Cut-out that is ready to be pasted."""

    colour: Image  # HW3 `uint8`
    alpha: Floats  # HW in [0, 1]: how much of each pixel it covers
    full: Floats  # HW: the same before a part of it was hidden
    margin: int  # pixels around the object, with at most its shadow


def cut_to_size(
    colour: Image, alpha: npt.NDArray[np.uint8], longer: float, config: CompositeConfig, rng: np.random.Generator
) -> Patch:
    """Scale a cut-out to a longer side in pixels (at most twice its own), mirror and turn it."""
    import cv2

    scale = min(longer / max(alpha.shape), _MOST_ENLARGED)
    size_wh = max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale))
    colour, alpha = resized(colour, alpha, size_wh)
    if rng.random() < config.cutout_flip:
        colour, alpha = colour[:, ::-1], alpha[:, ::-1]
    share = alpha[..., None].astype(np.float32) / 255
    weighted = np.concatenate([colour * share, share], axis=2)
    angle = float(rng.uniform(-1, 1)) * config.cutout_turn
    width, height = size_wh
    cos, sin = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    margin = _MARGIN + int(2.5 * _SHADOW * max(width, height) * (config.cutout_shadow > 0))
    across = int(np.ceil(width * cos + height * sin)) + 2 * margin
    down = int(np.ceil(width * sin + height * cos)) + 2 * margin
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    matrix[:, 2] += ((across - width) / 2, (down - height) / 2)
    turned = np.asarray(cv2.warpAffine(np.ascontiguousarray(weighted), matrix, (across, down)), np.float32)
    opacity = np.clip(turned[..., 3], 0, 1)
    return Patch(unweighted(turned), opacity, opacity, margin)


def finish(patch: Patch, ground: Image, config: CompositeConfig, rng: np.random.Generator) -> Patch:
    """Light a patch, match its colours to the ground (HW3 `uint8`), blur it, soften its edge, and hide a part of it.

    How objects are put in differs from one to the next, so that no network learns to find the seam: Dwibedi, Misra and
    Hebert, "Cut, Paste and Learn" (arXiv 1708.01642). As many random numbers are taken whatever is off.
    """
    import cv2

    match, brightness, slope, towards, side = rng.random(5)
    blur, edge = rng.uniform(*config.cutout_blur), rng.uniform(*config.cutout_edge)
    hides, share = rng.random() < config.cutout_hidden, float(rng.uniform(0.1, 1.0))
    colour = _matched(patch.colour, patch.alpha, ground, config.cutout_match * float(match))
    if config.cutout_light:  # of the whole, and from one side to the other
        rows, columns = (np.linspace(-1, 1, extent, dtype=np.float32) for extent in patch.alpha.shape)
        angle = 2 * np.pi * towards
        ramp = (np.sin(angle) * rows[:, None] + np.cos(angle) * columns[None]) * slope
        light = np.clip(1 + config.cutout_light * (2 * brightness - 1 + ramp), 0.2, 3)[..., None]
        colour = np.asarray(cv2.convertScaleAbs(colour * light), np.uint8)
    alpha = patch.alpha
    if blur > 0.1:
        weighted = np.concatenate([colour * alpha[..., None], alpha[..., None]], axis=2)
        weighted = np.asarray(cv2.GaussianBlur(weighted, (0, 0), blur), np.float32)
        colour, alpha = unweighted(weighted), np.clip(weighted[..., 3], 0, 1)
    if edge > 0.1:
        # Inwards only: the surroundings of the object in its own photograph are not pasted.
        soft = np.clip(2 * cv2.GaussianBlur(alpha, (0, 0), edge) - 1, 0, 1)
        alpha = np.minimum(alpha, soft).astype(np.float32)
    kept = alpha * _hidden(alpha, share * (1 - config.least_visible), float(side)) if hides else alpha
    return Patch(colour, kept, alpha, patch.margin)


def _matched(colour: Image, alpha: Floats, ground: Image, share: float) -> Image:
    """Move mean and spread in CIE Lab a share of the way to the ground's (Reinhard et al. 2001), HW3 `uint8`."""
    import cv2

    inside = (alpha > 0.5).astype(np.uint8)
    if share == 0 or not inside.any():
        return colour
    own = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)
    mean, spread = (each[:, 0] for each in cv2.meanStdDev(own, mask=inside))
    wanted, other = (each[:, 0] for each in cv2.meanStdDev(cv2.cvtColor(ground, cv2.COLOR_RGB2LAB)))
    ratio = np.clip((other + 1) / (spread + 1), 1 / _STRONGEST, _STRONGEST)
    levels = np.arange(256)[:, None]
    tables = levels + share * ((levels - mean) * ratio + wanted - levels)
    table = np.clip(np.rint(tables), 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.cvtColor(cv2.LUT(own, table), cv2.COLOR_LAB2RGB), np.uint8)


def _hidden(alpha: Floats, share: float, side: float) -> Floats:
    """Return HW, 0 beyond a straight line that hides about this share of the object."""
    rows, columns = np.nonzero(alpha > 0.5)
    if not len(rows):
        return np.ones_like(alpha)
    angle = 2 * np.pi * side
    place = np.cos(angle) * columns + np.sin(angle) * rows
    line = float(np.quantile(place, 1 - share))
    grid = np.cos(angle) * np.arange(alpha.shape[1])[None] + np.sin(angle) * np.arange(alpha.shape[0])[:, None]
    return np.asarray(np.clip(line - grid + 0.5, 0, 1), np.float32)


def shadow(patch: Patch, darkness: float, rng: np.random.Generator) -> Floats:
    """Return the light that a shadow leaves, HW in [0, 1]: the outline, blurred and shifted within the patch."""
    import cv2

    across, down, depth, width = rng.random(4)
    if darkness == 0:
        return np.ones_like(patch.alpha)
    reach = _SHADOW * (max(patch.alpha.shape) - 2 * patch.margin)
    shift = np.array([[1, 0, (2 * across - 1) * reach], [0, 1, down * reach]], np.float32)
    size_wh = patch.alpha.shape[1], patch.alpha.shape[0]
    moved, deviation = cv2.warpAffine(patch.full, shift, size_wh), 0.5 + 0.5 * reach * float(width)
    step = max(1, int(deviation / 3))  # so soft a shadow needs no more pixels
    small = cv2.resize(moved, (-(-size_wh[0] // step), -(-size_wh[1] // step)), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), deviation / step), size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 - darkness * float(depth) * np.clip(soft, 0, 1), np.float32)


@dataclass
class _Placed:
    """Object that lies in the image."""

    label: str
    cover: Floats  # HW in [0, 1]: its part of each pixel of its window; less where others lie over it
    at: Point  # top and left of the window
    full: int  # its pixels, were nothing of it hidden


def composed(
    photograph: Image, config: CompositeConfig, rng: np.random.Generator, *, split: str | None = None
) -> tuple[Image, Detections]:
    """Paste cut-outs on a photograph.

    Later objects lie over earlier ones. A pixel belongs to the one that makes at least half of it; the boxes are those
    of the visible pixels. A split ("train", "val" or "test") takes the cut-outs of that side alone.

    Returns:
        The image with the height, width and channels of the photograph, `uint8`; and the objects in it, each with its
        exact mask, in the order in which they were laid.
    """
    height, width = photograph.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        raise CalcoError(
            f"the photograph has {size_wh(photograph)} pixels, too few to recognise an object; take one of at "
            f"least {_LEAST_SIDE} each way"
        )
    cutouts = cutouts_of(config)
    canvas = as_channels(as_dtype(photograph, np.uint8), 3).astype(np.float32)
    laid: list[_Placed] = []
    unusable: dict[str, str] = {}
    num = int(rng.integers(config.pasted[0], config.pasted[1] + 1))
    for _ in range(num):
        label = cutouts.classes[int(rng.integers(len(cutouts.classes)))]
        try:
            cutout = random_cutout(cutouts.of_class(label, split), rng)
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
    canvas: Floats, laid: list[_Placed], label: str, plain: Patch, config: CompositeConfig, rng: np.random.Generator
) -> None:
    """Lay an object at a place with room for it; nowhere if all places that are tried would hide too much."""
    import cv2

    for _ in range(_PLACES):
        corner = _place(plain, canvas.shape[:2], rng)
        there, own = _overlap((0, 0), canvas.shape, corner, plain.alpha.shape)
        at = there[0].start, there[1].start
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
            theirs, ours = _overlap(other.at, other.cover.shape, at, cover.shape)
            other.cover[theirs] *= 1 - cover[ours]
        laid.append(_Placed(label, cover.copy(), at, int((patch.full >= 0.5).sum())))
        return


def _fits(patch: Patch, cover: Floats, at: Point, laid: list[_Placed], least: float) -> bool:
    """Return True if enough of an object would be visible, and enough of each one under it."""
    visible = [(cover, int((patch.full >= 0.5).sum()))]
    for other in laid:
        theirs, ours = _overlap(other.at, other.cover.shape, at, cover.shape)
        remaining = other.cover.copy()
        remaining[theirs] *= 1 - cover[ours]
        visible.append((remaining, other.full))
    return all(int((part >= 0.5).sum()) >= max(_LEAST_PIXELS, least * full) for part, full in visible)


def _overlap(
    first: Point, first_shape: tuple[int, ...], second: Point, second_shape: tuple[int, ...]
) -> tuple[Window, Window]:
    """Return the rows and columns that two windows share, relative to each of them."""
    bounds = []
    for one, one_extent, other, other_extent in zip(first, first_shape, second, second_shape, strict=False):
        start, end = max(one, other), min(one + one_extent, other + other_extent)
        end = max(start, end)
        bounds.append((slice(start - one, end - one), slice(start - other, end - other)))
    return (bounds[0][0], bounds[1][0]), (bounds[0][1], bounds[1][1])


def _place(patch: Patch, size: tuple[int, ...], rng: np.random.Generator) -> Point:
    """Return top and left of a patch; a part of the object may lie beyond the border."""
    corner = []
    for extent, whole in zip(patch.alpha.shape, size, strict=True):
        own = extent - 2 * patch.margin
        beyond = round(_BEYOND * own)
        first, last = sorted((-beyond, whole - own + beyond))
        corner.append(int(rng.integers(first, last + 1)) - patch.margin)
    return corner[0], corner[1]


def _objects(laid: list[_Placed], height: int, width: int) -> Detections:
    """Return the boxes and masks of what is visible."""
    if not laid:
        return nothing()
    masks, boxes = [], []
    for obj in laid:
        mask = np.zeros((height, width), np.bool_)
        seen = obj.cover >= 0.5
        top, left = obj.at
        mask[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        masks.append(Outline(mask=mask))
    return Detections(
        boxes=np.array(boxes, np.float32), classes=tuple(obj.label for obj in laid), outlines=tuple(masks)
    )


def cutouts_of(config: CompositeConfig, *, anew: bool = False) -> Cutouts:
    """List the folder of cut-outs, once per process unless `anew`."""
    if not config.cutouts:
        raise CalcoError("recipe composite pastes cut-outs on photographs; name their folder: --cutouts FOLDER")
    if anew:
        list_cutouts.cache_clear()
    return list_cutouts(config.cutouts, config.cutout_masks or "", config.cutout_class)


def check_cutouts(config: CompositeConfig) -> None:
    """Read all cut-outs, warn of those that cannot be pasted, and refuse a folder of which none can."""
    cutouts = cutouts_of(config, anew=True)
    reasons = unusable(cutouts)
    usable = [entry for entry in cutouts.entries if entry.name not in reasons]
    if not usable:
        name, reason = next(iter(reasons.items()))
        raise CalcoError(
            f"none of the {len(cutouts.entries)} cut-outs in {config.cutouts} can be used; {name}: {reason}"
        )
    if reasons:
        named = ", ".join(f"{name} ({reason})" for name, reason in list(reasons.items())[:3])
        empty = [label for label in cutouts.classes if label not in {entry.label for entry in usable}]
        without = f"; nothing is left of the class {', '.join(empty)}" if empty else ""
        more = ", ..." if len(reasons) > 3 else ""
        LOG.warning(f"{len(reasons)} cut-outs are left out: {named}{more}{without}")


def composite_image(
    sample: Sample, config: CompositeConfig, rng: np.random.Generator, *, split: str | None = None
) -> Sample:
    """Return the photograph with cut-outs pasted on it and their detections; `split` as in `composed`."""
    try:
        image, objects = composed(sample.whole, config, rng, split=split)
    except CalcoError as error:
        raise CalcoError(f"{sample.key}: {error}") from error
    return Sample(image=image, key=sample.key, group=sample.group, detections=objects)


def composite_pair(sample: Sample, rng: np.random.Generator, config: CompositeConfig, palette: Palette) -> Pair:
    """Return the photograph with pasted cut-outs as the input, and their visible pixels, painted, as the target."""
    scene = composite_image(sample, config, rng)
    target, _ = painted(scene, palette)
    return Pair(input=scene.image, target=target, key=sample.key, group=sample.group)
