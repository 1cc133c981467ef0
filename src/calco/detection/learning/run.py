"""One training run of a detector: its folder, data, network and position."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calco.annotations.detections import Detections, nothing
from calco.console import say
from calco.data.config import BoxAugmentConfig
from calco.data.types import Sample
from calco.detection.choosing import Chosen
from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.feed import DetectionBatch, load_batch
from calco.detection.learning.networks import Learning, rate_at
from calco.detection.learning.setup import DetectionData
from calco.detection.learning.sheet import sheet
from calco.detection.metrics import Scores, average_precision
from calco.detection.model import BATCH, Detector, DetectorInfo, save_detector
from calco.runs.course import Course
from calco.runs.journal import Journal
from calco.runs.processes import ALONE, Team

LEAST = 0.01
"""The score from which on boxes are looked at in a validation: the curve needs the doubtful ones too."""


class DetectionRun(Course[DetectionBatch]):
    """One run: its folder, data, network and position.

    Args:
        config: The whole configuration.
        folder: The run's folder.
        data: What `open_boxes` gave for the configuration.
        chosen: The network with its first weights.
        device: Where it computes.
        team: The processes that learn together; the first one of them validates and writes.

    Raises:
        CalcoError: When there are fewer training images than all processes take at once.
    """

    command, items, steadier = "calco detect train", "images", "a longer --warm-up or --precision fp32"
    data: DetectionData

    def __init__(
        self, config: DetectTrainConfig, folder: Path, data: DetectionData, chosen: Chosen, device: torch.device,
        team: Team = ALONE,
    ) -> None:  # fmt: skip
        super().__init__(config, folder, data, device, team)
        self.config, self.chosen = config, chosen
        self.learning = Learning(config, chosen, device, team)
        self.calm = False

    def meta(self) -> dict[str, Any]:
        """The position, and what the network is built from again."""
        built: dict[str, Any] = {"architecture": self.chosen.architecture, "settings": self.chosen.settings}
        frozen = getattr(self.learning.network, "frozen", 0)
        built |= {"origin": self.chosen.origin, "frozen": frozen}
        return super().meta() | {"calm": self.calm, "built": built}

    def state(self) -> dict[str, Tensor]:
        """Network, optimisers and chance."""
        return self.learning.state()

    def put_back(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        self.learning.restore(tensors)

    def feed(self, skip: int) -> Generator[DetectionBatch, None, None]:
        """The batches of the present epoch from the `skip`-th on."""
        if not skip:  # an epoch is of one kind, also one that is gone on with
            self.calm = self.progress >= 1 - self.config.calm
        self.data.train.augment = calmed(self.config.augment) if self.calm else self.config.augment
        return self.batches(load_batch, self.data.train, skip)

    def set_rate(self) -> float:
        """Sets the rate of the present progress."""
        rate = rate_at(self.config, self.step, self.progress)
        self.learning.set_rate(rate)
        return rate

    def learn(self, group: list[DetectionBatch]) -> dict[str, float]:
        """One update."""
        self.team.own_chance(self.config.seed, self.step)
        return self.learning.step(group)

    def average(self) -> None:
        """Moves the averaged network."""
        self.learning.average(self.step)

    def count(self, batch: DetectionBatch) -> int:
        """Images in a batch."""
        return len(batch.images)

    def told(self, losses: Mapping[str, float]) -> str:
        """The parts of the loss."""
        return "  ".join(f"{name} {value:.3f}" for name, value in losses.items())

    def validate(self, journal: Journal) -> None:
        """Scores the network, draws the samples, and keeps the model when it is the best yet."""
        keep = self.config.keep
        detector = Detector(self.info(None), self.learning.shown, device=self.device, precision=self.learning.dtype)
        scores, seen, found = self._score(detector)
        self.learning.shown.train()
        numbers = scores.numbers()
        caption = f"epoch {self.epoch}  step {self.step}  " + "  ".join(
            f"{label} {numbers[name]:.3f}" if name in numbers else f"{label} undefined"
            for name, label in (("map50", "mAP50"), ("map", "mAP"), ("f1", "F1"))
        )
        drawn = sheet(seen, found, self.data.classes, numbers.get("threshold", 0.5), caption)
        self.tell(journal, numbers, drawn)
        score = numbers.get(keep.best_by)
        better = score is not None and (self.best is None or score > self.best)
        if score is None:
            self.note(f"{keep.best_by} is undefined: no validation image has an object; the last weights are kept")
        say(f"{caption} at {numbers.get('threshold', 0.5):.2f}" + ("  * best yet, kept" if better else ""))
        if better:
            self.best = score
        if better or (score is None and self.best is None):
            self.keep_model(numbers)

    def keep_model(self, scores: Mapping[str, float]) -> None:
        """Writes the model folder from the present weights."""
        save_detector(self.folder / "model", self.info(scores), self.learning.shown)

    def weights(self) -> dict[str, Tensor]:
        """The weights of the network and of its average, by name."""
        return self.learning.weights()

    def _score(self, detector: Detector) -> tuple[Scores, list[Sample], list[Detections]]:
        """The scores on the validation images, and some of these for the sheet."""
        images, keep = self.data.validation, self.config.keep
        count = min(keep.validation_images, len(images))
        places = np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))
        shown = {int(places[each]) for each in np.linspace(0, len(places) - 1, min(keep.samples, count)).astype(int)}
        truth, found, seen, drawn = list[Detections](), list[Detections](), list[Sample](), list[Detections]()
        for start in range(0, len(places), BATCH):
            chosen = [int(place) for place in places[start : start + BATCH]]
            part = [images.image(place) for place in chosen]
            answers = detector.many([each.image for each in part], threshold=LEAST)
            truth += [each.detections or nothing() for each in part]
            found += answers
            for place, image, answer in zip(chosen, part, answers, strict=True):
                if place in shown:
                    seen.append(image)
                    drawn.append(answer)
        return average_precision(truth, found, self.data.classes), seen, drawn

    def info(self, scores: Mapping[str, float] | None) -> DetectorInfo:
        """What `model.json` says of the model as it is now."""
        config = self.config
        return DetectorInfo(
            architecture=self.chosen.architecture,
            settings=self.chosen.settings,
            classes=self.data.classes,
            size=config.size,
            threshold=(scores or {}).get("threshold", 0.5),
            source=config.source,
            split=config.split,
            seed=config.seed,
            step=self.step,
            scores=dict(scores or {}),
            provenance={**self.provenance(), "weights": self.chosen.origin} if scores is not None else {},
        )


def calmed(augment: BoxAugmentConfig) -> BoxAugmentConfig:
    """Little play, for the end of a run (YOLOX, arXiv 2107.08430, section 2.1, closes its mosaics so)."""
    low, high = (min(max(value, 0.85), 1.25) for value in augment.scale)
    return replace(augment, mosaic=0.0, erase=0.0, rotate=0.0, damage=augment.damage / 3, scale=(low, high))
