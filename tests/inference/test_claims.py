"""What a translator's description claims is bounded before anything is allocated, and names no file to read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import calco
from calco import CalcoError
from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.inference.folder import ModelInfo, save_model
from calco.networks import unet
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    torch.manual_seed(0)
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=8, composition="plain"), recipe=RecipeConfig(recipe="segment"),
        jitter=JitterConfig(size=32, resize=36), in_channels=3, out_channels=3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("claims") / "model"
    save_model(folder, info, build_generator(info.generator, 3, 3).state_dict(), None)
    return folder, json.loads((folder / "model.json").read_text())


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        *(("in_channels", value, "in_channels") for value in (0, -3, 10**9, 10**100, 1.5, "three", None)),
        *(("out_channels", value, "out_channels") for value in (0, 4097, 10**12)),
        ("out_channels", 4000, r"the description asks for \[\d+, 4000"),
        *(("jitter.size", value, "size") for value in (0, -1, 65536, 10**9, 10**100)),
        *(("jitter.resize", value, "resize") for value in (-1, 16, 10**9)),
        ("generator.depth", 10**7, "generator depth"),
        ("generator.filters", 0, "filters"),
        ("generator.filters", 4096, "does not fit its model.json"),
        ("generator.dropout", float("nan"), "dropout"),
        ("recipe.segment.palette", "palette.csv", "a model names no files"),
        ("recipe.segment.palette", "/etc/hostname", "a model names no files"),
        ("recipe.segment.palette", "x" * 100_000, "a model names no files"),
        ("seed", "x" * 100_000, "seed"),
    ],
)
def test_a_claim_out_of_range_is_one_line(
    field: str, value: Any, says: str, record: tuple[Path, dict[str, Any]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made = json.loads(json.dumps(record[1]))
    *path, last = field.split(".")
    place = made
    for part in path:
        place = place[part]
    place[last] = value
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(made))
    (folder / "model.safetensors").write_bytes((record[0] / "model.safetensors").read_bytes())
    devices = []
    start = unet.UNet.__init__

    def watched(self: Any, *args: Any, **options: Any) -> None:
        devices.append(torch.get_default_device().type)
        start(self, *args, **options)

    monkeypatch.setattr(unet.UNet, "__init__", watched)
    with pytest.raises(CalcoError, match=says) as caught:
        calco.load(folder)(np.zeros((8, 8, 3), np.uint8))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2100
    if "palette" not in field:
        assert "cpu" not in devices, "nothing was allocated for it"


@pytest.mark.parametrize("place", ["http://evil.example/shards", "s3://bucket/shards", "hub:owner/name"])
def test_export_and_evaluation_fetch_nothing_that_a_model_names(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from calco.detection.config import DetectEvaluateConfig
    from calco.detection.export import examples as of_detector
    from calco.detection.lite import LiteDetector
    from calco.detection.model import Detector, DetectorInfo
    from calco.detection.scoring.evaluate import _chosen
    from calco.evaluation import EvaluateConfig
    from calco.evaluation.evaluate import evaluate
    from calco.export.export import examples

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was looked up")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    known = {"images": place}
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=8), recipe=RecipeConfig(recipe="aligned"), jitter=JitterConfig(),
        in_channels=3, out_channels=3, provenance=known,
    )  # fmt: skip
    with pytest.raises(CalcoError, match="nothing is fetched because a model names it; name images to try it on"):
        examples(info, None)
    about = DetectorInfo(architecture="lite", classes=("dog",), size=64, provenance=known)
    with pytest.raises(CalcoError, match="nothing is fetched because a model names it"):
        of_detector(Detector(about, LiteDetector(1, width=16, depth=0)), None)
    save_model(tmp_path / "model", info, build_generator(info.generator, 3, 3).state_dict(), None)
    with pytest.raises(CalcoError, match="nothing is fetched because a model names it; name images to score it on"):
        evaluate(EvaluateConfig(model=tmp_path / "model"))
    with pytest.raises(CalcoError, match="nothing is fetched because a model names it; name images to score it on"):
        _chosen(DetectEvaluateConfig(model="m"), about)
