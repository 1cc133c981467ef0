"""ST-LPIPS: how different two images look to a network, tolerant of shifts by a pixel or two.

The network and its calibration are those of Ghildyal and Liu, "Shift-tolerant perceptual similarity metric" (ECCV
2022): an AlexNet whose strides are replaced by blurred subsampling. The weights ship in the package `stlpips-pytorch`;
its code needs torchvision, so only its weight file is read, and the network stands here as one function. The distance
is NOT LPIPS (Zhang et al. 2018): its values are on another scale and must not be compared with published LPIPS figures.
"""

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import Image
from calco.networks.cpu.winograd import WinogradConv

Features: TypeAlias = tuple[Tensor, ...]
"""Five layers of one image, CHW each: every pixel's vector of length one, times the roots of the channels' weights."""

NAME = "ST-LPIPS"
PACKAGE = "stlpips_pytorch"
WEIGHTS = Path("weights", "vST0.0", "alex_shift_tolerant.pth")
ABSENT = 'ST-LPIPS needs the weights of stlpips-pytorch: pip install "calco[perceptual]"'

# The five convolutions: (name in the weight file, zero padding).
_CONVOLUTIONS = (
    ("net.slice1.0", 2), ("net.slice2.5", 2), ("net.slice3.9", 1), ("net.slice4.11", 1), ("net.slice5.13", 1),
)  # fmt: skip
MIN_SIDE = 32
"""Pixels; below this the third subsampling would leave nothing to compare, so smaller images are enlarged first."""


