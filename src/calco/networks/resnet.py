"""The ResNet generator: two halvings, residual blocks, two doublings."""

from torch import Tensor, nn

from calco.errors import CalcoError
from calco.networks.config import DEPTHS, Norm, Up
from calco.networks.layers import ResizeConv, has_bias, initialise, norm_layer, segment


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
