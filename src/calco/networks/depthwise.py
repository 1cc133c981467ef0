"""A convolution channel by channel that a CPU trains as quickly as it uses it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


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
