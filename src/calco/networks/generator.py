"""A backbone, and how what it draws is joined with its input."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.errors import CalcoError
from calco.networks.resnet import ResnetGenerator
from calco.networks.unet import UNet

Composition = Literal["plain", "gated", "luminance"]
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in the recipe that takes colour away


class Generator(nn.Module):
    """A translator's network: the backbone draws maps, `compose` makes the picture of them.

    - "plain": the maps are the picture, as in pix2pix.
    - "gated": one more map says, pixel by pixel, what is damaged (Pumarola et al., arXiv 1807.09251, equation 1). The
      rest of the input is kept; what is damaged is filled from its surroundings, and the other maps are added to it.
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
            damage = (maps[:, -1:].float() + 1) / 2
            filled = surroundings(base.float(), 1 - damage) + maps[:, :-1].float()
            return damage * filled + (1 - damage) * base
        return base_luminance(x) + (maps - base_luminance(maps))


def surroundings(x: Tensor, known: Tensor) -> Tensor:
    """Fills what is not known from what is known around it, at the finest scale that has something to give.

    The push-pull of Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4: known values are averaged on their way
    down a pyramid, and on the way up they fill the gaps. It is differentiable in both arguments.

    Args:
        x: N, C, H, W.
        known: N, 1, H, W in [0, 1].

    Returns:
        N, C, H, W.
    """
    levels: list[tuple[Tensor, Tensor]] = []
    while True:
        levels.append((x, known))
        if max(x.shape[-2:]) == 1 or len(levels) == 10:
            break
        share = F.avg_pool2d(known, 2, ceil_mode=True)
        x = F.avg_pool2d(x * known, 2, ceil_mode=True) / (share + 1e-4)
        known = (4 * share).clamp(max=1)  # one known pixel of four is enough to go by
    filled = levels.pop()[0]
    while levels:
        x, known = levels.pop()
        up = F.interpolate(filled, x.shape[-2:], mode="bilinear", align_corners=False)
        filled = known * x + (1 - known) * up
    return filled


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
