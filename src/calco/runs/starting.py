"""How a run begins, is driven, and ends: whatever it trains."""

import contextlib
import math
import shlex
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from torch import Tensor

from calco.console import say
from calco.errors import CalcoError, WriteError, printable
from calco.files import explain, make_folder, sweep
from calco.locks import locked_folder
from calco.networks.machine import choose_device
from calco.records import read_yaml
from calco.runs.checkpoint import (
    checkpoint_path,
    latest_checkpoint,
    list_checkpoints,
    load_position,
    set_damaged_aside,
)
from calco.runs.config import ComputeConfig, LimitConfig
from calco.runs.course import Course, Interrupted
from calco.runs.journal import Journal, ProgressLine
from calco.runs.launch import launch
from calco.runs.processes import Team, check_several, is_started, joined

_RUN: Final = {"seed", "limit", "keep", "optimiser", "compute"}
"""Fields that every training's configuration has."""
_WRITTEN: Final = ("samples", "checkpoints", "tensorboard", "evolution.mp4", "left_out.json", "report")
"""What a run writes beside its configuration, log and model."""


def in_processes(work: Callable[[Team, ExitStack], Path], member: Callable[[], str], compute: ComputeConfig) -> Path:
    """Does the work of a run in this process, or starts as many as the configuration asks for.

    Args:
        work: What one of the processes does, given the team and what is to be closed after it.
        member: The whole call again, as each process that is started here makes it; it can be sent there.
        compute: How many processes, and where they compute.

    Returns:
        The run's folder.

    Raises:
        CalcoError: As the work, or when one of several processes was killed.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    device, processes = choose_device(compute.device), compute.processes
    if processes > 1 and not is_started():
        check_several(processes, device)
        try:
            return Path(launch(member, processes))
        except KeyboardInterrupt as error:
            raise Interrupted from error
    with joined(device) as team, ExitStack() as held:
        return work(team, held)


def shared_batch(out: str, batch: int, processes: int, *, items: str) -> int:
    """The batch of each process for a run that goes on with so many: they share what was taken at once before.

    Args:
        out: The run's folder.
        batch: What the configuration says.
        processes: How many there are now.
        items: What the run learns from, such as "pairs".

    Raises:
        CalcoError: When it cannot be shared evenly.
    """
    position = load_position(latest_checkpoint(Path(out) / "checkpoints"))
    before = position.get("processes", 1)
    batch = position.get("batch", batch)
    if batch * before % processes:
        fit = [str(number) for number in range(1, batch * before + 1) if batch * before % number == 0]
        raise CalcoError(
            f"{out} takes {batch * before} {items} at once, which {processes} processes cannot share evenly; "
            f"go on with --processes {' or '.join(fit)}"
        )
    return int(batch * before // processes)


def has_progress(folder: Path) -> bool:
    """Whether a folder holds results of training: a checkpoint beyond step 0, a model or samples."""
    return (
        any(path != checkpoint_path(path.parent, 0) for path in list_checkpoints(folder / "checkpoints"))
        or any((folder / name).exists() for name in ("model", ".model.old", "model.json"))
        or any((folder / "samples").glob("step-*.png"))
    )


def resumes(out: str, verb: str, held: ExitStack) -> bool:
    """Whether there is anything to resume; a run that was killed before its first checkpoint starts at step 0.

    Args:
        out: The run's folder.
        verb: The command.
        held: Takes the folder's lock.

    Raises:
        CalcoError: When the folder holds no run, or a training is at work there.
    """
    folder = Path(out)
    if not out or not ((folder / "config.yaml").is_file() or has_progress(folder)):
        raise CalcoError(f"{out or 'the empty name'} is not a run's folder; name the folder that the training wrote")
    held.enter_context(locked_folder(folder, verb))
    if not has_progress(folder):
        say(f"{folder} has no checkpoint beyond step 0: training starts anew")
        return False
    set_damaged_aside(folder / "checkpoints")
    return True


def run_folder(out: str, stem: str, verb: str, held: ExitStack, *, resume: bool) -> Path:
    """The run's folder, made if need be, and locked.

    A folder with a configuration and no results yet, as a kill before the first checkpoint leaves it, is used again.

    Args:
        out: Its name, or empty for a new one under runs/.
        stem: What a new one is called.
        verb: The command.
        held: Takes the folder's lock.
        resume: Whether a run is expected there.

    Raises:
        CalcoError: When a run is there that was not expected, a training is at work there, or the folder cannot serve.
    """
    if printable(out) != out:  # safetensors takes names in UTF-8 alone
        raise CalcoError(
            f"the folder {out} has a name that is not UTF-8, so its model could not be read; choose another --out"
        )
    folder = held.enter_context(locked_folder(Path(out) if out else _new_folder(stem), verb))
    for place in (folder, folder / "samples", folder / "checkpoints"):
        sweep(place)
    if not resume:
        _check_free(folder)
        for left in list_checkpoints(folder / "checkpoints"):  # of step 0, perhaps of another network
            left.unlink(missing_ok=True)
    return folder


def _check_free(folder: Path) -> None:
    """Refuses to train where results are that the training would replace.

    Raises:
        CalcoError: When there are such.
    """
    if has_progress(folder):
        kept = list_checkpoints(folder / "checkpoints")
        going_on = f"go on with it by --resume {shlex.quote(str(folder))}, or " if kept else ""
        raise CalcoError(f"{folder} holds a run already; {going_on}choose another --out")
    config, log = folder / "config.yaml", folder / "log.jsonl"
    foreign = config.exists() and _RUN - read_yaml(config).keys()
    if foreign or (not config.exists() and log.exists()):
        file = (config if foreign else log).name
        raise CalcoError(f"{folder} holds the {file} of something else than a training; choose another --out")
    if not config.exists() and (others := [name for name in _WRITTEN if (folder / name).exists()]):
        raise CalcoError(f"{folder} holds other objects, such as {others[0]}; choose a new or empty folder with --out")


def _new_folder(stem: str) -> Path:
    """A folder that was not there; of two trainings that begin at once each gets its own."""
    runs = make_folder("runs")
    for number in range(1, 10_000):
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise explain(error, folder, "make the folder") from error
        return folder
    raise CalcoError(f"runs/{stem} exists ten thousand times over; name another folder with --out")


def foresee_disk(folder: Path, state: dict[str, Tensor], checkpoints: int) -> None:
    """Refuses to begin what the disk cannot hold.

    Args:
        folder: The run's.
        state: What a checkpoint holds before the first step.
        checkpoints: How many are kept.
    """
    # Adam's two moments come with the first step, and are as large as the weights.
    checkpoint = sum(t.numel() * t.element_size() for t in state.values()) * 3
    needed = checkpoint * (checkpoints + 1) + checkpoint // 2 + (64 << 20)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CalcoError(
            f"the run needs about {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB left; free some "
            "space, choose another --out, or keep fewer --checkpoints"
        )


def take_up(course: Course[Any]) -> None:
    """Goes on where the last checkpoint stands.

    Raises:
        CalcoError: When there is none, or the run has reached its limit.
    """
    course.restore(latest_checkpoint(course.folder / "checkpoints"))
    if course.complete:
        raise CalcoError(
            f"{course.folder} has reached its limit at step {course.step}; to train on, give a higher one: "
            f"{course.resume_command} {_higher(course)}"
        )


def _higher(course: Course[Any]) -> str:
    """Options for a limit twice as far as the run has come."""
    limit, options = course.limit, []
    if limit.steps:
        options.append(f"--steps {2 * course.step}")
    if limit.epochs:
        options.append(f"--epochs {2 * max(1, course.epoch)}")
    if limit.minutes:
        options.append(f"--minutes {max(1, math.ceil(course.seconds / 60)) * 2}")
    return " ".join(options)


def until(limit: LimitConfig) -> str:
    """A limit in words, such as "200 epochs or 10 minutes"."""
    parts = [f"{limit.epochs} epochs" if limit.epochs else "", f"{limit.steps} steps" if limit.steps else ""]
    parts.append(f"{limit.minutes:g} minutes" if limit.minutes else "")
    return " or ".join(part for part in parts if part)


def drive(course: Course[Any], *, progress: bool) -> None:
    """Trains from the present position to the limit.

    Args:
        course: The run.
        progress: Whether the line of progress is shown.

    Raises:
        Interrupted: After a signal, with a checkpoint written.
        CalcoError: When a loss is not finite, or the disk is full.
    """
    first = course.team.first
    if first:
        _tidy(course)
    try:
        if first:
            course.record_contents()
        journal = Journal(
            course.folder, tensorboard=course.keep.tensorboard, from_step=course.step, validated=course.validated,
            silent=not first,
        )  # fmt: skip
        with (
            contextlib.closing(journal),
            _stopped_by_signals(course),
            ProgressLine(shown=progress and first) as line,
        ):
            if course.step == 0:
                course.save()
            course.train(journal, line)
    except Interrupted:
        say(f"stopped at step {course.step} with a checkpoint; go on with: {course.resume_command}")
        raise
    except WriteError as error:
        raise type(error)(f"{error}; then go on with: {course.resume_command}") from error


def _tidy(course: Course[Any]) -> None:
    """Removes what a kill left behind: files half written, samples of steps that come again, a model half replaced."""
    folder = course.folder
    old, model = folder / ".model.old", folder / "model"
    if old.exists() and not model.exists():
        old.rename(model)
    for left in (*folder.glob(".model.*.tmp"), *folder.glob(".*.tmp.*")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    for sheet in (folder / "samples").glob("step-*.png"):
        if sheet.stem.removeprefix("step-").isdigit() and int(sheet.stem.removeprefix("step-")) > course.step:
            sheet.unlink(missing_ok=True)


@contextmanager
def _stopped_by_signals(course: Course[Any]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after its step, with a checkpoint; asked twice, at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if course.stop_signal is not None:
            raise KeyboardInterrupt
        course.stop_signal = number

    # Python lets the main thread alone handle signals; a run in another thread is stopped by its owner.
    main = threading.current_thread() is threading.main_thread()
    # What is ignored stays so: of several processes, the one that started them hears Ctrl-C, and passes it on.
    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if main and signal.getsignal(n) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
