"""Which queries an exported detector has chosen, and what its model says when it is given the same ones.

Two-stage detectors (RT-DETR, D-FINE) look at the whole image first and go on with the places that score best, some
hundred of them. Where places score alike, rounding decides between them, and two programs that are both right go on
with different ones. So a file that seems to differ from its model is asked for its choice: that must be one that the
model could have made, and from there on both must find the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from calco.detection.exported import Graph, squares_of
from calco.detection.network import DetectionNetwork, TargetObjects
from calco.errors import CalcoError

if TYPE_CHECKING:
    import onnx

TIE: Final = 0.001
"""How far behind the last of the best, in what they are sorted by, a place may lie and still be one of them."""
_NAME: Final = "chosen."


def telling_choices(graph: "onnx.ModelProto") -> "tuple[onnx.ModelProto, dict[int, str]]":
    """A copy of a graph that also tells which places it chooses.

    Returns:
        The copy, and for each choice that the graph goes on with its place among all sortings and its output's name.
    """
    import onnx
    from onnx import helper

    made = onnx.ModelProto()
    made.CopyFrom(graph)
    used = {name for node in made.graph.node for name in node.input if name}
    sorts = [node for node in made.graph.node if node.op_type == "TopK"]
    told = {place: f"{_NAME}{place}" for place, node in enumerate(sorts) if node.output[1] in used}
    for place, name in told.items():
        made.graph.node.append(helper.make_node("Identity", [sorts[place].output[1]], [name]))
        made.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None))
    return made, told


class Following(DetectionNetwork):
    """A model that goes on with what an exported file of it has chosen.

    Args:
        network: The model's.
        graph: The file, which tells its choices.
        told: As of `telling_choices`.

    Attributes:
        otherwise: How many places the file has chosen that the model would not have.
        behind: How far the worst of its choices lies behind the last of the best; infinite for what is no choice.
    """

    def __init__(self, network: DetectionNetwork, graph: Graph, told: Mapping[int, str]) -> None:
        super().__init__()
        self.network, self.overlapping = network, network.overlapping
        self._graph, self._told = graph, dict(told)
        self.otherwise, self.behind = 0, 0.0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `DetectionNetwork.forward`."""
        answers = self._graph.tensors(squares_of(images), list(self._told.values()))
        given = {place: torch.from_numpy(np.int64(answer)) for place, answer in zip(self._told, answers, strict=True)}
        with _Given(given) as choice:
            answer: tuple[Tensor, Tensor] = self.network(images)
        self.otherwise += choice.otherwise
        self.behind = max(self.behind, choice.behind if choice.taken == len(given) else float("inf"))
        return answer

    def losses(self, images: Tensor, objects: Sequence[TargetObjects]) -> dict[str, Tensor]:  # noqa: ARG002
        """It does not learn."""
        raise CalcoError("a model beside its file does not learn; train the model alone")

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """The network's."""
        return self.network.backbone_parameters()


class _Given(TorchDispatchMode):
    """Has `topk` answer with places that are given, and notes how good they are."""

    def __init__(self, given: Mapping[int, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._given, self._seen = given, 0
        self.taken, self.otherwise, self.behind = 0, 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func is not torch.ops.aten.topk.default:
            return answer
        place, self._seen = self._seen, self._seen + 1
        return self._judged(args[0], answer, self._given[place], *args[2:3]) if place in self._given else answer

    def _judged(self, values: Tensor, own: Any, places: Tensor, dim: int = -1) -> Any:
        best, mine = own
        self.taken += 1
        if places.shape != mine.shape or not _differ(places, dim, values.shape[dim]):
            self.behind = float("inf")
            return own
        chosen = values.gather(dim, places)
        last, worst = best.amin(dim), chosen.amin(dim)
        gap = torch.where(worst == last, 0, (last - worst) / last.abs().clamp(min=1))
        self.behind = max(self.behind, float(gap.nan_to_num(nan=float("inf")).max()))
        self.otherwise += int((~_within(places, mine, dim)).sum())
        return chosen, places


def _differ(places: Tensor, dim: int, count: int) -> bool:
    """Whether places are such of a line of `count`, and none stands there twice."""
    line = places.sort(dim).values.movedim(dim, -1)
    return bool((line >= 0).all() and (line < count).all() and (line[..., 1:] > line[..., :-1]).all())


def _within(some: Tensor, others: Tensor, dim: int) -> Tensor:
    """Which of some places are among others."""
    one, two = some.movedim(dim, -1), others.movedim(dim, -1)
    return (one[..., :, None] == two[..., None, :]).any(-1)
