"""ONNX files: the three parts written down one by one, and joined at tensors with names."""

import contextlib
import copy
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from calco.export.parts import After, Before, image_channels
from calco.inference.graph_files import BIN, KEY, XML, needs, openvino_core
from calco.inference.runtimes import INPUT, MAPS, OUTPUT, PREPARED, SEEN
from calco.inference.translator import Translator
from calco.networks.cpu.packed import folded
from calco.networks.efficientnet_lite import SameConv, for_even_sides
from calco.networks.generator import output_channels
from calco.networks.layers import InstanceNorm
from calco.version import __version__


class AnySizeNorm(nn.Module):
    """`InstanceNorm` whose rule for maps of one pixel holds at whatever size the graph is run, not only when made."""

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalises every map of NCHW `x`, but for maps of 1x1."""
        away = x - x.mean((2, 3), keepdim=True)
        count = torch.ones_like(x[:1, :1]).sum((2, 3), keepdim=True)
        return torch.where(count > 1, away * (away.square().mean((2, 3), keepdim=True) + self.eps).rsqrt(), x)


def portable(backbone: nn.Module) -> nn.Module:
    """A copy of a trained backbone for a graph: the same results, but for rounding.

    Args:
        backbone: On the CPU, in float32; it stays as it is.
    """
    made = copy.deepcopy(backbone).cpu().float().eval().requires_grad_(False)
    _fold(made)
    _fix(made)
    return made.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]


def _fold(module: nn.Module) -> None:
    before: nn.Module | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, InstanceNorm):
            setattr(module, name, AnySizeNorm(child))
        elif isinstance(child, nn.BatchNorm2d) and isinstance(module, nn.Sequential):
            conv = _convolution(before)
            if conv is not None:
                weight, bias = folded(conv, child)
                assert bias is not None
                conv.weight, conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
                setattr(module, name, nn.Identity())
        else:
            _fold(child)
        before = child


def _fix(module: nn.Module) -> None:
    """Gives convolutions that look at the size of their maps the border that all even sizes have."""
    for name, child in list(module.named_children()):
        if isinstance(child, SameConv):
            setattr(module, name, for_even_sides(child))
        else:
            _fix(child)


def _convolution(module: nn.Module | None) -> nn.Conv2d | nn.ConvTranspose2d | None:
    """The convolution that a module is, or ends in."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return module
    inner = getattr(module, "conv", None)
    return cast("nn.Conv2d | None", inner) if isinstance(inner, nn.Conv2d) else None


if TYPE_CHECKING:
    import onnx

Parts = dict[str, "onnx.ModelProto"]
OPSET: Final = 20


def onnx_parts(model: Translator) -> Parts:
    """The parts "before", "network" and "after" of a model.

    Raises:
        CalcoError: When a library is missing.
    """
    needs("onnx", "onnxscript", extra="export")
    before, network, after, image = torch_parts(model)
    multiple = model.generator.multiple
    with torch.no_grad(), silent():
        prepared, seen = before(image)
        maps = maps_like(model, seen)
        return {
            "before": _written(before, (image,), [INPUT], [PREPARED, SEEN], (1, 2)),
            "network": _written(network, (seen,), [SEEN], [MAPS], (2, 3), multiple),
            "after": _written(after, (prepared, maps), [PREPARED, MAPS], [OUTPUT], (2, 3)),
        }


def onnx_network(model: Translator) -> "onnx.ModelProto":
    """The network alone, from `seen` to `maps`, for who measures it.

    Raises:
        CalcoError: When a library is missing.
    """
    needs("onnx", "onnxscript", extra="export")
    before, network, _, image = torch_parts(model)
    with torch.no_grad(), silent():
        _, seen = before(image)
        return _written(network, (seen,), [SEEN], [MAPS], (2, 3), model.generator.multiple)


def torch_parts(model: Translator) -> tuple[nn.Module, nn.Module, nn.Module, Tensor]:
    """The parts as modules on the CPU, and images for an example, of odd sides: no size is taken for fixed."""
    info, generator = model.info, model.generator
    side = 2 * max(generator.multiple, 8)
    image = torch.full((2, side - 3, side + 3, image_channels(info)), 200, dtype=torch.uint8)
    image[:, ::2] = 60
    return Before(info, generator).eval(), portable(generator.backbone), After(info, generator).eval(), image


def maps_like(model: Translator, seen: Tensor) -> Tensor:
    """Maps such as the network draws of what it sees, all 0."""
    generator = model.generator
    count = output_channels(generator.composition, generator.out_channels, generator.holes)
    return seen.new_zeros(seen.shape[0], count, *seen.shape[2:])


