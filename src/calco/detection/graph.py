"""A detector as a graph for other programs: ONNX, from bytes to boxes in pixels and scores."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from calco.detection.exported import BOXES, INPUT, SCORES
from calco.detection.model import Detector
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError
from calco.export.graph import OPSET, portable, silent

if TYPE_CHECKING:
    import onnx

_CHECKS: Final = "TRANSFORMERS_DISABLE_TORCH_CHECK"


class Whole(nn.Module):
    """A detector from bytes to boxes in pixels and scores.

    Args:
        network: What it is made of.
        size: The side of the square, pixels.
    """

    def __init__(self, network: DetectionNetwork, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """N, S, S, 3 `uint8` => boxes N, Q, 4 (left, top, right, bottom in pixels) and scores N, Q, C."""
        logits, boxes = self.network(images.permute(0, 3, 1, 2).float() / 127.5 - 1)
        middle, half = boxes[..., :2] * self.size, boxes[..., 2:] * (self.size / 2)
        return torch.cat([middle - half, middle + half], -1), logits.sigmoid()


def onnx_of(detector: Detector) -> "onnx.ModelProto":
    """A detector as ONNX; the number of images is free, their side is that of the training.

    Raises:
        CalcoError: When its network cannot be written as ONNX.
    """
    size = detector.info.size
    whole = Whole(portable(detector.network), size).eval()  # type: ignore[arg-type]
    example = torch.full((2, size, size, 3), 114, dtype=torch.uint8)
    with torch.no_grad(), silent(), _free_lengths(whole):
        try:
            exported = torch.export.export(
                whole, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
            )
            program = torch.onnx.export(
                exported, input_names=[INPUT], output_names=[BOXES, SCORES], opset_version=OPSET, dynamo=True,
                external_data=False, verbose=False,
            )  # fmt: skip
        except Exception as error:  # torch raises what it likes
            reason = " ".join(str(error).split())[:200]
            raise CalcoError(
                f"the {detector.info.architecture} detector cannot be written as ONNX ({reason}); use its folder"
            ) from error
    assert program is not None
    made: onnx.ModelProto = program.model_proto
    for node in made.graph.node:
        del node.metadata_props[:]  # lines of source code, by which nobody is served
        node.doc_string = ""
    return made


@contextlib.contextmanager
def _free_lengths(network: nn.Module) -> Iterator[None]:
    """Has the code of a network's modules take the length of a tensor from its shape.

    `len` must give a number, so while a graph is written down it would fix the number of images; transformers asks
    for it. A name in a module comes before the built-in one, in that module alone.
    """
    names = {type(part).__module__ for part in network.modules()}
    modules = [vars(sys.modules[name]) for name in names if name.startswith("transformers.models.")]
    changed = [module for module in modules if "len" not in module]
    before = os.environ.get(_CHECKS)
    os.environ[_CHECKS] = "1"  # its checks of shapes would become nodes that ONNX does not know
    for module in changed:
        module["len"] = lambda what: what.shape[0] if isinstance(what, Tensor) else len(what)
    try:
        yield
    finally:
        for module in changed:
            del module["len"]
        if before is None:
            del os.environ[_CHECKS]
        else:
            os.environ[_CHECKS] = before
