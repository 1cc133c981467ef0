"""The processes of a run that learn together: one network, each with its own part of every batch."""

import atexit
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import nn

from calco.console import console
from calco.data.types import generator
from calco.errors import CalcoError
from calco.networks.shared_norm import share_batch_norm
from calco.runs import one_memory
from calco.runs.launch import Lost, cores_for_each

T = TypeVar("T")

# One process validates and writes while the others wait; one that dies is noticed at once, by its closed connection.
_PATIENCE = timedelta(days=7)
_LOST = ("gloo", "nccl", "connection", "peer", "socket", "broken pipe")


class Team:
    """The processes that learn together, as one of them sees them.

    Args:
        accelerator: The library's view of them; None where this process is alone.

    Attributes:
        rank: Which of them this process is, from 0.
        world: How many there are.
        here: How many of them are on this machine.
        first: Whether this process is the one that writes and speaks.
        device: Where this process computes; None leaves it to the configuration.
        go_on: What a person can do when one of them is lost.
    """

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator = accelerator
        self.rank: int = accelerator.process_index if accelerator else 0
        self.world: int = accelerator.num_processes if accelerator else 1
        self.here = int(os.environ.get("LOCAL_WORLD_SIZE", self.world)) if accelerator else 1
        self.first = self.rank == 0
        self.device: torch.device | None = None
        if accelerator:
            on_cpu = accelerator.device.type == "cpu"
            self.device = torch.device("cpu") if on_cpu else accelerator.device
        self.go_on = "start it again"
        # Norms wait for each other; in a group of their own they do not queue behind the gradients.
        self._norms = torch.distributed.new_group(timeout=_PATIENCE) if accelerator else None
        on_one_cpu = accelerator is not None and accelerator.device.type == "cpu" and self.here == self.world
        self.one_memory = on_one_cpu and one_memory.possible(self)

    def share(self, network: nn.Module) -> nn.Module:
        """The network whose batch norms are those of all processes together, and its gradients become their mean.

        Where the processes have one memory, the optimiser sees to the gradients (`one_memory.SharedAdam`).
        """
        if self._accelerator is None:
            return network
        share_batch_norm(network, self._norms)
        if self.one_memory:
            return network
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers`")  # accelerate knows the newer name not yet
            shared: nn.Module = self._accelerator.prepare_model(network)
        return shared

    def together(self, network: nn.Module, *, now: bool) -> AbstractContextManager[Any]:
        """Within it a backward pass of a shared network averages the gradients over the processes now, or not yet."""
        if self._accelerator is None or self.one_memory or now:
            return nullcontext()
        waiting: AbstractContextManager[Any] = self._accelerator.no_sync(network)
        return waiting

    def own_chance(self, seed: int, step: int) -> None:
        """Gives dropout a chance of its own in each process, the same again when the step is done again."""
        if self.world > 1:
            chance = generator(seed, step, "dropout", str(self.rank))
            torch.manual_seed(int(chance.integers(1 << 62)))

    def agree(self, losses: dict[str, float], *, stop: bool, seconds: float) -> tuple[dict[str, float], bool, float]:
        """The mean losses, whether any process was asked to stop, and the first one's clock: the same for all."""
        if self.world == 1:
            return losses, stop, seconds
        own = [*losses.values(), float(stop), seconds if self.first else 0.0]
        sums = torch.tensor(own, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        *total, asked, clock = sums.tolist()
        return dict(zip(losses, (value / self.world for value in total), strict=True)), asked > 0, clock

    def by_the_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, told to all; so is the error that it meets.

        Raises:
            CalcoError: What `make` raised.
        """
        if self.world == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        told: list[Any] = [None, None]
        if self.first:
            try:
                told[0] = make()
            except CalcoError as error:
                told[1] = str(error)
        broadcast_object_list(told)
        if told[1] is not None:
            raise CalcoError(told[1])
        made: T = told[0]
        return made

    def meet(self) -> None:
        """Waits for all of them."""
        if self.world > 1:
            torch.distributed.barrier()

    def every(self, value: T) -> list[T]:
        """The value of every process, in their order; waits for all of them."""
        if self.world == 1:
            return [value]
        found: list[T | None] = [None] * self.world
        torch.distributed.all_gather_object(found, value)
        return [one for one in found if one is not None]


ALONE = Team()


def is_started() -> bool:
    """Whether this process is one of several that `torchrun` or Calco has started."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """This process as one of those that learn together; alone unless several were started.

    Args:
        device: Where the run shall compute. On a GPU each process gets one of its own.

    Raises:
        CalcoError: When the library is missing, or the machine has fewer GPUs than processes.
        Lost: When another of the processes ended.
    """
    if not is_started() or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    check_several(here, device)
    os.environ.setdefault("OMP_NUM_THREADS", str(cores_for_each(here)))
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    # Norms agree by themselves; gradients that are views of what is sent are not copied once more.
    shared = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no",  # the step has its own autocast
        kwargs_handlers=[shared, InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    atexit.register(_leave)  # and not before: a second run in these processes finds them joined
    team = Team(accelerator)
    quiet, console.quiet = console.quiet, not team.first
    try:
        yield team
    except RuntimeError as error:
        if any(word in str(error).lower() for word in _LOST):
            raise Lost(f"another process of the run has ended; {team.go_on}") from error
        raise
    finally:
        console.quiet = quiet


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def check_several(processes: int, device: torch.device) -> None:
    """Whether so many processes can work on this machine.

    Raises:
        CalcoError: When the library is missing, or the machine has fewer GPUs than processes.
    """
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise CalcoError(
            "several processes need accelerate; pip install 'calco[processes]', or train without --processes"
        ) from error
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise CalcoError(
            f"{processes} processes want a GPU each, and this machine has {torch.cuda.device_count()}; "
            "give fewer --processes, or --device cpu"
        )
    if device.type not in ("cpu", "cuda"):
        raise CalcoError(f"several processes compute on cpu or cuda, not on {device}; choose one of these as --device")
