"""A run on its way: its position, and the loop that moves it."""

import contextlib
import itertools
import math
import shlex
import shutil
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Generic, NoReturn, Protocol, TypeVar

import av
import numpy as np
import torch
from torch import Tensor

from calco import imaging
from calco.console import say, warn
from calco.data.config import SourceConfig
from calco.data.source import Item, Source
from calco.errors import CalcoError, UnusableError, WriteError
from calco.files import make_folder, replacing, write_json
from calco.imaging import Image
from calco.networks.machine import choose_device
from calco.training.batching import LoadsBatch, batches
from calco.training.checkpoint import (
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from calco.training.log import ProgressLine, RunLog, Window
from calco.training.processes import ALONE, Team, check_several, choose_workers, is_started, joined, launch
from calco.training.run_folder import changes, contents_of, load_contents, save_contents, with_earlier
from calco.training.shared_config import ComputeConfig, LimitConfig, RunKeepConfig
from calco.version import __version__


class Readable(Sized, Protocol):
    """The images of one split, as a run reads them."""

    damaged: dict[str, str]
    """Key and reason of every one that could not be used so far."""
    cache_bytes: int
    """How much memory those take at most that are kept."""


D = TypeVar("D", bound=Readable)


@dataclass(frozen=True, kw_only=True)
class RunData(Generic[D]):
    """The images of a run.

    Attributes:
        source: Where they are from.
        splits: Items by split.
        train: Those that are learned from.
        validation: Those that are checked on.
    """

    source: Source
    splits: dict[str, list[Item]]
    train: D
    validation: D

    def provenance(self) -> dict[str, Any]:
        """Where the training images came from."""
        return {
            "images": self.source.root,
            "source": self.source.kind,
            "splits": {name: len(items) for name, items in self.splits.items()},
        }

    def left_out(self) -> dict[str, str]:
        """Every image that was not used, and why."""
        damaged = self.train.damaged | self.validation.damaged
        used = {item.key for items in self.splits.values() for item in items}
        unsplit = {item.key: "too near to another split, or in a group with it" for item in self.source.items}
        unsplit = {key: reason for key, reason in unsplit.items() if key not in used}
        return dict(self.source.left_out) | unsplit | {key: damaged[key] for key in sorted(damaged)}


def whole_path(path: str | None) -> str | None:
    """A path that holds from anywhere, where something stands at it; other words as they are."""
    return str(Path(path).resolve()) if path and Path(path).exists() else path


def whole_paths(named: SourceConfig) -> SourceConfig:
    """The same with paths that hold from anywhere: a run is resumed and scored from other folders than its first."""
    return replace(
        named,
        annotations=whole_path(named.annotations),
        groups=whole_path(named.groups),
        drop=whole_path(named.drop),
    )


def write_video(images: Sequence[Path], path: Path, *, seconds: float = 10.0) -> None:
    """A video (H.264 in MP4) of the images in their order; all have the first one's size.

    Args:
        images: Files, at least one.
        path: Ends in .mp4.
        seconds: How long it should take, within 2 to 24 frames a second; the last image stays for two seconds.
    """
    rate = int(np.clip(round(len(images) / seconds), 2, 24))
    first = imaging.read(images[0], channels=3)
    height, width = first.shape[:2]
    with replacing(path) as temporary, av.open(str(temporary), "w") as video:
        stream = video.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for source in [*images, *[images[-1]] * (2 * rate)]:
            frame = imaging.read(source, channels=3)
            if frame.shape != first.shape:
                frame = imaging.resize(frame, (width, height))
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        video.mux(stream.encode())


class Interrupted(KeyboardInterrupt):
    """The person or the system asked the run to stop; a checkpoint has been written."""


class TakesBatches(Protocol):
    """How much a run takes at once."""

    @property
    def batch(self) -> int:
        """Items a forward pass."""

    @property
    def accumulate(self) -> int:
        """Forward passes before one step."""

    @property
    def learning_rate(self) -> float:
        """The step size."""


class RunConfig(Protocol):
    """What every run's configuration says."""

    @property
    def seed(self) -> int:
        """From which every chance derives."""

    @property
    def limit(self) -> LimitConfig:
        """When to stop."""

    @property
    def keep(self) -> RunKeepConfig:
        """What is measured and kept."""

    @property
    def optimiser(self) -> TakesBatches:
        """How much is taken at once."""

    @property
    def compute(self) -> ComputeConfig:
        """Where and how it is computed."""


B = TypeVar("B")


class Course(ABC, Generic[B]):
    """A run's position, and the loop that moves it until a limit is reached.

    What is learned, from what, and how it is validated, is the subclass's matter.

    Args:
        config: The whole configuration, resolved.
        folder: The run's folder.
        data: The images.
        device: Where this process computes.
        team: The processes that learn together; the first one of them validates and writes.

    Raises:
        CalcoError: When there are fewer items to train on than all processes take at once.
    """

    command: ClassVar[str]
    """The verb that trains, as a person writes it."""
    items: ClassVar[str]
    """What the items are called."""
    steadier: ClassVar[str]
    """Options that make a run steadier, beside a lower rate."""
    data: RunData[Any]

    def __init__(
        self, config: RunConfig, folder: Path, data: RunData[Any], device: torch.device, team: Team = ALONE
    ) -> None:
        self._config, self.folder, self.data, self.device, self.team = config, folder, data, device, team
        self.limit, self.keep, self.options = config.limit, config.keep, config.optimiser
        self.num_items = num_items = len(data.train)
        data.train.cache_bytes //= team.here  # memory is one, however many share it
        self._provenance: dict[str, Any] | None = None
        self._trained_on: list[str] | None = None  # digests
        at_once = team.world * self.options.batch
        if team.world > 1 and at_once > num_items:
            raise CalcoError(
                f"{team.world} processes with --batch {self.options.batch} take {at_once} {self.items} at once, and "
                f"there are {num_items} to train on; give fewer --processes or a smaller --batch"
            )
        self.step = self.epoch = self.batch_in_epoch = 0
        self.seconds_before, self.started = 0.0, time.monotonic()
        self._clock = 0.0  # seconds after the last step, as all processes know them
        self.best: float | None = None
        self.validated = 0  # the step of the last validation
        self._last_update, self._speed = 0.0, 0.0
        self.window, self.last_window = Window(), Window()
        self.stop_signal: int | None = None
        self._noted: set[str] = set()

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def pairs_per_update(self) -> int:
        """Items that all processes together take for one update."""
        return self.options.batch * self.team.world * self.options.accumulate

    @property
    def batches_per_epoch(self) -> int:
        """Updates in one pass over the training items."""
        options = self.options
        return max(1, self.num_items // (options.batch * self.team.world) // options.accumulate)

    @property
    def progress(self) -> float:
        """The share of the run that is done, by the limit that will be reached first."""
        limit = self.limit
        shares = [0.0]
        if limit.steps:
            shares.append(self.step / limit.steps)
        if limit.epochs:
            shares.append((self.epoch + self.batch_in_epoch / self.batches_per_epoch) / limit.epochs)
        if limit.minutes:
            # All processes must come to the same rate, and to the same end.
            seconds = self.seconds if self.team.world == 1 else self._clock
            shares.append(seconds / (60 * limit.minutes))
        return max(shares)

    @abstractmethod
    def feed(self, skip: int) -> Generator[B, None, None]:
        """The batches of the present epoch from the `skip`-th on, of this process."""

    @abstractmethod
    def set_rate(self) -> float:
        """Sets the learning rate for the present progress, and returns it."""

    @abstractmethod
    def learn(self, group: list[B]) -> dict[str, float]:
        """One update from some batches; returns the mean losses of this process."""

    @abstractmethod
    def average(self) -> None:
        """Moves averaged weights towards the current ones, after a step."""

    @abstractmethod
    def count(self, batch: B) -> int:
        """How many items a batch holds."""

    @abstractmethod
    def told(self, losses: Mapping[str, float]) -> str:
        """Losses as the line of progress shows them."""

    @abstractmethod
    def validate(self, journal: RunLog) -> None:
        """Scores the network, logs the samples, and keeps the model when it is the best yet."""

    @abstractmethod
    def keep_model(self, scores: Mapping[str, float]) -> None:
        """Writes the model folder from the present weights."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The weights that are validated and kept, by name."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold of networks and optimisers, chance included."""

    @abstractmethod
    def put_back(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""

    def batches(self, load: LoadsBatch[D, B], items: D, skip: int) -> Generator[B, None, None]:
        """The batches of the present epoch from the `skip`-th on, of this process, see `batches`."""
        return batches(
            load,
            items,
            seed=self._config.seed,
            epoch=self.epoch,
            batch=self.options.batch,
            skip=skip,
            workers=choose_workers(self._config.compute.workers, self.device),
            pinned=self.device.type == "cuda",
            rank=self.team.rank,
            world=self.team.world,
        )

    def note(self, text: str) -> None:
        """Prints a remark once, however often its reason comes back."""
        if text not in self._noted:
            self._noted.add(text)
            warn(text)

    def tell(self, journal: RunLog, scores: Mapping[str, float], sheet: Image) -> None:
        """Logs the scores of a validation, and keeps the sheet of its samples: HWC `uint8`."""
        journal.write(self.step, epoch=self.epoch, time=round(self.seconds, 2), validation=scores)
        imaging.write(make_folder(self.folder / "samples") / f"step-{self.step:09d}.png", sheet)
        journal.image(self.step, "samples", sheet)

    def provenance(self) -> dict[str, Any]:
        """What made a model: the versions, the images, the epoch."""
        if self._provenance is None:
            known = {} if self._trained_on is None else {"trained_on": self._trained_on}
            versions = {"calco": __version__, "torch": str(torch.__version__)}
            self._provenance = {**versions, **self.data.provenance(), **known}
        return {**self._provenance, "epoch": self.epoch}

    def finish(self) -> None:
        """Draws the video of the samples, and lists what was left out."""
        for damaged in self.team.every(self.data.train.damaged):
            self.data.train.damaged.update(damaged)
        if not self.team.first:
            return
        sheets = sorted((self.folder / "samples").glob("step-*.png"))
        if sheets:
            try:
                write_video(sheets, self.folder / "evolution.mp4")
            except CalcoError as error:  # the model is there, and counts more than its video
                warn(f"the video of the samples is missing: {error}")
        if left_out := self.data.left_out():
            listed = self.folder / "left_out.json"
            write_json(listed, left_out)
            name, reason = next(iter(left_out.items()))
            warn(f"{len(left_out)} images were left out, such as {name}: {reason}; all are listed in {listed}")

    def meta(self) -> dict[str, Any]:
        """What a checkpoint says besides its tensors: the position."""
        return {
            "processes": self.team.world,
            "batch": self.options.batch,
            "pairs_in_epoch": self.batch_in_epoch * self.pairs_per_update,
            "epoch": self.epoch,
            "batch_in_epoch": self.batch_in_epoch,
            "seconds": self.seconds,
            "best": self.best,
            "validated": self.validated,
            "window": self.window.state(),
            "last_window": self.last_window.state(),
        }

    @property
    def resume_command(self) -> str:
        """The command that goes on with the run."""
        return f"{self.command} --resume {shlex.quote(str(self.folder))}"

    @property
    def kept(self) -> str:
        """Which weights the model has: the "best" by a validation, or the "last"."""
        return "last" if self.best is None else "best"

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do before the limit, nor what follows it: validation, model and video."""
        there = (self.folder / "model").exists() and self.validated == self.step
        videoed = (self.folder / "evolution.mp4").exists() or not any((self.folder / "samples").glob("step-*.png"))
        return self.progress >= 1 and there and videoed

    def save(self) -> None:
        """Writes a checkpoint of this moment, in the first of the processes."""
        if self.team.first:
            self._check_weights()
            folder = make_folder(self.folder / "checkpoints")
            save_checkpoint(folder, self.step, self.state(), self.meta(), self.keep.checkpoints)

    def restore(self, path: Path) -> None:
        """Goes back to the moment of a checkpoint.

        Raises:
            CalcoError: When it is damaged, or that of another network than the configuration describes.
        """
        tensors, meta = load_checkpoint(path)
        try:
            self.put_back(tensors)
        except (RuntimeError, KeyError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise CalcoError(
                f"{path} does not fit {self.folder / 'config.yaml'} ({reason}); restore the configuration that the run "
                "began with, or train anew with another --out"
            ) from error
        self.step, self.epoch, self.batch_in_epoch = meta["step"], meta["epoch"], meta["batch_in_epoch"]
        if "pairs_in_epoch" in meta:  # the number of processes may be another one now
            self.batch_in_epoch = meta["pairs_in_epoch"] // self.pairs_per_update
        self.seconds_before, self.started = meta["seconds"], time.monotonic()
        self._clock = self.seconds_before
        self.best, self.validated = meta["best"], meta["validated"]
        self.window, self.last_window = Window(meta["window"]), Window(meta["last_window"])

    def record_contents(self) -> None:
        """Records the images of the run by their contents; of a resumed run, reports which are no longer the same."""
        now, before = contents_of(self.data.source, self.data.splits), None
        if self.step:
            before = load_contents(self.folder)
        if before is not None:
            if differ := changes(before, now):
                warn(f"{differ}: they are not those that the run began with; it goes on with what is there now")
            now = with_earlier(now, before)
        save_contents(self.folder, now)
        self._trained_on = now.trained_on

    def train(self, journal: RunLog, line: ProgressLine) -> None:
        """Trains until a limit is reached.

        Raises:
            Interrupted: After a signal, with a checkpoint written.
            CalcoError: When a loss is not finite, or the disk is full.
        """
        while self.progress < 1 or not self.step:  # however short the time is, one step is made
            self._train_epoch(journal, line)
            keep = self.keep
            if self.epoch % keep.validate_every == 0 and self.step - self.validated >= keep.validate_steps:
                self._validate(journal)
        # The end; a run that was killed between its last step and this validation comes here at once.
        if self.validated < self.step or not (self.folder / "model").exists():
            self._validate(journal)

    def _validate(self, journal: RunLog) -> None:
        """Scores the network and keeps the model, or keeps the last one where there is nothing to validate on."""
        self.validated = self.step
        if self.team.first:
            self._check_weights()
            if len(self.data.validation):
                try:
                    self.validate(journal)
                except UnusableError as error:
                    self.note(f"there is no validation: {error}; the last weights are kept")
                    self.keep_model({})
            else:
                self.keep_model({})
        self.save()

    def _train_epoch(self, journal: RunLog, line: ProgressLine) -> None:
        accumulate = self.options.accumulate
        feed = self.feed(self.batch_in_epoch * accumulate)
        self._last_update = time.monotonic()
        with contextlib.closing(feed):
            while self.batch_in_epoch < self.batches_per_epoch:
                self._update(list(itertools.islice(feed, accumulate)), journal, line)
                if self.progress >= 1:
                    break
        # An epoch that a limit cut short still counts as the one it is, so that nothing is trained twice on resume.
        if self.batch_in_epoch >= self.batches_per_epoch:
            self.epoch, self.batch_in_epoch = self.epoch + 1, 0

    def _update(self, group: list[B], journal: RunLog, line: ProgressLine) -> None:
        rate = self.set_rate()
        own = self.learn(group)
        asked = self.stop_signal is not None
        losses, asked, self._clock = self.team.agree(own, stop=asked, seconds=self.seconds)
        if not all(math.isfinite(value) for value in losses.values()):
            self._not_finite(losses)
        self.step += 1
        self.batch_in_epoch += 1
        self.average()
        self.window.add(losses)
        speed = self._measure_speed(sum(self.count(batch) for batch in group) * self.team.world)
        left = self.seconds * (1 - self.progress) / max(1e-9, self.progress)
        line.update(self.progress, self.step, speed, self.told(self.window.means()), left)
        if self.step % self.keep.log_steps == 0:
            journal.write(
                self.step,
                epoch=self.epoch,
                time=round(self.seconds, 2),
                train=self.window.means(),
                rate=rate,
                images_per_s=round(speed, 2),
            )
            self.last_window, self.window = self.window, Window()
        # Alone, a signal counts until the last moment; together, all must stop after the same step.
        if asked if self.team.world > 1 else self.stop_signal is not None:
            self.save()
            raise Interrupted
        if self.step % self.keep.checkpoint_steps == 0:
            self.save()

    def _measure_speed(self, num_pairs: int) -> float:
        """Items per second with the waiting for data, smoothed over some ten steps."""
        now = time.monotonic()
        current = num_pairs / max(1e-9, now - self._last_update)
        self._last_update = now
        self._speed = current if not self._speed else 0.9 * self._speed + 0.1 * current
        return self._speed

    def _check_weights(self) -> None:
        """Makes sure that what is kept can be loaded again: a step from finite losses may lead to weights that are not.

        Raises:
            CalcoError: When a weight is NaN or infinite.
        """
        for name, tensor in self.weights().items():
            if not bool(torch.isfinite(tensor).all()):
                self._stop(f"step {self.step}: the weights {name} are not finite numbers")

    def _not_finite(self, losses: dict[str, float]) -> None:
        bad = ", ".join(f"{name} {value}" for name, value in losses.items() if not math.isfinite(value))
        self._stop(f"step {self.step + 1}: {bad}; losses must be finite")

    def _stop(self, reason: str) -> NoReturn:
        kept = list_checkpoints(self.folder / "checkpoints")
        good = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint was written yet"
        raise CalcoError(
            f"{reason}; {good}; train anew with another --out and a lower --learning-rate "
            f"(now {self.options.learning_rate:g}), {self.steadier}"
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
        journal = RunLog(
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
