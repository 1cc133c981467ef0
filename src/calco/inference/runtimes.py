"""Exported files, in ONNX or OpenVINO: read, whatever their origin, and run.

An ONNX file may name other files for the values of its tensors, wherever a tensor may stand: among the initialisers,
in the attributes of nodes, in the graphs inside loops and branches, in functions. A zip file may unpack to a thousand
times its size. Both are refused before a runtime sees them.
"""

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calco.errors import CalcoError, needs
from calco.files import explain, parse_json

if TYPE_CHECKING:
    import onnx

KEY: Final = "calco"  # of the description, in both kinds of files
XML, BIN = "model.xml", "model.bin"
_MOST_BYTES: Final = 2**31 - 1  # of an ONNX file: where messages of protobuf end
_MOST_XML: Final = 2**27
_MOST_WEIGHTS: Final = 2**33
_VALUES_A_BYTE: Final = 8  # types of one bit have as many
_FIXED: Final = 4  # sizes for which a network is compiled: each costs as much as many images
_MOST_VALUES: Final = 2**28  # that a node may make of a shape which stands in the file


def read_onnx(path: Path) -> "onnx.ModelProto":
    """Read an ONNX file that needs no other file and no operators of its own; otherwise ValueError."""
    needs("onnx", extra="export")
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("it is larger than 2 GB, which no ONNX file is")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ValueError("it is cut short, or no ONNX") from error
    if model.training_info:
        raise ValueError("it holds a training, and only a model is read")
    own = {function.domain for function in model.functions}
    shapes: dict[str, onnx.TensorProto] = {}
    for part in _messages(model):
        if isinstance(part, onnx.TensorProto):
            _check_tensor(part)
            shapes[part.name] = part
        elif isinstance(part, onnx.NodeProto) and part.domain not in {"", "ai.onnx", *own}:
            raise ValueError(f"its graph uses operators of {part.domain}, which only a foreign library computes")
    _check_sizes(model, shapes)
    return model


def _messages(model: "onnx.ModelProto") -> Iterator[Any]:
    """Yield every message in a model: tensors and nodes at any depth, in functions, loops and branches too."""
    from google.protobuf.message import Message

    waiting: list[Any] = [model]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if isinstance(value, Message) else value)


def _check_tensor(tensor: "onnx.TensorProto") -> None:
    """Raise ValueError if a tensor's values lie in another file, or are fewer than it claims."""
    if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
        raise ValueError("its weights lie in other files")
    if any(side < 0 for side in tensor.dims):
        raise ValueError("a tensor in it has a side below 0")
    fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    held = len(tensor.raw_data) + sum(len(getattr(tensor, field)) for field in fields)
    if tensor.dims and math.prod(tensor.dims) > _VALUES_A_BYTE * held:
        raise ValueError("a tensor in it claims more values than the file holds")


def _check_sizes(model: "onnx.ModelProto", tensors: dict[str, "onnx.TensorProto"]) -> None:
    """Raise ValueError if a node makes an enormous tensor of a shape that the file holds."""
    from onnx import numpy_helper

    nodes = list(model.graph.node)
    known = {tensor.name: tensor for tensor in tensors.values()}
    known |= {node.output[0]: each.t for node in nodes for each in node.attribute
              if node.op_type == "Constant" and each.name == "value" and node.output}  # fmt: skip
    for node in nodes:
        place = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Resize": 3}.get(node.op_type)
        if place is None or len(node.input) <= place or node.input[place] not in known:
            continue
        sides = numpy_helper.to_array(known[node.input[place]]).flatten().tolist()
        if math.prod(int(side) for side in sides if isinstance(side, int)) > _MOST_VALUES:
            raise ValueError(f"a node in it ({node.op_type}) makes more than {_MOST_VALUES:,} values")


@lru_cache(maxsize=1)
def openvino_core() -> Any:
    """Return OpenVINO's core: one for the process, as long as that lives.

    The CPU plugin gives the thread that loads it a stack for signals, and takes that away when the last core goes,
    without telling the kernel: the next signal (a child that ends is enough) would end the process.
    """
    needs("openvino", extra="openvino")
    import openvino

    return openvino.Core()


