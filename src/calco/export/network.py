"""A backbone as other programs like it: norms inside the convolutions, no custom functions, any size."""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from calco.networks.efficientnet_lite import SameConv, for_even_sides
from calco.networks.layers import InstanceNorm
from calco.networks.packed import folded


class AnySizeNorm(nn.Module):
    """`InstanceNorm` whose rule for maps of one pixel holds at whatever size the graph is run, not only when made."""

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalises every map of NCHW `x`, but for maps of 1x1."""
        away = x - x.mean((2, 3), keepdim=True)
        count = torch.ones_like(x[:1, :1]).sum((2, 3), keepdim=True)
        return torch.where(count > 1, away * (away.square().mean((2, 3), keepdim=True) + self.eps).rsqrt(), x)


def portable(backbone: nn.Module) -> nn.Module:
    """A copy of a trained backbone for a graph: the same results, but for rounding.

    Args:
        backbone: On the CPU, in float32; it stays as it is.
    """
    made = copy.deepcopy(backbone).cpu().float().eval().requires_grad_(False)
    _fold(made)
    _fix(made)
    return made.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]


def _fold(module: nn.Module) -> None:
    before: nn.Module | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, InstanceNorm):
            setattr(module, name, AnySizeNorm(child))
        elif isinstance(child, nn.BatchNorm2d) and isinstance(module, nn.Sequential):
            conv = _convolution(before)
            if conv is not None:
                weight, bias = folded(conv, child)
                assert bias is not None
                conv.weight, conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
                setattr(module, name, nn.Identity())
        else:
            _fold(child)
        before = child


def _fix(module: nn.Module) -> None:
    """Gives convolutions that look at the size of their maps the border that all even sizes have."""
    for name, child in list(module.named_children()):
        if isinstance(child, SameConv):
            setattr(module, name, for_even_sides(child))
        else:
            _fix(child)


def _convolution(module: nn.Module | None) -> nn.Conv2d | nn.ConvTranspose2d | None:
    """The convolution that a module is, or ends in."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return module
    inner = getattr(module, "conv", None)
    return cast("nn.Conv2d | None", inner) if isinstance(inner, nn.Conv2d) else None
