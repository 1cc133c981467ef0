"""Kernels for bfloat16 on a CPU, at least 1.15 times as fast as torch's own; `applies` is their one switch."""

import os
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def applies(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether these kernels compute on a device in a precision; `CALCO_CPU_KERNELS=0` turns them off."""
    if device.type != "cpu" or dtype != torch.bfloat16 or os.environ.get("CALCO_CPU_KERNELS") == "0":
        return False
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def depthwise(x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Filter each channel by itself, as `F.conv2d` with as many groups as channels: N, C, H, W; C, 1, K, K.

    oneDNN has fast gradient kernels in float32 only: in bfloat16 those of 5x5 filters, and of filters with a stride
    of 2, take two to some thirty times as long.
    """
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    if traced or not torch.is_grad_enabled() or not applies(x.device, dtype):
        return F.conv2d(x, weight, None, stride, padding, 1, weight.shape[0])
    out: Tensor = _Depthwise.apply(x.to(dtype), weight.to(dtype), stride, padding)  # type: ignore[no-untyped-call]
    return out


class _Depthwise(torch.autograd.Function):
    """Forward in the precision of the feature maps, backward in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        to_x, to_weight, _ = torch.ops.aten.convolution_backward(
            gradient.float().contiguous(memory_format=layout), x.float(), weight.float(), None,
            ctx.stride, ctx.padding, (1, 1), False, (0, 0), weight.shape[0], [*ctx.needs_input_grad[:2], False],
        )  # fmt: skip
        return (
            None if to_x is None else to_x.to(x.dtype),
            None if to_weight is None else to_weight.to(weight.dtype),
            None,
            None,
        )
