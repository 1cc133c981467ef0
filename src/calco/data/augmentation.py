"""Augmentation of pairs: fitting, cropping and mirroring; turning and bending; inputs in another light.

NumPy chooses the parameters that kornia's functions take: its own modules use torch's global generator, on which
dropout and thereby the repetition of a run depend.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import extent
from calco.data.config import AugmentConfig, JitterConfig, Resampling
from calco.data.sample import Pair, Sample, smooth_noise
from calco.imaging import Image, as_dtype, resize


def whole_side(config: JitterConfig) -> int:
    """Return the side of whole images in validation, evaluation and translation; 0 for their own scale.

    Stretched images fill the crop, as in pix2pix; covering ones are seen at the scale that the crops were cut from.
    """
    return config.size if config.resize and config.fit == "stretch" else config.resize


def fitted_size(size_wh: tuple[int, int], side: int, config: JitterConfig) -> tuple[int, int]:
    """Return width and height of an image of `size_wh` that is resized to `side`."""
    if side == 0:
        return size_wh
    if config.fit == "stretch":
        return side, side
    width, height = size_wh
    short = min(width, height)
    return max(side, round(width * side / short)), max(side, round(height * side / short))


def fit_image(sample: Sample, side: int, config: JitterConfig) -> Sample:
    """Resize an image with its partner and mask to a side, without random choices."""
    if side == 0:
        return sample
    height, width = sample.image.shape[:2]
    size_wh = fitted_size((width, height), side, config)
    objects = sample.detections
    return replace(
        sample,
        image=_resized(sample.image, sample.region, size_wh, config.resampling),
        partner=None if sample.partner is None else resize(sample.partner, size_wh, config.resampling),
        mask=None if sample.mask is None else resize(sample.mask, size_wh, "nearest"),
        weight=None if sample.weight is None else _nearest(sample.weight, size_wh),
        region=None if sample.region is None else _nearest(sample.region, size_wh),
        detections=None if objects is None else objects.scaled(size_wh[0] / width, size_wh[1] / height),
    )


def _resized(image: Image, region: npt.NDArray[np.bool_] | None, size_wh: tuple[int, int], how: Resampling) -> Image:
    """Return an image at another size; the marks of holes do not bleed into their surroundings, nor these into them."""
    fitted = resize(image, size_wh, how)
    if region is None or fitted is image:
        return fitted
    # Bicubic weights are negative around an edge: away from 0 they show too.
    marked = np.where(region, np.float32(0.75), np.float32(0.25))[..., None]
    touched = np.abs(resize(marked, size_wh, how)[..., 0] - 0.25) > 1e-6  # the least share may turn a rounding
    fitted[touched] = _nearest(image, size_wh)[touched]
    return fitted


def _nearest(plane: npt.NDArray[Any], size_wh: tuple[int, int]) -> npt.NDArray[Any]:
    """Return HW or HWC of any type at another size by the nearest pixel."""
    height, width = plane.shape[:2]
    rows = ((np.arange(size_wh[1]) + 0.5) * height / size_wh[1]).astype(np.int64)
    columns = ((np.arange(size_wh[0]) + 0.5) * width / size_wh[0]).astype(np.int64)
    chosen: npt.NDArray[Any] = plane[rows][:, columns]
    return chosen


Cut = TypeVar("Cut", Pair, Sample)
_SEEN: Final = 0.1  # share of its box from which on an object counts as visible at a border
ARRAYS: Final = ("input", "target", "weight", "region", "image", "partner", "mask")


def crop_flip(whole: Cut, config: JitterConfig, rng: np.random.Generator) -> Cut:
    """Return a random square of `config.size`, mirrored half of the time when `config.flip` says so."""
    top, left = (int(rng.integers(0, max(0, extent - config.size) + 1)) for extent in _extent(whole))
    return _cut(whole, config.size, top, left, mirrored=bool(rng.random() < 0.5) and config.flip)


def crop_around(pair: Pair, config: JitterConfig, rng: np.random.Generator) -> Pair:
    """Return a random square of `config.size` that holds a random erased pixel, mirrored as in `crop_flip`.

    A pair in which nothing is erased is cropped anywhere.
    """
    if pair.region is None or not len(erased := np.flatnonzero(pair.region)):
        return crop_flip(pair, config, rng)
    height, width = pair.region.shape
    row, column = divmod(int(erased[rng.integers(len(erased))]), width)
    top, left = (
        int(np.clip(place - rng.integers(config.size), 0, max(0, extent - config.size)))
        for place, extent in ((row, height), (column, width))
    )
    return _cut(pair, config.size, top, left, mirrored=bool(rng.random() < 0.5) and config.flip)


def crop_center(whole: Cut, size: int) -> Cut:
    """Return the square in the middle, padded by reflection where there is less."""
    top, left = (max(0, extent - size) // 2 for extent in _extent(whole))
    return _cut(whole, size, top, left, mirrored=False)


def _extent(whole: Pair | Sample) -> tuple[int, int]:
    """Height and width."""
    image = whole.input if isinstance(whole, Pair) else whole.image
    return image.shape[0], image.shape[1]


def _cut(whole: Cut, size: int, top: int, left: int, *, mirrored: bool) -> Cut:
    """Return one window of all the arrays."""

    def window(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        cut = array[top : top + size, left : left + size]
        missing = [max(0, size - extent) for extent in cut.shape[:2]]
        if any(missing):
            cut = np.pad(cut, [(gap // 2, gap - gap // 2) for gap in missing] + [(0, 0)] * (cut.ndim - 2), "reflect")
        return _mirrored(cut) if mirrored else np.ascontiguousarray(cut)

    changes: dict[str, Any] = {
        name: window(array) for name in ARRAYS if (array := getattr(whole, name, None)) is not None
    }
    objects: Detections | None = getattr(whole, "detections", None)
    if objects is not None:
        down, across = (max(0, size - extent) // 2 for extent in _extent(whole))  # what `window` puts before
        seen = objects.cropped(left - across, top - down, size, size, least=_SEEN)
        changes["detections"] = seen.mirrored(size) if mirrored else seen
    return replace(whole, **changes)


def _mirrored(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Exchange left and right of HW or HWC of any type."""
    if array.dtype not in (np.uint8, np.uint16, np.float32) or array[0, 0].size > 4:
        return np.ascontiguousarray(array[:, ::-1])
    import cv2  # NumPy turns pixel by pixel, which takes twenty times as long

    return cv2.flip(array, 1).reshape(array.shape)


