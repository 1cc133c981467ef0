"""The processes of a run that learn together: one network, each with its own part of every batch."""

import atexit
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, Final, Literal, TypeVar

import torch
from torch import nn

from calco.console import console
from calco.data.sample import generator
from calco.errors import CalcoError
from calco.networks.machine import choose_device, make_ready
from calco.networks.shared_norm import share_batch_norm
from calco.training.shared_config import ComputeConfig

_GRACE = 10.0  # seconds that the others have to end by themselves when one is lost


class Lost(CalcoError):
    """Another process of the run has ended; what this one does has no sense any more."""


def cores_for_each(processes: int) -> int:
    """How many cores each of several processes on this machine may use."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


@dataclass(frozen=True)
class _Said:
    """What a process says when it ends: "done", "error", "lost" or "stopped", and the words for it."""

    kind: str
    words: str = ""


def launch(work: Callable[[], str], processes: int) -> str:
    """Does the work in several processes at once, which find each other as those of torchrun do.

    Args:
        work: What each of them does; it can be sent to another process.
        processes: How many.

    Returns:
        What the work gave in the first of them.

    Raises:
        CalcoError: When one of them met it, or was killed.
        KeyboardInterrupt: When they were asked to stop.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pipes = [context.Pipe(duplex=False) for _ in range(processes)]
    team = [
        context.Process(target=_member, args=(work, sends), name=f"calco-{rank}")
        for rank, (_, sends) in enumerate(pipes)
    ]
    with _signals_passed_on(team) as asked:
        _start(team)
        for _, sends in pipes:
            sends.close()
        _wait(team)
    said = [_said(receives) for receives, _ in pipes]
    if all(one is not None and one.kind == "done" for one in said):
        return said[0].words if said[0] else ""
    if asked or any(one is not None and one.kind == "stopped" for one in said):
        raise KeyboardInterrupt
    raise CalcoError(_reason(team, said))


def _start(team: list[SpawnProcess]) -> None:
    """Starts the processes with what torchrun would tell them in their environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(len(team)),
        "LOCAL_WORLD_SIZE": str(len(team)),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores_for_each(len(team)))),
        "RANK": "",
        "LOCAL_RANK": "",
    }
    if os.path.isdir("/sys/class/net/lo"):
        # The name of a machine may lead nowhere, or through a firewall.
        told["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    before = {name: os.environ.get(name) for name in told}
    try:
        for rank, process in enumerate(team):
            os.environ.update(told, RANK=str(rank), LOCAL_RANK=str(rank))
            process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def _wait(team: list[SpawnProcess]) -> None:
    """Waits until all have ended; when one fails, the others get a moment to end too, and are then killed."""
    deadline: float | None = None
    while running := [process for process in team if process.is_alive()]:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        connection.wait([process.sentinel for process in running], timeout=left)
        if deadline is None and any(process.exitcode for process in team):
            deadline = time.monotonic() + _GRACE
        elif deadline is not None and time.monotonic() >= deadline:
            for process in running:
                process.kill()
            deadline = time.monotonic() + _GRACE
    for process in team:
        process.join()


def _said(receives: connection.Connection) -> _Said | None:
    try:
        said: _Said = receives.recv()
    except EOFError:  # it ended without a word
        return None
    return said


def _reason(team: list[SpawnProcess], said: list[_Said | None]) -> str:
    """The one line for what went wrong: what a process met by itself comes before what it met for want of another."""
    for one in said:
        if one is not None and one.kind == "error":
            return one.words
    lost = next((one.words for one in said if one is not None and one.kind == "lost"), "start it again")
    for rank, (process, one) in enumerate(zip(team, said, strict=True)):
        if one is None:
            code = process.exitcode or 0
            ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            hint = ", as when memory runs out" if code == -signal.SIGKILL else ""
            return f"process {rank + 1} of {len(team)} {ended}{hint}; {lost.rpartition('; ')[2]}"
    return lost


@contextmanager
def _signals_passed_on(team: list[SpawnProcess]) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM go to the processes, as SIGTERM; yields the signals that came so far."""
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        for process in team:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGTERM)

    # Python lets the main thread alone handle signals.
    main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM) if main}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _member(work: Callable[[], str], sends: connection.Connection) -> None:
    """What each process does: the work, and a word about how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of them; the one above passes it on
    threading.Thread(target=_follow, daemon=True).start()
    try:
        sends.send(_Said("done", work()))
    except Lost as error:
        sends.send(_Said("lost", str(error)))
        os._exit(2)
    except CalcoError as error:
        sends.send(_Said("error", str(error)))
        os._exit(2)
    except KeyboardInterrupt:
        sends.send(_Said("stopped"))
        os._exit(130)


def _follow() -> None:
    """Ends this process with the one that started it: with a checkpoint if it can, and in any case."""
    above = multiprocessing.parent_process()
    assert above is not None
    connection.wait([above.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    os._exit(1)


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

    def share(self, network: nn.Module) -> nn.Module:
        """The network whose batch norms are those of all processes together, and its gradients become their mean."""
        if self._accelerator is None:
            return network
        share_batch_norm(network, self._norms)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers`")  # accelerate knows the newer name not yet
            shared: nn.Module = self._accelerator.prepare_model(network)
        return shared

    def together(self, network: nn.Module, *, now: bool) -> AbstractContextManager[Any]:
        """Within it a backward pass of a shared network averages the gradients over the processes now, or not yet."""
        if self._accelerator is None or now:
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


_MOST: Final = 8


def ready_device(compute: ComputeConfig, team: Team) -> torch.device:
    """The device of a process, with threads and memory set as the configuration wants them.

    Raises:
        CalcoError: When it does not exist here.
    """
    device = team.device or choose_device(compute.device)
    torch.set_num_threads(compute.threads or cores_for_each(team.here))
    make_ready(device, exact=compute.precision == "fp32", deterministic=compute.deterministic)
    return device


def choose_workers(asked: int | Literal["auto"], device: torch.device) -> int:
    """The threads that make batches; "auto" takes one for each core beside a GPU, else one for four; eight at most."""
    if asked != "auto":
        return asked
    cores = len(os.sched_getaffinity(0))
    return max(1, min(_MOST, cores // 4 if device.type == "cpu" else cores))


def need_compiler(device: torch.device) -> None:
    """Makes sure that what torch.compile writes for a CPU can be compiled.

    Raises:
        CalcoError: When there is no C++ compiler.
    """
    if device.type == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        raise CalcoError("--compile needs a C++ compiler and there is none; install g++, or leave --compile out")
