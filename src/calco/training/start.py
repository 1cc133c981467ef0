"""Warm start: the first weights of a run, taken from a trained model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from calco.errors import ModelError
from calco.inference.folder import find_folder, read_weights
from calco.networks.bridge import Bridge
from calco.training.checkpoint import list_checkpoints, load_checkpoint


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