def weight_file() -> Path | None:
    """Find the weight file without importing the package; None if the package is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / WEIGHTS).is_file():
            return Path(folder) / WEIGHTS
    return None


_STRIP = 4  # pixels at the end of a map with an even side that give its last blurred pixel


def _binomial(x: Tensor) -> Tensor:
    """Return the binomial 3x3 kernel in the type and on the device of `x`: HW."""
    line = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    return torch.outer(line, line)


def _blurred(x: Tensor) -> Tensor:
    """Blur with the binomial 3x3 kernel and keep every second pixel, without borders. NCHW => NC, about H/2, W/2."""
    return F.conv2d(x, _binomial(x).expand(x.shape[1], 1, 3, 3), stride=2, groups=x.shape[1])


def _with_borders(inner: Tensor, x: Tensor, before: Callable[[Tensor], Tensor], margin: int = 0) -> Tensor:
    """Add the borders of a blurred subsampling that mirrors two pixels: one pixel on each side.

    The kernel is symmetric, so that mirrored pixels give the first value once more. The last value is another only
    where the map has an even side: it is computed from the map's end. `before` makes the map of `x`, NCHW, and is
    `margin` pixels smaller.
    """
    whole = F.pad(inner, (1, 1, 1, 1), mode="replicate")

    def mirrored(strip: Tensor) -> Tensor:
        return _blurred(F.pad(before(strip), (2, 2, 2, 2), mode="reflect"))

    if (x.shape[3] - margin) % 2 == 0:
        whole[..., -1] = mirrored(x[..., -_STRIP - margin :])[..., -1]
    if (x.shape[2] - margin) % 2 == 0:
        whole[..., -1, :] = mirrored(x[..., -_STRIP - margin :, :])[..., -1, :]
    return whole


def _first_layer(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """Convolve and blur as one convolution with stride 2: a third of the operations. N3HW => NC, about H/2, W/2."""
    side = weight.shape[-1]
    blur = _binomial(weight).expand(weight.shape[1], 1, 3, 3)
    both = F.conv2d(F.pad(weight, (2, 2, 2, 2)), blur, groups=weight.shape[1])
    x = F.pad(x, (padding,) * 4)
    return _with_borders(
        F.conv2d(x, both, bias, stride=2), x, lambda strip: F.conv2d(strip, weight, bias), margin=side - 1
    )


def features(
    x: Tensor, weights: Mapping[str, Tensor], prepared: Mapping[str, WinogradConv] | None = None
) -> list[Tensor]:
    """Return the five layers' activations, each pixel's vector of length one.

    Args:
        x: N3HW, float32 in [-1, 1].
        weights: Tensors by name.
        prepared: Convolutions by name that are computed in fewer operations, without gradients.
    """
    x = (x - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
    # Channels last: blur and pooling take an eighth of the time.
    x = x.contiguous(memory_format=torch.channels_last)
    layers = []
    for index, (name, padding) in enumerate(_CONVOLUTIONS):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        if index in (1, 2):
            x = F.max_pool2d(x, 3, stride=1)
            x = _with_borders(_blurred(x), x, lambda strip: strip)
        # The first layer is blurred before its ReLU, which is what makes the network shift-tolerant.
        if prepared is not None and name in prepared:
            x = prepared[name](x)
        else:
            first = index == 0
            x = _first_layer(x, weight, bias, padding) if first else F.conv2d(x, weight, bias, padding=padding)
            x = F.relu(x)
        layers.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))
    return layers


class Perceptual:
    """The distance with its weights, tensors by name."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = dict(weights)
        names = [f"lin{index}.model.1.weight" for index in range(len(_CONVOLUTIONS))]
        # The weights are not negative, as those of LPIPS: their roots let a distance be one sum of squares.
        self._roots = [self.weights[name].reshape(-1, 1, 1).sqrt() for name in names]
        self._prepared: dict[str, WinogradConv] = {}

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Perceptual":
        """Read the weights from the installed package, or from `path`."""
        found = Path(path) if path else weight_file()
        if found is None:
            raise CalcoError(ABSENT)
        return cls(_read(found))

    @torch.inference_mode()
    def features(self, images: Sequence[Image]) -> list[Features]:
        """Return the features of HWC images of one size, as they are shown: computed once, compared with many."""
        shown = [imaging.as_channels(imaging.visible(image), 3) for image in images]
        stacked = torch.stack([imaging.to_tensor(image) for image in shown])
        if min(stacked.shape[-2:]) < MIN_SIDE:
            factor = MIN_SIDE / min(stacked.shape[-2:])
            stacked = F.interpolate(stacked, scale_factor=factor, mode="bilinear", align_corners=False)
        if not self._prepared:
            self._prepared = {
                name: WinogradConv(self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], padding)
                for name, padding in _CONVOLUTIONS[1:]
            }
        layers = features(stacked, self.weights, self._prepared)
        return list(zip(*(layer.mul_(root) for layer, root in zip(layers, self._roots, strict=True)), strict=True))

    @torch.inference_mode()
    def between(self, one: Features, other: Features) -> float:
        """Return the distance of two images by their features; 0 = the same."""
        # Differences, squares and their sum at once, where torch would write each to memory. As planes, H, W C: OpenCV
        # takes an array's last axis for channels, of which it has 128 at most.
        pairs = ([x.permute(1, 2, 0).flatten(1).numpy() for x in layer] for layer in zip(one, other, strict=True))
        areas = (x.shape[1] * x.shape[2] for x in one)
        return float(sum(cv2.norm(a, b, cv2.NORM_L2SQR) / area for (a, b), area in zip(pairs, areas, strict=True)))

    def __call__(self, images: Sequence[Image], target: Image) -> list[float]:
        """Return the distances of HWC images to a target of the same size, as they are shown; 0 = the same."""
        *made, true = self.features([*images, target])
        return [self.between(each, true) for each in made]


@functools.cache
def _read(path: Path) -> dict[str, Tensor]:
    """Read the weight file, and check that no tensor is missing."""
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CalcoError(f"{path} cannot be read as ST-LPIPS weights; install stlpips-pytorch 0.0.2 anew") from error
    needed = {f"{name}.{kind}" for name, _ in _CONVOLUTIONS for kind in ("weight", "bias")}
    needed |= {"scaling_layer.shift", "scaling_layer.scale", *(f"lin{index}.model.1.weight" for index in range(5))}
    if missing := sorted(needed - weights.keys()):
        raise CalcoError(f"{path} lacks {missing[0]}; install stlpips-pytorch 0.0.2 anew")
    return {name: weights[name].float() for name in needed}
