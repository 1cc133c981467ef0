"""Layers that the networks share."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from calco.networks.config import Norm


def norm_layer(norm: Norm, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """Return a normalisation over NCHW feature maps.

    Instance norm has no scale and shift, as in the reference implementation; group norm takes groups of 16 channels
    (arXiv 1803.08494, section 4.1), or one group when the channels cannot be divided so.
    """
    if norm == "batch":
        return BatchNorm(channels, eps=eps, momentum=momentum)
    if norm == "instance":
        return InstanceNorm(channels)
    if norm == "group":
        return nn.GroupNorm(max(1, channels // 16) if channels % 16 == 0 else 1, channels)
    return nn.Identity()


def mean_with_mirror(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Mean of what a network makes of images and of their mirror images, N, C, H, W, which errs less than either.

    The self-ensemble of Lim et al., arXiv 1707.02921, section 3.4, without its rotations.
    """
    return (network(x) + network(x.flip(3)).flip(3)) / 2


def has_bias(norm: Norm) -> bool:
    """Return whether a convolution before this norm needs a bias: batch and group norm bring their own shift."""
    return norm in ("instance", "none")


_recomputing = False


@contextlib.contextmanager
def _again() -> Iterator[None]:
    """Let batch norm count a batch once, though its feature maps are computed twice."""
    global _recomputing  # noqa: PLW0603  (read by every batch norm of the segment, in this thread)
    before, _recomputing = _recomputing, True
    try:
        yield
    finally:
        _recomputing = before


def segment(function: Callable[..., Tensor], *tensors: Tensor, recompute: bool) -> Tensor:
    """Apply a part of a network, of whose feature maps only input and output are kept if `recompute`.

    The others are computed once more in the backward pass, with the same dropout (Chen et al., arXiv 1604.06174).
    """
    if not (recompute and torch.is_grad_enabled()):
        return function(*tensors)
    out: Tensor = checkpoint(
        function, *tensors, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _again())
    )
    return out


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that also accepts one value per channel, where torch refuses and TensorFlow gives the bare shift."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalise NCHW `x` by the batch's statistics while training, by the running ones otherwise."""
        several = x.numel() > x.shape[1]
        if not self.training or (several and not _recomputing):
            return super().forward(x)
        if several:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0, self.eps)
        if not _recomputing:
            with torch.no_grad():
                self.running_mean.lerp_(x.detach().float().mean((0, 2, 3)), self.momentum)
                self.running_var.mul_(1 - self.momentum)
        return x * 0 + self.bias[None, :, None, None].to(x.dtype)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm without parameters that lets 1x1 maps through: their mean is the value itself."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every map of NCHW `x` by its own mean and variance."""
        return x if x.shape[-1] * x.shape[-2] == 1 else super().forward(x)


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes, and so of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: distributed.ProcessGroup | None) -> Tensor:
        ctx.group, total = group, x.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone()
        distributed.all_reduce(total, group=ctx.group)
        return total, None


class SharedBatchNorm(BatchNorm):
    """Batch norm by the statistics of the batches of all processes, each of the same size: as if they were one batch.

    Torch's own (SyncBatchNorm) knows GPUs only; this one works wherever torch.distributed does. Parameters and buffers
    are those of `norm`, whose place it takes.
    """

    def __init__(self, norm: nn.BatchNorm2d, group: distributed.ProcessGroup | None = None) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        self._buffers.update(norm._buffers)
        self.training, self.group = norm.training, group

    def forward(self, x: Tensor) -> Tensor:
        """Normalise NCHW `x` by the statistics of all processes while training, by the running ones otherwise."""
        if not self.training:
            return super().forward(x)
        world = distributed.get_world_size(self.group)
        full = x.float()
        mean = self._mean(full, world)
        centred = full - mean
        variance = self._mean(centred.square(), world)
        with torch.no_grad():
            count = world * x.numel() // x.shape[1]
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(variance.flatten() * (count / max(1, count - 1)), self.momentum)
        scale = self.weight.view(1, -1, 1, 1) * torch.rsqrt(variance + self.eps)
        out: Tensor = (centred * scale + self.bias.view(1, -1, 1, 1)).to(x.dtype)
        return out

    def _mean(self, x: Tensor, world: int) -> Tensor:
        """Mean of each channel over all processes: 1, C, 1, 1."""
        own = x.mean((0, 2, 3), keepdim=True)
        total: Tensor = _SumOverProcesses.apply(own, self.group)  # type: ignore[no-untyped-call]
        return total / world


def share_batch_norm(network: nn.Module, group: distributed.ProcessGroup | None = None) -> None:
    """Put a SharedBatchNorm in the place of every batch norm of a network."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SharedBatchNorm):
                setattr(parent, name, SharedBatchNorm(child, group))


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
    """Weights of convolutions N(0, 0.02), biases 0, scales of norms N(1, `norm_std`): arXiv 1611.07004, section 6.2."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, 1.0, norm_std)
            nn.init.zeros_(module.bias)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
