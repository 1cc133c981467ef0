"""The Trainer: the loop that moves a task from its folder's last checkpoint to a limit."""

import contextlib
import functools
import itertools
import logging
import math
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Generic, NoReturn, TypeVar

import torch

from calco import imaging
from calco.data.dataset import batches
from calco.errors import CalcoError, UnusableError, WriteError, enough_memory
from calco.files import make_folder
from calco.networks.machine import choose_device
from calco.report.numbers import measure_name
from calco.training.checkpoint import latest_checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from calco.training.log import MeanLosses, ProgressLine, RunLog, advise, duration
from calco.training.processes import (
    ProcessGroup,
    check_several,
    choose_threads,
    choose_workers,
    handling_signals,
    is_started,
    joined,
    launch,
)
from calco.training.run_folder import (
    check_disk_space,
    is_complete,
    record_contents,
    resumes,
    run_folder,
    tidy,
    with_shared_batch,
    write_config,
    write_evolution,
    write_left_out,
)
from calco.training.task import RunConfig, Task
from calco.version import __version__

LOG: Final = logging.getLogger(__name__)
B = TypeVar("B")


class Interrupted(KeyboardInterrupt):
    """The user or the system stopped the run; a checkpoint has been written."""


def run_task(kind: type[Task[Any]], config: Any, *, resume: bool, progress: bool) -> Path:
    """Train a task in this process, or in as many as the configuration asks for; return the folder of the run.

    Args:
        kind: Class of the task.
        config: Whole configuration; `out` names the folder of the run.
        resume: Resume the run in `out` from its last checkpoint; on a CPU with a fixed number of threads, bit for bit.
        progress: Show the progress line.

    Raises:
        CalcoError: If the configuration cannot be used, a loss is not finite, the disk is full, or a process dies.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    with enough_memory(kind.less_memory(config, resume=resume)):
        device, processes = choose_device(config.compute.device), config.compute.processes
        choose_threads(config.compute, device)
        if processes > 1 and not is_started():
            check_several(processes, device)
            try:
                work = functools.partial(run_task, kind, config, resume=resume, progress=progress)
                return Path(launch(work, processes))
            except KeyboardInterrupt as error:
                raise Interrupted from error
        with joined(device) as group, ExitStack() as held:
            return _run_task(kind, config, group, held, resume=resume, progress=progress)


def _run_task(
    kind: type[Task[Any]], config: Any, group: ProcessGroup, held: ExitStack, *, resume: bool, progress: bool
) -> Path:
    if resume := resume and group.run_on_rank0(lambda: resumes(config.out, kind.command, held)):
        config = with_shared_batch(config, group.world_size, kind.items)
    config = replace(config, compute=replace(config.compute, processes=group.world_size))
    task = kind(config, group, resume=resume)
    folder = group.run_on_rank0(lambda: run_folder(config.out, task.default_name, kind.command, held, resume=resume))
    task.config = replace(task.config, out=str(folder))
    trainer = Trainer(task, folder)
    group.remedy = f"resume from the last checkpoint with: {trainer.resume_command}"
    group.run_on_rank0(lambda: check_disk_space(folder, task.networks.state(), trainer.keep.checkpoints))
    if resume:
        trainer.resume()
    group.run_on_rank0(lambda: write_config(folder / "config.yaml", task.config, kind.product, kind.command))
    trainer.describe()
    trainer.run(progress=progress)
    kept = "last" if trainer.best is None else "best"
    LOG.info(f"the {kept} model is {folder / 'model'}; score it with: {task.evaluate_command(folder)}")
    return folder


class Trainer(Generic[B]):
    """Position of a run in its folder, and the loop that moves it until a limit is reached."""

    def __init__(self, task: Task[B], folder: Path) -> None:
        config: RunConfig = task.config
        self.task, self.folder, self.data, self.group = task, folder, task.data, task.group
        self.seed, self.compute = config.seed, config.compute
        self.limit, self.keep, self.options = config.limit, config.keep, config.optimiser
        self.num_items = len(self.data.train)
        self.data.train.cache_bytes //= self.group.local_size  # the processes of a machine share its memory
        self.provenance: dict[str, Any] = {
            "calco": __version__, "torch": str(torch.__version__), **self.data.provenance(),
        }  # fmt: skip
        at_once = self.group.world_size * self.options.batch
        if self.group.world_size > 1 and at_once > self.num_items:
            raise CalcoError(
                f"{self.group.world_size} processes with --batch {self.options.batch} take {at_once} {task.items} at "
                f"once, and there are {self.num_items} to train on; give fewer --processes or a smaller --batch"
            )
        self.step = self.epoch = self.batch_in_epoch = 0
        self.seconds_before, self.started = 0.0, time.monotonic()
        self._clock = 0.0  # seconds after the last step, agreed on by all processes
        self.best: float | None = None
        self.validated = 0  # step of the last validation
        self.stale = 0  # validations since the best one
        self._last_update, self._speed = 0.0, 0.0
        self.losses, self.last_losses = MeanLosses(), MeanLosses()
        self.stop_signal: int | None = None
        self._noted: set[str] = set()
        self.threads = choose_threads(self.compute, task.device, task.group)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, including those before an interruption."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def items_per_update(self) -> int:
        """Number of items that all processes together take for one update."""
        return self.options.batch * self.group.world_size * self.options.accumulate

    @property
    def batches_per_epoch(self) -> int:
        """Number of updates in one pass over the training items."""
        options = self.options
        return max(1, self.num_items // (options.batch * self.group.world_size) // options.accumulate)

    @property
    def done(self) -> dict[str, float]:
        """Epochs, steps and minutes that are done."""
        # All processes must reach the same rate and the same end.
        seconds = self.seconds if self.group.world_size == 1 else self._clock
        epochs = self.epoch + self.batch_in_epoch / self.batches_per_epoch
        return {"epochs": epochs, "steps": self.step, "minutes": seconds / 60}

    @property
    def progress(self) -> float:
        """Share of the run that is done, by the limit that will be reached first."""
        return self.limit.share(self.done)

    @property
    def reason(self) -> str:
        """Why the run has ended; empty while it goes on."""
        metric = self.task.config.keep.best_by
        return self.limit.reason(self.done, self.stale, measure_name(metric))

    @property
    def resume_command(self) -> str:
        """Command that resumes the run."""
        return f"{self.task.command} --resume {shlex.quote(str(self.folder))}"

    def describe(self) -> None:
        """Log the plan of the run."""
        left = f", resumed at step {self.step} after {duration(self.seconds)}" if self.step else ""
        each = f" in each of {self.group.world_size} processes" if self.group.world_size > 1 else ""
        num_validation = len(self.data.validation)
        validated = f"{num_validation} to validate" if num_validation else "none to validate"
        first, last = self.task.plan(self.step)
        LOG.info(
            f"{first}{self.num_items} {self.task.items} to train and {validated}, {last} with "
            f"{self._describe_threads()}{each}, until {self.limit.describe()}{left}"
        )
        LOG.info(f"the run is {self.folder}")
        if not num_validation:
            idle = "; --patience has no effect" if self.limit.patience else ""
            LOG.info(f"there is no validation: the last weights are kept{self.task.without_validation}{idle}")

    def _describe_threads(self) -> str:
        counts = " or ".join(map(str, sorted(self.threads.counts)))
        return f"{self.threads.chosen} threads" if self.threads.chosen else f"{counts} threads, by their speed"

    def resume(self) -> None:
        """Restore the last checkpoint.

        Raises:
            CalcoError: If there is none, or the run has reached its limit.
        """
        self.restore(latest_checkpoint(self.folder / "checkpoints"))
        if (reason := self.reason) and self.validated == self.step and is_complete(self.folder):
            raise CalcoError(
                f"{self.folder} has reached its limit at step {self.step}: {reason}; to train on, give a higher one: "
                f"{self.resume_command} {self.limit.higher(self.done, self.stale)}"
            )

    def run(self, *, progress: bool) -> None:
        """Train from the present position to the limit; then write the video and the list of omitted images.

        Raises:
            Interrupted: After a signal, with a checkpoint written.
            CalcoError: If a loss is not finite, or the disk is full.
        """
        rank0 = self.group.is_rank0
        if rank0:
            tidy(self.folder, self.step)
        try:
            if rank0:
                trained_on = record_contents(self.folder, self.data.source, self.data.splits, resumed=self.step > 0)
                self.provenance |= {} if trained_on is None else {"trained_on": trained_on}
            log = RunLog(
                self.folder, tensorboard=self.keep.tensorboard, from_step=self.step, validated=self.validated,
                silent=not rank0,
            )  # fmt: skip
            with (
                contextlib.closing(log),
                self._stopped_by_signals(),
                ProgressLine(shown=progress and rank0) as line,
            ):
                if self.step == 0:
                    self.save()
                self._train(log, line)
                remark = self._end(log)
        except Interrupted:
            LOG.info(f"stopped at step {self.step} with a checkpoint; resume with: {self.resume_command}")
            raise
        except WriteError as error:
            raise type(error)(f"{error}; then resume with: {self.resume_command}") from error
        self.finish(remark)

    def _train(self, log: RunLog, line: ProgressLine) -> None:
        while not self.reason or not self.step:  # however short the time is, one step is made
            self._train_epoch(log, line)
            keep = self.keep
            if self.epoch % keep.validate_every == 0 and self.step - self.validated >= keep.validate_steps:
                self.validate(log)
        # The end; a run that was killed between its last step and this validation starts here.
        if self.validated < self.step or not (self.folder / "model").exists():
            self.validate(log)

    def _end(self, log: RunLog) -> str:
        """Record why the run has ended and what would help; return the latter as a sentence."""
        LOG.info(f"the run ended at step {self.step}: {self.reason}")
        metric, task = self.task.config.keep.best_by, self.task
        advice = advise(log.rows(), metric, lower_is_better=task.lower_is_better, loss=task.fit_loss, items=task.items)
        end = {"reason": self.reason, "metric": metric, **advice.record()}
        log.write(self.step, epoch=self.epoch, time=round(self.seconds, 2), end=end)
        return advice.remark

    def _train_epoch(self, log: RunLog, line: ProgressLine) -> None:
        accumulate = self.options.accumulate
        if not self.batch_in_epoch:
            self.task.begin_epoch(self.progress)
        feed = batches(
            self.task.load_batch, self.data.train, seed=self.seed, epoch=self.epoch, batch=self.options.batch,
            skip=self.batch_in_epoch * accumulate, workers=choose_workers(self.compute.workers, self.task.device),
            pinned=self.task.device.type == "cuda", rank=self.group.rank, world_size=self.group.world_size,
        )  # fmt: skip
        self._last_update = time.monotonic()
        with contextlib.closing(feed):
            while self.batch_in_epoch < self.batches_per_epoch:
                self._update(list(itertools.islice(feed, accumulate)), log, line)
                if self.progress >= 1:
                    break
        # An epoch that a limit cut short does not end, so that nothing is trained twice on resume.
        if self.batch_in_epoch >= self.batches_per_epoch:
            self.epoch, self.batch_in_epoch = self.epoch + 1, 0

    def _update(self, group: Sequence[B], log: RunLog, line: ProgressLine) -> None:
        task = self.task
        rate = task.rate(self.step, self.progress)
        task.networks.set_rate(rate)
        self.group.seed_rank(self.seed, self.step)
        own = self._learn(group, log)
        stop = self.stop_signal is not None
        losses, stop, self._clock = self.group.agree(own, stop=stop, seconds=self.seconds)
        if not all(math.isfinite(value) for value in losses.values()):
            bad = ", ".join(f"{name} {value}" for name, value in losses.items() if not math.isfinite(value))
            self._fail(f"step {self.step + 1}: {bad}; losses must be finite")
        self.step += 1
        self.batch_in_epoch += 1
        task.networks.average(self.step)
        self.losses.add(losses)
        now = time.monotonic()
        num_items = sum(task.batch_size(batch) for batch in group) * self.group.world_size
        current = num_items / max(1e-9, now - self._last_update)  # including the wait for data
        # Smoothed over some ten steps.
        self._last_update, self._speed = now, 0.9 * self._speed + 0.1 * current if self._speed else current
        left = self.seconds * (1 - self.progress) / max(1e-9, self.progress)
        line.update(self.progress, self.step, self._speed, task.describe_losses(self.losses.means()), left)
        if self.step % self.keep.log_steps == 0:
            log.write(
                self.step, epoch=self.epoch, time=round(self.seconds, 2), train=self.losses.means(), rate=rate,
                images_per_s=round(self._speed, 2),
            )  # fmt: skip
            self.last_losses, self.losses = self.losses, MeanLosses()
        # A single process heeds a signal until the last moment; several must stop after the same step.
        if stop if self.group.world_size > 1 else self.stop_signal is not None:
            self.save()
            raise Interrupted
        if self.step % self.keep.checkpoint_steps == 0:
            self.save()

    def _learn(self, group: Sequence[B], log: RunLog) -> dict[str, float]:
        """Make a step with the number of threads whose turn it is; log the number when one is chosen."""
        before = self.threads.chosen
        self.threads.apply()
        start = time.monotonic()
        losses = self.task.learn(group)
        if seconds := self.threads.took(time.monotonic() - start):
            count = self.threads.count
            record = {"count": count, "seconds": {str(each): round(value, 4) for each, value in seconds.items()}}
            log.write(self.step + 1, epoch=self.epoch, time=round(self.seconds, 2), threads=record)
            if count != before:
                times = ", ".join(f"{value:.3g} s with {each}" for each, value in seconds.items())
                LOG.info(f"from step {self.step + 2} on with threads: {count} (a step took {times})")
        return losses

    def validate(self, log: RunLog) -> None:
        """Score the networks and keep the best model; without validation images, keep the last one."""
        self.validated = self.step
        if self.group.is_rank0:
            self._check_weights()
            if len(self.data.validation):
                try:
                    self._score(log)
                except UnusableError as error:
                    self._note(f"there is no validation: {error}; the last weights are kept")
                    self._save_model({})
            else:
                self._save_model({})
        if self.limit.patience:  # all processes must reach the same end
            self.stale = self.group.run_on_rank0(lambda: self.stale)
        self.save()

    def _score(self, log: RunLog) -> None:
        result, metric = self.task.validate(self.step, self.epoch), self.task.config.keep.best_by
        score = result.scores.get(metric)
        if result.provisional:
            score = None  # counts for nothing
        better = score is not None and (
            self.best is None or (score < self.best if self.task.lower_is_better else score > self.best)
        )
        for text in result.notes:
            self._note(text)
        until = {"provisional": result.provisional} if result.provisional else {}
        log.write(self.step, epoch=self.epoch, time=round(self.seconds, 2), validation=result.scores, **until)
        imaging.write(make_folder(self.folder / "samples") / f"step-{self.step:09d}.png", result.sheet)
        log.image(self.step, "samples", result.sheet)
        mark = "best yet, kept" if better else f"kept until {result.provisional}" if result.provisional else ""
        LOG.info(result.summary + (f"  * {mark}" if mark else ""))
        if better:
            self.best, self.stale = score, 0
        elif score is not None:
            self.stale += 1
        if better or self.best is None:
            self._save_model(result.scores)

    def _save_model(self, scores: dict[str, float]) -> None:
        self.task.save_model(self.folder / "model", self.step, scores, {**self.provenance, "epoch": self.epoch})

    def _note(self, text: str) -> None:
        """Log a remark once, however often its reason recurs."""
        if text not in self._noted:
            self._noted.add(text)
            LOG.warning(text)

    def save(self) -> None:
        """Write a checkpoint, in rank 0."""
        if self.group.is_rank0:
            self._check_weights()
            folder, state = make_folder(self.folder / "checkpoints"), self.task.networks.state()
            save_checkpoint(folder, self.step, state, self.position(), self.keep.checkpoints)

    def position(self) -> dict[str, Any]:
        """Position of the run, as a checkpoint holds it."""
        return {
            "processes": self.group.world_size,
            "batch": self.options.batch,
            "items_in_epoch": self.batch_in_epoch * self.items_per_update,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "best": self.best,
            "stale": self.stale,
            "validated": self.validated,
            "losses": self.losses.state(),
            "last_losses": self.last_losses.state(),
            "threads": self.threads.state(),
            **self.task.position(),
        }

    def restore(self, path: Path) -> None:
        """Return to the position of a checkpoint; one of another network is an error."""
        tensors, position = load_checkpoint(path)
        try:
            self.task.networks.load_state(tensors)
        except (RuntimeError, KeyError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise CalcoError(
                f"{path} does not fit {self.folder / 'config.yaml'} ({reason}); restore the configuration that the run "
                "began with, or train anew with another --out"
            ) from error
        self.task.load_position(position)
        self.step, self.epoch = position["step"], position["epoch"]
        self.batch_in_epoch = position["items_in_epoch"] // self.items_per_update  # the processes may be others now
        self.seconds_before, self.started = position["seconds"], time.monotonic()
        self._clock = self.seconds_before
        self.best, self.validated = position["best"], position["validated"]
        self.stale = position.get("stale", 0)  # runs that began without --patience do not have it
        self.losses, self.last_losses = MeanLosses(position["losses"]), MeanLosses(position["last_losses"])
        self.threads.load_state(position.get("threads", {}))  # older checkpoints do not have it

    def finish(self, remark: str = "") -> None:
        """Write the video of the samples and the list of omitted images; log the remarks on the end."""
        for damaged in self.group.gather(self.data.train.damaged):
            self.data.train.damaged.update(damaged)
        if not self.group.is_rank0:
            return
        write_evolution(self.folder)
        write_left_out(self.folder, self.data.left_out())
        closing = self.task.closing_remark((self.losses if self.losses.count else self.last_losses).means())
        for text in filter(None, (closing, remark)):
            LOG.info(text)

    def _check_weights(self) -> None:
        """Refuse to keep weights that cannot be loaded: a step from finite losses may lead to infinite weights."""
        for name, tensor in self.task.networks.weights().items():
            if not bool(torch.isfinite(tensor).all()):
                self._fail(f"step {self.step}: the weights {name} are not finite numbers")

    def _fail(self, reason: str) -> NoReturn:
        kept = list_checkpoints(self.folder / "checkpoints")
        good = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint was written yet"
        raise CalcoError(
            f"{reason}; {good}; train anew with another --out and a lower --learning-rate "
            f"(now {self.options.learning_rate:g}), {self.task.steadier}"
        )

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        """Make Ctrl-C and SIGTERM end the run after its step, with a checkpoint; a second one ends it at once."""

        def stop(number: int, _frame: object) -> None:
            if self.stop_signal is not None:
                raise KeyboardInterrupt
            self.stop_signal = number

        # Ignored signals stay ignored: of several processes, the one that started them forwards Ctrl-C.
        heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
        with handling_signals(heard, stop):
            yield
