"""`calco train`: a run from its configuration to a folder with a model in it."""

import functools
import shlex
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from calco.checking.quick import report_findings
from calco.console import say, warn
from calco.data.recipes import check_recorded, recipe_title
from calco.data.sources import is_elsewhere
from calco.errors import CalcoError, enough_memory
from calco.networks.config import GeneratorConfig
from calco.networks.efficientnet_lite import ABSENT
from calco.networks.machine import NAMES
from calco.records import from_record, read_yaml, to_record, write_yaml
from calco.runs.journal import duration
from calco.runs.processes import Team
from calco.runs.starting import drive, foresee_disk, in_processes, resumes, run_folder, shared_batch, take_up, until
from calco.training.config import TrainConfig
from calco.training.run import Run
from calco.training.setup import open_data

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
