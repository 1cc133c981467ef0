"""The few pieces that the networks share."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx, once_differentiable
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


def depthwise(x: Tensor, weight: Tensor, stride: tuple[int, int], around: tuple[int, int]) -> Tensor:
    """Filters each channel by itself: `F.conv2d` with as many groups as channels.

    oneDNN has quick kernels for the gradients in float32 alone: in bfloat16 those of 5x5 filters, and of filters with
    a stride of 2, take two to some thirty times as long. So on a CPU the gradients are computed in float32.

    Args:
        x: N, C, H, W.
        weight: C, 1, K, K.
        stride: Down and across.
        around: Zeros above and below, left and right.

    Returns:
        N, C, h, w, in what autocast computes in.
    """
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    if x.device.type != "cpu" or not torch.is_grad_enabled() or traced:
        return F.conv2d(x, weight, None, stride, around, 1, weight.shape[0])
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if dtype != torch.bfloat16:
        return F.conv2d(x, weight, None, stride, around, 1, weight.shape[0])
    out: Tensor = _Depthwise.apply(x.to(dtype), weight.to(dtype), stride, around)  # type: ignore[no-untyped-call]
    return out


class _Depthwise(torch.autograd.Function):
    """Forward in the precision of the maps, backward in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], around: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.around = stride, around
        return F.conv2d(x, weight, None, stride, around, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        along_x, along_weight, _ = torch.ops.aten.convolution_backward(
            gradient.float().contiguous(memory_format=layout), x.float(), weight.float(), None,
            ctx.stride, ctx.around, (1, 1), False, (0, 0), weight.shape[0],
            [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False],
        )  # fmt: skip
        along_x = None if along_x is None else along_x.to(x.dtype)
        return along_x, None if along_weight is None else along_weight.to(weight.dtype), None, None
