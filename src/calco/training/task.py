"""What a Trainer trains: a task has its data, its networks, one step and a validation."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch

from calco.data.config import SourceConfig
from calco.data.source import Item, Source
from calco.imaging import Image
from calco.training.checkpoint import TrainableNetworks
from calco.training.processes import ProcessGroup
from calco.training.shared_config import ComputeConfig, LimitConfig, RunKeepConfig, SharedOptimiserConfig


class RunConfig(Protocol):
    """The part of a configuration that all runs share."""

    images: str
    out: str
    seed: int
    limit: LimitConfig
    keep: RunKeepConfig
    optimiser: SharedOptimiserConfig
    compute: ComputeConfig


class HasImages(Sized, Protocol):
    """Images of one split, as a run reads them."""

    damaged: dict[str, str]
    """Key and reason of each image that cannot be used."""
    cache_bytes: int
    """Most memory for decoded images."""


B = TypeVar("B")
D = TypeVar("D", bound=HasImages)


@dataclass(frozen=True, kw_only=True)
class RunData(Generic[D]):
    """Images of a run: their source, the items by split, and the images to train and to validate on."""

    source: Source
    splits: dict[str, list[Item]]
    train: D
    validation: D

    def provenance(self) -> dict[str, Any]:
        """Origin of the training images, for `model.json`."""
        return {
            "images": self.source.root,
            "source": self.source.kind,
            "splits": {name: len(items) for name, items in self.splits.items()},
        }

    def left_out(self) -> dict[str, str]:
        """Key and reason of every image that the run did not use."""
        damaged = self.train.damaged | self.validation.damaged
        used = {item.key for items in self.splits.values() for item in items}
        unused = [item.key for item in self.source.items if item.key not in used]
        unsplit = dict.fromkeys(
            unused, "in no split: beyond --split.training, too near to another split, or in a group with it"
        )
        return dict(self.source.left_out) | unsplit | {key: damaged[key] for key in sorted(damaged)}


def absolute_path(path: str | None) -> str | None:
    """Make the path of something that exists absolute; return any other text unchanged."""
    return str(Path(path).resolve()) if path and Path(path).exists() else path


def absolute_paths(config: SourceConfig) -> SourceConfig:
    """Make the paths of a source absolute: a run is resumed and scored from other working directories too."""
    return replace(
        config,
        annotations=absolute_path(config.annotations),
        groups=absolute_path(config.groups),
        drop=absolute_path(config.drop),
    )


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Result of a validation."""

    scores: dict[str, float]  # by metric; undefined ones are absent
    sheet: Image  # of samples, HWC uint8 RGB
    summary: str  # one line for the log
    notes: list[str] = field(default_factory=list)  # each to be logged once in a run
    provisional: str = ""  # of networks that do not learn as in the end yet, so that no later one is worse: until when


class Task(ABC, Generic[B]):
    """A kind of training, with its data and networks; the Trainer moves it from step to step."""

    command: ClassVar[str]  # verb that trains
    items: ClassVar[str]  # plural noun for the training items
    steadier: ClassVar[str]  # options that make training steadier, besides a lower learning rate
    product: ClassVar[str]  # noun for the trained model, as config.yaml names it
    fit_loss: ClassVar[str] = ""  # training loss that shows how well the items are fitted; empty: the sum of all
    without_validation: ClassVar[str] = ""  # what else holds for a model that is not validated, after a comma
    lower_is_better: bool = False  # of the validation score
    config: Any
    data: RunData[Any]
    group: ProcessGroup
    device: torch.device
    networks: TrainableNetworks

    @abstractmethod
    def __init__(self, config: Any, group: ProcessGroup, *, resume: bool) -> None:
        """Open the data and build the networks."""

    @staticmethod
    @abstractmethod
    def less_memory(config: Any, *, resume: bool) -> str:
        """Name the options that need less memory."""

    @staticmethod
    @abstractmethod
    def load_batch(images: Any, places: list[tuple[int, int]], /, *, pinned: bool) -> B:
        """Load the items at places (index, epoch); `pinned` keeps them in page-locked memory for a GPU."""

    @staticmethod
    @abstractmethod
    def batch_size(batch: B) -> int:
        """Number of items in a batch."""

    @abstractmethod
    def plan(self, step: int) -> tuple[str, str]:
        """Describe the task before and after the number of items, for the first line of the log."""

    @abstractmethod
    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step, and at a share of the run in [0, 1]."""

    @abstractmethod
    def learn(self, batches: Sequence[B]) -> dict[str, float]:
        """Update the networks once; return the mean losses of this process."""

    @abstractmethod
    def describe_losses(self, losses: Mapping[str, float]) -> str:
        """Format losses for the progress line."""

    @abstractmethod
    def validate(self, step: int, epoch: int) -> Validation:
        """Score the networks on the validation images.

        Raises:
            UnusableError: If no validation image can be read.
        """

    @abstractmethod
    def save_model(self, folder: Path, step: int, scores: Mapping[str, float], provenance: dict[str, Any]) -> None:
        """Write the model folder from the present weights."""

    def begin_epoch(self, progress: float) -> None:
        """Adapt to a share of the run in [0, 1]; called when an epoch starts, not when one is resumed."""

    def position(self) -> dict[str, Any]:
        """State besides the tensors that a checkpoint must hold."""
        return {}

    def load_position(self, position: Mapping[str, Any]) -> None:
        """Restore what `position` returned."""

    def closing_remark(self, losses: Mapping[str, float]) -> str:  # noqa: ARG002
        """Describe the end of the training; empty if there is nothing to add."""
        return ""

    @abstractmethod
    def evaluate_command(self, folder: Path) -> str:
        """Command that evaluates the trained model."""

    @property
    @abstractmethod
    def default_name(self) -> str:
        """Name of a new run's folder."""
