"""Detectors as one file: tried beside the model, and run in its place."""

import copy
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from calco import imaging
from calco.cli import main
from calco.detection import export
from calco.detection.config import DetectExportConfig
from calco.detection.export import compare, export_detector, export_loaded
from calco.detection.exported import describe, open_detector
from calco.detection.lite import LiteDetector
from calco.detection.model import Detector, DetectorInfo, load_detector, save_detector
from calco.detection.network import DetectionNetwork, TargetObjects
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.graphs import portable
from support import requires

INFO = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("dog", "cat"), size=96)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(60, 90), (120, 80), (96, 96)]):
        coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
        imaging.write(folder / f"{number}.png", imaging.resize(coarse, (width, height)))
    return folder


@pytest.fixture(scope="module")
def shown(images: Path) -> list[Image]:
    return [imaging.read(path) for path in imaging.list_images(images)]


def unsettled(network: nn.Module) -> None:
    """Norms far from their first state, as training leaves them."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            nn.init.normal_(part.running_mean, std=0.3)
            nn.init.uniform_(part.running_var, 0.3, 1.5)
        if isinstance(part, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.uniform_(part.weight, 0.6, 1.4)
            nn.init.normal_(part.bias, std=0.3)


@pytest.fixture(scope="module")
def compact() -> LiteDetector:
    """The compact detector, with scores from 0 to 1; writing its graph down takes half a minute."""
    torch.manual_seed(0)
    network = LiteDetector(2, width=16, depth=1)
    unsettled(network)
    nn.init.normal_(network.classes.weight, std=0.3)
    nn.init.normal_(network.edges.weight, std=0.05)
    return network.eval()


class Small(DetectionNetwork):
    """A detector of one convolution, its norm and two heads, whose graph is written down at once."""

    overlapping = True

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 16, 16, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.classes, self.edges = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.body(images)
        boxes = self.edges(seen).flatten(2).transpose(1, 2).sigmoid()
        return self.classes(seen).flatten(2).transpose(1, 2), boxes * torch.tensor([1.0, 1.0, 0.2, 0.2])

    def losses(self, images: Tensor, objects: Sequence[TargetObjects]) -> dict[str, Tensor]:
        return {}

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())


@pytest.fixture(scope="module")
def model() -> Detector:
    torch.manual_seed(0)
    network = Small()
    unsettled(network)
    nn.init.normal_(network.classes.weight, std=1.0)
    nn.init.normal_(network.edges.weight, std=1.0)
    return Detector(INFO, network.eval())


@pytest.fixture(scope="module")
def saved(compact: LiteDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    save_detector(folder, INFO, compact)
    return folder


@pytest.fixture(scope="module")
def onnx_file(model: Detector, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    requires(find_spec("onnxruntime") and find_spec("onnxscript"), "ONNX", "pip install 'calco[export]'")
    path = tmp_path_factory.mktemp("exported") / "dogs.onnx"
    export_loaded(model, "onnx", path, images, "CC0")
    return path


def test_the_file_finds_what_the_model_finds(model: Detector, onnx_file: Path, shown: list[Image]) -> None:
    file = open_detector(onnx_file)
    found = compare(model, file, shown)
    assert found.near
    assert found.boxes > 10
    objects = [each for each in model.many(shown, threshold=0.0) if each.scores is not None]
    scores = np.concatenate([each.scores for each in objects])
    assert scores.max() - scores.min() > 0.2
    assert (file.classes, file.threshold) == (model.classes, model.threshold)


def test_the_file_tells_what_it_is(onnx_file: Path) -> None:
    description = describe(onnx_file)
    assert description.info == INFO
    assert description.licence == "CC0"
    assert description.overlapping
    assert description.compared["images"] == 3
    mask = os.umask(0)
    os.umask(mask)
    assert onnx_file.stat().st_mode & 0o777 == 0o666 & ~mask


def test_other_programs_run_it(onnx_file: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file.read_bytes(), providers=["CPUExecutionProvider"])
    meta = json.loads(session.get_modelmeta().custom_metadata_map["calco"])
    assert meta["model"]["classes"] == ["dog", "cat"]
    for count in (1, 3):
        boxes, scores = session.run(["boxes", "scores"], {"images": np.zeros((count, 96, 96, 3), np.uint8)})
        assert boxes.shape == (count, scores.shape[1], 4)
        assert scores.shape[2] == 2
        assert (scores >= 0).all()
        assert (scores <= 1).all()


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_openvino_runs_it_too(model: Detector, onnx_file: Path, shown: list[Image], precision: str) -> None:
    requires(find_spec("openvino"), "OpenVINO", "pip install 'calco[openvino]'")
    file = open_detector(onnx_file, runtime="openvino", precision=precision)
    if precision == "auto":
        assert compare(model, file, shown).near
    else:
        assert sum(map(len, file.many(shown))) > 0


@pytest.fixture
def graph(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph that is made already: writing it down takes most of the time."""
    import onnx

    monkeypatch.setattr(export, "onnx_of", lambda _detector: onnx.load(onnx_file))


@pytest.mark.usefixtures("graph")
def test_openvino_has_a_file_of_its_own(model: Detector, images: Path, shown: list[Image], tmp_path: Path) -> None:
    requires(find_spec("openvino"), "OpenVINO", "pip install 'calco[openvino]'")
    done = export_loaded(model, "openvino", tmp_path / "dogs.zip", images)
    assert "0 found by one alone" in done.said[0]
    assert compare(model, open_detector(tmp_path / "dogs.zip"), shown).near


