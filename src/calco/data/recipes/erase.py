"""Recipe `erase`: images with random or given holes, and their fill."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.mask_encoding import (
    EncodingError,
    MaskEncoding,
    MaskSurvey,
    read_mask,
    stored_values,
    survey_array,
    survey_files,
)
from calco.data.mask_recognition import marks_of
from calco.data.recipe_config import PER_IMAGE, EraseConfig, fill_colour
from calco.data.recipes import strokes
from calco.data.recipes.strokes import Bools
from calco.data.sample import Pair, Sample
from calco.errors import CalcoError
from calco.imaging import PEAKS, Image

LOG = logging.getLogger(__name__)
_EXACT: Final = 8  # values of all strokes up to which the darker of two classes erases, however light it is
_MOST_ERASED: Final = 0.6  # share of strokes above which black and white were probably exchanged
_MOST_SHAPES: Final = 10_000  # where a share is asked for: tiny shapes must not take for ever


def given_region(mask: Image, config: EraseConfig, encoding: MaskEncoding | None = None) -> Bools:
    """Return the pixels to erase that a mask marks, HW bool.

    Where a mask is transparent beside what it marks, what is opaque erases, whatever its colour. No encoding takes what
    this mask alone shows.
    """
    mask = stored_values(mask)
    encoding = encoding or marks_of(survey_array(mask)).encoding
    indices, _ = encoding.read(mask)
    marked = np.asarray(indices > 0)
    return marked if config.mask_erases == "white" or encoding.by == "alpha" else ~marked


def erased(image: Image, region: Bools, config: EraseConfig, rng: np.random.Generator) -> Image:
    """Return the image with the region filled, as the network sees it.

    A grey image with a coloured fill becomes a colour image. Transparency that the image has is opaque in the
    region. With `mask_channel` one channel more is 0 in the region and the dtype's peak elsewhere.
    """
    peak = PEAKS[str(image.dtype)]
    holed = image.copy()
    if config.fill not in PER_IMAGE and len(set(fill_colour(config.fill))) > 1 and image.shape[2] not in (3, 4):
        if image.shape[2] > 4:
            raise CalcoError(
                f"fill {config.fill} is a colour, and the image has {image.shape[2]} bands; "
                "choose black, white, mean or noise"
            )
        holed = np.concatenate([image[..., :1]] * 3 + [image[..., 1:]], axis=2)
    holed[region] = _filling(holed, region, config, rng)
    if not config.mask_channel:
        return holed
    known = np.where(region, 0, peak).astype(holed.dtype)
    return np.concatenate([holed, known[..., None]], axis=2)


def _filling(holed: Image, region: Bools, config: EraseConfig, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the values of the region: N x C or C, in the range of the image's dtype."""
    peak = PEAKS[str(holed.dtype)]
    channels = holed.shape[2]
    if config.fill == "mean":
        known = holed[~region]
        values = known.mean(axis=0, dtype=np.float64) if known.size else np.full(channels, peak / 2)
    elif config.fill == "noise":
        values = rng.uniform(0, peak, (int(np.count_nonzero(region)), channels))
    else:
        colour = fill_colour(config.fill)
        values = np.array((*colour, *(colour[:1] * channels))[:channels], np.float64) * (peak / 255)
    if channels in (2, 4):
        values[..., -1] = peak
    return values if holed.dtype == np.float32 else np.rint(values)


def erased_region(height: int, width: int, config: EraseConfig, rng: np.random.Generator) -> Bools:
    """Return the pixels to erase, HW bool, chosen at random; at least one."""
    region = np.zeros((height, width), np.bool_)
    kinds = config.kinds
    if config.holes == "any":
        kinds = (kinds[int(rng.integers(len(kinds)))],)
    if config.share:
        _erase_share(region, kinds, config, rng)
        return region
    for kind in kinds:
        low, high = getattr(config, "strokes" if kind == "masks" else kind)
        for _ in range(int(rng.integers(low, high + 1))):
            shape, window = _placed(kind, region, config, rng)
            window |= shape
    return region


