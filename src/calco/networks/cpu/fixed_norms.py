"""Inverted residuals whose batch norms keep their statistics: one function with gradients of its own.

Such a norm is a factor and a shift of each channel. Both belong into the convolution before it: the wide maps, which
take most of the memory, are written once and already clipped, and the gradients of factor and shift come from those of
the weights.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.networks.cpu import depthwise_gradients

Weights = tuple[Tensor, Tensor]
"""Weights and shift of a convolution."""


def with_norm(part: nn.Sequential) -> Weights:
    """Return a convolution without bias that includes the norm after it, with gradients for the parameters of both."""
    conv, norm = part[0], part[1]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


def inverted_residual(
    x: Tensor, widen: Weights, filters: Weights, narrow: Weights, stride: int, padding: int, *, joins: bool,
    dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """Widen, clip to [0, 6], filter by channel, clip and narrow: N, C, H, W => N, D, h, w.

    Args:
        x: Feature maps.
        widen: Weights B, C, 1, 1 and shift B.
        filters: Weights B, 1, K, K and shift B.
        narrow: Weights D, B, 1, 1 and shift D.
        stride: Of the filters.
        padding: Rows and columns of zeros around the wide maps.
        joins: Whether `x` is added.
        dtype: Precision, float32 or bfloat16.
    """
    weights = [each.to(dtype) for part in (widen, filters, narrow) for each in part]
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    out: Tensor = _InvertedResidual.apply(x, *weights, stride, padding, joins)  # type: ignore[no-untyped-call]
    return out


class _InvertedResidual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *given: Any) -> Tensor:
        widen, widen_shift, filters, filters_shift, narrow, narrow_shift, stride, padding, joins = given
        wide = _clipped(x, widen, widen_shift, 1, 0, 1)
        filtered = _clipped(wide, filters, filters_shift, stride, padding, len(filters))
        out = torch.addmm(narrow_shift, _rows(filtered), narrow.flatten(1).T)
        ctx.save_for_backward(x, *given[:6], wide, filtered)
        ctx.options = (stride, padding, joins)
        return _maps(out.add_(_rows(x)) if joins else out, filtered)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, widen, _, filters, _, narrow, _, wide, filtered = ctx.saved_tensors
        stride, padding, joins = ctx.options
        needs_x, learns = ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:7])
        if torch.is_grad_enabled():  # it is differentiated again (create_graph)
            return _plain_gradients(ctx.saved_tensors[:7], ctx.options, ctx.needs_input_grad[:7], gradient)
        to_out = _rows(gradient)
        to_filtered = _unclipped(to_out @ narrow.flatten(1), filtered)
        sides = ((stride, stride), (padding, padding))
        maps, to_filters = depthwise_gradients(_maps(to_filtered, filtered), wide, filters, *sides, (True, learns))
        assert maps is not None
        to_wide = _unclipped(_rows(maps.to(x.dtype)), wide)
        to_x = to_wide @ widen.flatten(1) if needs_x else None
        if to_x is not None:
            to_x = _maps(to_x.add_(to_out) if joins else to_x, x)
        if not learns:
            return to_x, *[None] * 9
        assert to_filters is not None
        to_widen, to_narrow = to_wide.T @ _rows(x), to_out.T @ _rows(filtered)
        weights = (to_widen.view_as(widen), to_filters.to(x.dtype), to_narrow.view_as(narrow))
        shifts = (each.sum(0) for each in (to_wide, to_filtered, to_out))
        return to_x, *(each for pair in zip(weights, shifts, strict=True) for each in pair), None, None, None


def _clipped(x: Tensor, weight: Tensor, shift: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    """Convolve and clip to [0, 6] in one kernel."""
    sides = ([padding] * 2, [stride] * 2, [1, 1], groups)
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, shift, *sides, "hardtanh", [0.0, 6.0], "")
    return out


def _unclipped(gradient: Tensor, clipped: Tensor) -> Tensor:
    """Let rows of a gradient pass where the maps lie between the bounds, in place."""
    rows = _rows(clipped)
    torch.ops.aten.hardtanh_backward.grad_input(gradient, rows, 0.0, 6.0, grad_input=gradient)
    return gradient


def _rows(x: Tensor) -> Tensor:
    """N, C, H, W with channels last => N * H * W, C."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _maps(rows: Tensor, like: Tensor) -> Tensor:
    """N * H * W, C => N, C, H, W with channels last; `like` has that size."""
    n, _, height, width = like.shape
    return rows.view(n, height, width, -1).permute(0, 3, 1, 2)


def _plain_gradients(
    inputs: tuple[Tensor, ...], options: tuple[int, int, bool], needed: tuple[bool, ...], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients by torch's own operations, which can be differentiated again."""
    x, widen, widen_shift, filters, filters_shift, narrow, narrow_shift = inputs
    stride, padding, joins = options
    wide = F.conv2d(x, widen, widen_shift).clamp(0, 6)
    filtered = F.conv2d(wide, filters, filters_shift, stride, padding, 1, len(filters)).clamp(0, 6)
    out = F.conv2d(filtered, narrow, narrow_shift)
    out = x + out if joins else out
    wanted = [each for each, taken in zip(inputs, needed, strict=True) if taken]
    found = iter(torch.autograd.grad(out, wanted, gradient, create_graph=True))
    return *(next(found) if taken else None for taken in needed), None, None, None
