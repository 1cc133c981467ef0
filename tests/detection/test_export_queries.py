"""Detectors of transformers as one file: the same answers, also where chance decides between equal queries."""

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from calco import imaging
from calco.detection import export
from calco.detection.export import Following, Whole, compare, export_loaded, expose_choices, onnx_of
from calco.detection.exported import BOXES, SCORES, open_detector, open_graph
from calco.detection.model import Detector, DetectorInfo
from calco.detection.network import DetectionNetwork, TargetObjects
from calco.detection.transformer import TransformerDetector, from_config, settings_of
from calco.errors import CalcoError
from support import requires

SMALL = {
    "backbone_config": {
        "model_type": "rt_detr_resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4,
        "layer_type": "basic", "out_features": ["stage2", "stage3", "stage4"],
    },
    "encoder_in_channels": [8, 16, 16], "decoder_in_channels": [16] * 3, "encoder_hidden_dim": 16, "d_model": 16,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_layers": 2, "num_queries": 12, "hidden_expansion": 0.5,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_denoising": 0,
}  # fmt: skip
SIDE = 64
SCORING, DECODING = "model.enc_score_head.weight", "model.decoder.layers.1.self_attn.v_proj.weight"
Graph = Any


def spread(kind: str) -> TransformerDetector:
    """A small network whose weights are drawn so wide that places, scores and boxes differ clearly.

    As transformers draws them, all places of an image score alike to the last digit.
    """
    torch.manual_seed(0)
    built: Any = from_config(kind, SMALL, 2)
    for part in built.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
        elif isinstance(part, nn.Linear):
            nn.init.xavier_normal_(part.weight)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.normal_(part.bias, std=0.1)
    nn.init.normal_(built.model.enc_score_head.weight)
    for head in built.class_embed:
        nn.init.normal_(head.weight, std=0.7)
    for head in (*built.bbox_embed, built.model.enc_bbox_head):
        nn.init.normal_(head.layers[-1].weight, std=0.5)
    return TransformerDetector(kind, settings_of(built), 2, built)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(60, 90), (120, 80), (96, 96), (50, 60), (64, 64)]):
        coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
        imaging.write(folder / f"{number}.png", imaging.resize(coarse, (width, height)))
    return folder


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.slow) for kind in ("rt_detr_v2", "d_fine")]
)
def both(request: pytest.FixtureRequest) -> tuple[Detector, Graph]:
    """A model, and its graph: writing that down takes most of the time."""
    requires(find_spec("transformers"), "transformers", "pip install 'calco[detect]'")
    requires(find_spec("onnxruntime") and find_spec("onnxscript"), "ONNX", "pip install 'calco[export]'")
    network = spread(request.param)
    info = DetectorInfo(
        architecture=request.param, settings=settings_of(network.model), classes=("dog", "cat"), size=SIDE
    )
    model = Detector(info, network)
    return model, onnx_of(model)


@pytest.fixture
def write(
    both: tuple[Detector, Graph], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, str]]:
    """Exports the model with a graph of it that is at hand: the file, and what was said."""

    def written(graph: Graph, to: str = "onnx", model: Detector = both[0]) -> tuple[Path, str]:
        monkeypatch.setattr(export, "onnx_of", lambda _detector: graph)
        path = tmp_path / ("dogs.onnx" if to == "onnx" else "dogs.zip")
        done = export_loaded(model, to, path, images)
        return done.path, done.said[0]

    return written


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_queries_answer_as_the_model_does(
    both: tuple[Detector, Graph], write: Callable[..., tuple[Path, str]], images: Path, to: str
) -> None:
    requires(to == "onnx" or find_spec("openvino"), "OpenVINO", "pip install 'calco[openvino]'")
    model, graph = both
    path, said = write(graph, to)
    assert "0 found by one alone" in said
    assert "chosen otherwise" not in said
    shown = [imaging.read(each) for each in imaging.list_images(images)]
    found = compare(model, open_detector(path), shown)
    assert found.near
    assert found.boxes > 50
    squares = np.random.default_rng(1).integers(0, 256, (5, 6, 6, 3), np.uint8)
    batch = np.stack([imaging.resize(each, (SIDE, SIDE)) for each in squares])
    file = open_graph(path, "onnxruntime" if to == "onnx" else "openvino")
    with torch.inference_mode():
        wanted = Whole(model.network, SIDE)(torch.from_numpy(batch))
    assert wanted[1].max() - wanted[1].min() > 0.5
    for count in (1, 2, 5):
        boxes, scores = file.tensors(batch[:count], (BOXES, SCORES))
        np.testing.assert_allclose(boxes, wanted[0][:count], atol=0.01)
        np.testing.assert_allclose(scores, wanted[1][:count], atol=1e-4)


