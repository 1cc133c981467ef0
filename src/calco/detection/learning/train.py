"""`calco detect train`: the training of a detector, from its configuration to a folder with a model in it."""

import copy
import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from calco.annotations.detections import Detections, nothing
from calco.checking.check import report_findings
from calco.data.box_augmentation import letterbox
from calco.data.sample import Sample
from calco.detection.drawing import draw_detections
from calco.detection.initial import InitialNetwork, initial_network
from calco.detection.learning import DetectTrainConfig
from calco.detection.learning.setup import DetectionBatch, DetectionData, load_batch, open_boxes
from calco.detection.lite import LiteDetector
from calco.detection.metrics import Scores, average_precision
from calco.detection.model import (
    BATCH,
    Detector,
    DetectorInfo,
    build_network,
    detector_folder,
    load_detector_info,
    save_detector,
)
from calco.detection.network import DetectionNetwork, Learner
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.folder import read_weights
from calco.networks.cpu import prefer_onednn
from calco.networks.machine import NAMES
from calco.report.numbers import measure_name
from calco.training.checkpoint import TrainableNetworks, check_shared, latest_checkpoint, load_position, take_weights
from calco.training.processes import SINGLE, ProcessGroup, need_compiler, ready_device
from calco.training.run import Run
from calco.training.run_folder import read_config
from calco.training.task import Task, Validation
from calco.training.trainer import run_task

LOG = logging.getLogger(__name__)
LOWEST_SCORE: Final = 0.01
"""Lowest score of the boxes in a validation: the precision-recall curve needs uncertain ones too."""
CELL: Final = 256
"""Side of an image in the sheet of samples, pixels."""
_GAP, _BAND = 4, 24


