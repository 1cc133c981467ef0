"""A trained network made ready for use: norms and activations inside the convolutions, weights in order for kernels."""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.networks.efficientnet_lite import SameConv, same_pads
from calco.networks.layers import ResizeConv, SharedBatchNorm
from calco.networks.small_maps import DoublingConv, folded_rows, matrix_of, rows_of
from calco.networks.unet import UNet

Conv = nn.Conv2d | nn.ConvTranspose2d
# Where channels fall to a quarter, and there are so many pairs of them, a product with its sums is twice as fast as
# oneDNN's transposed convolution.
_PAIRS, _FALL = 1024 * 256, 4


class PackedConv(nn.Module):
    """A convolution whose weights oneDNN has put in order once, instead of at every call.

    Args:
        conv: The convolution, plain or transposed.
        norm: The batch norm that follows, whose running statistics become part of weights and bias; or None.
        activation: What follows that, computed while the results are at hand: a ReLU, a leaky one, tanh; or None.
        dtype: What it computes in.
    """

    def __init__(
        self, conv: Conv, norm: nn.BatchNorm2d | None, activation: nn.Module | None, dtype: torch.dtype
    ) -> None:
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
        self.activation = _named(activation)

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, out, h, w."""
        mkldnn = torch.ops.mkldnn
        apply = mkldnn._convolution_transpose_pointwise if self.transposed else mkldnn._convolution_pointwise
        out: Tensor = apply(x, self.weight, self.bias, *self.options, *self.activation)
        return out


class PackedSameConv(nn.Module):
    """A `SameConv` with its weights in order.

    Args:
        conv, norm, activation, dtype: As of `PackedConv`.
    """

    def __init__(
        self, conv: SameConv, norm: nn.BatchNorm2d | None, activation: nn.Module | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = conv.kernel_size, conv.stride
        # Where nothing is skipped, the border is as wide on both sides, and the kernel can mind it by itself.
        self.padded = max(conv.stride) > 1
        if not self.padded:
            conv.padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
        self.conv = PackedConv(conv, norm, activation, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, D, ceil(H / stride), ceil(W / stride)."""
        if self.padded:
            x = F.pad(x, same_pads(x, self.kernel_size, self.stride)).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.conv(x)
        return out