def test_predict_takes_it(onnx_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["detect", "predict", str(onnx_file), str(images), "--out", str(tmp_path / "out")]
    main([*words, "--format", "jsonl", "csv", "--threshold", "0.3"])
    rows = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert any(row["detections"] for row in rows)
    assert "3 images processed" in capsys.readouterr().err


def test_folded_norms_leave_all_they_did(compact: LiteDetector, shown: list[Image]) -> None:
    squares = torch.stack([torch.from_numpy(imaging.resize(each, (96, 96))).permute(2, 0, 1) for each in shown])
    images = squares.float() / 127.5 - 1
    with torch.inference_mode():
        (wanted, where), (named, boxes) = compact(images), portable(compact)(images)
    assert wanted.sigmoid().max() - wanted.sigmoid().min() > 0.5
    torch.testing.assert_close(named, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(boxes, where, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_the_verb_writes_the_compact_detector_and_prints_the_comparison(
    saved: Path, images: Path, shown: list[Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lite.onnx"
    main(["detect", "export", str(saved), "--out", str(out), "--images", str(images)])
    assert "0 found by one alone" in " ".join(capsys.readouterr().err.split())
    plain = load_detector(saved, device="cpu", precision="fp32")
    found = compare(plain, open_detector(out), shown)
    assert found.near
    assert found.boxes > 10
    requires(find_spec("openvino"), "OpenVINO", "pip install 'calco[openvino]'")
    assert compare(plain, open_detector(out, runtime="openvino", precision="fp32"), shown).near


@pytest.mark.usefixtures("graph")
def test_an_export_that_differs_is_not_written(model: Detector, images: Path, tmp_path: Path) -> None:
    other = Detector(INFO, copy.deepcopy(model.network))
    other.network.classes.weight.data.mul_(1.2)
    with pytest.raises(CalcoError, match="differs from its model, so no file is written"):
        export_loaded(other, "onnx", tmp_path / "a.onnx", images)
    assert not (tmp_path / "a.onnx").exists()


def test_a_file_that_finds_less_is_seen(model: Detector, shown: list[Image]) -> None:
    assert compare(model, model, shown).near
    assert compare(model, Detector(replace(INFO, most=3), model.network), shown).missing > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "a.onnx"}, "is an exported model already"),
        ({"out": "a.zip"}, "onnx is written as .onnx"),
        ({"images": None}, "does not record its training images"),
        ({"images": "EMPTY"}, "holds no image"),
    ],
)
def test_exports_that_cannot_be(saved: Path, images: Path, tmp_path: Path, options: dict[str, str | None],
                                said: str) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    chosen = {"model": str(saved), "out": str(tmp_path / "a.onnx"), "images": str(images), **options}
    if chosen["images"] == "EMPTY":
        chosen["images"] = str(tmp_path / "empty")
    with pytest.raises(CalcoError, match=said):
        export_detector(
            DetectExportConfig(model=str(chosen["model"]), out=chosen["out"] or "", images=chosen["images"] or "")
        )


def test_what_cannot_be_opened_is_one_line(saved: Path, onnx_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(onnx_file.read_bytes()[:5000])
    for given, options, said in (
        (cut, {}, "cannot be used"),
        (tmp_path / "no.onnx", {}, "cannot read"),
        (onnx_file, {"device": "cuda"}, "runs on the CPU; name the model.s folder for another device"),
        (onnx_file, {"runtime": "torch"}, "onnxruntime or openvino"),
        (onnx_file, {"precision": "bf16"}, "computes .* in fp32"),
        (saved, {"runtime": "openvino"}, "make one: calco detect export"),
    ):
        with pytest.raises(CalcoError, match=said) as error:
            open_detector(given, **options)
        assert "\n" not in str(error.value)


def test_damaged_graphs_are_one_line(onnx_file: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    def written(name: str, change: Callable[[Any], object]) -> Path:
        model = onnx.load(onnx_file)
        change(model)
        (tmp_path / name).write_bytes(model.SerializeToString())
        return tmp_path / name

    told = {each.key: each.value for each in onnx.load(onnx_file).metadata_props}["calco"]
    smaller = json.dumps(json.loads(told) | {"model": json.loads(told)["model"] | {"size": 64}})
    for change, said in (
        (lambda model: setattr(model.graph.node[3], "op_type", "Nonsense"), "a.onnx cannot be used: .*Nonsense"),
        (lambda model: setattr(model.graph.output[0], "name", "other"), "a.onnx cannot be used: "),
        (lambda model: model.graph.output.pop(0), "a.onnx cannot be used: its graph has no boxes; export"),
        (lambda model: helper.set_model_props(model, {"calco": smaller}), "squares of 96 pixels .* says 64"),
    ):
        path = written("a.onnx", change)
        for runtime in ("onnxruntime", "openvino"):
            if runtime == "openvino" and "Nonsense" in said:  # it says less
                continue
            with pytest.raises(CalcoError, match=said if runtime == "onnxruntime" else said.split(".*")[0]) as error:
                open_detector(path, runtime=runtime)
            assert "\n" not in str(error.value)


def test_translate_says_that_it_is_a_detector(onnx_file: Path) -> None:
    from calco.inference.translator import describe as describe_translator

    with pytest.raises(CalcoError, match="calco detect predict takes it"):
        describe_translator(onnx_file)
