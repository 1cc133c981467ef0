"""ONNX files: the three parts written down one by one, and joined at tensors with names."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from calco.export.network import portable
from calco.export.parts import After, Before, image_channels
from calco.inference.graph_files import KEY, needs
from calco.inference.model import Translator
from calco.inference.runtimes import INPUT, MAPS, OUTPUT, PREPARED, SEEN
from calco.networks.generator import maps_drawn
from calco.version import __version__

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
    count = maps_drawn(generator.composition, generator.out_channels, generator.holes)
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
