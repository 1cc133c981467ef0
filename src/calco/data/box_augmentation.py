"""Augmentation for detectors: images with their boxes placed, scaled, turned and combined, in another light.

Every random number depends on the seed, the epoch and the image's key, not on the place or number of processes. The
warps are OpenCV's: one image at a time on one core they take a fraction of the time of kornia's tensors, and a
detector's images move rigidly, without the bends of `augmentation.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline, nothing
from calco.annotations.geometry import extent
from calco.data.config import BoxAugmentConfig
from calco.data.sample import Sample, generator
from calco.imaging import Image, as_channels, as_dtype

FILL: Final = 114  # the grey around images: what ImageNet's average comes to, so that it says nothing
_LEAST_SIDE: Final = 2.0  # pixels; a narrower object cannot be distinguished from noise
_CENTRE: Final = (0.3, 0.7)  # of a mosaic, as shares of its side


def no_augmentation() -> BoxAugmentConfig:
    """Return the configuration with everything off: images in their letterboxes."""
    return BoxAugmentConfig(
        flip=0, scale=(1, 1), shift=0, rotate=0, mosaic=0, mosaic_scale=(1, 1), light=0, colour=0, damage=0, blur=0,
        noise=0, jpeg=0, erase=0, least_seen=0,
    )  # fmt: skip


def letterbox(image: Image, side: int, fill: int = FILL) -> tuple[Image, float, tuple[int, int]]:
    """Return an image as large as it fits into the middle of a square."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    shown = _resized(image, _sides(width, height, scale))
    canvas = np.full((side, side, 3), fill, np.uint8)
    left, top = (side - shown.shape[1]) // 2, (side - shown.shape[0]) // 2
    canvas[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return canvas, scale, (left, top)


def reduced(sample: Sample, side: int) -> Sample:
    """Return a sample whose image is at most `side` pixels long, as RGB `uint8`, with its boxes but no outlines."""
    height, width = sample.image.shape[:2]
    size_wh = _sides(width, height, min(1.0, side / max(height, width)))
    objects = sample.detections
    if objects is not None:
        objects = replace(objects, outlines=()).scaled(size_wh[0] / width, size_wh[1] / height)
    image = _resized(sample.image, size_wh)
    return Sample(image=image, key=sample.key, group=sample.group, detections=objects)


def augmented(
    load: Callable[[int], Sample], index: int, count: int, side: int, config: BoxAugmentConfig, *,
    seed: int, epoch: int, outlines: bool = True,
) -> tuple[Image, Detections]:  # fmt: skip
    """Return an image as a detector sees it in one epoch, with its detections."""
    first = load(index)
    rng = generator(seed, epoch, first.key, "boxes")
    canvas = np.full((side, side, 3), FILL, np.uint8)
    if rng.random() < config.mosaic:
        others = [load(int(place)) for place in rng.integers(0, count, 3)]
        across, down = (round(side * share) for share in rng.uniform(*_CENTRE, 2))
        corners = ((0, 0), (across, 0), (0, down), (across, down))
        parts = []
        for sample, (left, top) in zip((first, *others), corners, strict=True):
            window = canvas[top : side if top else down, left : side if left else across]
            objects = _placed(window, sample, side, config.mosaic_scale, config, rng, outlines)
            parts.append(objects.cropped(-left, -top, side, side))
        objects = _together(parts)
    else:
        objects = _placed(canvas, first, side, config.scale, config, rng, outlines)
    canvas = erased(canvas, objects.boxes, config.erase, rng)
    return damaged(canvas, config, rng), objects


def _placed(
    window: Image, sample: Sample, side: int, scales: tuple[float, float], config: BoxAugmentConfig,
    rng: np.random.Generator, outlines: bool,
) -> Detections:  # fmt: skip
    """Put an image into a window (a view of the canvas); return the objects that are visible, in its pixels."""
    height, width = sample.image.shape[:2]
    down, across = window.shape[:2]
    low, high = np.log(scales)  # so that twice as large is as likely as half as large
    scale = float(np.exp(rng.uniform(low, high))) * side / max(height, width)
    mirrored = bool(rng.random() < config.flip)
    turn = config.rotate * float(rng.uniform(-1, 1))
    free = config.shift * rng.uniform(-0.5, 0.5, 2)
    size_wh = _sides(width, height, scale)
    # 0 is in the middle; half of what is left over (or too much) to either side is the farthest.
    room_wh = across - size_wh[0], down - size_wh[1]
    left, top = (int(np.floor(room * (0.5 + share))) for room, share in zip(room_wh, free, strict=True))
    shown = relit(_resized(sample.image, size_wh), config.light, config.colour, rng)
    shown = np.ascontiguousarray(shown[:, ::-1]) if mirrored else shown
    window[:] = _warped(shown, _affine(size_wh, size_wh, False, turn, (left, top)), (across, down), fill=FILL)
    matrix = _affine((width, height), size_wh, mirrored, turn, (left, top))
    if sample.detections is None:
        return nothing()
    bare = replace(sample.detections, scores=None, track_ids=None)
    bare = bare if outlines else replace(bare, outlines=())
    seen = _transformed(bare, matrix, (across, down)).cropped(0, 0, across, down, least=config.least_seen)
    wide = (seen.boxes[:, 2:] - seen.boxes[:, :2]).min(axis=1, initial=np.inf) >= _LEAST_SIDE
    return seen.select(wide)


def _sides(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return width and height at a scale, a pixel at least."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    """Return RGB `uint8` at a size; shrinking averages, so that fine patterns do not turn into others."""
    import cv2

    rgb = as_channels(as_dtype(image, np.uint8), 3)
    if (rgb.shape[1], rgb.shape[0]) == size_wh:
        return rgb
    shrinks = size_wh[0] * size_wh[1] < rgb.shape[0] * rgb.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), size_wh, interpolation=how), np.uint8)


def _affine(
    image_wh: tuple[int, int], size_wh: tuple[int, int], mirrored: bool, turn: float, place: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Return the map, 2 x 3, from an image to the window: scaled, mirrored, turned about its middle, placed."""
    size = np.array(size_wh, np.float64)
    scales = size / image_wh
    straight = np.diag([-scales[0] if mirrored else scales[0], scales[1]])
    start = np.array([size[0] if mirrored else 0.0, 0.0])
    angle = np.radians(turn)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = turned @ (start - size / 2) + size / 2 + place
    return np.concatenate([turned @ straight, offset[:, None]], axis=1)


def _transformed(objects: Detections, matrix: npt.NDArray[np.float64], size_wh: tuple[int, int]) -> Detections:
    """Return the objects where the matrix takes them, not cut yet; masks are those of the window."""

    def moved(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return points @ matrix[:, :2].T + matrix[:, 2]

    corners = moved(objects.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    outlines: list[Outline | None] = []
    for place, outline in enumerate(objects.outlines):
        if outline is None:
            outlines.append(None)
            continue
        polygons = tuple(moved(ring).astype(np.float32) for ring in outline.polygons)
        mask = None if outline.mask is None else _warped(outline.mask.astype(np.uint8), matrix, size_wh) > 0
        outlines.append(Outline(polygons, mask))
        # A box of a turned box is too large; that of its outline is not.
        if matrix[0, 1] and polygons and mask is None:
            boxes[place] = extent(polygons)
    return replace(objects, boxes=boxes, outlines=tuple(outlines))


def _warped(image: Image, matrix: npt.NDArray[np.float64], size_wh: tuple[int, int], *, fill: int = -1) -> Image:
    """Return an image where the matrix takes it: smoothly upon a grey, or by the nearest pixel upon 0."""
    import cv2

    # Pixel i has its centre at i + 0.5; OpenCV counts from the centres.
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    how = cv2.INTER_NEAREST if fill < 0 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(image, centred, size_wh, flags=how, borderValue=(max(0, fill),) * 3), np.uint8)


def _together(parts: Sequence[Detections]) -> Detections:
    """Return all objects of some windows."""
    full = [part for part in parts if len(part)]
    if not full:
        return nothing()
    known = any(part.outlines for part in full)
    ignored = any(part.ignored is not None for part in full)
    outlines = [each for part in full for each in (part.outlines or (None,) * len(part))] if known else []
    return Detections(
        boxes=np.concatenate([part.boxes for part in full]),
        classes=tuple(name for part in full for name in part.classes),
        ignored=np.concatenate([part.is_ignored for part in full]) if ignored else None,
        outlines=tuple(outlines),
    )


_HUE = 0.05  # of the circle, at full strength
_LEAST_SHOWN = 0.5  # of an object's box that no patch may hide
_PATCH = (0.04, 0.2)  # sides of patches, as shares of the image's side
_MOST_PATCHES = 3
# Values that random bytes choose take a tenth of the time of a normal distribution; tails beyond 1/512 are missing.
_QUANTILES: Final = np.array([NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256)])


def relit(image: Image, light: float, colour: float, rng: np.random.Generator) -> Image:
    """Change brightness, contrast, middle tones, strength of colours and hue by tables: HW3 `uint8` => the same."""
    import cv2

    brightness, contrast, gamma, saturation, hue = rng.uniform(-1, 1, 5)
    if colour:
        shades = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        steps = np.arange(256)
        turned, strength = (steps + round(256 * _HUE * colour * hue)) % 256, steps * (1 + colour * saturation)
        table = np.stack([turned, np.clip(strength, 0, 255), steps], axis=-1).astype(np.uint8)[None]
        image = np.asarray(cv2.cvtColor(cv2.LUT(shades, table), cv2.COLOR_HSV2RGB_FULL), np.uint8)
    if light:
        tones = (np.arange(256) / 255) ** ((1 + light) ** gamma) * (1 + light * brightness)
        middle = float(image.mean()) / 255
        tones = np.clip(middle + (tones - middle) * (1 + light * contrast), 0, 1)
        image = np.asarray(cv2.LUT(image, np.rint(tones * 255).astype(np.uint8)), np.uint8)
    return image


def damaged(image: Image, config: BoxAugmentConfig, rng: np.random.Generator) -> Image:
    """Add blur, noise and the traces of JPEG, each to some of the images: HW3 `uint8` => the same."""
    import cv2

    falls = rng.random(3) < config.damage
    strength = rng.random(3)
    if falls[0] and config.blur:
        deviation = config.blur * (0.3 + 0.7 * float(strength[0]))  # less than that cannot be seen
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)
    if falls[1] and config.noise:
        levels = np.rint(_QUANTILES * (255 * config.noise * strength[1])).astype(np.int16)
        grain = levels[np.frombuffer(rng.bytes(image.size), np.uint8)].reshape(image.shape)
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    if falls[2] and config.jpeg:
        quality = round(config.jpeg + (100 - config.jpeg) * float(strength[2]))
        swapped = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
    return image


def erased(image: Image, boxes: npt.NDArray[np.float32], share: float, rng: np.random.Generator) -> Image:
    """Put patches of noise on some images (random erasing, arXiv 1708.04896), none of which hides an object."""
    if rng.random() >= share:
        return image
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, _MOST_PATCHES + 1))):
        sides = np.maximum(2, np.rint(rng.uniform(*_PATCH, 2) * (width, height))).astype(np.int64)
        left, top = (int(rng.integers(0, max(1, most))) for most in (width - sides[0], height - sides[1]))
        right, bottom = left + int(sides[0]), top + int(sides[1])
        shared = np.minimum(boxes[:, 2:], (right, bottom)) - np.maximum(boxes[:, :2], (left, top))
        covered = np.clip(shared, 0, None).prod(axis=1)
        if not (covered > (1 - _LEAST_SHOWN) * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).any():
            window = image[top:bottom, left:right]
            window[:] = rng.integers(0, 256, window.shape, np.uint8)
    return image
