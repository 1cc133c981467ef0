"""One training run: its folder, data, networks and position."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calco import __version__, images
from calco.console import say, warn
from calco.files import make_folder, write_json
from calco.images import Image
from calco.inference.model import ModelInfo, Translator, save_model
from calco.pairs.types import generator
from calco.runs.compute import choose_workers, ready_device
from calco.runs.course import Course
from calco.runs.journal import Journal
from calco.runs.processes import ALONE, Team
from calco.runs.sheets import write_film
from calco.training.config import TrainConfig
from calco.training.feed import batches
from calco.training.loop import Batch, Networks, rate_at, training_step
from calco.training.objectives import balance
from calco.training.samples import grid
from calco.training.setup import Data
from calco.training.validation import is_better, validate


class Run(Course[Batch]):
    """One run: its folder, data, networks and position.

    Args:
        config: The whole configuration, resolved.
        folder: The run's folder.
        data: What `open_data` gave for the configuration.
        team: The processes that learn together; the first one of them validates and writes.

    Raises:
        CalcoError: When there are fewer training pairs than all processes take at once.
    """

    command, items = "calco train", "pairs"
    steadier = "--precision fp32 or --objective.gan least-squares"

    def __init__(self, config: TrainConfig, folder: Path, data: Data, team: Team = ALONE) -> None:
        super().__init__(folder, team, config.limit, config.keep, config.optimiser, len(data.train))
        self.config, self.data = config, data
        self.device = ready_device(config.compute, team)
        data.train.cache_bytes //= team.here  # memory is one, however many share it
        self.networks = Networks(config, data.in_channels, data.out_channels, self.device, team)
        self._provenance: dict[str, Any] | None = None
        self._mean_target: Image | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of the names of the training pairs, in order."""
        return self.data.fingerprint

    def state(self) -> dict[str, Tensor]:
        """Networks, optimisers and chance."""
        return self.networks.state()

    def put_back(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        self.networks.restore(tensors)

    def feed(self, skip: int) -> Generator[Batch, None, None]:
        """The batches of the present epoch from the `skip`-th on."""
        return batches(
            self.data.train,
            seed=self.config.seed,
            epoch=self.epoch,
            batch=self.config.optimiser.batch,
            skip=skip,
            workers=choose_workers(self.config.compute.workers, self.device),
            pinned=self.device.type == "cuda",
            rank=self.team.rank,
            world=self.team.world,
        )

    def set_rate(self) -> float:
        """Sets the rate of the present progress."""
        rate = rate_at(self.config, self.progress)
        self.networks.set_rate(rate)
        return rate

    def learn(self, group: list[Batch]) -> dict[str, float]:
        """One update of both networks."""
        self.team.own_chance(self.config.seed, self.step)
        return training_step(self.networks, group)

    def average(self) -> None:
        """Moves the averaged generator."""
        self.networks.average(self.step)

    def count(self, batch: Batch) -> int:
        """Pairs in a batch."""
        return len(batch.input)

    def told(self, losses: Mapping[str, float]) -> str:
        """The losses of both networks."""
        if not losses:
            return ""
        pixel, gan, real, drawn = (losses[name] for name in ("g_pixel", "g_gan", "d_real", "d_fake"))
        return f"pixel {pixel:.3f}  gan {gan:.2f}  D {real:.2f}/{drawn:.2f}"

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