def _placed(kind: str, region: Bools, config: EraseConfig, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """Return a shape, and the window of the region in which it lies."""
    height, width = region.shape
    shape = SHAPES[kind](height, width, config, rng)
    room = height - shape.shape[0], width - shape.shape[1]
    top, left = (extent // 2 if config.place == "center" else int(rng.integers(0, extent + 1)) for extent in room)
    return shape, region[top : top + shape.shape[0], left : left + shape.shape[1]]


def _erase_share(region: Bools, kinds: tuple[str, ...], config: EraseConfig, rng: np.random.Generator) -> None:
    """Add shapes until the share is reached; the one that would go beyond it is made thinner."""
    missing = max(1, round(config.share * region.size))
    for _ in range(_MOST_SHAPES):
        shape, window = _placed(kinds[int(rng.integers(len(kinds)))], region, config, rng)
        new = shape & ~window
        if (count := int(np.count_nonzero(new))) >= missing:
            depth = cv2.distanceTransform(np.pad(new, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
            deepest = np.argsort(-depth[new], kind="stable")[:missing]
            window[tuple(indices[deepest] for indices in np.nonzero(new))] = True
            return
        window |= new
        missing -= count


def _extent(height: int, width: int, shares: tuple[float, float], rng: np.random.Generator) -> int:
    """Return a random length in pixels between two shares of the short side, at least 1."""
    short = min(height, width)
    return max(1, min(short, round(short * float(rng.uniform(*shares)))))


def _box(height: int, width: int, config: EraseConfig, rng: np.random.Generator) -> Bools:
    return np.ones([_extent(height, width, config.box_size, rng) for _ in range(2)], np.bool_)


def _line(
    height: int, width: int, config: EraseConfig, rng: np.random.Generator,
    shape: Callable[[int, int, strokes.Point, int, np.random.Generator], Bools], field: str,
) -> Bools:  # fmt: skip
    """Return a brush stroke, scratch or stain of a size in the range of a field, from a point of the image."""
    size = _extent(height, width, getattr(config, field), rng)
    start: strokes.Point = (width // 2, height // 2)
    if config.place == "random":
        start = int(rng.integers(width)), int(rng.integers(height))
    return shape(height, width, start, size, rng)


def _stroke(height: int, width: int, config: EraseConfig, rng: np.random.Generator) -> Bools:
    """Return one of the masks, enlarged but never beyond the image."""
    masks = stroke_masks(str(config.masks))
    stroke = masks[int(rng.integers(len(masks)))]
    largest = min(config.stroke_scale[1], height / stroke.shape[0], width / stroke.shape[1])
    scale = float(rng.uniform(min(config.stroke_scale[0], largest), largest))
    size_wh = max(1, int(stroke.shape[1] * scale)), max(1, int(stroke.shape[0] * scale))
    grey = imaging.resize(stroke[..., None].astype(np.uint8) * 255, size_wh, "bilinear")[..., 0]
    # A thin stroke that is made smaller must not break: a quarter of a pixel is enough there, its darkest always.
    return grey >= min(128 if scale >= 1 else 64, int(grey.max()))


@cache
def stroke_masks(folder: str) -> tuple[Bools, ...]:
    """Return the strokes of a folder, HW bool, cut to what they erase; read once per process.

    What erases is decided once, over all files: what is opaque where the rest is transparent, else what is dark.
    """
    paths = imaging.list_images(folder)
    if not paths:
        raise CalcoError(f"erase masks: {folder} holds no image; strokes are images, black where they erase")
    survey = survey_files((str(path), str(path)) for path in paths)
    reading = _stroke_reading(survey)
    strokes, shares, useless = [], list[float](), dict(survey.unread)
    for path in survey.files:
        erases = reading(read_mask(path))
        if erases.all() or not erases.any():
            useless[path] = "everything is marked" if erases.any() else "nothing is marked"
            continue
        shares.append(float(erases.mean()))
        rows, columns = np.flatnonzero(erases.any(axis=1)), np.flatnonzero(erases.any(axis=0))
        strokes.append(erases[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    if not strokes:
        name, reason = next(iter(useless.items()))
        raise CalcoError(
            f"erase masks: none of the {len(paths)} images of {folder} can be used; the first, {name}: {reason}; "
            "strokes are black where they erase, or opaque on a transparent ground"
        )
    if useless:
        named = "; ".join(f"{Path(name).name}: {reason}" for name, reason in list(useless.items())[:3])
        LOG.warning(f"{len(useless)} of {len(paths)} strokes in {folder} are left out ({named})")
    if (share := float(np.mean(shares))) > _MOST_ERASED:
        LOG.warning(
            f"the strokes of {folder} erase {share:.0%} of their pixels: black erases; if white should, invert them, "
            "or paint them opaque on a transparent ground"
        )
    return tuple(strokes)


def _stroke_reading(survey: MaskSurvey) -> Callable[[Image], Bools]:
    """Return the reader of a set of strokes: opaque on transparent, else the darker of two values, else below half."""
    encoding = None
    with suppress(EncodingError):
        encoding = marks_of(survey).encoding
    if encoding is not None and encoding.by == "alpha":
        return lambda mask: np.asarray(encoding.read(mask)[0] > 0)
    if encoding is not None and encoding.by in ("number", "level") and len(survey.total) <= _EXACT:
        return lambda mask: np.asarray(encoding.read(mask)[0] == 0)
    return lambda mask: imaging.luminance(imaging.as_dtype(mask, np.uint8))[..., 0] < 128


Shape: TypeAlias = Callable[[int, int, EraseConfig, np.random.Generator], Bools]
SHAPES: Final[dict[str, Shape]] = {
    "masks": _stroke, "boxes": _box, "brush": partial(_line, shape=strokes.brush, field="brush_width"),
    "scratches": partial(_line, shape=strokes.scratch, field="scratch_width"),
    "stains": partial(_line, shape=strokes.stain, field="stain_size"),
}  # fmt: skip
"""Functions from height, width, config and generator to a shape, HW bool, no larger than the image."""


def erase_pair(
    sample: Sample, rng: np.random.Generator, config: EraseConfig, encoding: MaskEncoding | None = None
) -> Pair:
    """Return the image with holes as the input and the whole image as the target; the erased pixels are the region."""
    whole = sample.whole
    if config.kinds == ("given",):
        if sample.mask is None:
            raise CalcoError(f"{sample.key} has no mask, which --holes given needs; leave it out to generate holes")
        region = given_region(sample.mask, config, encoding)
    else:
        region = erased_region(whole.shape[0], whole.shape[1], config, rng)
    holed = erased(whole, region, config, rng)
    weight = None if config.weight == 1 else np.where(region, config.weight, 1).astype(np.float32)
    return Pair(input=holed, target=whole, key=sample.key, group=sample.group, weight=weight, region=region)
