"""A network whose images do not depend on each other, with a share of the batch for each thread.

Where each of torch's kernels divides its own work instead, the threads wait for each other hundreds of times in a step,
and whenever one of them is not running because the machine does other work. Here they meet once in each direction.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from calco.networks.cpu import learning_dtype

Network = Callable[..., Sequence[Tensor]]
"""Takes tensors whose first axis is that of the images, and returns such tensors."""

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


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
