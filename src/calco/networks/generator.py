"""A backbone, and how what it draws is joined with its input."""

from typing import Literal

import torch
from torch import Tensor, nn

from calco.errors import CalcoError
from calco.networks.resnet import ResnetGenerator
from calco.networks.unet import UNet

Composition = Literal["plain", "gated", "luminance"]
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in the recipe that takes colour away


class Generator(nn.Module):
    """A translator's network: the backbone draws maps, `compose` makes the picture of them.

    - "plain": the maps are the picture, as in pix2pix.
    - "gated": one more map says, pixel by pixel, how much of the picture is drawn and how much is the input kept, so
      that what was not damaged need not be redrawn (Pumarola et al., arXiv 1807.09251, equation 1).
    - "luminance": the maps give the colour, the input gives the luminance, which is therefore kept exactly.

    Maps and composition are apart so that a picture may be composed at its full size from maps drawn at a smaller one.

    Args:
        backbone: A network whose outputs lie in [-1, 1], with `maps_needed` channels.
        composition: One of the three above.
        out_channels: Channels of the picture.
    """

    def __init__(self, backbone: UNet | ResnetGenerator, *, composition: Composition, out_channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.composition: Composition = composition
        self.out_channels = out_channels

    @property
    def multiple(self) -> int:
        """Height and width of what goes in must be multiples of this."""
        return int(2**self.backbone.depth)

    def forward(self, x: Tensor) -> Tensor:
        """N, in, H, W in [-1, 1] => N, out, H, W, in [-1, 1] but for what `luminance` overshoots."""
        return self.compose(x, self.backbone(x))

    def compose(self, x: Tensor, maps: Tensor) -> Tensor:
        """Joins input and maps of one size: N, in, H, W and N, maps, H, W => N, out, H, W."""
        if self.composition == "plain":
            return maps
        base = x[:, :1].expand(-1, self.out_channels, -1, -1) if x.shape[1] == 1 else x
        if self.composition == "gated":
            alpha = (maps[:, -1:] + 1) / 2
            return alpha * maps[:, :-1] + (1 - alpha) * base
        return base_luminance(x) + (maps - base_luminance(maps))


def base_luminance(x: Tensor) -> Tensor:
    """The luminance of N, 3, H, W (or of N, 1, H, W: itself) => N, 1, H, W."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(LUMINANCE, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def maps_needed(composition: Composition, in_channels: int, out_channels: int) -> int:
    """How many maps the backbone must draw.

    Raises:
        CalcoError: When input and output do not fit the composition.
    """
    if composition == "gated":
        if in_channels not in (1, out_channels):
            raise CalcoError(
                f"composition gated keeps parts of the input, which has {in_channels} channels and the target "
                f"{out_channels}; give it pictures of equal channels, or choose composition plain"
            )
        return out_channels + 1
    if composition == "luminance" and out_channels != 3:
        raise CalcoError(f"composition luminance makes colour, but the target has {out_channels} channel; choose plain")
    return out_channels
