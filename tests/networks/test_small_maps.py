"""Convolutions of small feature maps by matrix products are convolutions, and joined maps are joined maps."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.networks.cpu.packed import PackedProduct, packed
from calco.networks.cpu.small_maps import DoublingConv, HalvingConv, joined

KINDS = {HalvingConv: F.conv2d, DoublingConv: F.conv_transpose2d}


def both_ways(conv: nn.Module, x: Tensor, plain: Callable[[Tensor], Tensor]) -> list[list[Tensor]]:
    """Results and gradients of a layer, and of torch's function on the same weights."""
    given = []
    for way in (conv, plain):
        conv.zero_grad()
        here = x.clone().requires_grad_()
        out = way(here)
        (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        given.append([out.detach(), *(each.grad for each in (here, *conv.parameters()) if each.grad is not None)])
    return given


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (1, 3), (5, 2)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_product_gives_what_the_convolution_gives(kind: type, bias: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = kind(96, 80, bias=bias).to(memory_format=torch.channels_last)
    x = torch.randn(2, 96, *(side * (2 if kind is HalvingConv else 1) for side in size))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert conv(x).is_contiguous(memory_format=torch.channels_last)
    made = conv(x.requires_grad_())
    name = "Halve" if kind is HalvingConv else "Double"
    assert name in str(made.grad_fn.next_functions[0][0] if bias else made.grad_fn)
    ours, theirs = both_ways(conv, x.detach(), lambda x: KINDS[kind](x, conv.weight, conv.bias, stride=2, padding=1))
    assert len(ours) == len(theirs) == 3 + bias
    for mine, wanted in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, wanted, rtol=1e-4, atol=2e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_a_product_computes_in_its_precision(kind: type) -> None:
    torch.manual_seed(0)
    conv = kind(128, 128, bias=True).to(memory_format=torch.channels_last)
    x = torch.randn(1, 128, 4, 4).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = both_ways(conv, x, lambda x: KINDS[kind](x, conv.weight, conv.bias, stride=2, padding=1))
    assert ours[0].dtype == torch.bfloat16
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine.dtype == wanted.dtype
        assert (mine.float() - wanted.float()).abs().max() <= 0.02 * wanted.float().abs().max()


def test_odd_and_large_maps_and_the_plain_network_are_convolved_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = HalvingConv(64, 64, bias=False).to(memory_format=torch.channels_last)
    small = torch.randn(1, 64, 4, 4).contiguous(memory_format=torch.channels_last)
    assert "Halve" in str(conv(small).grad_fn)
    monkeypatch.setenv("CALCO_CPU_KERNELS", "0")
    assert "Halve" not in str(conv(small).grad_fn)
    monkeypatch.delenv("CALCO_CPU_KERNELS")
    for size in ((3, 2), (64, 64)):
        x = torch.randn(1, 64, *size).contiguous(memory_format=torch.channels_last)
        assert torch.equal(conv(x), F.conv2d(x, conv.weight, None, 2, 1))


@pytest.mark.parametrize("rectified", [(True, True), (True, False)])
def test_joined_maps_and_their_gradients(rectified: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [torch.randn(2, width, 3, 5).contiguous(memory_format=torch.channels_last) for width in (3, 4)]
    found = []
    for kernels in ("1", "0"):
        monkeypatch.setenv("CALCO_CPU_KERNELS", kernels)
        here = [part.clone().requires_grad_() for part in parts]
        out = joined(*here, rectified=rectified)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        found.append([out.detach(), *(each.grad for each in here)])
    assert all(torch.equal(*each) for each in zip(*found, strict=True))
    assert all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in found[0][1:])


def test_a_packed_transposed_convolution_to_few_channels_is_a_product() -> None:
    torch.manual_seed(0)
    conv, norm = DoublingConv(1024, 256, bias=True), nn.BatchNorm2d(256)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    network = nn.ModuleList([nn.Sequential(conv, norm, nn.ReLU())]).eval()
    (ready,) = packed(network, torch.float32)
    assert isinstance(ready[0], PackedProduct)
    x = torch.randn(1, 1024, 6, 5).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(ready(x), network[0](x), rtol=1e-3, atol=1e-3)