def train_detector(config: DetectTrainConfig, *, resume: bool = False, progress: bool = True) -> Run:
    """Train a detector, in one process or in several.

    Args:
        config: Whole configuration; `out` names the folder of the run.
        resume: Resume the run in `out` from its last checkpoint; on a CPU with a fixed number of threads, bit for bit.
        progress: Show the progress line.

    Returns:
        Folder of the run, a path that a notebook shows: config.yaml, log.jsonl, samples, checkpoints, model,
        evolution.mp4.

    Raises:
        CalcoError: If images, model or configuration cannot be used, a loss is not finite, the disk is full, or one of
            several processes was killed.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    return Run(run_task(DetectionTask, config, resume=resume, progress=progress))


def load_detect_config(path: str | Path) -> DetectTrainConfig:
    """Read the configuration of a run from its config.yaml."""
    return read_config(DetectTrainConfig, path, DetectionTask.product)


def first_network(config: DetectTrainConfig, data: DetectionData) -> InitialNetwork:
    """Build the network of a new run with its first weights."""
    torch.manual_seed(config.seed)
    if config.start:
        return _started_network(config, data.classes)
    lite = {"width": config.lite.width, "depth": config.lite.depth}
    return initial_network(
        config.model, data.classes, scratch=config.weights == "scratch", lite=lite, freeze=config.freeze
    )


def _started_network(config: DetectTrainConfig, classes: Sequence[str]) -> InitialNetwork:
    """Build the architecture of the detector to start from, with its weights; rows of classes are taken by name."""
    info = load_detector_info(config.start)

    def build(num_classes: int) -> DetectionNetwork:
        return build_network(info.architecture, info.settings, num_classes)

    network = build(len(classes))
    wider = build(len(classes) + 1).state_dict()
    axes = {
        name: next(axis for axis in range(tensor.dim()) if tensor.shape[axis] != wider[name].shape[axis])
        for name, tensor in network.state_dict().items()
        if tensor.shape != wider[name].shape
    }
    rows = [(info.classes.index(name), row) for row, name in enumerate(classes) if name in info.classes]
    took = take_weights(network, read_weights(detector_folder(config.start)), axes=axes, rows=rows)
    check_shared(config.start, took)
    if isinstance(network, LiteDetector):
        network.freeze(config.freeze)
    known = ", ".join(classes[row] for _, row in rows) or "none"
    origin = f"weights of {config.start}: {took.describe('detector')}; classes that it knew: {known}"
    return InitialNetwork(network, info.architecture, info.settings, origin)


def _resumed_network(config: DetectTrainConfig, classes: Sequence[str]) -> InitialNetwork:
    """Build the network of a resumed run; its weights are those of the checkpoint."""
    position = load_position(latest_checkpoint(Path(config.out) / "checkpoints"))
    built = position.get("built")
    if not isinstance(built, dict):
        raise CalcoError(f"{config.out} is not a run of calco detect train; resume it with calco train --resume")
    network = build_network(built["architecture"], built["settings"], len(classes))
    if isinstance(network, LiteDetector):
        network.freeze(int(built.get("frozen", 0)), norms=bool(built.get("fixed_norms", False)))
    return InitialNetwork(network, built["architecture"], built["settings"], built["origin"])


class DetectorNetworks(TrainableNetworks):
    """A detector in training, its optimiser and its average; `kept` of the two is validated and saved."""

    averaged: DetectionNetwork | None

    def __init__(
        self, config: DetectTrainConfig, network: DetectionNetwork, device: torch.device, group: ProcessGroup = SINGLE
    ) -> None:
        super().__init__(config.compute, device, config.optimiser.ema)
        self.options, self.group = config.optimiser, group
        self.network = network.to(device).train()
        if config.compute.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        prefer_onednn(self.network)
        self.live, self.averaged = self.network, copy.deepcopy(self.network) if self.ema else None
        self.modules = {"network": self.network}
        if self.averaged is not None:
            self.modules["averaged"] = self.averaged
        self.losses_of: nn.Module = group.wrap(Learner(self.network))  # its gradients are shared by all processes
        in_backbone = {id(weight) for weight in self.network.backbone_parameters()}
        trained = [weight for weight in self.network.parameters() if weight.requires_grad]
        parts = (
            ([weight for weight in trained if id(weight) not in in_backbone], 1.0),
            ([weight for weight in trained if id(weight) in in_backbone], self.options.backbone_rate),
        )
        self.optimiser = torch.optim.AdamW(
            [{"params": weights, "rate_scale": scale} for weights, scale in parts if weights and scale],
            lr=self.options.learning_rate, betas=self.options.betas, weight_decay=self.options.weight_decay, fused=True,
        )  # fmt: skip
        self.optimisers = {"optimiser": self.optimiser}
        if config.compute.compile:
            need_compiler(device)
            # As a whole it would be compiled anew for every number of objects.
            self.network.compile_steady()

    @property
    def kept(self) -> DetectionNetwork:
        """Network that is validated and kept."""
        return self.averaged if self.averaged is not None else self.network

    def step(self, batches: Sequence[DetectionBatch]) -> dict[str, float]:
        """Update the weights once from one or more batches, whose gradients are averaged; return the mean losses."""
        losses: dict[str, float] = {}
        share, last = 1 / len(batches), len(batches) - 1
        for number, batch in enumerate(batches):
            images, objects = batch.to(self.device)
            with self.group.averaging(self.losses_of, now=number == last):
                with self.autocast():
                    parts = self.losses_of(images, objects)
                self.scaler.scale(torch.stack(list(parts.values())).sum() * share).backward()
            for name, value in parts.items():
                losses[name] = losses.get(name, 0.0) + value.item() * share
        if not all(math.isfinite(value) for value in losses.values()) and self.group.world_size == 1:
            return losses  # the run ends with the weights of the step before
        self.scaler.unscale_(self.optimiser)
        if self.options.clip:
            weights = [weight for group in self.optimiser.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.options.clip)
        self.scaler.step(self.optimiser)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.update()
        return losses

    def state(self) -> dict[str, Tensor]:
        """Return the content of a checkpoint."""
        # Copies: weights that a network uses twice may not share memory in the file.
        return {name: tensor.clone() for name, tensor in super().state().items()}


class DetectionTask(Task[DetectionBatch]):
    """Training of a detector."""

    command, items, product = "calco detect train", "images", "detector"
    steadier = "a longer --warm-up or --precision fp32"
    without_validation = ", with the threshold 0.5"
    config: DetectTrainConfig
    data: DetectionData
    networks: DetectorNetworks
    load_batch = staticmethod(load_batch)

    def __init__(self, config: DetectTrainConfig, group: ProcessGroup, *, resume: bool) -> None:
        self.group, self.calm = group, False
        self.data, self.config = open_boxes(config)
        LOG.info("%s", self.data.source.summary())
        if group.is_rank0 and not resume:
            report_findings(self.data.source, self.data.splits, self.config.source)
        self.device = ready_device(config.compute, group)
        classes = self.data.classes
        self.chosen = _resumed_network(self.config, classes) if resume else first_network(self.config, self.data)
        self.networks = DetectorNetworks(self.config, self.chosen.network, self.device, group)

    @staticmethod
    def less_memory(config: DetectTrainConfig, *, resume: bool) -> str:
        """Name the options that need less memory."""
        smaller = f"a smaller --batch (now {config.optimiser.batch}) or --size (now {config.size})"
        return f"train anew with another --out and {smaller}" if resume else f"give {smaller}"

    @property
    def default_name(self) -> str:
        """Name of a new run's folder."""
        return f"detect-{Path(self.config.images).name or 'images'}"

    def plan(self, step: int) -> tuple[str, str]:
        """Classes, size, device and precision."""
        if not step:
            LOG.info("%s", self.chosen.origin)
        classes, dtype = ", ".join(self.data.classes), NAMES[self.networks.dtype]
        return "", f"classes {classes}, {self.config.size} pixels, {self.device} in {dtype}"

    def begin_epoch(self, progress: float) -> None:
        """Reduce augmentation for the last share of the run; an epoch is of one kind, also when it is resumed."""
        self._set_calm(progress >= 1 - self.config.calm)

    def _set_calm(self, calm: bool) -> None:
        """Weaken the augmentation (YOLOX, arXiv 2107.08430, section 2.1, stops its mosaics so), or restore it."""
        self.calm, augment = calm, self.config.augment
        if calm:
            low, high = (min(max(value, 0.85), 1.25) for value in augment.scale)
            augment = replace(augment, mosaic=0.0, erase=0.0, rotate=0.0, damage=augment.damage / 3, scale=(low, high))
        self.data.train.augment = augment

    def position(self) -> dict[str, Any]:
        """Augmentation of the epoch, and the network's settings."""
        built: dict[str, Any] = {"architecture": self.chosen.architecture, "settings": self.chosen.settings}
        network = self.networks.network
        if isinstance(network, LiteDetector):
            built |= {"frozen": network.frozen, "fixed_norms": network.fixed_norms}
        return {"calm": self.calm, "built": {**built, "origin": self.chosen.origin}}

    def load_position(self, position: Mapping[str, Any]) -> None:
        """Restore the augmentation of the epoch."""
        self._set_calm(bool(position["calm"]))

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of a step: rising over the first ones, then falling like a cosine over the run."""
        options = self.config.optimiser
        risen = min(1.0, (step + 1) / options.warm_up) if options.warm_up else 1.0
        fallen = options.final + (1 - options.final) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
        return options.learning_rate * risen * fallen

    def learn(self, batches: Sequence[DetectionBatch]) -> dict[str, float]:
        """Update the network once."""
        return self.networks.step(batches)

    @staticmethod
    def batch_size(batch: DetectionBatch) -> int:
        """Number of images in a batch."""
        return len(batch.images)

    def describe_losses(self, losses: Mapping[str, float]) -> str:
        """Parts of the loss."""
        return "  ".join(f"{name} {value:.3f}" for name, value in losses.items())

    def validate(self, step: int, epoch: int) -> Validation:
        """Score the network on validation images, the same ones each time."""
        best_by = self.config.keep.best_by
        networks = self.networks
        detector = Detector(self.info(step, None), networks.kept, device=self.device, precision=networks.dtype)
        scores, samples, found = self._score(detector)
        networks.kept.train()
        numbers = scores.numbers()
        threshold = numbers.get("threshold", 0.5)
        caption = f"epoch {epoch}  step {step}  " + "  ".join(
            f"{measure_name(name)} {numbers[name]:.3f}" if name in numbers else f"{measure_name(name)} undefined"
            for name in ("map50", "map", "f1")
        )
        undefined = f"{best_by} is undefined: no validation image has an object; the last weights are kept"
        return Validation(
            scores=numbers,
            sheet=sample_sheet(samples, found, self.data.classes, threshold, caption),
            summary=f"{caption} at {threshold:.2f}",
            notes=[] if best_by in numbers else [undefined],
        )

    def _score(self, detector: Detector) -> tuple[Scores, list[Sample], list[Detections]]:
        """Return the scores on the validation images, and some of these with their detections for the sheet."""
        images, keep = self.data.validation, self.config.keep
        count = min(keep.validation_images, len(images))
        places = np.unique(np.linspace(0, len(images) - 1, count).round().astype(int)).tolist()
        truth, found = list[Detections](), list[Detections]()
        for start in range(0, len(places), BATCH):
            part = [images.image(place) for place in places[start : start + BATCH]]
            truth += [each.detections or nothing() for each in part]
            found += detector.many([each.image for each in part], threshold=LOWEST_SCORE)
        sampled = sorted(set(np.linspace(0, len(places) - 1, min(keep.samples, count)).astype(int).tolist()))
        samples, shown = [images.image(places[each]) for each in sampled], [found[each] for each in sampled]
        return average_precision(truth, found, self.data.classes), samples, shown

    def save_model(self, folder: Path, step: int, scores: Mapping[str, float], provenance: dict[str, Any]) -> None:
        """Write the model folder from the present weights."""
        save_detector(folder, self.info(step, scores, provenance), self.networks.kept)

    def info(
        self, step: int, scores: Mapping[str, float] | None, provenance: dict[str, Any] | None = None
    ) -> DetectorInfo:
        """Description of the present model, as `model.json` holds it."""
        config = self.config
        return DetectorInfo(
            architecture=self.chosen.architecture, settings=self.chosen.settings, classes=self.data.classes,
            size=config.size, threshold=(scores or {}).get("threshold", 0.5), source=config.source, split=config.split,
            seed=config.seed, step=step, scores=dict(scores or {}),
            provenance={**provenance, "weights": self.chosen.origin} if provenance is not None else {},
        )  # fmt: skip

    def evaluate_command(self, folder: Path) -> str:
        """Command that evaluates the trained model."""
        return shlex.join(["calco", "detect", "evaluate", str(folder), self.config.images])


def summary(config: DetectTrainConfig, data: DetectionData) -> str:
    """Describe the data set and the size of the network, one line each."""
    chosen = first_network(config, data)
    weights = list(chosen.network.parameters())
    total, trained = (sum(weight.numel() for weight in weights if weight.requires_grad or every) for every in (1, 0))
    return "\n".join(
        [
            data.source.summary(),
            "images: " + ", ".join(f"{len(items)} {name}" for name, items in data.splits.items()),
            f"classes: {', '.join(data.classes)}",
            f"network: {chosen.architecture}, {total:,} parameters, {trained:,} of them trained",
            chosen.origin,
        ]
    )


def sample_sheet(
    images: Sequence[Sample], found: Sequence[Detections], classes: Sequence[str], threshold: float, caption: str
) -> Image:
    """Lay out truth | detections at or above a threshold, two such pairs a row, under a line of text.

    Returns:
        HW3 `uint8` RGB of even height and width, as H.264 needs them.
    """
    columns = min(2, len(images))
    rows = -(-len(images) // columns)
    wide = 2 * CELL + _GAP // 2
    out = np.full((_BAND + rows * (CELL + _GAP), columns * (wide + _GAP) + _GAP, 3), 255, np.uint8)
    for number, (image, answer) in enumerate(zip(images, found, strict=True)):
        sure = answer if answer.scores is None else answer.select(answer.scores >= threshold)
        top, left = _BAND + number // columns * (CELL + _GAP), _GAP + number % columns * (wide + _GAP)
        square, scale, (x, y) = letterbox(image.image, CELL, 255)
        for place, objects in enumerate((image.detections or nothing(), sure)):
            moved = objects.scaled(scale, scale).cropped(-x, -y, CELL, CELL)
            start = left + place * (CELL + _GAP // 2)
            out[top : top + CELL, start : start + CELL] = draw_detections(square, moved, classes)
    cv2.putText(out, caption, (_GAP, _BAND - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.pad(out, ((0, out.shape[0] % 2), (0, out.shape[1] % 2), (0, 0)), constant_values=255)
