"""A trained network ready for use on a CPU: norms and activations inside convolutions, packed weights."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.networks.cpu.small_maps import DoublingConv, folded_rows, matrix_of, rows_of
from calco.networks.efficientnet_lite import SameConv, led_by_zeros, same_pads
from calco.networks.layers import ResizeConv, SharedBatchNorm
from calco.networks.unet import UNet

Conv = nn.Conv2d | nn.ConvTranspose2d
# A transposed convolution between at least so many pairs of channels, to a quarter of them or fewer: a product and its
# sums are measured twice as fast as oneDNN's kernel.
_PAIRS, _FALL = 1024 * 256, 4
_AT_ONCE = 1 << 16  # weights that a norm is folded into at a time
_ACTIVATIONS = nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.Tanh


class PackedConv(nn.Module):
    """A convolution whose weights oneDNN has packed once, instead of at every call.

    Args:
        conv: The convolution, plain or transposed.
        norm: Batch norm that follows, folded into weights and bias; or None.
        activation: Activation that follows, computed by the same kernel; or None.
        dtype: Precision.
    """

    def __init__(
        self, conv: Conv, norm: nn.BatchNorm2d | None, activation: nn.Module | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.transposed = isinstance(conv, nn.ConvTranspose2d)
        self.pads: SameConv | None = None
        self.even: PackedConv | None = None  # for even sides, without a copy of the maps for their border
        if isinstance(conv, SameConv):
            if max(conv.stride) > 1:
                self.pads = conv
                if conv.groups > 1 and conv.stride == (2, 2) and conv.kernel_size[0] > 1:
                    self.even = PackedConv(_with_equal_borders(conv), norm, activation, dtype)
            else:  # the border is equally wide on both sides, and the kernel can pad by itself
                conv.padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
        weight, bias = folded(conv, norm)
        self.bias = None if bias is None else bias.to(dtype)
        extra = [conv.output_padding] if isinstance(conv, nn.ConvTranspose2d) else []
        sizes = [conv.padding, *extra, conv.stride, conv.dilation]
        self.options: tuple[Any, ...] = (*(list(size) for size in sizes), conv.groups)
        mkldnn = torch.ops.mkldnn
        pack = mkldnn._reorder_convolution_transpose_weight if extra else mkldnn._reorder_convolution_weight
        self.weight = pack(weight.to(dtype).contiguous(memory_format=torch.channels_last), *self.options, [])
        self.activation: tuple[str, list[float], str] = ("none", [], "")
        if isinstance(activation, nn.LeakyReLU):
            self.activation = ("leaky_relu", [activation.negative_slope], "")
        elif isinstance(activation, nn.ReLU6):
            self.activation = ("hardtanh", [0.0, 6.0], "")
        elif activation is not None:
            self.activation = ("relu" if isinstance(activation, nn.ReLU) else "tanh", [], "")

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, out, h, w."""
        if self.even is not None and x.shape[2] % 2 == x.shape[3] % 2 == 0:
            return self.even(x)  # type: ignore[no-any-return]
        if self.pads is not None:
            padded = F.pad(x, same_pads(x, self.pads.kernel_size, self.pads.stride))
            x = padded.contiguous(memory_format=torch.channels_last)
        mkldnn = torch.ops.mkldnn
        apply = mkldnn._convolution_transpose_pointwise if self.transposed else mkldnn._convolution_pointwise
        out: Tensor = apply(x, self.weight, self.bias, *self.options, *self.activation)
        return out


