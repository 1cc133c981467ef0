"""Convolutions that halve or double a map, as matrix products where maps are small; and a dropout that draws bytes.

In the middle of a U-Net the maps have few pixels and the weights millions of numbers. There oneDNN's convolutions on
a CPU mostly put weights in order, anew in every step; a matrix product takes them as they lie.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# A product copies each pixel 16 times, a convolution each weight: measured, the product is faster below this many
# pairs of channels for a pixel, forwards and backwards, in bfloat16 and in float32.
_PAIRS_PER_PIXEL = 128


class HalvingConv(nn.Conv2d):
    """A 4x4 convolution with stride 2 and padding 1: `nn.Conv2d` with a faster way for small maps on a CPU."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """N, in, 2h, 2w => N, out, h, w."""
        if x.shape[2] % 2 == x.shape[3] % 2 == 0 and _small(x, self.weight, x.numel() // x.shape[1] // 4):
            return _biased(_Halve.apply(*_cast(x, self.weight)), self.bias)  # type: ignore[no-untyped-call]
        return super().forward(x)


class DoublingConv(nn.ConvTranspose2d):
    """A transposed 4x4 convolution with stride 2 and padding 1: as above, `nn.ConvTranspose2d` with a faster way."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """N, in, h, w => N, out, 2h, 2w."""
        if output_size is None and _small(x, self.weight, x.numel() // x.shape[1]):
            return _biased(_Double.apply(*_cast(x, self.weight)), self.bias)  # type: ignore[no-untyped-call]
        return super().forward(x, output_size)


class Dropout(nn.Dropout):
    """`nn.Dropout` whose chance on a CPU is a byte for each number, in a tenth of the time.

    There the probability is that of the nearest 256th.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Some numbers become 0 while training, the others grow in proportion."""
        dropped = round(self.p * 256)
        if not self.training or self.inplace or x.device.type != "cpu" or not 0 < dropped < 256 or _traced():
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int32).random_(-(2**31), 2**31)
        drawn = words.view(torch.uint8)[: x.numel()].as_strided(x.shape, torch.empty_like(x, device="meta").stride())
        return x * (drawn >= dropped).to(x.dtype).mul_(256 / (256 - dropped))


def _small(x: Tensor, weight: Tensor, pixels: int) -> bool:
    """Whether a product is the faster way: few pixels beside the weights, on a CPU, the channels lying together."""
    return (
        x.device.type == "cpu"
        and 0 < pixels * _PAIRS_PER_PIXEL <= weight.shape[0] * weight.shape[1]
        and weight.is_contiguous(memory_format=torch.channels_last)
        and not _traced()
    )


def _traced() -> bool:
    """Whether the network is being written down for another program, which knows convolutions better."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def _cast(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in what autocast computes in."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return x.to(dtype).contiguous(memory_format=torch.channels_last), weight.to(dtype)


def _biased(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias.to(x.dtype).view(1, -1, 1, 1)


def rows_of(x: Tensor) -> Tensor:
    """N, C, h, w => N * h * w, C, without a copy; of weights likewise a row for each of the first channels."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def matrix_of(weight: Tensor) -> Tensor:
    """small, large, 4, 4 => small, 16 * large, without a copy: the channels of the smaller and the larger map."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


def _product(rows: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """N * h * w, K times K, C => N, C, h, w: no view, since what follows works in place."""
    size = (rows.shape[0] // (height * width), matrix.shape[1], height, width)
    out = torch.empty(size, dtype=rows.dtype, memory_format=torch.channels_last)
    torch.mm(rows, matrix, out=rows_of(out))
    return out


def windows_of(large: Tensor) -> Tensor:
    """N, C, 2h, 2w => N * h * w, 16 * C: what each place of a stride of 2 sees through 4x4, beyond the edge zeros."""
    n, channels, height, width = large.shape
    padded = F.pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    a, b, c, d = padded.stride()
    seen = padded.as_strided((n, height // 2, width // 2, 4, 4, channels), (a, 2 * b, 2 * c, b, c, d))
    return seen.reshape(-1, 16 * channels)


def folded_rows(windows: Tensor, like: Tensor) -> Tensor:
    """N * h * w, 16 * C => N, C, 2h, 2w: the adjoint of `windows_of`, each pixel the sum of the four that saw it."""
    n, _, height, width = like.shape
    parts = windows.view(n, height, width, 4, 4, -1)
    size = (n, parts.shape[-1], 2 * height, 2 * width)
    out = torch.empty(size, dtype=windows.dtype, memory_format=torch.channels_last)
    pixels = out.permute(0, 2, 3, 1)
    # Of the large map, row 2i is row 1 of window i and row 3 of window i - 1; row 2i + 1 is row 2 of i and row 0 of
    # i + 1.
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
        along_x = folded_rows(rows @ matrix_of(weight), gradient) if ctx.needs_input_grad[0] else None
        return along_x, _along_weight(rows, windows_of(x), weight) if ctx.needs_input_grad[1] else None


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
        along_x = _product(seen, matrix_of(weight).T, *x.shape[2:]) if ctx.needs_input_grad[0] else None
        return along_x, _along_weight(rows_of(x), seen, weight) if ctx.needs_input_grad[1] else None


def _along_weight(rows: Tensor, windows: Tensor, weight: Tensor) -> Tensor:
    """The weight's gradient, with its channels last as the weight has them."""
    # The product reads its left side several times: a copy in order costs less than that.
    matrix = rows.T.contiguous() @ windows
    return matrix.view(weight.shape[0], 4, 4, weight.shape[1]).permute(0, 3, 1, 2)
