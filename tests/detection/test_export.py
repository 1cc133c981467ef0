"""Detectors as one file: tried beside the model, and run in its place."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from calco import images
from calco.cli import main
from calco.detection import export
from calco.detection.export import compare, export_detector
from calco.detection.exported import describe
from calco.detection.lite import LiteDetector
from calco.detection.model import Detector, DetectorInfo, load_detector, save_detector
from calco.detection.opening import open_detector
from calco.errors import CalcoError
from support import requires

INFO = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("dog", "cat"), size=96)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(60, 90), (120, 80), (96, 96)]):
        coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
        images.write(folder / f"{number}.png", images.resize(coarse, (width, height)))
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of chance whose scores spread from 0 to 1."""
    torch.manual_seed(0)
    network = LiteDetector(2, width=16, depth=1)
    nn.init.normal_(network.classes.weight, std=0.3)
    assert network.classes.bias is not None
    nn.init.constant_(network.classes.bias, -1.0)
    folder = tmp_path_factory.mktemp("run") / "model"
    save_detector(folder, INFO, network)
    return folder


@pytest.fixture(scope="module")
def onnx_file(saved: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    requires(find_spec("onnxruntime") and find_spec("onnxscript"), "ONNX", "pip install 'calco[export]'")
    path = tmp_path_factory.mktemp("exported") / "dogs.onnx"
    export_detector(saved, "onnx", path, pictures=pictures, licence="CC0")
    return path


def test_the_file_finds_what_the_model_finds(saved: Path, onnx_file: Path, pictures: Path) -> None:
    model, file = load_detector(saved, device="cpu", precision="fp32"), open_detector(onnx_file)
    shown = [images.read(path) for path in images.list_pictures(pictures)]
    found = compare(model, file, shown)
    assert found.near
    assert found.boxes > 10
    scores = [float(score) for things in model.many(shown, threshold=0.0) for score in things.scores]  # type: ignore[union-attr]
    assert max(scores) > 0.5 > min(scores)
    assert (file.classes, file.threshold) == (model.classes, model.threshold)


def test_the_file_tells_what_it_is(onnx_file: Path) -> None:
    description = describe(onnx_file)
    assert description.info == INFO
    assert description.licence == "CC0"
    assert description.overlapping
    assert description.compared["pictures"] == 3


def test_other_programs_run_it(onnx_file: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file.read_bytes(), providers=["CPUExecutionProvider"])
    meta = json.loads(session.get_modelmeta().custom_metadata_map["calco"])
    assert meta["model"]["classes"] == ["dog", "cat"]
    for count in (1, 3):
        boxes, scores = session.run(["boxes", "scores"], {"pictures": np.zeros((count, 96, 96, 3), np.uint8)})
        assert boxes.shape == (count, scores.shape[1], 4)
        assert scores.shape[2] == 2
        assert (scores >= 0).all()
        assert (scores <= 1).all()


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_openvino_runs_it_too(saved: Path, onnx_file: Path, pictures: Path, precision: str) -> None:
    requires(find_spec("openvino"), "OpenVINO", "pip install 'calco[openvino]'")
    shown = [images.read(path) for path in images.list_pictures(pictures)]
    file = open_detector(onnx_file, runtime="openvino", precision=precision)
    if precision == "auto":
        assert compare(load_detector(saved, device="cpu", precision="fp32"), file, shown).near
    else:
        assert sum(map(len, file.many(shown))) > 0


def test_predict_takes_it(onnx_file: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["detect", "predict", str(onnx_file), str(pictures), "--out", str(tmp_path / "out")]
    main([*words, "--format", "jsonl", "csv", "--threshold", "0.3"])
    rows = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert any(row["detections"] for row in rows)
    assert "3 pictures looked at" in capsys.readouterr().err


def test_export_is_a_verb(saved: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                          monkeypatch: pytest.MonkeyPatch, onnx_file: Path) -> None:  # fmt: skip
    import onnx

    # The graph is made once in this module: writing it down takes most of the time.
    monkeypatch.setattr(export, "onnx_of", lambda _detector: onnx.load(onnx_file))
    requires(find_spec("openvino"), "OpenVINO", "pip install 'calco[openvino]'")
    out = tmp_path / "dogs.zip"
    main(["detect", "export", str(saved), "--to", "openvino", "--out", str(out), "--pictures", str(pictures)])
    assert "0 found by one alone" in " ".join(capsys.readouterr().err.split())
    shown = [images.read(path) for path in images.list_pictures(pictures)]
    assert compare(load_detector(saved, device="cpu", precision="fp32"), open_detector(out), shown).near


def test_an_export_that_differs_is_not_written(saved: Path, onnx_file: Path, pictures: Path, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    import onnx

    other = load_detector(saved, device="cpu", precision="fp32")
    with torch.no_grad():
        other.network.classes.bias += 0.5  # type: ignore[operator, union-attr]
    save_detector(tmp_path / "other", other.info, other.network)
    monkeypatch.setattr(export, "onnx_of", lambda _detector: onnx.load(onnx_file))
    with pytest.raises(CalcoError, match="differs from its model, so no file is written"):
        export_detector(tmp_path / "other", "onnx", tmp_path / "a.onnx", pictures=pictures)
    assert not (tmp_path / "a.onnx").exists()


def test_far_boxes_and_scores_are_seen(saved: Path, pictures: Path) -> None:
    model = load_detector(saved, device="cpu", precision="fp32")
    shown = [images.read(path) for path in images.list_pictures(pictures)]
    assert compare(model, model, shown).near
    fewer = Detector(replace(model.info, most=3), model.network)
    assert compare(model, fewer, shown).missing > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "a.onnx"}, "is an exported model already"),
        ({"out": "a.zip"}, "onnx is written as .onnx"),
        ({"pictures": None}, "does not say what it was trained on"),
        ({"pictures": "EMPTY"}, "holds no picture"),
    ],
)
def test_exports_that_cannot_be(saved: Path, pictures: Path, tmp_path: Path, options: dict[str, str | None],
                                said: str) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    chosen = {"model": str(saved), "out": str(tmp_path / "a.onnx"), "pictures": str(pictures), **options}
    if chosen["pictures"] == "EMPTY":
        chosen["pictures"] = str(tmp_path / "empty")
    with pytest.raises(CalcoError, match=said):
        export_detector(str(chosen["model"]), "onnx", chosen["out"], pictures=chosen["pictures"])


def test_what_cannot_be_opened_is_one_line(saved: Path, onnx_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(onnx_file.read_bytes()[:5000])
    for given, options, said in (
        (cut, {}, "cannot be used"),
        (tmp_path / "no.onnx", {}, "cannot read"),
        (onnx_file, {"device": "cuda"}, "computed on the CPU"),
        (onnx_file, {"runtime": "torch"}, "onnxruntime or openvino"),
        (onnx_file, {"precision": "bf16"}, "computes .* in fp32"),
        (saved, {"runtime": "openvino"}, "make one: calco detect export"),
    ):
        with pytest.raises(CalcoError, match=said) as error:
            open_detector(given, **options)
        assert "\n" not in str(error.value)


def test_translate_says_that_it_is_a_detector(onnx_file: Path) -> None:
    from calco.inference.exported import describe as describe_translator

    with pytest.raises(CalcoError, match="calco detect predict takes it"):
        describe_translator(onnx_file)
