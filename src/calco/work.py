"""Work in chunks or items, in order: this process, its threads, processes beside it, or Ray, here or on a cluster.

`results` is given a function that makes a worker (once for each process: it may load a model) and chunks for it. Both
travel to other processes. A chunk may be worked on twice, if its process dies; so a worker must write the same the
second time, under the same name.
"""

import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from tyro.conf import arg

from calco.errors import CalcoError, MissingExtraError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

Name: TypeAlias = Literal["local", "ray"]
Begin: TypeAlias = Callable[[], Callable[[Chunk], Result]]
"""Makes a worker; can be sent to another process."""

RETRIES: Final = 3  # after so many deaths over one chunk, the chunk is the cause
_MOST_JOBS: Final = 1024
_PATIENCE: Final = 5.0  # seconds for an address to answer
_STORE: Final = 512 << 20  # bytes that a local Ray may share: chunks and results are names and numbers
_REMEDY: Final = (
    "start one with `ray start --head`, check the address, or leave --address out for a Ray of its own here"
)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Choice of workers: processes of this machine, or Ray Data."""

    name: Name = "local"
    jobs: int = 0  # number of workers; 0 for as many as there are cores
    address: str = ""  # of a Ray cluster ("auto", "ray://host:10001", "host:6379"); empty to start Ray here

    def __post_init__(self) -> None:
        if self.name not in ("local", "ray"):
            raise CalcoError(f"engine is {self.name!r}; choose local or ray")
        if not 0 <= self.jobs <= _MOST_JOBS:
            raise CalcoError(
                f"jobs is {self.jobs}; it must lie between 0 and {_MOST_JOBS}: leave it out for as many as cores"
            )
        if self.address and self.name != "ray":
            raise CalcoError(f"--address {self.address} is a Ray cluster's; add --engine ray, or leave it out")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options of commands whose workers load a model."""

    engine: Name = "local"
    """local: this process, or several with --jobs; ray: Ray Data."""

    address: str = ""
    """Address of a Ray cluster (auto, ray://host:10001, host:6379); by default a Ray of its own on this machine."""

    jobs: Annotated[int | None, arg(metavar="INT")] = None
    """Processes that load the model; 0 for one per core. By default this process alone; with Ray one per core."""

    def workers(self) -> Engine:
        """Return the engine, checked."""
        # One process with all cores is the fastest that one machine can do with a model: more only when asked for.
        jobs = (1 if self.engine == "local" else 0) if self.jobs is None else self.jobs
        return Engine(name=self.engine, jobs=jobs, address=self.address)


def results(
    engine: Engine, begin: Begin[Chunk, Result], chunks: Sequence[Chunk], *, on_gpu: bool = False
) -> Generator[tuple[int, Result], None, None]:
    """Yield the number of each chunk and its result: in order from local workers, as they come from Ray.

    Args:
        engine: Choice of workers.
        begin: Makes a worker.
        chunks: Arguments of the worker's calls.
        on_gpu: Give each worker of a Ray cluster a GPU of its own, if it has some.

    Raises:
        CalcoError: From a worker; if processes end before their work; if Ray is absent or does not answer.
    """
    if not chunks:
        return
    jobs = min(engine.jobs or len(os.sched_getaffinity(0)), len(chunks))
    if engine.name == "ray":
        yield from _by_ray(engine, begin, chunks, on_gpu=on_gpu)
    elif jobs == 1:
        yield from enumerate(map(begin(), chunks))
    else:
        yield from enumerate(_by_processes(jobs, begin, chunks))


def prefetched(work: Callable[[Chunk], Result], items: Iterable[Chunk], threads: int) -> Iterator[Result]:
    """Yield the results of a function in order, computed in threads a few items ahead; 0 threads compute on demand."""
    if not threads:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads, "calco-prefetch") as pool:
        yield from _in_order(lambda item: pool.submit(work, item), items, ahead=2 * threads + 2)


