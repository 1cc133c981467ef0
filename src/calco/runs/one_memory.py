"""One set of weights for all processes of a machine, in memory that they share; each process changes a part of it.

What torch offers sends all gradients through sockets, and then every process computes the same step for all weights.
Here gradients are left where the others can read them, and each weight is changed once.
"""

import mmap
import os
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

import torch
from torch import Tensor

_LINE: Final = 16  # numbers of float32 in a cache line, which kernels want their arrays to begin with
_PART: Final = 1 << 18  # weights that are changed at once, so that their mean gradient stays in the cache
T = TypeVar("T")


class Others(Protocol):
    """What this needs of the processes that learn together."""

    rank: int
    world: int

    def by_the_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, told to all."""

    def every(self, value: T) -> list[T]:
        """The value of every process; waits for all of them."""

    def meet(self) -> None:
        """Waits for all of them."""


class Block:
    """Memory that all processes see, zero at first. It has no name, so nothing is left behind when they end.

    Args:
        team: The processes; each makes the block at the same place of its work.
        size: Bytes.

    Raises:
        OSError: In all processes, when one of them cannot see it.
    """

    def __init__(self, team: Others, size: int) -> None:
        own = -1

        def make() -> tuple[int, int] | None:
            nonlocal own
            try:
                own = os.memfd_create("calco")
                os.ftruncate(own, size)
            except (OSError, AttributeError):
                return None
            return os.getpid(), own

        place, self._memory = team.by_the_first(make), mmap.mmap(-1, mmap.PAGESIZE)
        seen = place is not None
        try:
            if place is not None:
                file = os.open(f"/proc/{place[0]}/fd/{place[1]}", os.O_RDWR)
                self._memory = mmap.mmap(file, size)
                os.close(file)
        except OSError:
            seen = False
        every = team.every(seen)  # nobody closes it before all have opened it
        if own >= 0:
            os.close(own)
        if not all(every):
            raise OSError("the processes have no memory in common")

    def numbers(self, count: int, start: int, dtype: torch.dtype) -> Tensor:
        """So many numbers from a byte on."""
        return torch.frombuffer(self._memory, dtype=dtype, count=count, offset=start)


def possible(team: Others) -> bool:
    """Whether the processes can have memory in common: on one machine with Linux."""
    try:
        Block(team, mmap.PAGESIZE)
    except OSError:
        return False
    return True


class SharedAdam(torch.optim.Adam):
    """Adam on the mean gradients of all processes, each of which changes its part of the weights for all.

    The weights move into the memory that is shared, and so do Adam's moments: to whoever reads them, they are there
    as if this process had changed them all.

    Args:
        weights: Of float32, each dense in memory, with the same values in all processes.
        team: The processes.
        sent: What gradients are handed over in.
        lr: The step size.
        betas: Adam's two.
        weight_decay: The pull towards 0, apart from the gradients (AdamW, arXiv 1711.05101).
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        team: Others,
        sent: torch.dtype,
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float = 0.0,
    ) -> None:
        self._weights, self._team = list(weights), team
        ends, end = [], 0
        for weight in self._weights:
            ends.append(end)
            end += -(-weight.numel() // _LINE) * _LINE
        self._block = Block(team, end * (12 + team.world * sent.itemsize))
        flat = [self._block.numbers(end, each * end * 4, torch.float32) for each in range(3)]
        own = team.rank * end // team.world // _LINE * _LINE, (team.rank + 1) * end // team.world // _LINE * _LINE
        if team.rank == team.world - 1:
            own = own[0], end
        self._own = [part[slice(*own)].split(_PART) for part in flat]
        slots = [
            self._block.numbers(end, end * (12 + each * sent.itemsize), sent).narrow(0, 0, end)
            for each in range(team.world)
        ]
        self._handed = [slot[slice(*own)].split(_PART) for slot in slots]

        def views(start: int, dtype: torch.dtype) -> list[Tensor]:
            # Of storages of their own: safetensors writes no two tensors that lie in one.
            return [
                self._block.numbers(weight.numel(), start + place * dtype.itemsize, dtype).as_strided(
                    weight.shape, weight.stride()
                )
                for weight, place in zip(self._weights, ends, strict=True)
            ]

        self._slots = dict(zip(self._weights, views(end * (12 + team.rank * sent.itemsize), sent), strict=True))
        self._given: set[Tensor] = set()
        self._moments = [views(each * end * 4, torch.float32) for each in (1, 2)]
        for weight, place in zip(self._weights, views(0, torch.float32), strict=True):
            weight.data = place.copy_(weight.data)
        super().__init__(self._weights, lr=lr, betas=betas, fused=True, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Hands this process's gradients over, takes part in the change of the weights, and waits for the others."""
        for weight, slot in self._slots.items():
            if weight.grad is not None:
                self.hand_over(weight)
            elif weight not in self._given:
                slot.zero_()
        self._given.clear()
        self._team.meet()
        if not self.state:
            for number, weight in enumerate(self._weights):
                self.state[weight] = {
                    "step": torch.zeros((), dtype=torch.float32),
                    "exp_avg": self._moments[0][number],
                    "exp_avg_sq": self._moments[1][number],
                }
        steps = [state["step"] for state in self.state.values()]
        torch._foreach_add_(steps, 1)
        group = self.param_groups[0]
        for number, (weights, first, second) in enumerate(zip(*self._own, strict=True)):
            gradient = self._handed[0][number].to(torch.float32, copy=True)
            for slot in self._handed[1:]:
                gradient += slot[number]
            change = torch._fused_adamw_ if group["weight_decay"] else torch._fused_adam_
            change(
                [weights], [gradient.div_(self._team.world)], [first], [second], [], steps[:1],
                lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1],
                weight_decay=group["weight_decay"], eps=group["eps"],
                amsgrad=False, maximize=False,
            )  # fmt: skip
        self._team.meet()

    @torch.no_grad()
    def hand_over(self, weight: Tensor) -> None:
        """Leaves a gradient where all can read it, and lets it go; to be called once before each step, if at all."""
        assert weight.grad is not None
        self._slots[weight].copy_(weight.grad)
        self._given.add(weight)
        weight.grad = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave; all processes call this with the same."""
        super().load_state_dict(state_dict)
        for number, weight in enumerate(self._weights):
            if state := self.state.get(weight):
                for name, views in zip(("exp_avg", "exp_avg_sq"), self._moments, strict=True):
                    state[name] = views[number].copy_(state[name])
        self._team.meet()
