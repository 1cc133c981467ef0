"""Position of masks on their images: the boundaries of the classes, compared with the edges of the image."""

import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import cv2
import numpy as np

from calco.checking.survey import Facts, Floats, grey_of
from calco.data.mask_encoding import MaskSurvey
from calco.data.palettes import Indices
from calco.data.recipe_config import RecipeConfig, steps_of
from calco.data.sample import fraction
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image, as_dtype
from calco.work import Engine, results

MOST_PAIRS: Final = 200  # pairs that are compared
FEW_PAIRS: Final = 48  # the same before a training
LEAST_PAIRS: Final = 8  # pairs from which on a set is judged
LEAST_SHIFT: Final = 2  # pixels
LARGEST: Final = 512  # pixels of the longer side of a usual image, to which a set is reduced
REACH: Final = 16  # pixels of the largest displacement that is tried
MOST_POINTS: Final = 1500  # pixels of boundaries of one mask that are compared
LEAST_POINTS: Final = 40
_SOFT: Final = 2.0  # grey levels of a gradient that noise has
_CHUNK: Final = 8


@dataclass(frozen=True, slots=True)
class EdgeFits:
    """How well the boundaries of some masks lie on the edges of their images, at each displacement."""

    keys: tuple[str, ...] = ()
    strengths: Floats = field(default_factory=lambda: np.zeros((0, 2 * REACH + 1, 2 * REACH + 1), np.float32))
    """N x row x column, the masks in place in the middle: mean edge strength, where 1 is the mean of the image."""
    scale: float = 1.0  # pixels of an image for one row or column


@dataclass(frozen=True, slots=True)
class MaskShift:
    """Displacement of masks against their images, in pixels of the images, to the right and downwards."""

    x: int
    y: int
    keys: tuple[str, ...]  # pairs that it was found in
    compared: int  # number of pairs that were compared

    def __str__(self) -> str:
        """Return words such as "3 px right and 2 px up"."""
        named = ((self.x, ("right", "left")), (self.y, ("down", "up")))
        return " and ".join(f"{abs(part)} px {words[part < 0]}" for part, words in named if part)


def edge_fits(
    source: Source,
    facts: Sequence[Facts],
    recipe: RecipeConfig,
    *,
    jobs: int = 1,
    most: int = MOST_PAIRS,
    seconds: float = np.inf,
) -> EdgeFits:
    """Compare the boundaries of some masks, always the same, with the edges of their images.

    Args:
        source: The data set.
        facts: Facts of the entries among which pairs are chosen.
        recipe: What is to be learned; other masks than those of classes lie where they like.
        jobs: Number of processes; 0 for all cores.
        most: Number of pairs, at most.
        seconds: Time after which no further pairs are read.
    """
    if source.masks is None or source.kind == "shards" or recipe.recipe == "auto":
        return EdgeFits()
    if "segment" not in steps_of(recipe.recipe):
        return EdgeFits()
    sizes = {fact.key: fact.sides["image"].size_wh for fact in facts if "image" in fact.sides}
    items = sorted((item for item in source.items if item.key in sizes), key=lambda item: fraction("edges", item.key))
    items = items[:most]
    if len(items) < LEAST_PAIRS:
        return EdgeFits()
    scale = max(1.0, float(np.median([max(sizes[item.key]) for item in items])) / LARGEST)
    bare = replace(source, items=(), problems=(), masks=replace(source.masks, survey=MaskSurvey()))
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    end, fits = time.monotonic() + seconds, list[tuple[str, Floats]]()
    engine = Engine(jobs=jobs if len(chunks) > 4 else 1)
    with closing(results(engine, partial(partial, _fits_of, bare, scale), chunks)) as done:
        for _, some in done:
            fits += some
            if time.monotonic() > end:
                break
    if not fits:
        return EdgeFits()
    return EdgeFits(tuple(key for key, _ in fits), np.stack([each for _, each in fits]), scale)


def _fits_of(source: Source, scale: float, items: Sequence[Item]) -> list[tuple[str, Floats]]:
    fits = []
    for item in items:
        with suppress(CalcoError):  # other findings name what cannot be read
            sample = source.load(item)
            if sample.mask is not None and source.masks is not None:
                classes, _ = source.masks.encoding.read(sample.mask)
                if (strengths := edge_strengths(sample.image, classes, scale)) is not None:
                    fits.append((item.key, strengths))
    return fits


