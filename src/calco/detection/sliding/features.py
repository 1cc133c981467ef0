"""What a classifier sees of a window: features of a network that knows ImageNet, or histograms of gradients."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.imaging import Image

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
