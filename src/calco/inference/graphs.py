"""Graphs of networks: torch modules as ONNX, in fewer bits, and as OpenVINO models.

Exported files and the backends behind a loaded model are made of them alike.
"""

import contextlib
import copy
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from calco.errors import needs
from calco.inference.runtimes import BIN, KEY, MAPS, SEEN, XML, openvino_core
from calco.networks.cpu.packed import folded
from calco.networks.efficientnet_lite import SameConv, for_even_sides
from calco.networks.layers import InstanceNorm

if TYPE_CHECKING:
    import onnx

OPSET: Final = 20
_LARGE: Final = 256  # values; smaller tensors keep their precision


class AnySizeNorm(nn.Module):
    """`InstanceNorm` whose rule for maps of one pixel is part of the graph, so that it holds at every size."""

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every map of NCHW `x`, except maps of 1x1."""
        away = x - x.mean((2, 3), keepdim=True)
        count = torch.ones_like(x[:1, :1]).sum((2, 3), keepdim=True)
        return torch.where(count > 1, away * (away.square().mean((2, 3), keepdim=True) + self.eps).rsqrt(), x)


def portable(network: nn.Module) -> nn.Module:
    """Return a copy of a trained network for a graph: batch norms folded, nothing that depends on a fixed size."""
    made = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    _fold(made)
    for name, conv in [(name, part) for name, part in made.named_modules() if isinstance(part, SameConv)]:
        made.set_submodule(name, for_even_sides(conv))
    made.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch names no such overload
    return made


def _fold(module: nn.Module) -> None:
    """Fold batch norms into the convolutions before them, and make instance norms independent of the size."""
    before: nn.Module | None = None
    for name, child in list(module.named_children()):
        conv = before if isinstance(before, nn.Conv2d | nn.ConvTranspose2d) else getattr(before, "conv", None)
        if isinstance(child, InstanceNorm):
            setattr(module, name, AnySizeNorm(child))
        elif not (isinstance(child, nn.BatchNorm2d) and isinstance(module, nn.Sequential)):
            _fold(child)
        elif isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
            weight, bias = folded(conv, child)
            assert bias is not None
            conv.weight, conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
            setattr(module, name, nn.Identity())
        before = child


def to_onnx(
    module: nn.Module, example: tuple[Tensor, ...], shapes: tuple[dict[int, Any], ...], inputs: Sequence[str],
    outputs: Sequence[str],
) -> "onnx.ModelProto":  # fmt: skip
    """Return a module on the CPU as ONNX; `shapes` are the free sides of each input, as `torch.export` takes them."""
    with torch.no_grad(), _quiet():
        exported = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
        program = torch.onnx.export(
            exported, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET, dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    made: onnx.ModelProto = program.model_proto
    for graph in graphs_in(made.graph):
        for node in graph.node:
            del node.metadata_props[:]  # lines of source code, which no program needs
            node.doc_string = ""
    return made


@torch.no_grad()
def network_graph(backbone: nn.Module, channels: int, multiple: int) -> "onnx.ModelProto":
    """Return a trained network as ONNX, from `seen`, N, `channels`, h, w in multiples of `multiple`, to `maps`."""
    example = torch.zeros(2, channels, 2 * multiple, 3 * multiple)  # unlike sides, so that none is taken for fixed
    sides = {2 + place: multiple * torch.export.Dim(name, min=1) for place, name in enumerate(("rows", "columns"))}
    shapes: tuple[dict[int, Any], ...] = ({0: torch.export.Dim.DYNAMIC, **sides},)
    return to_onnx(portable(backbone).eval(), (example,), shapes, [SEEN], [MAPS])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's remarks on its own progress from the terminal."""
    # Torch copies its own trees so. A filter that stays is safe beside other threads, `catch_warnings` is not.
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def graphs_in(graph: "onnx.GraphProto") -> Iterator["onnx.GraphProto"]:
    """Yield a graph and the graphs of its loops and branches, at any depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_in(inner)


def halved(network: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return a network whose weights are stored in bfloat16 and widened when it is opened: half the file."""
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(network)
    widened = []
    for tensor in made.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or int(np.prod(tensor.dims)) < _LARGE:
            continue
        values = torch.from_numpy(numpy_helper.to_array(tensor).copy()).bfloat16()
        name, dims = tensor.name, list(tensor.dims)
        tensor.Clear()
        tensor.name, tensor.data_type = f"{name}.bf16", onnx.TensorProto.BFLOAT16
        tensor.dims.extend(dims)
        tensor.raw_data = values.view(torch.int16).numpy().tobytes()
        widened.append(helper.make_node("Cast", [f"{name}.bf16"], [name], f"{name}.wide", to=onnx.TensorProto.FLOAT))
    nodes = [*widened, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


class _Samples:
    """Inputs of a network for ONNX Runtime, which calibrates on them one by one."""

    def __init__(self, seen: Sequence[npt.NDArray[np.float32]]) -> None:
        self._waiting = iter(seen)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return the next input by its name; None after the last."""
        one = next(self._waiting, None)
        return None if one is None else {SEEN: one}


def quantised(network: "onnx.ModelProto", seen: Sequence[npt.NDArray[np.float32]]) -> "onnx.ModelProto":
    """Return a network whose convolutions compute in bytes; each channel of weights and each map has its own scale.

    `seen` are inputs of the network for images of its training, 1, C, h, w each, for calibration.
    """
    needs("onnxruntime", extra="export")
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    with tempfile.TemporaryDirectory(prefix="calco-int8-") as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        plain = onnx.ModelProto()
        plain.CopyFrom(network)
        add_pre_process_metadata(plain)  # otherwise it advises steps that change nothing here
        onnx.save(plain, before)
        quantize_static(
            before, after, _Samples(seen), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=False,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(after)


def write_openvino(graph: "onnx.ModelProto", path: Path, description: str) -> None:
    """Write an ONNX graph as an OpenVINO model in a zip file, uncompressed, with the description in its `rt_info`."""
    needs("openvino", extra="openvino")
    import openvino

    model = openvino_core().read_model(graph.SerializeToString())
    model.set_rt_info(description, [KEY])
    with tempfile.TemporaryDirectory(prefix="calco-openvino-") as folder:
        try:
            openvino.save_model(model, Path(folder) / XML, compress_to_fp16=False)
        except RuntimeError as error:
            raise OSError(str(error).splitlines()[0]) from error
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            for name in (XML, BIN):
                file.write(Path(folder) / name, name)
