"""Checkpoints: one safetensors file with everything that a run needs to go on, and nothing unpickled."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from calco.errors import CalcoError
from calco.files import replacing

FORMAT = 1
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


def save_checkpoint(
    folder: Path, step: int, tensors: dict[str, Tensor], meta: dict[str, Any], keep: int, *, resume: str = ""
) -> Path:
    """Writes a checkpoint whole and removes all but the last `keep`.

    Args:
        folder: The run's folder of checkpoints.
        step: The step it stands for.
        tensors: Networks, optimisers and generators of chance, by name.
        meta: Position, best score and the like: what JSON can hold.
        keep: How many to keep.
        resume: The command that goes on with the run.

    Raises:
        CalcoError: When there is no room or no permission; the earlier ones still stand.
    """
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    free = shutil.disk_usage(folder).free
    if free < size + (16 << 20):
        raise CalcoError(
            f"a checkpoint needs {size / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB left; free some space, "
            f"then go on with: {resume or f'calco train --resume {folder.parent}'}"
        )
    path = checkpoint_path(folder, step)
    owned = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with replacing(path) as temporary:
        save_file(owned, temporary, metadata={"calco": json.dumps({"format": FORMAT, "step": step, **meta})})
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    for left in folder.glob(".step-*.tmp*"):  # of a process that was killed while it wrote
        left.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint: its tensors and its position.

    Raises:
        CalcoError: When it is damaged or of a newer format.
    """
    return _read(path, with_tensors=True)


def load_position(path: Path) -> dict[str, Any]:
    """Reads where a checkpoint stands, without its tensors.

    Raises:
        CalcoError: When it is damaged or of a newer format.
    """
    return _read(path, with_tensors=False)[1]


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {})["calco"])
            names = file.keys() if with_tensors else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CalcoError(
            f"the checkpoint {path} is damaged ({error}); remove it and resume from the one before"
        ) from error
    if meta["format"] > FORMAT:
        raise CalcoError(f"the checkpoint {path} is of format {meta['format']}, newer than {FORMAT}; update Calco")
    return tensors, meta


def latest_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run's folder of checkpoints.

    Raises:
        CalcoError: When there is none.
    """
    if not (found := list_checkpoints(folder)):
        raise CalcoError(f"{folder} holds no checkpoint to go on from; train anew with another --out")
    return found[-1]
