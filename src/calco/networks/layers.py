"""The few pieces that the networks share."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from calco.networks.config import Norm


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


_recomputing = False


@contextlib.contextmanager
def _again() -> Iterator[None]:
    """Batch norm counts a batch once, though its maps are computed twice."""
    global _recomputing  # noqa: PLW0603  (read by every batch norm of the segment, in this thread)
    before, _recomputing = _recomputing, True
    try:
        yield
    finally:
        _recomputing = before


def segment(function: Callable[..., Tensor], *tensors: Tensor, recompute: bool) -> Tensor:
    """Applies a part of a network, of whose maps only input and output are kept if `recompute`.

    The others are computed once more in the backward pass, with the same dropout (Chen et al., arXiv 1604.06174).

    Args:
        function: The part.
        tensors: Its inputs.
        recompute: Whether memory counts for more than time.
    """
    if not (recompute and torch.is_grad_enabled()):
        return function(*tensors)
    out: Tensor = checkpoint(
        function, *tensors, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _again())
    )
    return out


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that also accepts one value per channel, where torch refuses and TensorFlow gives the bare shift."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises NCHW `x` by the batch's statistics while training, by the running ones otherwise."""
        if not self.training or x.numel() > x.shape[1]:
            if self.training and _recomputing:
                # Into copies: checkpointing wants the same tensors kept as at the first time.
                assert self.running_mean is not None
                assert self.running_var is not None
                assert self.momentum is not None
                mean, variance = self.running_mean.clone(), self.running_var.clone()
                return F.batch_norm(x, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)
            return super().forward(x)
        if _recomputing:
            return x * 0 + self.bias[None, :, None, None].to(x.dtype)
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


class _Join(torch.autograd.Function):
    """Two maps along the channels, each through a ReLU or not."""

    @staticmethod
    def forward(first: Tensor, second: Tensor, rectified: tuple[bool, bool]) -> Tensor:
        joined = torch.cat([first, second], 1)
        width = first.shape[1]
        if all(rectified):
            return joined.relu_()
        for part, through in zip((joined[:, :width], joined[:, width:]), rectified, strict=True):
            if through:
                part.relu_()
        return joined

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, tuple[bool, bool]], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.width, ctx.rectified = inputs[0].shape[1], inputs[2]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (joined,) = ctx.saved_tensors
        last = gradient.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        parts = []
        for area, through in zip((slice(ctx.width), slice(ctx.width, None)), ctx.rectified, strict=True):
            part = gradient[:, area]
            if through:
                part = torch.ops.aten.threshold_backward(part, joined[:, area], 0)
            parts.append(part.contiguous(memory_format=layout))
        return parts[0], parts[1], None


def join(first: Tensor, second: Tensor, *, rectified: tuple[bool, bool]) -> Tensor:
    """Joins two maps along the channels: N, A, H, W and N, B, H, W => N, A + B, H, W.

    The same as `cat` of the two, or of ReLU of them. But the gradients are whole tensors, where those of `cat` are
    views of a larger one, in which batch norm's backward pass takes some thirty times as long on a CPU; and of all that
    is computed, the result alone is kept for the backward pass.

    Args:
        first: The first maps.
        second: The second maps.
        rectified: Which of them pass a ReLU.
    """
    if written_down():
        return torch.cat(
            [F.relu(x) if through else x for x, through in zip((first, second), rectified, strict=True)], 1
        )
    joined: Tensor = _Join.apply(first, second, rectified)  # type: ignore[no-untyped-call]
    return joined


def written_down() -> bool:
    """Whether the network is being written down for another program, which knows no functions of our own."""
    return torch.compiler.is_exporting() or torch._C._get_tracing_state() is not None


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
