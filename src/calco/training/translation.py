"""`calco train`: a run from its configuration to a folder with a model in it."""

import functools
import shlex
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calco import imaging
from calco.checking.check import report_findings
from calco.console import say, warn
from calco.data.recipes import check_recorded, recipe_title
from calco.data.sample import generator
from calco.data.sources import is_elsewhere
from calco.errors import CalcoError, enough_memory
from calco.evaluation.metrics import METRICS
from calco.imaging import Image
from calco.inference.model import ModelInfo, Translator, save_model
from calco.networks.config import GeneratorConfig
from calco.networks.efficientnet_lite import ABSENT
from calco.networks.machine import NAMES
from calco.records import from_record, read_yaml, to_record, write_yaml
from calco.training.config import TrainConfig
from calco.training.log import RunLog, duration
from calco.training.objectives import balance
from calco.training.pairs import Batch, Data, load_batch, open_data
from calco.training.processes import ALONE, Team, ready_device
from calco.training.run_folder import foresee_disk, resumes, run_folder, shared_batch
from calco.training.step import Networks, rate_at, training_step
from calco.training.trainer import Course, drive, in_processes, take_up, until
from calco.training.validation import grid, is_better, reason, shown, validate


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

    def validate(self, journal: RunLog) -> None:
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


FORMAT = 1


def train(config: TrainConfig, *, resume: bool = False, progress: bool = True) -> Path:
    """Trains a translator, in one process or in several.

    Several learn together where torchrun started them, or where the configuration asks for them and this starts them.

    Args:
        config: The whole configuration; `out` names the folder of the run.
        resume: Goes on with the run in `out` from its last checkpoint, as if it had not been interrupted.
        progress: Whether the line of progress is shown.

    Returns:
        The run's folder: config.yaml, log.jsonl, samples, checkpoints, model, evolution.mp4.

    Raises:
        CalcoError: When images or configuration cannot be used, a loss is not finite, the disk is full, or one of
            several processes was killed.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    with enough_memory(_less_memory(config, resume=resume)):
        return in_processes(
            lambda team, held: _train(config, team, held, resume=resume, progress=progress),
            functools.partial(_member, config, resume, progress),
            config.compute,
        )


def _less_memory(config: TrainConfig, *, resume: bool) -> str:
    """What a person can do when the memory does not suffice."""
    batch = config.optimiser.batch
    smaller = f"a smaller --batch (now {batch}) or --size" if batch > 1 else "a smaller --size"
    smaller += f" (now {config.jitter.size})"
    if resume:  # what the run began with stays, but for where and how it is computed
        anew = f"train anew with another --out and {smaller}"
        return anew if config.compute.activation_checkpointing else f"resume with --activation-checkpointing, or {anew}"
    return f"give {smaller}" + ("" if config.compute.activation_checkpointing else ", or --activation-checkpointing")


def _member(config: TrainConfig, resume: bool, progress: bool) -> str:
    """What each process does that was started here."""
    return str(train(config, resume=resume, progress=progress))


def _train(config: TrainConfig, team: Team, held: ExitStack, *, resume: bool, progress: bool) -> Path:
    if resume := resume and team.by_the_first(lambda: resumes(config.out, Run.command, held)):
        config = _shared_anew(config, team.world)
    config = replace(config, compute=replace(config.compute, processes=team.world))
    asked = config.recipe
    data, config = open_data(config)
    say(data.source.summary())
    if team.first and not resume:
        report_findings(data.source, data.splits, config.source, recipe=config.recipe, asked=asked)
    stem = f"{recipe_title(config.recipe.recipe)}-{Path(config.images).name or 'images'}"
    folder = team.by_the_first(lambda: run_folder(config.out, stem, Run.command, held, resume=resume))
    team.go_on = f"go on from the last checkpoint with: calco train --resume {shlex.quote(str(folder))}"
    config = replace(config, out=str(folder))
    run = Run(config, folder, data, team)
    team.by_the_first(lambda: foresee_disk(folder, run.state(), config.keep.checkpoints))
    if resume:
        take_up(run)
    record = {"format": FORMAT, **to_record(config)}
    team.by_the_first(lambda: write_yaml(folder / "config.yaml", record, "calco train --config THIS repeats the run"))
    _say_plan(run)
    drive(run, progress=progress)
    run.finish()
    scored = f"calco evaluate {shlex.quote(str(folder))}"
    if is_elsewhere(config.images):
        scored += f" {shlex.quote(config.images)}"
    elif not (data.splits["test"] or data.splits["val"]):
        scored += " IMAGES"
    say(f"the {run.kept} model is {folder / 'model'}; score it with: {scored}")
    return folder


def beginning(generator: GeneratorConfig, from_imagenet: bool) -> str:
    """Where the first weights of a generator come from, in words; empty where there is but one way."""
    if generator.architecture != "efficientnet-unet":
        return ""
    if from_imagenet:
        return "the encoder begins with ImageNet's weights (EfficientNet-Lite0)"
    if not generator.pretrained:
        return "the encoder begins from scratch, as --generator.no-pretrained has it"
    return f"the encoder begins from scratch, which takes many more images: {ABSENT}"


def _shared_anew(config: TrainConfig, processes: int) -> TrainConfig:
    """The configuration of a run that goes on with so many processes: they share what was taken at once before."""
    batch = shared_batch(config.out, config.optimiser.batch, processes, items="pairs")
    return replace(config, optimiser=replace(config.optimiser, batch=batch))


def load_config(path: str | Path) -> TrainConfig:
    """The configuration of a run, from its config.yaml.

    Raises:
        CalcoError: When the file is absent, of a newer format, or has fields that do not exist.
    """
    record = read_yaml(path)
    if record.get("kind") == "detector":
        raise CalcoError(f"{path} is the configuration of a detector; use it by calco detect train")
    made = record.pop("format", FORMAT)
    if not isinstance(made, int):
        raise CalcoError(f"{path} is of the format {made!r}, which is no number; restore it from a copy")
    if made > FORMAT:
        raise CalcoError(f"{path} is of a newer format than {FORMAT}; update Calco: pip install --upgrade calco")
    config = from_record(TrainConfig, record, path)
    check_recorded(config.recipe, path)
    return config


def _say_plan(run: Run) -> None:
    config = run.config
    precision = NAMES[run.networks.dtype]
    left = f", on from step {run.step} after {duration(run.seconds)}" if run.step else ""
    each = f" in each of {run.team.world} processes" if run.team.world > 1 else ""
    validated = f"{len(run.data.validation)} to validate" if len(run.data.validation) else "none to validate"
    say(
        f"recipe {config.recipe.recipe}, {len(run.data.train)} pairs to train and {validated}, "
        f"{run.device} in {precision} with {torch.get_num_threads()} threads{each}, "
        f"until {until(config.limit)}{left}"
    )
    if (begins := beginning(config.generator, run.networks.from_imagenet)) and not run.step:
        (say if run.networks.from_imagenet or not config.generator.pretrained else warn)(begins)
    say(f"the run is {run.folder}")
    if not len(run.data.validation):
        say("there is no validation: the last weights are kept")