if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.floating[Any]]


def moved(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    """Return the image turned, scaled, slanted and bent, with partner, mask, weight, region and detections.

    What comes in at the borders is the image mirrored. Labels and weights keep their values: each pixel takes the
    nearest. Objects of which hardly anything is left in the image are dropped.
    """
    if not config.moves:
        return sample
    bend = _Bend(sample.image.shape[0], sample.image.shape[1], config, rng)
    parts: dict[str, Any] = {}
    for name in ("image", "partner", "mask"):
        if (image := getattr(sample, name)) is not None:
            parts[name] = bend.image(image, "nearest" if name == "mask" else "bilinear")
    for name in ("weight", "region"):
        if (plane := getattr(sample, name)) is not None:
            parts[name] = bend.image(plane[..., None], "nearest")[..., 0]
    if sample.detections is not None:
        parts["detections"] = bend.detections(sample.detections)
    return replace(sample, **parts)


class _Bend:
    """One movement: where each pixel of the result comes from, and where each point goes."""

    def __init__(self, height: int, width: int, config: AugmentConfig, rng: np.random.Generator) -> None:
        import torch
        from kornia.geometry.transform import get_affine_matrix2d, get_perspective_transform

        self.size = height, width
        turn, grow, across, down = rng.uniform(-1, 1, 4)
        inwards = rng.uniform(0, config.perspective, (4, 2))

        def one(*values: float) -> "torch.Tensor":
            return torch.tensor([values], dtype=torch.float64)

        shears = (one(float(np.radians(config.shear * share)))[0] for share in (across, down))
        middle, scales = one(width / 2, height / 2), one(*[1 + config.scale * grow] * 2)
        affine = get_affine_matrix2d(one(0, 0), middle, scales, one(config.rotate * turn)[0], *shears)
        corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
        nearer = corners + inwards * (1 - 2 * corners)
        sides = np.array([width, height], np.float64)
        angle = get_perspective_transform(*(torch.from_numpy(points * sides)[None] for points in (corners, nearer)))
        self.forth: Floats = (angle @ affine)[0].numpy()
        reach = 2 * config.elastic * min(height, width)
        grain = max(4.0, 0.15 * min(height, width))
        strays = [reach * (smooth_noise(self.size, grain, rng) - 0.5) for _ in range(2)]
        self.stray = np.stack(strays, axis=-1)  # HW2, x and y
        rows, columns = np.mgrid[:height, :width]
        # Pixel i reaches from i to i + 1, so its centre is i + 0.5.
        centres = np.stack([columns, rows], axis=-1) + 0.5 + self.stray
        origin = _projected(centres, np.linalg.inv(self.forth)) - 0.5
        self.x, self.y = (torch.from_numpy(np.ascontiguousarray(origin[None, ..., i], np.float32)) for i in (0, 1))

    def image(self, image: npt.NDArray[Any], mode: str) -> npt.NDArray[Any]:
        """HWC of any type => the same type, moved."""
        import torch
        from kornia.geometry.transform import remap

        floats = as_dtype(image, np.float32) if mode == "bilinear" else image.astype(np.float32)
        planes = torch.from_numpy(np.ascontiguousarray(floats.transpose(2, 0, 1)))[None]
        bent = remap(planes, self.x, self.y, mode=mode, padding_mode="reflection", align_corners=True)[0].numpy()
        result = np.ascontiguousarray(bent.transpose(1, 2, 0))
        return as_dtype(np.clip(result, 0, 1), image.dtype) if mode == "bilinear" else result.astype(image.dtype)

    def points(self, points: Floats) -> Floats:
        """N x 2, x and y => their places in the result."""
        reached = _projected(points, self.forth)
        found = reached
        for _ in range(4):  # what comes from `reached` lies where found + stray(found) = reached
            places = np.clip(found, 0, np.array(self.size[::-1]) - 1).astype(np.int64)
            found = reached - self.stray[places[:, 1], places[:, 0]]
        return found

    def detections(self, objects: Detections) -> Detections:
        """Return the boxes around what was in the boxes (or, closer, in the outlines), cut at the image's borders."""
        height, width = self.size
        outlines = tuple(outline and self._outline(outline) for outline in objects.outlines)
        corners = objects.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        boxes = [
            extent(outline.polygons if outline and outline.polygons else [self.points(_finer(ring))])
            for ring, outline in zip(corners, outlines or (None,) * len(objects), strict=True)
        ]
        moved = replace(objects, boxes=np.array(boxes, np.float32).reshape(-1, 4), outlines=outlines)
        return moved.cropped(0, 0, width, height, least=_SEEN)

    def _outline(self, outline: Outline) -> Outline:
        mask = None if outline.mask is None else self.image(outline.mask[..., None], "nearest")[..., 0]
        return Outline(tuple(self.points(_finer(polygon)).astype(np.float32) for polygon in outline.polygons), mask)


def _projected(points: Floats, matrix: Floats) -> Floats:
    """...2 in homogeneous coordinates, times a 3 x 3 matrix => ...2."""
    x, y = points[..., 0], points[..., 1]
    across, down, depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    return np.stack([across / depth, down / depth], axis=-1)


def _finer(polygon: Floats) -> Floats:
    """Return the same ring with points on its sides, K x 2 => 4K x 2: when it is bent, they do not stay straight."""
    along = np.arange(4)[:, None] / 4
    following = np.roll(polygon, -1, axis=0)
    return (polygon[:, None] + (following - polygon)[:, None] * along).reshape(-1, 2)


def recoloured(pair: Pair, config: AugmentConfig, rng: np.random.Generator) -> Pair:
    """Return the pair with its input, and nothing else, in another light.

    Transparency and the channel that marks holes stay as they are, and so does what was erased: its colour is its mark.
    """
    if not config.recolours:
        return pair
    channels = pair.input.shape[2]
    shown = channels - 1 if channels in (2, 4) else channels
    lit = as_dtype(_lit(as_dtype(pair.input[..., :shown], np.float32), config, rng), pair.input.dtype)
    if pair.region is not None:
        lit = np.where(pair.region[..., None], pair.input[..., :shown], lit)
    return replace(pair, input=np.concatenate([lit, pair.input[..., shown:]], axis=2))


def _lit(image: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """HWC `float32` => the same in another light, clipped to [0, 1]."""
    brightness, contrast, gamma, saturation, hue, noise = rng.uniform(-1, 1, 6)
    image = np.clip(image * (1 + config.brightness * brightness), 0, 1)
    middle = image.mean()
    image = np.clip(middle + (image - middle) * (1 + config.contrast * contrast), 0, 1)
    image = image ** ((1 + config.gamma) ** gamma)
    if image.shape[2] == 3 and (config.saturation or config.hue):
        angle = np.radians(config.hue * hue)
        turn = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
        stretch = np.diag([1, *[1 + config.saturation * saturation] * 2])
        image = np.clip(image @ (_YIQ @ turn @ stretch @ np.linalg.inv(_YIQ)), 0, 1)
    if config.noise:
        image = image + rng.standard_normal(image.shape, np.float32) * (config.noise * abs(noise))
    return np.clip(image, 0, 1).astype(np.float32)


# RGB as a row, times this: luminance (ITU-R BT.601), and the two axes of colour in whose plane hues lie in a circle.
_YIQ: Final = np.array([[0.299, 0.596, 0.211], [0.587, -0.274, -0.523], [0.114, -0.322, 0.312]])
