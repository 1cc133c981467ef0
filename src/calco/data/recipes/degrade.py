"""Recipe `degrade`: damaged images, whose restoration is to be learned."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.data.recipe_config import DAMAGES, DegradeConfig, damages_of
from calco.data.sample import Pair, Sample
from calco.imaging import Image, as_dtype, resize

Floats: TypeAlias = npt.NDArray[np.float32]  # HWC in [0, 1]


def degraded(image: Image, config: DegradeConfig, rng: np.random.Generator) -> Image:
    """Return a damaged copy of an image, HWC of any dtype, of the same size, channels and dtype; alpha is kept."""
    if config.damage == "any":
        taken = rng.random(len(DAMAGES)) < 0.5
        taken[int(rng.integers(len(DAMAGES)))] = True
        names = [name for name, is_taken in zip(DAMAGES, taken, strict=True) if is_taken]
    else:
        names = damages_of(config.damage)
    shown = image.shape[2] - (image.shape[2] in (2, 4))
    values: Floats = as_dtype(image[..., :shown], np.float32)
    for name in names:
        values = np.clip(_FUNCTIONS[name](values, config, rng), 0, 1).astype(np.float32)
    return np.concatenate([as_dtype(values, image.dtype), image[..., shown:]], axis=2)


def scratches(image: Floats, config: DegradeConfig, rng: np.random.Generator) -> Floats:
    """Draw thin lines, most of them light, more or less deep, where the coat is off."""
    import cv2

    from calco.data.recipes.strokes import scratch

    height, width = image.shape[:2]
    for _ in range(int(rng.integers(config.scratched[0], config.scratched[1] + 1))):
        start = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        thickness = max(1, round(min(height, width) * float(rng.uniform(0.003, 0.012))))
        line = scratch(height, width, start, thickness, rng).astype(np.float32)
        colour = rng.uniform(0.85, 1) if rng.random() < 0.7 else rng.uniform(0, 0.15)
        cover = (cv2.GaussianBlur(line, (0, 0), 0.5) * rng.uniform(0.5, 1))[..., None]
        image = image * (1 - cover) + np.float32(colour) * cover
    return image


def blur(image: Floats, config: DegradeConfig, rng: np.random.Generator) -> Floats:
    """Blur by a Gaussian, as out of focus."""
    import cv2

    sigma = float(rng.uniform(*config.blur))
    return np.atleast_3d(cv2.GaussianBlur(image, (0, 0), sigma)) if sigma else image


def downscale(image: Floats, config: DegradeConfig, rng: np.random.Generator) -> Floats:
    """Reduce by averaging, and enlarge again by bicubic interpolation."""
    height, width = image.shape[:2]
    factor = float(rng.uniform(*config.downscale))
    small = resize(image, (max(1, round(width / factor)), max(1, round(height / factor))), "area")
    return resize(small, (width, height), "bicubic")


def noise(image: Floats, config: DegradeConfig, rng: np.random.Generator) -> Floats:
    """Add the noise of a sensor: Poisson (light) and Gaussian (electronics) in a random ratio."""
    deviation, share = float(rng.uniform(*config.noise)), float(rng.uniform(0, 1))
    if not deviation:
        return image
    # With N photons for white, the variance in mid grey is 0.5 / N.
    photons = 0.5 / max(1e-6, share * deviation**2)
    shot = rng.poisson(image * photons).astype(np.float32) / np.float32(photons)
    grain = rng.standard_normal(image.shape, np.float32)
    return shot + grain * np.float32(deviation * np.sqrt(1 - share))


def jpeg(image: Floats, config: DegradeConfig, rng: np.random.Generator) -> Floats:
    """Encode as JPEG and decode again; what is neither grey nor colour is encoded channel by channel."""
    import cv2

    quality = int(rng.integers(config.jpeg[0], config.jpeg[1] + 1))

    def coded(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        _, stream = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(stream, cv2.IMREAD_UNCHANGED)
        return np.atleast_3d(np.asarray(decoded, np.uint8))

    bytes_ = np.ascontiguousarray(as_dtype(image, np.uint8))
    if bytes_.shape[2] == 3:  # OpenCV codes BGR
        result = coded(np.ascontiguousarray(bytes_[..., ::-1]))[..., ::-1]
    else:
        planes = [coded(np.ascontiguousarray(bytes_[..., c])) for c in range(bytes_.shape[2])]
        result = np.concatenate(planes, axis=2)
    return np.asarray(as_dtype(np.ascontiguousarray(result), np.float32), np.float32)


_FUNCTIONS: Final[dict[str, Callable[[Floats, DegradeConfig, np.random.Generator], Floats]]] = {
    "scratches": scratches, "blur": blur, "downscale": downscale, "noise": noise, "jpeg": jpeg,
}  # fmt: skip


def degrade_pair(sample: Sample, rng: np.random.Generator, config: DegradeConfig) -> Pair:
    """Return the damaged image as the input and the image as the target."""
    whole = sample.whole
    return Pair(input=degraded(whole, config, rng), target=whole, key=sample.key, group=sample.group)
