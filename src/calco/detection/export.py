"""`calco detect export`: a detector as one file, compared with the model on real images before it gets its name.

Two-stage detectors (RT-DETR, D-FINE) look at the whole image first and continue with the places that score best, some
hundred of them: the queries. Where places score alike, rounding decides between them, and two correct programs may
choose different ones. So a file that seems to differ from its model is asked for its choice: it must be one that the
model could have made, and from there on both must find the same.
"""

import contextlib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from calco import imaging
from calco.annotations.detections import Detections
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.detection.config import DetectExportConfig
from calco.detection.exported import (
    BOXES,
    EXPORT_FORMAT,
    INPUT,
    SCORES,
    Description,
    Graph,
    load_exported,
    open_graph,
    squares_of,
)
from calco.detection.model import Detector, detector_folder, load_detector
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError
from calco.export.graph import (
    Comparison,
    Exported,
    export_graph,
    named_images,
    target_path,
    training_images,
    write,
)
from calco.imaging import Image
from calco.inference.graphs import portable, to_onnx
from calco.outputs import writing_file
from calco.records import to_record
from calco.version import __version__

if TYPE_CHECKING:
    import onnx

Kind: TypeAlias = Literal["onnx", "openvino"]
COMPARED: Final = 8
"""Number of images on which file and model are compared."""
_CHECKS: Final = "TRANSFORMERS_DISABLE_TORCH_CHECK"
LEAST: Final = 0.01
"""Lowest score of the boxes that are compared."""
SCORE_TOLERANCE, BOX_TOLERANCE = 0.002, 0.25
"""Largest differences of scores, and of edges in pixels of the square."""
TIE: Final = 0.001
"""Largest distance of a chosen place behind the last of the best, in the values that they are sorted by."""
_NAME: Final = "chosen."


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Differences between a file and its model."""

    images: int  # number of images, each given to both alone and together with the others
    boxes: int  # number of boxes of the model
    missing: int  # boxes that only one of them found, though they score clearly enough
    score: float  # largest difference of two scores
    edge: float  # largest difference of two edges, in pixels of the square
    otherwise: int = 0  # queries that the file chose differently; the model then continued with the file's
    tie: float = 0.0  # largest distance of those behind the model's own choice

    def words(self) -> str:
        """Describe the differences in one sentence."""
        text = (
            f"{self.images} images given to both, alone and together: {self.boxes} boxes, {self.missing} found "
            f"by one alone; largest difference of scores {self.score:.5f} (tolerance {SCORE_TOLERANCE}), of edges "
            f"{self.edge:.4f} pixels (tolerance {BOX_TOLERANCE})"
        )
        if self.otherwise:
            text += (
                f"; {self.otherwise} queries chosen otherwise, whose scores lie {self.tie:.6f} behind those of the "
                f"model's own (tolerance {TIE})"
            )
        return text

    @property
    def near(self) -> bool:
        """Tell whether the differences are within the tolerance."""
        return not self.missing and self.score <= SCORE_TOLERANCE and self.edge <= BOX_TOLERANCE and self.tie <= TIE


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


def compare(model: Detector, file: Detector, images: Sequence[Image]) -> Compared:
    """Compare the boxes of both on HWC images, given one by one and all together."""
    wanted, found = (
        [*(one(image, threshold=LEAST) for image in images), *one.many(images, threshold=LEAST)]
        for one in (model, file)
    )
    scales = [model.info.size / max(image.shape[:2]) for image in images]
    missing, score, edge = np.array([
        _apart(one, two, scale, model.info.most)
        for one, two, scale in zip(wanted, found, [*scales, *scales], strict=True)
    ]).reshape(-1, 3).T  # fmt: skip
    return Compared(
        images=len(images), boxes=sum(map(len, wanted[: len(images)])), missing=int(missing.sum()),
        score=float(score.max(initial=0.0)), edge=float(edge.max(initial=0.0)),
    )  # fmt: skip


def _apart(one: Detections, two: Detections, scale: float, most: int) -> tuple[int, float, float]:
    """Return the number of boxes without a partner, and the largest differences of scores and edges of the others."""
    score, edge = 0.0, 0.0
    assert one.scores is not None
    assert two.scores is not None
    taken, free = np.zeros(len(one), np.bool_), np.ones(len(two), np.bool_)
    for i in range(len(one)):
        away = np.abs(two.boxes - one.boxes[i]).max(1) * scale if len(two) else np.zeros(0)
        fits = free & (np.array(two.classes) == one.classes[i]) & (away <= 4 * BOX_TOLERANCE)
        if not fits.any():
            continue
        # Queries of one object may lie on each other: the one of the same score is meant.
        order = np.where(fits, np.abs(two.scores - one.scores[i]), np.inf)
        j = int(order.argmin())
        taken[i], free[j] = True, False
        score, edge = max(score, float(order[j])), max(edge, float(away[j]))
    lone = int(
        (one.scores[~taken] > _sure(two.scores, most)).sum() + (two.scores[free] > _sure(one.scores, most)).sum()
    )
    return lone, score, edge


def _sure(scores: npt.NDArray[np.float32], most: int) -> float:
    """Return the score from which on a box must be in a list: a full list ends with its last one."""
    last = max(LEAST, float(scores.min())) if len(scores) >= most else LEAST
    return last + 2 * SCORE_TOLERANCE


def expose_choices(graph: "onnx.ModelProto") -> "tuple[onnx.ModelProto, dict[int, str]]":
    """Return a copy of a graph with its chosen places as outputs.

    The second value gives, for each choice that the graph continues with, its number among all sortings and the name
    of the output.
    """
    import onnx
    from onnx import helper

    made = onnx.ModelProto()
    made.CopyFrom(graph)
    used = {name for node in made.graph.node for name in node.input if name}
    sorts = [node for node in made.graph.node if node.op_type == "TopK"]
    names = {place: f"{_NAME}{place}" for place, node in enumerate(sorts) if node.output[1] in used}
    for place, name in names.items():
        made.graph.node.append(helper.make_node("Identity", [sorts[place].output[1]], [name]))
        made.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None))
    return made, names


class Following(DetectionNetwork):
    """A model that continues with the places that an exported file of it has chosen, named by `expose_choices`.

    `otherwise` is the number of places that the model would not have chosen, `behind` the distance of the worst choice
    behind the last of the best; infinite for what is not a choice.
    """

    def __init__(self, network: DetectionNetwork, graph: Graph, names: Mapping[int, str]) -> None:
        super().__init__()
        self.network, self.overlapping = network, network.overlapping
        self._graph, self._names = graph, dict(names)
        self.otherwise, self.behind = 0, 0.0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `DetectionNetwork.forward`."""
        answers = self._graph.tensors(squares_of(images), list(self._names.values()))
        given = {place: torch.from_numpy(np.int64(answer)) for place, answer in zip(self._names, answers, strict=True)}
        with _Given(given) as choice:
            answer: tuple[Tensor, Tensor] = self.network(images)
        self.otherwise += choice.otherwise
        self.behind = max(self.behind, choice.behind if choice.taken == len(given) else float("inf"))
        return answer


