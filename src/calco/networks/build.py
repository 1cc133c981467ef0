"""Networks from a configuration."""

from dataclasses import dataclass
from typing import Literal

from calco.errors import CalcoError
from calco.networks.efficientnet_unet import EfficientNetUNet
from calco.networks.generator import Composition, Generator, Holes, channels_seen, maps_drawn
from calco.networks.layers import Norm, Up
from calco.networks.patchgan import PatchGAN
from calco.networks.resnet import ResnetGenerator
from calco.networks.unet import Convention, UNet
from calco.records import check_numbers


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
            raise CalcoError(
                f"generator depth {self.depth}, filters {self.filters}, blocks {self.blocks}: "
                "depth must be 1 to 12, filters 1 to 4096, blocks 1 to 100"
            )
        if not 0 <= self.dropout < 1:
            raise CalcoError(f"generator dropout is {self.dropout}; a probability in [0, 1) is needed")

    @property
    def multiple(self) -> int:
        """Height and width of what the network sees are multiples of this."""
        fixed = {"resnet": ResnetGenerator.depth, "efficientnet-unet": EfficientNetUNet.depth}
        return int(2 ** fixed.get(self.architecture, self.depth))


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


def build_generator(config: GeneratorConfig, in_channels: int, out_channels: int) -> Generator:
    """A generator with fresh weights, drawn from torch's global generator.

    Args:
        config: Its configuration, with a composition that is not "auto".
        in_channels: Channels of the input.
        out_channels: Channels of the target.

    Raises:
        CalcoError: When composition and channels do not fit.
    """
    composition: Composition = "plain" if config.composition == "auto" else config.composition
    holes = _holes(config, composition, in_channels)
    seen = channels_seen(composition, in_channels, out_channels, holes)
    drawn = maps_drawn(composition, out_channels, holes)
    backbone: UNet | ResnetGenerator | EfficientNetUNet
    if config.architecture == "unet":
        backbone = UNet(
            seen,
            drawn,
            depth=config.depth,
            filters=config.filters,
            norm=config.norm,
            dropout=config.dropout,
            dropout_blocks=(0, config.depth - 1) if config.dropout_everywhere else None,
            up=config.up,
            convention=config.convention,
        )
    elif config.architecture == "efficientnet-unet":
        backbone = EfficientNetUNet(
            seen, drawn, filters=config.filters, norm=config.norm, dropout=config.dropout, up=config.up
        )
    else:
        backbone = ResnetGenerator(
            seen,
            drawn,
            blocks=config.blocks,
            filters=config.filters,
            norm=config.norm,
            dropout=config.dropout,
            up=config.up,
        )
    return Generator(backbone, composition=composition, out_channels=out_channels, holes=holes)


def _holes(config: GeneratorConfig, composition: Composition, in_channels: int) -> Holes:
    """How the holes of a configuration are marked in an image of so many channels."""
    if composition == "plain":
        return None
    if config.hole_channel:
        return "channel"
    colour = config.hole or ((255, 0, 255) if composition == "filled" else None)
    # Transparency, where there is any, marks nothing.
    return colour and tuple(value / 127.5 - 1 for value in colour[: 1 if in_channels < 3 else 3])


def build_discriminator(config: DiscriminatorConfig, in_channels: int) -> PatchGAN:
    """A discriminator with fresh weights; `in_channels` counts input and image together."""
    return PatchGAN(
        in_channels,
        patch=config.patch,
        filters=config.filters,
        norm=config.norm,
        convention=config.convention,
    )
