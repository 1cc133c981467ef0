"""Configuration that all training runs share: limits, what is kept, optimiser, device."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from calco.errors import UsageError
from calco.records import check_numbers


@dataclass(frozen=True, kw_only=True)
class LimitConfig:
    """When to stop: at the first limit that is reached (0 sets none)."""

    epochs: int = 200
    """Number of passes over the training images."""
    steps: int = 0
    """Number of updates of the weights."""
    minutes: float = 0.0
    """Minutes of training, including validation."""
    patience: int = 0
    """Number of validations without a better score after which the run stops; 0 trains on."""

    def __post_init__(self) -> None:
        """Check that there is a limit."""
        check_numbers(self)
        if min(self.epochs, self.steps, self.minutes) < 0 or max(self.epochs, self.steps, self.minutes) == 0:
            raise UsageError(
                f"epochs {self.epochs}, steps {self.steps}, minutes {self.minutes}: one of them must be above 0 and "
                "none below; for example --minutes 10"
            )
        if self.patience < 0:
            raise UsageError(f"patience is {self.patience}; it must be 0 (off) or a number of validations: try 10")

    def _given(self) -> dict[str, float]:
        """Return the limits that are set, but for patience."""
        return {name: value for name, value in vars(self).items() if value and name != "patience"}

    def share(self, done: Mapping[str, float]) -> float:
        """Share of a run that is done, by the first limit it will reach; `done` are its epochs, steps and minutes."""
        return max(done[name] / value for name, value in self._given().items())

    def reason(self, done: Mapping[str, float], stale: int, score: str) -> str:
        """Why a run ends, whose last `stale` validations did not improve a score; empty while it goes on."""
        if self.patience and stale >= self.patience:
            return f"validation {score} has not improved in {stale} validations (--patience {self.patience})"
        reached = (f"--{name} {value:.9g}" for name, value in self._given().items() if done[name] >= value)
        return next((f"{option} {'are over' if 'minutes' in option else 'are done'}" for option in reached), "")

    def describe(self) -> str:
        """Return "200 epochs or 10 minutes"."""
        limits = [f"{value:.9g} {name}" for name, value in self._given().items()]
        limits += [f"{self.patience} validations without a better score"] if self.patience else []
        return " or ".join(limits)

    def higher(self, done: Mapping[str, float], stale: int) -> str:
        """Return the options that let a run that has ended go on for as long again."""
        options = [f"--{name} {2 * max(1, math.ceil(done[name]))}" for name in self._given()]
        return " ".join([f"--patience {2 * self.patience}"] * (0 < self.patience <= stale) + options)


@dataclass(frozen=True, kw_only=True)
class RunKeepConfig:
    """What is measured, logged and kept during training."""

    validate_every: int = 1
    """Number of epochs between validations, each with a sheet of samples."""
    validate_steps: int = 100
    """Smallest number of steps between validations, so that small sets train more than they validate."""
    samples: int = 8
    """Number of images in the sheet of samples."""
    checkpoints: int = 2
    """Number of checkpoints to keep; older ones are deleted."""
    checkpoint_steps: int = 1000
    """Number of steps between checkpoints within an epoch; each validation writes one too."""
    log_steps: int = 20
    """Number of steps between rows of the log."""
    tensorboard: bool = True
    """Write the log for TensorBoard too."""

    def __post_init__(self) -> None:
        """Check the counts."""
        check_numbers(self)
        for name, value in vars(self).items():
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise UsageError(f"{name} is {value}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class SharedOptimiserConfig:
    """How the weights are updated."""

    batch: int = 1
    """Number of items in a forward pass."""
    accumulate: int = 1
    """Number of forward passes whose gradients are averaged before one update."""
    learning_rate: float = 2e-4
    """Adam's step size."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's two decay rates."""
    ema: float = 0.0
    """Decay of the exponential moving average of the weights, which is validated and kept; 0 keeps the last weights."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_numbers(self, batch=65_536, accumulate=65_536)
        if self.batch < 1 or self.accumulate < 1:
            raise UsageError(f"batch {self.batch} and accumulate {self.accumulate} must both be at least 1")
        if not self.learning_rate > 0:
            raise UsageError(f"learning rate {self.learning_rate} must be above 0; for example 0.001")
        if not (0 <= self.betas[0] < 1 and 0 <= self.betas[1] < 1):
            raise UsageError(f"betas {self.betas} must lie in [0, 1); for example 0.9 0.999")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema {self.ema} must lie in [0, 1); for example 0.995")


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """Device, precision and processes."""

    device: str = "auto"
    """cpu, cuda, or auto: the GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of convolutions; auto takes bf16 if the hardware has it; fp16 is for GPUs."""
    channels_last: bool = True
    """Keep feature maps in NHWC order, which the fast kernels need."""
    threads: int | Literal["auto"] = "auto"
    """Number of CPU threads per process; auto times the steps with several numbers and takes the fastest, 0 divides all
    cores among the processes."""
    processes: int = 1
    """Number of processes on this machine that train together, each with its own batch; torchrun sets this itself."""
    workers: int | Literal["auto"] = "auto"
    """Number of threads that prepare batches; 0 prepares them between the steps; auto follows the number of cores."""
    compile: bool = False
    """Compile the networks before the first step (torch.compile); a CPU needs a C++ compiler for it."""
    deterministic: bool = False
    """Compute identical bits each time on a GPU too, a little slower; a CPU always does."""
    activation_checkpointing: bool = False
    """Recompute feature maps in the backward pass instead of keeping them: less memory, more time."""

    def __post_init__(self) -> None:
        """Check the counts."""
        check_numbers(self, threads=1024, processes=256, workers=1024)
        if self.workers != "auto" and self.workers < 0:
            raise UsageError(f"workers is {self.workers}; it must be 0 (no threads), more, or auto")
        if self.activation_checkpointing and self.processes > 1:
            raise UsageError(
                f"--activation-checkpointing in {self.processes} processes would count each batch twice in batch norm; "
                "give one of the two"
            )
        if (self.threads != "auto" and self.threads < 0) or self.processes < 1:
            raise UsageError(f"threads {self.threads} must be at least 0 and processes {self.processes} at least 1")
