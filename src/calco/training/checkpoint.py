"""Checkpoints: one safetensors file with everything that a run needs to go on, and nothing unpickled."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from calco.console import warn
from calco.errors import CalcoError, DiskError
from calco.files import explain, sweep
from calco.networks.tensor_files import as_os_error, contents_digest, on_cpu, write_tensors

FORMAT = 2
SUFFIX = ".safetensors"


def flatten_optimiser(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The state of an optimiser as named tensors: `prefix.<parameter's number>.<name>`."""
    state = optimiser.state_dict()["state"]
    return {f"{prefix}.{i}.{name}": torch.as_tensor(v) for i, entry in state.items() for name, v in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], prefix: str) -> None:
    """Puts back what `flatten_optimiser` took; learning rates stay the caller's matter."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(prefix + "."):
            number, name = key[len(prefix) + 1 :].split(".")
            like = parameters[int(number)]
            if tensor.shape == like.shape:
                # The fused kernel walks through memory: moments must lie in the order of their weights (NHWC).
                tensor = torch.empty_like(like, requires_grad=False).copy_(tensor)
            state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return folder / f"step-{step:09d}{SUFFIX}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob(f"step-*{SUFFIX}"))


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], meta: dict[str, Any], keep: int) -> Path:
    """Writes a checkpoint whole and removes all but the last `keep`.

    Args:
        folder: The run's folder of checkpoints.
        step: The step it stands for.
        tensors: Networks, optimisers and states of random number generators, by name.
        meta: Position, best score and the like: what JSON can hold.
        keep: How many to keep.

    Raises:
        WriteError: When there is no room or no permission; the earlier ones still stand.
    """
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    free = shutil.disk_usage(folder).free
    if free < size + (16 << 20):
        raise DiskError(
            f"a checkpoint needs {size / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB left; free some space"
        )
    path = checkpoint_path(folder, step)
    owned = on_cpu(tensors)
    position = json.dumps({"step": step, **meta})
    metadata = {"format": str(FORMAT), "position": position, "digest": contents_digest(owned, position)}
    write_tensors(path, owned, metadata)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    sweep(folder)
    return path


class DamagedError(CalcoError):
    """A checkpoint is cut short, or its contents are not those that were written."""


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint: its tensors and its position.

    Raises:
        DamagedError: When its contents are not those that were written.
        CalcoError: When it is of another format, or cannot be read.
    """
    with _opened(path) as (file, metadata):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        position = metadata["position"]
        if contents_digest(tensors, position) != metadata["digest"]:
            raise _damaged(path, "its contents are not those that were written")
        return tensors, json.loads(position)


def load_position(path: Path) -> dict[str, Any]:
    """Reads where a checkpoint stands, without its tensors and without comparing the digest.

    Raises:
        DamagedError: When it cannot be understood.
        CalcoError: When it is of another format, or cannot be read.
    """
    with _opened(path) as (_, metadata):
        position: dict[str, Any] = json.loads(metadata["position"])
        return position


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """The open file, and what its header says."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            # The first format had all in one field.
            if "calco" in metadata or metadata.get("format", str(FORMAT)) != str(FORMAT):
                raise CalcoError(
                    f"the checkpoint {path} is of another format than {FORMAT}, which this Calco reads; resume with "
                    "the Calco that wrote it, or train anew with another --out"
                )
            yield file, metadata
    except OSError as error:
        raise explain(error, path, "read") from error
    except SafetensorError as error:
        if (behind := as_os_error(error)).errno:
            raise explain(behind, path, "read") from error
        raise _damaged(path, str(error)) from error
    except (KeyError, ValueError) as error:
        raise _damaged(path, f"{type(error).__name__} {error}") from error


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(f"the checkpoint {path} is damaged ({reason}); resume from an earlier one")


def set_damaged_aside(folder: Path) -> None:
    """Renames the checkpoints that are damaged to `.damaged`, from the newest to the first sound one, with a note.

    Raises:
        CalcoError: When none is sound; nothing is renamed then.
    """
    damaged: list[tuple[Path, DamagedError]] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            load_checkpoint(path)
        except DamagedError as error:
            damaged.append((path, error))
            continue
        for bad, met in damaged:
            bad.replace(bad.with_name(f"{bad.name}.damaged"))
            warn(f"{str(met).partition('; ')[0]}; the run goes on from {path.name}")
        return
    if damaged:
        reason = str(damaged[0][1]).partition("; ")[0]
        raise CalcoError(f"{reason}, and {folder} holds no other one that is sound; train anew with another --out")


def latest_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run's folder of checkpoints.

    Raises:
        CalcoError: When there is none.
    """
    if not (found := list_checkpoints(folder)):
        raise CalcoError(f"{folder} holds no checkpoint to go on from; train anew with another --out")
    return found[-1]
