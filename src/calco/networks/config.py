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
    """The network that draws."""

    architecture: Literal["unet", "resnet", "efficientnet-unet"] = "unet"
    """unet keeps detail by skips at every size; resnet works at a quarter of the size; efficientnet-unet has an encoder
    that has seen ImageNet, for few images."""
    pretrained: bool = True
    """Whether efficientnet-unet begins with ImageNet's weights, where calco[backbone] is installed."""
    depth: int = 8
    """How often the U-Net halves the size; images are padded to multiples of 2 ** depth."""
    filters: int = 64
    """Channels after the first convolution; of efficientnet-unet, in the decoder at a quarter of the size."""
    blocks: int = 9
    """Residual blocks of the ResNet."""
    norm: Norm = "batch"
    """Normalisation."""
    dropout: float = 0.5
    """Probability of dropout in the decoder (U-Net), the blocks (ResNet) or the innermost maps (efficientnet-unet)."""
    dropout_everywhere: bool = False
    """Dropout in every up block of the U-Net but the last, as for sketches without normalisation."""
    up: Up = "transpose"
    """Transposed convolutions, or resized maps and a convolution (no checkerboards, slower)."""
    convention: Convention = "pytorch"
    """Which published implementation the details follow."""
    composition: Composition | Literal["auto"] = "auto"
    """How the drawing joins the input: plain, luminance or lab (both add colour alone), filled (redraws holes alone);
    auto takes luminance or lab for colorize, filled for erase, plain otherwise."""
    hole: tuple[int, int, int] | None = None
    """Red, green and blue of what is to be redrawn, 0 to 255; by default the colour that erase leaves."""
    hole_channel: bool = False
    """What is to be redrawn is told by the input's last channel, as erase makes one, and not by a colour."""

    def __post_init__(self) -> None:
        """Checks what the networks would refuse later."""
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
        """Height and width of what the network sees are multiples of this."""
        return 1 << DEPTHS.get(self.architecture, self.depth)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The network that judges."""

    patch: Literal[1, 16, 34, 70, 142, 286] = 70
    """Side of the patch that one judgement sees, in pixels."""
    filters: int = 64
    """Channels after the first convolution."""
    norm: Norm = "batch"
    """Normalisation."""
    convention: Convention = "pytorch"
    """Which published implementation the details follow."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        check_numbers(self, filters=(1, 4096))
