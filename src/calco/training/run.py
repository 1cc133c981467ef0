"""One training run: its folder, data, networks and position."""

import contextlib
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calco import __version__, images
from calco.console import say, warn
from calco.errors import CalcoError
from calco.files import make_folder, write_json
from calco.images import Image
from calco.inference.model import ModelInfo, Translator, save_model
from calco.networks.machine import choose_device, make_ready
from calco.pairs.types import generator
from calco.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from calco.training.config import TrainConfig
from calco.training.feed import batches, choose_workers
from calco.training.journal import Journal, ProgressLine, Window
from calco.training.launch import cores_for_each
from calco.training.loop import Batch, Networks, rate_at, training_step
from calco.training.objectives import balance
from calco.training.processes import ALONE, Team
from calco.training.samples import grid, write_film
from calco.training.setup import Data
from calco.training.validation import is_better, validate


class Interrupted(KeyboardInterrupt):
    """The person or the system asked the run to stop; a checkpoint has been written."""


class Run:
    """One run: its folder, data, networks and position.

    Args:
        config: The whole configuration, resolved.
        folder: The run's folder.
        data: What `open_data` gave for the configuration.
        team: The processes that learn together; the first one of them validates and writes.

    Raises:
        CalcoError: When there are fewer training pairs than all processes take at once.
    """

    def __init__(self, config: TrainConfig, folder: Path, data: Data, team: Team = ALONE) -> None:
        self.config, self.folder, self.data, self.team = config, folder, data, team
        batch = config.optimiser.batch
        if team.world > 1 and team.world * batch > len(data.train):
            raise CalcoError(
                f"{team.world} processes with --batch {batch} take {team.world * batch} pairs at once, and there are "
                f"{len(data.train)} to train on; give fewer --processes or a smaller --batch"
            )
        self.device = team.device or choose_device(config.compute.device)
        compute = config.compute
        torch.set_num_threads(compute.threads or cores_for_each(team.here))
        make_ready(self.device, exact=compute.precision == "fp32", deterministic=compute.deterministic)
        data.train.cache_bytes //= team.here  # memory is one, however many share it
        self.networks = Networks(config, data.in_channels, data.out_channels, self.device, team)
        self.step = self.epoch = self.batch_in_epoch = 0
        self.seconds_before, self.started = 0.0, time.monotonic()
        self._clock = 0.0  # seconds after the last step, as all processes know them
        self.best: float | None = None
        self.validated = 0  # the step of the last validation
        self._last_update, self._speed = 0.0, 0.0
        self.window, self.last_window = Window(), Window()
        self.stop_signal: int | None = None
        self._provenance: dict[str, Any] | None = None
        self._mean_target: Image | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def pairs_per_update(self) -> int:
        """Pairs that all processes together take for one update."""
        options = self.config.optimiser
        return options.batch * self.team.world * options.accumulate

    @property
    def batches_per_epoch(self) -> int:
        """Updates in one pass over the training pairs."""
        options = self.config.optimiser
        return max(1, len(self.data.train) // (options.batch * self.team.world) // options.accumulate)

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
            # All processes must come to the same rate, and to the same end.
            seconds = self.seconds if self.team.world == 1 else self._clock
            shares.append(seconds / (60 * limit.minutes))
        return max(shares)

    def save(self) -> None:
        """Writes a checkpoint of this moment, in the first of the processes."""
        if not self.team.first:
            return
        meta = {
            "processes": self.team.world,
            "batch": self.config.optimiser.batch,
            "pairs_in_epoch": self.batch_in_epoch * self.pairs_per_update,
            "epoch": self.epoch,
            "batch_in_epoch": self.batch_in_epoch,
            "seconds": self.seconds,
            "best": self.best,
            "validated": self.validated,
            "window": self.window.state(),
            "last_window": self.last_window.state(),
            "training_pairs": self.data.fingerprint,
        }
        folder = make_folder(self.folder / "checkpoints")
        save_checkpoint(folder, self.step, self.networks.state(), meta, self.config.keep.checkpoints)

    def restore(self, path: Path) -> None:
        """Goes back to the moment of a checkpoint."""
        tensors, meta = load_checkpoint(path)
        self.networks.restore(tensors)
        self.step, self.epoch, self.batch_in_epoch = meta["step"], meta["epoch"], meta["batch_in_epoch"]
        if "pairs_in_epoch" in meta:  # the number of processes may be another one now
            self.batch_in_epoch = meta["pairs_in_epoch"] // self.pairs_per_update
        self.seconds_before, self.started = meta["seconds"], time.monotonic()
        self._clock = self.seconds_before
        self.best, self.validated = meta["best"], meta["validated"]
        self.window, self.last_window = Window(meta["window"]), Window(meta["last_window"])
        if meta["training_pairs"] != self.data.fingerprint:
            warn("the training pictures are not those that the run began with; it goes on with what is there now")

    def train(self, journal: Journal, line: ProgressLine) -> None:
        """Trains until a limit is reached.

        Raises:
            Interrupted: After a signal, with a checkpoint written.
            CalcoError: When a loss is not finite, or the disk is full.
        """
        while self.progress < 1:
            self._train_epoch(journal, line)
            keep = self.config.keep
            due = self.epoch % keep.validate_every == 0 and self.step - self.validated >= keep.validate_steps
            if due or self.progress >= 1:
                self.validated = self.step
                if self.team.first:
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
            workers=choose_workers(self.config.compute.workers, self.device),
            pinned=self.device.type == "cuda",
            rank=self.team.rank,
            world=self.team.world,
        )
        self._last_update = time.monotonic()
        with contextlib.closing(feed):
            while self.batch_in_epoch < self.batches_per_epoch:
                self._update(list(itertools.islice(feed, accumulate)), journal, line)
                if self.progress >= 1:
                    break
        # An epoch that a limit cut short still counts as the one it is, so that nothing is trained twice on resume.
        if self.batch_in_epoch >= self.batches_per_epoch:
            self.epoch, self.batch_in_epoch = self.epoch + 1, 0

    def _update(self, group: list[Batch], journal: Journal, line: ProgressLine) -> None:
        rate = rate_at(self.config, self.progress)
        self.networks.set_rate(rate)
        self.team.own_chance(self.config.seed, self.step)
        own = training_step(self.networks, group)
        asked = self.stop_signal is not None
        losses, asked, self._clock = self.team.agree(own, stop=asked, seconds=self.seconds)
        if not all(math.isfinite(value) for value in losses.values()):
            self._not_finite(losses)
        self.step += 1
        self.batch_in_epoch += 1
        self.networks.average(self.step)
        self.window.add(losses)
        speed = self._measure_speed(sum(len(batch.input) for batch in group) * self.team.world)
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
        # Alone, a signal counts until the last moment; together, all must stop after the same step.
        if asked if self.team.world > 1 else self.stop_signal is not None:
            self.save()
            raise Interrupted
        if self.step % self.config.keep.checkpoint_steps == 0:
            self.save()

    def _measure_speed(self, num_pairs: int) -> float:
        """Pairs per second with the waiting for data, smoothed over some ten steps."""
        now = time.monotonic()
        current = num_pairs / max(1e-9, now - self._last_update)
        self._last_update = now
        self._speed = current if not self._speed else 0.9 * self._speed + 0.1 * current
        return self._speed

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

    def validate(self, journal: Journal) -> None:
        """Scores the generator, draws the samples, and keeps the model when it is the best yet."""
        keep = self.config.keep
        translator = Translator(self.info({}), self.networks.shown, device=self.device)
        scores, triples = validate(translator, self.data.validation, keep)
        self.networks.shown.train()
        journal.write(self.step, epoch=self.epoch, time=round(self.seconds, 2), validation=scores)
        caption = f"epoch {self.epoch}  step {self.step}  L1 {scores['l1']:.4f}  "
        caption += f"IoU {scores['iou']:.4f}" if "iou" in scores else f"PSNR {scores['psnr']:.2f} dB"
        sheet = grid(triples, caption)
        images.write(make_folder(self.folder / "samples") / f"step-{self.step:09d}.png", sheet)
        journal.picture(self.step, "samples", sheet)
        better = is_better(keep.best_by, scores[keep.best_by], self.best)
        say(f"{caption}  SSIM {scores['ssim']:.3f}" + ("  * best yet, kept" if better else ""))
        if better:
            self.best = scores[keep.best_by]
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
            source=config.source,
            split=config.split,
            seed=config.seed,
            step=self.step,
            scores=scores,
            provenance={**(self._provenance or {}), "epoch": self.epoch},
        )

    def mean_target(self) -> Image:
        """The mean of the training targets, brought to one size: HWC uint8."""
        if self._mean_target is None:
            side, dataset = self.config.jitter.size, self.data.train
            chosen = generator(0, 0, "mean").permutation(len(dataset))[:512]
            total = np.zeros((side, side, self.data.out_channels))
            for index in chosen:
                total += images.resize(
                    images.as_dtype(dataset.pair(int(index), 0).target, np.uint8), (side, side), "area"
                )
            self._mean_target = np.rint(total / len(chosen)).astype(np.uint8)
        return self._mean_target

    def finish(self) -> None:
        """Draws the film of the samples, lists what was left out, and says how the networks stand."""
        for damaged in self.team.every(self.data.train.damaged):
            self.data.train.damaged.update(damaged)
        if not self.team.first:
            return
        sheets = sorted((self.folder / "samples").glob("step-*.png"))
        if sheets:
            write_film(sheets, self.folder / "evolution.mp4")
        left_out = self.data.left_out()
        if left_out:
            write_json(self.folder / "left_out.json", left_out)
            name, reason = next(iter(left_out.items()))
            listed = self.folder / "left_out.json"
            warn(f"{len(left_out)} pictures were left out, such as {name}: {reason}; all are listed in {listed}")
        losses = (self.window if self.window.count else self.last_window).means()
        if self.config.objective.gan != "none" and losses:
            say(balance(self.config.objective, losses["d_real"], losses["d_fake"]))
