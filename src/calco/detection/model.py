"""The model folder of a detector, and the Detector that is loaded from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from calco import imaging
from calco.annotations.detections import Detections
from calco.data.box_augmentation import letterbox
from calco.data.config import SourceConfig, SplitConfig
from calco.detection.boxes import nms
from calco.detection.limits import MOST_BOXES, MULTIPLE, check_classes, check_shares, check_side
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError, enough_memory
from calco.imaging import Image
from calco.inference.folder import DESCRIPTION, find_folder, fitting, read_description, save_folder
from calco.networks.machine import choose_device, choose_precision
from calco.records import from_record, to_record

LITE: Final = "lite"


def build_network(architecture: str, settings: Mapping[str, Any], num_classes: int) -> DetectionNetwork:
    """A network with the first weights that chance gives it.

    Args:
        architecture: "lite", or the name that transformers has for a kind of model, such as "rt_detr_v2".
        settings: What it is built from: `width` and `depth` of "lite", or what `transformer.settings_of` gives.
        num_classes: How many classes it tells apart.

    Raises:
        CalcoError: When there is no such architecture, or the settings do not fit it.
    """
    if architecture == LITE:
        from calco.detection.lite import LiteDetector

        try:
            return LiteDetector(num_classes, **settings)
        except (TypeError, ValueError) as error:
            given = str(dict(settings))[:200]
            raise CalcoError(f"{given} are not settings of lite ({error}); it has width and depth") from error
    from calco.detection.transformer import TransformerDetector

    return TransformerDetector(architecture, settings, num_classes)


FORMAT: Final = 2
KIND: Final = "detector"
BATCH: Final = 16
"""Images that go through the network at once, where they are small."""
_BATCH_PIXELS: Final = BATCH * 640 * 640
_CANDIDATES: Final = 1000  # boxes of an image that are looked at before suppression


@dataclass(frozen=True, kw_only=True)
class DetectorInfo:
    """What `model.json` says of a detector.

    Attributes:
        architecture: "lite", or the name that transformers has for the kind of model.
        settings: What the architecture is built from.
        classes: The names of what it finds; their places are the numbers of the classes.
        size: The side of the square that images are brought into, in pixels.
        threshold: The score from which on it is believed.
        overlap: The IoU above which the lesser of two boxes of a class is suppressed, where the network needs that.
        most: The boxes of an image, at most.
        source: How the images of the training were read.
        split: How they were divided.
        seed: Of the training.
        step: Of the training at which these weights were kept.
        scores: On the validation images.
        provenance: Where it came from.
        kind: Tells it from a translator's description.
        format: Of the description.
    """

    architecture: str
    classes: tuple[str, ...]
    size: int
    settings: dict[str, Any] = field(default_factory=dict)
    threshold: float = 0.5
    overlap: float = 0.6
    most: int = 100
    source: SourceConfig = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    seed: int = 0
    step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Checks the ranges, before anything is allocated for what the description claims."""
        check_side(self.size, multiple=MULTIPLE if self.architecture == LITE else 1)
        check_classes(self.classes)
        check_shares(threshold=self.threshold, overlap=self.overlap)
        if not 1 <= self.most <= MOST_BOXES:
            raise CalcoError(f"most is {self.most}; an image has 1 to {MOST_BOXES:,} boxes at most")


class LetterboxedImage(NamedTuple):
    """An image in its square, as `letterbox` gives it.

    Attributes:
        square: S, S, 3 `uint8`.
        scale: Pixels of the square for each pixel of the image.
        corner: Where its left upper corner lies in the square, in pixels.
    """

    square: Image
    scale: float
    corner: tuple[int, int]


def as_batch(squares: Sequence[Image]) -> Tensor:
    """S, S, 3 `uint8` each => N, 3, S, S `uint8`, in memory NHWC."""
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


