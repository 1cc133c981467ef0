"""`calco detect evaluate` with a saved detector: which images are taken, what is said, what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calco import imaging
from calco.cli import main
from calco.data.config import SplitConfig
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.detection.config import DetectEvaluateConfig
from calco.detection.model import DetectorInfo, build_network, load_detector_info, save_detector
from calco.detection.scoring.evaluate import evaluate
from calco.detection.scoring.report import sentences
from calco.errors import CalcoError
from detection.bright import draw


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a detector that learnt nothing, and the images that it says it was trained on."""
    folder = tmp_path_factory.mktemp("run")
    source = open_source(draw(folder / "set"))
    info = DetectorInfo(architecture="lite", classes=("red", "blue"), size=64, threshold=0.02)
    parts = split_items(source.items, info.split)
    trained = [digest for item in parts["train"] for digest in source.digests(item)]
    told = {"images": str(folder / "set"), "trained_on": trained, "splits": {"train": len(trained)}}
    save_detector(folder / "model", replace(info, provenance=told), build_network("lite", {}, 2))
    rows = [{"step": step, "train": {"loss": 1 / step}, "validation": {"map50": step / 10}} for step in (1, 2, 3)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return folder


def config(run: Path, **given: object) -> DetectEvaluateConfig:
    return DetectEvaluateConfig(model=str(run), resamples=20, device="cpu", precision="fp32", **given)


def test_the_command_scores_what_was_kept_apart(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["detect", "evaluate", str(run), "--resamples", "20", "--people-per-hour", "60", "--device", "cpu"])
    told = capsys.readouterr()
    assert "mAP50-95" in told.out and "mean box" in told.out and "finds nothing" in told.out
    assert "that it never saw, the detector's mAP50 is" in told.out
    assert "Of 60 people an hour" in told.out
    assert "report.html" in told.err
    content = json.loads((run / "report" / "scores.json").read_text(encoding="utf-8"))
    source = open_source(run / "set")
    kept = {item.key for item in split_items(source.items, load_detector_info(run).split)["test"]}
    assert {each["key"] for each in content["images"]} == kept
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "Learning curves" in page and "lite" in page


def test_which_images_are_taken(run: Path, tmp_path: Path) -> None:
    images, out = str(run / "set"), str(tmp_path)
    unseen = evaluate(config(run, images=images, out=out)).card
    assert (len(unseen.images) + unseen.num_seen, unseen.unseen) == (24, True)
    assert any("validation's, which chose its threshold" in note for note in unseen.notes)
    validation = evaluate(config(run, part="val", out=out)).card
    assert validation.notes[0] == "The detector's threshold and its step were chosen on these images"
    everything = evaluate(config(run, images=images, part="all", out=out, limit=10)).card
    assert (len(everything.images), everything.unseen) == (10, False)
    assert everything.notes[0] == f"The detector was trained on {unseen.num_seen} of the 24 images of the set"
    learnt = evaluate(config(run, images=images, part="train", out=out, threshold=0.9)).card
    assert (learnt.only_seen, learnt.threshold) == (True, 0.9)
    other = evaluate(config(run, images=str(draw(tmp_path / "other", 6, seed=1)), out=out)).card
    assert (len(other.images), other.num_seen) == (6, 0)


def renamed(folder: Path, out: Path, *, ending: str = ".png", prefix: str = "copy", shift: int = 0) -> Path:
    """The same images under other names, and perhaps saved anew or with other boxes."""
    content = json.loads((folder / "boxes.json").read_text(encoding="utf-8"))
    (out / "images").mkdir(parents=True)
    for entry in content["images"]:
        before, entry["file_name"] = entry["file_name"], f"{prefix}-{entry['file_name'].replace('.png', ending)}"
        if ending == ".png":
            shutil.copy(folder / "images" / before, out / "images" / entry["file_name"])
        else:
            imaging.write(out / "images" / entry["file_name"], imaging.read(folder / "images" / before))
    for entry in content["annotations"]:
        entry["bbox"][0] += shift
    (out / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    return out


@pytest.mark.parametrize(
    ("part", "ending", "shift"),
    [("auto", ".png", 0), ("auto", ".png", 1), ("auto", ".jpg", 0), ("test", ".png", 0), ("val", ".jpg", 0)],
)
def test_renamed_copies_of_the_training_are_never_called_unseen(
    run: Path, tmp_path: Path, part: str, ending: str, shift: int
) -> None:
    copies = renamed(run / "set", tmp_path / "copies", ending=ending, shift=shift)
    trained = {item.key.split("/")[-1] for item in split_items(open_source(run / "set").items, SplitConfig())["train"]}
    chosen = split_items(open_source(copies).items, SplitConfig())
    wanted = open_source(copies).items if part == "auto" else chosen[part]
    fresh = [item for item in wanted if item.key.split("-")[-1] not in trained]
    if not fresh:
        with pytest.raises(CalcoError, match=r"trained on all \d+ images of"):
            evaluate(config(run, images=str(copies), part=part, out=str(tmp_path)))
        return
    card = evaluate(config(run, images=str(copies), part=part, out=str(tmp_path))).card
    assert {each.key for each in card.images} == {item.key for item in fresh}
    assert f"({card.num_seen} of the training left out) that it never saw" in sentences(card)[0]
    assert card.num_seen >= len(wanted) - len(fresh) > 0
    assert card.unseen
    assert any("saved anew or resized" in note for note in card.notes) == (ending == ".jpg")


def test_what_cannot_be_scored_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="no detector was named"):
        evaluate(DetectEvaluateConfig())
    with pytest.raises(CalcoError, match="there is no "):
        evaluate(config(tmp_path / "nowhere"))
    for number in range(3):
        (tmp_path / "plain").mkdir(exist_ok=True)
        imaging.write(tmp_path / "plain" / f"p{number}.png", np.full((20, 30, 3), 80 * number, np.uint8))
    with pytest.raises(CalcoError, match="holds no annotations that are known"):
        evaluate(config(run, images=str(tmp_path / "plain"), out=str(tmp_path)))
    with pytest.raises(CalcoError, match="threshold is 3; it must lie between 0 and 1"):
        DetectEvaluateConfig(threshold=3)
    with pytest.raises(CalcoError, match="batch is 0; it must lie between 1 and 65536"):
        DetectEvaluateConfig(batch=0)


def test_a_detector_that_was_trained_on_everything(run: Path, tmp_path: Path) -> None:
    source = open_source(run / "set")
    info = load_detector_info(run)
    told = {**info.provenance, "trained_on": [digest for item in source.items for digest in source.digests(item)]}
    save_detector(tmp_path / "model", replace(info, provenance=told), build_network("lite", {}, 2))
    with pytest.raises(CalcoError, match="was trained on all 24 images.*--part all"):
        evaluate(config(tmp_path, images=str(run / "set")))
    save_detector(tmp_path / "model", replace(info, provenance={}), build_network("lite", {}, 2))
    with pytest.raises(CalcoError, match="does not record its training images"):
        evaluate(config(tmp_path))
    unknown = evaluate(config(tmp_path, images=str(run / "set"))).card
    assert (unknown.unseen, len(unknown.images)) == (False, 24)
    assert "does not name its training images" in unknown.notes[0]
