"""More play in training: images turned and bent with all that belongs to them, inputs in another light.

NumPy draws the parameters, which kornia's functions take: its own modules draw from torch's global generator,
on which dropout and thereby the repetition of a run depend.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import extent
from calco.data.chance import cloud
from calco.data.config import AugmentConfig
from calco.data.types import Pair, Sample
from calco.imaging import Image, as_dtype

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.floating[Any]]
LEAST_SEEN: Final = 0.1  # of a box; what is left of a thing at the border is none any more


def moved(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    """The image turned, scaled, slanted and bent, with partner, mask, weight, region and detections.

    What comes in at the borders is the image mirrored. Labels and weights keep their values: each pixel takes the
    nearest. Objects of which hardly anything is left in the image are dropped.

    Args:
        sample: Any.
        config: How much; unchanged when nothing of it moves.
        rng: Draws by how much.
    """
    if not config.moves:
        return sample
    height, width = sample.image.shape[:2]
    bend = _Bend(height, width, config, rng)
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
        affine = get_affine_matrix2d(
            one(0, 0),
            one(width / 2, height / 2),
            one(*[1 + config.scale * grow] * 2),
            one(config.rotate * turn)[0],
            *shears,
        )
        corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
        nearer = corners + inwards * (1 - 2 * corners)
        sides = np.array([width, height], np.float64)
        angle = get_perspective_transform(*(torch.from_numpy(points * sides)[None] for points in (corners, nearer)))
        self.forth: Floats = (angle @ affine)[0].numpy()
        reach = 2 * config.elastic * min(height, width)
        grain = max(4.0, 0.15 * min(height, width))
        self.stray = np.stack([reach * (cloud(self.size, grain, rng) - 0.5) for _ in range(2)], axis=-1)  # HW2, x and y
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
        drawn = remap(planes, self.x, self.y, mode=mode, padding_mode="reflection", align_corners=True)[0].numpy()
        result = np.ascontiguousarray(drawn.transpose(1, 2, 0))
        return as_dtype(np.clip(result, 0, 1), image.dtype) if mode == "bilinear" else result.astype(image.dtype)

    def points(self, points: Floats) -> Floats:
        """N x 2, x and y => where they lie in the result."""
        reached = _projected(points, self.forth)
        found = reached
        for _ in range(4):  # what comes from `reached` lies where found + stray(found) = reached
            places = np.clip(found, 0, np.array(self.size[::-1]) - 1).astype(np.int64)
            found = reached - self.stray[places[:, 1], places[:, 0]]
        return found

    def detections(self, objects: Detections) -> Detections:
        """The boxes around what was in the boxes (or, closer, in the outlines), cut at the image's borders."""
        height, width = self.size
        outlines = tuple(outline and self._outline(outline) for outline in objects.outlines)
        boxes = [self._box(box, outlines[i] if outlines else None) for i, box in enumerate(objects.boxes)]
        moved = replace(objects, boxes=np.array(boxes, np.float32).reshape(-1, 4), outlines=outlines)
        return moved.cropped(0, 0, width, height, least=LEAST_SEEN)

    def _outline(self, outline: Outline) -> Outline:
        mask = None if outline.mask is None else self.image(outline.mask[..., None], "nearest")[..., 0]
        return Outline(tuple(self.points(_finer(polygon)).astype(np.float32) for polygon in outline.polygons), mask)

    def _box(self, box: Floats, outline: Outline | None) -> tuple[float, float, float, float]:
        if outline is not None and outline.polygons:
            return extent(outline.polygons)
        left, top, right, bottom = box
        return extent([self.points(_finer(np.array([(left, top), (right, top), (right, bottom), (left, bottom)])))])


def _projected(points: Floats, matrix: Floats) -> Floats:
    """...2 in homogeneous coordinates, times a 3 x 3 matrix => ...2."""
    x, y = points[..., 0], points[..., 1]
    across, down, depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    return np.stack([across / depth, down / depth], axis=-1)


def _finer(polygon: Floats) -> Floats:
    """The same ring with points on its sides, K x 2 => 4K x 2: when it is bent, they do not stay straight."""
    along = np.arange(4)[:, None] / 4
    following = np.roll(polygon, -1, axis=0)
    return (polygon[:, None] + (following - polygon)[:, None] * along).reshape(-1, 2)


def recoloured(pair: Pair, config: AugmentConfig, rng: np.random.Generator) -> Pair:
    """The pair with its input, and nothing else, in another light.

    Transparency and the channel that marks holes stay as they are, and so does what was erased: its colour is its mark.

    Args:
        pair: Any.
        config: How much; unchanged when nothing of it recolours.
        rng: Draws by how much, and the noise.
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
