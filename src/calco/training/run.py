"""One training run: its folder, data, networks and position."""

from collections.abc import Generator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from calco import imaging
from calco.console import say
from calco.data.types import generator
from calco.evaluation.metrics import METRICS
from calco.imaging import Image
from calco.inference.model import ModelInfo, Translator, save_model
from calco.runs.compute import ready_device
from calco.runs.course import Course
from calco.runs.journal import Journal
from calco.runs.processes import ALONE, Team
from calco.training.config import TrainConfig
from calco.training.feed import load_batch
from calco.training.loop import Batch, Networks, rate_at, training_step
from calco.training.objectives import balance
from calco.training.samples import grid
from calco.training.setup import Data
from calco.training.validation import is_better, reason, shown, validate


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
    data: Data

    def __init__(self, config: TrainConfig, folder: Path, data: Data, team: Team = ALONE) -> None:
        super().__init__(config, folder, data, ready_device(config.compute, team), team)
        self.config = config
        self.networks = Networks(config, data.in_channels, data.out_channels, self.device, team)
        self._mean_target: Image | None = None

    def state(self) -> dict[str, Tensor]:
        """Networks, optimisers and chance."""
        return self.networks.state()

    def put_back(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        self.networks.restore(tensors)

    def feed(self, skip: int) -> Generator[Batch, None, None]:
        """The batches of the present epoch from the `skip`-th on."""
        return self.batches(load_batch, self.data.train, skip)

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
        translator = Translator(self.info(None), self.networks.shown, device=self.device)
        scores, triples, undefined = validate(translator, self.data.validation, keep)
        self.networks.shown.train()
        for name, keys in undefined.items():
            self.note(
                f"{METRICS[name].label} is undefined for {len(keys)} of {keep.validation_pairs} validation pairs at "
                f"most, such as {keys[0]}: {reason(name)}; the mean leaves them out"
            )
        caption = f"epoch {self.epoch}  step {self.step}  L1 {shown('l1', scores)}  "
        caption += f"IoU {shown('iou', scores)}" if "iou" in scores else f"PSNR {shown('psnr', scores)} dB"
        self.tell(journal, scores, grid(triples, caption))
        score = scores.get(keep.best_by)
        better = is_better(keep.best_by, score, self.best)
        if score is None:
            self.note(f"{METRICS[keep.best_by].label} is undefined for all validation pairs: the last weights are kept")
        say(f"{caption}  SSIM {shown('ssim', scores)}" + ("  * best yet, kept" if better else ""))
        if better:
            self.best = score
        if better or (score is None and self.best is None):
            self.keep_model(scores)

    def keep_model(self, scores: Mapping[str, float]) -> None:
        """Writes the model folder from the present weights."""
        weights = self.networks.shown.state_dict()
        save_model(self.folder / "model", self.info(scores), weights, self.mean_target())

    def weights(self) -> dict[str, Tensor]:
        """The weights of the networks, by name."""
        return self.networks.weights()

    def info(self, scores: Mapping[str, float] | None) -> ModelInfo:
        """What `model.json` says of the model as it is now; without scores (None) also without its provenance."""
        config = self.config
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
            scores=dict(scores or {}),
            provenance=self.provenance() if scores is not None else {},
        )

    def mean_target(self) -> Image:
        """The mean of the training targets, brought to one size: HWC uint8."""
        if self._mean_target is None:
            side, dataset = self.config.jitter.size, self.data.train
            chosen = generator(0, 0, "mean").permutation(len(dataset))[:512]
            total = np.zeros((side, side, self.data.out_channels))
            for index in chosen:
                total += imaging.resize(
                    imaging.as_dtype(dataset.pair(int(index), 0).target, np.uint8), (side, side), "area"
                )
            self._mean_target = np.rint(total / len(chosen)).astype(np.uint8)
        return self._mean_target

    def finish(self) -> None:
        """Says at the end how the networks stand too."""
        super().finish()
        if not self.team.first:
            return
        losses = (self.window if self.window.count else self.last_window).means()
        if self.config.objective.gan != "none" and losses:
            say(balance(self.config.objective, losses["d_real"], losses["d_fake"]))
