"""`calco train`: the training of a translator, from its configuration to a folder with a model in it."""

import logging
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from calco import imaging
from calco.checking.check import report_findings
from calco.data.palettes import decode
from calco.data.recipes import check_recorded, recipe_title
from calco.data.sample import generator
from calco.data.sources import is_elsewhere
from calco.evaluation.metrics import METRICS, SSIM_MIN_SIDE, confusion, l1, mean_class_scores, psnr, ssim
from calco.evaluation.perceptual import Perceptual
from calco.imaging import Image, as_channels
from calco.inference.folder import ModelInfo, save_model
from calco.inference.translator import Translator
from calco.networks.build import build_discriminator, build_generator
from calco.networks.config import GeneratorConfig
from calco.networks.efficientnet_lite import ABSENT
from calco.networks.layers import count_parameters
from calco.networks.machine import NAMES
from calco.training.checkpoint import start_from
from calco.training.config import TrainConfig
from calco.training.objectives import balance
from calco.training.pairs import Batch, Data, load_batch, open_data
from calco.training.processes import ProcessGroup, ready_device
from calco.training.run import Run
from calco.training.run_folder import read_config
from calco.training.step import Networks, rate_at, training_step
from calco.training.task import Task, Validation
from calco.training.trainer import run_task

LOG: Final = logging.getLogger(__name__)
SCORES: dict[str, Callable[[Image, Image], float]] = {"l1": l1, "psnr": psnr, "ssim": ssim}


def st_lpips() -> Callable[[Image, Image], float]:
    """Return the perceptual distance as a function of output and target."""
    perceptual = Perceptual.load()
    return lambda output, target: perceptual([output], target)[0]


FEW_PAIRS: Final = 1000
"""Below this number of training pairs, what the discriminator sees is augmented (arXiv 2006.10738: no gain at many)."""

Triple = tuple[Image, Image, Image]  # input, output, target


