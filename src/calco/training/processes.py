"""Several processes that train together: starting them, their communication, and the device of each."""

import atexit
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, Literal, TypeVar

import torch
from torch import nn

from calco.console import print_notes, prints_notes
from calco.data.sample import generator
from calco.errors import CalcoError, MissingExtraError, UsageError
from calco.networks.layers import share_batch_norm
from calco.networks.machine import choose_device, make_ready
from calco.training.shared_config import ComputeConfig
from calco.training.threads import ThreadChoice, possible_counts
from calco.work import end_with_parent, environment

T = TypeVar("T")

_GRACE: Final = 10.0  # seconds for the others to end by themselves when one is lost
# One process validates and writes while the others wait; a lost one is noticed at once, by its closed connection.
_TIMEOUT: Final = timedelta(days=7)
_LOST: Final = ("gloo", "nccl", "connection", "peer", "socket", "broken pipe")
_MOST_WORKERS: Final = 8


class LostProcessError(CalcoError):
    """Another process of the run has ended, so that this one cannot go on."""


class ProcessGroup:
    """The processes that train together, as one of them sees them; rank 0 validates, writes and logs.

    Args:
        accelerator: accelerate's view of them; None for a single process.

    Attributes:
        local_size: Number of processes on this machine, of `world_size` in all.
        device: Device of this process; None leaves it to the configuration.
        remedy: What a person can do when a process is lost.
    """

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator = accelerator
        self.rank: int = accelerator.process_index if accelerator else 0
        self.world_size: int = accelerator.num_processes if accelerator else 1
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.world_size)) if accelerator else 1
        self.is_rank0 = self.rank == 0
        self.device: torch.device | None = None
        if accelerator:
            self.device = torch.device("cpu") if accelerator.device.type == "cpu" else accelerator.device
        self.remedy = "start it again"
        # Batch norms wait for each other; in a group of their own they do not queue behind the gradients.
        self._norms = torch.distributed.new_group(timeout=_TIMEOUT) if accelerator else None

    def wrap(self, network: nn.Module) -> nn.Module:
        """Make batch norms use the statistics of all processes, and backward passes average the gradients."""
        if self._accelerator is None:
            return network
        share_batch_norm(network, self._norms)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers`")  # accelerate does not know the newer name yet
            wrapped: nn.Module = self._accelerator.prepare_model(network)
        return wrapped

    def averaging(self, network: nn.Module, *, now: bool) -> AbstractContextManager[Any]:
        """Context whose backward pass averages the gradients of a wrapped network now, or leaves them to the next."""
        if self._accelerator is None or now:
            return nullcontext()
        waiting: AbstractContextManager[Any] = self._accelerator.no_sync(network)
        return waiting

    def seed_rank(self, seed: int, step: int) -> None:
        """Seed dropout differently in each process, and identically when a step is repeated."""
        if self.world_size > 1:
            torch.manual_seed(int(generator(seed, step, "dropout", str(self.rank)).integers(1 << 62)))

    def agree(self, losses: dict[str, float], *, stop: bool, seconds: float) -> tuple[dict[str, float], bool, float]:
        """Return the mean losses, whether any process must stop, and rank 0's clock: the same in all processes."""
        if self.world_size == 1:
            return losses, stop, seconds
        own = [*losses.values(), float(stop), seconds if self.is_rank0 else 0.0]
        sums = torch.tensor(own, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        *total, asked, clock = sums.tolist()
        return dict(zip(losses, (value / self.world_size for value in total), strict=True)), asked > 0, clock

    def run_on_rank0(self, make: Callable[[], T]) -> T:
        """Call a function in rank 0 and return its result in all processes.

        Raises:
            CalcoError: In all processes, if the function raises it.
        """
        if self.world_size == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        answer: list[Any] = [None, None]
        if self.is_rank0:
            try:
                answer[0] = make()
            except CalcoError as error:
                answer[1] = str(error)
        broadcast_object_list(answer)
        if answer[1] is not None:
            raise CalcoError(answer[1])
        made: T = answer[0]
        return made

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes in order of rank; wait for all of them."""
        if self.world_size == 1:
            return [value]
        found: list[T | None] = [None] * self.world_size
        torch.distributed.all_gather_object(found, value)
        return [one for one in found if one is not None]


SINGLE = ProcessGroup()


def is_started() -> bool:
    """Return whether torchrun or Calco has started this process as one of several."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that train together; yield a group of one unless several were started.

    With GPUs, each process gets one of its own.

    Raises:
        CalcoError: If accelerate is missing, or the machine has fewer GPUs than processes.
        LostProcessError: If another process ended.
    """
    if not is_started() or int(os.environ["WORLD_SIZE"]) == 1:
        yield SINGLE
        return
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    check_several(local_size, device)
    os.environ.setdefault("OMP_NUM_THREADS", str(_cores_each(local_size)))
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    # Batch norms synchronise by themselves; gradients as views of the buckets save a copy.
    options = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no",  # the step has its own autocast
        kwargs_handlers=[options, InitProcessGroupKwargs(timeout=_TIMEOUT)],
    )
    atexit.register(_leave)  # not earlier: a second run in these processes stays joined
    group = ProcessGroup(accelerator)
    notes = logging.getLogger("calco")
    level = notes.level
    if not group.is_rank0:  # the other processes would repeat each note
        notes.setLevel(logging.ERROR)
    try:
        yield group
    except RuntimeError as error:
        if any(word in str(error).lower() for word in _LOST):
            raise LostProcessError(f"another process of the run has ended; {group.remedy}") from error
        raise
    finally:
        notes.setLevel(level)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def check_several(processes: int, device: torch.device) -> None:
    """Check that this machine has accelerate, and a GPU for each process that needs one."""
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "several processes need accelerate; pip install 'calco[processes]', or train without --processes"
        ) from error
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise CalcoError(
            f"{processes} processes need a GPU each, and this machine has {torch.cuda.device_count()}; "
            "give fewer --processes, or --device cpu"
        )
    if device.type not in ("cpu", "cuda"):
        raise CalcoError(f"several processes compute on cpu or cuda, not on {device}; choose one of these as --device")


def launch(work: Callable[[], object], processes: int) -> str:
    """Run a picklable function in several new processes, which find each other as those of torchrun do.

    Returns:
        The result of rank 0 as text.

    Raises:
        CalcoError: If a process raised it, or was killed.
        KeyboardInterrupt: If they were interrupted.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pipes = [context.Pipe(duplex=False) for _ in range(processes)]
    members = [
        context.Process(target=_member, args=(work, sends, prints_notes()), name=f"calco-{rank}")
        for rank, (_, sends) in enumerate(pipes)
    ]
    signals: list[int] = []

    def stop(number: int, _frame: object) -> None:
        signals.append(number)
        for process in members:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGTERM)

    with handling_signals((signal.SIGINT, signal.SIGTERM), stop):
        _start(members)
        for _, sends in pipes:
            sends.close()
        _wait(members)
    endings = [_ending(receives) for receives, _ in pipes]
    kinds, texts = [kind for kind, _ in endings], dict(reversed(endings))  # the first of each kind
    if set(kinds) == {"done"}:
        return endings[0][1]
    if signals or "stopped" in kinds:
        raise KeyboardInterrupt
    if "error" in kinds:  # a process's own error explains more than a lost connection
        raise CalcoError(texts["error"])
    lost = texts.get("lost", "start it again")
    if "killed" in kinds:
        rank = kinds.index("killed")
        code = members[rank].exitcode or 0
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        hint = ", as when memory runs out" if code == -signal.SIGKILL else ""
        lost = f"process {rank + 1} of {processes} {ended}{hint}; {lost.rpartition('; ')[2]}"
    raise CalcoError(lost)


def _ending(receives: connection.Connection) -> tuple[str, str]:
    """Read how a process ended ("done", "error", "lost", "stopped" or "killed"), and its result or error."""
    try:
        kind, text = receives.recv()
    except EOFError:  # before it could report
        return "killed", ""
    return kind, text


@contextmanager
def handling_signals(numbers: Sequence[int], handler: Callable[[int, object], None]) -> Iterator[None]:
    """Handle signals in the main thread; a run in another thread is stopped by its owner."""
    main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, handler) for number in numbers if main}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _start(members: list[SpawnProcess]) -> None:
    """Start the processes with the environment that torchrun gives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    size = str(len(members))
    given = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(_cores_each(len(members)))),
    }  # fmt: skip
    if os.path.isdir("/sys/class/net/lo"):
        # The name of a machine may lead nowhere, or through a firewall.
        given["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    for rank, process in enumerate(members):
        with environment({**given, "RANK": str(rank), "LOCAL_RANK": str(rank)}):
            process.start()


def _wait(members: list[SpawnProcess]) -> None:
    """Wait for all processes; when one fails, give the others a moment, then kill them."""
    deadline: float | None = None
    while running := [process for process in members if process.is_alive()]:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        connection.wait([process.sentinel for process in running], timeout=left)
        if deadline is None and any(process.exitcode for process in members):
            deadline = time.monotonic() + _GRACE
        elif deadline is not None and time.monotonic() >= deadline:
            for process in running:
                process.kill()
            deadline = time.monotonic() + _GRACE
    for process in members:
        process.join()


def _member(work: Callable[[], object], sends: connection.Connection, prints: bool) -> None:
    """Do the work of one process and report how it ended; it ends with its parent, with a checkpoint if possible."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent forwards it
    end_with_parent(grace=60)
    if prints:
        print_notes()
    try:
        sends.send(("done", str(work())))
    except CalcoError as error:
        sends.send(("lost" if isinstance(error, LostProcessError) else "error", str(error)))
        os._exit(2)
    except KeyboardInterrupt:
        sends.send(("stopped", ""))
        os._exit(130)


def _cores_each(processes: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // processes)


def choose_threads(compute: ComputeConfig, device: torch.device, group: ProcessGroup = SINGLE) -> ThreadChoice:
    """Return the choice of the number of threads, among those that are possible for this process.

    Raises:
        UsageError: If more threads are asked for than there are cores.
    """
    cores = len(os.sched_getaffinity(0))
    if compute.threads != "auto" and compute.threads > cores:
        raise UsageError(
            f"threads is {compute.threads}; it must be at most the number of cores ({cores}): more only wait for each "
            "other; give --threads auto, or fewer"
        )
    return ThreadChoice(possible_counts(compute.threads, device.type, cores, group.local_size))


def ready_device(compute: ComputeConfig, group: ProcessGroup = SINGLE) -> torch.device:
    """Choose the device of this process; set its threads and memory as configured."""
    device = group.device or choose_device(compute.device)
    choose_threads(compute, device, group).apply()
    make_ready(device, exact=compute.precision == "fp32", deterministic=compute.deterministic)
    return device


def choose_workers(workers: int | Literal["auto"], device: torch.device) -> int:
    """Resolve "auto": one thread for each core beside a GPU, one for four cores on a CPU, eight at most."""
    if workers != "auto":
        return workers
    cores = len(os.sched_getaffinity(0))
    return max(1, min(_MOST_WORKERS, cores // 4 if device.type == "cpu" else cores))


def need_compiler(device: torch.device) -> None:
    """Check that there is a C++ compiler if torch.compile needs one for a device."""
    if device.type == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        raise CalcoError("--compile needs a C++ compiler and there is none; install g++, or leave --compile out")
