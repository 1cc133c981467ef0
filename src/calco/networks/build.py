"""Networks from a configuration."""

from collections.abc import Sequence

from calco.data.palettes import named_palette
from calco.errors import CalcoError
from calco.networks.bridge import Backbone, Bridge, refiner_channels
from calco.networks.config import Composition, DiscriminatorConfig, GeneratorConfig
from calco.networks.discriminators import MultiScale, PatchGAN, Projected
from calco.networks.efficientnet_unet import EfficientNetUNet
from calco.networks.generator import Generator, Holes, input_channels, output_channels
from calco.networks.resnet import DRUNet, ResnetGenerator
from calco.networks.unet import UNet


def build_generator(config: GeneratorConfig, in_channels: int, out_channels: int) -> Generator:
    """Build a generator with random weights from torch's global random number generator.

    Raises:
        CalcoError: If composition and channels do not fit.
    """
    composition: Composition = "plain" if config.composition == "auto" else config.composition
    holes = _holes(config, composition, in_channels)
    labels = [] if config.labels == "none" else [colour for _, colour in named_palette(config.labels)]
    if labels and (config.architecture != "efficientnet-unet" or composition != "plain" or in_channels < 3):
        raise CalcoError(
            f"labels are for an efficientnet-unet, label maps in colour and composition plain, and the generator is a "
            f"{config.architecture}, the input has {in_channels} channels and the composition is {composition}; give "
            "--generator.labels none"
        )
    channels = (
        input_channels(composition, in_channels, out_channels, holes),
        output_channels(composition, out_channels, holes)
    )  # fmt: skip
    backbone: Backbone | Bridge
    if config.bridge_steps:
        backbone = _bridge(config, in_channels, out_channels, labels)
    else:
        backbone = _backbone(config, *channels, labels)
    return Generator(backbone, composition=composition, out_channels=out_channels, holes=holes)


def _backbone(
    config: GeneratorConfig, in_channels: int, out_channels: int, labels: Sequence[tuple[int, int, int]] = ()
) -> Backbone:
    """Return a network of the architecture; `labels` are the colours of an input's classes."""
    channels = in_channels, out_channels
    if config.architecture == "unet":
        return UNet(
            *channels, depth=config.depth, filters=config.filters, norm=config.norm, dropout=config.dropout,
            dropout_blocks=(0, config.depth - 1) if config.dropout_everywhere else None, up=config.up,
            convention=config.convention,
        )  # fmt: skip
    if config.architecture == "efficientnet-unet":
        return EfficientNetUNet(
            *channels,
            filters=config.filters,
            norm=config.norm,
            dropout=config.dropout,
            up=config.up,
            encoder=config.encoder,
            labels=labels,
            spade=config.spade,
            mirrored=config.mirrored,
        )
    if config.architecture == "drunet":
        return DRUNet(
            *channels, depth=config.depth, blocks=config.blocks, filters=config.filters, norm=config.norm,
            dropout=config.dropout, up=config.up, mirrored=config.mirrored,
        )  # fmt: skip
    return ResnetGenerator(
        *channels, blocks=config.blocks, filters=config.filters, norm=config.norm, dropout=config.dropout, up=config.up,
    )  # fmt: skip


def _bridge(
    config: GeneratorConfig, in_channels: int, out_channels: int, labels: Sequence[tuple[int, int, int]]
) -> Bridge:
    """Return the two networks of a bridge, or the refining one alone if it starts at the input."""
    regression = config.bridge_start == "regression"
    if not regression and (in_channels != out_channels or labels):
        raise CalcoError(
            f"a bridge starts at the input only where that is an image like the target, and it has {in_channels} "
            f"channels{' of classes' if labels else ''}, the target {out_channels}; give --generator.bridge-start "
            "regression"
        )
    seen = refiner_channels(in_channels, out_channels, regression=regression)
    first = _backbone(config, in_channels, out_channels, labels) if regression else None
    return Bridge(_backbone(config, seen, out_channels), first, steps=config.bridge_steps)


def _holes(config: GeneratorConfig, composition: Composition, in_channels: int) -> Holes:
    """Return how the holes of a configuration are marked in an image of so many channels."""
    if composition in ("plain", "residual"):
        return None
    if config.hole_channel:
        return "channel"
    colour = config.hole or ((255, 0, 255) if composition == "filled" else None)
    # Transparency, where there is any, marks nothing.
    return colour and tuple(value / 127.5 - 1 for value in colour[: 1 if in_channels < 3 else 3])


def build_discriminator(
    config: DiscriminatorConfig, in_channels: int, out_channels: int
) -> PatchGAN | MultiScale | Projected:
    """Build a discriminator of inputs and images of so many channels, with random weights."""
    if config.architecture == "projected":
        return Projected(in_channels, config.filters)
    scales = [
        PatchGAN(
            in_channels + out_channels,
            patch=config.patch,
            filters=config.filters,
            norm=config.norm,
            convention=config.convention,
        )
        for _ in range(config.scales)
    ]
    return scales[0] if len(scales) == 1 else MultiScale(scales)
