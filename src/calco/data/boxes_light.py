"""What happens to the pixels alone when detectors are trained: other light, other colours, damage, patches."""

from functools import cache
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

from calco.imaging import Image

_HUE = 0.05  # of the circle, at full strength
_LEAST_SHOWN = 0.5  # of a thing's box that no patch may hide
_PATCH = (0.04, 0.2)  # sides of patches, as shares of the image's side
_MOST_PATCHES = 3


class Damage(Protocol):
    """How much damage is done; `BoxAugmentConfig` tells it."""

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
    """Brightness, contrast, middle tones, strength of colours and hue changed by tables: HW3 `uint8` => the same.

    Args:
        image: RGB.
        light: The most that brightness, contrast and the exponent of the middle tones change by, as a share.
        colour: The most that saturation changes by, as a share; hues turn by up to 0.05 of the circle times it.
        rng: Draws by how much; as many numbers whatever is off.
    """
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
    """Patches of noise on some images (random erasing, arXiv 1708.04896), none of which hides a thing.

    Args:
        image: HW3 `uint8`; it is not changed.
        boxes: N x 4 of the objects in it.
        share: Of images that get patches.
        rng: Draws whether, how many, where.
    """
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
    """Whether a patch covers too much of any box."""
    shared = np.minimum(boxes[:, 2:], patch[2:]) - np.maximum(boxes[:, :2], patch[:2])
    covered = np.clip(shared, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return bool((covered > (1 - _LEAST_SHOWN) * areas).any())
