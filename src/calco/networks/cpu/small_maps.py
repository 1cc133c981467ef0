"""Convolutions that halve or double feature maps, as matrix products where maps are small.

In the middle of a U-Net, feature maps have few pixels, and weights millions of numbers. oneDNN's convolutions then
spend most of the time on ordering the weights, anew in every step; a matrix product takes them as they lie in memory.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from calco.networks.cpu import runs

# A product copies each pixel 16 times, a convolution each weight: measured, the product is faster below this many pairs
# of channels for a pixel, forwards and backwards, in bfloat16 and in float32.
_PAIRS_PER_PIXEL = 128


class HalvingConv(nn.Conv2d):
    """A 4x4 convolution with stride 2 and padding 1: `nn.Conv2d`, faster for small feature maps on a CPU."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """N, in, 2h, 2w => N, out, h, w."""
        if x.shape[2] % 2 == x.shape[3] % 2 == 0 and _small(x, self.weight, x.numel() // x.shape[1] // 4):
            return _biased(_Halve.apply(*_cast(x, self.weight)), self.bias)  # type: ignore[no-untyped-call]
        return super().forward(x)


class DoublingConv(nn.ConvTranspose2d):
    """A transposed 4x4 convolution with stride 2 and padding 1: `nn.ConvTranspose2d`, as `HalvingConv`."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """N, in, h, w => N, out, 2h, 2w."""
        if output_size is None and _small(x, self.weight, x.numel() // x.shape[1]):
            return _biased(_Double.apply(*_cast(x, self.weight)), self.bias)  # type: ignore[no-untyped-call]
        return super().forward(x, output_size)


def _small(x: Tensor, weight: Tensor, pixels: int) -> bool:
    """Return whether a product is faster: few pixels beside the weights, on a CPU, with channels last."""
    few = 0 < pixels * _PAIRS_PER_PIXEL <= weight.shape[0] * weight.shape[1]
    return few and weight.is_contiguous(memory_format=torch.channels_last) and runs(x)


def _cast(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in the precision of autocast."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return x.to(dtype).contiguous(memory_format=torch.channels_last), weight.to(dtype)


def _biased(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias.to(x.dtype).view(1, -1, 1, 1)


def rows_of(x: Tensor) -> Tensor:
    """View N, C, h, w as N * h * w, C; weights likewise as a row for each of the first channels."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def matrix_of(weight: Tensor) -> Tensor:
    """View weights small, large, 4, 4 as small, 16 * large: the channels of the smaller and of the larger map."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


def _product(rows: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """Multiply N * h * w, K by K, C => N, C, h, w: a whole tensor, since what follows works in place."""
    size = (rows.shape[0] // (height * width), matrix.shape[1], height, width)
    out = torch.empty(size, dtype=rows.dtype, memory_format=torch.channels_last)
    torch.mm(rows, matrix, out=rows_of(out))
    return out


def windows_of(large: Tensor) -> Tensor:
    """Copy the 4x4 window of each place at a stride of 2, zeros around: N, C, 2h, 2w => N * h * w, 16 * C."""
    n, channels, height, width = large.shape
    padded = F.pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    a, b, c, d = padded.stride()
    seen = padded.as_strided((n, height // 2, width // 2, 4, 4, channels), (a, 2 * b, 2 * c, b, c, d))
    return seen.reshape(-1, 16 * channels)


def folded_rows(windows: Tensor, like: Tensor) -> Tensor:
    """Sum windows into a map, the adjoint of `windows_of`: N * h * w, 16 * C, and N, any, h, w => N, C, 2h, 2w."""
    n, _, height, width = like.shape
    parts = windows.view(n, height, width, 4, 4, -1)
    size = (n, parts.shape[-1], 2 * height, 2 * width)
    out = torch.empty(size, dtype=windows.dtype, memory_format=torch.channels_last)
    pixels = out.permute(0, 2, 3, 1)
    # Row 2i of the map is row 1 of window i and row 3 of window i - 1; row 2i + 1 is row 2 of i and row 0 of i + 1.
    whole, later, earlier = slice(None), slice(1, None), slice(None, -1)
    seen = (((1, whole, whole), (3, later, earlier)), ((2, whole, whole), (0, earlier, later)))
    for top, rows in enumerate(seen):
        for left, columns in enumerate(seen):
            place = pixels[:, top::2, left::2]
            for row, to_row, from_row in rows:
                for column, to_column, from_column in columns:
                    part = parts[:, from_row, from_column, row, column]
                    if row in (1, 2) and column in (1, 2):
                        place.copy_(part)
                    else:
                        place[:, to_row, to_column].add_(part)
    return out


class _Halve(torch.autograd.Function):
    """y = windows(x) W'; so dx = fold(dy W) and dW = dy' windows(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(windows_of(x), matrix_of(weight).T, x.shape[2] // 2, x.shape[3] // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = rows_of(gradient)
        to_x = folded_rows(rows @ matrix_of(weight), gradient) if ctx.needs_input_grad[0] else None
        return to_x, _to_weight(rows, windows_of(x), weight) if ctx.needs_input_grad[1] else None


class _Double(torch.autograd.Function):
    """y = fold(x W); so dx = windows(dy) W' and dW = x' windows(dy)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return folded_rows(rows_of(x) @ matrix_of(weight), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        seen = windows_of(gradient)
        to_x = _product(seen, matrix_of(weight).T, *x.shape[2:]) if ctx.needs_input_grad[0] else None
        return to_x, _to_weight(rows_of(x), seen, weight) if ctx.needs_input_grad[1] else None


def _to_weight(rows: Tensor, windows: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the weights, channels last as they are."""
    # The product reads its left side several times: a copy in order costs less than that.
    matrix = rows.T.contiguous() @ windows
    return matrix.view(weight.shape[0], 4, 4, weight.shape[1]).permute(0, 3, 1, 2)


def joined(first: Tensor, second: Tensor, *, rectified: tuple[bool, bool]) -> Tensor:
    """Join feature maps along the channels, each through a ReLU or not: N, A, H, W and N, B, H, W => N, A + B, H, W.

    The gradients are whole tensors, where those of `torch.cat` are views of a larger one, in which the backward pass of
    batch norm takes some thirty times as long on a CPU; only the result is kept for the backward pass.
    """
    if runs(first) and torch.is_grad_enabled():
        return _Join.apply(first, second, rectified)  # type: ignore[no-any-return, no-untyped-call]
    if not runs(first):
        parts = zip((first, second), rectified, strict=True)
        return torch.cat([F.relu(x) if through else x for x, through in parts], 1)
    layout = torch.channels_last if first.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    width = first.shape[1]
    size = (first.shape[0], width + second.shape[1], *first.shape[2:])
    out = torch.empty(size, dtype=first.dtype, memory_format=layout)
    for x, place, through in zip((first, second), (out[:, :width], out[:, width:]), rectified, strict=True):
        torch.clamp_min(x, 0, out=place) if through else place.copy_(x)  # one pass over the maps, not two
    return out


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, rectified: tuple[bool, bool]) -> Tensor:
        out, width = torch.cat([first, second], 1), first.shape[1]
        for part, through in zip((out[:, :width], out[:, width:]), rectified, strict=True):
            if through:
                part.relu_()
        ctx.save_for_backward(out)
        ctx.width, ctx.rectified = width, rectified
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (out,) = ctx.saved_tensors
        last = gradient.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        parts = []
        for area, through in zip((slice(ctx.width), slice(ctx.width, None)), ctx.rectified, strict=True):
            part = gradient[:, area]
            if through:
                part = torch.ops.aten.threshold_backward(part, out[:, area], 0)
            parts.append(part.contiguous(memory_format=layout))
        return parts[0], parts[1], None
