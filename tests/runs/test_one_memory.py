"""Weights in memory that several processes share: threads stand for the processes here."""

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from calco.networks.layers import initialise
from calco.runs.checkpoint import flatten_optimiser, restore_optimiser
from calco.runs.one_memory import SharedAdam, possible

RATE, BETAS = 1e-3, (0.5, 0.999)


class Threads:
    """What all members of a team have in common."""

    def __init__(self, world: int) -> None:
        self.world, self.barrier, self.told = world, threading.Barrier(world, timeout=20), [None] * world


class Member:
    def __init__(self, shared: Threads, rank: int) -> None:
        self.shared, self.rank, self.world = shared, rank, shared.world

    def meet(self) -> None:
        self.shared.barrier.wait()

    def every(self, value: Any) -> list[Any]:
        self.shared.told[self.rank] = value
        self.meet()
        found = list(self.shared.told)
        self.meet()
        return found

    def by_the_first(self, make: Callable[[], Any]) -> Any:
        return self.every(make() if self.rank == 0 else None)[0]


def each(world: int, work: Callable[[Member], Any]) -> list[Any]:
    shared = Threads(world)
    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(work, [Member(shared, rank) for rank in range(world)]))


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 40, 4), nn.BatchNorm2d(40), nn.ConvTranspose2d(40, 7, 3))
    initialise(layers)
    return layers.to(memory_format=torch.channels_last)


def give(layers: nn.Module, seed: int, dtype: torch.dtype) -> None:
    chance = torch.Generator().manual_seed(seed)
    for weight in layers.parameters():
        drawn = torch.randn(weight.shape, generator=chance).to(dtype)
        weight.grad = torch.empty_like(weight).copy_(drawn)  # in memory as backward passes leave it


@pytest.mark.parametrize(("world", "dtype"), [(1, torch.float32), (2, torch.float32), (3, torch.bfloat16)])
def test_each_change_is_that_of_adam_on_the_mean_gradient_and_can_be_gone_on_with(world, dtype):
    begun = network()
    plain = copy.deepcopy(begun)
    adam = torch.optim.Adam(plain.parameters(), lr=RATE, betas=BETAS, fused=True)
    for step in range(4):
        parts = [copy.deepcopy(plain) for _ in range(world)]
        for rank, part in enumerate(parts):
            give(part, 10 * step + rank, dtype)
        for weight, *others in zip(plain.parameters(), *(part.parameters() for part in parts), strict=True):
            weight.grad = sum(other.grad for other in others) / world
        adam.step()

    def work(member: Member) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        layers = copy.deepcopy(begun)
        ours = SharedAdam(layers.parameters(), member, dtype, lr=RATE, betas=BETAS)
        assert not flatten_optimiser(ours, "o")
        for step in range(4):
            if step == 2:  # as a run that was interrupted, in which nothing is shared with what was before
                kept = {name: t.clone() for name, t in flatten_optimiser(ours, "o").items()}
                weights = {name: t.clone() for name, t in layers.state_dict().items()}
                layers = copy.deepcopy(begun)
                ours = SharedAdam(layers.parameters(), member, dtype, lr=RATE, betas=BETAS)
                layers.load_state_dict(weights)
                restore_optimiser(ours, kept, "o")
            give(layers, 10 * step + member.rank, dtype)
            if step % 2:  # as within a backward pass
                for weight in list(layers.parameters())[::2]:
                    ours.hand_over(weight)
            ours.step()
        member.meet()
        return layers, flatten_optimiser(ours, "o")

    expected = flatten_optimiser(adam, "o")
    for layers, state in each(world, work):
        for ours, theirs in zip(layers.parameters(), plain.parameters(), strict=True):
            assert ours.grad is None and ours.stride() == theirs.stride()
            torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-7)
        assert state.keys() == expected.keys()
        for name, tensor in state.items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-8)


def test_where_one_cannot_see_the_memory_nobody_uses_it(monkeypatch):
    assert each(2, possible) == [True, True]
    monkeypatch.delattr("os.memfd_create")
    assert each(2, possible) == [False, False]
