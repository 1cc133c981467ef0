"""The Inception network behind FID, KID and the Inception score, as one table.

It is the network of 2015-12-05 that published figures use (Szegedy et al., arXiv 1512.00567, with 1008 classes). Its
pooling differs from the usual InceptionV3: averages leave out the padding, and the last block takes the maximum. Names
follow the state dict that pytorch-fid and torch-fidelity distribute, so that its file loads as it is. Users bring the
weights.
"""

import importlib
import urllib.error
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import Image

WANTED = "--inception wants the weights of the FID Inception network of 2015-12-05"
SIDE = 299
"""Side of the network's input, pixels."""
NUM_FEATURES = 2048
NUM_CLASSES = 1008
_EPSILON = 0.001
_NORM = ("bn.running_mean", "bn.running_var", "bn.weight", "bn.bias")


class Conv(NamedTuple):
    """A convolution without bias, batch norm and ReLU. Strided ones are not padded, the others keep the size."""

    name: str
    out: int
    height: int = 1
    width: int = 1
    stride: int = 1


Step = str | Conv | tuple[Conv, Conv]
"""A pooling by name, a convolution, or two convolutions side by side."""
Block = tuple[tuple[Step, ...], ...]
"""Branches side by side, whose results are stacked."""


def _a(pool: int) -> Block:
    return (
        (Conv("branch1x1", 64),),
        (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, 5, 5)),
        (Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, 3, 3), Conv("branch3x3dbl_3", 96, 3, 3)),
        ("average", Conv("branch_pool", pool)),
    )


def _c(width: int) -> Block:
    return (
        (Conv("branch1x1", 192),),
        (Conv("branch7x7_1", width), Conv("branch7x7_2", width, 1, 7), Conv("branch7x7_3", 192, 7, 1)),
        (Conv("branch7x7dbl_1", width), Conv("branch7x7dbl_2", width, 7, 1), Conv("branch7x7dbl_3", width, 1, 7),
         Conv("branch7x7dbl_4", width, 7, 1), Conv("branch7x7dbl_5", 192, 1, 7)),
        ("average", Conv("branch_pool", 192)),
    )  # fmt: skip


def _e(pooling: str) -> Block:
    return (
        (Conv("branch1x1", 320),),
        (Conv("branch3x3_1", 384), (Conv("branch3x3_2a", 384, 1, 3), Conv("branch3x3_2b", 384, 3, 1))),
        (Conv("branch3x3dbl_1", 448), Conv("branch3x3dbl_2", 384, 3, 3),
         (Conv("branch3x3dbl_3a", 384, 1, 3), Conv("branch3x3dbl_3b", 384, 3, 1))),
        (pooling, Conv("branch_pool", 192)),
    )  # fmt: skip


_B: Block = (
    (Conv("branch3x3", 384, 3, 3, 2),),
    (Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, 3, 3), Conv("branch3x3dbl_3", 96, 3, 3, 2)),
    ("halve",),
)
_D: Block = (
    (Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, 3, 3, 2)),
    (Conv("branch7x7x3_1", 192), Conv("branch7x7x3_2", 192, 1, 7), Conv("branch7x7x3_3", 192, 7, 1),
     Conv("branch7x7x3_4", 192, 3, 3, 2)),
    ("halve",),
)  # fmt: skip
_STEM: tuple[tuple[Conv, bool], ...] = (
    # The convolution, and whether it is padded although the table's rule would say otherwise.
    (Conv("Conv2d_1a_3x3", 32, 3, 3, 2), False),
    (Conv("Conv2d_2a_3x3", 32, 3, 3), False),
    (Conv("Conv2d_2b_3x3", 64, 3, 3), True),
    (Conv("Conv2d_3b_1x1", 80), False),
    (Conv("Conv2d_4a_3x3", 192, 3, 3), False),
)
_BLOCKS: Mapping[str, Block] = {
    "Mixed_5b": _a(32), "Mixed_5c": _a(64), "Mixed_5d": _a(64), "Mixed_6a": _B, "Mixed_6b": _c(128),
    "Mixed_6c": _c(160), "Mixed_6d": _c(160), "Mixed_6e": _c(192), "Mixed_7a": _D, "Mixed_7b": _e("average"),
    "Mixed_7c": _e("maximum"),
}  # fmt: skip


