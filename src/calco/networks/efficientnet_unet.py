"""A U-Net whose encoder is pretrained on ImageNet, for few images."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.errors import CalcoError
from calco.networks.config import DEPTHS, Norm, Up
from calco.networks.efficientnet_lite import EfficientNetLite, Variant, channels_of, load_imagenet, weight_file
from calco.networks.layers import has_bias, initialise, mean_with_mirror, norm_layer, segment

LEAST_FILTERS: Final = 4
_HIDDEN: Final = 32  # maps from which scale and shift are computed


class EfficientNetUNet(nn.Module):
    """EfficientNet-Lite halves the image five times, a U-Net's decoder doubles its feature maps again.

    Each step of the decoder doubles the maps, joins the encoder's of that size and filters twice; the last doubling
    lays four pixels of each map side by side (Shi et al., arXiv 1609.05158), for filters at the image's own size
    would take a good part of the time. It is the decoder of Ronneberger et al., arXiv 1505.04597, on the encoder of Tan
    and Le, arXiv 1905.11946, as arXiv 1801.05746 first joined a U-Net to an encoder from ImageNet. The encoder keeps
    its own batch norm; `norm` is the decoder's. `filters` counts the decoder's channels at a quarter of the size: half
    as many after each doubling, twice before. With `labels`, the colours of a label map's classes, the encoder also
    sees one map per class, 1 where its colour is the nearest. `spade` modulates the decoder's norm by these maps, or by
    the input where there are no classes. With `mirrored`, the output in evaluation mode is the mean of those of the
    image and of its mirror image.
    """

    depth = DEPTHS["efficientnet-unet"]

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.0,
        up: Up = "resize",
        encoder: Variant = "lite0",
        labels: Sequence[tuple[int, int, int]] = (),
        spade: bool = False,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        if filters < LEAST_FILTERS or not 0 <= dropout < 1:
            raise CalcoError(
                f"an efficientnet-unet of {filters} filters and dropout {dropout} cannot be built; filters must be at "
                f"least {LEAST_FILTERS}, dropout in [0, 1)"
            )
        self.mirrored = mirrored
        self.recompute = False  # feature maps in the backward pass, to save memory
        colours = torch.tensor(labels, dtype=torch.float32)[..., None, None] / 127.5 - 1 if labels else None
        self.colours: Tensor | None
        self.register_buffer("colours", colours, persistent=False)
        self.encoder = EfficientNetLite(in_channels + len(labels), encoder)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        bias = has_bias(norm)
        *skips, below = channels_of(encoder)
        widths = (filters * 4, filters * 2, filters, filters // 2)
        self.doubles, self.filters, self.spades = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for skip, width in zip(skips[::-1], widths, strict=True):
            doubling = nn.ConvTranspose2d(below, below, 4, 2, 1) if up == "transpose" else nn.Upsample(scale_factor=2.0)
            self.doubles.append(nn.Sequential(doubling))
            layers: list[nn.Module] = []
            for channels in (below + skip, width):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=bias), norm_layer(norm, width), nn.ReLU(True)]
            if spade:
                layers.pop()  # the ReLU follows the modulation
                self.spades.append(Spade(len(labels) or in_channels, width, stride=2 ** (4 - len(self.spades))))
            self.filters.append(nn.Sequential(*layers))
            below = width
        self.head = nn.Sequential(nn.Conv2d(below, 4 * out_channels, 3, padding=1), nn.PixelShuffle(2))
        for part in (self.doubles, self.filters, self.head):
            initialise(part)
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                # He et al., arXiv 1502.01852: depthwise filters of N(0, 0.02) would let nothing through.
                nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.groups == 1 else "fan_in")

    def forward(self, x: Tensor) -> Tensor:
        """N, in, H, W in [-1, 1] => N, out, H, W in [-1, 1]; H and W are multiples of 32."""
        self.encoder.recompute = self.recompute
        return mean_with_mirror(self._maps, x) if self.mirrored and not self.training else self._maps(x)

    def _maps(self, x: Tensor) -> Tensor:
        shown = x
        if self.colours is not None:
            apart = (x[:, None, :3] - self.colours.to(x.dtype)).square().sum(2)
            shown = (apart <= apart.amin(1, keepdim=True)).to(x.dtype)
            x = torch.cat([x, shown], 1)
        skips = self.encoder(x)
        x = self.dropout(skips.pop())
        spades = self.spades or [None] * len(self.filters)
        for double, filters, spade in zip(self.doubles, self.filters, spades, strict=True):
            x = segment(partial(_joined, double, filters, spade), x, skips.pop(), shown, recompute=self.recompute)
        # In float32: near -1 and 1, where a mask's colours lie, bfloat16 has no more gradient.
        return torch.tanh(self.head(x).float())


def _joined(
    double: nn.Module, filters: nn.Module, spade: nn.Module | None, x: Tensor, skip: Tensor, shown: Tensor
) -> Tensor:
    """One step of the decoder."""
    x = double(x)
    out: Tensor = filters(torch.cat([x, skip.to(x.dtype)], 1))
    return out if spade is None else F.relu(spade(out, shown))


class Spade(nn.Module):
    """Scale and shift of normalised feature maps, computed at each place from the input: SPADE, arXiv 1903.07291.

    The published layer predicts both by 3x3 convolutions from 128 hidden maps of the label map's nearest pixels. At the
    decoder's fine sizes that would take longer than the decoder: here the hidden maps are few, scale and shift are 1x1
    convolutions of them, and the input is averaged, so that a class thinner than a pixel of the maps is not lost. Both
    begin at 0, so the layer begins as plain normalisation.

    Args:
        shown: Channels of the input: classes of a label map, or those of an image.
        channels: Channels of the normalised maps.
        stride: Pixels of the input for each pixel of the maps.
    """

    def __init__(self, shown: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        hidden, modulation = nn.Conv2d(shown, _HIDDEN, 3, padding=1), nn.Conv2d(_HIDDEN, 2 * channels, 1)
        self.predict = nn.Sequential(hidden, nn.ReLU(True), modulation)
        nn.init.kaiming_normal_(hidden.weight)
        for parameter in modulation.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, shown: Tensor) -> Tensor:
        """Modulate N, C, H, W by N, shown, H * stride, W * stride => N, C, H, W."""
        scale, shift = self.predict(F.avg_pool2d(shown, self.stride)).chunk(2, 1)
        out: Tensor = x * (1 + scale) + shift
        return out


def begin_with_imagenet(network: nn.Module) -> bool:
    """Load ImageNet weights into a network's encoder if it has one and they are installed; return whether it did."""
    if not isinstance(network, EfficientNetUNet) or weight_file(network.encoder.variant) is None:
        return False
    load_imagenet(network.encoder)
    return True
