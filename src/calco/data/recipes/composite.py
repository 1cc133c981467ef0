"""Recipe `composite`: cut-outs pasted on a photograph, with the visible pixels of each as ground truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline, nothing
from calco.console import warn
from calco.data.palettes import Palette
from calco.data.recipe_config import CompositeConfig
from calco.data.recipes.cutouts import Cutouts, list_cutouts, random_cutout, resized, unusable
from calco.data.recipes.segment import painted
from calco.data.sample import Pair, Sample, size_wh
from calco.errors import CalcoError
from calco.imaging import Image, as_channels, as_dtype

Floats = npt.NDArray[np.float32]
_MARGIN = 4  # pixels around an object, in which blur and soft edges run out
_SHADOW = 0.06  # of an object's longer side: reach of its shadow; half of it is the deviation of the blur
_MOST_ENLARGED = 2.0  # times; larger shows nothing but how small the file was
_STRONGEST = 1.6  # times that contrast changes, when colours are matched


@dataclass(frozen=True)
class Patch:
    """Cut-out that is ready to be pasted.

    Attributes:
        colour: HW3 `uint8`.
        alpha: HW `float32`, 0 to 1: how much of each pixel it covers.
        full: HW `float32`: the same before a part of it was hidden.
        margin: Pixels around the object, with at most its shadow.
    """

    colour: Image
    alpha: Floats
    full: Floats
    margin: int


def cut_to_size(
    colour: Image, alpha: npt.NDArray[np.uint8], longer: float, config: CompositeConfig, rng: np.random.Generator
) -> Patch:
    """Return a cut-out at its size, mirrored and turned, cut to what there is of it.

    Args:
        colour: HW3 `uint8`.
        alpha: HW `uint8`.
        longer: Pixels of the longer side that are wanted; no more than twice its own are given.
        config: How much it turns.
        rng: Chooses by how much, and whether it is mirrored.
    """
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
    return Patch(_unweighted(turned), opacity, opacity, margin)


def _unweighted(weighted: Floats) -> Image:
    """Colours that were multiplied with the opacity in the fourth channel, HW4 => HW3 `uint8`."""
    import cv2

    share = 1 / np.maximum(weighted[..., 3], 1e-3)
    return np.asarray(cv2.convertScaleAbs(weighted[..., :3] * share[..., None]), np.uint8)


def finish(patch: Patch, ground: Image, config: CompositeConfig, rng: np.random.Generator) -> Patch:
    """Return the object as it looks in its place: lit, with matched colours, blurred, with a soft edge, partly hidden.

    How objects are put in differs from one to the next, so that no network learns to find the seam: Dwibedi, Misra and
    Hebert, "Cut, Paste and Learn" (arXiv 1708.01642).

    Args:
        patch: Of `cut_to_size`.
        ground: HW3 `uint8`, what it will cover, as far as that lies in the image.
        config: How much.
        rng: Chooses the rest; as many numbers whatever is off.
    """
    import cv2

    match, brightness, slope, towards, side = rng.random(5)
    blur, edge = rng.uniform(*config.cutout_blur), rng.uniform(*config.cutout_edge)
    hides, share = rng.random() < config.cutout_hidden, float(rng.uniform(0.1, 1.0))
    colour = _matched(patch.colour, patch.alpha, ground, config.cutout_match * float(match))
    if config.cutout_light:
        light = _light(patch.alpha.shape, config.cutout_light, (brightness, slope, towards))
        colour = np.asarray(cv2.convertScaleAbs(colour * light), np.uint8)
    alpha = patch.alpha
    if blur > 0.1:
        weighted = np.concatenate([colour * alpha[..., None], alpha[..., None]], axis=2)
        weighted = np.asarray(cv2.GaussianBlur(weighted, (0, 0), blur), np.float32)
        colour, alpha = _unweighted(weighted), np.clip(weighted[..., 3], 0, 1)
    if edge > 0.1:
        # Inwards only: the surroundings of the object in its own photograph are not pasted.
        soft = np.clip(2 * cv2.GaussianBlur(alpha, (0, 0), edge) - 1, 0, 1)
        alpha = np.minimum(alpha, soft).astype(np.float32)
    kept = alpha * _hidden(alpha, share * (1 - config.least_visible), float(side)) if hides else alpha
    return Patch(colour, kept, alpha, patch.margin)


def _matched(colour: Image, alpha: Floats, ground: Image, share: float) -> Image:
    """Mean and spread in CIE Lab go a share of the way to the ground's (Reinhard et al. 2001): HW3 `uint8` => same."""
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