def _convolutions(step: Step) -> tuple[Conv, ...]:
    """None for a pooling, one, or two side by side."""
    if isinstance(step, str):
        return ()
    return (step,) if isinstance(step, Conv) else step


def _walk() -> Iterator[tuple[str, int, Conv]]:
    """Yield every convolution with its full name and its number of input channels."""
    channels = 3
    for conv, _padded in _STEM:
        yield conv.name, channels, conv
        channels = conv.out
    for prefix, block in _BLOCKS.items():
        # Input channels, and output channels of the branches so far: a pooling branch passes everything on.
        result = 0
        for branch in block:
            inside = channels
            for convs in filter(None, map(_convolutions, branch)):
                yield from ((f"{prefix}.{conv.name}", inside, conv) for conv in convs)
                inside = sum(conv.out for conv in convs)
            result += inside
        channels = result


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the state dict, by name."""
    found: dict[str, tuple[int, ...]] = {}
    for name, inside, conv in _walk():
        found[f"{name}.conv.weight"] = (conv.out, inside, conv.height, conv.width)
        found |= {f"{name}.{kind}": (conv.out,) for kind in _NORM}
    return found | {"fc.weight": (NUM_CLASSES, NUM_FEATURES), "fc.bias": (NUM_CLASSES,)}


_POOLINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "average": partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False),
    "maximum": partial(F.max_pool2d, kernel_size=3, stride=1, padding=1),
    "halve": partial(F.max_pool2d, kernel_size=3, stride=2),
}


class Inception:
    """The network with its weights, tensors by name as in `shapes`."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = dict(weights)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """N3HW, float32 in [0, 255] => features N x 2048 and class scores N x 1008, without bias as published."""
        x = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        x = (x - 128) / 128
        for index, (conv, padded) in enumerate(_STEM):
            x = self._convolve(x, conv.name, conv, pad=padded)
            x = F.max_pool2d(x, 3, stride=2) if index in (2, 4) else x
        for prefix, block in _BLOCKS.items():
            x = torch.cat([self._branch(x, prefix, branch) for branch in block], dim=1)
        features = x.mean(dim=(2, 3))
        return features, features @ self.weights["fc.weight"].T

    def _branch(self, x: Tensor, prefix: str, branch: tuple[Step, ...]) -> Tensor:
        for step in branch:
            if isinstance(step, str):
                x = _POOLINGS[step](x)
            else:
                made = [self._convolve(x, f"{prefix}.{conv.name}", conv) for conv in _convolutions(step)]
                x = torch.cat(made, dim=1)
        return x

    def _convolve(self, x: Tensor, name: str, conv: Conv, *, pad: bool = True) -> Tensor:
        padding = (conv.height // 2, conv.width // 2) if pad and conv.stride == 1 else (0, 0)
        x = F.conv2d(x, self.weights[f"{name}.conv.weight"], stride=conv.stride, padding=padding)
        mean, variance, scale, shift = (self.weights[f"{name}.{kind}"] for kind in _NORM)
        return F.relu_(F.batch_norm(x, mean, variance, scale, shift, eps=_EPSILON))


def from_tensors(weights: Mapping[str, Tensor], origin: str) -> Inception:
    """Return the network with the tensors that it needs, after a check of their names and shapes."""
    expected = shapes()
    for name, shape in expected.items():
        if name not in weights:
            raise CalcoError(f"{origin} lacks {name}; {WANTED}")
        if tuple(weights[name].shape) != shape:
            raise CalcoError(
                f"{origin}: {name} has shape {tuple(weights[name].shape)}, not {shape}; "
                f"{WANTED} (1008 classes), not torchvision's"
            )
    return Inception({name: weights[name].float() for name in expected})


DOWNLOAD = "download"
ABSENT = "needs the FID Inception weights: --inception FILE, or --inception download where torch-fidelity is installed"
MIN_IMAGES = 2
KID_SUBSETS = 100
KID_SUBSET = 100
"""Images in each of KID's subsets, or all if there are fewer."""


