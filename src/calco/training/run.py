"""A training run from its configuration to a folder with a model in it."""

import math
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from calco import __version__, images
from calco.console import say, warn
from calco.errors import CalcoError
from calco.evaluation.metrics import l1, psnr, ssim
from calco.files import make_folder, read_json, write_json
from calco.images import Image
from calco.inference.model import ModelInfo, Translator, save_model
from calco.records import from_record, read_yaml, to_record, write_yaml
from calco.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from calco.training.config import TrainConfig
from calco.training.feed import batches, epoch_order
from calco.training.journal import Journal, ProgressLine, Window, duration, read_log, stage
from calco.training.loop import Batch, Networks, batched, choose_device, rate_at, training_step
from calco.training.objectives import balance
from calco.training.samples import grid, write_film
from calco.training.setup import Data, open_data

FORMAT = 1
LOWER_IS_BETTER = {"l1": True, "psnr": False, "ssim": False}
METRICS: dict[str, Callable[[Image, Image], float]] = {"l1": l1, "psnr": psnr, "ssim": ssim}


class Interrupted(Exception):
    """The person or the system asked the run to stop; a checkpoint has been written."""


class Run:
    """One run: its folder, data, networks and position.

    Args:
        config: The whole configuration, resolved.
        folder: The run's folder.
        data: What `open_data` gave for the configuration.
    """

    def __init__(self, config: TrainConfig, folder: Path, data: Data) -> None:
        self.config, self.folder, self.data = config, folder, data
        self.device = choose_device(config.compute.device)
        torch.set_num_threads(config.compute.threads or len(os.sched_getaffinity(0)))
        self.networks = Networks(config, data.in_channels, data.out_channels, self.device)
        self.step = self.epoch = self.batch_in_epoch = 0
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.best: float | None = None
        self.window, self.last_window = Window(), Window()
        self.stop_signal: int | None = None
        self._provenance: dict[str, Any] | None = None
        self._mean_target: Image | None = None

    # -- position -----------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def batches_per_epoch(self) -> int:
        """Updates in one pass over the training pairs."""
        options = self.config.optimiser
        return max(1, len(batched(range(len(self.data.train)), options.batch)) // options.accumulate)

    @property
    def progress(self) -> float:
        """The share of the run that is done, by the limit that will be reached first."""
        limit = self.config.limit
        shares = [0.0]
        if limit.steps:
            shares.append(self.step / limit.steps)
        if limit.epochs:
            shares.append((self.epoch + self.batch_in_epoch / self.batches_per_epoch) / limit.epochs)
        if limit.minutes:
            shares.append(self.seconds / (60 * limit.minutes))
        return max(shares)

    def save(self) -> Path:
        """Writes a checkpoint of this moment."""
        meta = {
            "epoch": self.epoch,
            "batch_in_epoch": self.batch_in_epoch,
            "seconds": self.seconds,
            "best": self.best,
            "window": self.window.state(),
            "last_window": self.last_window.state(),
            "training_pairs": self.data.fingerprint,
        }
        folder = make_folder(self.folder / "checkpoints")
        return save_checkpoint(folder, self.step, self.networks.state(), meta, self.config.keep.checkpoints)

    def restore(self, path: Path) -> None:
        """Goes back to the moment of a checkpoint."""
        tensors, meta = load_checkpoint(path)
        self.networks.restore(tensors)
        self.step, self.epoch, self.batch_in_epoch = meta["step"], meta["epoch"], meta["batch_in_epoch"]
        self.seconds_before, self.started = meta["seconds"], time.monotonic()
        self.best = meta["best"]
        self.window, self.last_window = Window(meta["window"]), Window(meta["last_window"])
        if meta["training_pairs"] != self.data.fingerprint:
            warn("the training pictures are not those that the run began with; it goes on with what is there now")

    # -- training -----------------------------------------------------------------------------------------------------

    def train(self, journal: Journal, line: ProgressLine) -> None:
        """Trains until a limit is reached.

        Raises:
            Interrupted: After a signal, with a checkpoint written.
            CalcoError: When a loss is not finite, or the disk is full.
        """
        while self.progress < 1:
            self._train_epoch(journal, line)
            if self.epoch % self.config.keep.validate_every == 0 or self.progress >= 1:
                self.validate(journal)
            self.save()

    def _train_epoch(self, journal: Journal, line: ProgressLine) -> None:
        options, accumulate = self.config.optimiser, self.config.optimiser.accumulate
        feed = batches(
            self.data.train,
            seed=self.config.seed,
            epoch=self.epoch,
            batch=options.batch,
            skip=self.batch_in_epoch * accumulate,
        )
        try:
            while self.batch_in_epoch < self.batches_per_epoch:
                group = [batch for _, batch in zip(range(accumulate), feed, strict=False)]
                self._update(group, journal, line)
                if self.progress >= 1:
                    break
        finally:
            feed.close()
        # An epoch that a limit cut short still counts as the one it is, so that nothing is trained twice on resume.
        if self.batch_in_epoch >= self.batches_per_epoch:
            self.epoch, self.batch_in_epoch = self.epoch + 1, 0

    def _update(self, group: list[Batch], journal: Journal, line: ProgressLine) -> None:
        before = time.monotonic()
        rate = rate_at(self.config, self.progress)
        self.networks.set_rate(rate)
        losses = training_step(self.networks, group)
        if not all(math.isfinite(value) for value in losses.values()):
            self._not_finite(losses)
        self.step += 1
        self.batch_in_epoch += 1
        self.networks.average(self.step)
        self.window.add(losses)
        speed = sum(len(b.input) for b in group) / max(1e-9, time.monotonic() - before)
        left = self.seconds * (1 - self.progress) / max(1e-9, self.progress)
        line.update(self.progress, self.step, speed, self.window.means(), left)
        if self.step % self.config.keep.log_steps == 0:
            journal.write(
                self.step,
                epoch=self.epoch,
                time=round(self.seconds, 2),
                train=self.window.means(),
                rate=rate,
                images_per_s=round(speed, 2),
            )
            self.last_window, self.window = self.window, Window()
        if self.stop_signal is not None:
            self.save()
            raise Interrupted
        if self.step % self.config.keep.checkpoint_steps == 0:
            self.save()

    def _not_finite(self, losses: dict[str, float]) -> None:
        bad = ", ".join(f"{name} {value}" for name, value in losses.items() if not math.isfinite(value))
        try:
            good = f"the last good checkpoint is {latest_checkpoint(self.folder / 'checkpoints')}"
        except CalcoError:
            good = "no checkpoint was written yet"
        raise CalcoError(
            f"step {self.step + 1}: {bad}; losses must be finite; {good}; try a lower --learning-rate "
            f"(now {self.config.optimiser.learning_rate:g}), --precision fp32 or --objective.gan least-squares"
        )

    # -- validation ---------------------------------------------------------------------------------------------------

    def validate(self, journal: Journal) -> None:
        """Scores the generator on validation pairs, draws the samples, and keeps the model when it is the best yet."""
        keep, dataset = self.config.keep, self.data.validation
        translator = Translator(self.info({}), self.networks.shown, device=self.device)
        sums, triples = dict.fromkeys(METRICS, 0.0), []
        count = min(keep.validation_pairs, len(dataset))
        for index in range(count):
            pair = dataset.pair(index, 0)
            drawn = translator(pair.input, native=True)
            for name, metric in METRICS.items():
                sums[name] += metric(drawn, pair.target)
            if index < keep.samples:
                triples.append((pair.input, drawn, pair.target))
        self.networks.shown.train()
        scores = {name: value / count for name, value in sums.items()}
        journal.write(self.step, epoch=self.epoch, time=round(self.seconds, 2), validation=scores)
        caption = f"epoch {self.epoch}  step {self.step}  L1 {scores['l1']:.4f}  PSNR {scores['psnr']:.2f} dB"
        sheet = grid(triples, caption)
        images.write(make_folder(self.folder / "samples") / f"step-{self.step:09d}.png", sheet)
        journal.picture(self.step, "samples", sheet)
        score, lower = scores[keep.best_by], LOWER_IS_BETTER[keep.best_by]
        better = math.isfinite(score) and (self.best is None or (score < self.best if lower else score > self.best))
        say(f"{caption}  SSIM {scores['ssim']:.3f}" + ("  * best yet, kept" if better else ""))
        if better:
            self.best = score
            weights = self.networks.shown.state_dict()
            save_model(self.folder / "model", self.info(scores), weights, self.mean_target())

    def info(self, scores: dict[str, float]) -> ModelInfo:
        """What `model.json` says of the model as it is now."""
        config = self.config
        if self._provenance is None and scores:
            self._provenance = {"calco": __version__, "torch": str(torch.__version__), **self.data.provenance()}
        return ModelInfo(
            generator=config.generator,
            recipe=config.recipe,
            jitter=config.jitter,
            in_channels=self.data.in_channels,
            out_channels=self.data.out_channels,
            step=self.step,
            scores=scores,
            provenance={**(self._provenance or {}), "seed": config.seed, "epoch": self.epoch},
        )

    def mean_target(self) -> Image:
        """The mean of the training targets, brought to one size: HWC uint8."""
        if self._mean_target is None:
            side, dataset = self.config.jitter.size, self.data.train
            chosen = epoch_order(len(dataset), 0, 0)[:512]
            total = np.zeros((side, side, self.data.out_channels))
            for index in chosen:
                total += images.resize(images.as_dtype(dataset.pair(index, 0).target, np.uint8), (side, side), "area")
            self._mean_target = np.rint(total / len(chosen)).astype(np.uint8)
        return self._mean_target

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Draws the film of the samples, lists what was left out, and says how the networks stand."""
        sheets = sorted((self.folder / "samples").glob("step-*.png"))
        if sheets:
            write_film(sheets, self.folder / "evolution.mp4")
        left_out = self.data.left_out()
        if left_out:
            write_json(self.folder / "left_out.json", left_out)
            name, reason = next(iter(left_out.items()))
            warn(f"{len(left_out)} pictures were left out, such as {name}: {reason}; all in {self.folder / 'left_out.json'}")
        losses = (self.window if self.window.count else self.last_window).means()
        if self.config.objective.gan != "none" and losses:
            say(balance(self.config.objective, losses["d_real"], losses["d_fake"]))


def train(config: TrainConfig, *, resume: bool = False, progress: bool = True) -> Path:
    """Trains a translator.

    Args:
        config: The whole configuration; `out` names the folder of the run.
        resume: Goes on with the run in `out` from its last checkpoint, as if it had not been interrupted.
        progress: Whether the line of progress is shown.

    Returns:
        The run's folder: config.yaml, log.jsonl, samples, checkpoints, model, evolution.mp4.

    Raises:
        CalcoError: When pictures or configuration cannot be used, a loss is not finite, or the disk is full.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    data, config = open_data(config)
    say(data.source.summary())
    folder = Path(config.out) if config.out else _free_folder(config)
    config = replace(config, out=str(folder))
    if not resume and (folder / "config.yaml").exists():
        raise CalcoError(f"{folder} holds a run already; go on with it by --resume {folder}, or choose another --out")
    make_folder(folder)
    run = Run(config, folder, data)
    _foresee_disk(run)
    if resume:
        run.restore(latest_checkpoint(folder / "checkpoints"))
        if run.progress >= 1:
            raise CalcoError(
                f"{folder} has reached its limit at step {run.step}; to train on, give a higher one: "
                f"calco train --resume {folder} --minutes {max(1, math.ceil(run.seconds / 60)) * 2}"
            )
    write_yaml(folder / "config.yaml", {"format": FORMAT, **to_record(config)}, "calco train --config THIS repeats the run")
    _say_plan(run)
    journal = Journal(folder, tensorboard=config.keep.tensorboard, from_step=run.step)
    previous = {number: signal.signal(number, _stopper(run)) for number in _signals()}
    try:
        with ProgressLine(shown=progress) as line:
            if run.step == 0:
                run.save()
            run.train(journal, line)
    except Interrupted:
        say(f"stopped at step {run.step} with a checkpoint; go on with: calco train --resume {folder}")
        raise
    finally:
        journal.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    run.finish()
    say(f"the best model is {folder / 'model'}; score it with: calco evaluate {folder}")
    return folder


def load_config(path: str | Path) -> TrainConfig:
    """The configuration of a run, from its config.yaml.

    Raises:
        CalcoError: When the file is absent, of a newer format, or has fields that do not exist.
    """
    record = read_yaml(path)
    if int(record.pop("format", FORMAT)) > FORMAT:
        raise CalcoError(f"{path} is of a newer format than {FORMAT}; update Calco: pip install --upgrade calco")
    return from_record(TrainConfig, record, path)


def _signals() -> tuple[int, ...]:
    import threading

    # Python lets the main thread alone handle signals; a run in another thread is stopped by its owner.
    main = threading.current_thread() is threading.main_thread()
    return (signal.SIGINT, signal.SIGTERM) if main else ()


def _stopper(run: Run) -> Callable[[int, FrameType | None], None]:
    def stop(number: int, frame: FrameType | None) -> None:
        if run.stop_signal is not None:
            raise KeyboardInterrupt  # asked twice: at once, back to the last checkpoint
        run.stop_signal = number

    return stop


def _free_folder(config: TrainConfig) -> Path:
    stem = f"{config.recipe.recipe}-{Path(config.pictures).name or 'pictures'}"
    for number in range(1, 10_000):
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        if not folder.exists():
            return folder
    raise CalcoError(f"runs/{stem} exists ten thousand times over; name another folder with --out")


def _foresee_disk(run: Run) -> None:
    """Refuses to begin what the disk cannot hold."""
    checkpoint = sum(t.numel() * t.element_size() for t in run.networks.state().values()) * 3  # Adam's moments come later
    needed = checkpoint * (run.config.keep.checkpoints + 1) + checkpoint // 2 + (64 << 20)
    free = shutil.disk_usage(run.folder).free
    if free < needed:
        raise CalcoError(
            f"the run needs about {needed / 1e9:.1f} GB and {run.folder} has {free / 1e9:.1f} GB left; free some space, "
            "choose another --out, or keep fewer --checkpoints"
        )


def _say_plan(run: Run) -> None:
    config, limit = run.config, run.config.limit
    parts = [f"{limit.epochs} epochs" if limit.epochs else "", f"{limit.steps} steps" if limit.steps else ""]
    parts.append(f"{limit.minutes:g} minutes" if limit.minutes else "")
    precision = "bfloat16" if run.networks.dtype == torch.bfloat16 else "float32"
    left = f", on from step {run.step} after {duration(run.seconds)}" if run.step else ""
    say(
        f"recipe {config.recipe.recipe}, {len(run.data.train)} pairs to train and {len(run.data.validation)} to validate, "
        f"{run.device} in {precision} with {torch.get_num_threads()} threads, until {' or '.join(p for p in parts if p)}{left}"
    )
    say(f"the run is {run.folder}")


__all__ = ["Interrupted", "Run", "load_config", "read_json", "read_log", "stage", "train"]