def changed(both: tuple[Detector, Graph], name: str, share: float) -> Graph:
    """A copy of a graph of which one weight is multiplied; linear layers stand in it transposed, and without a name."""
    from onnx import numpy_helper

    model, graph = both
    weight = model.network.state_dict()[f"model.{name}"].numpy()
    made = type(graph)()
    made.CopyFrom(graph)
    hits = 0
    for tensor in made.graph.initializer:
        held = numpy_helper.to_array(tensor)
        if any(held.shape == one.shape and (held == one).all() for one in (weight, weight.T)):
            tensor.CopyFrom(numpy_helper.from_array(held * np.float32(share), tensor.name))
            hits += 1
    assert hits == 1
    return made


@pytest.mark.parametrize("part", [DECODING, "class_embed.1.weight", SCORING])
def test_a_graph_with_another_weight_is_refused(
    both: tuple[Detector, Graph], write: Callable[..., tuple[Path, str]], tmp_path: Path, part: str
) -> None:
    with pytest.raises(CalcoError, match="differs from its model, so no file is written"):
        write(changed(both, part, 1.2 if part != SCORING else -1.0))
    assert not list(tmp_path.iterdir())


def without_scores(both: tuple[Detector, Graph]) -> tuple[Detector, Graph]:
    """The same model and graph, but that all places score alike: which are looked at is left to chance."""
    model = both[0]
    network = spread(model.info.architecture)
    nn.init.zeros_(network.model.model.enc_score_head.weight)
    return Detector(model.info, network), changed(both, SCORING, 0.0)


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_equal_places_may_be_chosen_otherwise(
    both: tuple[Detector, Graph], write: Callable[..., tuple[Path, str]], to: str
) -> None:
    requires(to == "onnx" or find_spec("openvino"), "OpenVINO", "pip install 'calco[openvino]'")
    model, graph = without_scores(both)
    path, said = write(graph, to, model)
    assert "queries chosen otherwise, whose scores lie 0.000000 behind" in said
    assert path.is_file()


def test_equal_places_hide_no_other_weight(
    both: tuple[Detector, Graph], write: Callable[..., tuple[Path, str]]
) -> None:
    model, graph = without_scores(both)
    with pytest.raises(CalcoError, match="differs from its model, so no file is written"):
        write(changed((model, graph), DECODING, 1.2), "onnx", model)


def test_worse_places_are_no_choice(both: tuple[Detector, Graph], images: Path, tmp_path: Path) -> None:
    model = both[0]
    exposed, names = expose_choices(changed(both, SCORING, -1.0))
    assert len(names) == 1
    (tmp_path / "worst.onnx").write_bytes(exposed.SerializeToString())
    following = Following(model.network, open_graph(tmp_path / "worst.onnx", "onnxruntime"), names)
    Detector(model.info, following).many([imaging.read(each) for each in imaging.list_images(images)])
    assert following.otherwise > 20
    assert following.behind > 0.1


class Fixed(DetectionNetwork):
    """Finds the same in every image."""

    def __init__(self, scores: Sequence[float], places: Sequence[float]) -> None:
        super().__init__()
        self.scores = torch.tensor(scores).view(1, -1, 1)
        self.boxes = torch.tensor([(place, 0.5, 0.1, 0.1) for place in places])[None]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        count = len(images)
        return self.scores.logit().expand(count, -1, -1), self.boxes.expand(count, -1, -1)

    def losses(self, images: Tensor, objects: Sequence[TargetObjects]) -> dict[str, Tensor]:
        return {}

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())


@pytest.mark.parametrize(
    ("wanted", "found", "missing"),
    [
        ([(0.9, 0.2)], [(0.9, 0.2), (0.5, 0.7)], 1),  # far below the model's only box, and still one too many
        ([(0.9, 0.2), (0.5, 0.7)], [(0.9, 0.2)], 1),
        # Told by the one, and just below what is told by the other.
        ([(0.9, 0.2), (0.011, 0.7)], [(0.9, 0.2), (0.009, 0.7)], 0),
        # Of three boxes at most it does not matter which is the third of two that score alike.
        ([(0.9, 0.2), (0.4, 0.4), (0.3, 0.6), (0.2999, 0.8)], [(0.9, 0.2), (0.4, 0.4), (0.2999, 0.6), (0.3, 0.8)], 0),
        ([(0.9, 0.2), (0.4, 0.4), (0.3, 0.6), (0.2, 0.8)], [(0.9, 0.2), (0.4, 0.4), (0.31, 0.8), (0.2, 0.6)], 1),
    ],
)
def test_boxes_at_the_cut(wanted: list[tuple[float, float]], found: list[tuple[float, float]], missing: int) -> None:
    info = DetectorInfo(architecture="lite", classes=("dog",), size=64, most=3)
    one, two = (Detector(info, Fixed(*zip(*each, strict=True))) for each in (wanted, found))
    apart = compare(one, two, [np.zeros((64, 64, 3), np.uint8)])
    assert apart.missing == 2 * missing
    assert apart.near == (missing == 0)