def read_openvino(path: Path) -> Any:
    """Read the model in a zip file that holds nothing else, uncompressed; otherwise ValueError."""
    needs("openvino", extra="openvino")
    import openvino

    try:
        with zipfile.ZipFile(path) as file:
            entries = {entry.filename: entry for entry in file.infolist()}
            if sorted(entry.filename for entry in file.infolist()) != [BIN, XML]:
                raise ValueError(f"it is no OpenVINO model in a zip file, which holds {XML} and {BIN} alone")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
                raise ValueError("it is compressed, which calco export never does")
            if entries[XML].file_size > _MOST_XML or entries[BIN].file_size > _MOST_WEIGHTS:
                raise ValueError(f"it is larger than a model may be: {XML} 128 MB, {BIN} 8 GB")
            xml, weights = file.read(XML), file.read(BIN)
        held = openvino.Tensor(np.frombuffer(weights, np.uint8))
        return openvino_core().read_model(model=xml, weights=held)
    except (zipfile.BadZipFile, KeyError, RuntimeError, EOFError, NotImplementedError) as error:
        raise ValueError("it is damaged, or no OpenVINO model in a zip file") from error


def described(path: Path) -> str | None:
    """Return the description that `calco export` put into a file; None if there is none."""
    if path.suffix == ".onnx":
        return {entry.key: entry.value for entry in read_onnx(path).metadata_props}.get(KEY)
    model = read_openvino(path)
    return str(model.get_rt_info([KEY]).astype(str)) if model.has_rt_info([KEY]) else None


D = TypeVar("D")


@contextlib.contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn errors of runtimes about a file into a CalcoError."""
    try:
        yield
    except CalcoError:
        raise
    except OSError as error:
        raise explain(error, file, "read") from error
    except Exception as error:  # the libraries' own kinds of errors have no name in common
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CalcoError(f"{file} cannot be used: {reason}; export the model again, or copy the file again") from error


def read_record(file: Path, verb: str) -> dict[str, Any]:
    """Read the description in a file that the command `verb` exported, as plain data."""
    with explained(file):
        text = described(file)
    if text is None:
        raise CalcoError(f"{file} was not written by {verb} (it has no description); name a file that was")
    return parse_json(text.encode(), file)


def as_description(record: dict[str, Any], file: Path, kind: type[D], formats: tuple[int, int]) -> D:
    """Convert a description to a dataclass; `formats` are the newest known of the description and of its model."""
    if not isinstance(record.get("format"), int) or not isinstance(record.get("model"), dict):
        raise CalcoError(f"{file} names no format, so Calco did not write it; name a model that it did")
    inner = record["model"].get("format", 0)
    if not isinstance(inner, int):
        raise CalcoError(f"{file} is damaged (the format of its model is {inner!r}); export the model again")
    if record["format"] > formats[0] or inner > formats[1]:
        raise CalcoError(
            f"{file} is of a newer format than this Calco reads ({formats[0]}); update Calco: "
            "pip install --upgrade calco"
        )
    try:
        return msgspec.convert(record, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise CalcoError(f"{file} is damaged ({error}); export the model again") from error


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
        self._any: Any = None
        self._seen = set[tuple[int, ...]]()
        self._fixed: dict[tuple[int, ...], Any] = {}

    def maps(self, seen: Tensor) -> Tensor:
        """As `OnnxFile.maps`; compiled anew for the first few sizes that come again, since that is faster."""
        with explained(self._path):
            if self._part is None:
                self._part = self._cut()
                self._any = self._compiled(None)
            shape = tuple(seen.shape)
            if shape in self._seen and shape not in self._fixed and len(self._fixed) < _FIXED:
                self._fixed[shape] = self._compiled(shape)
            self._seen.add(shape)
            request = self._fixed.get(shape, self._any)
            drawn = request.infer([seen.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(next(iter(drawn.values())).copy())

    def images(self, images: Bytes) -> Bytes:
        """As `OnnxFile.images`."""
        with explained(self._path):
            if self._whole is None:
                self._whole = openvino_request(self._model, "f32")
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
        return openvino_request(part, self._precision)


def openvino_request(model: Any, precision: str) -> Any:
    """Compile a model of OpenVINO for the CPU, in f32 or bf16, and return what runs it."""
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return openvino_core().compile_model(model, "CPU", settings).create_infer_request()


Runtime: TypeAlias = OnnxFile | OpenvinoFile


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What computes a network in place of Calco's own kernels."""

    name: str  # onnxruntime or openvino
    precision: torch.dtype
    identity: str  # backend, version, precision and digest of the graph: the same one gives the same images
    maps: Callable[[Tensor], Tensor]  # N, C, h, w in [-1, 1], in multiples of the network's number => N, D, h, w
