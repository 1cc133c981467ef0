"""`calco train`: a run from its configuration to a folder with a model in it."""

import functools
import math
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch

from calco.checking.mending import check_command
from calco.checking.quick import quick_remarks
from calco.console import say, warn
from calco.errors import CalcoError, printable
from calco.files import make_folder
from calco.networks import GeneratorConfig
from calco.networks.efficientnet_lite import ABSENT
from calco.networks.machine import NAMES, choose_device
from calco.pairs.recipes import check_recorded, recipe_title
from calco.records import from_record, read_yaml, to_record, write_yaml
from calco.training.checkpoint import latest_checkpoint, load_position
from calco.training.config import TrainConfig
from calco.training.journal import Journal, ProgressLine, duration
from calco.training.launch import launch
from calco.training.processes import Team, check_several, is_started, joined
from calco.training.run import Interrupted, Run
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
        CalcoError: When pictures or configuration cannot be used, a loss is not finite, the disk is full, or one of
            several processes was killed.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    device, processes = choose_device(config.compute.device), config.compute.processes
    if processes > 1 and not is_started():
        check_several(processes, device)
        try:
            return Path(launch(functools.partial(_member, config, resume, progress), processes))
        except KeyboardInterrupt as error:
            raise Interrupted from error
    with joined(device) as team:
        return _train(config, team, resume=resume, progress=progress)


def _member(config: TrainConfig, resume: bool, progress: bool) -> str:
    """What each process does that was started here."""
    return str(train(config, resume=resume, progress=progress))


def _train(config: TrainConfig, team: Team, *, resume: bool, progress: bool) -> Path:
    if resume:
        config = _shared_anew(config, team.world)
    config = replace(config, compute=replace(config.compute, processes=team.world))
    data, config = open_data(config)
    say(data.source.summary())
    for remark in quick_remarks(data.source, data.splits) if team.first and not resume else []:
        warn(f"{remark}; see: {check_command(config.pictures, config.source)}")
    folder = team.by_the_first(lambda: _folder(config, resume=resume))
    team.go_on = f"go on from the last checkpoint with: calco train --resume {folder}"
    config = replace(config, out=str(folder))
    run = Run(config, folder, data, team)
    team.by_the_first(lambda: _foresee_disk(run))
    if resume:
        run.restore(latest_checkpoint(folder / "checkpoints"))
        if run.progress >= 1:
            raise CalcoError(
                f"{folder} has reached its limit at step {run.step}; to train on, give a higher one: "
                f"calco train --resume {folder} --minutes {max(1, math.ceil(run.seconds / 60)) * 2}"
            )
    record = {"format": FORMAT, **to_record(config)}
    team.by_the_first(lambda: write_yaml(folder / "config.yaml", record, "calco train --config THIS repeats the run"))
    _say_plan(run)
    journal = Journal(folder, tensorboard=config.keep.tensorboard, from_step=run.step, silent=not team.first)
    try:
        with _stopped_by_signals(run), ProgressLine(shown=progress and team.first) as line:
            if run.step == 0:
                run.save()
            run.train(journal, line)
    except Interrupted:
        say(f"stopped at step {run.step} with a checkpoint; go on with: calco train --resume {folder}")
        raise
    finally:
        journal.close()
    run.finish()
    say(f"the best model is {folder / 'model'}; score it with: calco evaluate {folder}")
    return folder


def beginning(generator: GeneratorConfig, from_imagenet: bool) -> str:
    """Where the first weights of a generator come from, in words; empty where there is but one way."""
    if generator.architecture != "efficientnet-unet":
        return ""
    if from_imagenet:
        return "the encoder begins with ImageNet's weights (EfficientNet-Lite0)"
    if not generator.pretrained:
        return "the encoder begins from scratch, as --generator.no-pretrained has it"
    return f"the encoder begins from scratch, which takes many more pictures: {ABSENT}"


def _folder(config: TrainConfig, *, resume: bool) -> Path:
    """The run's folder, made if need be."""
    folder = Path(config.out) if config.out else _free_folder(config)
    if not resume and (folder / "config.yaml").exists():
        raise CalcoError(f"{folder} holds a run already; go on with it by --resume {folder}, or choose another --out")
    if printable(str(folder)) != str(folder):  # safetensors takes names in UTF-8 alone
        raise CalcoError(
            f"the folder {folder} has a name that is not UTF-8, so its model could not be read; choose another --out"
        )
    return make_folder(folder)


