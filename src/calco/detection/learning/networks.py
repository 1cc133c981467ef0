"""The network that learns, its optimisers and its average, and the one step that changes them."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calco.detection.choosing import Chosen
from calco.detection.learning.config import DetectTrainConfig
from calco.detection.learning.feed import DetectionBatch
from calco.detection.network import DetectionNetwork, Learner
from calco.networks.machine import choose_precision
from calco.runs.checkpoint import flatten_optimiser, restore_optimiser
from calco.runs.compute import need_compiler
from calco.runs.one_memory import SharedAdam
from calco.runs.processes import ALONE, Team


class Learning:
    """A detector that learns.

    Args:
        config: The run's configuration.
        chosen: The network with its first weights.
        device: Where it lives.
        team: The processes that learn together; by default this one is alone.

    Attributes:
        network: What learns.
        shared: What is called for losses whose gradients all processes shall have.
        averaged: The averaged network, or None.
        dtype: What its convolutions compute in.
    """

    def __init__(self, config: DetectTrainConfig, chosen: Chosen, device: torch.device, team: Team = ALONE) -> None:
        self.config, self.device, self.team = config, device, team
        self.network = chosen.network.to(device).train()
        if config.compute.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged: DetectionNetwork | None = copy.deepcopy(self.network) if config.optimiser.ema else None
        self.dtype = choose_precision(config.compute.precision, device)
        learner = Learner(self.network)
        self.shared: nn.Module = team.share(learner)
        careful = {id(weight) for weight in self.network.backbone_parameters()}
        learns = [weight for weight in self.network.parameters() if weight.requires_grad]
        parts = (
            ("rest", [weight for weight in learns if id(weight) not in careful], 1.0),
            ("backbone", [weight for weight in learns if id(weight) in careful], config.optimiser.backbone_rate),
        )
        self.optimisers = {name: (self._adam(weights), share) for name, weights, share in parts if weights and share}
        # Half floats end at 6e-5: their gradients are scaled up, and steps whose gradients overflow are left out.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        if config.compute.compile:
            need_compiler(device)
            # Whole, it would be compiled anew for every number of objects.
            self.network.compile_steady()

    def _adam(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        options = self.config.optimiser
        if self.team.one_memory:
            return SharedAdam(
                weights, self.team, torch.float32, lr=options.learning_rate, betas=options.betas,
                weight_decay=options.weight_decay,
            )  # fmt: skip
        return torch.optim.AdamW(
            weights, lr=options.learning_rate, betas=options.betas, weight_decay=options.weight_decay, fused=True
        )

    @property
    def shown(self) -> DetectionNetwork:
        """The network that is validated and kept."""
        return self.averaged if self.averaged is not None else self.network

    def set_rate(self, rate: float) -> None:
        """Sets the step size, and the backbone's share of it."""
        for optimiser, share in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate * share

    def step(self, batches: Sequence[DetectionBatch]) -> dict[str, float]:
        """One update from one or more batches (of each process), whose gradients are averaged.

        Returns:
            The mean parts of the loss in this process.
        """
        losses: dict[str, float] = {}
        share, last = 1 / len(batches), len(batches) - 1
        for number, batch in enumerate(batches):
            images, objects = batch.to(self.device)
            with self.team.together(self.shared, now=number == last):
                with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                    parts = self.shared(images, objects)
                self.scaler.scale(torch.stack(list(parts.values())).sum() * share).backward()
            for name, value in parts.items():
                losses[name] = losses.get(name, 0.0) + value.item() * share
        if not all(math.isfinite(value) for value in losses.values()) and self.team.world == 1:
            return losses  # the run ends with the weights of the step before
        for optimiser, _ in self.optimisers.values():
            self.scaler.unscale_(optimiser)
        if self.config.optimiser.clip:
            weights = [w for o, _ in self.optimisers.values() for group in o.param_groups for w in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.config.optimiser.clip)
        for optimiser, _ in self.optimisers.values():
            self.scaler.step(optimiser)
            optimiser.zero_grad(set_to_none=True)
        self.scaler.update()
        return losses

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Moves the averaged network towards the current one; faster at first, when little is averaged yet."""
        if self.averaged is None:
            return
        decay = min(self.config.optimiser.ema, (1 + step) / (10 + step))
        mine, theirs = self.averaged.state_dict(), self.network.state_dict()
        floats = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - decay)
        for name in mine.keys() - set(floats):
            mine[name].copy_(theirs[name])

    def weights(self) -> dict[str, Tensor]:
        """The weights of the network and of its average, by name."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        return tensors

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold, chance included."""
        # Copies: weights that a network uses twice may not be one piece of memory in the file.
        tensors = {name: tensor.clone() for name, tensor in self.weights().items()}
        for name, (optimiser, _) in self.optimisers.items():
            tensors |= flatten_optimiser(optimiser, f"optimiser_{name}")
        if self.scaler.is_enabled():
            tensors |= {f"scaler.{name}": torch.tensor(value) for name, value in self.scaler.state_dict().items()}
        tensors["chance.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["chance.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        for prefix, part in (("network.", self.network), ("averaged.", self.averaged)):
            if part is not None:
                part.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
        for name, (optimiser, _) in self.optimisers.items():
            restore_optimiser(optimiser, tensors, f"optimiser_{name}")
        if self.scaler.is_enabled() and "scaler.scale" in tensors:
            self.scaler.load_state_dict({name: tensors[f"scaler.{name}"].item() for name in self.scaler.state_dict()})
        torch.set_rng_state(tensors["chance.cpu"])
        if self.device.type == "cuda" and "chance.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["chance.cuda"], self.device)


def rate_at(config: DetectTrainConfig, step: int, progress: float) -> float:
    """The learning rate of a step: risen over the first ones, then falling like a cosine over the run."""
    options = config.optimiser
    risen = min(1.0, (step + 1) / options.warm_up) if options.warm_up else 1.0
    fallen = options.final + (1 - options.final) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return options.learning_rate * risen * fallen
