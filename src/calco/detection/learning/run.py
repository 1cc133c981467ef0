"""One training run of a detector: its folder, data, network and position."""

import copy
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from calco.annotations.detections import Detections, nothing
from calco.console import say
from calco.data.box_augmentation import letterbox
from calco.data.config import BoxAugmentConfig
from calco.data.sample import Sample
from calco.detection.choosing import Chosen
from calco.detection.drawing import draw_detections
from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.setup import DetectionBatch, DetectionData, load_batch
from calco.detection.metrics import Scores, average_precision
from calco.detection.model import BATCH, Detector, DetectorInfo, save_detector
from calco.detection.network import DetectionNetwork, Learner
from calco.imaging import Image
from calco.networks.machine import choose_precision
from calco.training.checkpoint import flatten_optimiser, restore_optimiser
from calco.training.log import RunLog
from calco.training.processes import ALONE, Team, need_compiler
from calco.training.trainer import Course


class Learning:
    """A detector that learns.

    Args:
        config: The run's configuration.
        chosen: The network with its first weights.
        device: Where it lives.
        team: The processes that learn together; by default this one is alone.

    Attributes:
        network: What learns.
        shared: What is called for losses whose gradients all processes shall have.
        averaged: The averaged network, or None.
        dtype: What its convolutions compute in.
    """

    def __init__(self, config: DetectTrainConfig, chosen: Chosen, device: torch.device, team: Team = ALONE) -> None:
        self.config, self.device, self.team = config, device, team
        self.network = chosen.network.to(device).train()
        if config.compute.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged: DetectionNetwork | None = copy.deepcopy(self.network) if config.optimiser.ema else None
        self.dtype = choose_precision(config.compute.precision, device)
        learner = Learner(self.network)
        self.shared: nn.Module = team.share(learner)
        careful = {id(weight) for weight in self.network.backbone_parameters()}
        learns = [weight for weight in self.network.parameters() if weight.requires_grad]
        parts = (
            ("rest", [weight for weight in learns if id(weight) not in careful], 1.0),
            ("backbone", [weight for weight in learns if id(weight) in careful], config.optimiser.backbone_rate),
        )
        self.optimisers = {name: (self._adam(weights), share) for name, weights, share in parts if weights and share}
        # Half floats end at 6e-5: their gradients are scaled up, and steps whose gradients overflow are left out.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        if config.compute.compile:
            need_compiler(device)
            # Whole, it would be compiled anew for every number of objects.
            self.network.compile_steady()

    def _adam(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        options = self.config.optimiser
        return torch.optim.AdamW(
            weights, lr=options.learning_rate, betas=options.betas, weight_decay=options.weight_decay, fused=True
        )

    @property
    def shown(self) -> DetectionNetwork:
        """The network that is validated and kept."""
        return self.averaged if self.averaged is not None else self.network

    def set_rate(self, rate: float) -> None:
        """Sets the step size, and the backbone's share of it."""
        for optimiser, share in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate * share

    def step(self, batches: Sequence[DetectionBatch]) -> dict[str, float]:
        """One update from one or more batches (of each process), whose gradients are averaged.

        Returns:
            The mean parts of the loss in this process.
        """
        losses: dict[str, float] = {}
        share, last = 1 / len(batches), len(batches) - 1
        for number, batch in enumerate(batches):
            images, objects = batch.to(self.device)
            with self.team.together(self.shared, now=number == last):
                with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                    parts = self.shared(images, objects)
                self.scaler.scale(torch.stack(list(parts.values())).sum() * share).backward()
            for name, value in parts.items():
                losses[name] = losses.get(name, 0.0) + value.item() * share
        if not all(math.isfinite(value) for value in losses.values()) and self.team.world == 1:
            return losses  # the run ends with the weights of the step before
        for optimiser, _ in self.optimisers.values():
            self.scaler.unscale_(optimiser)
        if self.config.optimiser.clip:
            weights = [w for o, _ in self.optimisers.values() for group in o.param_groups for w in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.config.optimiser.clip)
        for optimiser, _ in self.optimisers.values():
            self.scaler.step(optimiser)
            optimiser.zero_grad(set_to_none=True)
        self.scaler.update()
        return losses

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Moves the averaged network towards the current one; faster at first, when little is averaged yet."""
        if self.averaged is None:
            return
        decay = min(self.config.optimiser.ema, (1 + step) / (10 + step))
        mine, theirs = self.averaged.state_dict(), self.network.state_dict()
        floats = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - decay)
        for name in mine.keys() - set(floats):
            mine[name].copy_(theirs[name])

    def weights(self) -> dict[str, Tensor]:
        """The weights of the network and of its average, by name."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        return tensors

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold, chance included."""
        # Copies: weights that a network uses twice may not be one piece of memory in the file.
        tensors = {name: tensor.clone() for name, tensor in self.weights().items()}
        for name, (optimiser, _) in self.optimisers.items():
            tensors |= flatten_optimiser(optimiser, f"optimiser_{name}")
        if self.scaler.is_enabled():
            tensors |= {f"scaler.{name}": torch.tensor(value) for name, value in self.scaler.state_dict().items()}
        tensors["chance.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["chance.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        for prefix, part in (("network.", self.network), ("averaged.", self.averaged)):
            if part is not None:
                part.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
        for name, (optimiser, _) in self.optimisers.items():
            restore_optimiser(optimiser, tensors, f"optimiser_{name}")
        if self.scaler.is_enabled() and "scaler.scale" in tensors:
            self.scaler.load_state_dict({name: tensors[f"scaler.{name}"].item() for name in self.scaler.state_dict()})
        torch.set_rng_state(tensors["chance.cpu"])
        if self.device.type == "cuda" and "chance.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["chance.cuda"], self.device)


def rate_at(config: DetectTrainConfig, step: int, progress: float) -> float:
    """The learning rate of a step: risen over the first ones, then falling like a cosine over the run."""
    options = config.optimiser
    risen = min(1.0, (step + 1) / options.warm_up) if options.warm_up else 1.0
    fallen = options.final + (1 - options.final) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return options.learning_rate * risen * fallen


CELL: Final = 256
_GAP, _BAND = 4, 24


def sheet(
    images: Sequence[Sample], found: Sequence[Detections], classes: Sequence[str], threshold: float, caption: str
) -> Image:
    """Truth | found side by side, two such pairs a row, under a line of text.

    Args:
        images: With their objects.
        found: What was found in each, of any scores.
        classes: The names of all classes.
        threshold: What scores less is not drawn.
        caption: The line of text.

    Returns:
        HWC uint8 RGB of even height and width, as H.264 wants them.
    """
    columns = min(2, len(images))
    rows = -(-len(images) // columns)
    wide = 2 * CELL + _GAP // 2
    out = np.full((_BAND + rows * (CELL + _GAP), columns * (wide + _GAP) + _GAP, 3), 255, np.uint8)
    for number, (image, said) in enumerate(zip(images, found, strict=True)):
        believed = said if said.scores is None else said.select(said.scores >= threshold)
        top, left = _BAND + number // columns * (CELL + _GAP), _GAP + number % columns * (wide + _GAP)
        for place, objects in enumerate((image.detections or nothing(), believed)):
            drawn = _cell(image.image, objects, classes)
            start = left + place * (CELL + _GAP // 2)
            out[top : top + CELL, start : start + CELL] = drawn
    cv2.putText(out, caption, (_GAP, _BAND - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.pad(out, ((0, out.shape[0] % 2), (0, out.shape[1] % 2), (0, 0)), constant_values=255)


def _cell(image: Image, objects: Detections, classes: Sequence[str]) -> Image:
    """An image in its square, with its boxes drawn at that size."""
    square, scale, (left, top) = letterbox(image, CELL, 255)
    moved = objects.scaled(scale, scale).cropped(-left, -top, CELL, CELL)
    return draw_detections(square, moved, classes)


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

    def validate(self, journal: RunLog) -> None:
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