class _Given(TorchDispatchMode):
    """Makes `topk` return given places, and measures how good they are."""

    def __init__(self, given: Mapping[int, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._given, self._seen = given, 0
        self.taken, self.otherwise, self.behind = 0, 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func is not torch.ops.aten.topk.default:
            return answer
        place, self._seen = self._seen, self._seen + 1
        return self._replace(args[0], answer, self._given[place], *args[2:3]) if place in self._given else answer

    def _replace(self, values: Tensor, own: Any, places: Tensor, dim: int = -1) -> Any:
        best, mine = own
        self.taken += 1
        line = places.sort(dim).values.movedim(dim, -1)
        inside = (line >= 0).all() and (line < values.shape[dim]).all()
        if places.shape != mine.shape or not (inside and (line[..., 1:] > line[..., :-1]).all()):
            self.behind = float("inf")  # outside, or one place twice
            return own
        chosen = values.gather(dim, places)
        last, worst = best.amin(dim), chosen.amin(dim)
        gap = torch.where(worst == last, 0, (last - worst) / last.abs().clamp(min=1))
        self.behind = max(self.behind, float(gap.nan_to_num(nan=float("inf")).max()))
        shared = places.movedim(dim, -1)[..., :, None] == mine.movedim(dim, -1)[..., None, :]
        self.otherwise += int((~shared.any(-1)).sum())
        return chosen, places
