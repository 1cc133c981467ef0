"""Kernels for a CPU: they compute what torch's own do."""

import copy

import pytest
import torch
from torch.nn import functional as F

from calco.detection.lite import LiteDetector
from calco.detection.network import TargetObjects
from calco.networks.cpu import depthwise, in_shares, pointwise, prefer_onednn, relu6_
from calco.networks.cpu.packed import PackedConv
from calco.networks.efficientnet_lite import InvertedResidual, SameConv
from calco.networks.machine import has_bfloat16


def _last(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("stride", "around"), [(1, 2), (1, 0), (2, 2), (2, 0), (1, 1), (2, 1)])
@pytest.mark.parametrize("size", [(12, 16), (7, 9), (10, 11)])
def test_depthwise_gradients_in_float32_are_those_of_torch(
    kernel: int, stride: int, around: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x, weight = _last(2, 6, *size), torch.randn(6, 1, kernel, kernel, requires_grad=True)
    plain = F.conv2d(x, weight, None, stride, around, 1, 6)
    gradient = torch.randn_like(plain)
    expected = torch.autograd.grad(plain, (x, weight), gradient)
    out = depthwise(x, weight, (stride, stride), (around, around))
    assert torch.equal(out, plain)
    for found, theirs in zip(torch.autograd.grad(out, (x, weight), gradient), expected, strict=True):
        torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(12, 16), (7, 9), (10, 11)])
def test_borders_of_strided_convolutions_need_no_copy(
    kernel: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    conv, x = SameConv(6, 6, kernel, 2, groups=6, bias=False), _last(2, 6, *size)
    learned = []
    for switch in ("1", "0"):
        monkeypatch.setenv("CALCO_CPU_KERNELS", switch)
        out = conv(x)
        learned.append((out, *torch.autograd.grad(out.square().sum(), (x, conv.weight))))
    for ours, theirs in zip(*learned, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        ready = PackedConv(SameConv(6, 6, kernel, 2, groups=6, bias=False), None, None, torch.float32)
        conv.weight.copy_(ready.pads.weight)
        torch.testing.assert_close(ready(x), conv(x), rtol=1e-5, atol=1e-5)


def test_depthwise_gradients_can_be_differentiated_again() -> None:
    """A penalty on the slope of a discriminator does it."""
    torch.manual_seed(0)
    x, weight = _last(2, 4, 8, 8), torch.randn(4, 1, 5, 5, requires_grad=True)
    slopes = []
    for out in (depthwise(x, weight, (1, 1), (2, 2)), F.conv2d(x, weight, None, 1, 2, 1, 4)):
        (slope,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        slopes.append(torch.autograd.grad(slope.square().sum(), weight)[0])
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("biased", [False, True])
def test_pointwise_convolutions_compute_what_torch_does(layout: torch.memory_format, biased: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 6, 7).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(8, 5, 1, 1, requires_grad=True)
    bias = torch.randn(8, requires_grad=True) if biased else None
    inputs = [each for each in (x, weight, bias) if each is not None]
    out, plain = pointwise(x, weight, bias), F.conv2d(x, weight, bias)
    assert out.is_contiguous(memory_format=layout)
    torch.testing.assert_close(out, plain, rtol=1e-5, atol=1e-5)
    gradient = torch.randn_like(plain)
    found, expected = (torch.autograd.grad(each, inputs, gradient) for each in (out, plain))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_1x1_convolutions_of_a_network_are_pointwise_and_others_stay() -> None:
    kinds = {"plain": {}, "strided": {"stride": 2}, "padded": {"padding": 1}, "grouped": {"groups": 2}}
    network = torch.nn.ModuleDict({name: torch.nn.Conv2d(4, 6, 1, **kind) for name, kind in kinds.items()})
    network["normed"] = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(4, 6, 1))
    x = torch.randn(2, 4, 6, 6)
    before = {name: layer.eval()(x) for name, layer in network.items()}
    prefer_onednn(network)
    found = {name for name, layer in network.items() if "_conv_forward" in vars(layer)}
    assert found == {"plain", "normed"}
    for name, layer in copy.deepcopy(network).items():
        torch.testing.assert_close(layer(x), before[name])


def test_clipping_in_place_has_the_bits_of_torch() -> None:
    torch.manual_seed(0)
    start = (torch.randn(2, 5, 6, 7) * 6).requires_grad_()
    results = []
    for clip in (relu6_, F.relu6):
        out = clip(start * 1)
        (slope,) = torch.autograd.grad(out.square().sum(), start, create_graph=True)
        results.append((out, slope, *torch.autograd.grad(slope.square().sum(), start)))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


def _block(kernel: int, stride: int) -> InvertedResidual:
    """A block whose norms have seen other images."""
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, kernel=kernel, stride=stride, expansion=3)
    for layer in block.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(layer.weight, 2.0, 0.3)
            torch.nn.init.normal_(layer.bias, 1.0, 1.0)
    return block.eval().to(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(12, 16), (7, 9), (10, 11)])
