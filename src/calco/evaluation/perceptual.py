"""ST-LPIPS: how different two images look to a network, tolerant of shifts by a pixel or two.

The network and its calibration are those of Ghildyal and Liu, "Shift-tolerant perceptual similarity metric" (ECCV
2022): an AlexNet whose strides are replaced by blurred subsampling. The weights ship in the package `stlpips-pytorch`;
its code needs torchvision, so only its weight file is read, and the network stands here as one function. The distance
is NOT LPIPS (Zhang et al. 2018): its values are on another scale and must not be compared with published LPIPS figures.
"""

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import Image

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


def _subsample(x: Tensor) -> Tensor:
    """Blur with the binomial 3x3 kernel and keep every second pixel. NCHW => NC, about H/2, W/2."""
    line = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def features(x: Tensor, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the five layers' activations, each pixel's vector of length one. `x` is N3HW, float32 in [-1, 1]."""
    x = (x - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
    layers = []
    for index, (name, padding) in enumerate(_CONVOLUTIONS):
        if index in (1, 2):
            x = _subsample(F.max_pool2d(x, 3, stride=1))
        x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)
        # The first layer is blurred before its ReLU, which is what makes the network shift-tolerant.
        x = F.relu(_subsample(x) if index == 0 else x)
        layers.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
    return layers


class Perceptual:
    """The distance with its weights, tensors by name."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = dict(weights)

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Perceptual":
        """Read the weights from the installed package, or from `path`."""
        found = Path(path) if path else weight_file()
        if found is None:
            raise CalcoError(ABSENT)
        return cls(_read(found))

    @torch.inference_mode()
    def __call__(self, images: Sequence[Image], target: Image) -> list[float]:
        """Return the distances of HWC images to a target of the same size, as they are shown; 0 = the same."""
        shown = [imaging.as_channels(imaging.visible(image), 3) for image in (*images, target)]
        stacked = torch.stack([imaging.to_tensor(image) for image in shown])
        if min(stacked.shape[-2:]) < MIN_SIDE:
            factor = MIN_SIDE / min(stacked.shape[-2:])
            stacked = F.interpolate(stacked, scale_factor=factor, mode="bilinear", align_corners=False)
        total = torch.zeros(len(images))
        for index, layer in enumerate(features(stacked, self.weights)):
            squared = (layer[:-1] - layer[-1:]).square()
            total += F.conv2d(squared, self.weights[f"lin{index}.model.1.weight"]).mean(dim=(1, 2, 3))
        return total.tolist()


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
