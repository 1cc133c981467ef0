"""What every training run can be told, whatever it trains."""

from dataclasses import dataclass
from typing import Literal

from calco.errors import CalcoError
from calco.records import check_numbers


@dataclass(frozen=True, kw_only=True)
class LimitConfig:
    """When to stop: at the first of these that is reached (0 sets no limit)."""

    epochs: int = 200
    """Passes over the training images."""
    steps: int = 0
    """Updates of the weights."""
    minutes: float = 0.0
    """Minutes of training, validation included."""

    def __post_init__(self) -> None:
        """Checks that there is a limit."""
        check_numbers(self)
        if min(self.epochs, self.steps, self.minutes) < 0 or max(self.epochs, self.steps, self.minutes) == 0:
            raise CalcoError(
                f"epochs {self.epochs}, steps {self.steps}, minutes {self.minutes}: one of them must be above 0 and "
                "none below; for example --minutes 10"
            )


@dataclass(frozen=True, kw_only=True)
class RunKeepConfig:
    """What is measured, shown and kept while training."""

    validate_every: int = 1
    """Epochs between two validations, each with a sheet of samples."""
    validate_steps: int = 100
    """Steps that lie between two validations at least, so that small sets train more than they validate."""
    samples: int = 8
    """Images in the sheet of samples."""
    checkpoints: int = 2
    """Last checkpoints to keep."""
    checkpoint_steps: int = 1000
    """Steps between two checkpoints within an epoch; one more is written after each validation."""
    log_steps: int = 20
    """Steps between two rows of the log."""
    tensorboard: bool = True
    """Whether the log is written for TensorBoard too."""

    def __post_init__(self) -> None:
        """Checks the counts."""
        check_numbers(self)
        for name, value in vars(self).items():
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise CalcoError(f"{name} is {value}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """Where and how it is computed."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What convolutions compute in; auto takes bf16 where the machine has the instructions; fp16 is for GPUs."""
    channels_last: bool = True
    """Keeps the maps in NHWC order, which the fast kernels want."""
    threads: int = 0
    """Threads of the CPU for each process; 0 for as many as there are cores, divided among the processes."""
    processes: int = 1
    """Processes on this machine that learn together, each with its own batch; torchrun sets this by itself."""
    workers: int | Literal["auto"] = "auto"
    """Threads that make batches ahead of the networks; 0 makes them in between; auto goes by the number of cores."""
    compile: bool = False
    """Compiles the networks before the first step (torch.compile); on a CPU it needs a C++ compiler."""
    deterministic: bool = False
    """On a GPU, the same bits each time, at some cost in speed; on a CPU they are the same anyway."""
    activation_checkpointing: bool = False
    """Computes maps again in the backward pass instead of keeping them: less memory for large images, more time."""

    def __post_init__(self) -> None:
        """Checks the counts."""
        check_numbers(self, threads=1024, processes=256, workers=1024)
        if self.workers != "auto" and self.workers < 0:
            raise CalcoError(f"workers is {self.workers}; it must be 0 (no thread of their own) or more, or auto")
        if self.activation_checkpointing and self.processes > 1:
            raise CalcoError(
                f"--activation-checkpointing in {self.processes} processes would count each batch twice in batch norm; "
                "give one of the two"
            )
        if self.threads < 0 or self.processes < 1:
            raise CalcoError(f"threads {self.threads} must be at least 0 and processes {self.processes} at least 1")