def train(config: TrainConfig, *, resume: bool = False, progress: bool = True) -> Run:
    """Train a translator, in one process or in several.

    Several processes train together if torchrun started them, or if the configuration asks for them.

    Args:
        config: Whole configuration; `out` names the folder of the run.
        resume: Resume the run in `out` from its last checkpoint; on a CPU with a fixed number of threads, bit for bit.
        progress: Show the progress line.

    Returns:
        Folder of the run, a path that a notebook shows: config.yaml, log.jsonl, samples, checkpoints, model,
        evolution.mp4.

    Raises:
        CalcoError: If images or configuration cannot be used, a loss is not finite, the disk is full, or one of several
            processes was killed.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    return Run(run_task(Translation, config, resume=resume, progress=progress))


def load_config(path: str | Path) -> TrainConfig:
    """Read the configuration of a run from its config.yaml; another format or kind and unknown fields are refused."""
    config = read_config(TrainConfig, path, Translation.product)
    check_recorded(config.recipe, path)
    return config


class Translation(Task[Batch]):
    """Training of a translator."""

    command, items, product, fit_loss = "calco train", "pairs", "translator", "g_pixel"
    steadier = "--precision fp32 or --objective.gan least-squares"
    config: TrainConfig
    data: Data
    networks: Networks
    load_batch = staticmethod(load_batch)

    def __init__(self, config: TrainConfig, group: ProcessGroup, *, resume: bool) -> None:
        asked = config.recipe
        self.group = group
        self.data, self.config = open_data(config)
        LOG.info(self.data.source.summary())
        if group.is_rank0 and not resume:
            config = self.config
            report_findings(self.data.source, self.data.splits, config.source, recipe=config.recipe, asked=asked)
        self.device = ready_device(config.compute, group)
        channels = self.data.in_channels, self.data.out_channels
        self.networks = Networks(self.config, *channels, self.device, group)
        self.networks.augments = augments(self.config, len(self.data.train))
        self.started = "" if resume or not config.start else start_from(config.start, self.networks.modules)
        self.lower_is_better = METRICS[self.config.keep.best_by].better == "lower"
        self._mean_target: Image | None = None
        self.best_scores: dict[str, float] = {}  # of the regression and of the bridge that refines it

    @staticmethod
    def less_memory(config: TrainConfig, *, resume: bool) -> str:
        """Name the options that need less memory."""
        batch, recompute = config.optimiser.batch, config.compute.activation_checkpointing
        smaller = f"a smaller --batch (now {batch}) or --size" if batch > 1 else "a smaller --size"
        smaller += f" (now {config.jitter.size})"
        if resume:  # only the device, its precision and the like may change
            anew = f"train anew with another --out and {smaller}"
            return anew if recompute else f"resume with --activation-checkpointing, or {anew}"
        return f"give {smaller}" + ("" if recompute else ", or --activation-checkpointing")

    @property
    def default_name(self) -> str:
        """Name of a new run's folder."""
        return f"{recipe_title(self.config.recipe.recipe)}-{Path(self.config.images).name or 'images'}"

    def plan(self, step: int) -> tuple[str, str]:
        """Recipe, device and precision."""
        config = self.config
        if self.started and not step:
            LOG.info("%s", self.started)
        elif (begins := describe_start(config.generator, self.networks.from_imagenet)) and not step:
            expected = self.networks.from_imagenet or not config.generator.pretrained
            LOG.log(logging.INFO if expected else logging.WARNING, begins)
        return f"recipe {config.recipe.recipe}, ", f"{self.device} in {NAMES[self.networks.dtype]}"

    def position(self) -> dict[str, Any]:
        """Origin of the first weights; of a bridge, the part that learns, and the best scores of both."""
        return {"started": self.started, "refines": self.networks.refines, "best_scores": self.best_scores}

    def load_position(self, position: Mapping[str, Any]) -> None:
        """Restore what `position` returned."""
        self.started = str(position.get("started", ""))
        self.networks.refine(bool(position.get("refines")))
        self.best_scores = dict(position.get("best_scores", {}))

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a share of the run, on which size, adversary and bridge depend too."""
        if self.networks.refine(progress >= self.config.bridge_begins):
            number = self.config.generator.bridge_steps
            now = f"the regression is fixed; the network that refines it in {number} steps learns now"
            LOG.info(f"step {step}: {now if self.networks.refines else 'within the new limit the regression learns'}")
        self.networks.adversarial = progress >= self.config.objective.gan_from
        self.networks.halves = progress < self.config.optimiser.half_size_until
        return rate_at(self.config, step, progress)

    def learn(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Update both networks once."""
        return training_step(self.networks, batches)

    @staticmethod
    def batch_size(batch: Batch) -> int:
        """Number of pairs in a batch."""
        return len(batch.input)

    def describe_losses(self, losses: Mapping[str, float]) -> str:
        """Losses of both networks."""
        if not losses:
            return ""
        pixel, gan, real, fake = (losses[name] for name in ("g_pixel", "g_gan", "d_real", "d_fake"))
        return f"pixel {pixel:.3f}  gan {gan:.2f}  D {real:.2f}/{fake:.2f}"

    def validate(self, step: int, epoch: int) -> Validation:
        """Score the generator on whole validation pairs, the same ones each time."""
        keep, notes = self.config.keep, []
        translator = Translator(self.info(step, None), self.networks.kept, device=self.device)
        scores, triples, undefined = self._score(translator)
        self.networks.kept.train()
        for name, keys in undefined.items():
            small = f"the image is smaller than {SSIM_MIN_SIDE} pixels"
            notes.append(
                f"{METRICS[name].label} is undefined for {len(keys)} of {keep.validation_pairs} validation pairs at "
                f"most, such as {keys[0]}: {small if name == 'ssim' else 'its value is not a finite number'}; the mean "
                "leaves them out"
            )
        if keep.best_by not in scores:
            notes.append(
                f"{METRICS[keep.best_by].label} is undefined for all validation pairs: the last weights are kept"
            )
        if self.networks.bridge is not None and keep.best_by in scores:
            part, better = "bridge" if self.networks.refines else "regression", min if self.lower_is_better else max
            self.best_scores[part] = better(scores[keep.best_by], self.best_scores.get(part, scores[keep.best_by]))
        caption = f"epoch {epoch}  step {step}  L1 {_shown('l1', scores)}  "
        caption += f"IoU {_shown('iou', scores)}" if "iou" in scores else f"PSNR {_shown('psnr', scores)} dB"
        summary = f"{caption}  SSIM {_shown('ssim', scores)}"
        sheet = sample_sheet(triples, caption)
        return Validation(scores=scores, sheet=sheet, summary=summary, notes=notes, provisional=self._provisional())

    def _provisional(self) -> str:
        """Return until when no model counts as the best: without an adversary scores are often better, images worse."""
        objective = self.config.objective
        if self.networks.halves:
            return "images have their full size"
        awaits = not self.networks.adversarial and objective.gan != "none" and objective.gan_from < 1
        return "the adversary has begun" if awaits else ""

    def _score(self, translator: Translator) -> tuple[dict[str, float], list[Triple], dict[str, list[str]]]:
        """Return mean scores (of painted classes IoU and Dice too), samples, and by metric the keys without a score."""
        dataset, keep = self.data.validation, self.config.keep
        metrics = SCORES | ({"st_lpips": st_lpips()} if keep.best_by == "st_lpips" else {})
        values: dict[str, list[float]] = {name: [] for name in metrics}
        undefined: dict[str, list[str]] = {}
        triples, palette = list[Triple](), translator.info.palette
        counts = np.zeros((len(palette),) * 2, np.int64) if palette else None
        count = min(keep.validation_pairs, len(dataset))
        sampled = set(range(0, count, -(-count // keep.samples)))
        # Spread over the whole split: neighbours in the list are often alike.
        for number, index in enumerate(np.linspace(0, len(dataset) - 1, count).round()):
            pair = dataset.pair(int(index), 0)
            output = translator(pair.input, native=True)
            for name, metric in metrics.items():
                value = metric(output, pair.target)
                if math.isfinite(value):
                    values[name].append(value)
                else:
                    undefined.setdefault(name, []).append(pair.key)
            if palette and counts is not None:
                counted = np.ones(pair.target.shape[:2], np.bool_) if pair.weight is None else pair.weight > 0
                ours, theirs = (decode(as_channels(image, 3), palette)[counted] for image in (output, pair.target))
                counts += confusion(ours, theirs, len(palette))
            if number in sampled:
                triples.append((pair.input, output, pair.target))
        scores = {name: sum(each) / len(each) for name, each in values.items() if each}
        if counts is not None:
            means = {name: float(mean_class_scores(counts)[name]) for name in ("iou", "dice")}
            scores |= {name: mean for name, mean in means.items() if math.isfinite(mean)}
        return scores, triples, undefined

    def save_model(self, folder: Path, step: int, scores: Mapping[str, float], provenance: dict[str, Any]) -> None:
        """Write the model folder from the present weights."""
        info, weights = self.info(step, scores, provenance), self.networks.kept.state_dict()
        if self._regression_alone:
            weights = {
                name.replace("backbone.regression.", "backbone."): tensor
                for name, tensor in weights.items()
                if not name.startswith("backbone.refiner.")
            }
        save_model(folder, info, weights, self.mean_target())

    def info(
        self, step: int, scores: Mapping[str, float] | None, provenance: dict[str, Any] | None = None
    ) -> ModelInfo:
        """Description of the present model, as `model.json` holds it."""
        config = self.config
        chosen = replace(config.generator, bridge_steps=0) if self._regression_alone else config.generator
        known = {"start": self.started, "perceptual": config.objective.perceptual}
        known = {name: value for name, value in known.items() if provenance and value not in ("", "none")}
        return ModelInfo(
            generator=chosen, recipe=config.recipe, jitter=config.jitter, in_channels=self.data.in_channels,
            out_channels=self.data.out_channels, source=config.source, split=config.split, seed=config.seed, step=step,
            scores=dict(scores or {}), provenance=(provenance or {}) | known,
        )  # fmt: skip

    @property
    def _regression_alone(self) -> bool:
        """Whether the model is the regression of a bridge that has not learned yet, and is kept as such a model."""
        return self.networks.bridge is not None and not self.networks.refines

    def mean_target(self) -> Image:
        """Mean of the training targets, resized to one size: HWC uint8."""
        if self._mean_target is None:
            side, dataset = self.config.jitter.size, self.data.train
            chosen = generator(0, 0, "mean").permutation(len(dataset))[:512]
            total = np.zeros((side, side, self.data.out_channels))
            for index in chosen:
                target = imaging.as_dtype(dataset.pair(int(index), 0).target, np.uint8)
                total += imaging.resize(target, (side, side), "area")
            self._mean_target = np.rint(total / len(chosen)).astype(np.uint8)
        return self._mean_target

    def closing_remark(self, losses: Mapping[str, float]) -> str:
        """Balance of the two networks, and whether a bridge improved on its regression."""
        remarks = []
        if self.config.objective.gan != "none" and losses:
            remarks.append(balance(self.config.objective, losses["d_real"], losses["d_fake"]))
        if len(self.best_scores) == 2:
            regression, bridge = self.best_scores["regression"], self.best_scores["bridge"]
            improved = bridge < regression if self.lower_is_better else bridge > regression
            label = METRICS[self.config.keep.best_by].label
            remarks.append(
                f"The bridge's best validation {label} is {bridge:.4g}, that of its regression {regression:.4g}"
                + ("." if improved else ", which is the kept model. Train longer, or leave the bridge out.")
            )
        return " ".join(remarks)

    def evaluate_command(self, folder: Path) -> str:
        """Command that evaluates the trained model."""
        command = f"calco evaluate {shlex.quote(str(folder))}"
        if is_elsewhere(self.config.images):
            return f"{command} {shlex.quote(self.config.images)}"
        return command if self.data.splits["test"] or self.data.splits["val"] else f"{command} IMAGES"


def _shown(metric: str, scores: Mapping[str, float]) -> str:
    decimals = 3 if metric == "ssim" else METRICS[metric].decimals
    return f"{scores[metric]:.{decimals}f}" if metric in scores else "undefined"


def augments(config: TrainConfig, num_pairs: int) -> bool:
    """Return whether the discriminator sees augmented images."""
    asked = config.discriminator.augment
    automatic = num_pairs < FEW_PAIRS and config.preset not in ("pix2pix", "tutorial", "small")
    return config.objective.gan != "none" and (automatic if asked == "auto" else asked == "on")


def describe_start(generator: GeneratorConfig, from_imagenet: bool) -> str:
    """Describe the first weights of a generator; empty if there is only one kind."""
    if generator.architecture != "efficientnet-unet":
        return ""
    if from_imagenet:
        return f"encoder pretrained on ImageNet (EfficientNet-{generator.encoder.capitalize()})"
    if not generator.pretrained:
        return "encoder initialised randomly (--generator.no-pretrained)"
    return f"encoder initialised randomly, so that many more images are needed: {ABSENT}"


def summary(config: TrainConfig, data: Data) -> str:
    """Describe the data set and the sizes of the networks, one line each."""
    network = build_generator(config.generator, data.in_channels, data.out_channels)
    bridged = f" and a bridge of {steps} steps" if (steps := config.generator.bridge_steps) else ""
    lines = [
        data.source.summary(),
        "pairs: " + ", ".join(f"{len(items)} {name}" for name, items in data.splits.items()),
        f"generator: {config.generator.architecture}{bridged}, {count_parameters(network):,} parameters, "
        f"{data.in_channels} channels in, {data.out_channels} out",
    ]
    if config.start:
        lines.append(start_from(config.start, {"generator": network}))
    if config.objective.gan == "none":
        return "\n".join([*lines, "discriminator: none"])
    judges = build_discriminator(config.discriminator, data.in_channels, data.out_channels)
    kind = f"PatchGAN {config.discriminator.patch}" + (
        f", {scales} scales" if (scales := config.discriminator.scales) > 1 else ""
    )
    if config.discriminator.architecture == "projected":
        kind = "heads on fixed features of EfficientNet-Lite0"
    looks = ", sees augmented images" if augments(config, len(data.train)) else ""
    return "\n".join([*lines, f"discriminator: {kind}, {count_parameters(judges):,} parameters{looks}"])


_GAP, _BAND = 4, 24


def sample_sheet(rows: Sequence[Triple], caption: str, columns: int = 2) -> Image:
    """Lay out input | output | target, several such triples a row, under a line of text.

    The images are HWC of any size and depth; each row is resized to the first target. The sheet is HWC uint8 RGB of
    even height and width, as H.264 needs them.
    """
    height, width = rows[0][2].shape[:2]
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    shape = (_BAND + lines * (height + _GAP), columns * (3 * width + 3 * _GAP) + _GAP, 3)
    sheet = np.full(shape, 255, np.uint8)
    for number, triple in enumerate(rows):
        top = _BAND + number // columns * (height + _GAP)
        for place, image in enumerate(triple):
            cell = imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)
            left = _GAP + number % columns * (3 * width + 3 * _GAP) + place * (width + _GAP // 2)
            sheet[top : top + height, left : left + width] = imaging.resize(cell, (width, height))
    cv2.putText(sheet, caption, (_GAP, _BAND - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.pad(sheet, ((0, sheet.shape[0] % 2), (0, sheet.shape[1] % 2), (0, 0)), constant_values=255)
