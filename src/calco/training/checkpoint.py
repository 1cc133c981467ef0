"""Networks that are trained, and their checkpoints: one safetensors file with all that a run needs to resume.

A warm start takes the first weights of a run from a trained model or one of its checkpoints.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from calco.errors import CalcoError, DiskError, ModelError
from calco.files import explain, sweep
from calco.inference.folder import as_os_error, contents_digest, find_folder, on_cpu, read_weights, write_tensors
from calco.networks.bridge import Bridge
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


@dataclass(frozen=True)
class Taken:
    """Weights that a network took from a model."""

    taken: int  # numbers
    total: int
    adapted: tuple[str, ...]  # tensors of another shape of which a part was taken

    def describe(self, name: str) -> str:
        """Return "generator 99.8% of 1,234 weights, adapted downs.0.0.weight"."""
        adapted = f", adapted {', '.join(self.adapted)}" if self.adapted else ""
        return f"{name} {self.taken / self.total:.1%} of {self.total:,} weights{adapted}"


def take_weights(
    network: nn.Module, weights: Mapping[str, Tensor], *, axes: Mapping[str, int] | None = None,
    rows: Sequence[tuple[int, int]] = (),
) -> Taken:  # fmt: skip
    """Copy weights into a network where names and shapes agree.

    If the number of channels of the first or last layer differs, the channels that both have are taken. Further input
    channels start at 0; further output channels keep their random weights.

    Args:
        network: The network that starts; it is changed.
        weights: Tensors of the model to start from, by name.
        axes: Tensors with a row per class, and the axis of the classes.
        rows: Pairs of a row of the model and the row of the network that takes it, for these tensors.
    """
    axes = axes or {}
    own = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    ends, taken, adapted = _ends(own), 0, list[str]()
    with torch.no_grad():
        for name, tensor in own.items():
            given = weights.get(name)
            if given is None or given.dim() != tensor.dim():
                continue
            if name in axes:
                for theirs, ours in rows:
                    part = tensor.select(axes[name], ours)
                    part.copy_(given.select(axes[name], theirs))
                    taken += part.numel()
                adapted += [name] if rows else []
            elif given.shape == tensor.shape:
                tensor.copy_(given)
                taken += tensor.numel()
            elif name in ends:
                part = _overlapping(tensor, given, first=ends[name] == "first")
                if part:
                    taken += part
                    adapted.append(name)
    return Taken(taken, sum(tensor.numel() for tensor in own.values()), tuple(adapted))


def _ends(own: Mapping[str, Tensor]) -> dict[str, str]:
    """Return which end of a network the weight of its first layer, and weight and bias of its last layer, are."""
    kernels = [name for name, tensor in own.items() if tensor.dim() == 4]
    if not kernels:
        return {}
    last = kernels[-1]
    return {kernels[0]: "first", last: "last", last.removesuffix("weight") + "bias": "last"}


def _overlapping(tensor: Tensor, given: Tensor, *, first: bool) -> int:
    """Copy the channels that two tensors share; return how many numbers, 0 if more than the channels differ."""
    differing = [axis for axis in range(tensor.dim()) if given.shape[axis] != tensor.shape[axis]]
    if len(differing) != 1 or differing[0] > 1:
        return 0
    if first and tensor.shape[1] == 1:  # a grey image is three equal channels
        tensor.copy_(given.sum(1, keepdim=True))
        return tensor.numel()
    if first and given.shape[1] == 1:
        tensor.copy_(given.expand_as(tensor) / tensor.shape[1])
        return tensor.numel()
    if first:
        tensor.zero_()
    shared = tuple(slice(min(a, b)) for a, b in zip(given.shape, tensor.shape, strict=True))
    tensor[shared] = given[shared].to(tensor)
    return tensor[shared].numel()


def start_from(path: str, networks: Mapping[str, nn.Module]) -> str:
    """Give the networks of a translator the weights of a trained model.

    Args:
        path: A run or a model folder. The discriminator's weights come from the last checkpoint of a run.
        networks: "generator", its average "averaged", and "discriminator", if there are any.

    Returns:
        One line on what was taken.

    Raises:
        CalcoError: If the model cannot be read, or its network shares no weights with the generator.
    """
    folder = find_folder(path, command="calco train", names="the run or the model folder to start from")
    weights = read_weights(folder)
    bridged = any(key.startswith("backbone.refiner.") for key in weights)
    lines = []
    for name, network in networks.items():
        given = _of_checkpoint(Path(path), name) if name == "discriminator" else weights
        backbone = getattr(network, "backbone", None)
        if isinstance(backbone, Bridge) and backbone.regression is not None and not bridged:
            network, given = backbone.regression, {key.removeprefix("backbone."): t for key, t in weights.items()}
        took = take_weights(network, given)
        if name == "generator":
            check_shared(path, took)
        if name != "averaged" and took.taken:
            lines.append(took.describe(name))
    return f"weights of {path}: " + "; ".join(lines)


def check_shared(path: str, took: Taken) -> None:
    """Refuse a model that shares no weights."""
    if not took.taken:
        raise ModelError(
            f"--start {path}: its network shares no weights with the one to train; choose a model of the same "
            "architecture, depth and filters, or leave --start out"
        )


def _of_checkpoint(run: Path, name: str) -> dict[str, Tensor]:
    """Return the weights of one network in the last checkpoint of a run; none if there is no checkpoint."""
    checkpoints = list_checkpoints(run / "checkpoints")
    if not checkpoints:
        return {}
    tensors, _ = load_checkpoint(checkpoints[-1])
    return {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
