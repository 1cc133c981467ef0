"""Convolutions by products are convolutions; a dropout by bytes is a dropout."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from calco.networks.small_maps import DoublingConv, Dropout, HalvingConv


def both_ways(conv, x, plain):
    """Results and gradients of a layer, and of torch's function on the same weights."""
    given = []
    for way in (conv, plain):
        conv.zero_grad()
        here = x.clone().requires_grad_()
        out = way(here)
        (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        bias = () if conv.bias is None else (conv.bias.grad,)
        given.append((out.detach(), here.grad, conv.weight.grad, *bias))
    return given


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4), (1, 3), (5, 2)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", [HalvingConv, DoublingConv])
def test_a_product_gives_what_the_convolution_gives(kind, bias, size):
    torch.manual_seed(0)
    conv = kind(96, 80, bias=bias).to(memory_format=torch.channels_last)
    halves = kind is HalvingConv
    x = torch.randn(2, 96, *(side * (2 if halves else 1) for side in size))
    x = x.contiguous(memory_format=torch.channels_last)
    apply = F.conv2d if halves else F.conv_transpose2d
    with torch.no_grad():
        assert conv(x).is_contiguous(memory_format=torch.channels_last)
    made = conv(x.requires_grad_())
    assert ("Halve" if halves else "Double") in str(made.grad_fn.next_functions[0][0] if bias else made.grad_fn)
    ours, theirs = both_ways(conv, x.detach(), lambda x: apply(x, conv.weight, conv.bias, stride=2, padding=1))
    for mine, wanted in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, wanted, rtol=1e-4, atol=2e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", [HalvingConv, DoublingConv])
def test_under_autocast_a_product_computes_in_its_precision(kind):
    torch.manual_seed(0)
    conv = kind(128, 128, bias=True).to(memory_format=torch.channels_last)
    x = torch.randn(1, 128, 4, 4).contiguous(memory_format=torch.channels_last)
    apply = F.conv2d if kind is HalvingConv else F.conv_transpose2d
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = both_ways(conv, x, lambda x: apply(x, conv.weight, conv.bias, stride=2, padding=1))
    assert ours[0].dtype == torch.bfloat16
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine.dtype == wanted.dtype
        assert (mine.float() - wanted.float()).abs().max() <= 0.02 * wanted.float().abs().max()


def test_odd_and_large_maps_are_convolved_by_torch():
    conv = HalvingConv(64, 64, bias=False).to(memory_format=torch.channels_last)
    for size in ((3, 2), (64, 64)):
        x = torch.randn(1, 64, *size).contiguous(memory_format=torch.channels_last)
        assert "Halve" not in str(conv(x).grad_fn)
        assert torch.equal(conv(x), F.conv2d(x, conv.weight, None, 2, 1))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(p, layout):
    layer = Dropout(p).train()
    x = torch.ones(3, 7, 129, 65).contiguous(memory_format=layout).requires_grad_()
    torch.manual_seed(1)
    out = layer(x)
    out.sum().backward()
    out = out.detach()
    share = float((out == 0).float().mean())
    assert abs(share - p) < 0.01
    assert abs(float(out.mean()) - 1) < 0.02
    assert len(out.unique()) == 2
    assert torch.equal(x.grad, out)  # what was dropped learns nothing
    places = (out == 0).flatten()
    assert abs(float((places[1:] & places[:-1]).float().mean()) - p * p) < 0.01  # neighbours know nothing of each other
    torch.manual_seed(1)
    assert torch.equal(layer(x), out)
    assert torch.equal(layer.eval()(x), x)


def test_the_layers_are_torchs_own_to_whoever_looks_for_those():
    assert isinstance(HalvingConv(3, 4, bias=True), nn.Conv2d)
    assert isinstance(DoublingConv(3, 4, bias=True), nn.ConvTranspose2d)
    assert isinstance(Dropout(), nn.Dropout)
