"""Detectors as folders: saved, loaded, and asked."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from calco.detection.lite import LiteDetector
from calco.detection.model import Detector, DetectorInfo, load_detector, save_detector
from calco.errors import CalcoError

INFO = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("dog", "cat"), size=96)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run") / "model"
    save_detector(folder, INFO, LiteDetector(2, width=16, depth=1))
    return folder


def test_what_was_saved_finds_the_same(saved: Path) -> None:
    images = [np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8), np.zeros((200, 31, 1), np.float32)]
    torch.manual_seed(0)
    before = Detector(INFO, LiteDetector(2, width=16, depth=1)).many(images, threshold=0.0)
    detector = load_detector(saved.parent, device="cpu", precision="fp32")
    assert detector.classes == ("dog", "cat")
    assert detector.threshold == 0.5
    for one, other, image in zip(before, detector.many(images, threshold=0.0), images, strict=True):
        assert len(one)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        assert one.classes == other.classes
        assert other.scores is not None
        assert (np.diff(other.scores) <= 0).all()
        assert (other.boxes >= 0).all()
        assert (other.boxes[:, 2] <= image.shape[1]).all()
        assert (other.boxes[:, 3] <= image.shape[0]).all()
    assert len(detector(images[0], threshold=1.0)) == 0
    assert detector.many([]) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "model.json").unlink(), "holds no model.json"),
        (lambda f: (f / "model.safetensors").unlink(), "is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"no"), "is damaged"),
        (lambda f: _change(f, kind="translator"), "not a detector"),
        (lambda f: _change(f, format=99), "this Calco reads 2; update Calco"),
        (lambda f: _change(f, classes=["dog"]), "does not fit"),
        (lambda f: _change(f, settings={"widht": 16}), "width"),
        (lambda f: _change(f, architecture="no_such"), "no_such"),
    ],
)
def test_a_spoiled_folder_is_told_in_one_line(saved: Path, tmp_path: Path, spoil: object, complaint: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    spoil(folder)
    with pytest.raises(CalcoError, match=complaint) as told:
        load_detector(folder, device="cpu")
    assert "\n" not in str(told.value)


def _change(folder: Path, **fields: object) -> None:
    record = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(record | fields))
