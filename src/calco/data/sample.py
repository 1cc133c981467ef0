"""`Sample` and `Pair`, which the stages pass on, and the random generators behind them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.errors import CalcoError
from calco.imaging import Image


def size_wh(image: npt.NDArray[np.generic]) -> str:
    """Width and height for a message, such as "512x256"."""
    return f"{image.shape[1]}x{image.shape[0]}"


def _check_sizes(key: str, what: str, image: Image, others: Mapping[str, npt.NDArray[Any] | None]) -> None:
    """Refuse arrays that are not as high and wide as an image."""
    for name, other in others.items():
        if other is not None and other.shape[:2] != image.shape[:2]:
            raise CalcoError(
                f"{key}: the {what} has {size_wh(image)} pixels and the {name} {size_wh(other)}; both need the same "
                "size: crop or resize one of them"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Image of a source, with everything that belongs to it.

    Attributes:
        image: HWC.
        key: The name within the source, without suffix.
        group: Images of one group stay on one side of a split.
        partner: The aligned target, HWC with the height and width of `image`, or None.
        mask: Class indices (HW1 `uint8`) or a painted mask (HW3) with the height and width of `image`, or None.
        detections: The objects in it, in pixels of `image`, or None where nobody said.
        weight: HW `float32`, of a pair that was made before, or None.
        region: HW `bool`, of a pair that was made before, or None.
    """

    image: Image
    key: str
    group: str
    partner: Image | None = None
    mask: Image | None = None
    detections: Detections | None = None
    weight: npt.NDArray[np.float32] | None = None
    region: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        others = {"target": self.partner, "mask": self.mask, "weight map": self.weight, "region": self.region}
        _check_sizes(self.key, "image", self.image, others)

    @property
    def whole(self) -> Image:
        """Image that a recipe with an input of its own making starts from: the partner, or the only image, HWC."""
        return self.image if self.partner is None else self.partner


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Input of a network, and the target that it learns to generate.

    Attributes:
        input: HWC.
        target: HWC with the height and width of `input`; the number of channels may differ.
        key: The name within the source.
        group: Images of one group stay on one side of a split.
        weight: HW `float32`, how much each pixel counts in the loss, or None for 1 everywhere.
        region: HW `bool`, the pixels that were erased, or None.
    """

    input: Image
    target: Image
    key: str
    group: str
    weight: npt.NDArray[np.float32] | None = None
    region: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        others = {"target": self.target, "weight map": self.weight, "region": self.region}
        _check_sizes(self.key, "input", self.input, others)

    def _repr_html_(self) -> str:
        """Return both images as a notebook shows them."""
        from calco.report.display import show

        return show(self)._repr_html_()


def _unit(*parts: object) -> bytes:
    """Return 16 bytes that depend on the parts and on nothing else."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def fraction(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the parts and on nothing else."""
    return int.from_bytes(_unit(*parts)[:7], "big") / (1 << 56)


def generator(seed: int, epoch: int, key: str, purpose: str = "") -> np.random.Generator:
    """Return the random generator of one image in one epoch, whatever the worker, the order or the time."""
    return np.random.default_rng(int.from_bytes(_unit(seed, epoch, key, purpose), "big"))


def smooth_noise(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return smooth noise in [0, 1], HW, whose blobs are about `grain` pixels wide."""
    import cv2

    coarse = rng.random([max(2, round(extent / grain) + 1) for extent in shape], np.float32)
    return np.asarray(np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)