def _light(shape: tuple[int, ...], most: float, drawn: tuple[float, float, float]) -> Floats:
    """Return a factor of lightness for each pixel, HW1: of the whole, and from one side to the other."""
    brightness, slope, towards = drawn
    rows, columns = (np.linspace(-1, 1, extent, dtype=np.float32) for extent in shape[:2])
    angle = 2 * np.pi * towards
    ramp = (np.sin(angle) * rows[:, None] + np.cos(angle) * columns[None]) * slope
    return np.asarray(np.clip(1 + most * (2 * brightness - 1 + ramp), 0.2, 3), np.float32)[..., None]


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


_PLACES = 12  # that are tried for each object
_LEAST_SIDE = 32  # pixels of a photograph
_LEAST_PIXELS = 16  # of an object that are visible
_BEYOND = 0.25  # of an object's width and height that may lie beyond the border


@dataclass
class _Placed:
    """Object that lies in the image.

    Attributes:
        label: Its class.
        cover: HW: what it makes of each pixel of its window, 0 to 1; less where others lie over it.
        left: Of the window.
        top: Of the window.
        full: Its pixels, were nothing of it hidden.
    """

    label: str
    cover: Floats
    left: int
    top: int
    full: int


def composed(
    photograph: Image, config: CompositeConfig, rng: np.random.Generator, *, split: str | None = None
) -> tuple[Image, Detections]:
    """Paste cut-outs on a photograph.

    Later objects lie over earlier ones. A pixel belongs to the one that makes at least half of it; the boxes are those
    of the visible pixels.

    Args:
        photograph: HWC of any depth, grey or colour, with or without transparency.
        config: Which cut-outs, how many, how.
        rng: Chooses everyobj.
        split: "train", "val" or "test" takes the cut-outs of that side alone; None takes all.

    Returns:
        The image with the height, width and channels of the photograph, `uint8`; and the objects in it, each with its
        exact mask, in the order in which they were laid.

    Raises:
        CalcoError: If no cut-out can be used, or the photograph is too small.
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
        laid.append(_Placed(label, cover.copy(), *at, int((patch.full >= 0.5).sum())))
        return


def _fits(patch: Patch, cover: Floats, at: tuple[int, int], laid: list[_Placed], least: float) -> bool:
    """Return whether enough of an object would be visible, and enough of each one under it."""
    if _too_little(cover, int((patch.full >= 0.5).sum()), least):
        return False
    for other in laid:
        rows, columns = _shared(other, cover.shape, at)
        remaining = other.cover.copy()
        remaining[rows[0], columns[0]] *= 1 - cover[rows[1], columns[1]]
        if _too_little(remaining, other.full, least):
            return False
    return True


def _too_little(cover: Floats, full: int, least: float) -> bool:
    return int((cover >= 0.5).sum()) < max(_LEAST_PIXELS, least * full)


def _shared(
    other: _Placed, shape: tuple[int, ...], at: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the rows and the columns that a window shares with an object, in coordinates of the object and of it."""
    bounds = []
    for axis, (first, own) in enumerate(((other.top, at[1]), (other.left, at[0]))):
        start, end = max(first, own), min(first + other.cover.shape[axis], own + shape[axis])
        end = max(start, end)
        bounds.append((slice(start - first, end - first), slice(start - own, end - own)))
    return bounds[0], bounds[1]


