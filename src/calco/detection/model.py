"""The model folder of a detector, and the Detector that is loaded from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calco import imaging
from calco.annotations.detections import Detections
from calco.data.box_augmentation import letterbox
from calco.data.config import SourceConfig, SplitConfig
from calco.detection.boxes import nms
from calco.detection.config import MOST_BOXES, MOST_CLASSES, MULTIPLE, check_side
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError, enough_memory
from calco.imaging import Image
from calco.inference.folder import DESCRIPTION, find_folder, fitting, read_description, save_folder
from calco.networks.machine import choose_device, choose_precision
from calco.records import check_numbers, from_record, to_record

Floats: TypeAlias = npt.NDArray[np.float32]
LITE: Final = "lite"


def build_network(architecture: str, settings: Mapping[str, Any], num_classes: int) -> DetectionNetwork:
    """Build a network with random weights.

    The architecture is "lite", with `width` and `depth` as settings, or the name that transformers has for a kind of
    model, such as "rt_detr_v2", with what `transformer.settings_of` returns.
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
"""Images that go through the network at once, if they are small."""
_BATCH_PIXELS: Final = BATCH * 640 * 640
_CANDIDATES: Final = 1000  # boxes of an image before suppression


@dataclass(frozen=True, kw_only=True)
class DetectorInfo:
    """Description of a detector in `model.json`."""

    architecture: str  # "lite", or the name that transformers has for the kind of model
    classes: tuple[str, ...]  # names of the classes, in the order of their numbers
    size: int  # side of the square that images are fitted into, in pixels
    settings: dict[str, Any] = field(default_factory=dict)  # settings of the architecture
    threshold: float = 0.5  # default threshold of the scores
    overlap: float = 0.6  # ioU above which the lesser of two boxes of a class is suppressed, if the network needs that
    most: int = 100  # largest number of boxes in an image
    source: SourceConfig = field(default_factory=SourceConfig)  # how the training images were read
    split: SplitConfig = field(default_factory=SplitConfig)  # how they were split
    seed: int = 0  # seed of the training
    step: int = 0  # step of the training at which these weights were kept
    scores: dict[str, float] = field(default_factory=dict)  # scores on the validation images
    provenance: dict[str, Any] = field(default_factory=dict)  # origin of the model
    kind: str = KIND  # always "detector", unlike a translator's description
    format: int = FORMAT  # format of the description

    def __post_init__(self) -> None:
        """Check the ranges before anything is allocated by them."""
        check_side(self.size, multiple=MULTIPLE if self.architecture == LITE else 1)
        check_numbers(self, threshold=(0, 1), overlap=(0, 1), most=(1, MOST_BOXES))
        if not 1 <= len(self.classes) <= MOST_CLASSES:
            raise CalcoError(f"there are {len(self.classes):,} classes; a detector has 1 to {MOST_CLASSES:,}")


class Detector:
    """A loaded detector: `detector(image) -> Detections`, images of any size, boxes in their own pixels.

    Attributes:
        info: Description of the model.
        network: Its network.
        device: Device of the network.
        precision: Precision of the convolutions.
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
        """Names of the classes."""
        return self.info.classes

    @property
    def threshold(self) -> float:
        """Default threshold of the scores, found on its validation images."""
        return self.info.threshold

    def __call__(self, image: Image, *, threshold: float | None = None) -> Detections:
        """Return the objects in one image; see `many`."""
        return self.many([image], threshold=threshold)[0]

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """Return the objects in each image.

        Args:
            images: HWC or HW, of any sizes, grey or RGB, `uint8`, `uint16` or `float32` in [0, 1].
            threshold: Lowest score that is returned, in [0, 1]; None for `self.threshold`.

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
            squares, scales, corners = zip(
                *(letterbox(imaging.visible(image), self.info.size) for image in part), strict=True
            )
            with enough_memory(
                f"the detector looks at {len(part)} images of {self.info.size} pixels at once: close other programs, "
                "or train a detector with a smaller --size"
            ):
                logits, boxes = self.raw(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2))
            for number, image in enumerate(part):
                place = np.array(corners[number] * 2, np.float32), np.float32(scales[number])
                found.append(self._read(logits[number], boxes[number], *place, image.shape, threshold))
        return found

    @torch.inference_mode()
    def raw(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """N, 3, S, S `uint8` => logits N, Q, C and boxes N, Q, 4 (x, y, w, h in [0, 1]), float32 on the CPU."""
        x = squares.to(self.device).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            logits, boxes = self.network(x)
        return logits.float().cpu(), boxes.float().cpu()

    def _read(
        self, logits: Tensor, boxes: Tensor, corner: Floats, scale: np.float32, shape: Sequence[int],
        threshold: float | None,
    ) -> Detections:  # fmt: skip
        """Return the objects in the network's output for one image of a shape HWC.

        Logits are Q, C; boxes Q, 4 (x, y, w, h in [0, 1]); `corner` (twice x, y) and `scale` place the image in its
        square.
        """
        least = self.threshold if threshold is None else threshold
        scores, places = logits.sigmoid().flatten().topk(min(_CANDIDATES, logits.numel()))
        kept = scores >= least
        scores, places = scores[kept], places[kept]
        numbers = (places % logits.shape[1]).numpy()
        where = boxes[places // logits.shape[1]].numpy().astype(np.float32) * self.info.size
        half = where[:, 2:] / 2
        objects = Detections(
            boxes=(np.concatenate([where[:, :2] - half, where[:, :2] + half], 1) - corner) / scale,
            classes=tuple(self.classes[number] for number in numbers),
            scores=scores.numpy().astype(np.float32),
        ).clipped(shape[1], shape[0])
        if self.network.overlapping:
            ranked = nms(objects.boxes, objects.scores, self.info.overlap, objects.classes, at_most=self.info.most)  # type: ignore[arg-type]
            return objects.select(ranked)
        return objects.select(np.arange(min(self.info.most, len(objects))))


def save_detector(folder: Path, info: DetectorInfo, network: DetectionNetwork | dict[str, Tensor]) -> None:
    """Write a model folder whole, in place of an earlier one; the network may be given by its state."""
    weights = network if isinstance(network, dict) else network.state_dict()
    # Copies: weights that a network uses twice may not be one piece of memory in the file.
    save_folder(folder, to_record(info), {name: tensor.clone() for name, tensor in weights.items()})


def detector_folder(path: str | Path) -> Path:
    """Return the model folder at `path`: itself, or the one inside a run."""
    names = "a run of calco detect train, a model folder, or a file that calco detect export wrote"
    return find_folder(path, command="calco detect train", names=names)


def load_detector_info(path: str | Path) -> DetectorInfo:
    """Read a detector's `model.json`."""
    folder = detector_folder(path)
    record = read_description(folder, FORMAT)
    file = folder / DESCRIPTION
    if record.get("kind") != KIND:
        raise CalcoError(f"{file} describes a translator, not a detector; name what calco detect train made")
    return from_record(DetectorInfo, record, file)


def load_detector(path: str | Path, *, device: str = "auto", precision: str = "auto") -> Detector:
    """Load a detector.

    Args:
        path: A run or a model folder.
        device: "cpu", "cuda", or "auto" for the GPU if there is one.
        precision: fp32, bf16 (on a GPU fp16 too), or auto for bf16 if the machine has instructions for it.

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
    network = fitting(folder, lambda: build_network(info.architecture, info.settings, len(info.classes)))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Detector(info, network, device=chosen, precision=dtype)
