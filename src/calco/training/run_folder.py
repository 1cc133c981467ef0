"""How a run begins, is driven, and ends: whatever it trains."""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from calco.console import say
from calco.data.curation import MAX_COMPARED
from calco.data.source import Item, Source
from calco.errors import CalcoError, printable
from calco.files import explain, make_folder, read_json, sweep, write_json
from calco.locks import locked_folder
from calco.records import read_yaml
from calco.training.checkpoint import (
    checkpoint_path,
    latest_checkpoint,
    list_checkpoints,
    load_position,
    set_damaged_aside,
)

RECORD: Final = "contents.json"
FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The images of training and validation.

    Attributes:
        by_digest: Whether the marks are digests; else they are sizes and times, of more images than are read for that.
        splits: Split => key => marks of its files; none of what cannot be read.
        earlier: Digests of images that this run was trained on and that are no longer there.
    """

    by_digest: bool
    splits: dict[str, dict[str, list[str]]]
    earlier: list[str] = field(default_factory=list)

    @property
    def trained_on(self) -> list[str] | None:
        """The digests of all images that the run was trained on; None where they are not known."""
        if not self.by_digest:
            return None
        return sorted({mark for marks in self.splits["train"].values() for mark in marks}.union(self.earlier))


def contents_of(source: Source, splits: Mapping[str, Sequence[Item]]) -> Contents:
    """The contents as they are now; reads all files, unless there are more than `MAX_COMPARED`."""
    chosen = {name: splits.get(name, ()) for name in ("train", "val")}
    by_digest = len(chosen["train"]) <= MAX_COMPARED
    marks = {
        name: {item.key: _marks(source, item, by_digest=by_digest) for item in items} for name, items in chosen.items()
    }
    return Contents(by_digest=by_digest, splits=marks)


def _marks(source: Source, item: Item, *, by_digest: bool) -> list[str]:
    try:
        if by_digest:
            return list(source.digests(item))
        found = (os.stat(path) for path in item.paths if os.path.exists(path))
        return [f"{status.st_size} {status.st_mtime_ns}" for status in found]
    except (CalcoError, OSError):
        return []  # what cannot be read is reported when it is loaded


def changes(before: Contents, now: Contents) -> str:
    """Describe how the images of training and validation differ from those of before; empty when they are the same."""
    parts = []
    for split, words in (("train", "training"), ("val", "validation")):
        old, new = before.splits.get(split, {}), now.splits[split]
        same_kind = before.by_digest == now.by_digest
        differ = sorted(key for key in old.keys() & new.keys() if same_kind and old[key] != new[key])
        # The first mark is that of the image and of what is said about it, the others are those of its files.
        said = [key for key in differ if now.by_digest and len(new[key]) > 1 and old[key][1:] == new[key][1:]]
        replaced = [key for key in differ if key not in said]
        found = (
            ("replaced", replaced),
            ("annotated anew", said),
            ("new", sorted(new.keys() - old)),
            ("gone", sorted(old.keys() - new.keys())),
        )
        parts += [f"{len(keys)} {words} images are {what}, such as {keys[0]}" for what, keys in found if keys]
    return "; ".join(parts)


def with_earlier(now: Contents, before: Contents) -> Contents:
    """The contents with the digests of what was trained on before and is no longer there."""
    seen = before.trained_on or []
    there = set(now.trained_on or ())
    return Contents(
        by_digest=now.by_digest, splits=now.splits, earlier=[digest for digest in seen if digest not in there]
    )


def save_contents(folder: Path, contents: Contents) -> None:
    """Writes the record of a run."""
    record: dict[str, Any] = {
        "format": FORMAT, "by_digest": contents.by_digest, "earlier": contents.earlier, "splits": contents.splits,
    }  # fmt: skip
    write_json(folder / RECORD, record)


def load_contents(folder: Path) -> Contents | None:
    """The record of a run; None where there is none.

    Raises:
        CalcoError: When it is damaged or of a newer format.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    record = read_json(path)
    try:
        if record["format"] != FORMAT:
            raise CalcoError(f"{path} is of the format {record['format']!r}; update Calco, or remove the file")
        splits = {str(name): {str(k): list(map(str, m)) for k, m in s.items()} for name, s in record["splits"].items()}
        return Contents(
            by_digest=bool(record["by_digest"]), splits={"train": {}, **splits}, earlier=list(record["earlier"])
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CalcoError(f"{path} is damaged ({error}); restore it from a copy, or remove it") from error


_RUN: Final = {"seed", "limit", "keep", "optimiser", "compute"}
"""Fields that every training's configuration has."""
_WRITTEN: Final = ("samples", "checkpoints", "tensorboard", "evolution.mp4", "left_out.json", "report")
"""What a run writes beside its configuration, log and model."""


def shared_batch(out: str, batch: int, processes: int, *, items: str) -> int:
    """The batch of each process for a run that goes on with so many: they share what was taken at once before.

    Args:
        out: The run's folder.
        batch: What the configuration says.
        processes: How many there are now.
        items: What the run learns from, such as "pairs".

    Raises:
        CalcoError: When it cannot be shared evenly.
    """
    position = load_position(latest_checkpoint(Path(out) / "checkpoints"))
    before = position.get("processes", 1)
    batch = position.get("batch", batch)
    if batch * before % processes:
        fit = [str(number) for number in range(1, batch * before + 1) if batch * before % number == 0]
        raise CalcoError(
            f"{out} takes {batch * before} {items} at once, which {processes} processes cannot share evenly; "
            f"go on with --processes {' or '.join(fit)}"
        )
    return int(batch * before // processes)


def has_progress(folder: Path) -> bool:
    """Whether a folder holds results of training: a checkpoint beyond step 0, a model or samples."""
    return (
        any(path != checkpoint_path(path.parent, 0) for path in list_checkpoints(folder / "checkpoints"))
        or any((folder / name).exists() for name in ("model", ".model.old", "model.json"))
        or any((folder / "samples").glob("step-*.png"))
    )


def resumes(out: str, verb: str, held: ExitStack) -> bool:
    """Whether there is anything to resume; a run that was killed before its first checkpoint starts at step 0.

    Args:
        out: The run's folder.
        verb: The command.
        held: Takes the folder's lock.

    Raises:
        CalcoError: When the folder holds no run, or a training is at work there.
    """
    folder = Path(out)
    if not out or not ((folder / "config.yaml").is_file() or has_progress(folder)):
        raise CalcoError(f"{out or 'the empty name'} is not a run's folder; name the folder that the training wrote")
    held.enter_context(locked_folder(folder, verb))
    if not has_progress(folder):
        say(f"{folder} has no checkpoint beyond step 0: training starts anew")
        return False
    set_damaged_aside(folder / "checkpoints")
    return True


def run_folder(out: str, stem: str, verb: str, held: ExitStack, *, resume: bool) -> Path:
    """The run's folder, made if need be, and locked.

    A folder with a configuration and no results yet, as a kill before the first checkpoint leaves it, is used again.

    Args:
        out: Its name, or empty for a new one under runs/.
        stem: What a new one is called.
        verb: The command.
        held: Takes the folder's lock.
        resume: Whether a run is expected there.

    Raises:
        CalcoError: When a run is there that was not expected, a training is at work there, or the folder cannot serve.
    """
    if printable(out) != out:  # safetensors takes names in UTF-8 alone
        raise CalcoError(
            f"the folder {out} has a name that is not UTF-8, so its model could not be read; choose another --out"
        )
    folder = held.enter_context(locked_folder(Path(out) if out else _new_folder(stem), verb))
    for place in (folder, folder / "samples", folder / "checkpoints"):
        sweep(place)
    if not resume:
        _check_free(folder)
        for left in list_checkpoints(folder / "checkpoints"):  # of step 0, perhaps of another network
            left.unlink(missing_ok=True)
    return folder


def _check_free(folder: Path) -> None:
    """Refuses to train where results are that the training would replace.

    Raises:
        CalcoError: When there are such.
    """
    if has_progress(folder):
        kept = list_checkpoints(folder / "checkpoints")
        going_on = f"go on with it by --resume {shlex.quote(str(folder))}, or " if kept else ""
        raise CalcoError(f"{folder} holds a run already; {going_on}choose another --out")
    config, log = folder / "config.yaml", folder / "log.jsonl"
    foreign = config.exists() and _RUN - read_yaml(config).keys()
    if foreign or (not config.exists() and log.exists()):
        file = (config if foreign else log).name
        raise CalcoError(f"{folder} holds the {file} of something else than a training; choose another --out")
    if not config.exists() and (others := [name for name in _WRITTEN if (folder / name).exists()]):
        raise CalcoError(f"{folder} holds other objects, such as {others[0]}; choose a new or empty folder with --out")


def _new_folder(stem: str) -> Path:
    """A folder that was not there; of two trainings that begin at once each gets its own."""
    runs = make_folder("runs")
    for number in range(1, 10_000):
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise explain(error, folder, "make the folder") from error
        return folder
    raise CalcoError(f"runs/{stem} exists ten thousand times over; name another folder with --out")


def foresee_disk(folder: Path, state: dict[str, Tensor], checkpoints: int) -> None:
    """Refuses to begin what the disk cannot hold.

    Args:
        folder: The run's.
        state: What a checkpoint holds before the first step.
        checkpoints: How many are kept.
    """
    # Adam's two moments come with the first step, and are as large as the weights.
    checkpoint = sum(t.numel() * t.element_size() for t in state.values()) * 3
    needed = checkpoint * (checkpoints + 1) + checkpoint // 2 + (64 << 20)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CalcoError(
            f"the run needs about {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB left; free some "
            "space, choose another --out, or keep fewer --checkpoints"
        )
