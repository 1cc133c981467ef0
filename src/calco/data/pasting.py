"""One cut-out as it is pasted: sized, turned, lit, blurred, with a soft edge, a part of it hidden, its shadow."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calco.data.cutouts import resized
from calco.data.recipe_config import CompositeConfig
from calco.imaging import Image

Floats = npt.NDArray[np.float32]
_MARGIN = 4  # pixels around a thing, in which blur and soft edges run out
_SHADOW = 0.06  # of a thing's longer side: how far its shadow falls, and half of it the deviation of its blur
_MOST_ENLARGED = 2.0  # times; larger shows nothing but how small the file was
_STRONGEST = 1.6  # times that contrast changes, when colours are matched


@dataclass(frozen=True)
class Patch:
    """A thing that is ready to be pasted.

    Attributes:
        colour: HW3 `uint8`.
        alpha: HW `float32`, 0 to 1: how much of each pixel it covers.
        full: HW `float32`: the same before a part of it was hidden.
        margin: Pixels around the thing, where there is at most its shadow.
    """

    colour: Image
    alpha: Floats
    full: Floats
    margin: int


def cut_to_size(
    colour: Image, alpha: npt.NDArray[np.uint8], longer: float, config: CompositeConfig, rng: np.random.Generator
) -> Patch:
    """A cut-out at its size, mirrored and turned, cut to what there is of it.

    Args:
        colour: HW3 `uint8`.
        alpha: HW `uint8`.
        longer: Pixels of the longer side that are wanted; no more than twice its own are given.
        config: How much it turns.
        rng: Draws by how much, and whether it is mirrored.
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
    """The thing as it looks where it lies: in other light, nearer in colour, blurred, with a soft edge, in part hidden.

    How objects are put in differs from one to the next, so that no network learns to find the seam: Dwibedi, Misra and
    Hebert, "Cut, Paste and Learn" (arXiv 1708.01642).

    Args:
        patch: Of `cut_to_size`.
        ground: HW3 `uint8`, what it will cover, as far as that lies in the image.
        config: How much.
        rng: Draws the rest; as many numbers whatever is off.
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
        # Inwards alone: what lay around the thing in its own photograph does not come along.
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
    """How many times as light each pixel becomes, HW1: all of it, and from one side to the other."""
    brightness, slope, towards = drawn
    rows, columns = (np.linspace(-1, 1, extent, dtype=np.float32) for extent in shape[:2])
    angle = 2 * np.pi * towards
    ramp = (np.sin(angle) * rows[:, None] + np.cos(angle) * columns[None]) * slope
    return np.asarray(np.clip(1 + most * (2 * brightness - 1 + ramp), 0.2, 3), np.float32)[..., None]


def _hidden(alpha: Floats, share: float, side: float) -> Floats:
    """HW, 0 beyond a straight line behind which about that share of the thing lies: what something hides."""
    rows, columns = np.nonzero(alpha > 0.5)
    if not len(rows):
        return np.ones_like(alpha)
    angle = 2 * np.pi * side
    place = np.cos(angle) * columns + np.sin(angle) * rows
    line = float(np.quantile(place, 1 - share))
    grid = np.cos(angle) * np.arange(alpha.shape[1])[None] + np.sin(angle) * np.arange(alpha.shape[0])[:, None]
    return np.asarray(np.clip(line - grid + 0.5, 0, 1), np.float32)


def shadow(patch: Patch, darkness: float, rng: np.random.Generator) -> Floats:
    """How much light stays around a thing, HW in [0, 1]: its outline, blurred and shifted within the patch."""
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
