"""Losses, rates and presets: the conventions, by their numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from calco.evaluation.metrics import colourfulness as scored_colourfulness
from calco.evaluation.metrics import ssim as scored_ssim
from calco.networks.build import build_discriminator, build_generator
from calco.networks.layers import count_parameters
from calco.training.config import LimitConfig, ObjectiveConfig, OptimiserConfig, TrainConfig, pix2pix, small, tutorial
from calco.training.objectives import (
    balance,
    colourfulness,
    discriminator_loss,
    generator_gan_loss,
    matching_loss,
    perceptual_loss,
    pixel_loss,
    slope_penalty,
    ssim_loss,
)
from calco.training.step import rate_at

ZERO, ONE, TWO = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), 2 * torch.ones(1, 1, 2, 2)


def total(config: ObjectiveConfig, real: torch.Tensor, fake: torch.Tensor) -> float:
    weight = torch.ones(1, 1, 8, 8)
    return float(discriminator_loss(config, real, True, weight) + discriminator_loss(config, fake, False, weight))


def test_an_undecided_discriminator_pays_two_ln_2_or_ln_2_when_halved():
    assert total(ObjectiveConfig(d_loss="sum"), ZERO, ZERO) == pytest.approx(2 * math.log(2))
    assert total(ObjectiveConfig(d_loss="halved"), ZERO, ZERO) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("gan", "d", "g"),
    [
        # real logits 2, fake logits 1: softplus(-2) + softplus(1), and softplus(-1) for the generator
        ("cross-entropy", math.log1p(math.exp(-2)) + math.log1p(math.e), math.log1p(math.exp(-1))),
        ("least-squares", 1 + 1, 0),
        ("hinge", 0 + 2, -1),
    ],
)
def test_adversarial_losses(gan, d, g):
    config = ObjectiveConfig(gan=gan, d_loss="sum")
    assert total(config, TWO, ONE) == pytest.approx(d)
    assert float(generator_gan_loss(config, ONE, torch.ones(1, 1, 8, 8))) == pytest.approx(g)


def test_a_relativistic_loss_compares_the_two() -> None:
    config = ObjectiveConfig(gan="relativistic", d_loss="sum")
    weight = torch.ones(1, 1, 8, 8)
    real, fake = TWO - ONE, ONE - TWO  # logits of each less those of the other
    d = discriminator_loss(config, real, True, weight) + discriminator_loss(config, fake, False, weight)
    assert float(d) == pytest.approx(2 * math.log1p(math.exp(-1)))
    assert float(generator_gan_loss(config, fake, weight)) == pytest.approx(math.log1p(math.e))


def test_feature_matching_leaves_the_logits_out() -> None:
    ours = [[torch.zeros(1, 2, 4, 4), ONE], [torch.zeros(1, 3, 2, 2), ONE]]
    theirs = [[torch.ones(1, 2, 4, 4), TWO], [3 * torch.ones(1, 3, 2, 2), TWO]]
    assert float(matching_loss(ours, theirs)) == pytest.approx((1 + 3) / 2)


def test_all_layers_count_alike_in_the_perceptual_loss() -> None:
    """Values around 4 that are wrong by 2 count as ones around 0.4 that are wrong by 0.2; void pixels nothing."""
    weight = torch.ones(1, 1, 8, 8)
    target = [torch.full((1, 2, 4, 4), 4.0), torch.full((1, 3, 2, 2), 0.4)]
    wrong = [target[0] + 2, target[1] - 0.2]
    assert float(perceptual_loss(target, target, weight)) == 0
    assert float(perceptual_loss(wrong, target, weight)) == pytest.approx(0.5)
    wrong[0][..., :2] += 100
    wrong[1][..., :1] += 100
    weight[..., :4] = 0
    assert float(perceptual_loss(wrong, target, weight)) == pytest.approx(0.5)


def test_colourfulness_is_that_of_the_scores() -> None:
    chance = np.random.default_rng(0)
    images = [chance.integers(0, high, (16, 16, 3)).astype(np.uint8) for high in (256, 40)]
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1
    assert colourfulness(stacked).tolist() == pytest.approx([scored_colourfulness(each) for each in images], rel=1e-3)


@pytest.mark.parametrize(("height", "width"), [(40, 64), (11, 11)])
def test_the_ssim_loss_is_the_score_that_is_missing(height: int, width: int) -> None:
    chance = np.random.default_rng(0)
    target = chance.random((height, width, 3), dtype=np.float32)
    output = np.clip(target + chance.normal(0, 0.2, target.shape), 0, 1).astype(np.float32)
    loss = ssim_loss(network_range(output), network_range(target), torch.ones(1, 1, height, width))
    assert float(loss) == pytest.approx(1 - scored_ssim(output, target), abs=1e-6)


def test_the_ssim_loss_passes_over_void_pixels_and_takes_images_below_its_window() -> None:
    target = torch.rand(2, 3, 32, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert float(ssim_loss(target, target, torch.ones(2, 1, 32, 8))) == pytest.approx(0, abs=1e-5)
    wrong, weight = target.clone(), torch.ones(2, 1, 32, 8)
    wrong[:, :, :10], weight[:, :, :21] = 0, 0  # a window of 11 reaches from row 10 up to row 20
    assert float(ssim_loss(wrong, target, weight)) < 0.01 < float(ssim_loss(wrong, target, torch.ones(2, 1, 32, 8)))
    assert math.isfinite(float(ssim_loss(wrong, target, torch.zeros(2, 1, 32, 8))))


def network_range(image: np.ndarray) -> torch.Tensor:
    """HWC in [0, 1] => 1CHW in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None] * 2 - 1


