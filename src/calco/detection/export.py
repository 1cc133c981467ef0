"""`calco detect export`: a detector as one file, compared with the model on real images before it gets its name."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from calco import imaging
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.detection.comparing import Compared, Following, compare, expose_choices
from calco.detection.config import DetectExportConfig
from calco.detection.exported import (
    BOXES,
    EXPORT_FORMAT,
    INPUT,
    SCORES,
    Description,
    load_exported,
    open_graph,
)
from calco.detection.model import Detector, detector_folder, load_detector
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError
from calco.export.exporter import Comparison, Exported, export_graph, named_images, target_path, training_images, write
from calco.export.graph import portable, to_onnx
from calco.imaging import Image
from calco.outputs import writing_file
from calco.records import to_record
from calco.version import __version__

if TYPE_CHECKING:
    import onnx

Kind: TypeAlias = Literal["onnx", "openvino"]
COMPARED: Final = 8
"""Number of images on which file and model are compared."""
_CHECKS: Final = "TRANSFORMERS_DISABLE_TORCH_CHECK"


def export_detector(config: DetectExportConfig) -> Exported[Description]:
    """Write a detector as one file, from bytes to boxes and scores, with its description.

    File and detector are compared on real images; the file gets its name only when both find the same.

    Args:
        config: Detector, format and options.

    Returns:
        The file, its description, and how far both lie apart.

    Raises:
        CalcoError: When the model or the images cannot be used, a library is missing, the file cannot be written, or
            the two find other objects.
    """
    path = target_path(config.model, config.to, config.out, detector_folder)
    with writing_file(path, "calco detect export"):
        detector = load_detector(config.model, device="cpu", precision="fp32")
        return export_loaded(detector, config.to, path, config.images or None, config.licence)


def export_loaded(
    detector: Detector, to: Kind, path: Path, images: str | Path | None = None, licence: str = ""
) -> Exported[Description]:
    """Export a detector that is loaded already: on the CPU, in fp32."""
    shown, where = examples(detector, images)
    description = Description(
        format=EXPORT_FORMAT, calco=__version__, model=to_record(detector.info), licence=licence,
        overlapping=detector.network.overlapping,
    )  # fmt: skip
    graph = onnx_of(detector)

    def compared(trial: Path) -> Comparison:
        apart = compare(detector, load_exported(trial), shown)
        if not apart.near:
            apart = _compare_choices(detector, trial, to, graph, description, shown) or apart
        return Comparison(near=apart.near, words=apart.words(), record=asdict(apart))

    return export_graph(path, to, graph, description, compared, where)


def _compare_choices(
    detector: Detector, trial: Path, to: Kind, graph: "onnx.ModelProto", description: Description,
    images: Sequence[Image],
) -> Compared | None:  # fmt: skip
    """Compare a file with its model again, which continues with the queries that the file has chosen.

    Returns None if the graph chooses no queries, or some that no sorting could choose.
    """
    exposed, names = expose_choices(graph)
    if not names:
        return None
    path = trial.with_name(f"choices{trial.suffix}")
    write(path, to, exposed, description)
    following = Following(detector.network, open_graph(path, "onnxruntime" if to == "onnx" else "openvino"), names)
    found = compare(Detector(detector.info, following), load_exported(trial), images)
    apart = replace(found, otherwise=following.otherwise, tie=following.behind)
    return apart if math.isfinite(apart.tie) else None


def examples(detector: Detector, images: str | Path | None) -> tuple[list[Image], str]:
    """Return images for the comparison, of a folder or held-out ones of the training, and their name in words."""
    if images is not None:
        found = named_images(images, COMPARED)
        return [imaging.read(path) for path in found], f"{len(found)} images of {images}"
    info = detector.info
    with training_images(info.provenance) as root:
        source = open_source(root, info.source)
        splits = split_items(source.items, info.split)
        kept = (splits["test"] or splits["val"] or splits["train"])[:COMPARED]
        return [source.load(item).image for item in kept], f"{len(kept)} images of {root} that were kept apart"


class Whole(nn.Module):
    """A detector from bytes to boxes in pixels and scores, on squares of `size` pixels."""

    def __init__(self, network: DetectionNetwork, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """N, S, S, 3 `uint8` => boxes N, Q, 4 (left, top, right, bottom in pixels) and scores N, Q, C."""
        logits, boxes = self.network(images.permute(0, 3, 1, 2).float() / 127.5 - 1)
        middle, half = boxes[..., :2] * self.size, boxes[..., 2:] * (self.size / 2)
        return torch.cat([middle - half, middle + half], -1), logits.sigmoid()


def onnx_of(detector: Detector) -> "onnx.ModelProto":
    """Return a detector as ONNX; the number of images is free, their side is that of the training."""
    size = detector.info.size
    whole = Whole(portable(detector.network), size).eval()  # type: ignore[arg-type]
    example = torch.full((2, size, size, 3), 114, dtype=torch.uint8)
    with _free_lengths(whole):
        try:
            return to_onnx(whole, (example,), ({0: torch.export.Dim.DYNAMIC},), [INPUT], [BOXES, SCORES])
        except Exception as error:  # torch has no common class of errors
            reason = " ".join(str(error).split())[:200]
            raise CalcoError(
                f"the {detector.info.architecture} detector cannot be written as ONNX ({reason}); use its folder"
            ) from error


@contextlib.contextmanager
def _free_lengths(network: nn.Module) -> Iterator[None]:
    """Let the code of transformers take the length of a tensor from its shape while a graph is made.

    `len` must return a number, so it would fix the number of images. A name in a module comes before the built-in one,
    in that module alone.
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
