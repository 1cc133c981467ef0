"""The U-Net generator of pix2pix, in the conventions of its three best-known implementations."""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.errors import CalcoError
from calco.networks.config import Convention, Norm, Up
from calco.networks.cpu.small_maps import DoublingConv, HalvingConv, joined
from calco.networks.layers import ResizeConv, has_bias, initialise, norm_layer, segment


class UNet(nn.Module):
    """An encoder of strided convolutions and a decoder of mirrored ones, joined by skips at every size.

    Without arguments it is the reference network of the PyTorch implementation for 256x256 images. The conventions
    differ in where dropout stands (`pytorch`: the second to fourth up block; `paper` and `tensorflow`: the first to
    third), and `tensorflow` normalises the bottleneck, applies ReLU before the skip joins, and leaks 0.3, not 0.2.
    `dropout_blocks` replaces that by the first and one past the last block, counted from the bottleneck. `up` "resize"
    repeats pixels instead of transposing convolutions.

    Source: Isola et al., arXiv 1611.07004, section 6.1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        depth: int = 8,
        filters: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        dropout_blocks: tuple[int, int] | None = None,
        up: Up = "transpose",
        convention: Convention = "pytorch",
    ) -> None:
        super().__init__()
        if depth < 2 or filters < 1 or not 0 <= dropout < 1:
            raise CalcoError(
                f"a U-Net of depth {depth}, {filters} filters and dropout {dropout} cannot be built; "
                "depth must be at least 2, filters at least 1, dropout in [0, 1)"
            )
        self.depth = depth
        self.recompute = False  # feature maps in the backward pass, to save memory
        self.activated = False  # whether the convolutions activate their outputs, as those of a packed copy do
        self.relu_before_skip = convention == "tensorflow"
        self.slope = 0.3 if convention == "tensorflow" else 0.2
        if dropout_blocks is None:
            dropout_blocks = (1, depth - 4) if convention == "pytorch" else (0, min(3, depth - 1))
        self.widths = widths = [filters * min(2**level, 8) for level in range(depth)]
        bias = has_bias(norm)

        def normed(channels: int) -> nn.Module:
            # Keras' batch norm: epsilon 1e-3, a running mean that keeps 0.99 of itself.
            keras = convention == "tensorflow"
            return norm_layer(norm, channels, eps=1e-3 if keras else 1e-5, momentum=0.01 if keras else 0.1)

        self.downs = nn.ModuleList()
        for level, width in enumerate(widths):
            conv = HalvingConv(in_channels if level == 0 else widths[level - 1], width, bias=bias)
            bare = level == 0 or (level == depth - 1 and convention != "tensorflow")
            self.downs.append(nn.Sequential(conv, nn.Identity() if bare else normed(width)))

        self.ups = nn.ModuleList()
        for block, level in enumerate(reversed(range(depth))):
            width_in = widths[level] * (1 if block == 0 else 2)
            last = level == 0
            width_out = out_channels if last else widths[level - 1]
            conv_bias = True if last else bias
            layers: list[nn.Module] = [
                DoublingConv(width_in, width_out, bias=conv_bias)
                if up == "transpose"
                else ResizeConv(width_in, width_out, bias=conv_bias)
            ]
            if not last:
                layers.append(normed(width_out))
                if dropout_blocks[0] <= block < dropout_blocks[1] and dropout > 0:
                    layers.append(nn.Dropout(dropout))
            self.ups.append(nn.Sequential(*layers))
        initialise(self, norm_std=0.0 if convention == "tensorflow" else 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """N, in, H, W in [-1, 1] => N, out, H, W in [-1, 1]; H and W are multiples of 2 ** depth."""
        last, again = self.depth - 1, self.recompute
        skips: list[Tensor] = []
        for level in range(self.depth):
            x = segment(partial(self._halved, level), x, recompute=again and level < last)
            if level < last:
                skips.append(x)
        x = segment(self.ups[0], x, recompute=again)
        for up in self.ups[1:]:
            x = segment(partial(self._up, up), skips.pop(), x, recompute=again)
        return x if self.activated else torch.tanh(x)

    def _halved(self, level: int, x: Tensor) -> Tensor:
        """Half the size, activated in place; a skip that passes ReLU later is that of its leaky form too."""
        x = self.downs[level](x)
        if self.activated:
            return x
        if self._rectified(level):
            return F.relu(x, inplace=True)
        return F.leaky_relu(x, self.slope, inplace=True)

    def _rectified(self, level: int) -> bool:
        """Whether the output of an encoder's block passes a ReLU that does not leak."""
        return level == self.depth - 1 and not self.relu_before_skip

    def _up(self, up: nn.Module, skip: Tensor, x: Tensor) -> Tensor:
        """Join the skip, in the order and through the activations of each implementation; then double the size."""
        rectified = not self.activated
        if self.relu_before_skip:
            out: Tensor = up(joined(x, skip, rectified=(rectified, False)))
        else:
            out = up(joined(skip, x, rectified=(True, rectified)))
        return out

    def activate(self) -> None:
        """Let the blocks activate their outputs, for use: kernels that do both are faster, and learn nothing."""
        self.activated, last = True, self.depth - 1
        for level, down in enumerate(cast("list[nn.Sequential]", self.downs)):
            down.append(nn.ReLU() if self._rectified(level) else nn.LeakyReLU(self.slope))
        for number, up in enumerate(cast("list[nn.Sequential]", self.ups)):
            # The place before dropout is as good as the one after it, which only scales, and lies at the convolution.
            dropout = [up.pop(-1)] if isinstance(up[-1], nn.Dropout) else []
            up.extend([nn.Tanh() if number == last else nn.ReLU(), *dropout])
