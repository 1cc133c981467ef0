"""Augmentation for detectors: images with their boxes placed, scaled, turned and combined, in another light.

Whatever is drawn depends on the seed, the epoch and the image's key; where and by how many processes does not matter.
The warps are OpenCV's: one image at a time on one core they take a fraction of what kornia's tensors do, and a
detector's images move rigidly, without the bends of `augment.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from statistics import NormalDist
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline, nothing
from calco.annotations.geometry import extent
from calco.data.config import LARGEST_BOX_CHANGES, BoxAugmentConfig
from calco.data.sample import Sample, generator
from calco.imaging import Image, as_channels, as_dtype

FILL: Final = 114  # the grey around images: what ImageNet's average comes to, so that it says nothing
_LEAST_SIDE: Final = 2.0  # pixels; a narrower object cannot be distinguished from noise
_CENTRE: Final = (0.3, 0.7)  # of a mosaic, as shares of its side


def no_augmentation() -> BoxAugmentConfig:
    """With everything off: images in their letterboxes."""
    off: dict[str, Any] = dict.fromkeys(LARGEST_BOX_CHANGES, 0)
    return BoxAugmentConfig(**off | {"scale": (1.0, 1.0), "mosaic_scale": (1.0, 1.0), "least_seen": 0.0})


def letterbox(image: Image, side: int, fill: int = FILL) -> tuple[Image, float, tuple[int, int]]:
    """Return an image as large as it fits into the middle of a square."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    shown = _resized(image, _sides(width, height, scale))
    canvas = np.full((side, side, 3), fill, np.uint8)
    left, top = (side - shown.shape[1]) // 2, (side - shown.shape[0]) // 2
    canvas[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return canvas, scale, (left, top)


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
        for image, (left, top) in zip((first, *others), corners, strict=True):
            window = canvas[top : side if top else down, left : side if left else across]
            objects = _placed(window, image, side, config.mosaic_scale, config, rng, outlines)
            parts.append(_moved_by(objects, left, top, side))
        objects = _together(parts)
    else:
        objects = _placed(canvas, first, side, config.scale, config, rng, outlines)
    canvas = erased(canvas, objects.boxes, config.erase, rng)
    return damaged(canvas, config, rng), objects


def _placed(
    window: Image, sample: Sample, side: int, scales: tuple[float, float], config: BoxAugmentConfig,
    rng: np.random.Generator, outlines: bool,
) -> Detections:  # fmt: skip
    """Draw an image into a window (a view of the canvas), and returns what is seen there, in the window's pixels."""
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
    matrix = _affine(sample.image.shape, size_wh, mirrored, turn, (left, top))
    _draw(window, shown, mirrored, turn, (left, top))
    if sample.detections is None:
        return nothing()
    bare = replace(sample.detections, scores=None, track_ids=None)
    bare = bare if outlines else replace(bare, outlines=())
    seen = _transformed(bare, matrix, (across, down)).cropped(0, 0, across, down, least=config.least_seen)
    wide = (seen.boxes[:, 2:] - seen.boxes[:, :2]).min(axis=1, initial=np.inf) >= _LEAST_SIDE
    return seen.select(wide)


def _sides(width: int, height: int, scale: float) -> tuple[int, int]:
    """Width and height at a scale, a pixel at least."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    """RGB `uint8` at a size: averaged along with shrinking, so that fine patterns do not turn into others."""
    import cv2

    rgb = as_channels(as_dtype(image, np.uint8), 3)
    if (rgb.shape[1], rgb.shape[0]) == size_wh:
        return rgb
    shrinks = size_wh[0] * size_wh[1] < rgb.shape[0] * rgb.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), size_wh, interpolation=how), np.uint8)


def _draw(window: Image, shown: Image, mirrored: bool, turn: float, place: tuple[int, int]) -> None:
    """Put an image of its final size into the window, with its unturned corner at `place`; what is beyond is cut."""
    import cv2

    shown = cv2.flip(shown, 1) if mirrored else shown
    height, width = shown.shape[:2]
    down, across = window.shape[:2]
    left, top = place
    if turn:
        matrix = _affine(shown.shape, (width, height), False, turn, place)
        # Pixel i has its centre at i + 0.5; OpenCV counts from the centres.
        matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
        grey = (FILL, FILL, FILL)
        window[:] = cv2.warpAffine(shown, matrix, (across, down), flags=cv2.INTER_LINEAR, borderValue=grey)
        return
    seen = shown[max(0, -top) : down - top, max(0, -left) : across - left]
    window[max(0, top) :, max(0, left) :][: seen.shape[0], : seen.shape[1]] = seen


def _affine(
    shape: Sequence[int], size_wh: tuple[int, int], mirrored: bool, turn: float, place: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """From the image's coordinates to the window's, 2 x 3: scaled, mirrored, turned about its middle, placed."""
    size = np.array(size_wh, np.float64)
    scales = size / (shape[1], shape[0])
    straight = np.diag([-scales[0] if mirrored else scales[0], scales[1]])
    start = np.array([size[0] if mirrored else 0.0, 0.0])
    angle = np.radians(turn)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = turned @ (start - size / 2) + size / 2 + place
    return np.concatenate([turned @ straight, offset[:, None]], axis=1)


def _transformed(objects: Detections, matrix: npt.NDArray[np.float64], size_wh: tuple[int, int]) -> Detections:
    """Return the objects where the matrix takes them, not cut yet; masks are those of the window."""
    outlines = tuple(outline and _moved_outline(outline, matrix, size_wh) for outline in objects.outlines)
    corners = objects.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) @ matrix[:, :2].T + matrix[:, 2]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    if matrix[0, 1]:  # a box of a turned box is too large; that of its outline is not
        for place, outline in enumerate(outlines):
            if outline is not None and outline.polygons and outline.mask is None:
                boxes[place] = extent(outline.polygons)
    return replace(objects, boxes=boxes, outlines=outlines)


def _moved_outline(outline: Outline, matrix: npt.NDArray[np.float64], size_wh: tuple[int, int]) -> Outline:
    polygons = tuple((ring @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32) for ring in outline.polygons)
    if outline.mask is None:
        return Outline(polygons)
    import cv2

    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    mask = cv2.warpAffine(outline.mask.astype(np.uint8), centred, size_wh, flags=cv2.INTER_NEAREST)
    return Outline(polygons, mask.astype(np.bool_))


def _moved_by(objects: Detections, left: int, top: int, side: int) -> Detections:
    """Return a window's objects in the coordinates of the whole canvas."""
    return objects.cropped(-left, -top, side, side) if len(objects) else nothing()


def _together(parts: Sequence[Detections]) -> Detections:
    """Return all objects of some windows."""
    full = [part for part in parts if len(part)]
    if not full:
        return nothing()
    known = any(part.outlines for part in full)
    ignored = any(part.ignored is not None for part in full)
    outlines = [each for part in full for each in (part.outlines or (None,) * len(part))] if known else []
    flags = [np.zeros(len(part), np.bool_) if part.ignored is None else part.ignored for part in full]
    return Detections(
        boxes=np.concatenate([part.boxes for part in full]),
        classes=tuple(name for part in full for name in part.classes),
        ignored=np.concatenate(flags) if ignored else None,
        outlines=tuple(outlines),
    )


_HUE = 0.05  # of the circle, at full strength
_LEAST_SHOWN = 0.5  # of an object's box that no patch may hide
_PATCH = (0.04, 0.2)  # sides of patches, as shares of the image's side
_MOST_PATCHES = 3


class Damage(Protocol):
    """Strength of the damage, as in `BoxAugmentConfig`."""

    @property
    def damage(self) -> float:
        """The share of images that each kind falls on."""

    @property
    def blur(self) -> float:
        """The most, as a deviation in pixels."""

    @property
    def noise(self) -> float:
        """The most, as a deviation in shares of the range."""

    @property
    def jpeg(self) -> int:
        """The lowest quality; 0 for none."""


def relit(image: Image, light: float, colour: float, rng: np.random.Generator) -> Image:
    """Brightness, contrast, middle tones, strength of colours and hue changed by tables: HW3 `uint8` => the same."""
    import cv2

    brightness, contrast, gamma, saturation, hue = rng.uniform(-1, 1, 5)
    if colour:
        shades = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        steps = np.arange(256)
        tables = [
            (steps + round(256 * _HUE * colour * hue)) % 256,
            np.clip(steps * (1 + colour * saturation), 0, 255),
            steps,
        ]
        table = np.stack(tables, axis=-1).astype(np.uint8)[None]
        image = np.asarray(cv2.cvtColor(cv2.LUT(shades, table), cv2.COLOR_HSV2RGB_FULL), np.uint8)
    if light:
        tones = (np.arange(256) / 255) ** ((1 + light) ** gamma) * (1 + light * brightness)
        middle = float(image.mean()) / 255
        tones = np.clip(middle + (tones - middle) * (1 + light * contrast), 0, 1)
        image = np.asarray(cv2.LUT(image, np.rint(tones * 255).astype(np.uint8)), np.uint8)
    return image


def damaged(image: Image, config: Damage, rng: np.random.Generator) -> Image:
    """Blur, noise and the traces of JPEG, each on some of the images: HW3 `uint8` => the same."""
    import cv2

    falls = rng.random(3) < config.damage
    strength = rng.random(3)
    if falls[0] and config.blur:
        deviation = config.blur * (0.3 + 0.7 * float(strength[0]))  # less than that cannot be seen
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)
    if falls[1] and config.noise:
        levels = np.rint(_quantiles() * (255 * config.noise * strength[1])).astype(np.int16)
        grain = levels[np.frombuffer(rng.bytes(image.size), np.uint8)].reshape(image.shape)
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    if falls[2] and config.jpeg:
        quality = round(config.jpeg + (100 - config.jpeg) * float(strength[2]))
        swapped = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
    return image