def joined(parts: Parts, description: str) -> "onnx.ModelProto":
    """One model of the three parts, with what it is in its metadata."""
    import onnx
    from onnx import helper

    nodes, initializers = [], []
    for name, part in parts.items():
        graph = onnx.GraphProto()
        graph.CopyFrom(part.graph)
        _rename(graph, f"{name}/", {INPUT, PREPARED, SEEN, MAPS, OUTPUT})
        nodes += list(graph.node)
        initializers += list(graph.initializer)
    graph = helper.make_graph(
        nodes, "calco", list(parts["before"].graph.input), list(parts["after"].graph.output), initializers
    )
    opsets = {entry.domain: entry.version for part in parts.values() for entry in part.opset_import}
    whole = helper.make_model(
        graph,
        producer_name="Calco",
        producer_version=__version__,
        ir_version=min(10, *(part.ir_version for part in parts.values())),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
    )
    helper.set_model_props(whole, {KEY: description})
    onnx.checker.check_model(whole)
    return whole


def _rename(graph: "onnx.GraphProto", prefix: str, kept: set[str]) -> None:
    """Gives all values of a graph, and of the graphs in it, names that no other part has."""

    def named(name: str) -> str:
        return name if not name or name in kept else prefix + name

    del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = named(value.name)
    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
        del node.metadata_props[:]  # lines of source code, by which nobody is served
        node.doc_string = ""
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, prefix, kept)


def _written(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    sides: tuple[int, int],
    multiple: int = 0,
) -> "onnx.ModelProto":
    """A module as ONNX, whose number of images and whose two sides are free (or multiples of a number)."""
    free: Any = torch.export.Dim.DYNAMIC
    size: tuple[Any, Any] = (free, free)
    if multiple:
        size = (multiple * torch.export.Dim("rows", min=1), multiple * torch.export.Dim("columns", min=1))
    shapes = tuple({0: free, sides[0]: size[0], sides[1]: size[1]} for _ in example)
    exported = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
    program = torch.onnx.export(
        exported, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET, dynamo=True,
        external_data=False, verbose=False,
    )  # fmt: skip
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keeps what torch remarks on its own ways from the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


if TYPE_CHECKING:
    import onnx

_LARGE = 256  # numbers: smaller tensors stay as they are


def halved(network: "onnx.ModelProto") -> "onnx.ModelProto":
    """A network whose weights are kept in bfloat16, and widened when it is opened: half the file."""
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(network)
    widened = []
    for tensor in made.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or int(np.prod(tensor.dims)) < _LARGE:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float32)
        # To the nearest, halves to even.
        bits = values.view(np.uint32)
        words = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        name, dims = tensor.name, list(tensor.dims)
        tensor.Clear()
        tensor.name, tensor.data_type = f"{name}.bf16", onnx.TensorProto.BFLOAT16
        tensor.dims.extend(dims)
        tensor.raw_data = words.tobytes()
        widened.append(helper.make_node("Cast", [f"{name}.bf16"], [name], f"{name}.wide", to=onnx.TensorProto.FLOAT))
    nodes = [*widened, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def quantised(network: "onnx.ModelProto", seen: Sequence[npt.NDArray[np.float32]]) -> "onnx.ModelProto":
    """A network whose convolutions take bytes: each channel of weights and each map with a scale of its own.

    Args:
        network: In float32.
        seen: What the network sees of images of its training: 1, C, h, w each.
    """
    needs("onnxruntime", extra="export")
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.waiting = iter(seen)

        def get_next(self) -> dict[str, Any] | None:
            one = next(self.waiting, None)
            return None if one is None else {SEEN: one}

    with tempfile.TemporaryDirectory(prefix="calco-int8-") as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(network, before)
        logging.disable(logging.WARNING)  # it advises steps that change nothing here
        try:
            quantize_static(
                before, after, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=False,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
        finally:
            logging.disable(logging.NOTSET)
        return onnx.load(after)


def write_openvino(onnx: Path, path: Path, description: str) -> None:
    """Writes an ONNX file as an OpenVINO model.

    Args:
        onnx: The ONNX file, with its own description.
        path: The zip file; nothing in it is compressed, so that weights are read as they lie.
        description: What is put into its `rt_info`.
    """
    needs("openvino", extra="openvino")
    import openvino

    model = openvino_core().read_model(onnx)
    model.set_rt_info(description, [KEY])
    with tempfile.TemporaryDirectory(prefix="calco-openvino-") as folder:
        openvino.save_model(model, Path(folder) / XML, compress_to_fp16=False)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            for name in (XML, BIN):
                file.write(Path(folder) / name, name)
