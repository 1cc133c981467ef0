"""The diffusion bridge: its closed form against simulation, its noise, and the network that samples from it."""

import math

import pytest
import torch

from calco.errors import CalcoError
from calco.networks.bridge import (
    VARIANCE,
    Bridge,
    between,
    emphasis,
    noise_share,
    pixel_noise,
    step_back,
    training_shares,
)
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.networks.cpu.packed import packed


def small(**options) -> Bridge:
    torch.manual_seed(0)
    settings = {"architecture": "unet", "depth": 3, "filters": 4, "dropout": 0.5, "bridge_steps": 3, **options}
    backbone = build_generator(GeneratorConfig(**settings), 3, 3).backbone
    assert isinstance(backbone, Bridge)
    return backbone.eval()


def trained(**options) -> Bridge:
    """A bridge whose refining network says something: its last layer is no longer zero."""
    bridge = small(**options)
    with torch.no_grad():
        for parameter in bridge.refiner.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return bridge


def image(height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_the_noise_grows_from_0_to_all_of_it_and_is_symmetric():
    time = torch.linspace(0, 1, 101, dtype=torch.float64)
    shares = noise_share(time)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert (shares.diff() > 0).all()
    torch.testing.assert_close(shares + shares.flip(0), torch.ones(101, dtype=torch.float64))


def test_the_variance_is_the_integral_of_the_published_rates():
    # 1,000 rates between 1e-4 and 3e-4, linear in the root; the first 500, and these again in reverse.
    rates = torch.linspace(math.sqrt(1e-4), math.sqrt(3e-4), 1000, dtype=torch.float64)[:500].square()
    assert pytest.approx(2 * rates.sum().item(), rel=0.002) == VARIANCE
    quarter = noise_share(torch.tensor(0.25, dtype=torch.float64)).item()
    assert pytest.approx(rates[:250].sum().item() / (2 * rates.sum().item()), abs=0.002) == quarter


def test_the_state_is_the_target_at_time_0_and_the_start_at_time_1():
    target, start, noise = torch.randn(3, 2, 1, 4, 4)
    for time, expected in ((0.0, target), (1.0, start)):
        share = noise_share(torch.full((2, 1, 1, 1), time, dtype=torch.float64)).float()
        torch.testing.assert_close(between(target, start, share, noise), expected)


def test_the_closed_form_agrees_with_a_simulated_brownian_bridge():
    torch.manual_seed(0)
    steps, paths, target, start = 400, 20_000, -0.4, 0.7
    walk = (torch.randn(steps, paths) * math.sqrt(VARIANCE / steps)).cumsum(0)
    share = 0.3
    at = walk[round(share * steps) - 1]
    tied = target + share * (start - target) + at - share * walk[-1]
    ours = between(
        torch.full((paths, 1, 1, 1), target), torch.full((paths, 1, 1, 1), start), torch.tensor(share),
        torch.randn(paths, 1, 1, 1),
    )  # fmt: skip
    assert ours.mean().item() == pytest.approx(tied.mean().item(), abs=0.006)
    assert ours.var().item() == pytest.approx(tied.var().item(), rel=0.04)
    assert ours.var().item() == pytest.approx(VARIANCE * share * (1 - share), rel=0.04)


def test_steps_back_with_the_true_target_pass_through_the_closed_form():
    torch.manual_seed(0)
    target, start = (torch.full((40_000, 1, 1, 1), value) for value in (-0.4, 0.7))
    state = start
    for now, then in ((1.0, 0.8), (0.8, 0.5), (0.5, 0.2)):
        state = step_back(state, target, now, then, torch.randn(state.shape))
    assert state.mean().item() == pytest.approx(-0.4 + 0.2 * 1.1, abs=0.005)
    assert state.var().item() == pytest.approx(VARIANCE * 0.2 * 0.8, rel=0.04)
    assert torch.equal(step_back(state, target, 0.2, 0.0, torch.randn(state.shape)), target)


def test_training_sees_all_shares_and_weighs_those_near_the_target():
    torch.manual_seed(0)
    shares = training_shares(4000)
    assert shares.shape == (4000, 1, 1, 1)
    assert 0 <= shares.min() < 0.02
    assert 0.98 < shares.max() <= 1
    assert 0.6 < shares.median() < 0.8
    weights = emphasis(torch.tensor([0.0, 0.1, 0.5, 1.0]))
    assert weights.tolist() == [5.0, 5.0, 2.0, 1.0]


def test_noise_is_normal_and_belongs_to_the_pixel():
    whole = pixel_noise(torch.zeros(1, 3, 200, 300), 7, 2)
    assert abs(whole.mean()) < 0.01
    assert whole.std() == pytest.approx(1, abs=0.01)
    assert 4 < whole.abs().max() < 6
    for moved in (
        whole[..., 1:, :] * whole[..., :-1, :],
        whole[..., 1:] * whole[..., :-1],
        whole[:, 1:] * whole[:, :-1],
    ):
        assert abs(moved.mean()) < 0.02
    part = pixel_noise(torch.zeros(2, 3, 50, 60), 7, 2, (30, 40))
    assert torch.equal(part[1], whole[0, :, 30:80, 40:100])
    for other in (pixel_noise(whole, 8, 2), pixel_noise(whole, 7, 3), pixel_noise(whole, 7 + (1 << 32), 2)):
        assert abs((other * whole).mean()) < 0.02


def test_an_untrained_bridge_gives_what_its_regression_gives():
    bridge, x = small(), image()
    with torch.inference_mode():
        torch.testing.assert_close(bridge(x), bridge.regression(x))


def test_the_number_of_steps_and_the_seed_change_the_output_and_nothing_else_does():
    bridge, x = trained(), image()
    with torch.inference_mode():
        first, again = bridge(x), bridge(x)
        more = bridge.sample(x, steps=6)
        bridge.seed = 1
        other = bridge(x)
    assert torch.equal(first, again)
    assert first.shape == (1, 3, 32, 40)
    assert first.abs().max() <= 1
    for changed in (more, other):
        assert (changed - first).abs().mean() > 0.01


def test_a_bridge_may_start_at_the_input():
    bridge, x = small(bridge_start="input"), image()
    assert bridge.regression is None
    with torch.inference_mode():
        torch.testing.assert_close(bridge(x), x)
    with pytest.raises(CalcoError, match="has 1 channels, the target 3; give --generator.bridge-start regression"):
        build_generator(GeneratorConfig(bridge_steps=2, bridge_start="input"), 1, 3)


@pytest.mark.parametrize("architecture", ["unet", "resnet", "efficientnet-unet"])
def test_every_architecture_refines(architecture):
    config = GeneratorConfig(
        architecture=architecture, depth=3, filters=4, blocks=1, bridge_steps=2, pretrained=False, up="resize"
    )
    generator = build_generator(config, 1, 3).eval()
    with torch.inference_mode():
        assert generator(torch.zeros(1, 1, 32, 32)).shape == (1, 3, 32, 32)


def test_packed_for_bfloat16_it_computes_nearly_the_same():
    bridge, x = trained(), image()
    with torch.inference_mode():
        exact, rough = bridge(x), packed(bridge)(x.bfloat16())
    assert (exact - rough).abs().mean() < 0.05


def test_the_regression_is_fixed_while_the_refining_network_learns():
    bridge = small().train()
    assert bridge.refiner.training
    assert not bridge.regression.training
    bridge.refines = False
    assert bridge.train().regression.training


def test_compositions_that_keep_parts_of_the_input_are_refused():
    with pytest.raises(CalcoError, match="the composition is lab; give --generator.composition plain"):
        GeneratorConfig(bridge_steps=4, composition="lab")