@cache
def _quantiles() -> npt.NDArray[np.float64]:
    """256 values that stand for a normal distribution: chosen by random bytes, a tenth of the time of drawing from it.

    Of the tails, what is rarer than one pixel in 512 is missing.
    """
    normal = NormalDist()
    return np.array([normal.inv_cdf((step + 0.5) / 256) for step in range(256)])


def erased(image: Image, boxes: npt.NDArray[np.float32], share: float, rng: np.random.Generator) -> Image:
    """Patches of noise on some images (random erasing, arXiv 1708.04896), none of which hides an object."""
    if rng.random() >= share:
        return image
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, _MOST_PATCHES + 1))):
        sides = np.maximum(2, np.rint(rng.uniform(*_PATCH, 2) * (width, height))).astype(np.int64)
        left, top = (int(rng.integers(0, max(1, most))) for most in (width - sides[0], height - sides[1]))
        right, bottom = left + int(sides[0]), top + int(sides[1])
        if _hides(boxes, (left, top, right, bottom)):
            continue
        window = image[top:bottom, left:right]
        window[:] = rng.integers(0, 256, window.shape, np.uint8)
    return image


def _hides(boxes: npt.NDArray[np.float32], patch: tuple[int, int, int, int]) -> bool:
    """Return whether a patch covers too much of any box."""
    shared = np.minimum(boxes[:, 2:], patch[2:]) - np.maximum(boxes[:, :2], patch[:2])
    covered = np.clip(shared, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return bool((covered > (1 - _LEAST_SHOWN) * areas).any())
