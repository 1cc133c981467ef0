"""Folder of a run: made or found, locked, with room on the disk, its images recorded, the video of its samples."""

import logging
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import av
import numpy as np
from torch import Tensor

from calco import imaging
from calco.data.curation import MAX_COMPARED
from calco.data.source import Item, Source
from calco.errors import CalcoError, printable
from calco.files import explain, make_folder, read_json, replacing, sweep, write_json
from calco.outputs import locked_folder
from calco.records import from_record, read_yaml, to_record, write_yaml
from calco.training.checkpoint import (
    checkpoint_path,
    latest_checkpoint,
    list_checkpoints,
    load_position,
    set_damaged_aside,
)

T = TypeVar("T")
LOG: Final = logging.getLogger(__name__)

CONFIG_FORMAT: Final = 2
CONTENTS: Final = "contents.json"
CONTENTS_FORMAT: Final = 1
_SHARED: Final = {"seed", "limit", "keep", "optimiser", "compute"}
"""Fields of every training's configuration."""
_WRITTEN: Final = ("samples", "checkpoints", "tensorboard", "evolution.mp4", "left_out.json", "report")
"""Files that a run writes besides its configuration, log and model."""


def write_config(path: Path, config: Any, product: str, command: str) -> None:
    """Write the configuration of a run that trains a "translator" or a "detector"."""
    record = {"trains": product, "format": CONFIG_FORMAT, **to_record(config)}
    write_yaml(path, record, f"{command} --config THIS repeats the run")


def read_config(kind: type[T], path: str | Path, product: str) -> T:
    """Read the configuration of a run from its config.yaml.

    Raises:
        CalcoError: If the file is absent, of another format or product, or has unknown fields.
    """
    record = read_yaml(path)
    product_there, version = record.pop("trains", "translator"), record.pop("format", None)
    if product_there != product:
        verb = "calco detect train" if product_there == "detector" else "calco train"
        raise CalcoError(f"{path} is the configuration of a {product_there}, not of a {product}; use it with {verb}")
    if version is None:
        raise CalcoError(
            f"{path} names no format, and this Calco reads {CONFIG_FORMAT}; if its fields are those that --dry-run "
            f"prints, add the line format: {CONFIG_FORMAT}"
        )
    if not isinstance(version, int):
        raise CalcoError(f"{path} has the format {version!r}, which is not a number; restore it from a copy")
    if version > CONFIG_FORMAT:
        raise CalcoError(f"{path} has a newer format than {CONFIG_FORMAT}; update Calco: pip install --upgrade calco")
    if version < CONFIG_FORMAT:
        raise CalcoError(
            f"{path} has the format {version}, and this Calco reads {CONFIG_FORMAT}; use the Calco that wrote it, or "
            "train anew with another --out"
        )
    return from_record(kind, record, path)


