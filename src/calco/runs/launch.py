"""Starts the processes of a run on this machine, and ends them together."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import FrameType

from calco.errors import CalcoError

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
