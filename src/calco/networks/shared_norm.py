"""Batch norm whose batch is that of all processes together."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from calco.networks.layers import BatchNorm


class SharedBatchNorm(BatchNorm):
    """Batch norm by the statistics of the batches of all processes, each of the same size: as if they were one batch.

    Torch's own (SyncBatchNorm) knows GPUs alone; this one works wherever torch.distributed does. Every process gets the
    same running statistics. Its parameters and buffers have the names of the norm that it stands for.

    Args:
        norm: The norm whose place it takes; parameters and buffers become its own, not copies of them.
        group: The processes, as torch.distributed knows them.
    """

    def __init__(self, norm: nn.BatchNorm2d, group: distributed.ProcessGroup | None = None) -> None:
        momentum = 0.1 if norm.momentum is None else norm.momentum
        super().__init__(norm.num_features, eps=norm.eps, momentum=momentum, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.training, self.group = norm.training, group

    def forward(self, x: Tensor) -> Tensor:
        """Normalises NCHW `x` by the statistics of all processes while training, by the running ones otherwise."""
        if not self.training:
            return super().forward(x)
        mean, var = _statistics(x.detach(), self.group)
        if self.running_mean is not None and self.running_var is not None:
            self._remember(mean, var, x.numel() // x.shape[1] * distributed.get_world_size(self.group))
        out: Tensor = _Normalise.apply(x, self.weight, self.bias, mean, var, self.eps, self.group)  # type: ignore[no-untyped-call]
        return out

    def _remember(self, mean: Tensor, var: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = self.momentum or 0.0
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * (count / max(1, count - 1)), momentum)


def share_batch_norm(network: nn.Module, group: distributed.ProcessGroup | None = None) -> None:
    """Puts a SharedBatchNorm in the place of every batch norm of a network."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SharedBatchNorm):
                setattr(parent, name, SharedBatchNorm(child, group))


def _statistics(x: Tensor, group: distributed.ProcessGroup | None) -> tuple[Tensor, Tensor]:
    """Mean and variance (of the whole, not estimated) of each channel over the batches of all processes, `float32`."""
    world, channels = distributed.get_world_size(group), x.shape[1]
    # Given buffers of float32, torch gathers in float32 whatever the maps are; what it puts into them is not needed.
    unused = torch.zeros(channels, device=x.device), torch.zeros(channels, device=x.device)
    own = torch.cat(torch.batch_norm_update_stats(x, *unused, 0.0))
    every = own.new_empty(world * own.numel())
    distributed.all_gather_single(every, own, group=group)
    means, variances = every.view(world, 2, channels).unbind(1)
    # Chan et al., Algorithms for computing the sample variance, 1983, equation 2.1, for parts of one size.
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


class _Normalise(torch.autograd.Function):
    """Ioffe and Szegedy, arXiv 1502.03167, section 3, with the sums of the backward pass taken over all processes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float, group: Any
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps, ctx.group = eps, group
        return torch.batch_norm(x, weight, bias, mean, var, False, 0.0, eps, False)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved: Any = ctx
        x, weight, mean, var = saved.saved_tensors
        count = x.numel() // x.shape[1] * distributed.get_world_size(saved.group)
        deviation = torch.rsqrt(var + saved.eps)
        like_x = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        # As if mean and variance were constants; the two sums are what they add, and the parameters' gradients.
        bare, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0].contiguous(memory_format=like_x), x, weight, mean, var, mean, deviation,
            False, saved.eps, [True, True, True],
        )  # fmt: skip
        sums = torch.cat([d_weight.float(), d_bias.float()])
        distributed.all_reduce(sums, group=saved.group)
        along_x, along_one = (sums / count).view(2, -1)
        # dx = w / s * (dy - mean(dy) - (x - m) / s * mean(dy * (x - m) / s)), whose last two parts are linear in x.
        slope = -weight * deviation.square() * along_x
        shift = -weight * deviation * along_one
        rest = torch.batch_norm(x, slope, shift, mean, torch.ones_like(var), False, 0.0, 0.0, False)
        return bare.add_(rest), d_weight, d_bias, None, None, None, None
