"""Configurations of the networks: plain data, importable without torch."""

from dataclasses import dataclass
from typing import Final, Literal

from calco.errors import UsageError
from calco.records import check_numbers

Composition = Literal["plain", "luminance", "lab", "filled"]
Norm = Literal["batch", "instance", "group", "none"]
Up = Literal["transpose", "resize"]
Convention = Literal["pytorch", "paper", "tensorflow"]
DEPTHS: Final = {"resnet": 2, "efficientnet-unet": 5}
"""How often the networks whose depth is not configurable halve the size."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The network that generates."""

    architecture: Literal["unet", "resnet", "efficientnet-unet"] = "unet"
    """unet keeps detail by skips at every size; resnet works at a quarter of the size; efficientnet-unet has an encoder
    pretrained on ImageNet, for few images."""
    pretrained: bool = True
    """Start efficientnet-unet with ImageNet weights if calco[backbone] is installed."""
    depth: int = 8
    """Number of times that the U-Net halves the size; images are padded to multiples of 2 ** depth."""
    filters: int = 64
    """Channels after the first convolution; of efficientnet-unet, in the decoder at a quarter of the size."""
    blocks: int = 9
    """Number of residual blocks of the ResNet."""
    norm: Norm = "batch"
    """Normalisation."""
    dropout: float = 0.5
    """Probability of dropout in the decoder (U-Net), the blocks (ResNet) or the innermost maps (efficientnet-unet)."""
    dropout_everywhere: bool = False
    """Dropout in every up block of the U-Net but the last, as for sketches without normalisation."""
    up: Up = "transpose"
    """Transposed convolutions, or resized maps and a convolution (no checkerboards, slower)."""
    convention: Convention = "pytorch"
    """Published implementation that the details follow."""
    composition: Composition | Literal["auto"] = "auto"
    """How the output is combined with the input: plain, luminance or lab (both add colour only), filled (holes only);
    auto takes luminance or lab for colorize, filled for erase, plain otherwise."""
    hole: tuple[int, int, int] | None = None
    """Red, green and blue of holes, 0 to 255; by default the colour that erase leaves."""
    hole_channel: bool = False
    """Holes are marked by the input's last channel, as erase makes one, and not by a colour."""

    def __post_init__(self) -> None:
        """Check what the networks would refuse later."""
        check_numbers(self, hole=(0, 255))
        if not 1 <= self.depth <= 12 or not 1 <= self.filters <= 4096 or not 1 <= self.blocks <= 100:
            raise UsageError(
                f"generator depth {self.depth}, filters {self.filters}, blocks {self.blocks}: "
                "depth must be 1 to 12, filters 1 to 4096, blocks 1 to 100"
            )
        if not 0 <= self.dropout < 1:
            raise UsageError(f"generator dropout is {self.dropout}; a probability in [0, 1) is needed")

    @property
    def multiple(self) -> int:
        """Divisor of the height and width that the network takes."""
        return 1 << DEPTHS.get(self.architecture, self.depth)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The network that discriminates."""

    patch: Literal[1, 16, 34, 70, 142, 286] = 70
    """Side of the patch that one logit sees, in pixels."""
    filters: int = 64
    """Channels after the first convolution."""
    norm: Norm = "batch"
    """Normalisation."""
    convention: Convention = "pytorch"
    """Published implementation that the details follow."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_numbers(self, filters=(1, 4096))