def open_inception(source: str | Path) -> Inception:
    """Return the network of a weight file (safetensors, or .pth without unpickling), or of the download."""
    if str(source) != DOWNLOAD:
        file = Path(source)
        if not file.is_file():
            raise CalcoError(f"{file} is not a file; {WANTED}")
        try:
            safe = file.suffix == ".safetensors"
            weights = load_file(file) if safe else torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise CalcoError(
                f"{file} cannot be read as tensors by name (safetensors, or a plain .pth); {WANTED}"
            ) from error
        return from_tensors(weights, str(file))
    try:
        address = str(importlib.import_module("torch_fidelity.feature_extractor_inceptionv3").URL_INCEPTION_V3)
    except (ImportError, AttributeError, RuntimeError) as error:
        raise CalcoError(
            "--inception download needs torch-fidelity: pip install torch-fidelity, or give the weight file itself"
        ) from error
    try:
        # Loaded here and not by torch-fidelity, which would unpickle it. The name holds the hash that is checked.
        weights = torch.hub.load_state_dict_from_url(
            address, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise CalcoError(f"the Inception weights could not be downloaded ({error}); give --inception FILE") from error
    return from_tensors(weights, address)


class _Features(nn.Module):
    """Gives torchmetrics features that are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


class SetScores:
    """Collects the features of targets and of each system's outputs, then compares them; the seed is for KID."""

    def __init__(self, network: Inception, seed: int = 0) -> None:
        self.network = network
        self.seed = seed
        self._targets: list[tuple[Tensor, Tensor]] = []
        self._outputs: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def add(self, outputs: dict[str, Image], target: Image) -> None:
        """Add one image: its target and the output of each system, HWC of one size."""
        names = list(outputs)
        stacked = torch.stack([_pixels(image) for image in (*(outputs[name] for name in names), target)])
        features, logits = self.network(stacked)
        for name, feature, logit in zip(names, features, logits, strict=False):
            self._outputs.setdefault(name, []).append((feature, logit))
        self._targets.append((features[-1], logits[-1]))

    def compute(self, chosen: Sequence[int]) -> dict[str, dict[str, float]]:
        """Return "fid", "kid" and "inception_score" of each system over the chosen images, by the order of `add`."""
        if len(chosen) < MIN_IMAGES:
            return {}
        real = torch.stack([self._targets[index][0] for index in chosen])
        with torch.random.fork_rng(devices=[]):
            return {name: self._compare(real, [rows[i] for i in chosen]) for name, rows in self._outputs.items()}

    def _compare(self, real: Tensor, rows: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import poly_mmd

        torch.manual_seed(self.seed)
        fake, logits = (torch.stack(part) for part in zip(*rows, strict=True))
        fid = FrechetInceptionDistance(feature=_Features(real.shape[1]))
        fid.update(real, real=True)
        fid.update(fake, real=False)
        size = min(KID_SUBSET, len(real))
        # As torchmetrics' KernelInceptionDistance, which warns that it keeps all features in memory.
        kid = []
        for _ in range(KID_SUBSETS):
            some, others = (side[torch.randperm(len(side))[:size]] for side in (real, fake))
            kid.append(poly_mmd(some, others))
        shares = logits.softmax(1)
        divergence = (shares * (logits.log_softmax(1) - shares.mean(0).log())).sum(1)  # Salimans et al. 2016
        return {
            # Rounding may bring the distance of equal sets below zero.
            "fid": max(0.0, float(fid.compute())),
            "kid": float(torch.stack(kid).mean()),
            "inception_score": float(divergence.mean().exp()),
        }


def _pixels(image: Image) -> Tensor:
    """HWC of any dtype and channels => 3HW float32 in [0, 255], as it is shown."""
    return (imaging.to_tensor(imaging.as_channels(imaging.visible(image), 3)) + 1) * 127.5
