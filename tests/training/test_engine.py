"""The training step: lean, in several precisions, and the same in the end."""

import pytest
import torch

from calco import CalcoError
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.machine import has_bfloat16
from calco.training.config import ComputeConfig, ObjectiveConfig, OptimiserConfig, TrainConfig
from calco.training.pairs import Batch
from calco.training.step import Networks, training_step
from support import BEYOND

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small only wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def networks(precision="fp32", seed=0, gan="cross-entropy", **compute):
    config = TrainConfig(
        seed=seed,
        generator=GeneratorConfig(depth=4, filters=8),
        discriminator=DiscriminatorConfig(patch=16, filters=8),
        objective=ObjectiveConfig(gan=gan),
        optimiser=OptimiserConfig(batch=4),
        compute=ComputeConfig(precision=precision, **compute),
    )
    return Networks(config, 3, 3, CPU)


def batch(number: int, count: int = 2) -> Batch:
    """Waves, and as target their negative: something to learn."""
    chance = torch.Generator().manual_seed(number)
    phase = torch.rand(count, 3, 1, 1, generator=chance) * 6.28
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    waves = ((rows / 5 + phase).sin() * (columns / 7 - phase).cos() * 127.5 + 127.5).to(torch.uint8)
    return Batch(waves, 255 - waves, torch.ones(count, 1, 32, 32))


def test_checkpointing_trains_to_the_same_bits():
    one, two = networks(), networks(activation_checkpointing=True)
    for number in range(3):
        state = torch.get_rng_state()
        first = training_step(one, [batch(number)])
        torch.set_rng_state(state)
        assert training_step(two, [batch(number)]) == first
    mine, theirs = one.state(), two.state()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.slow
def test_the_loss_in_bfloat16_stays_within_the_noise_of_the_seed():
    """Over 200 steps, the two precisions differ by no more than two seeds do."""
    if not has_bfloat16(CPU):
        pytest.skip(BEYOND + "instructions for bfloat16 in this processor")

    def curve(precision, seed):
        made = networks(precision, seed, gan="least-squares")
        losses = [training_step(made, [batch(number)])["g_pixel"] for number in range(200)]
        return torch.tensor(losses).view(10, 20).mean(1)

    exact, lower = [curve("fp32", seed) for seed in (0, 1, 2)], curve("bf16", 0)
    noise = torch.stack([(exact[a] - exact[b]).abs() for a, b in ((0, 1), (1, 2), (0, 2))])
    gap = (lower - exact[0]).abs()
    assert exact[0][-1] < exact[0][0] / 2  # it learns
    assert gap.mean() <= noise.mean()
    assert gap[-1] <= noise.max()


def test_half_floats_are_for_gpus():
    with pytest.raises(CalcoError, match="fp16 is for GPUs"):
        networks("fp16")


def test_compiling_without_a_compiler_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CalcoError, match=r"needs a C\+\+ compiler"):
        networks(compile=True)


def test_the_names_in_a_checkpoint_do_not_depend_on_how_it_is_computed():
    plain = networks()
    other = networks(activation_checkpointing=True)
    assert plain.state().keys() == other.state().keys()
