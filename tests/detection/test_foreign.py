"""Detectors from others: nothing that they name is run or fetched, nothing that they claim is allocated unchecked."""

import builtins
import json
import math
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from calco.detection import lite
from calco.detection.initial import initial_network
from calco.detection.lite import LiteDetector
from calco.detection.model import DetectorInfo, load_detector, save_detector
from calco.detection.transformer import TransformerDetector, from_config, settings_of
from calco.errors import CalcoError
from detection.test_learning import TINY

EVIL = "open('PWNED', 'w').write('x')\nfrom transformers import BertModel as Evil\n"


@pytest.fixture(autouse=True)
def no_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No address is looked up or connected to, and no question is asked."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something from outside was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(builtins, "input", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("lite") / "model"
    info = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("dog", "cat"), size=96)
    save_detector(folder, info, LiteDetector(2, width=16, depth=1))
    return folder


@pytest.fixture(scope="module")
def attentive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of transformers as Calco saves it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("d_fine") / "model"
    built = from_config("d_fine", TINY, 2)
    settings = settings_of(built)
    info = DetectorInfo(architecture="d_fine", settings=settings, classes=("dog", "cat"), size=64)
    save_detector(folder, info, TransformerDetector("d_fine", settings, 2, built))
    return folder


def changed(model: Path, folder: Path, **fields: Any) -> Path:
    """A copy of a model folder whose description says something else; a field "a.b" lies in the mapping "a"."""
    shutil.copytree(model, folder)
    record = json.loads((folder / "model.json").read_text())
    for name, value in fields.items():
        place = record
        *path, last = name.split(".")
        for part in path:
            place = place[part]
        place[last] = value
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def refused(folder: Path, says: str) -> None:
    with pytest.raises(CalcoError, match=says) as caught:
        load_detector(folder, device="cpu", precision="fp32")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert not Path("PWNED").exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("auto_map", {"AutoModelForObjectDetection": "modeling.Evil"}, "loads nothing that a model names"),
        ("quantization_config", {"quant_method": "bitsandbytes"}, "loads nothing"),
        ("transformers_weights", "adapter_model.bin", "loads nothing"),
        ("backbone", "owner/name", "loads nothing"),
        ("_attn_implementation", "owner/kernel", "code from elsewhere"),
        ("attn_implementation", "kernels-community/flash-attn", "code from elsewhere"),
        ("experts_implementation", {"": "owner/kernel"}, "code from elsewhere"),
        ("backbone_config", {"model_type": "timm_backbone", "backbone": "hf-hub:owner/name"}, "loads nothing"),
        ("backbone_config", {"model_type": "timm_backbone"}, "not a backbone of transformers"),
        ("backbone_config", {"model_type": "bert", "auto_map": {"AutoBackbone": "x.Evil"}}, "loads nothing"),
        ("backbone_config", {"model_type": "own_thing"}, "not a backbone of transformers"),
        ("decoder_layers", 10_000_000, "decoder_layers is 10000000"),
        ("backbone_config", {"model_type": "resnet", "depths": [3, 10**9]}, "depths is 1000000000"),
        ("d_model", 10**12, "d_model is"),
        ("num_queries", -(10**9), "num_queries is"),
        ("layer_norm_eps", math.nan, "layer_norm_eps is nan"),
        ("encoder_in_channels", [1] * 100_000, "100,000 entries"),
        ("d_model", 50_000, "does not fit its model.json|cannot build"),
    ],
)
def test_settings_that_name_something_or_claim_too_much_are_refused(
    field: str, value: Any, says: str, attentive: Path
) -> None:
    refused(changed(attentive, Path("model"), **{f"settings.config.{field}": value}), says)


def test_switches_that_would_fetch_first_weights_change_nothing(attentive: Path) -> None:
    folder = changed(attentive, Path("model"), **{
        "settings.config.use_pretrained_backbone": True, "settings.config.use_timm_backbone": True,
        "settings.config._name_or_path": "owner/name", "settings.config.return_dict": False,
    })  # fmt: skip
    squares = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    both = [load_detector(each, device="cpu", precision="fp32").raw(squares) for each in (attentive, folder)]
    assert torch.equal(both[0][0], both[1][0])
    assert torch.equal(both[0][1], both[1][1])


@pytest.mark.parametrize("architecture", ["bert", "detr_own", "../evil", "", "timm_wrapper"])
def test_only_detectors_of_the_library_are_built(architecture: str, attentive: Path) -> None:
    Path("modeling.py").write_text(EVIL)
    config = {"auto_map": {"AutoModelForObjectDetection": "modeling.Evil"}, "_name_or_path": "."}
    folder = changed(attentive, Path("model"), architecture=architecture, settings={"config": config})
    refused(folder, "is not a detector that transformers knows")


def test_a_default_backbone_of_timm_is_not_fetched(attentive: Path) -> None:
    refused(changed(attentive, Path("model"), architecture="detr", settings={"config": {}}), "one of timm")
    other = {"config": {"use_timm_backbone": False}}
    refused(changed(attentive, Path("other"), architecture="detr", settings=other), "cannot build|does not fit")