def _in_order(submit: Callable[[Chunk], "Future[Result]"], items: Iterable[Chunk], *, ahead: int) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(submit(item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _by_processes(jobs: int, begin: Begin[Chunk, Result], chunks: Sequence[Chunk]) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    # The libraries read these when they are loaded: each process has one core.
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with environment(single):
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_ready, initargs=(begin,))
        try:
            yield from _in_order(lambda chunk: pool.submit(_work, chunk), chunks, ahead=2 * jobs)
        except BrokenProcessPool as error:
            raise CalcoError(
                "a process ended before its work, as when memory runs out (or a script starts it outside of "
                "`if __name__ == '__main__':`); what is written stays: go on with fewer --jobs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for new processes, and restore the earlier ones."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def end_with_parent(grace: float = 0.0) -> None:
    """End this process when its parent ends: at once, or by SIGTERM and in any case after `grace` seconds."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def follow() -> None:
        connection.wait([sentinel])
        if grace:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(grace)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


_BEGIN: list[Begin[Any, Any]] = []  # in a worker process: what it was sent
_WORKER: list[Callable[[Any], Any]] = []  # the worker that this made


def _ready(begin: Begin[Any, Any]) -> None:
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the first one stops the others
    _BEGIN[:] = [begin]
    end_with_parent()


def _work(chunk: Any) -> Any:
    if not _WORKER:
        _WORKER.append(_BEGIN[0]())
    return _WORKER[0](chunk)


def _by_ray(
    engine: Engine, begin: Begin[Chunk, Result], chunks: Sequence[Chunk], *, on_gpu: bool
) -> Iterator[tuple[int, Result]]:
    with _connected(engine) as ray:
        found = ray.cluster_resources()
        cpus, gpus = (int(found.get(kind, 0)) for kind in ("CPU", "GPU"))
        on_gpu = on_gpu and gpus > 0
        size = min(engine.jobs or (gpus if on_gpu else max(1, cpus)), len(chunks))
        rows = [{"place": place, "chunk": ray.cloudpickle.dumps(chunk)} for place, chunk in enumerate(chunks)]
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that Ray gives up in a release that pyproject.toml keeps out
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = context.print_on_execution_start = False
            planned = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _RayWorker,
                fn_constructor_args=(ray.cloudpickle.dumps(begin), os.getcwd()),
                batch_size=1,
                # A chunk that waits behind another for one worker would be lost time at the end.
                compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
                num_cpus=1,
                num_gpus=1 if on_gpu else 0,
                # A worker that dies is started anew however often, a chunk is given up after some deaths.
                max_restarts=-1,
                max_task_retries=RETRIES,
            )
        try:
            for row in planned.iter_rows():
                if row["error"]:
                    raise CalcoError(row["error"])
                yield int(row["place"]), ray.cloudpickle.loads(row["result"])
        except ray.exceptions.RayError as error:
            raise _explained(ray, error) from error


def _explained(ray: Any, error: Any) -> Any:
    """Describe an error of Ray in a line; return a bug of Calco as it is."""
    if "No module named" in str(error):
        missing = str(error).rpartition("No module named")[2].split()[0]
        return CalcoError(f"a node of the Ray cluster has no Python module {missing}; install the same Calco on each")
    deaths = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError, MemoryError)
    if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error, deaths):
        return error
    return CalcoError(
        f"a Ray worker ended before its work, {RETRIES + 1} times over the same part, as when memory runs out; what is "
        "written stays: go on with fewer --jobs, or give the nodes more memory"
    )


class _RayWorker:
    """Actor of Ray Data: a row with a chunk becomes a row with its result or its error."""

    def __init__(self, begin: bytes, folder: str) -> None:
        import cv2
        from ray import cloudpickle

        cv2.setNumThreads(1)
        with suppress(OSError):  # relative paths start at the folder of the command
            os.chdir(folder)
        self.begin = cloudpickle.loads(begin)
        self.work: Callable[[Any], Any] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, list[Any]]:
        from ray import cloudpickle

        result, error = b"", ""
        try:
            if self.work is None:
                self.work = self.begin()
            result = cloudpickle.dumps(self.work(cloudpickle.loads(row["chunk"][0])))
        except CalcoError as refused:
            error = str(refused)
        return {"place": [int(row["place"][0])], "result": [result], "error": [error]}


@contextmanager
def _connected(engine: Engine) -> Iterator[Any]:
    """Connect to Ray; one that runs in this process already is used and left as it is."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported: sends no usage statistics
    try:
        import ray
        import ray.cloudpickle
        import ray.data
    except ImportError as error:
        raise MissingExtraError(
            "--engine ray needs another library; pip install 'calco[ray]', or leave it out"
        ) from error
    if engine.address not in ("", "auto", "local"):
        _check_address(engine.address)
    began = not ray.is_initialized()
    # Ray reports deaths on stdout, where a verb's result belongs.
    with redirect_stdout(sys.stderr):
        try:
            if began:
                options: dict[str, Any] = {"address": engine.address}
                if not engine.address:
                    cores = engine.jobs or len(os.sched_getaffinity(0))
                    options = {"address": "local", "num_cpus": cores, "include_dashboard": False}
                    options["object_store_memory"] = _STORE
                try:
                    ray.init(**options, log_to_driver=False, logging_level=logging.CRITICAL)
                except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
                    reason = (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")
                    where = f"Ray at {engine.address} cannot be used" if engine.address else "Ray does not start"
                    raise CalcoError(f"{where}: {reason}; {_REMEDY}") from None
            yield ray
        finally:
            if began:
                ray.shutdown()


def _check_address(address: str) -> None:
    """Make sure that Ray answers at an address; Ray itself waits for minutes."""
    host, _, port = address.removeprefix("ray://").rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        raise CalcoError(f"--address {address} is no Ray address; write auto, ray://host:10001 or host:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
        if not address.startswith("ray://"):
            # Something listens; Ray's own command asks whether that is Ray.
            command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
            asked = subprocess.run(command, capture_output=True, timeout=2 * _PATIENCE, check=False)
            if b"AuthenticationError" in asked.stderr:
                raise CalcoError(
                    f"Ray at {address} wants its token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to its file"
                )
            if asked.returncode:
                raise CalcoError(f"what answers at {address} is no Ray cluster of this version; {_REMEDY}")
    except subprocess.TimeoutExpired:
        raise CalcoError(f"what answers at {address} does not speak as Ray does; {_REMEDY}") from None
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CalcoError(f"no Ray answers at {address}: {reason}; {_REMEDY}") from None