class PackedProduct(nn.Module):
    """A transposed convolution that doubles a map of many channels, as a product with weights in order.

    Args:
        conv, norm, activation, dtype: As of `PackedConv`.
    """

    def __init__(
        self, conv: DoublingConv, norm: nn.BatchNorm2d | None, activation: nn.Module | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        matrix = matrix_of(weight.to(dtype).contiguous(memory_format=torch.channels_last))
        self.weight = torch.ops.mkldnn._reorder_linear_weight(matrix.T.contiguous())
        self.bias = None
        if bias is not None:
            # Of the four products that a pixel is the sum of, one is of these rows and columns.
            spread = torch.zeros(4, 4, bias.shape[0])
            spread[1:3, 1:3] = bias
            self.bias = spread.flatten().to(dtype)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """N, in, h, w => N, out, 2h, 2w."""
        windows = torch.ops.mkldnn._linear_pointwise(rows_of(x), self.weight, self.bias, "none", [], "")
        out = folded_rows(windows, x)
        return out if self.activation is None else torch.as_tensor(self.activation(out))


class PackedUNet(nn.Module):
    """A U-Net ready for use; its maps are activated as they are computed, and joined by copies.

    Args:
        network: The U-Net.
        dtype: What it computes in.
    """

    def __init__(self, network: UNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.relu_before_skip, self.widths = network.relu_before_skip, network.widths
        leaky, relu = nn.LeakyReLU(network.slope, inplace=True), nn.ReLU(inplace=True)
        last = len(network.downs) - 1
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, down in enumerate(cast("list[nn.Sequential]", network.downs)):
            rectified = level == last and not network.relu_before_skip
            self.downs.append(nn.Sequential(*_chain([*down, relu if rectified else leaky], dtype)))
        for number, up in enumerate(cast("list[nn.Sequential]", network.ups)):
            # Dropout may come after the ReLU as well: it only scales.
            layers = [layer for layer in up if not isinstance(layer, nn.Dropout)]
            after = [layer for layer in up if isinstance(layer, nn.Dropout)]
            ending = nn.Tanh() if number == last else relu
            self.ups.append(nn.Sequential(*_chain([*layers, ending], dtype), *after))

    def forward(self, x: Tensor) -> Tensor:
        """As of `UNet`, in its own precision."""
        skips: list[Tensor] = []
        for level in range(len(self.downs)):
            x = self.halved(level, x)
            skips.append(x)
        x = self.doubled(0, skips.pop(), None)
        for number in range(1, len(self.ups)):
            x = self.doubled(number, x, skips.pop())
        return x

    def halved(self, level: int, x: Tensor) -> Tensor:
        """As of `UNet`."""
        out: Tensor = self.downs[level](x)
        return out

    def doubled(self, number: int, x: Tensor, skip: Tensor | None) -> Tensor:
        """As of `UNet`."""
        out: Tensor = self.ups[number](x if skip is None else self._joined(skip, x))
        return out

    def _joined(self, skip: Tensor, x: Tensor) -> Tensor:
        if self.relu_before_skip:
            return torch.cat([x, skip], 1)
        size = (skip.shape[0], skip.shape[1] + x.shape[1], *skip.shape[2:])
        both = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        torch.clamp_min(skip, 0, out=both[:, : skip.shape[1]])
        both[:, skip.shape[1] :].copy_(x)
        return both


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
        network: A U-Net, or convolutions in Sequentials, in float32 on the CPU; it stays as it is.
        dtype: torch.float32 or torch.bfloat16.

    Returns:
        The copy; it takes and gives N, C, H, W of that precision. Its weights cannot be saved.
    """
    kept: dict[int, object] = {id(p): p for p in network.parameters()}  # the copy shares what it will replace
    # Norms that several processes share know these, and processes cannot be copied.
    kept |= {id(norm.group): norm.group for norm in network.modules() if isinstance(norm, SharedBatchNorm)}
    fresh = copy.deepcopy(network, kept).eval()
    if isinstance(fresh, UNet):
        return PackedUNet(fresh, dtype).eval()
    _replace(fresh, dtype)
    return fresh


def can_pack(device: torch.device) -> bool:
    """Whether `packed` works here: on a CPU, with oneDNN in torch."""
    names = (
        "_reorder_convolution_weight",
        "_reorder_convolution_transpose_weight",
        "_reorder_linear_weight",
        "_linear_pointwise",
    )
    return (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, n) for n in names)
    )


def _replace(module: nn.Module, dtype: torch.dtype) -> None:
    """Packs what stands in a network's Sequentials, deep inside."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Sequential):
            setattr(module, name, nn.Sequential(*_chain(list(child), dtype)))
        else:
            # Norms that follow no convolution keep float32: the kernels take it beside maps of bfloat16.
            _replace(child, dtype)


def _chain(layers: list[nn.Module], dtype: torch.dtype) -> list[nn.Module]:
    """Layers one after another, each convolution packed with what directly follows it."""
    chain: list[nn.Module] = []
    layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    while layers:
        layer = layers.pop(0)
        if not isinstance(layer, Conv | ResizeConv):
            _replace(layer, dtype)
            chain.append(layer)
            continue
        norm, activation = (
            layers.pop(0) if layers and isinstance(layers[0], kinds) else None
            for kinds in (nn.BatchNorm2d, nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.Tanh)
        )
        ready = _ready(layer.conv if isinstance(layer, ResizeConv) else layer, norm, activation, dtype)
        if isinstance(layer, ResizeConv):
            layer._modules["conv"] = ready
            chain.append(layer)
        else:
            chain.append(ready)
    return chain


def _ready(conv: Conv, norm: Any, activation: nn.Module | None, dtype: torch.dtype) -> nn.Module:
    """A convolution packed in the fastest way."""
    if isinstance(conv, SameConv):
        return PackedSameConv(conv, norm, activation, dtype)
    if (
        isinstance(conv, DoublingConv)
        and conv.in_channels * conv.out_channels >= _PAIRS
        and conv.in_channels >= _FALL * conv.out_channels
    ):
        return PackedProduct(conv, norm, activation, dtype)
    return PackedConv(conv, norm, activation, dtype)


def _named(activation: nn.Module | None) -> tuple[str, list[float], str]:
    """An activation as the operators of oneDNN call it."""
    if isinstance(activation, nn.LeakyReLU):
        return "leaky_relu", [activation.negative_slope], ""
    if isinstance(activation, nn.ReLU6):
        return "hardtanh", [0.0, 6.0], ""
    return {nn.ReLU: "relu", nn.Tanh: "tanh"}.get(type(activation), "none"), [], ""
