"""What looks through the window: a logistic regression on features of it, or ImageNet's own classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from calco.detection.sliding.features import Describe, Vectors, describer, imagenet_probabilities
from calco.errors import CalcoError
from calco.files import make_folder, read_json, write_json
from calco.imaging import Image
from calco.records import from_record, to_record

KIND: Final = "window classifier"
FORMAT: Final = 1
BACKGROUND: Final = "background"


class LooksThrough(Protocol):
    """Tells what is in windows.

    Attributes:
        classes: What it knows, without background.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """As above."""

    def probabilities(self, crops: Sequence[Image]) -> Vectors:
        """Windows of any size, HW3 `uint8` => N x classes, each in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class ClassifierInfo:
    """What `classifier.json` says.

    Attributes:
        classes: Without background.
        features: imagenet or hog.
        size_wh: To which windows are brought, pixels.
        window_wh: The window for which it was learnt.
        accuracy: The share of windows that were told right, of images that were not learnt from; None where there
            were none.
        background: What share of those windows background everywhere would be right for.
        recall: The share of the objects among those windows that were found.
        examples: How many windows it was learnt from.
        held_out: Of how many windows the accuracy is.
        images: Where they come from.
        seed: From which they were drawn.
        kind: That it is a classifier of windows.
        format: Of this file.
    """

    classes: tuple[str, ...]
    features: str
    size_wh: tuple[int, int]
    window_wh: tuple[int, int]
    accuracy: float | None = None
    background: float | None = None
    recall: float | None = None
    examples: int = 0
    held_out: int = 0
    images: str = ""
    seed: int = 0
    kind: str = KIND
    format: int = FORMAT


@dataclass(frozen=True, eq=False)
class Weights:
    """A softmax over background and the classes, on features of mean 0 and deviation 1.

    Attributes:
        weight: D x (1 + classes).
        bias: 1 + classes.
        mean: D, of the features.
        deviation: D, of the features.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    deviation: npt.NDArray[np.float32]

    def probabilities(self, vectors: Vectors) -> Vectors:
        """N x D => N x (1 + classes), background first."""
        logits = ((vectors - self.mean) / self.deviation) @ self.weight + self.bias
        raised = np.exp(logits - logits.max(1, keepdims=True))
        shares: Vectors = raised / raised.sum(1, keepdims=True)
        return shares


@dataclass(frozen=True, eq=False)
class WindowClassifier:
    """A classifier of windows, learnt from examples.

    Attributes:
        info: What it is.
        weights: What it learned.
        describe: What makes features of windows.
    """

    info: ClassifierInfo
    weights: Weights
    describe: Describe = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """What it knows, without background."""
        return self.info.classes

    def probabilities(self, crops: Sequence[Image]) -> Vectors:
        """As `LooksThrough` has it."""
        return self.weights.probabilities(self.describe(crops))[:, 1:]


@dataclass(frozen=True, eq=False)
class ImageNetClass:
    """One of ImageNet's classes.

    Attributes:
        number: From 0 to 999.
        look: What gives the probabilities of all of them.
    """

    number: int
    look: Describe = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Its number, for the names are not in the weights."""
        return (f"imagenet:{self.number}",)

    def probabilities(self, crops: Sequence[Image]) -> Vectors:
        """As `LooksThrough` has it."""
        return self.look(crops)[:, [self.number]]


def save_classifier(folder: Path, classifier: WindowClassifier) -> None:
    """Writes `classifier.json` and `classifier.safetensors`.

    Raises:
        CalcoError: When they cannot be written.
    """
    import torch

    from calco.networks.tensor_files import write_tensors

    make_folder(folder)
    parts = {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in vars(classifier.weights).items()}
    write_tensors(folder / "classifier.safetensors", parts)
    write_json(folder / "classifier.json", to_record(classifier.info))


def load_classifier(name: str, device: str = "auto") -> LooksThrough:
    """A classifier that `save_classifier` wrote, or imagenet:NUMBER.

    Raises:
        CalcoError: When it is neither, or its files are damaged.
    """
    if name.startswith("imagenet:"):
        number = name.removeprefix("imagenet:")
        if not (number.isascii() and number.isdigit() and int(number) < 1000):
            raise CalcoError(f"ImageNet has no class {number!r}; give a number from 0 to 999, such as imagenet:763")
        return ImageNetClass(int(number), imagenet_probabilities(device))
    file = Path(name) / "classifier.json"
    if not file.is_file():
        raise CalcoError(f"there is no {file}; name the folder of a classifier (--examples learns one), or "
                         "imagenet:NUMBER")  # fmt: skip
    record = read_json(file)
    if record.get("kind") != KIND or record.get("format") != FORMAT:
        raise CalcoError(f"{file} is no {KIND} of format {FORMAT}, the one that this version reads; learn it anew")
    info = from_record(ClassifierInfo, record, file)
    return WindowClassifier(info, _weights(Path(name) / "classifier.safetensors", info),
                            describer(info.features, info.size_wh, device))  # fmt: skip


def _weights(file: Path, info: ClassifierInfo) -> Weights:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        parts: dict[str, Any] = load_file(file)
        weights = Weights(**{name: np.asarray(part, np.float32) for name, part in parts.items()})
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise CalcoError(f"{file} cannot be read as a classifier's weights; learn it anew with --examples") from error
    outputs = 1 + len(info.classes)
    if weights.weight.ndim != 2 or weights.weight.shape[1] != outputs or weights.bias.shape != (outputs,):
        raise CalcoError(f"{file} does not fit classifier.json beside it; learn it anew with --examples")
    return weights
