"""A trained network made ready for use: batch norm inside the convolutions, weights in order for the fast kernels."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from calco.networks.layers import ResizeConv
from calco.networks.shared_norm import SharedBatchNorm

Conv = nn.Conv2d | nn.ConvTranspose2d


class PackedConv(nn.Module):
    """A convolution whose weights oneDNN has put in order once, instead of at every call.

    Args:
        conv: The convolution, plain or transposed.
        norm: The batch norm that follows, whose running statistics become part of weights and bias; or None.
        dtype: What it computes in.
    """

    def __init__(self, conv: Conv, norm: nn.BatchNorm2d | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.transposed = isinstance(conv, nn.ConvTranspose2d)
        weight, bias = folded(conv, norm)
        self.bias = None if bias is None else bias.to(dtype)
        kind = [conv.output_padding] if isinstance(conv, nn.ConvTranspose2d) else []
        sizes = [conv.padding, *kind, conv.stride, conv.dilation]
        self.options: tuple[Any, ...] = (*(list(size) for size in sizes), conv.groups)
        weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        mkldnn = torch.ops.mkldnn
        order = mkldnn._reorder_convolution_transpose_weight if kind else mkldnn._reorder_convolution_weight
        self.weight = order(weight, *self.options, [])

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, out, h, w."""
        mkldnn = torch.ops.mkldnn
        apply = mkldnn._convolution_transpose_pointwise if self.transposed else mkldnn._convolution_pointwise
        out: Tensor = apply(x, self.weight, self.bias, *self.options, "none", [], "")
        return out


def folded(conv: Conv, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution that does the work of the batch norm after it too, as at use.

    Computed in float64, so that the result is off by one rounding.
    """
    weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    if norm is None:
        return weight, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shape = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    before = 0.0 if bias is None else bias.double()
    shift = norm.bias.detach().double() + (before - norm.running_mean.double()) * scale
    return (weight.double() * scale.view(shape)).to(weight.dtype), shift.to(weight.dtype)


def packed(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of a network for use on the CPU, in one precision: the same results, but for rounding.

    Args:
        network: Of convolutions in Sequentials, in float32 on the CPU; it stays as it is.
        dtype: torch.float32 or torch.bfloat16.

    Returns:
        The copy; it takes and gives N, C, H, W of that precision. Its weights cannot be saved.
    """
    kept: dict[int, object] = {id(p): p for p in network.parameters()}  # the copy shares what it will replace
    # Norms that several processes share know these, and processes cannot be copied.
    kept |= {id(norm.group): norm.group for norm in network.modules() if isinstance(norm, SharedBatchNorm)}
    fresh = copy.deepcopy(network, kept).eval()
    _replace(fresh, dtype)
    return fresh


def can_pack(device: torch.device) -> bool:
    """Whether `packed` works here: on a CPU, with oneDNN in torch."""
    names = ("_reorder_convolution_weight", "_reorder_convolution_transpose_weight")
    return (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, n) for n in names)
    )


def _replace(module: nn.Module, dtype: torch.dtype) -> None:
    names = list(module._modules)
    for place, name in enumerate(names):
        child = module._modules[name]
        if isinstance(child, Conv | ResizeConv):
            norm = None
            if isinstance(module, nn.Sequential) and place + 1 < len(names):
                following = module._modules[names[place + 1]]
                if isinstance(following, nn.BatchNorm2d):
                    norm = following
                    module._modules[names[place + 1]] = nn.Identity()
            if isinstance(child, ResizeConv):
                child._modules["conv"] = PackedConv(child.conv, norm, dtype)
            else:
                module._modules[name] = PackedConv(child, norm, dtype)
        elif child is not None:
            # Norms that follow no convolution keep float32: the kernels take it beside maps of bfloat16.
            _replace(child, dtype)