def with_shared_batch(config: Any, processes: int, items: str) -> Any:
    """Divide the items of one step of a run that is resumed among another number of processes.

    Raises:
        CalcoError: If they cannot be divided evenly.
    """
    position = load_position(latest_checkpoint(Path(config.out) / "checkpoints"))
    at_once = position.get("processes", 1) * position.get("batch", config.optimiser.batch)
    if at_once % processes:
        fit = [str(number) for number in range(1, at_once + 1) if at_once % number == 0]
        raise CalcoError(
            f"{config.out} takes {at_once} {items} at once, which {processes} processes cannot share evenly; "
            f"resume with --processes {' or '.join(fit)}"
        )
    return replace(config, optimiser=replace(config.optimiser, batch=at_once // processes))


def has_progress(folder: Path) -> bool:
    """Return whether a folder holds results of training: a checkpoint beyond step 0, a model or samples."""
    return (
        any(path != checkpoint_path(path.parent, 0) for path in list_checkpoints(folder / "checkpoints"))
        or any((folder / name).exists() for name in ("model", ".model.old", "model.json"))
        or bool(sheets(folder))
    )


def resumes(out: str, verb: str, held: ExitStack) -> bool:
    """Lock a run for `verb`; return whether there is a checkpoint beyond step 0 to resume.

    Raises:
        CalcoError: If the folder holds no run, or a training is at work there.
    """
    folder = Path(out)
    if not out or not ((folder / "config.yaml").is_file() or has_progress(folder)):
        raise CalcoError(f"{out or 'the empty name'} is not a run's folder; name the folder that the training wrote")
    held.enter_context(locked_folder(folder, verb))
    if not has_progress(folder):
        LOG.info(f"{folder} has no checkpoint beyond step 0: training starts anew")
        return False
    set_damaged_aside(folder / "checkpoints")
    return True


def run_folder(out: str, default_name: str, verb: str, held: ExitStack, *, resume: bool) -> Path:
    """Make the folder of a run if necessary, and lock it.

    A folder with a configuration and no results yet, as a kill before the first checkpoint leaves it, is used again.

    Args:
        out: Its name; empty for a new one under runs/, called `default_name`.
        default_name: Name of a new one.
        verb: Command that asks.
        held: Receives the lock of the folder.
        resume: A run is expected there.

    Raises:
        CalcoError: If an unexpected run is there, a training is at work there, or the folder cannot be used.
    """
    if printable(out) != out:  # safetensors accepts only names in UTF-8
        raise CalcoError(
            f"the folder {out} has a name that is not UTF-8, so its model could not be read; choose another --out"
        )
    folder = held.enter_context(locked_folder(Path(out) if out else _new_folder(default_name), verb))
    for place in (folder, folder / "samples", folder / "checkpoints"):
        sweep(place)
    if not resume:
        _check_free(folder)
        for left in list_checkpoints(folder / "checkpoints"):  # of step 0, perhaps of another network
            left.unlink(missing_ok=True)
    return folder


def _check_free(folder: Path) -> None:
    """Refuse a folder whose results the training would overwrite."""
    if has_progress(folder):
        kept = list_checkpoints(folder / "checkpoints")
        resume = f"resume it with --resume {shlex.quote(str(folder))}, or " if kept else ""
        raise CalcoError(f"{folder} holds a run already; {resume}choose another --out")
    config, log = folder / "config.yaml", folder / "log.jsonl"
    foreign = config.exists() and _SHARED - read_yaml(config).keys()
    if foreign or (not config.exists() and log.exists()):
        file = (config if foreign else log).name
        raise CalcoError(f"{folder} holds a {file} that is not of a training; choose another --out")
    if not config.exists() and (others := [name for name in _WRITTEN if (folder / name).exists()]):
        raise CalcoError(f"{folder} holds other files, such as {others[0]}; choose a new or empty folder with --out")


def _new_folder(name: str) -> Path:
    """Make a folder that did not exist; two trainings that start at the same time get one each."""
    runs = make_folder("runs")
    for number in range(1, 10_000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise explain(error, folder, "make the folder") from error
        return folder
    raise CalcoError(f"runs/{name} exists ten thousand times; name another folder with --out")


def check_disk_space(folder: Path, state: dict[str, Tensor], checkpoints: int) -> None:
    """Refuse to start a run that the disk cannot hold, judged by the tensors of a checkpoint before the first step."""
    # Adam's two moments come with the first step, and are as large as the weights.
    checkpoint = sum(t.numel() * t.element_size() for t in state.values()) * 3
    needed = checkpoint * (checkpoints + 1) + checkpoint // 2 + (64 << 20)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CalcoError(
            f"the run needs about {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB left; free some "
            "space, choose another --out, or keep fewer --checkpoints"
        )


def tidy(folder: Path, step: int) -> None:
    """Remove what a kill left behind: half-written files, samples of steps to be repeated, a model half replaced."""
    old, model = folder / ".model.old", folder / "model"
    if old.exists() and not model.exists():
        old.rename(model)
    for left in (*folder.glob(".model.*.tmp"), *folder.glob(".*.tmp.*")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    for sheet in sheets(folder):
        number = sheet.stem.removeprefix("step-")
        if number.isdigit() and int(number) > step:
            sheet.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Contents of the images of training and validation."""

    by_digest: bool  # the marks are digests; very many images are marked by size and time instead
    splits: dict[str, dict[str, list[str]]]  # split => key => marks of its files, none for unreadable files
    earlier: list[str] = field(default_factory=list)  # digests of images trained on that have been removed since

    @property
    def trained_on(self) -> list[str] | None:
        """Digests of all images that the run was trained on; None if they are unknown."""
        if not self.by_digest:
            return None
        return sorted({mark for marks in self.splits["train"].values() for mark in marks}.union(self.earlier))


def contents_of(source: Source, splits: Mapping[str, Sequence[Item]]) -> Contents:
    """Mark the present images; this reads all files unless there are more than `MAX_COMPARED`."""
    chosen = {name: splits.get(name, ()) for name in ("train", "val")}
    by_digest = len(chosen["train"]) <= MAX_COMPARED
    marks = {name: {item.key: _marks(source, item, by_digest) for item in items} for name, items in chosen.items()}
    return Contents(by_digest=by_digest, splits=marks)


def _marks(source: Source, item: Item, by_digest: bool) -> list[str]:
    try:
        if by_digest:
            return list(source.digests(item))
        found = (os.stat(path) for path in item.paths if os.path.exists(path))
        return [f"{status.st_size} {status.st_mtime_ns}" for status in found]
    except (CalcoError, OSError):
        return []  # unreadable files are reported when they are loaded


def changes(before: Contents, now: Contents) -> str:
    """Describe how the images of training and validation have changed; empty if they have not."""
    parts = []
    for split, noun in (("train", "training"), ("val", "validation")):
        old, new = before.splits.get(split, {}), now.splits[split]
        same_kind = before.by_digest == now.by_digest
        differ = sorted(key for key in old.keys() & new.keys() if same_kind and old[key] != new[key])
        # The first mark is that of the image with its annotations, the others are those of its files.
        annotated = [key for key in differ if now.by_digest and len(new[key]) > 1 and old[key][1:] == new[key][1:]]
        found = (
            ("replaced", [key for key in differ if key not in annotated]),
            ("annotated anew", annotated),
            ("new", sorted(new.keys() - old)),
            ("gone", sorted(old.keys() - new.keys())),
        )
        parts += [f"{len(keys)} {noun} images are {change}, such as {keys[0]}" for change, keys in found if keys]
    return "; ".join(parts)


def with_earlier(now: Contents, before: Contents) -> Contents:
    """Add the digests of images that were trained on before and have been removed since."""
    present = set(now.trained_on or ())
    earlier = [digest for digest in before.trained_on or [] if digest not in present]
    return Contents(by_digest=now.by_digest, splits=now.splits, earlier=earlier)


def save_contents(folder: Path, contents: Contents) -> None:
    """Write the contents record of a run."""
    write_json(folder / CONTENTS, {"format": CONTENTS_FORMAT, **asdict(contents)})


def load_contents(folder: Path) -> Contents | None:
    """Read the contents record of a run; None if there is none. One that is damaged or of another format is refused."""
    path = folder / CONTENTS
    if not path.is_file():
        return None
    record = read_json(path)
    if (version := record.pop("format", None)) != CONTENTS_FORMAT:
        raise CalcoError(f"{path} has the format {version!r}, and this Calco reads {CONTENTS_FORMAT}; remove the file")
    try:
        return from_record(Contents, record, path)
    except CalcoError as error:
        raise CalcoError(f"{path} is damaged ({error}); restore it from a copy, or remove it") from error


def record_contents(
    folder: Path, source: Source, splits: Mapping[str, Sequence[Item]], *, resumed: bool
) -> list[str] | None:
    """Record the contents of the images; warn if a resumed run finds others than before.

    Returns:
        Digests of all images that the run was trained on; None if they are unknown.
    """
    now = contents_of(source, splits)
    if resumed and (before := load_contents(folder)) is not None:
        if changed := changes(before, now):
            LOG.warning(
                f"{changed}: the images are not those that the run began with; it continues with the present ones"
            )
        now = with_earlier(now, before)
    save_contents(folder, now)
    return now.trained_on


def sheets(folder: Path) -> list[Path]:
    """Return the sheets of samples of a run, the oldest first."""
    return sorted((folder / "samples").glob("step-*.png"))


def is_complete(folder: Path) -> bool:
    """Return whether a run has its model, and the video of its samples if there are any."""
    return (folder / "model").exists() and ((folder / "evolution.mp4").exists() or not sheets(folder))


def write_left_out(folder: Path, left_out: Mapping[str, str]) -> None:
    """List the images that a run did not use, if there are any."""
    if left_out:
        listed = folder / "left_out.json"
        write_json(listed, left_out)
        name, reason = next(iter(left_out.items()))
        LOG.warning(f"{len(left_out)} images were left out, such as {name}: {reason}; all are listed in {listed}")


def write_evolution(folder: Path, *, seconds: float = 10.0) -> None:
    """Write a video (H.264 in MP4) of the samples, if there are any: 2 to 24 a second; the last stays two seconds."""
    if not (found := sheets(folder)):
        return
    rate = int(np.clip(round(len(found) / seconds), 2, 24))
    try:
        first = imaging.read(found[0], channels=3)
        height, width = first.shape[:2]
        with replacing(folder / "evolution.mp4") as temporary, av.open(str(temporary), "w") as video:
            stream = video.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for sheet in [*found, *[found[-1]] * (2 * rate)]:
                frame = imaging.read(sheet, channels=3)
                if frame.shape != first.shape:
                    frame = imaging.resize(frame, (width, height))
                video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            video.mux(stream.encode())
    except CalcoError as error:  # the model is there, and counts more than its video
        LOG.warning(f"the video of the samples is missing: {error}")
