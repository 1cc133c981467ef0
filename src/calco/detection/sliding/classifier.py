"""What looks through the window: a logistic regression on features of it, or ImageNet's own classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.files import make_folder, read_json, write_json
from calco.imaging import Image
from calco.records import from_record, to_record

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from calco.networks.efficientnet_lite import EfficientNetLiteClassifier

Vectors: TypeAlias = npt.NDArray[np.float32]
Describe: TypeAlias = Callable[[Sequence[Image]], Vectors]

_CELL, _BINS = 8, 9
_AREA = {"imagenet": 96 * 96, "hog": 64 * 64}


def input_size(name: str, window_wh: tuple[int, int]) -> tuple[int, int]:
    """Width and height to which windows are brought: a fixed area in the proportions of the window, in whole cells."""
    ratio = window_wh[0] / window_wh[1]
    width = (_AREA[name] * ratio) ** 0.5
    across, down = (max(2, round(side / _CELL)) * _CELL for side in (width, width / ratio))
    return across, down


def describer(name: str, size_wh: tuple[int, int], device: str = "auto") -> Describe:
    """What turns windows of any size (HW3 `uint8`) into vectors: N images => N x D.

    Args:
        name: imagenet (1280 numbers of EfficientNet-Lite0) or hog.
        size_wh: To which windows are brought.
        device: Where the network computes.

    Raises:
        CalcoError: When ImageNet's weights are not installed, or the device is not there.
    """
    if name == "hog":
        return lambda crops: hog(_brought(crops, size_wh))
    import torch

    network, seen, fast = _imagenet(device, size_wh)

    @torch.inference_mode()
    def describe(crops: Sequence[Image]) -> Vectors:
        with fast:
            vectors: Vectors = network.features(seen(crops)).float().cpu().numpy()
        return vectors

    return describe


def imagenet_probabilities(device: str = "auto") -> Describe:
    """What turns windows into the probabilities of ImageNet's classes: N images => N x 1000.

    Raises:
        CalcoError: When the weights are not installed.
    """
    import torch

    network, seen, fast = _imagenet(device, (224, 224))

    @torch.inference_mode()
    def probabilities(crops: Sequence[Image]) -> Vectors:
        with fast:
            vectors: Vectors = network(seen(crops)).float().softmax(1).cpu().numpy()
        return vectors

    return probabilities


def _imagenet(
    device: str, size_wh: tuple[int, int]
) -> "tuple[EfficientNetLiteClassifier, Callable[[Sequence[Image]], Tensor], torch.autocast]":
    """The network, what makes its input of windows, and the arithmetic in which the machine is fastest."""
    import torch

    from calco.networks.efficientnet_lite import EfficientNetLiteClassifier, load_imagenet
    from calco.networks.machine import choose_device, choose_precision

    where = choose_device(device)
    network = EfficientNetLiteClassifier()
    load_imagenet(network)
    network.eval().to(where).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def seen(crops: Sequence[Image]) -> "Tensor":
        images = torch.from_numpy(_brought(crops, size_wh)).to(where)
        return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)  # NHWC => NCHW in [-1, 1]

    dtype = choose_precision("auto", where)
    return network, seen, torch.autocast(where.type, dtype, enabled=dtype != torch.float32)


def chosen_features(name: str) -> str:
    """The name, where auto is settled by what is installed.

    Raises:
        CalcoError: When ImageNet's weights were asked for and are not there.
    """
    if name == "hog":
        return name
    from calco.networks.efficientnet_lite import ABSENT, weight_file

    if weight_file() is not None:
        return "imagenet"
    if name == "imagenet":
        raise CalcoError(f"{ABSENT}; or take --features hog")
    return "hog"


def hog(images: npt.NDArray[np.uint8]) -> Vectors:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005): N, H, W, 3 `uint8` => N x D.

    As they recommend: the colour with the strongest gradient counts at each pixel, nine directions without sign, cells
    of 8 pixels, blocks of 2 x 2 cells that overlap by a cell, each of length 1, clipped at 0.2 and brought to length 1
    again. OpenCV 5 has no descriptor of its own any more.
    """
    seen = np.sqrt(images.astype(np.float32) / 255)
    padded = np.pad(seen, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    strength = np.hypot(across, down)
    best = strength.argmax(3)[..., None]
    across, down, strength = (np.take_along_axis(part, best, 3)[..., 0] for part in (across, down, strength))
    turn = (np.arctan2(down, across) % np.pi) * (_BINS / np.pi) - 0.5
    low = np.floor(turn)
    share = (turn - low).astype(np.float32)
    bins = low.astype(np.int64) % _BINS
    count, height, width = strength.shape
    cells = np.zeros((count, height // _CELL, width // _CELL, _BINS), np.float32)
    for number in range(_BINS):  # each gradient is shared between the two directions that it lies between
        votes = strength * ((bins == number) * (1 - share) + ((bins + 1) % _BINS == number) * share)
        cells[..., number] = votes.reshape(count, height // _CELL, _CELL, width // _CELL, _CELL).sum((2, 4))
    blocks = np.concatenate([cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]], 3)
    blocks = np.minimum(_unit(blocks), 0.2)
    vectors: Vectors = _unit(blocks).reshape(count, -1).astype(np.float32)
    return vectors


def _unit(blocks: Vectors) -> Vectors:
    lengths: Vectors = np.sqrt((blocks**2).sum(-1, keepdims=True) + 1e-4)
    return blocks / lengths


def _brought(crops: Sequence[Image], size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Windows of any size at one size, N, H, W, 3."""
    made = np.empty((len(crops), size_wh[1], size_wh[0], 3), np.uint8)
    for place, crop in enumerate(crops):
        smaller = crop.shape[0] * crop.shape[1] > size_wh[0] * size_wh[1]
        made[place] = cv2.resize(crop, size_wh, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return made


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