class Detector:
    """A loaded detector: `detector(image) -> Detections`, images of any size, boxes in their own pixels.

    Attributes:
        info: What the model is.
        network: What computes.
        device: Where it computes.
        precision: What its convolutions compute in.
    """

    def __init__(
        self,
        info: DetectorInfo,
        network: DetectionNetwork,
        *,
        device: str | torch.device = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.info, self.device, self.precision = info, torch.device(device), precision
        self.network = network.to(self.device).eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of what it finds."""
        return self.info.classes

    @property
    def threshold(self) -> float:
        """The score from which on it is believed, found on its validation images."""
        return self.info.threshold

    def __call__(self, image: Image, *, threshold: float | None = None) -> Detections:
        """What is in one image; as `many`."""
        return self.many([image], threshold=threshold)[0]

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """What is in each of some images.

        Args:
            images: HWC or HW, of any sizes, grey or RGB, `uint8`, `uint16` or `float32` in [0, 1].
            threshold: The lowest score of what is returned, in [0, 1]; None for `self.threshold`.

        Returns:
            For each image the boxes in its own pixels, with scores, the highest first, clipped to it.

        Raises:
            CalcoError: When an array is not an image (see `imaging.as_image`), the threshold is out of range, or the
                memory does not suffice.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise CalcoError(f"threshold is {threshold}; scores lie in [0, 1]: for example 0.5")
        found: list[Detections] = []
        batch = max(1, min(BATCH, _BATCH_PIXELS // self.info.size**2))
        for start in range(0, len(images), batch):
            part = [
                imaging.as_image(each, "the image" if len(images) == 1 else f"image {start + number}")
                for number, each in enumerate(images[start : start + batch])
            ]
            fitted = [LetterboxedImage(*letterbox(imaging.visible(image), self.info.size)) for image in part]
            with enough_memory(
                f"the detector looks at {len(part)} images of {self.info.size} pixels at once: close other programs, "
                "or train a detector with a smaller --size"
            ):
                logits, boxes = self.raw(as_batch([each.square for each in fitted]))
            for number, image in enumerate(part):
                size_wh = (image.shape[1], image.shape[0])
                found.append(self.read(logits[number], boxes[number], fitted[number], size_wh, threshold))
        return found

    @torch.inference_mode()
    def raw(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """N, 3, S, S `uint8` => logits N, Q, C and boxes N, Q, 4 (x, y, w, h in [0, 1]), float32 on the CPU."""
        x = squares.to(self.device).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            logits, boxes = self.network(x)
        return logits.float().cpu(), boxes.float().cpu()

    def read(
        self,
        logits: Tensor,
        boxes: Tensor,
        fitted: LetterboxedImage,
        size_wh: tuple[int, int],
        threshold: float | None = None,
    ) -> Detections:
        """What the network's answer about one image says.

        Args:
            logits: Q, C.
            boxes: Q, 4 (x, y, w, h in [0, 1]).
            fitted: How the image lies in its square.
            size_wh: Width and height of the image.
            threshold: As in `many`.
        """
        least = self.threshold if threshold is None else threshold
        scores, places = logits.sigmoid().flatten().topk(min(_CANDIDATES, logits.numel()))
        kept = scores >= least
        scores, places = scores[kept], places[kept]
        numbers = (places % logits.shape[1]).numpy()
        where = boxes[places // logits.shape[1]].numpy().astype(np.float32) * self.info.size
        half = where[:, 2:] / 2
        corner = np.array(fitted.corner * 2, np.float32)
        objects = Detections(
            boxes=(np.concatenate([where[:, :2] - half, where[:, :2] + half], 1) - corner) / np.float32(fitted.scale),
            classes=tuple(self.classes[number] for number in numbers),
            scores=scores.numpy().astype(np.float32),
        ).clipped(*size_wh)
        if self.network.overlapping:
            ranked = nms(objects.boxes, objects.scores, self.info.overlap, objects.classes, at_most=self.info.most)  # type: ignore[arg-type]
            return objects.select(ranked)
        return objects.select(np.arange(min(self.info.most, len(objects))))


def save_detector(folder: Path, info: DetectorInfo, network: DetectionNetwork | dict[str, Tensor]) -> None:
    """Writes a model folder whole, in place of the one that may stand there.

    Args:
        folder: The model folder.
        info: Its description.
        network: The network, or its state.

    Raises:
        CalcoError: When it cannot be written; what stood there before then still stands.
    """
    weights = network if isinstance(network, dict) else network.state_dict()
    # Copies: weights that a network uses twice may not be one piece of memory in the file.
    save_folder(folder, to_record(info), {name: tensor.clone() for name, tensor in weights.items()})


def detector_folder(path: str | Path) -> Path:
    """The model folder that `path` means: itself, or the one inside a run.

    Raises:
        CalcoError: When there is none.
    """
    names = "a run of calco detect train, a model folder, or a file that calco detect export wrote"
    return find_folder(path, command="calco detect train", names=names)


def load_detector_info(path: str | Path) -> DetectorInfo:
    """Reads a detector's `model.json`.

    Raises:
        CalcoError: When it is missing, of a newer format, damaged, or describes a translator.
    """
    folder = detector_folder(path)
    record = read_description(folder, FORMAT)
    file = folder / DESCRIPTION
    if record.get("kind") != KIND:
        raise CalcoError(f"{file} describes a translator, not a detector; name what calco detect train made")
    return from_record(DetectorInfo, record, file)


def load_detector(path: str | Path, *, device: str = "auto", precision: str = "auto") -> Detector:
    """Loads a detector for use.

    Args:
        path: A run or a model folder.
        device: "cpu", "cuda", or "auto" for the GPU where there is one.
        precision: fp32, bf16 (on a GPU fp16 too), or auto for bf16 where the machine has instructions for it.

    Returns:
        The detector.

    Raises:
        CalcoError: When a file is missing, damaged, of a newer format, or does not fit the description; when the device
            does not exist or lacks the precision.
    """
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    folder = detector_folder(path)
    info = load_detector_info(folder)

    def build() -> DetectionNetwork:
        return build_network(info.architecture, info.settings, len(info.classes))

    network = fitting(folder, build)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Detector(info, network, device=chosen, precision=dtype)
