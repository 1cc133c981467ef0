"""The facts of the published implementations: sizes, shapes, receptive fields, conventions."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from calco import CalcoError
from calco.errors import UsageError
from calco.networks.build import build_discriminator, build_generator
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.discriminators import PatchGAN
from calco.networks.generator import base_luminance, lab_to_rgb, lightness, nearest_known
from calco.networks.layers import count_parameters
from calco.networks.resnet import DRUNet, ResnetGenerator
from calco.networks.unet import UNet


def total(network: nn.Module) -> int:
    """Trainable parameters and running statistics, as Keras counts."""
    return count_parameters(network) + sum(b.numel() for name, b in network.named_buffers() if "running" in name)


def receptive_field(network: PatchGAN) -> int:
    """Pixels of the image, along one side, that one logit sees."""
    size = 1
    for module in reversed(list(network.body)):
        if isinstance(module, nn.Conv2d):
            size = (size - 1) * module.stride[0] + module.kernel_size[0]
    return size


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: UNet(), 54_413_955),
        (lambda: UNet(depth=7), 41_828_995),
        (lambda: PatchGAN(), 2_768_705),
        (lambda: PatchGAN(patch=16), 139_585),
        (lambda: PatchGAN(patch=286), 11_159_361),
        (lambda: PatchGAN(patch=1), 9_024),
        (lambda: ResnetGenerator(), 11_378_179),
        (lambda: ResnetGenerator(blocks=6), 7_837_699),
        (lambda: UNet(convention="tensorflow"), 54_414_979),
        (lambda: PatchGAN(convention="tensorflow"), 2_768_641),
    ],
)
def test_parameter_counts_are_the_published_ones(network, parameters):
    with torch.device("meta"):  # without drawing fifty million weights
        assert count_parameters(network()) == parameters


def test_totals_with_running_statistics_are_those_of_the_tensorflow_tutorial():
    with torch.device("meta"):
        assert total(UNet(convention="tensorflow")) == 54_425_859
        assert total(PatchGAN(convention="tensorflow")) == 2_770_433


@pytest.mark.parametrize("convention", ["pytorch", "paper", "tensorflow"])
def test_shapes_at_256(convention):
    network = UNet(filters=4, convention=convention).eval()
    seen = []
    for module in [*network.downs, *network.ups]:
        module.register_forward_hook(lambda _m, _i, out: seen.append((out.shape[1], out.shape[2])))
    out = network(torch.zeros(1, 3, 256, 256))
    f = 4
    down = [(f, 128), (2 * f, 64), (4 * f, 32), *[(8 * f, side) for side in (16, 8, 4, 2, 1)]]
    up = [*[(8 * f, side) for side in (2, 4, 8, 16)], (4 * f, 32), (2 * f, 64), (f, 128), (3, 256)]
    assert seen == down + up
    assert out.shape == (1, 3, 256, 256)
    assert out.abs().max() <= 1


def test_the_reference_networks_widths():
    with torch.device("meta"):
        generator, discriminator = UNet(), PatchGAN()
    assert [down[0].out_channels for down in generator.downs] == [64, 128, 256, 512, 512, 512, 512, 512]
    convs = [m for m in discriminator.body if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convs] == [64, 128, 256, 512, 1]


def test_discriminator_shapes_at_256():
    sides = []
    network = PatchGAN().eval()
    for module in network.body:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, out: sides.append(out.shape[2]))
    out = network(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))[0][-1]
    assert sides == [128, 64, 32, 31, 30]
    assert out.shape == (1, 1, 30, 30)


@pytest.mark.parametrize("patch", [1, 16, 34, 70, 142, 286])
def test_a_logit_depends_on_a_patch_of_that_size_and_no_more(patch):
    """Measured by gradients, not by the formula alone."""
    network = PatchGAN(2, patch=patch, filters=2, norm="none")
    assert receptive_field(network) == patch
    side = 2 * patch + 64
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    for p in network.parameters():
        nn.init.constant_(p, 0.1)  # all positive: nothing cancels, nothing dies
    out = network(image.detach(), image)[0][-1]
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    touched = image.grad[0, 0].abs().sum(0).nonzero().flatten()
    assert int(touched.max() - touched.min()) + 1 == patch


def drops(network: UNet) -> list[int]:
    """Sizes of the outputs of the up blocks with dropout, at 256 pixels."""
    return [2 ** (block + 1) for block, up in enumerate(network.ups) if any(isinstance(m, nn.Dropout) for m in up)]


def test_where_dropout_stands():
    assert drops(UNet(filters=1)) == [4, 8, 16]
    assert drops(UNet(filters=1, convention="paper")) == [2, 4, 8]
    assert drops(UNet(filters=1, convention="tensorflow")) == [2, 4, 8]


def test_the_sketch_variant_has_no_norm_and_drops_out_in_every_block_but_the_last():
    config = GeneratorConfig(norm="none", dropout_everywhere=True, filters=2)
    network = build_generator(config, 3, 3).backbone
    assert drops(network) == [2, 4, 8, 16, 32, 64, 128]
    assert not any(isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm) for m in network.modules())
    assert all(m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))


def test_only_tensorflow_normalises_the_bottleneck_and_there_at_batch_1_it_carries_nothing():
    for convention, expected in (("pytorch", False), ("paper", False), ("tensorflow", True)):
        bottleneck = UNet(filters=2, convention=convention).downs[-1]
        assert isinstance(bottleneck[1], nn.BatchNorm2d) is expected
    network = UNet(filters=2, convention="tensorflow").train()
    seen = []
    network.downs[-1].register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    for _ in range(2):
        network(torch.randn(1, 3, 256, 256))
    assert torch.equal(seen[0], seen[1])


def test_leaks_and_initial_weights():
    assert UNet(filters=2).slope == 0.2
    assert UNet(filters=2, convention="tensorflow").slope == 0.3
    torch.manual_seed(0)
    network = UNet(depth=6)
    weight = network.downs[3][0].weight.detach()
    assert float(weight.mean()) == pytest.approx(0, abs=1e-3)
    assert float(weight.std()) == pytest.approx(0.02, rel=0.02)
    gamma = network.downs[3][1].weight.detach()
    assert float(gamma.mean()) == pytest.approx(1, abs=0.01)
    assert float(gamma.std()) == pytest.approx(0.02, rel=0.2)
    assert float(UNet(depth=6, filters=8, convention="tensorflow").downs[3][1].weight.detach().std()) == 0


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("up", ["transpose", "resize"])
def test_every_variant_learns_and_keeps_the_size(norm, up):
    for architecture in ("unet", "resnet", "drunet"):
        config = GeneratorConfig(architecture=architecture, depth=3, filters=4, blocks=1, norm=norm, up=up)
        network = build_generator(config, 1, 3)
        out = network(torch.randn(2, 1, 32, 40))
        assert out.shape == (2, 3, 32, 40)
        out.mean().backward()
        assert all(p.grad is not None for p in network.parameters())


def test_a_drunet_begins_without_a_correction():
    assert not DRUNet(4, depth=2, blocks=1, filters=4)(torch.randn(2, 4, 16, 24)).any()


@pytest.mark.parametrize("architecture", ["drunet", "efficientnet-unet"])
def test_a_mirrored_network_means_image_and_mirror_image_after_training(architecture):
    torch.manual_seed(0)
    config = GeneratorConfig(architecture=architecture, depth=2, blocks=1, filters=4, norm="none", dropout=0)
    plain, mirrored = (build_generator(replace(config, mirrored=with_it), 3, 3) for with_it in (False, True))
    for parameter in plain.parameters():
        if not parameter.any():  # the last convolution of a drunet
            torch.nn.init.normal_(parameter, std=0.02)
    mirrored.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 32, 64)
    assert torch.equal(mirrored(x), plain(x))
    plain.eval(), mirrored.eval()
    other = plain(x.flip(3)).flip(3)
    assert not torch.allclose(plain(x), other, atol=1e-3)
    torch.testing.assert_close(mirrored(x), (plain(x) + other) / 2, atol=1e-6, rtol=0)


def test_only_networks_that_can_are_mirrored():
    with pytest.raises(UsageError, match="generator mirrored .* unet; give --generator.no-mirrored"):
        GeneratorConfig(mirrored=True)


def test_a_residual_composition_begins_with_the_input_and_can_reach_any_colour():
    config = GeneratorConfig(depth=2, filters=4, composition="residual")
    grey, network = torch.rand(1, 1, 8, 8) * 2 - 1, build_generator(config, 1, 3)
    assert torch.equal(network.compose(grey, torch.zeros(1, 3, 8, 8)), grey.expand(-1, 3, -1, -1))
    assert torch.equal(network.compose(-torch.ones(1, 1, 8, 8), torch.ones(1, 3, 8, 8)), torch.ones(1, 3, 8, 8))
    with pytest.raises(CalcoError, match="composition residual keeps parts of the input, which has 2 channels"):
        build_generator(config, 2, 3)


def holed(side=16):
    """A smooth image with a magenta hole, the hole, and the image without it."""
    ramp = torch.linspace(-0.8, 0.8, side)
    whole = torch.stack([ramp.expand(side, side), ramp.expand(side, side).T, torch.zeros(side, side)])[None]
    hole = torch.zeros(1, 1, side, side, dtype=torch.bool)
    hole[..., 5:9, 6:10] = True
    return torch.where(hole, torch.tensor([1.0, -1.0, 1.0]).view(1, 3, 1, 1), whole), hole, whole


def filling():
    return build_generator(GeneratorConfig(depth=2, filters=2, composition="filled", hole=(255, 0, 255)), 3, 3)


def test_filled_changes_holes_alone():
    network = filling()
    x, hole, _ = holed()
    out = network(x)
    assert torch.equal(torch.where(hole, 0, out), torch.where(hole, 0, x))
    assert not torch.isclose(out, x)[hole.expand_as(x)].any()


def test_filled_begins_with_the_surroundings():
    network = filling()
    x, hole, whole = holed()
    out = network.compose(network.prepare(x), torch.zeros(1, 3, 16, 16))
    assert (out - whole)[hole.expand_as(x)].abs().max() < 0.15  # a ramp is nearly restored, with nothing learnt
    assert (network.prepare(x)[:, -1:] == 1).equal(hole)


def test_the_nearest_known_pixel_is_found():
    """Against the plain search through all known pixels."""
    chance = torch.Generator().manual_seed(0)
    known = (torch.rand(3, 1, 37, 50, generator=chance) < 0.02).float()
    known[1, :, 10:, :] = 0
    known[2] = 1
    rows, columns = nearest_known(known).unbind(1)
    for number in range(3):
        seeds = known[number, 0].nonzero().float()
        here = torch.cartesian_prod(torch.arange(37.0), torch.arange(50.0))
        exact = torch.cdist(here, seeds).min(1).values.view(37, 50)
        found = torch.stack([rows[number], columns[number]]).flatten(1).T.float()
        reached = (here - found).norm(dim=1).view(37, 50)
        assert known[number, 0][rows[number], columns[number]].all()
        # Jump flooding errs for a few pixels between seeds, by little.
        assert (reached - exact).max() < 1.5
        assert torch.isclose(reached, exact).float().mean() > 0.99


def test_a_image_that_is_all_hole_stays_finite():
    x = torch.tensor([1.0, -1.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert torch.isfinite(filling()(x)).all()


def test_luminance_is_kept_exactly():
    network = build_generator(GeneratorConfig(depth=2, filters=2, composition="luminance"), 1, 3)
    x = torch.rand(1, 1, 8, 8) - 0.5
    out = network(x)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((out * weights).sum(1, keepdim=True), x, atol=1e-6)


def lab(**options):
    return build_generator(GeneratorConfig(depth=2, filters=2, composition="lab", **options), 1, 3)


def test_lab_agrees_with_others():
    color = pytest.importorskip("skimage.color")
    rgb = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(color.rgb2lab(rgb[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)[None].float()
    assert torch.allclose(lightness(2 * rgb - 1), expected[:, :1], atol=0.02)
    assert torch.allclose(lab_to_rgb(expected[:, :1], expected[:, 1:]), 2 * rgb - 1, atol=0.02)


def test_lightness_is_kept_exactly_also_outside_the_gamut():
    grey = torch.linspace(-1, 1, 256).view(1, 1, 1, 256).expand(1, 1, 64, 256)
    ab = 220 * torch.rand(1, 2, 64, 256, generator=torch.Generator().manual_seed(0)) - 110
    ab.requires_grad_()
    out = lab_to_rgb(lightness(grey), ab)
    assert out.abs().max() <= 1 + 1e-5
    assert (lightness(out) - lightness(grey)).abs().max() < 1e-3
    out.square().sum().backward()
    assert torch.isfinite(ab.grad).all()
    assert (ab.grad.abs().sum(1) > 0)[..., 2:-2].all()  # pale colours are drawn back by their gradient too


def test_lab_draws_two_maps_and_composes_a_grey_image_with_them():
    network = lab()
    x = 2 * torch.rand(1, 1, 8, 8) - 1
    maps = network.backbone(network.prepare(x))
    assert maps.shape == (1, 2, 8, 8)
    assert torch.allclose(lightness(network(x)), lightness(x), atol=1e-3)
    assert torch.allclose(network.compose(x, torch.zeros_like(maps)), x.expand(-1, 3, -1, -1), atol=1e-4)


@pytest.mark.parametrize("composition", ["luminance", "lab"])
def test_colour_is_added_everywhere_and_lightness_in_holes_alone(composition):
    network = build_generator(GeneratorConfig(depth=2, filters=2, composition=composition, hole_channel=True), 2, 3)
    known = torch.ones(1, 1, 8, 8)
    known[..., 2:5, 3:6] = -1
    x = torch.rand(1, 1, 8, 8) - 0.5
    out = network(torch.cat([torch.where(known > 0, x, 0.9), known], 1))
    changed = (lightness(out) - lightness(x)).abs() if composition == "lab" else (base_luminance(out) - x).abs()
    assert (changed[known > 0] < 1e-3).all()
    assert (changed[known < 0] > 1e-3).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_holes_told_by_a_channel_are_redrawn_whatever_stands_in_them(channels):
    config = GeneratorConfig(depth=2, filters=2, composition="filled", hole_channel=True)
    network = build_generator(config, channels + 1, channels).eval()
    x = torch.rand(2, channels, 8, 8)
    known = torch.ones(2, 1, 8, 8)
    known[..., 2:5, 3:6] = -1
    first, second = (network(torch.cat([torch.where(known > 0, x, fill), known], 1)) for fill in (-1.0, 0.7))
    assert torch.equal(first, second)
    assert torch.equal(torch.where(known > 0, first, 0), torch.where(known > 0, x, 0))


def test_a_coloured_hole_in_a_grey_image():
    network = build_generator(GeneratorConfig(depth=2, filters=2, composition="filled", hole=(255, 0, 255)), 3, 1)
    x, hole, _ = holed()
    grey = torch.where(hole, x, x[:, :1].expand(-1, 3, -1, -1))
    out = network(grey)
    assert out.shape == (1, 1, 16, 16)
    assert torch.allclose(out[~hole], x[:, :1][~hole], atol=1e-6)


def test_what_cannot_be_built_is_said():
    with pytest.raises(CalcoError, match="70 pixels|receptive field of 71"):
        PatchGAN(patch=71)
    with pytest.raises(CalcoError, match="depth 1"):
        UNet(depth=1)
    with pytest.raises(CalcoError, match="filled keeps parts of the input"):
        build_generator(GeneratorConfig(depth=2, composition="filled"), 4, 3)
    with pytest.raises(CalcoError, match="luminance makes colour"):
        build_generator(GeneratorConfig(depth=2, composition="luminance"), 1, 1)
    with pytest.raises(CalcoError, match="lab makes colour of grey"):
        build_generator(GeneratorConfig(depth=2, composition="lab"), 4, 3)


def test_configured_discriminator():
    network = build_discriminator(DiscriminatorConfig(patch=16, filters=8), 1, 3)
    assert isinstance(network, PatchGAN)
    assert receptive_field(network) == 16
    assert network(torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 32, 32))[0][-1].shape[:2] == (1, 1)