class PackedProduct(nn.Module):
    """A transposed convolution that doubles a map of many channels, as a product with packed weights.

    Args:
        conv: The convolution.
        norm: As of `PackedConv`.
        activation: As of `PackedConv`.
        dtype: As of `PackedConv`.
    """

    def __init__(
        self, conv: DoublingConv, norm: nn.BatchNorm2d | None, activation: nn.Module | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        matrix = matrix_of(weight.to(dtype).contiguous(memory_format=torch.channels_last))
        self.weight = torch.ops.mkldnn._reorder_linear_weight(matrix.T.contiguous())
        self.bias: Tensor | None = None
        if bias is not None:
            # A pixel is the sum of four windows; these rows and columns of them reach each pixel once.
            spread = torch.zeros(4, 4, bias.shape[0])
            spread[1:3, 1:3] = bias
            self.bias = spread.flatten().to(dtype)
        self.activation = activation or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """N, in, h, w => N, out, 2h, 2w."""
        windows = torch.ops.mkldnn._linear_pointwise(rows_of(x), self.weight, self.bias, "none", [], "")
        out: Tensor = self.activation(folded_rows(windows, x))
        return out


def _ready(conv: Conv, norm: Any, activation: nn.Module | None, dtype: torch.dtype) -> nn.Module:
    """Return a convolution packed in the faster way."""
    pairs = conv.in_channels * conv.out_channels
    if isinstance(conv, DoublingConv) and pairs >= _PAIRS and conv.in_channels >= _FALL * conv.out_channels:
        return PackedProduct(conv, norm, activation, dtype)
    return PackedConv(conv, norm, activation, dtype)


def _with_equal_borders(conv: SameConv) -> nn.Conv2d:
    """Return a convolution with stride 2 that computes the same for even sides, with equal borders all around."""
    size, channels = conv.kernel_size[0], (conv.in_channels, conv.out_channels)
    # On the meta device, since first weights would take random numbers from a run that packs its frozen stages.
    bias = conv.bias is not None
    plain = nn.Conv2d(*channels, size + 1, 2, size // 2, groups=conv.groups, bias=bias, device="meta")
    plain.weight, plain.bias = nn.Parameter(led_by_zeros(conv.weight.detach())), conv.bias
    return plain


def folded(conv: Conv, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution that includes the batch norm after it, with the running statistics."""
    weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    if norm is None:
        return weight, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # In float64, so that the result is off by one rounding.
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shape = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    before = 0.0 if bias is None else bias.double()
    shift = norm.bias.detach().double() + (before - norm.running_mean.double()) * scale
    # A few filters at a time: copies of all weights in float64 would take longer to find memory for than to compute.
    result, scale = torch.empty_like(weight), scale.view(shape)
    some = max(1, _AT_ONCE // max(1, weight[:1].numel()))
    for first in range(0, len(weight), some):
        part = slice(first, first + some)
        result[part] = weight[part].double() * (scale if scale.shape[0] == 1 else scale[part])
    return result, shift.to(weight.dtype)


def packed(network: nn.Module, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """Copy a network of Sequentials for use on the CPU: it computes the same but for rounding, and cannot be saved.

    The copy takes and gives N, C, H, W of that precision; the network, in float32, stays as it is.
    """
    kept: dict[int, object] = {id(p): p for p in network.parameters()}  # the copy shares what it will replace
    # Norms that several processes share know these, and processes cannot be copied.
    kept |= {id(norm.group): norm.group for norm in network.modules() if isinstance(norm, SharedBatchNorm)}
    fresh = copy.deepcopy(network, kept).eval()
    for part in fresh.modules():
        if isinstance(part, UNet):
            part.activate()
    _pack(fresh, dtype)
    return fresh


def _pack(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace each convolution in the Sequentials of a network, with the norm and activation that directly follow."""
    for name, child in list(module.named_children()):
        if not isinstance(child, nn.Sequential):
            # Norms that follow no convolution keep float32: the kernels take it beside maps of bfloat16.
            _pack(child, dtype)
            continue
        chain: list[nn.Module] = []
        layers = [layer for layer in child if not isinstance(layer, nn.Identity)]
        while layers:
            layer = layers.pop(0)
            if not isinstance(layer, Conv | ResizeConv):
                _pack(layer, dtype)
                chain.append(layer)
                continue
            norm: Any = layers.pop(0) if layers and isinstance(layers[0], nn.BatchNorm2d) else None
            activation = layers.pop(0) if layers and isinstance(layers[0], _ACTIVATIONS) else None
            conv = _ready(layer.conv if isinstance(layer, ResizeConv) else layer, norm, activation, dtype)
            if isinstance(layer, ResizeConv):
                layer._modules["conv"] = conv
            chain.append(layer if isinstance(layer, ResizeConv) else conv)
        setattr(module, name, nn.Sequential(*chain))
