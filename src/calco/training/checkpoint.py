"""Networks that are trained, and their checkpoints: one safetensors file with all that a run needs to resume."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from calco.errors import CalcoError, DiskError
from calco.files import explain, sweep
from calco.inference.folder import as_os_error, contents_digest, on_cpu, write_tensors
from calco.networks.machine import choose_precision
from calco.training.shared_config import ComputeConfig

LOG: Final = logging.getLogger(__name__)
FORMAT: Final = 3
SUFFIX: Final = ".safetensors"


class TrainableNetworks:
    """Networks with their optimisers, the moving average of one, and the gradient scaler.

    Subclasses fill `modules` (the average included, as "averaged"), `optimisers`, `live` (the network that is averaged)
    and `averaged`; the parameter groups of an optimiser may have a `rate_scale`.
    """

    live: nn.Module
    averaged: nn.Module | None

    def __init__(self, compute: ComputeConfig, device: torch.device, ema: float) -> None:
        self.device, self.ema = device, ema
        self.dtype = choose_precision(compute.precision, device)
        # fp16 underflows below 6e-5: gradients are scaled up, and steps whose gradients overflow are skipped.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.modules: dict[str, nn.Module] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}

    def autocast(self) -> torch.autocast:
        """Context in which the networks compute."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("rate_scale", 1.0)

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Move the average towards the current weights; faster in the first steps."""
        if self.averaged is None:
            return
        decay = min(self.ema, (1 + step) / (10 + step))
        ours, theirs = self.averaged.state_dict(), self.live.state_dict()
        floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[n] for n in floats], [theirs[n] for n in floats], 1 - decay)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])

    def weights(self) -> dict[str, Tensor]:
        """Weights of all networks, by name."""
        return {f"{name}.{key}": t for name, part in self.modules.items() for key, t in part.state_dict().items()}

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold: weights, optimisers, scaler, random number generators."""
        tensors = self.weights()
        for name, optimiser in self.optimisers.items():
            moments = optimiser.state_dict()["state"]
            tensors |= {
                f"{name}.{number}.{key}": torch.as_tensor(value)
                for number, entry in moments.items()
                for key, value in entry.items()
            }
        if self.scaler.is_enabled():
            tensors |= {f"scaler.{name}": torch.tensor(value) for name, value in self.scaler.state_dict().items()}
        tensors["rng.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            RuntimeError: If it belongs to other networks (also KeyError, ValueError, IndexError).
        """
        for name, part in self.modules.items():
            prefix = f"{name}."
            part.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
        for name, optimiser in self.optimisers.items():
            _restore_optimiser(optimiser, tensors, name)
        if self.scaler.is_enabled() and "scaler.scale" in tensors:
            self.scaler.load_state_dict({name: tensors[f"scaler.{name}"].item() for name in self.scaler.state_dict()})
        torch.set_rng_state(tensors["rng.cpu"])
        if self.device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], prefix: str) -> None:
    """Restore the moments `prefix.<number of the parameter>.<name>`; the learning rate stays as it is."""
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
    """Return the path of the checkpoint of a step."""
    return folder / f"step-{step:09d}{SUFFIX}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Return complete checkpoints, oldest first."""
    return sorted(folder.glob(f"step-*{SUFFIX}"))


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], position: dict[str, Any], keep: int) -> Path:
    """Write a checkpoint of tensors and a position as JSON, whole or not at all, and delete all but the last `keep`.

    Raises:
        WriteError: If there is no room or no permission; earlier checkpoints are still there.
    """
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    free = shutil.disk_usage(folder).free
    if free < size + (16 << 20):
        raise DiskError(
            f"a checkpoint needs {size / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB left; free some space"
        )
    path = checkpoint_path(folder, step)
    owned = on_cpu(tensors)
    text = json.dumps({"step": step, **position})
    metadata = {"format": str(FORMAT), "position": text, "digest": contents_digest(owned, text)}
    write_tensors(path, owned, metadata)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    sweep(folder)
    return path


class DamagedError(CalcoError):
    """A checkpoint is truncated, or its contents have changed."""


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the position of a checkpoint.

    Raises:
        DamagedError: If its contents have changed.
        CalcoError: If it has another format, or cannot be read.
    """
    with _opened(path) as (file, metadata):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        position = metadata["position"]
        if contents_digest(tensors, position) != metadata["digest"]:
            raise _damaged(path, "its contents have changed since it was written")
        return tensors, json.loads(position)


def load_position(path: Path) -> dict[str, Any]:
    """Read the position of a checkpoint, without its tensors and without checking the digest."""
    with _opened(path) as (_, metadata):
        position: dict[str, Any] = json.loads(metadata["position"])
        return position


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """Open a checkpoint; yield the file and the metadata of its header."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if "calco" in metadata or metadata.get("format", str(FORMAT)) != str(FORMAT):
                raise CalcoError(
                    f"the checkpoint {path} does not have the format {FORMAT}, which this Calco reads; resume with "
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
    """Rename damaged checkpoints to `.damaged`, from the newest to the first sound one, with a warning.

    Raises:
        CalcoError: If none is sound; nothing is renamed then.
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
            LOG.warning(f"{str(met).partition('; ')[0]}; the run resumes from {path.name}")
        return
    if damaged:
        reason = str(damaged[0][1]).partition("; ")[0]
        raise CalcoError(f"{reason}, and {folder} holds no other one that is sound; train anew with another --out")


def latest_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint; a folder without one is an error."""
    if not (found := list_checkpoints(folder)):
        raise CalcoError(f"{folder} holds no checkpoint to resume from; train anew with another --out")
    return found[-1]
