"""Networks in pieces that fit together exactly, as if they had seen the whole image at once.

A convolution sees a few pixels around each place. Where the norms have fixed statistics, what a network draws in an
area therefore depends on that area and a rim alone. A deep U-Net's rim is wider than a tile; but its inner levels are
small, so that they are computed for the whole image, and only the outer ones, whose rim is narrow, in tiles.
"""

from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from calco.networks.packed import PackedUNet
from calco.networks.resnet import ResidualBlock, ResnetGenerator
from calco.networks.unet import UNet

_LEVELS: Final = (5, 6, 7)  # how many levels may be drawn in tiles: their rim is 2 ** levels pixels
_INSIDE: Final = 1 << 29  # bytes that the inner maps may take
_SMALL_RIM: Final = 256  # pixels of a rim that a tile of a whole network can bear


@dataclass(frozen=True)
class Whole:
    """A network that is applied to areas, whole.

    Attributes:
        rim: Pixels around an area that what is drawn in it depends on, at most.
    """

    rim: int


@dataclass(frozen=True)
class Split:
    """A U-Net of which the outer levels are applied to areas, and the inner ones to the whole image.

    Attributes:
        network: The U-Net.
        levels: How many are outer: the inner maps have a 2 ** levels-th of the image's sides.
    """

    network: UNet | PackedUNet
    levels: int

    @property
    def rim(self) -> int:
        """Pixels around an area that what is drawn in it depends on, at most, beside the inner maps.

        A halving sees one pixel beyond its own (4x4, stride 2), so a map of level l sees 2 ** l - 1 pixels of the
        image beyond its area; and a doubling needs one pixel of its level around.
        """
        return int(2**self.levels)

    def encoded(self, x: Tensor) -> Tensor:
        """N, C, h, w => the innermost of the outer maps, N, c, h / 2 ** levels, w / 2 ** levels."""
        for level in range(self.levels):
            x = self.network.halved(level, x)
        return x

    def inner(self, encoded: Tensor) -> Tensor:
        """What the inner levels make of the whole of these maps: what is joined with them, of the same size."""
        depth, skips, x = len(self.network.downs), [], encoded
        for level in range(self.levels, depth):
            x = self.network.halved(level, x)
            skips.append(x)
        x = self.network.doubled(0, skips.pop(), None)
        for number in range(1, depth - self.levels):
            x = self.network.doubled(number, x, skips.pop())
        return x

    def decoded(self, x: Tensor, encoded: Tensor, inner: Tensor) -> Tensor:
        """The maps of an area, from it and from its part of the other two."""
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
    """How a network is applied to an image in pieces so that it draws what it would draw at once, but for rounding.

    Args:
        network: A generator's backbone, packed or not, ready for use.
        pixels: Of the image.
        bytes_each: Of a number in its maps.

    Returns:
        None when its norms measure each image anew (instance and group norm): no piece knows what they would find.
    """
    if any(isinstance(module, nn.InstanceNorm2d | nn.GroupNorm) for module in network.modules()):
        return None
    if isinstance(network, UNet | PackedUNet):
        return _of_unet(network, pixels, bytes_each)
    if isinstance(network, ResnetGenerator):
        blocks = sum(isinstance(module, ResidualBlock) for module in network.modules())
        # Two convolutions of each block at a quarter of the size; 7x7, two halvings, two doublings, 7x7 around them.
        return Whole(4 * (2 * blocks + 8))
    return None


def _of_unet(network: UNet | PackedUNet, pixels: int, bytes_each: int) -> Whole | Split:
    depth = len(network.downs)
    alone = Whole(2 ** (depth + 1))
    if depth <= _LEVELS[0]:
        return alone
    splits = [levels for levels in _LEVELS if levels < depth]
    for levels in splits:
        if 2 * pixels // 4**levels * network.widths[levels - 1] * bytes_each <= _INSIDE:
            return Split(network, levels)
    return alone if alone.rim <= _SMALL_RIM else Split(network, splits[-1])
