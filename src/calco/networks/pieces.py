"""Networks in pieces that fit together exactly, as if they had seen the whole image at once.

A convolution sees a few pixels around each place. Where the norms have fixed statistics, a network's output in an area
therefore depends on that area and a rim only. A deep U-Net's rim is wider than a tile; but its inner levels are small,
so that they are computed for the whole image, and only the outer ones, whose rim is narrow, in tiles.
"""

from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from calco.networks.resnet import ResidualBlock, ResnetGenerator
from calco.networks.unet import UNet

_LEVELS: Final = (5, 6, 7)  # numbers of levels that may be computed in tiles: their rim is 2 ** levels pixels
_INSIDE: Final = 1 << 29  # bytes that the inner feature maps may take
_SMALL_RIM: Final = 256  # pixels of a rim that a tile of a whole network can bear


@dataclass(frozen=True)
class Whole:
    """A network that is applied to areas as a whole; its output depends on at most `rim` pixels around an area."""

    rim: int


@dataclass(frozen=True)
class Split:
    """A U-Net of which the outer `levels` are applied to areas, and the inner ones to the whole image."""

    network: UNet
    levels: int

    @property
    def rim(self) -> int:
        """Number of pixels around an area that its output depends on, at most, besides the inner feature maps.

        A halving sees one pixel beyond its own (4x4, stride 2), so a map of level l sees 2 ** l - 1 pixels of the
        image beyond its area; and a doubling needs one pixel of its level around.
        """
        return int(2**self.levels)

    def encoded(self, x: Tensor) -> Tensor:
        """N, C, h, w => the innermost of the outer feature maps, N, c, h / 2 ** levels, w / 2 ** levels."""
        for level in range(self.levels):
            x = self.network.halved(level, x)
        return x

    def inner(self, encoded: Tensor) -> Tensor:
        """The inner levels applied to the whole of these maps; the result is joined with them and has their size."""
        depth, skips, x = len(self.network.downs), [], encoded
        for level in range(self.levels, depth):
            x = self.network.halved(level, x)
            skips.append(x)
        x = self.network.doubled(0, skips.pop(), None)
        for number in range(1, depth - self.levels):
            x = self.network.doubled(number, x, skips.pop())
        return x

    def decoded(self, x: Tensor, encoded: Tensor, inner: Tensor) -> Tensor:
        """Output for an area, from its input and its part of the other two."""
        depth, skips = len(self.network.downs), []
        for level in range(self.levels - 1):
            x = self.network.halved(level, x)
            skips.append(x)
        skips.append(encoded)
        x = inner
        for number in range(depth - self.levels, depth):
            x = self.network.doubled(number, x, skips.pop())
        return x


def pieces_of(network: nn.Module, pixels: int, bytes_each: int) -> Whole | Split | None:
    """Choose how to apply a network in pieces such that its output is that of the whole, but for rounding.

    Args:
        network: A generator's backbone, packed or not, ready for use.
        pixels: Number of pixels of the image.
        bytes_each: Bytes of a number in its feature maps.

    Returns:
        None if its norms measure each image anew (instance and group norm): no piece knows the whole's statistics.
    """
    if any(isinstance(module, nn.InstanceNorm2d | nn.GroupNorm) for module in network.modules()):
        return None
    if isinstance(network, ResnetGenerator):
        blocks = sum(isinstance(module, ResidualBlock) for module in network.modules())
        # Two convolutions of each block at a quarter of the size; 7x7, two halvings, two doublings, 7x7 around them.
        return Whole(4 * (2 * blocks + 8))
    if not isinstance(network, UNet):
        return None
    depth = len(network.downs)
    alone = Whole(2 ** (depth + 1))
    if depth <= _LEVELS[0]:
        return alone
    splits = [levels for levels in _LEVELS if levels < depth]
    for levels in splits:
        if 2 * pixels // 4**levels * network.widths[levels - 1] * bytes_each <= _INSIDE:
            return Split(network, levels)
    return alone if alone.rim <= _SMALL_RIM else Split(network, splits[-1])
