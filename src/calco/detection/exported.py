"""Detectors in one file, as `calco detect export` writes them, and `open_detector` for these and for folders."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calco.detection.model import FORMAT, KIND, Detector, DetectorInfo, detector_folder, load_detector
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError, needs
from calco.files import digest
from calco.imaging import Image
from calco.inference.folder import EXPORTED, is_exported
from calco.inference.runtimes import (
    as_description,
    explained,
    onnx_session,
    openvino_core,
    openvino_request,
    read_onnx,
    read_openvino,
    read_record,
)
from calco.networks.machine import make_ready
from calco.records import from_record

EXPORT_FORMAT: Final = 1
INPUT, BOXES, SCORES = "images", "boxes", "scores"
"""Tensors of a file: N, S, S, 3 `uint8` in; out N, Q, 4 (left, top, right, bottom in pixels of the square), N, Q, C."""
_SURE: Final = 1e-7  # a score of 0 or 1 has no finite logit


@dataclass(frozen=True, kw_only=True)
class Description:
    """Description in an exported file, beside its graph."""

    format: int  # format of this description
    calco: str  # version that wrote it
    model: dict[str, Any]  # content of `model.json`
    overlapping: bool  # whether one object has several boxes, of which all but the best must be suppressed
    kind: str = KIND  # distinguishes it from a translator's
    licence: str = ""  # licence of the model; empty if unknown
    # Differences between file and model, and the images of the comparison
    compared: dict[str, Any] = field(default_factory=dict)

    @property
    def info(self) -> DetectorInfo:
        """Return the description of the model."""
        return from_record(DetectorInfo, self.model, "the model in it")


Graph: TypeAlias = "OnnxGraph | OpenvinoGraph"
"""An opened file: the side of its squares in pixels, the number of its classes, and its outputs by name."""


def describe(path: Path) -> Description:
    """Return the description in an exported file."""
    record = read_record(path, "calco detect export")
    if record.get("kind") != KIND:
        raise CalcoError(f"{path} holds a translator, not a detector; calco translate takes it")
    return as_description(record, path, Description, (EXPORT_FORMAT, FORMAT))


def load_exported(path: str | Path, *, runtime: str = "auto", precision: str = "auto") -> Detector:
    """Open an exported file for use."""
    file = Path(path)
    kind = EXPORTED[file.suffix]
    chosen = runtime if runtime != "auto" else "onnxruntime" if kind == "onnx" else "openvino"
    if chosen not in ("onnxruntime", "openvino") or (chosen == "onnxruntime" and kind == "openvino"):
        fits = "onnxruntime or openvino" if kind == "onnx" else "openvino"
        raise CalcoError(f"{file} is computed by {fits}, and --runtime is {runtime}; leave it out")
    if precision not in ("auto", "fp32") and not (precision == "bf16" and chosen == "openvino"):
        raise CalcoError(f"{chosen} computes {file} in fp32, and {precision} was asked for; leave --precision out")
    found = describe(file)
    graph = open_graph(file, chosen, "bf16" if precision == "bf16" else "f32")
    if (graph.side, graph.classes) != (found.info.size, len(found.info.classes)):
        raise CalcoError(
            f"{file} is damaged (it takes squares of {graph.side} pixels and has {graph.classes} classes, and "
            f"says {found.info.size} and {len(found.info.classes)}); export the model again"
        )
    return Detector(found.info, GraphNetwork(graph, found.info.size, overlapping=found.overlapping))


def open_graph(file: Path, runtime: str, hint: str = "f32") -> Graph:
    """Open a file in onnxruntime or openvino; `hint` is OpenVINO's precision: f32 or bf16."""
    with explained(file):
        return OnnxGraph(file) if runtime == "onnxruntime" else OpenvinoGraph(file, hint)


def squares_of(images: Tensor) -> Image:
    """Input of a network, N, 3, S, S in [-1, 1] => input of a file, N, S, S, 3 `uint8`."""
    squares = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    given: Image = squares.cpu().numpy()
    return given


