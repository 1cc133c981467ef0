"""Kernels for a CPU, at least 1.15 times as fast as torch's own; `enabled` is their one switch.

A network whose images do not depend on each other gets a share of the batch for each thread (`in_shares`). Where each
of torch's kernels divides its own work instead, the threads wait for each other hundreds of times in a step, and
whenever one of them is not running because the machine does other work. Here they meet once in each direction.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Network = Callable[..., Sequence[Tensor]]
"""Takes tensors whose first axis is that of the images, and returns such tensors."""

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def enabled(device: torch.device) -> bool:
    """Return whether these kernels compute on a device; `CALCO_CPU_KERNELS=0` turns them off."""
    return device.type == "cpu" and os.environ.get("CALCO_CPU_KERNELS") != "0" and torch.backends.mkldnn.is_available()


def applies(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether these kernels compute on a device in a precision."""
    if dtype != torch.bfloat16:
        return dtype == torch.float32 and enabled(device)
    return enabled(device) and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def runs(x: Tensor) -> bool:
    """Return whether these kernels compute `x`; compilers and exporters see torch's own operations instead."""
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return enabled(x.device) and not traced


def learning_dtype(x: Tensor) -> torch.dtype | None:
    """Return the precision in which the kernels for training compute `x`; None where they do not."""
    if not torch.is_grad_enabled() or not runs(x):
        return None
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    return dtype if applies(x.device, dtype) else None


def prefer_onednn(network: nn.Module) -> None:
    """Let `pointwise` compute the 1x1 convolutions of a network."""
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or module.groups > 1 or module.padding_mode != "zeros":
            continue
        if module.kernel_size == module.stride == (1, 1) and module.padding in ((0, 0), "same", "valid"):
            vars(module)["_conv_forward"] = pointwise


def depthwise(x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Filter each channel by itself, as `F.conv2d` with as many groups as channels: N, C, H, W; C, 1, K, K.

    oneDNN has fast gradient kernels in float32 only, and for weights only up to three columns: all others take two to
    some thirty times as long.
    """
    dtype = learning_dtype(x)
    if dtype is None:
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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        found = depthwise_gradients(gradient, x, weight, ctx.stride, ctx.padding, ctx.needs_input_grad[:2])
        return *(None if each is None else each.to(x.dtype) for each in found), None, None  # type: ignore[return-value]


def depthwise_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int],
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """Return the gradients of a depthwise convolution's input and weights in float32, as far as they are wanted."""
    layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    gradient, x, weight = gradient.float().contiguous(memory_format=layout), x.float(), weight.float()
    # A gradient that is differentiated again (create_graph) needs torch's own formula.
    splits = wanted[1] and layout is torch.channels_last and not torch.is_grad_enabled()
    splits &= _can_split(x, weight, stride, padding)
    to_x, to_weight = _gradients(gradient, x, weight, stride, padding, (wanted[0], wanted[1] and not splits))
    if splits:
        to_weight = _split_weight_gradient(gradient, x, weight, stride, padding)
    return to_x, to_weight


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int],
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """Return the gradients of `depthwise_gradients` by torch's own kernel."""
    if not any(wanted):
        return None, None
    to_x, to_weight, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), weight.shape[0], [*wanted, False]
    )
    return to_x, to_weight