def common_mask_shift(fits: EdgeFits) -> MaskShift | None:
    """Return the displacement that most masks share; None if they lie on their images or agree on nothing."""
    if len(fits.keys) < LEAST_PAIRS:
        return None
    x, y = _centre(fits.strengths)
    column, row = round(x), round(y)
    if not LEAST_SHIFT <= max(abs(column), abs(row)) < REACH:
        return None
    gains = fits.strengths[:, REACH + row, REACH + column] - fits.strengths[:, REACH, REACH]
    better, near = gains > 0, _away(fits.strengths, x, y) <= 2.5
    significance = float(gains.mean() / (gains.std() / len(gains) ** 0.5 + 1e-6))
    if better.mean() < 2 / 3 or near.mean() < 0.5 or significance < 4:
        return None
    # The masks have to move there, so they lie on the other side.
    keys = tuple(key for key, sure in zip(fits.keys, better & near, strict=True) if sure)
    return MaskShift(-round(column * fits.scale), -round(row * fits.scale), keys, len(fits.keys))


def single_mask_shifts(fits: EdgeFits) -> list[MaskShift]:
    """Return the masks that lie elsewhere, where the others of the set clearly lie on their images."""
    if len(fits.keys) < LEAST_PAIRS:
        return []
    x, y = _centre(fits.strengths)
    away = _away(fits.strengths, x, y)
    if max(abs(x), abs(y)) >= LEAST_SHIFT or (away <= 2.5).mean() < 0.6:
        return []
    top, left = REACH + round(y) - 1, REACH + round(x) - 1
    usual = float(np.median(fits.strengths.max(axis=(1, 2))))
    found = []
    for key, each, distance in zip(fits.keys, fits.strengths, away, strict=True):
        row, column = _peak(each)
        best, middle = float(each[row, column]), float(np.median(each))
        gain = (best - float(each[top : top + 3, left : left + 3].max())) / (best - middle + 1e-6)
        rivals = each.copy()
        rivals[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = 0
        inside = max(abs(row - REACH), abs(column - REACH)) < REACH
        if inside and distance > 3 and gain > 0.3 and best > max(0.75 * usual, 1.1 * float(rivals.max())):
            moved = round((REACH - column) * fits.scale), round((REACH - row) * fits.scale)
            found.append(MaskShift(*moved, (key,), len(fits.keys)))
    return found


def _peak(strengths: Floats) -> tuple[int, int]:
    row, column = np.unravel_index(int(strengths.argmax()), strengths.shape)
    return int(row), int(column)


def _away(strengths: Floats, x: float, y: float) -> Floats:
    """Return how far from a displacement each mask of N fits best: N, in pixels."""
    peaks = np.array([_peak(each) for each in strengths], np.float32) - REACH
    return np.asarray(np.abs(peaks - np.array((y, x), np.float32)).max(axis=1), np.float32)


def _centre(strengths: Floats) -> tuple[float, float]:
    """Return where the masks of a set fit best together: the centre of the upper quarter of the mean strengths."""
    mean = strengths.mean(axis=0)
    middle = float(np.median(mean))
    weights = np.maximum(mean - middle - 0.75 * (float(mean.max()) - middle), 1e-12)
    weights /= float(weights.sum())
    places = np.arange(-REACH, REACH + 1)
    return float(weights.sum(axis=0) @ places), float(weights.sum(axis=1) @ places)


def edge_strengths(image: Image, classes: Indices, scale: float = 1.0) -> Floats | None:
    """Return the mean edge strength of an image along the boundaries of its mask, at every displacement of the mask.

    Args:
        image: HWC of any dtype.
        classes: HW class indices.
        scale: Both are reduced by it.

    Returns:
        (2R + 1) x (2R + 1) `float32`, in the middle the mask in place; None if there is too little to compare.
    """
    shown = image[..., :1] if image.shape[2] < 3 else image[..., :3]
    grey = grey_of(as_dtype(np.ascontiguousarray(shown), np.uint8))
    labels = classes
    if scale > 1:
        size_wh = (max(1, round(grey.shape[1] / scale)), max(1, round(grey.shape[0] / scale)))
        grey = np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        labels = np.asarray(cv2.resize(labels, size_wh, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    height, width = grey.shape
    if min(height, width) < 4 * REACH:
        return None
    # Both sides of a boundary belong to it, so that it lies between them.
    boundary = np.zeros(grey.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    boundary[:, 1:] |= across
    boundary[:, :-1] |= across
    boundary[1:] |= down
    boundary[:-1] |= down
    rows, columns = np.nonzero(boundary[REACH:-REACH, REACH:-REACH])
    if len(rows) < LEAST_POINTS:
        return None
    step = max(1, -(-len(rows) // MOST_POINTS))
    rows, columns = rows[::step], columns[::step]
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    edges = cv2.magnitude(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)) / 8
    # Lines inside an object are often stronger than its outline: they must not outweigh it.
    edges = np.minimum(edges, np.quantile(edges, 0.9))
    edges /= float(edges.mean()) + _SOFT
    windows = np.lib.stride_tricks.sliding_window_view(edges, (2 * REACH + 1, 2 * REACH + 1))
    return np.asarray(windows[rows, columns].mean(axis=0), np.float32)
