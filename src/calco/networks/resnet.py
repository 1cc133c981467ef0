"""Generators of residual blocks: the ResNet of pix2pix, and the DRUNet of image restoration."""

import itertools

from torch import Tensor, nn

from calco.errors import CalcoError
from calco.networks.config import DEPTHS, Norm, Up
from calco.networks.layers import ResizeConv, has_bias, initialise, mean_with_mirror, norm_layer, segment


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions on reflected borders, added to their input (Johnson et al., arXiv 1603.08155)."""

    def __init__(self, channels: int, *, norm: Norm, dropout: float) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
            *([nn.Dropout(dropout)] if dropout > 0 else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, C, H, W."""
        out: Tensor = x + self.body(x)
        return out


class ResnetGenerator(nn.Module):
    """The generator that pix2pix offers beside the U-Net, with 9 blocks for 256x256 images and 6 for 128x128.

    Source: Johnson et al., arXiv 1603.08155, as adapted by Zhu et al., arXiv 1703.10593, section 7.2.
    """

    depth = DEPTHS["resnet"]

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        blocks: int = 9,
        filters: int = 64,
        norm: Norm = "instance",
        dropout: float = 0.0,
        up: Up = "transpose",
    ) -> None:
        super().__init__()
        if blocks < 1 or filters < 1:
            raise CalcoError(
                f"a ResNet of {blocks} blocks and {filters} filters cannot be built; both must be at least 1"
            )
        bias = has_bias(norm)

        def normed(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, norm_layer(norm, channels), nn.ReLU(inplace=True)]

        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            *normed(nn.Conv2d(in_channels, filters, 7, bias=bias), filters),
            *normed(nn.Conv2d(filters, 2 * filters, 3, 2, 1, bias=bias), 2 * filters),
            *normed(nn.Conv2d(2 * filters, 4 * filters, 3, 2, 1, bias=bias), 4 * filters),
            *(ResidualBlock(4 * filters, norm=norm, dropout=dropout) for _ in range(blocks)),
        ]
        for width in (2 * filters, filters):
            conv: nn.Module = (
                nn.ConvTranspose2d(2 * width, width, 3, 2, 1, output_padding=1, bias=bias)
                if up == "transpose"
                else ResizeConv(2 * width, width, bias=bias)
            )
            layers += normed(conv, width)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(filters, out_channels, 7), nn.Tanh()]
        self.recompute = False  # feature maps in the backward pass, to save memory
        self.body = nn.Sequential(*layers)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """N, in, H, W in [-1, 1] => N, out, H, W in [-1, 1]; H and W are multiples of 4."""
        for layer in self.body:
            x = segment(layer, x, recompute=self.recompute and isinstance(layer, ResidualBlock))
        return x


class DRUNet(nn.Module):
    """A U-Net that keeps the image's own size, of residual blocks: for holes and other damage of a few pixels.

    Each of `depth` halvings doubles the channels, up to eight times `filters`; what comes up again is added to the maps
    of its size. At first the output is 0, so that a network that corrects an image begins with no correction. With
    `mirrored`, the output in evaluation mode is the mean of those of the image and of its mirror image.

    Source: Zhang et al., Plug-and-Play Image Restoration with Deep Denoiser Prior, arXiv 2008.13751, section 4.1, which
    has no norm, depth 3, 64 filters and 4 blocks at each size.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        depth: int = 3,
        blocks: int = 4,
        filters: int = 64,
        norm: Norm = "none",
        dropout: float = 0.0,
        up: Up = "transpose",
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.mirrored = mirrored
        self.recompute = False  # feature maps in the backward pass, to save memory
        widths = [filters * 2 ** min(level, 3) for level in range(depth + 1)]

        def level(width: int) -> nn.Sequential:
            return nn.Sequential(*(_Block(width, norm=norm, dropout=dropout) for _ in range(blocks)))

        # Each convolution stands in a Sequential, where `networks/cpu` looks for those to pack.
        self.first = nn.Sequential(nn.Conv2d(in_channels, filters, 3, padding=1))
        self.encoder = nn.ModuleList(level(width) for width in widths)
        self.downs = nn.ModuleList(nn.Sequential(nn.Conv2d(a, b, 2, 2)) for a, b in itertools.pairwise(widths))
        self.ups = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(b, a, 2, 2) if up == "transpose" else ResizeConv(b, a, bias=True))
            for a, b in itertools.pairwise(widths)
        )
        self.decoder = nn.ModuleList(level(width) for width in widths[:-1])
        self.last = nn.Sequential(nn.Conv2d(filters, out_channels, 3, padding=1))
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """N, in, H, W in [-1, 1] => N, out, H, W, after training in [-1, 1]; H and W are multiples of 2 ** depth."""
        if self.training:
            return self._corrections(x)  # a bound would stop learning where the first steps go beyond it
        out = mean_with_mirror(self._corrections, x) if self.mirrored else self._corrections(x)
        return out.clamp(-1, 1)

    def _corrections(self, x: Tensor) -> Tensor:
        x, skips = self.first(x), list[Tensor]()
        for number, blocks in enumerate(self.encoder):
            x = segment(blocks, x, recompute=self.recompute)
            if number < self.depth:
                skips.append(x)
                x = self.downs[number](x)
        for number in reversed(range(self.depth)):
            x = segment(self.decoder[number], self.ups[number](x) + skips[number], recompute=self.recompute)
        out: Tensor = self.last(x).float()
        return out


class _Block(nn.Module):
    """Two 3x3 convolutions added to their input; the second is 0 at first (Zhang et al., Fixup, arXiv 1901.09321)."""

    def __init__(self, channels: int, *, norm: Norm, dropout: float) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, bias=has_bias(norm)) for _ in range(2))
        self.body = nn.Sequential(
            first,
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
            *([nn.Dropout(dropout)] if dropout > 0 else []),
            second,
            norm_layer(norm, channels),
        )
        nn.init.zeros_(second.weight)
        if second.bias is not None:
            nn.init.zeros_(second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, C, H, W."""
        out: Tensor = x + self.body(x)
        return out
