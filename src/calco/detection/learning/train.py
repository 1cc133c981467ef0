"""`calco detect train`: a run from its configuration to a folder with a detector in it."""

import functools
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from calco.checking.check import report_findings
from calco.console import say
from calco.detection.choosing import Chosen, choose, parameters
from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.run import DetectionRun
from calco.detection.learning.setup import DetectionData, open_boxes
from calco.detection.lite import LiteDetector
from calco.detection.model import build_network
from calco.errors import CalcoError, enough_memory
from calco.networks.machine import NAMES
from calco.records import from_record, read_yaml, to_record, write_yaml
from calco.training.checkpoint import latest_checkpoint, load_position
from calco.training.log import duration
from calco.training.processes import Team, ready_device
from calco.training.run_folder import foresee_disk, resumes, run_folder, shared_batch
from calco.training.trainer import drive, in_processes, take_up, until

FORMAT = 1


def train_detector(config: DetectTrainConfig, *, resume: bool = False, progress: bool = True) -> Path:
    """Trains a detector, in one process or in several.

    Args:
        config: The whole configuration; `out` names the folder of the run.
        resume: Goes on with the run in `out` from its last checkpoint, as if it had not been interrupted.
        progress: Whether the line of progress is shown.

    Returns:
        The run's folder: config.yaml, log.jsonl, samples, checkpoints, model, evolution.mp4.

    Raises:
        CalcoError: When images, model or configuration cannot be used, a loss is not finite, the disk is full, or one
            of several processes was killed.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    smaller = f"a smaller --batch (now {config.optimiser.batch}) or --size (now {config.size})"
    with enough_memory(f"train anew with another --out and {smaller}" if resume else f"give {smaller}"):
        return in_processes(
            lambda team, held: _train(config, team, held, resume=resume, progress=progress),
            functools.partial(_member, config, resume, progress),
            config.compute,
        )


def _member(config: DetectTrainConfig, resume: bool, progress: bool) -> str:
    """What each process does that was started here."""
    return str(train_detector(config, resume=resume, progress=progress))


def _train(config: DetectTrainConfig, team: Team, held: ExitStack, *, resume: bool, progress: bool) -> Path:
    if resume := resume and team.by_the_first(lambda: resumes(config.out, DetectionRun.command, held)):
        batch = shared_batch(config.out, config.optimiser.batch, team.world, items="images")
        config = replace(config, optimiser=replace(config.optimiser, batch=batch))
    config = replace(config, compute=replace(config.compute, processes=team.world))
    data, config = open_boxes(config)
    say(data.source.summary())
    if team.first and not resume:
        report_findings(data.source, data.splits, config.source)
    device = ready_device(config.compute, team)
    # A model that cannot be had is told before a folder is made.
    chosen = _as_before(config, data.classes) if resume else first_network(config, data)
    stem = f"detect-{Path(config.images).name or 'images'}"
    folder = team.by_the_first(lambda: run_folder(config.out, stem, DetectionRun.command, held, resume=resume))
    team.go_on = f"go on from the last checkpoint with: {DetectionRun.command} --resume {shlex.quote(str(folder))}"
    config = replace(config, out=str(folder))
    run = DetectionRun(config, folder, data, chosen, device, team)
    team.by_the_first(lambda: foresee_disk(folder, run.state(), config.keep.checkpoints))
    if resume:
        take_up(run)
        run.calm = bool(load_position(latest_checkpoint(folder / "checkpoints")).get("calm", False))
    record = {"kind": "detector", "format": FORMAT, **to_record(config)}
    comment = "calco detect train --config THIS repeats the run"
    team.by_the_first(lambda: write_yaml(folder / "config.yaml", record, comment))
    _say_plan(run)
    drive(run, progress=progress)
    run.finish()
    scored = shlex.join(["calco", "detect", "evaluate", str(folder), config.images])
    say(f"the {run.kept} model is {folder / 'model'}; score it with: {scored}")
    return folder


def first_network(config: DetectTrainConfig, data: DetectionData) -> Chosen:
    """The network of a new run, with its first weights.

    Raises:
        CalcoError: When there is no such model, it cannot be had, or it is no detector.
    """
    torch.manual_seed(config.seed)
    lite = {"width": config.lite.width, "depth": config.lite.depth}
    return choose(config.model, data.classes, scratch=config.weights == "scratch", lite=lite, freeze=config.freeze)


def _as_before(config: DetectTrainConfig, classes: Sequence[str]) -> Chosen:
    """The network of a run that goes on; its weights are those of the checkpoint."""
    position = load_position(latest_checkpoint(Path(config.out) / "checkpoints"))
    built = position.get("built")
    if not isinstance(built, dict):
        raise CalcoError(f"{config.out} is no run of calco detect train; go on with it by calco train --resume")
    network = build_network(built["architecture"], built["settings"], len(classes))
    if isinstance(network, LiteDetector):
        network.freeze(int(built.get("frozen", 0)))
    return Chosen(network, built["architecture"], built["settings"], built["origin"])


def load_detect_config(path: str | Path) -> DetectTrainConfig:
    """The configuration of a run, from its config.yaml.

    Raises:
        CalcoError: When the file is absent, of a newer format, of another kind, or has fields that do not exist.
    """
    record = read_yaml(path)
    made, kind = record.pop("format", FORMAT), record.pop("kind", None)
    if kind != "detector":
        raise CalcoError(f"{path} is not the configuration of a detector; for a translator there is calco train")
    if not isinstance(made, int):
        raise CalcoError(f"{path} is of the format {made!r}, which is no number; restore it from a copy")
    if made > FORMAT:
        raise CalcoError(f"{path} is of a newer format than {FORMAT}; update Calco: pip install --upgrade calco")
    return from_record(DetectTrainConfig, record, path)


def _say_plan(run: DetectionRun) -> None:
    config = run.config
    left = f", on from step {run.step} after {duration(run.seconds)}" if run.step else ""
    each = f" in each of {run.team.world} processes" if run.team.world > 1 else ""
    if not run.step:
        say(run.chosen.origin)
    say(
        f"{len(run.data.train)} images to train and {len(run.data.validation)} to validate, classes "
        f"{', '.join(run.data.classes)}, {config.size} pixels, {run.device} in {NAMES[run.learning.dtype]} with "
        f"{torch.get_num_threads()} threads{each}, until {until(config.limit)}{left}"
    )
    say(f"the run is {run.folder}")
    if not len(run.data.validation):
        say("there is no validation: the last weights are kept, with the threshold 0.5")


def summary(config: DetectTrainConfig, data: DetectionData) -> str:
    """The data set and the size of the network, in words."""
    chosen = first_network(config, data)
    learn = sum(weight.numel() for weight in chosen.network.parameters() if weight.requires_grad)
    return "\n".join(
        [
            data.source.summary(),
            "images: " + ", ".join(f"{len(items)} {name}" for name, items in data.splits.items()),
            f"classes: {', '.join(data.classes)}",
            f"network: {chosen.architecture}, {parameters(chosen.network):,} parameters, of which {learn:,} learn",
            chosen.origin,
        ]
    )
