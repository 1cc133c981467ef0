"""What makes the networks fast and lean does not change what they compute."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from calco import CalcoError
from calco.networks import cpu
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.networks.cpu.packed import folded, packed
from calco.networks.discriminators import PatchGAN
from calco.networks.efficientnet_unet import EfficientNetUNet, Spade
from calco.networks.machine import choose_device, choose_precision, keep_memory
from calco.networks.resnet import DRUNet, ResnetGenerator
from calco.networks.unet import UNet

CPU = torch.device("cpu")


def plain_unet(network: UNet, x: torch.Tensor) -> torch.Tensor:
    """The forward pass of the published implementations, from the same modules, step by step."""
    skips = []
    for level, down in enumerate(network.downs):
        x = down(x if level == 0 else F.leaky_relu(x, network.slope))
        skips.append(x)
    x = skips.pop()
    x = F.leaky_relu(x, network.slope) if network.relu_before_skip else F.relu(x)
    for up in network.ups[:-1]:
        x, skip = up(x), skips.pop()
        if network.relu_before_skip:
            x = torch.cat([F.relu(x), F.leaky_relu(skip, network.slope)], 1)
        else:
            x = F.relu(torch.cat([skip, x], 1))
    return torch.tanh(network.ups[-1](x))


def plain_patchgan(network: PatchGAN, condition: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    x = torch.cat([condition, image], 1)
    for layer in network.body:
        x = F.leaky_relu(x, layer.negative_slope) if isinstance(layer, nn.LeakyReLU) else layer(x)
    return x


def gradients(network, forward, *inputs):
    """Output, gradients of all weights and of the last input, and what batch norm counted; dropout from one seed."""
    network.zero_grad()
    last = inputs[-1].clone().requires_grad_()
    torch.manual_seed(7)
    out = forward(*inputs[:-1], last)
    out.float().square().mean().backward()
    grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return out.detach(), {**grads, "input": last.grad}, {n: b.clone() for n, b in network.named_buffers()}


def some(*shape, layout=torch.channels_last):
    rng = torch.Generator().manual_seed(1)
    return (torch.rand(*shape, generator=rng) * 2 - 1).contiguous(memory_format=layout)


@pytest.mark.parametrize("convention", ["pytorch", "paper", "tensorflow"])
@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
def test_the_unet_computes_what_the_plain_one_does(convention, norm):
    torch.manual_seed(0)
    network = UNet(depth=4, filters=4, convention=convention, norm=norm).to(memory_format=torch.channels_last)
    other = copy.deepcopy(network)
    x = some(3, 3, 32, 32)
    out, grads, buffers = gradients(network, network, x)
    plain, expected, counted = gradients(other, lambda x: plain_unet(other, x), x)
    assert torch.allclose(out, plain, atol=1e-6)
    for name, gradient in expected.items():
        assert torch.allclose(grads[name], gradient, rtol=1e-4, atol=1e-6), name
    assert all(torch.equal(buffers[name], value) for name, value in counted.items())


def test_the_patchgan_computes_what_the_plain_one_does():
    torch.manual_seed(0)
    network = PatchGAN(patch=34, filters=4)
    other = copy.deepcopy(network)
    inputs = some(2, 3, 32, 32), some(2, 3, 32, 32)
    out, grads, _ = gradients(network, lambda *given: network(*given)[0][-1], *inputs)
    plain, expected, _ = gradients(other, lambda *given: plain_patchgan(other, *given), *inputs)
    assert torch.equal(out, plain)
    assert all(torch.equal(grads[name], gradient) for name, gradient in expected.items())


def test_gradients_in_bfloat16_point_where_those_in_float32_do():
    torch.manual_seed(0)
    network = UNet(depth=4, filters=8, dropout=0.0).to(memory_format=torch.channels_last)
    other = copy.deepcopy(network)
    x = some(4, 3, 64, 64)

    def lower(x):
        with torch.autocast("cpu", torch.bfloat16):
            return network(x)

    out, grads, _ = gradients(network, lower, x)
    plain, expected, _ = gradients(other, lambda x: plain_unet(other, x), x)
    assert (out.float() - plain).abs().max() < 0.02
    one, two = (torch.cat([g.flatten() for g in named.values()]) for named in (grads, expected))
    assert F.cosine_similarity(one, two, dim=0) > 0.995


@pytest.mark.parametrize("architecture", ["pytorch", "tensorflow", "resnet", "patchgan", "efficientnet-unet", "drunet"])
def test_checkpointing_gives_the_same_bits(architecture):
    """Outputs, gradients and running statistics, with dropout on."""
    torch.manual_seed(0)
    network: nn.Module
    if architecture == "patchgan":
        network, inputs = PatchGAN(patch=34, filters=4), (some(2, 3, 32, 32), some(2, 3, 32, 32))
    elif architecture == "efficientnet-unet":
        network, inputs = EfficientNetUNet(filters=8, dropout=0.5, spade=True), (some(1, 3, 32, 32),)
    elif architecture == "drunet":
        network, inputs = DRUNet(depth=2, blocks=1, filters=4, dropout=0.5), (some(2, 3, 16, 16),)
    elif architecture == "resnet":
        network, inputs = ResnetGenerator(blocks=2, filters=4, norm="batch", dropout=0.5), (some(2, 3, 16, 16),)
    else:
        # 2 ** 5 pixels of one image: a bottleneck of one value per channel, which batch norm treats apart.
        network, inputs = UNet(depth=5, filters=4, convention=architecture), (some(1, 3, 32, 32),)
    other = copy.deepcopy(network)
    other.recompute = True

    def last(network):
        return (lambda *given: network(*given)[0][-1]) if architecture == "patchgan" else network

    out, grads, buffers = gradients(network, last(network), *inputs)
    again, others, counted = gradients(other, last(other), *inputs)
    assert torch.equal(out, again)
    assert grads.keys() == others.keys()
    assert all(torch.equal(grads[name], others[name]) for name in grads)
    assert all(torch.equal(buffers[name], counted[name]) for name in buffers)


@pytest.mark.parametrize(
    ("architecture", "norm", "up"),
    [
        *(("unet", norm, up) for norm in ("batch", "instance", "group", "none") for up in ("transpose", "resize")),
        *(("resnet", norm, "transpose") for norm in ("batch", "instance", "group", "none")),
        ("resnet", "batch", "resize"),
        *(("efficientnet-unet", "batch", up) for up in ("transpose", "resize")),
        ("spade", "batch", "resize"),
        *(("drunet", norm, up) for norm in ("batch", "none") for up in ("transpose", "resize")),
    ],
)
def test_packed_networks_draw_the_same(architecture, norm, up):
    torch.manual_seed(0)
    more = {"spade": True} if architecture == "spade" else {}
    architecture = "efficientnet-unet" if more else architecture
    config = GeneratorConfig(architecture=architecture, depth=4, filters=8, blocks=2, norm=norm, up=up, **more)
    network = build_generator(config, 3, 3).backbone
    for parameter in network.parameters():
        if architecture == "drunet" and not parameter.any():  # at first
            nn.init.normal_(parameter, 0, 0.02)
    for layer in network.modules():
        if isinstance(layer, Spade):
            nn.init.normal_(layer.predict[2].weight, 0, 0.2)
        if isinstance(layer, nn.BatchNorm2d):  # as if it had been trained
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    network.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = some(2, 3, 64 if architecture == "efficientnet-unet" else 48, 32)
    with torch.inference_mode():
        plain = network(x)
        assert (packed(network, torch.float32)(x) - plain).abs().max() < 1e-5
        if cpu.applies(CPU, torch.bfloat16):
            lower = packed(network)(x.bfloat16()).float()
            assert (lower - plain).abs().max() * 127.5 < 3  # levels of a byte, for the worst pixel of wild weights
            assert (lower - plain).abs().mean() * 127.5 < 0.5
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("conv", [nn.Conv2d(96, 160, 4), nn.ConvTranspose2d(160, 96, 4), nn.Conv2d(8, 4, 3)])
def test_a_norm_folded_into_some_filters_at_a_time_is_as_folded_at_once(conv):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(conv.out_channels).eval()
    for values in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        values.uniform_(0.5, 2)
    weight, bias = folded(conv, norm)
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    along = 1 if isinstance(conv, nn.ConvTranspose2d) else 0
    expected = torch.stack([w * s for w, s in zip(conv.weight.double().unbind(along), scale, strict=True)], along)
    assert torch.equal(weight, expected.float())
    shift = norm.bias.double() + (conv.bias.double() - norm.running_mean.double()) * scale
    assert torch.equal(bias, shift.float())


@pytest.mark.parametrize("convention", ["paper", "tensorflow"])
def test_a_packed_u_net_joins_its_skips_as_its_convention_does(convention):
    """Each has its own order of the parts, and its own place of the ReLU."""
    torch.manual_seed(0)
    network = UNet(depth=4, filters=8, convention=convention).eval()
    x = some(1, 3, 32, 48)
    with torch.inference_mode():
        assert (packed(network, torch.float32)(x) - network(x)).abs().max() < 1e-5


def test_one_switch_turns_the_kernels_off(monkeypatch):
    assert cpu.applies(CPU, torch.float32)
    assert not cpu.applies(CPU, torch.float16)
    assert not cpu.applies(torch.device("meta"), torch.bfloat16)
    monkeypatch.setenv("CALCO_CPU_KERNELS", "0")
    assert not cpu.applies(CPU, torch.float32)
    assert not cpu.applies(CPU, torch.bfloat16)


def test_a_device_or_precision_that_is_not_there_is_said():
    with pytest.raises(CalcoError, match=r"the device abacus cannot be used .*; choose cpu, cuda or auto"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(CalcoError, match=r"the device cuda:3 cannot be used"):
            choose_device("cuda:3")
    with pytest.raises(CalcoError, match="fp16 is for GPUs, and the device is cpu; choose auto, bf16 or fp32"):
        choose_precision("fp16", CPU)
    assert choose_precision("fp32", CPU) == torch.float32
    assert choose_precision("auto", CPU) in (torch.float32, torch.bfloat16)


def test_memory_that_is_kept_can_be_used_again():
    keep_memory()
    for _ in range(3):
        assert float(torch.ones(8 << 20).sum()) == 8 << 20
        assert np.zeros(1 << 20).sum() == 0
