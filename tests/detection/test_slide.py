"""The sliding window: its places, the classifier that is learned from examples, the video and the boxes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import calco.cli
from calco import imaging
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.record import Record
from calco.data.sample import generator
from calco.detection.boxes import iou
from calco.detection.config import SlideConfig
from calco.detection.slide import SlideResult, levels, slide, suppress
from calco.detection.window_classifier import hog
from calco.outputs import LOG
from calco.video.reading import Video

SIDE = 96


def street(key: str, balls: int = 1, boxes: int = 2) -> tuple[imaging.Image, Detections]:
    """Grey noise with rings, which are to be found, and squares, which are not; the boxes of the rings."""
    rng = generator(0, 0, key)
    image = rng.integers(90, 130, (SIDE, SIDE, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    found: list[list[float]] = []
    corners = [(x, y) for x in (2, 50) for y in (2, 50)]
    rng.shuffle(corners)
    for number, (left, top) in enumerate(corners[: balls + boxes]):
        side = int(rng.integers(26, 40))
        x, y = left + side / 2, top + side / 2
        far = np.hypot(columns - x, rows - y) if number < balls else np.maximum(abs(columns - x), abs(rows - y))
        image[(far < side / 2) & (far > side / 2 - 6)] = rng.integers(180, 255, 3)
        if number < balls:
            found.append([left, top, left + side, top + side])
    return image, Detections(boxes=np.array(found, np.float32).reshape(-1, 4), classes=("ring",) * len(found))


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotated images, one of them damaged and one with nothing in it."""
    folder = tmp_path_factory.mktemp("streets")
    records = []
    for number in range(40):
        image, objects = street(f"street {number}", balls=number % 3 if number else 0)
        imaging.write(folder / f"{number:02}.png", image)
        records.append(Record(name=f"{number:02}.png", objects=objects, size_wh=(SIDE, SIDE)))
    write_coco(folder / "all.json", records, ["ring"])
    (folder / "07.png").write_bytes((folder / "07.png").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def learned(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SlideResult, SlideConfig, Detections]:
    """A window that learned from the streets and went over a new one, with all that it wrote."""
    folder = tmp_path_factory.mktemp("slid")
    image, truth = street("a new street", balls=2, boxes=2)
    imaging.write(folder / "new.png", image)
    config = SlideConfig(
        image=f"{folder}/new.png", out=f"{folder}/video.gif", examples=str(streets), window="32x32", step=6,
        scales=(1.0, 1.25), threshold=0.8,
    )  # fmt: skip
    return slide(config), config, truth


def test_windows_reach_the_right_and_lower_borders() -> None:
    (level,), too_large = levels((10, 8), (4, 4), 3, [1.0])
    assert level.boxes[:3].tolist() == [[0, 0, 4, 4], [3, 0, 7, 4], [6, 0, 10, 4]]
    assert sorted({top for _, top, _, _ in level.boxes.tolist()}) == [0, 3, 4]
    assert (len(level.boxes), too_large) == (9, [])


def test_every_pixel_is_seen_at_every_scale() -> None:
    rounds, too_large = levels((101, 67), (20, 16), 13, [2.0, 0.5, 1.0, 9.0])
    assert [level.scale for level in rounds] == [0.5, 1.0, 2.0]
    assert too_large == [9.0]
    for level in rounds:
        seen = np.zeros((67, 101), bool)
        for left, top, right, bottom in level.boxes:
            seen[top:bottom, left:right] = True
            assert (right - left, bottom - top) == level.size_wh
        assert seen.all() and level.boxes.max(0)[2:].tolist() == [101, 67]


def test_hog_sees_directions_and_no_light() -> None:
    ramp = np.tile(np.linspace(10, 120, 32).astype(np.uint8)[None, :, None], (32, 1, 3))
    across, down, bright = hog([ramp, ramp.transpose(1, 0, 2), (ramp * 2).astype(np.uint8)], (32, 32))
    assert across.shape == (3 * 3 * 4 * 9,)
    assert np.allclose(across, bright, atol=0.05)
    assert across.reshape(-1, 9).sum(0).argmax() in (0, 8)  # gradients along x lie between the first and last bins
    assert down.reshape(-1, 9).sum(0).argmax() == 4
    assert np.isfinite(hog([np.zeros((16, 16, 3), np.uint8)], (16, 16))).all()


def test_a_classifier_learned_from_examples_finds_the_objects(
    learned: tuple[SlideResult, SlideConfig, Detections],
) -> None:
    done, config, truth = learned
    assert done.classifier is not None and done.hits is not None and done.boxes is not None
    assert done.classifier.held_out > 30
    assert done.classifier.accuracy > 0.9 > done.classifier.background
    assert [note.partition(":")[0] for note in done.notes] == ["07"]
    assert set(done.boxes.classes) == {"ring"}
    best = iou(truth.boxes, done.boxes.boxes).max(1)
    assert (best > 0.5).all()
    assert len(done.hits) > len(done.boxes) >= 2
    assert (iou(done.boxes.boxes, done.boxes.boxes) - np.eye(len(done.boxes)) <= config.iou).all()


def test_the_boxes_stand_in_a_line_of_json(learned: tuple[SlideResult, SlideConfig, Detections]) -> None:
    done, config, _ = learned
    (row,) = [json.loads(line) for line in config.boxes_path.read_text().splitlines()]
    assert (row["image"], row["width"], row["height"]) == ("new.png", SIDE, SIDE)
    assert done.boxes is not None and done.boxes.scores is not None
    assert [found["box"] for found in row["detections"]] == done.boxes.boxes.tolist()
    assert [found["score"] for found in row["detections"]] == pytest.approx(done.boxes.scores, abs=1e-4)


def test_the_gif_shows_the_windows_and_then_the_boxes(learned: tuple[SlideResult, SlideConfig, Detections]) -> None:
    done, config, _ = learned
    with Pillow.open(config.out) as video:
        assert video.n_frames == done.frames + 1
        assert done.frames <= 400
        first = np.asarray(video.convert("RGB")).astype(int)
        assert video.info["duration"] == 50
        video.seek(video.n_frames - 1)
        assert video.info["duration"] == 4000 and video.info.get("loop", 0) == 0
        last = np.asarray(video.convert("RGB")).astype(int)
    side = 4 * SIDE  # a small image is enlarged four times; the first window lies in its upper left corner
    inside, outside = first[8:120, 8:120], first[200:380, 200:380]
    assert inside.mean() > 2 * outside.mean()
    assert abs(last[8:120, 8:120].mean() - inside.mean()) < 25
    assert first.shape == last.shape == (side + 30, 2 * side + 8, 3)


@pytest.mark.slow
def test_the_same_seed_learns_the_same(learned: tuple[SlideResult, SlideConfig, Detections], tmp_path: Path) -> None:
    done, config, _ = learned
    again = slide(replace(config, out=str(tmp_path / "again.mp4")))
    assert again.classifier is not None and done.classifier is not None
    assert np.array_equal(again.classifier.weight, done.classifier.weight)
    assert again.boxes is not None and done.boxes is not None
    assert np.array_equal(again.boxes.boxes, done.boxes.boxes)
    frames = list(Video(tmp_path / "again.mp4").frames())
    assert len(frames) == again.frames + 80  # four seconds of the last one


@pytest.mark.parametrize("how", ["soft-linear", "soft-gaussian", "matrix"])
def test_lowered_scores_that_stay_hits_are_kept(learned: tuple[SlideResult, SlideConfig, Detections], how: str) -> None:
    done, config, _ = learned
    assert done.hits is not None
    left = suppress(done.hits, replace(config, suppression=how))
    assert 2 <= len(left) < len(done.hits)
    assert left.scores is not None and (left.scores >= np.float32(config.threshold)).all()
    assert (np.diff(left.scores) <= 0).all()


def test_a_window_without_a_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imaging.write(tmp_path / "grey.png", np.full((60, 90, 1), 9000, np.uint16))
    words = ["--window", "40x30", "--step", "15", "--scales", "1", "2", "--out", f"{tmp_path}/w.mp4"]
    calco.cli.main(["detect", "slide", f"{tmp_path}/grey.png", *words])
    printed = capsys.readouterr().out
    assert "17 windows over 90x60 pixels" in printed
    assert len(list(Video(tmp_path / "w.mp4").frames())) == 17 + 80
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != LOG) == ["grey.png", "w.mp4"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--out w.png", "--out w.png: it must end in .gif or as a video"),
        ("--out p.gif --window 4x4", "--window '4x4': give width and height of 8 pixels or more"),
        ("--out w.gif --window 200x10", "--window 200x10 does not fit into the image of 60x40 pixels"),
        ("--out w.gif --window big", "--window 'big'"),
        ("--out w.gif --step 0", "step is 0; it must lie between 1 and"),
        ("--out w.gif --scales 0", "--scales 0: give one or more numbers from 0.05 to 50"),
        ("--out w.gif --rate 500", "--rate 500: it must be from 0.1 to 50 windows per second"),
        ("--out w.gif --threshold 2", "threshold is 2.0; it must lie between 0 and 1"),
        ("--out w.gif --window 8x8 --examples nowhere", "nowhere"),
        ("--out w.gif --window 8x8 --examples plain", "it has no boxes; --examples needs images with boxes"),
        ("--out p.gif --window 8x8", "--out p.gif is the image that is read"),
    ],
)
def test_bad_input_is_one_line(
    words: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    image = np.zeros((40, 60, 3), np.uint8)
    (tmp_path / "plain").mkdir()
    for number in range(4):
        imaging.write(tmp_path / f"plain/{number}.png", image + number)
    Pillow.fromarray(image).save("p.gif")
    with pytest.raises(SystemExit) as end:
        calco.cli.main(["detect", "slide", "p.gif", *words.split()])
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("calco: ")]
    assert end.value.code == 2
    assert len(told) == 1 and complaint in told[0]
    assert not (tmp_path / "w.gif").exists()