def _place(patch: Patch, size: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    """Return left and top of a patch; a part of the object may lie beyond the border."""
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
    """Return the rows and columns of the canvas that a patch covers, and those of the patch that cover them."""
    bounds = []
    for first, extent, whole in ((top, shape[0], size[0]), (left, shape[1], size[1])):
        start, end = max(0, first), min(whole, first + extent)
        bounds.append((slice(start, end), slice(start - first, end - first)))
    (rows, own_rows), (columns, own_columns) = bounds
    return (rows, columns), (own_rows, own_columns)


def _objects(laid: list[_Placed], height: int, width: int) -> Detections:
    """Return the boxes and masks of what is visible."""
    if not laid:
        return nothing()
    masks, boxes = [], []
    for obj in laid:
        mask = np.zeros((height, width), np.bool_)
        seen = obj.cover >= 0.5
        mask[obj.top : obj.top + seen.shape[0], obj.left : obj.left + seen.shape[1]] = seen
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        masks.append(Outline(mask=mask))
    return Detections(
        boxes=np.array(boxes, np.float32), classes=tuple(obj.label for obj in laid), outlines=tuple(masks)
    )


def cutouts_of(config: CompositeConfig, *, anew: bool = False) -> Cutouts:
    """List the folder of cut-outs.

    Args:
        config: Names it.
        anew: Looks again; else what was seen in this process before is taken.

    Raises:
        CalcoError: If no folder is named, one is absent, or there is no cut-out in it that has a class.
    """
    if not config.cutouts:
        raise CalcoError("recipe composite pastes cut-outs on photographs; name their folder: --cutouts FOLDER")
    if anew:
        list_cutouts.cache_clear()
    return list_cutouts(config.cutouts, config.cutout_masks or "", config.cutout_class)


def check_cutouts(config: CompositeConfig) -> None:
    """Read all cut-outs, and warns of those that cannot be pasted.

    Raises:
        CalcoError: If none of them can.
    """
    cutouts = cutouts_of(config, anew=True)
    reasons = unusable(cutouts)
    usable = [entry for entry in cutouts.entries if entry.name not in reasons]
    if not usable:
        name, reason = next(iter(reasons.items()))
        raise CalcoError(f"none of the {len(cutouts.entries)} cut-outs in {config.cutouts} serves; {name}: {reason}")
    if reasons:
        named = ", ".join(f"{name} ({reason})" for name, reason in list(reasons.items())[:3])
        empty = [label for label in cutouts.classes if label not in {entry.label for entry in usable}]
        without = f"; nothing is left of the class {', '.join(empty)}" if empty else ""
        more = ", ..." if len(reasons) > 3 else ""
        warn(f"{len(reasons)} cut-outs are left out: {named}{more}{without}")


def composite_image(
    sample: Sample, config: CompositeConfig, rng: np.random.Generator, *, split: str | None = None
) -> Sample:
    """Return the photograph with cut-outs pasted on it, and what is where; `split` as in `composed`.

    Raises:
        CalcoError: If no cut-out can be used, or the photograph is too small.
    """
    try:
        image, objects = composed(sample.whole, config, rng, split=split)
    except CalcoError as error:
        raise CalcoError(f"{sample.key}: {error}") from error
    return Sample(image=image, key=sample.key, group=sample.group, detections=objects)


def composite_pair(sample: Sample, rng: np.random.Generator, config: CompositeConfig, palette: Palette) -> Pair:
    """Return the photograph with pasted cut-outs as the input, and their visible pixels, painted, as the target.

    Args:
        sample: A photograph.
        rng: Chooses cut-outs, places and looks.
        config: What is pasted, and how.
        palette: Classes and their colours.

    Raises:
        CalcoError: If no cut-out can be used, or the photograph is too small.
    """
    scene = composite_image(sample, config, rng)
    target, _ = painted(scene, palette)
    return Pair(input=scene.image, target=target, key=sample.key, group=sample.group)