@pytest.mark.parametrize(
    ("colours", "says"), [([0.5] * 4, "mean is"), (["a"] * 3, "mean is"), ([math.inf] * 3, "mean is")]
)
def test_colours_are_three_finite_numbers(colours: list[Any], says: str, attentive: Path) -> None:
    refused(changed(attentive, Path("model"), **{"settings.mean": colours}), says)
    refused(changed(attentive, Path("other"), **{"settings.std": [0.0] * 3}), "std is")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the library saves a detector."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("library") / "folder"
    built: Any = from_config("d_fine", TINY, 5)
    built.save_pretrained(folder)
    return folder


def published(library: Path, folder: Path, **config: Any) -> str:
    """A copy of it, whose description says something else too."""
    shutil.copytree(library, folder)
    if config:
        record = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(record | config))
    return str(folder)


def chosen(folder: str, *, scratch: bool = False) -> Any:
    return initial_network(folder, ("dog", "cat"), scratch=scratch, lite={}, freeze=0)


@pytest.mark.parametrize("scratch", [False, True])
@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"auto_map": {"AutoConfig": "modeling.Evil", "AutoModelForObjectDetection": "modeling.Evil"}},
            "loads nothing",
        ),
        ({"backbone": "owner/name", "backbone_config": None}, "loads nothing"),
        ({"model_type": "bert"}, "is not a detector that transformers knows"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "modeling.Evil"}}, "is not a detector"),
        ({"_attn_implementation": "owner/kernel"}, "code from elsewhere"),
        ({"decoder_layers": 10**9}, "decoder_layers"),
    ],
)
def test_a_folder_that_names_code_is_refused(
    config: dict[str, Any], says: str, scratch: bool, library: Path, tmp_path: Path
) -> None:
    folder = published(library, tmp_path / "folder", **config)
    (tmp_path / "folder" / "modeling.py").write_text(EVIL)
    with pytest.raises(CalcoError, match=says):
        chosen(folder, scratch=scratch)
    assert not Path("PWNED").exists()


def test_weights_of_a_folder_are_safetensors_that_lie_in_it(library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    name = published(library, folder)
    assert chosen(name).architecture == "d_fine"
    (folder / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(CalcoError, match="pickles run code"):
        chosen(name)
    for outside in ("../elsewhere.safetensors", str(tmp_path / "elsewhere.safetensors"), "pytorch_model.bin"):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": outside}}))
        with pytest.raises(CalcoError, match="has no model.safetensors"):
            chosen(name)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/name"}))
    with pytest.raises(CalcoError, match="adapter of another model"):
        chosen(name)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        *(("size", size, "size") for size in (0, -32, 10**9, 65536, 97, 96.5, True, "big", None, math.nan, 10**100)),
        *(("settings.width", width, "width") for width in (0, -16, 17, 10**6, 10**12, 16.0, "16", None, True, [16])),
        *(("settings.depth", depth, "depth") for depth in (-1, 10**7, 10**12, 1.5, "1", None, math.nan, {})),
        ("settings.height", 16, "height"),
        ("settings", [16, 1], "settings"),
        ("classes", [], "0 classes"),
        ("classes", ["c"] * 10_001, "10,001 classes"),
        ("classes", "dog", "classes"),
        ("classes", [1, 2], "classes"),
        *(("threshold", value, "threshold") for value in (math.nan, -0.1, 2.0, math.inf)),
        ("overlap", math.nan, "overlap"),
        *(("most", value, "most") for value in (0, -1, 10**9)),
        ("settings.width", 1024, "does not fit its model.json"),
        ("settings.depth", 16, "does not fit its model.json"),
    ],
)
def test_what_a_description_claims_is_bounded(field: str, value: Any, says: str, compact: Path) -> None:
    refused(changed(compact, Path("model"), **{field: value}), says)


def test_nothing_is_allocated_for_a_description_that_does_not_fit(
    compact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []
    start = lite.EfficientNetLite.__init__

    def watched(self: Any) -> None:
        devices.append(torch.get_default_device().type)
        start(self)

    monkeypatch.setattr(lite.EfficientNetLite, "__init__", watched)
    refused(changed(compact, Path("model"), **{"settings.width": 1024}), r"and the description asks for \[1024")
    assert devices == ["meta"]
    load_detector(compact, device="cpu")
    assert devices == ["meta", "meta", "cpu"]


def test_a_header_that_claims_more_than_the_file_is_damaged(compact: Path) -> None:
    folder = changed(compact, Path("model"))
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    refused(folder, "is damaged")
    (folder / "model.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + bytes(64))
    refused(folder, "is damaged")


def test_large_squares_go_through_the_network_a_few_at_a_time(compact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = load_detector(changed(compact, Path("model"), size=1280), device="cpu")
    batches: list[int] = []

    def counted(squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batches.append(len(squares))
        return torch.full((len(squares), 1, 2), -9.0), torch.zeros(len(squares), 1, 4)

    monkeypatch.setattr(detector, "raw", counted)
    detector.many([torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()] * 6)
    assert batches == [4, 2], "as many pixels as sixteen squares of 640"
