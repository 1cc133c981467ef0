"""Exported files in ONNX Runtime or OpenVINO. Each runs the whole file, or its network alone."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calco.inference.graph_files import explained, needs, openvino_core, read_onnx, read_openvino

if TYPE_CHECKING:
    import onnx

# Tensors of a file: bytes in, input of the composition, input of the network, its output, bytes out.
INPUT, PREPARED, SEEN, MAPS, OUTPUT = "image", "prepared", "seen", "maps", "drawn"
Bytes: TypeAlias = npt.NDArray[np.uint8]


class OnnxFile:
    """An ONNX file in ONNX Runtime, on the CPU; runs the whole file or its network alone."""

    def __init__(self, path: Path) -> None:
        self.device = torch.device("cpu")
        self._path, self._model = path, read_onnx(path)
        self._whole: Any = None
        self._network: Any = None

    def maps(self, seen: Tensor) -> Tensor:
        """Run the network alone: N, C, h, w in [-1, 1], in multiples of its number => N, D, h, w."""
        if self._network is None:
            self._network = onnx_session(network_of(self._model), self._path)
        with explained(self._path):
            return torch.from_numpy(self._network.run([MAPS], {SEEN: seen.contiguous().numpy()})[0])

    def images(self, images: Bytes) -> Bytes:
        """Run the whole file: N, H, W, C => N, H, W, D."""
        if self._whole is None:
            self._whole = onnx_session(self._model, self._path)
        with explained(self._path):
            return cast("Bytes", self._whole.run([OUTPUT], {INPUT: np.ascontiguousarray(images)})[0])


def onnx_session(model: "onnx.ModelProto", path: Path) -> Any:
    """Open a model, read from the file `path`, in ONNX Runtime on the CPU."""
    needs("onnxruntime", extra="export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    with explained(path):
        return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def network_of(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return the part of an exported model between `seen` and `maps`."""
    import onnx
    from onnx import helper

    makers = {name: node for node in model.graph.node for name in node.output}
    wanted, waiting = set[str](), [MAPS]
    while waiting:
        name = waiting.pop()
        if name and name not in wanted:
            wanted.add(name)
            if name != SEEN and name in makers:
                waiting += makers[name].input
    nodes = [node for node in model.graph.node if wanted.intersection(node.output) and SEEN not in node.output]
    sizes = {name: ["n", "c", "h", "w"] for name in (SEEN, MAPS)}
    seen, maps = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size) for name, size in sizes.items())
    held = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    part = helper.make_model(helper.make_graph(nodes, "network", [seen], [maps], held))
    part.ir_version = model.ir_version
    del part.opset_import[:]
    part.opset_import.extend(model.opset_import)
    return part


class OpenvinoFile:
    """An OpenVINO model in a zip file, on the CPU."""

    def __init__(self, path: Path, precision: str = "f32") -> None:
        """Open a file; its network alone runs in f32 or bf16, the whole file in f32."""
        self.device = torch.device("cpu")
        self._path, self._precision = path, precision
        self._model = read_openvino(path)
        self._part: Any = None
        self._whole: Any = None
        self._sizes: dict[tuple[int, ...], int] = {}
        self._fixed: Callable[[tuple[int, ...]], Any] = lru_cache(4)(self._compiled)

    def maps(self, seen: Tensor) -> Tensor:
        """As `OnnxFile.maps`; compiled anew for a size that comes again, since a network of fixed size is faster."""
        with explained(self._path):
            if self._part is None:
                self._part = self._cut()
                self._any = self._compiled(None)
            shape = tuple(seen.shape)
            self._sizes[shape] = self._sizes.get(shape, 0) + 1
            request = self._fixed(shape) if self._sizes[shape] > 1 else self._any
            drawn = request.infer([seen.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(next(iter(drawn.values())).copy())

    def images(self, images: Bytes) -> Bytes:
        """As `OnnxFile.images`."""
        with explained(self._path):
            if self._whole is None:
                self._whole = self._request(self._model, "f32")
            return cast("Bytes", next(iter(self._whole.infer([np.ascontiguousarray(images)]).values())).copy())

    def _cut(self) -> Any:
        """Return the network alone."""
        import openvino
        from openvino import opset13

        if SEEN in self._model.inputs[0].get_names():  # a network alone, as the bench has it
            return self._model
        outputs = {
            name: out for op in self._model.clone().get_ordered_ops() for out in op.outputs() for name in out.names
        }
        seen, maps = outputs[SEEN], outputs[MAPS]
        given = opset13.parameter(seen.get_partial_shape(), np.float32, name=SEEN)
        for target in seen.get_target_inputs():
            target.replace_source_output(given.output(0))
        return openvino.Model([opset13.result(maps)], [given], "network")

    def _compiled(self, shape: tuple[int, ...] | None) -> Any:
        part = self._part.clone()
        if shape is not None:
            part.reshape(list(shape))
        return self._request(part, self._precision)

    @staticmethod
    def _request(model: Any, precision: str) -> Any:
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return openvino_core().compile_model(model, "CPU", settings).create_infer_request()


Runtime: TypeAlias = OnnxFile | OpenvinoFile
