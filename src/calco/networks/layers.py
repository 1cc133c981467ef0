"""The few pieces that the networks share."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["batch", "instance", "group", "none"]
Up = Literal["transpose", "resize"]


def norm_layer(norm: Norm, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """A normalisation over NCHW maps.

    Instance norm has no scale and shift, as in the reference implementation; group norm takes groups of 16 channels
    (arXiv 1803.08494, section 4.1), or one group when the channels cannot be divided so.
    """
    if norm == "batch":
        return BatchNorm(channels, eps=eps, momentum=momentum)
    if norm == "instance":
        # At one value per channel the mean is the value itself: it would carry nothing, and torch refuses it.
        return InstanceNorm(channels)
    if norm == "group":
        return nn.GroupNorm(max(1, channels // 16) if channels % 16 == 0 else 1, channels)
    return nn.Identity()


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that also accepts one value per channel, where torch refuses and TensorFlow gives the bare shift."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises NCHW `x` by the batch's statistics while training, by the running ones otherwise."""
        if not self.training or x.numel() > x.shape[1]:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.running_mean.lerp_(x.detach().float().mean((0, 2, 3)), self.momentum)
            self.running_var.mul_(1 - self.momentum)
        return x * 0 + self.bias[None, :, None, None].to(x.dtype)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm without parameters that lets maps of 1x1 through unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises every map of NCHW `x` by its own mean and variance."""
        return x if x.shape[-1] * x.shape[-2] == 1 else super().forward(x)


def has_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm needs a bias: batch and group norm bring their own shift."""
    return norm in ("instance", "none")


class ResizeConv(nn.Module):
    """Doubles height and width by repeating pixels, then a 3x3 convolution.

    Every output pixel is reached by equally many weights, so no checkerboard appears (Odena et al., Deconvolution and
    Checkerboard Artifacts, 2016).
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, out, 2H, 2W."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def initialise(network: nn.Module, *, norm_std: float = 0.02) -> None:
    """Weights of convolutions N(0, 0.02), biases 0, scales of norms N(1, `norm_std`).

    Source: arXiv 1611.07004, section 6.2.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, 1.0, norm_std)
            nn.init.zeros_(module.bias)


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