def _shared_anew(config: TrainConfig, processes: int) -> TrainConfig:
    """The configuration of a run that goes on with so many processes: they share what was taken at once before."""
    position = load_position(latest_checkpoint(Path(config.out) / "checkpoints"))
    before = position.get("processes", 1)
    batch = position.get("batch", config.optimiser.batch)
    if batch * before % processes:
        fit = [str(number) for number in range(1, batch * before + 1) if batch * before % number == 0]
        raise CalcoError(
            f"{config.out} takes {batch * before} pairs at once, which {processes} processes cannot share evenly; "
            f"go on with --processes {' or '.join(fit)}"
        )
    return replace(config, optimiser=replace(config.optimiser, batch=batch * before // processes))


def load_config(path: str | Path) -> TrainConfig:
    """The configuration of a run, from its config.yaml.

    Raises:
        CalcoError: When the file is absent, of a newer format, or has fields that do not exist.
    """
    record = read_yaml(path)
    made = record.pop("format", FORMAT)
    if not isinstance(made, int):
        raise CalcoError(f"{path} is of the format {made!r}, which is no number; restore it from a copy")
    if made > FORMAT:
        raise CalcoError(f"{path} is of a newer format than {FORMAT}; update Calco: pip install --upgrade calco")
    config = from_record(TrainConfig, record, path)
    check_recorded(config.recipe, path)
    return config


@contextmanager
def _stopped_by_signals(run: Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after its step, with a checkpoint; asked twice, at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if run.stop_signal is not None:
            raise KeyboardInterrupt
        run.stop_signal = number

    # Python lets the main thread alone handle signals; a run in another thread is stopped by its owner.
    main = threading.current_thread() is threading.main_thread()
    # What is ignored stays so: of several processes, the one that started them hears Ctrl-C, and passes it on.
    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if main and signal.getsignal(n) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _free_folder(config: TrainConfig) -> Path:
    stem = f"{recipe_title(config.recipe.recipe)}-{Path(config.pictures).name or 'pictures'}"
    for number in range(1, 10_000):
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        if not folder.exists():
            return folder
    raise CalcoError(f"runs/{stem} exists ten thousand times over; name another folder with --out")


def _foresee_disk(run: Run) -> None:
    """Refuses to begin what the disk cannot hold."""
    # Adam's two moments come with the first step, and are as large as the weights.
    checkpoint = sum(t.numel() * t.element_size() for t in run.networks.state().values()) * 3
    needed = checkpoint * (run.config.keep.checkpoints + 1) + checkpoint // 2 + (64 << 20)
    free = shutil.disk_usage(run.folder).free
    if free < needed:
        raise CalcoError(
            f"the run needs about {needed / 1e9:.1f} GB and {run.folder} has {free / 1e9:.1f} GB left; free some "
            "space, choose another --out, or keep fewer --checkpoints"
        )


def _say_plan(run: Run) -> None:
    config, limit = run.config, run.config.limit
    parts = [f"{limit.epochs} epochs" if limit.epochs else "", f"{limit.steps} steps" if limit.steps else ""]
    parts.append(f"{limit.minutes:g} minutes" if limit.minutes else "")
    precision = NAMES[run.networks.dtype]
    left = f", on from step {run.step} after {duration(run.seconds)}" if run.step else ""
    each = f" in each of {run.team.world} processes" if run.team.world > 1 else ""
    until = " or ".join(part for part in parts if part)
    say(
        f"recipe {config.recipe.recipe}, {len(run.data.train)} pairs to train and {len(run.data.validation)} to "
        f"validate, {run.device} in {precision} with {torch.get_num_threads()} threads{each}, until {until}{left}"
    )
    if (begins := beginning(config.generator, run.networks.from_imagenet)) and not run.step:
        (say if run.networks.from_imagenet or not config.generator.pretrained else warn)(begins)
    say(f"the run is {run.folder}")