def test_blocks_with_fixed_norms_learn_what_torch_does(
    kernel: int, stride: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    block, x = _block(kernel, stride), _last(3, 8, *size)
    learned = []
    for switch in ("1", "0"):
        monkeypatch.setenv("CALCO_CPU_KERNELS", switch)
        out = block(x)
        learned.append((out, *torch.autograd.grad(out.square().sum(), (x, *block.parameters()))))
    for ours, theirs in zip(*learned, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_blocks_with_fixed_norms_can_be_differentiated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = _block(5, 1), _last(2, 8, 8, 8)
    slopes = []
    for switch in ("1", "0"):
        monkeypatch.setenv("CALCO_CPU_KERNELS", switch)
        (slope,) = torch.autograd.grad(block(x).square().sum(), x, create_graph=True)
        slopes.append(torch.autograd.grad(slope.square().sum(), tuple(block.parameters())))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-1)


def test_blocks_with_fixed_norms_train_only_what_is_to_be_trained() -> None:
    block, x = _block(3, 1).requires_grad_(False), _last(2, 8, 8, 8)
    block(x).sum().backward()
    assert x.grad is not None
    assert all(each.grad is None for each in block.parameters())


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="beyond this machine: a processor with bfloat16")
def test_blocks_with_fixed_norms_learn_in_bfloat16() -> None:
    block, x = _block(5, 2), _last(2, 8, 12, 16)
    learned = []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = block(x).float()
        learned.append(torch.autograd.grad(out.sum(), (x, *block.parameters())))
    for ours, exact in zip(*learned, strict=True):
        assert ours.dtype == torch.float32
        assert F.cosine_similarity(ours.flatten(), exact.flatten(), dim=0) > 0.99


@pytest.mark.parametrize("frozen", [0, 2, 3])
@pytest.mark.parametrize("norms", [True, False])
def test_a_detector_learns_the_same_on_them(frozen: int, norms: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = LiteDetector(2, width=16, depth=1).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as if it had been trained
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    network.freeze(frozen, norms=norms)
    network.to(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 64, 64).mul(2).sub(1).contiguous(memory_format=torch.channels_last)
    objects = [TargetObjects(torch.tensor([0]), torch.tensor([[0.5, 0.5, 0.4, 0.3]]), torch.zeros(0, 4))] * 2
    learned = []
    for switch in ("1", "0"):
        monkeypatch.setenv("CALCO_CPU_KERNELS", switch)
        other = copy.deepcopy(network)
        losses = other.losses(images, objects)
        sum(losses.values()).backward()
        gradients = {name: each.grad for name, each in other.named_parameters() if each.grad is not None}
        learned.append((losses, gradients, other.state_dict()))
    (ours, found, state), (plain, expected, theirs) = learned
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    assert found.keys() == expected.keys()
    assert not any(name.startswith("backbone.stem") for name in found) or not frozen
    one, two = (torch.cat([named[name].flatten() for name in expected]) for named in (found, expected))
    assert F.cosine_similarity(one, two, dim=0) > 0.999
    torch.testing.assert_close(state, theirs, rtol=1e-3, atol=1e-4)


def test_frozen_stages_follow_weights_that_are_loaded() -> None:
    torch.manual_seed(0)
    network, other = LiteDetector(1, width=16, depth=1), LiteDetector(1, width=16, depth=1)
    for each in (network, other):
        each.freeze(2)
        each.train()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    before = network.raw(images)[0]
    copied = copy.deepcopy(network)  # as of the average; what is packed is made again
    torch.testing.assert_close(copied.raw(images)[0], before)
    network.load_state_dict(other.state_dict())
    torch.testing.assert_close(network.raw(images)[0], other.raw(images)[0])
    assert not torch.allclose(network.raw(images)[0], before)


@pytest.mark.parametrize("frozen", [0, 2, 5, 7])
def test_threads_share_the_images_of_a_detector(frozen: int) -> None:
    torch.manual_seed(0)
    network = LiteDetector(2, width=16, depth=1).train()
    network.freeze(frozen)
    network.to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 64, 64).mul(2).sub(1).contiguous(memory_format=torch.channels_last)
    objects = [TargetObjects(torch.tensor([0]), torch.tensor([[0.5, 0.5, 0.4, 0.3]]), torch.zeros(0, 4))] * 3
    learned, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            other = copy.deepcopy(network)
            losses = other.losses(images, objects)
            torch.stack(list(losses.values())).sum().backward()
            gradients = {name: each.grad for name, each in other.named_parameters() if each.grad is not None}
            learned.append((losses, gradients, other.state_dict()))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    (alone, expected, state), (shared, found, theirs), (_, again, _) = learned
    torch.testing.assert_close(shared, alone, rtol=1e-5, atol=1e-5)
    assert found.keys() == expected.keys()
    one, two = (torch.cat([named[name].flatten() for name in expected]) for named in (found, expected))
    assert (one - two).norm() < 1e-4 * one.norm()
    torch.testing.assert_close(state, theirs, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(again[name], each) for name, each in found.items())


def test_an_error_of_one_share_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def fails(x: torch.Tensor) -> list[torch.Tensor]:
        if x[0, 0] == 1:
            raise ValueError("the second share")
        return [x]

    with pytest.raises(ValueError, match="the second share"):
        in_shares(fails, [torch.tensor([[0.0], [1.0]])], [])