def test_the_slope_penalty_of_a_plane_is_half_the_square_of_its_slope() -> None:
    x = torch.rand(2, 1, 3, 3, requires_grad=True)
    slope = torch.arange(9.0).view(1, 1, 3, 3)
    logits = (x * slope).sum((1, 2, 3), keepdim=True)
    assert float(slope_penalty([logits], [x])) == pytest.approx(float(slope.square().sum()) / 2)


def test_pixel_losses_under_the_weight_map():
    drawn, target = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 2.0]]]])
    even, only_second = torch.ones(1, 1, 1, 2), torch.tensor([[[[0.0, 2.0]]]])
    assert float(pixel_loss(ObjectiveConfig(pixel="l1"), drawn, target, even)) == pytest.approx(1.5)
    assert float(pixel_loss(ObjectiveConfig(pixel="l1"), drawn, target, only_second)) == pytest.approx(2)
    assert float(pixel_loss(ObjectiveConfig(pixel="l2"), drawn, target, even)) == pytest.approx(2.5)
    assert float(pixel_loss(ObjectiveConfig(pixel="charbonnier"), drawn, target, even)) == pytest.approx(1.5, abs=1e-3)


def test_the_loss_psnr_is_the_mean_of_the_negative_psnr_and_weighs_images_alike():
    drawn, even = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    target = torch.stack([torch.full((1, 2, 2), 0.02), torch.full((1, 2, 2), 0.2)])  # 40 and 20 dB
    config = ObjectiveConfig(pixel="psnr")
    assert float(pixel_loss(config, drawn, target, even)) == pytest.approx(-30, abs=0.06)
    weight = even.clone()
    weight[..., 0] = 0
    target[..., 0] = 1
    assert float(pixel_loss(config, drawn, target, weight)) == pytest.approx(-30, abs=0.06)
    drawn.requires_grad_()
    pixel_loss(config, drawn, drawn.detach(), even).backward()
    assert bool(torch.isfinite(drawn.grad).all())  # an exact image too


def test_patches_count_as_much_as_their_pixels():
    config = ObjectiveConfig(gan="least-squares", d_loss="sum")
    logits = torch.tensor([[[[0.0, 1.0]]]])
    left = torch.cat([torch.ones(1, 1, 4, 4) * 3, torch.ones(1, 1, 4, 4)], 3)
    real, fake = (discriminator_loss(config, logits, target, left) for target in (True, False))
    assert float(real) == pytest.approx(3 / 4)  # the left patch, which is wrong, counts three times
    assert float(fake) == pytest.approx(1 / 4)


def test_the_balance_is_read_against_the_right_constant():
    halved, summed = ObjectiveConfig(), ObjectiveConfig(d_loss="sum")
    assert "Discriminator loss 0.600 (0.693 = cannot tell real from generated)" in balance(halved, 0.3, 0.3)
    assert "(1.386 = cannot tell real from generated)" in balance(summed, 0.3, 0.3)
    assert "hardly" in balance(halved, 0.34, 0.34)
    assert "healthy" in balance(summed, 0.34, 0.34)  # the same numbers mean something else when they are not halved
    assert "nearly all" in balance(halved, 0.02, 0.02)
    assert "worse than guessing" in balance(halved, 0.6, 0.6)


def test_rates():
    constant = TrainConfig(optimiser=OptimiserConfig())
    assert rate_at(constant, 0, 0) == rate_at(constant, 999, 0.99) == 2e-4
    falling = TrainConfig(optimiser=OptimiserConfig(decay_from=0.5), limit=LimitConfig(epochs=200))
    assert rate_at(falling, 500, 0.5) == 2e-4
    assert rate_at(falling, 750, 0.75) == pytest.approx(1e-4)
    assert 0 < rate_at(falling, 1000, 1.0) < 1e-6
    slow = replace(constant, optimiser=replace(constant.optimiser, warm_up=10))
    assert [rate_at(slow, step, 0) for step in (0, 4, 9, 50)] == pytest.approx([2e-5, 1e-4, 2e-4, 2e-4])


def sizes(config: TrainConfig) -> tuple[int, int]:
    generator = build_generator(config.generator, 3, 3)
    return count_parameters(generator), count_parameters(build_discriminator(config.discriminator, 3, 3))


def test_pix2pix_is_the_paper():
    config = pix2pix()
    assert sizes(config) == (54_413_955, 2_768_705)
    assert (config.jitter.resize, config.jitter.size, config.jitter.fit, config.jitter.flip) == (
        286,
        256,
        "stretch",
        True,
    )
    objective, optimiser = config.objective, config.optimiser
    assert (objective.gan, objective.pixel, objective.pixel_weight) == ("cross-entropy", "l1", 100)
    assert (objective.d_loss, objective.order) == ("halved", "d-then-g")
    assert (optimiser.learning_rate, optimiser.betas, optimiser.batch) == (2e-4, (0.5, 0.999), 1)
    assert (optimiser.decay_from, optimiser.ema) == (1.0, 0.0)
    assert (config.limit.epochs, config.generator.composition) == (200, "plain")


def test_tutorial_is_tensorflows():
    config = tutorial()
    assert sizes(config) == (54_414_979, 2_768_641)
    assert (config.objective.d_loss, config.objective.order) == ("sum", "together")
    assert (config.jitter.resampling, config.limit.steps, config.limit.epochs) == ("nearest", 40_000, 0)


def test_small_is_small():
    generator, discriminator = sizes(small())
    assert generator < 10e6
    assert discriminator < 1e6
    assert small().limit.minutes == 10
