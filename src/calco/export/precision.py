"""Networks in fewer bits: weights in bfloat16, or weights and maps in bytes."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from calco.inference.graph_files import needs
from calco.inference.runtimes import SEEN

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
