"""Comparison of an exported detector with its model.

Two-stage detectors (RT-DETR, D-FINE) look at the whole image first and continue with the places that score best, some
hundred of them: the queries. Where places score alike, rounding decides between them, and two correct programs may
choose different ones. So a file that seems to differ from its model is asked for its choice: it must be one that the
model could have made, and from there on both must find the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from calco.annotations.detections import Detections
from calco.detection.exported import Graph, InferenceNetwork, squares_of
from calco.detection.model import Detector
from calco.detection.network import DetectionNetwork
from calco.imaging import Image

if TYPE_CHECKING:
    import onnx

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


class Following(InferenceNetwork):
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