def _can_split(x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> bool:
    """Return whether `_split_weight_gradient` holds."""
    around = tuple(weight.shape[2:]), stride, padding[1]
    if around in (((4, 4), (2, 2), 1), ((6, 6), (2, 2), 2)):
        return x.shape[3] % 2 == 0
    return around in (((5, 5), (1, 1), 2), ((5, 5), (2, 2), 0), ((5, 5), (2, 2), 2))


def _split_weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Gradient of weights with four to six columns from kernels of three, which oneDNN computes many times as fast.

    In NHWC, a row of W pixels with C channels lies in memory as W / 2 pixels with 2C channels: first the even columns'
    channels, then the odd ones'. In that view a step of one pixel is a step of two columns, so a kernel of three
    columns has every other one of up to six; the rest come from the plain maps or, at a stride of 2, from the odd half.

    Args:
        gradient: Of the output, N, C, h, w `float32`, channels last.
        x: Input, N, C, H, W `float32`, channels last.
        weight: C, 1, K, K.
        stride: (1, 1) or (2, 2).
        padding: Rows and columns.

    Returns:
        C, 1, K, K.
    """
    (channels, _, rows, columns), (down, across) = weight.shape, padding
    x, beside = _even(x), (across + 1) // 2
    if stride == (1, 1):
        gradient = _even(gradient)
        odd = _of_three(gradient, x, rows, (1, 1), (down, across - 1)).unbind(-1)[::2]
        both = _of_three(_paired(gradient), _paired(x), rows, (1, 1), (down, beside))
        even = both.view(2, channels, 1, rows, 3).sum(0).unbind(-1)
        return torch.stack((even[0], odd[0], even[1], odd[1], even[2]), -1)
    both = _of_three(torch.cat((gradient, gradient), 1), _paired(x), rows, (2, 1), (down, beside))
    halves = both.view(2, channels, 1, rows, 3)
    # Column c of the kernel meets pixel 2 i + c - across of the row: of half h and place i + (c - across - h) / 2.
    places = [((column - across) % 2, (column - across) // 2 + beside) for column in range(columns)]
    return torch.stack([halves[half, ..., place] for half, place in places], -1)


def _of_three(gradient: Tensor, x: Tensor, rows: int, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Gradient of the weights of a depthwise kernel with three columns: C, 1, rows, 3."""
    to_weight = _gradients(gradient, x, x.new_empty(x.shape[1], 1, rows, 3), stride, padding, (False, True))[1]
    assert to_weight is not None
    return to_weight


def _even(x: Tensor) -> Tensor:
    """N, C, H, W with a column of zeros more if W is odd."""
    return F.pad(x, (0, 1)).contiguous(memory_format=torch.channels_last) if x.shape[3] % 2 else x


def _paired(x: Tensor) -> Tensor:
    """View N, C, H, W as N, 2C, H, W / 2: the channels of the even columns, then those of the odd ones."""
    n, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, height, width // 2, 2 * channels).permute(0, 3, 1, 2)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Mix the channels of each pixel, as `F.conv2d` with a 1x1 kernel: N, C, H, W; D, C, 1, 1 => N, D, H, W.

    With channels last this is one matrix product. In float32, with one thread and batches below 16, torch leaves other
    layouts to `_slow_conv2d`, in both passes, unless they are dilated (`use_mkldnn` in
    aten/src/ATen/native/Convolution.cpp), which changes nothing about a filter of one pixel.
    """
    if learning_dtype(x) == torch.float32 and x.is_contiguous(memory_format=torch.channels_last):
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    return F.conv2d(x, weight, bias, dilation=2 if runs(x) else 1)


def relu6_(x: Tensor) -> Tensor:
    """Clip `x` to [0, 6] in place, as `F.relu6(x, inplace=True)` does, which keeps a copy of `x` for its gradient."""
    if learning_dtype(x) is None:
        return F.relu6(x, inplace=True)
    out: Tensor = _ReLU6.apply(x)  # type: ignore[no-untyped-call]
    return out


class _ReLU6(torch.autograd.Function):
    """The gradient passes where the output lies between the bounds, and the next layer keeps that anyway."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x.clamp_(0, 6))
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (out,) = ctx.saved_tensors
        to_x: Tensor = torch.ops.aten.hardtanh_backward(gradient, out, 0.0, 6.0)
        return to_x


def in_shares(network: Network, inputs: Sequence[Tensor], weights: Iterable[nn.Parameter]) -> Sequence[Tensor]:
    """Compute a network in training, with a share of the images for each of torch's threads.

    Outputs and gradients are those of the whole batch but for rounding: gradients are summed over the shares in their
    order, so that the same number of threads gives the same bits. With one thread, and where the kernels of this
    package do not compute, the network is called as it is.

    Args:
        network: Called by several threads at once; must treat each image by itself, without random numbers.
        inputs: Its inputs, N, ... each.
        weights: Its parameters.
    """
    if learning_dtype(inputs[0]) is None:  # asked first: an exporter must not see the number of images fixed
        return network(*inputs)
    threads = min(torch.get_num_threads(), len(inputs[0]))
    if threads < 2:
        return network(*inputs)
    trained = [weight for weight in weights if weight.requires_grad]
    out: Sequence[Tensor] = _Shares.apply(network, threads, len(inputs), *inputs, *trained)  # type: ignore[no-untyped-call]
    return out


class _Shares(torch.autograd.Function):
    """Each share has a graph of its own, which the backward pass follows in a thread too."""

    @staticmethod
    def forward(ctx: Any, network: Network, threads: int, count: int, *given: Tensor) -> tuple[Tensor, ...]:
        inputs, ctx.trained, needed = given[:count], given[count:], ctx.needs_input_grad[3:]

        def share(images: slice, _: int) -> tuple[list[Tensor], Sequence[Tensor]]:
            with torch.enable_grad():
                parts = [each[images].detach().requires_grad_(needed[place]) for place, each in enumerate(inputs)]
                return parts, network(*parts)

        ctx.shares = _each(threads, len(inputs[0]), share)
        outputs = [torch.cat(each).detach() for each in zip(*(made for _, made in ctx.shares), strict=True)]
        ctx.learns = [each.requires_grad for each in ctx.shares[0][1]]
        ctx.mark_non_differentiable(*(each for each, learns in zip(outputs, ctx.learns, strict=True) if not learns))
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[3 : len(ctx.needs_input_grad) - len(ctx.trained)]

        def share(images: slice, number: int) -> tuple[Tensor, ...]:
            parts, made = ctx.shares[number]
            pairs = zip(made, gradients, ctx.learns, strict=True)
            outputs, slopes = zip(*((out, slope[images]) for out, slope, learns in pairs if learns), strict=True)
            return torch.autograd.grad(outputs, [*(each for each in parts if each.requires_grad), *ctx.trained], slopes)

        found = list(zip(*_each(len(ctx.shares), len(gradients[0]), share), strict=True))
        to_inputs = iter([torch.cat(each) for each in found[: sum(needed)]])
        to_weights = [sum(others, first) for first, *others in found[sum(needed) :]]
        return None, None, None, *(next(to_inputs) if each else None for each in needed), *to_weights


def _each(threads: int, count: int, compute: Callable[[slice, int], Any]) -> list[Any]:
    """Call `compute` with the places of each share of the images, and its number, in a thread of its own each."""
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, "calco-share", torch.set_num_threads, (1,))
    # Torch keeps these for each thread.
    enabled, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    recording = torch.is_grad_enabled()

    def share(number: int) -> Any:
        images = slice(count * number // threads, count * (number + 1) // threads)
        with torch.set_grad_enabled(recording), torch.autocast("cpu", dtype, enabled=enabled):
            return compute(images, number)

    return list(_pools[threads].map(share, range(threads)))
