"""Exported files in ONNX Runtime, OpenVINO or torch. Each runs the whole file, or its network alone."""

import importlib.util
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calco.errors import CalcoError
from calco.inference.torchscript_code import check_torchscript

if TYPE_CHECKING:
    import onnx

KEY: Final = "calco"  # of the description, in all three kinds of files
# Tensors of a file: bytes in, what composition needs, what the network sees, what it draws, bytes out.
INPUT, PREPARED, SEEN, MAPS, OUTPUT = "picture", "prepared", "seen", "maps", "drawn"
XML, BIN = "model.xml", "model.bin"
Bytes: TypeAlias = npt.NDArray[np.uint8]


class Runtime(Protocol):
    """An opened file.

    Attributes:
        device: Where it computes.
    """

    device: torch.device

    def maps(self, seen: Tensor) -> Tensor:
        """The network alone: N, C, h, w in [-1, 1], h and w multiples of its number => N, D, h, w."""
        ...

    def pictures(self, pictures: Bytes) -> Bytes:
        """The whole file: N, H, W, C => N, H, W, D."""
        ...


def needs(*modules: str, extra: str) -> None:
    """Asks for libraries of an extra.

    Raises:
        CalcoError: When one is missing.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CalcoError(f"{missing[0]} is not installed, and exported models need it; pip install 'calco[{extra}]'")


class OnnxFile:
    """An ONNX file in ONNX Runtime, on the CPU."""

    def __init__(self, path: Path) -> None:
        self.device = torch.device("cpu")
        self._path, self._model = path, read_onnx(path)
        self._whole: Any = None
        self._network: Any = None

    def maps(self, seen: Tensor) -> Tensor:
        """As of `Runtime`."""
        if self._network is None:
            self._network = onnx_session(network_of(self._model), self._path)
        return torch.from_numpy(self._network.run([MAPS], {SEEN: seen.contiguous().numpy()})[0])

    def pictures(self, pictures: Bytes) -> Bytes:
        """As of `Runtime`."""
        if self._whole is None:
            self._whole = onnx_session(self._model, self._path)
        return cast("Bytes", self._whole.run([OUTPUT], {INPUT: np.ascontiguousarray(pictures)})[0])


def onnx_session(model: "onnx.ModelProto", path: Path) -> Any:
    """A model in ONNX Runtime, on the CPU.

    Args:
        model: The model.
        path: The file that it was read from, for messages.

    Raises:
        CalcoError: When it cannot be run, or the library is missing.
    """
    needs("onnxruntime", extra="export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception as error:  # the library's own kinds of errors have no name in common
        reason = " ".join(str(error).split())[:200]
        raise CalcoError(f"{path} cannot be used: {reason}; export the model again, or copy the file again") from error


def read_onnx(path: Path) -> "onnx.ModelProto":
    """An ONNX file, of which nothing lies outside it.

    Raises:
        ValueError: When it is damaged, or names other files.
    """
    needs("onnx", extra="export")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ValueError("it is cut short, or no ONNX") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ValueError("its weights lie in other files")
    return model


def network_of(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The part of an exported model between `seen` and `maps`."""
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
    """An OpenVINO model in a zip file, on the CPU.

    Args:
        path: The file.
        precision: What the network computes in, when it is run alone: f32 or bf16. The whole file is run in f32.
    """

    def __init__(self, path: Path, precision: str = "f32") -> None:
        self.device = torch.device("cpu")
        self._precision = precision
        self._model = read_openvino(path)
        self._part: Any = None
        self._whole: Any = None
        self._sizes: dict[tuple[int, ...], int] = {}
        self._fixed: Callable[[tuple[int, ...]], Any] = lru_cache(4)(self._compiled)

    def maps(self, seen: Tensor) -> Tensor:
        """As of `Runtime`; made anew for a size that comes again, since a network of fixed size is the faster one."""
        if self._part is None:
            self._part = self._cut()
            self._any = self._compiled(None)
        shape = tuple(seen.shape)
        self._sizes[shape] = self._sizes.get(shape, 0) + 1
        request = self._fixed(shape) if self._sizes[shape] > 1 else self._any
        drawn = request.infer([seen.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(next(iter(drawn.values())).copy())

    def pictures(self, pictures: Bytes) -> Bytes:
        """As of `Runtime`."""
        if self._whole is None:
            self._whole = self._request(self._model, "f32")
        return cast("Bytes", next(iter(self._whole.infer([np.ascontiguousarray(pictures)]).values())).copy())

    def _cut(self) -> Any:
        """The network alone."""
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


@lru_cache(maxsize=1)
def openvino_core() -> Any:
    """OpenVINO itself: one for the whole process, and for as long as it lives.

    The CPU plugin gives the thread that loads it a stack for signals, and takes that away when the last core goes,
    without telling the kernel: the next signal (a child that ends is enough) would end the process.
    """
    needs("openvino", extra="openvino")
    import openvino

    return openvino.Core()


def read_openvino(path: Path) -> Any:
    """The model in a zip file.

    Raises:
        ValueError: When it is damaged.
    """
    needs("openvino", extra="openvino")
    import openvino

    try:
        with zipfile.ZipFile(path) as file:
            xml, weights = file.read(XML), file.read(BIN)
        held = openvino.Tensor(np.frombuffer(weights, np.uint8))
        return openvino_core().read_model(model=xml, weights=held)
    except (zipfile.BadZipFile, KeyError, RuntimeError) as error:
        raise ValueError("it is damaged, or no OpenVINO model in a zip file") from error


class TorchscriptFile:
    """A TorchScript file in torch."""

    def __init__(self, path: Path, device: torch.device) -> None:
        check_torchscript(path)
        self.device = device
        with _no_warnings():
            self._model: Any = torch.jit.load(path, map_location=device).eval()

    def maps(self, seen: Tensor) -> Tensor:
        """As of `Runtime`."""
        with torch.no_grad():
            return torch.as_tensor(self._model.network(seen))

    def pictures(self, pictures: Bytes) -> Bytes:
        """As of `Runtime`."""
        with torch.no_grad():
            return cast("Bytes", self._model(torch.from_numpy(pictures).to(self.device)).cpu().numpy())


def _no_warnings() -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore")


def described(path: Path) -> str | None:
    """The description that `calco export` put into a file; None where there is none.

    Raises:
        ValueError: When the file is damaged.
        CalcoError: When a library is missing.
    """
    if path.suffix == ".onnx":
        return {entry.key: entry.value for entry in read_onnx(path).metadata_props}.get(KEY)
    if path.suffix == ".zip":
        model = read_openvino(path)
        return str(model.get_rt_info([KEY]).astype(str)) if model.has_rt_info([KEY]) else None
    try:
        with zipfile.ZipFile(path) as file:
            found = [name for name in file.namelist() if name.endswith(f"/extra/{KEY}.json")]
            return file.read(found[0]).decode() if found else None
    except (zipfile.BadZipFile, UnicodeDecodeError, RuntimeError) as error:
        raise ValueError("it is damaged, or no TorchScript") from error