class GraphNetwork(DetectionNetwork):
    """An exported file as the network of a Detector; its squares have a side of `size` pixels."""

    def __init__(self, graph: Graph, size: int, *, overlapping: bool) -> None:
        super().__init__()
        self._graph, self._size, self.overlapping = graph, size, overlapping

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `DetectionNetwork.forward`."""
        edges, scores = (torch.from_numpy(part) for part in self._graph.tensors(squares_of(images), (BOXES, SCORES)))
        queries = edges.shape[1] if edges.ndim == 3 else 0
        fits = ((len(images), queries, 4), (len(images), queries, self._graph.classes))
        if (edges.shape, scores.shape) != fits or not (edges.isfinite().all() and scores.isfinite().all()):
            raise CalcoError(
                f"the exported detector is damaged (it gives {BOXES} {tuple(edges.shape)} and {SCORES} "
                f"{tuple(scores.shape)}, or values that are not finite); export the model again"
            )
        low, high = edges[..., :2], edges[..., 2:]
        boxes = torch.cat([(low + high) / 2, high - low], -1) / self._size
        return torch.logit(scores, eps=_SURE), boxes


class OnnxGraph:
    """An ONNX file in ONNX Runtime, on the CPU."""

    def __init__(self, path: Path) -> None:
        self._path, self._session = path, onnx_session(read_onnx(path), path)
        sizes = {each.name: each.shape for each in (*self._session.get_inputs(), *self._session.get_outputs())}
        _check_names(sizes)
        if (len(sizes[INPUT]), len(sizes[SCORES])) != (4, 3):
            raise ValueError(f"its {INPUT} have {len(sizes[INPUT])} axes and its {SCORES} {len(sizes[SCORES])}")
        self.side, self.classes = sizes[INPUT][1], sizes[SCORES][-1]

    def tensors(self, squares: Image, names: Sequence[str]) -> list[npt.NDArray[Any]]:
        """N, S, S, 3 `uint8` => outputs by name; BOXES are N, Q, 4 and SCORES N, Q, C."""
        with explained(self._path):
            return list(self._session.run(list(names), {INPUT: squares}))


def _check_names(names: Container[str]) -> None:
    """Raise ValueError if a graph lacks an input or output of an exported detector."""
    if missing := [name for name in (INPUT, BOXES, SCORES) if name not in names]:
        raise ValueError(f"its graph has no {missing[0]}")


class OpenvinoGraph:
    """An ONNX file, or an OpenVINO model in a zip file, in OpenVINO on the CPU, in f32 or bf16."""

    def __init__(self, path: Path, hint: str = "f32") -> None:
        needs("openvino", extra="openvino")
        core, self._path = openvino_core(), path
        # What is read is what was checked.
        self._model = (
            core.read_model(read_onnx(path).SerializeToString()) if path.suffix == ".onnx" else read_openvino(path)
        )
        _check_names({name for port in (*self._model.inputs, *self._model.outputs) for name in port.get_names()})
        with explained(path):
            self.side = self._model.input(INPUT).get_partial_shape()[1].get_length()
            self.classes = self._model.output(SCORES).get_partial_shape()[-1].get_length()

        def compiled(shape: tuple[int, ...]) -> Any:
            # A graph of fixed size is the faster one, and batches have few sizes.
            model = self._model.clone()
            model.reshape(list(shape))
            return openvino_request(model, hint)

        self._request: Callable[[tuple[int, ...]], Any] = lru_cache(4)(compiled)

    def tensors(self, squares: Image, names: Sequence[str]) -> list[npt.NDArray[Any]]:
        """N, S, S, 3 `uint8` => outputs by name; BOXES are N, Q, 4 and SCORES N, Q, C."""
        with explained(self._path):
            request = self._request(squares.shape)
            request.infer([np.ascontiguousarray(squares)])
            return [request.get_tensor(name).data.copy() for name in names]


def open_detector(
    path: str | Path, *, runtime: str = "auto", device: str = "auto", precision: str = "auto"
) -> Detector:
    """Load a detector.

    Args:
        path: A run, a model folder, or a file that `calco detect export` wrote.
        runtime: torch for a run or a model folder, onnxruntime or openvino for an exported file; auto takes what fits.
        device: "cpu", "cuda", or "auto" for the GPU if there is one; exported files run on the CPU.
        precision: fp32, bf16, fp16 (on a GPU), or auto.

    Returns:
        The detector.

    Raises:
        CalcoError: It cannot be loaded, or its runtime is missing or does not fit.
    """
    if is_exported(path):
        if device not in ("auto", "cpu"):
            raise CalcoError(f"--device {device}: {path} runs on the CPU; name the model's folder for another device")
        return load_exported(path, runtime=runtime, precision=precision)
    if runtime not in ("auto", "torch"):
        raise CalcoError(
            f"--runtime {runtime} is for exported files, and {path} is none; make one: calco detect export {path}"
        )
    detector = load_detector(path, device=device, precision=precision)
    make_ready(detector.device, exact=precision == "fp32")
    return detector


def detector_digest(path: str | Path) -> str:
    """Return the digest of the weights of a detector."""
    return digest(path if is_exported(path) else detector_folder(path) / "model.safetensors")
