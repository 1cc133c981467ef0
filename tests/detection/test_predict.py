"""Detectors on images, videos and cameras."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

import calco.cli
from calco import imaging
from calco.annotations.reading import read_annotations
from calco.detection.config import PredictConfig
from calco.detection.predict import predict
from calco.detection.prediction import Prediction, from_rows
from calco.errors import CalcoError, DiskError
from calco.journal import Journal
from detection.spots import Spots, folder_of, matched, scene
from support import small_disk
from video.videos import make_video, packets

ONE = (20, 30, 60, 70)
TWO = (100, 40, 130, 90)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "images", {
        "one.png": scene(160, 120, [ONE]),
        "deep/two.jpg": scene(160, 120, [ONE, TWO]),
        "deep/nothing.png": scene(160, 120, []),
        "red.png": scene(160, 120, [TWO], (255, 0, 0)),
    })  # fmt: skip


def run(*sources: Path, out: Path | str, detector: Spots | None = None, **options: object) -> Prediction:
    config = PredictConfig(model="m", sources=tuple(map(str, sources)), out=str(out), **options)
    return predict(config, detector or Spots())


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_is_drawn_and_noted(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(images, out=out, format=("drawn", "jsonl", "coco", "csv"))
    assert (done.written, done.kept, done.left_out) == (4, 0, {})
    assert done.images.objects == {"spot": 3, "red": 1} and done.images.empty == 1
    rows = lines_of(out / "detections.jsonl")
    assert [row["image"] for row in rows] == ["deep/nothing.png", "deep/two.jpg", "one.png", "red.png"]
    assert rows[1]["width"] == 160 and rows[1]["height"] == 120
    assert matched(from_rows(rows[1]["detections"]), [ONE, TWO])
    assert matched(from_rows(rows[0]["detections"]), [])
    drawn = imaging.read(out / "drawn" / "deep" / "two.jpg")
    assert drawn.shape == (240, 320, 3)  # enlarged: labels need room
    assert (drawn != imaging.read(images / "deep" / "two.jpg").repeat(2, 0).repeat(2, 1)).any()


def test_coco_is_read_back_as_annotations(images: Path, tmp_path: Path) -> None:
    run(images, out=tmp_path / "out", format=("coco",))
    found = read_annotations(tmp_path / "out" / "detections.coco.json", images)
    assert found.classes == ("red", "spot") and not found.problems
    by_name = {record.name: record.detections for record in found.records}
    assert matched(by_name["deep/two.jpg"], [ONE, TWO]) and len(by_name["deep/nothing.png"]) == 0
    scores = by_name["one.png"].scores
    assert scores is not None and scores[0] == pytest.approx(1, abs=0.02)
    assert not (tmp_path / "out" / "drawn").exists()


def test_csv_has_a_row_for_each_thing(images: Path, tmp_path: Path) -> None:
    run(images, out=tmp_path / "out", format=("csv",))
    with (tmp_path / "out" / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert "track" not in rows[0]
    assert [row["image"] for row in rows] == ["deep/two.jpg", "deep/two.jpg", "one.png", "red.png"]
    assert rows[2]["class"] == "spot" and float(rows[2]["left"]) == pytest.approx(20, abs=2)


def test_what_was_found_before_is_kept(images: Path, tmp_path: Path) -> None:
    out, detector = tmp_path / "out", Spots()
    run(images, out=out)
    before = (out / "detections.jsonl").read_bytes()
    imaging.write(images / "new.png", scene(160, 120, [ONE]))
    done = run(images, out=out, detector=detector)
    assert (done.written, done.kept, len(detector.seen)) == (1, 4, 1)
    assert done.images.objects == {"spot": 4, "red": 1}
    assert set(before.splitlines()) < set((out / "detections.jsonl").read_bytes().splitlines())


def test_a_drawing_that_is_missing_is_drawn_from_the_lines(images: Path, tmp_path: Path) -> None:
    out, detector = tmp_path / "out", Spots()
    run(images, out=out)
    drawn = (out / "drawn" / "one.png").read_bytes()
    (out / "drawn" / "one.png").unlink()
    done = run(images, out=out, detector=detector)
    assert detector.seen == [] and done.kept == 4
    assert (out / "drawn" / "one.png").read_bytes() == drawn


def test_a_line_that_a_kill_cut_off_is_made_again(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(images, out=out)
    whole = (out / "detections.jsonl").read_bytes()
    (out / "detections.jsonl").write_bytes(whole[:-30])
    done = run(images, out=out)
    assert (done.written, done.kept) == (1, 3)
    assert (out / "detections.jsonl").read_bytes() == whole


def test_other_options_do_not_mix_in_one_folder(images: Path, tmp_path: Path) -> None:
    run(images, out=tmp_path / "out")
    with pytest.raises(CalcoError, match="other options found; choose another --out"):
        run(images, out=tmp_path / "out", threshold=0.1)
    assert run(images, out=tmp_path / "out", threshold=0.1, overwrite=True).written == 4


def test_classes_and_threshold_choose(images: Path, tmp_path: Path) -> None:
    done = run(images, out=tmp_path / "a", classes=("red",))
    assert done.images.objects == {"red": 1}
    imaging.write(images / "dim.png", scene(160, 120, [ONE], (140, 140, 140)))
    assert run(images, out=tmp_path / "b", threshold=0.9).images.objects == {"spot": 3, "red": 1}
    assert run(images, out=tmp_path / "c", threshold=0.1).images.objects == {"spot": 4, "red": 1}


def test_slices_find_what_is_small(tmp_path: Path) -> None:
    small = [(30, 40, 40, 50), (900, 700, 910, 712)]
    folder = folder_of(tmp_path / "large", {"a.png": scene(1000, 800, small)})
    assert run(folder, out=tmp_path / "whole").images.objects == {}
    done = run(folder, out=tmp_path / "sliced", slice=160)
    assert done.only is not None and matched(done.only, small)


def test_one_image_may_be_named(images: Path, tmp_path: Path) -> None:
    target = tmp_path / "seen.png"
    done = run(images / "one.png", out=target)
    assert target.exists() and done.only is not None and matched(done.only, [ONE])
    assert lines_of(tmp_path / "seen.jsonl")[0]["image"] == "one.png"
    with pytest.raises(CalcoError, match="is there already"):
        run(images / "one.png", out=target)
    run(images / "red.png", out=target, overwrite=True, format=("drawn",))
    assert lines_of(tmp_path / "seen.jsonl")[0]["image"] == "one.png", "what is not asked for stays as it is"


def test_damaged_images_are_left_out_and_listed(images: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"no image")
    done = run(images, out=tmp_path / "out", batch=3)
    assert done.written == 4 and list(done.left_out) == ["broken.png"]
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["left_out"].keys() == {"broken.png"}
    only = folder_of(tmp_path / "only", {})
    only.mkdir()
    (only / "broken.png").write_bytes(b"no image")
    with pytest.raises(CalcoError, match="broken.png"):
        run(only, out=tmp_path / "out2")


def test_batches_change_nothing(images: Path, tmp_path: Path) -> None:
    run(images, out=tmp_path / "one")
    run(images, out=tmp_path / "three", batch=3)
    assert (tmp_path / "one" / "detections.jsonl").read_bytes() == (
        tmp_path / "three" / "detections.jsonl"
    ).read_bytes()


def test_images_of_all_kinds(tmp_path: Path) -> None:
    grey = scene(160, 120, [ONE])
    folder = folder_of(tmp_path / "kinds", {
        "deep.png": (grey.astype(np.uint16) * 257), "grey.png": grey[..., :1],
        "alpha.png": np.concatenate([grey, np.full((120, 160, 1), 255, np.uint8)], 2),
    })  # fmt: skip
    assert run(folder, out=tmp_path / "out").images.objects == {"spot": 3}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sources": ("nowhere.jpg",)}, "there is no nowhere.jpg"),
        ({"sources": ()}, "no SOURCE"),
        ({"threshold": 1.5}, "threshold is 1.5; it must lie between 0 and 1"),
        ({"classes": ("dragon",)}, "--classes 'dragon': the model has no such class; its classes are red, spot"),
        ({"slice": 4}, "it must be 32 pixels or more"),
        ({"format": ()}, "names nothing"),
        ({"out": ""}, "--out is missing"),
        ({"out": "clip.mp4"}, "is one video, and the source is not"),
        ({"from_": "1:00"}, "are for videos"),
        ({"seconds": 3.0}, "is for cameras"),
        ({"scale": 0.0}, "scale is 0; give a factor"),
        ({"batch": 0}, "batch is 0; it must lie between 1 and 65536"),
    ],
)
def test_what_cannot_be_is_one_line(images: Path, tmp_path: Path, options: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"sources": (str(images),), "out": str(tmp_path / "out"), "model": "m", **options}
    with pytest.raises(CalcoError, match=said) as error:
        predict(PredictConfig(**given), Spots())
    assert "\n" not in str(error.value)


def test_an_empty_folder_and_two_of_one_name(images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CalcoError, match="is empty; put images into it"):
        run(tmp_path / "empty", out=tmp_path / "out")
    other = folder_of(tmp_path / "other", {"one.png": scene(160, 120, [])})
    with pytest.raises(CalcoError, match="both be written as one.png"):
        run(images, other, out=tmp_path / "out")
    (tmp_path / "text.txt").write_text("a")
    with pytest.raises(CalcoError, match="neither image nor video"):
        run(tmp_path / "text.txt", out=tmp_path / "out")


# Videos


def moving(count: int = 30) -> list[np.ndarray]:
    return [scene(160, 120, [(10 + 3 * i, 40, 40 + 3 * i, 70)]) for i in range(count)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", moving(), sound="aac", times=[10 * i + (i % 3) for i in range(30)])


def test_a_video_keeps_sound_and_times(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = run(clip, out=out, format=("drawn", "jsonl", "csv"))
    assert done.videos[0].frames == 30 and done.frames.objects == {"spot": 30}
    assert packets(out)["audio"] == packets(clip)["audio"]
    with av.open(str(out)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert times == pytest.approx([(10 * i + (i % 3)) / 100 for i in range(30)], abs=0.002)
    rows = lines_of(tmp_path / "out.jsonl")
    assert [row["frame"] for row in rows] == list(range(30))
    assert [row["time"] for row in rows] == pytest.approx(times, abs=0.002)
    assert matched(from_rows(rows[10]["detections"]), [(40, 40, 70, 70)], near=4)
    with (tmp_path / "out.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.csv", "out.jsonl", "out.mp4"]


def test_boxes_are_drawn_on_frames(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    run(clip, out=out, format=("drawn",))
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    # White and black before; now the colour of a class around the spot.
    spread = frame.max(2).astype(int) - frame.min(2)
    assert spread[40, 15:35].mean() > 60 and spread[100:, 100:].mean() < 20


def test_tables_alone_write_no_video(clip: Path, tmp_path: Path) -> None:
    run(clip, out=tmp_path / "out", format=("jsonl",))
    assert len(lines_of(tmp_path / "out" / "clip.mp4.jsonl")) == 30
    assert not (tmp_path / "out" / "clip.mp4").exists()
    with pytest.raises(CalcoError, match="COCO names image files"):
        run(clip, out=tmp_path / "out2", format=("coco",))


def test_parts_of_videos(clip: Path, tmp_path: Path) -> None:
    done = run(clip, out=tmp_path / "out.mp4", from_="1", to="0:02")
    assert done.videos[0].frames == pytest.approx(10, abs=1)
    rows = lines_of(tmp_path / "out.jsonl")
    assert rows[0]["time"] == pytest.approx(1.0, abs=0.11)
    with pytest.raises(CalcoError, match="give an earlier time"):
        run(clip, out=tmp_path / "late.mp4", from_="100")


def test_videos_and_images_in_one_folder(clip: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    done = run(images, clip, tmp_path / "broken.mp4", out=out)
    assert done.written == 4 and len(done.videos) == 1 and list(done.left_out) == ["broken.mp4"]
    again = run(images, clip, tmp_path / "broken.mp4", out=out)
    assert again.kept == 5 and not again.videos


class Slow(Spots):
    """Stops in the middle, as a power cut does."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def one(self, image: imaging.Image) -> "object":
        if len(self.seen) == self.after:
            raise KeyboardInterrupt
        return super().one(image)


@pytest.mark.parametrize("formats", [("drawn", "jsonl"), ("jsonl",), ("drawn",)])
def test_a_video_goes_on_where_it_stopped(clip: Path, tmp_path: Path, formats: tuple[str, ...]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    run(clip, out=tmp_path / "a" / "out.mp4", format=formats)
    with pytest.raises(KeyboardInterrupt):
        run(clip, out=tmp_path / "b" / "out.mp4", format=formats, detector=Slow(22))
    assert not any(path.name[0] != "." for path in (tmp_path / "b").iterdir())
    detector = Spots()
    done = run(clip, out=tmp_path / "b" / "out.mp4", format=formats, detector=detector)
    assert done.videos[0].kept > 0 and done.videos[0].kept + len(detector.seen) == 30
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in (tmp_path / "b").iterdir())
    if "jsonl" in formats:
        assert (tmp_path / "a" / "out.jsonl").read_bytes() == (tmp_path / "b" / "out.jsonl").read_bytes()


_KILLED = """
import sys, time
from calco.detection.predict import predict
from calco.detection.config import PredictConfig
from detection.spots import Spots

class Steady(Spots):
    def one(self, image):
        time.sleep(0.05)
        return super().one(image)

predict(PredictConfig(model="m", sources=tuple(sys.argv[2:]), out=sys.argv[1]), Steady())
"""


@pytest.mark.slow
def test_a_kill_costs_nothing_that_was_done(clip: Path, images: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(images, clip, out=whole)
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    words = [sys.executable, "-c", _KILLED, str(cut), str(images), str(clip)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths})
    part = cut / ".clip.mp4.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.read_bytes().count(b'"packet"') > 20):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    detector = Spots()
    done = run(images, clip, out=cut, detector=detector)
    assert done.kept == 4 and 0 < len(detector.seen) < 12
    for name in ("detections.jsonl", "clip.mp4.jsonl", "prediction.json"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes()
    with av.open(str(cut / "clip.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_live_images_are_drawn_and_noted(clip: Path, tmp_path: Path) -> None:
    done = run(clip, out=tmp_path / "out", live=True)
    assert done.frames.seen > 3 and done.frames.objects["spot"] > 3
    (made,) = (tmp_path / "out").glob("live-*.mp4")
    rows = lines_of(made.with_suffix(".jsonl"))
    assert len(rows) == done.frames.objects["spot"] and "time" in rows[0]
    with av.open(str(made)) as container:
        assert next(container.decode(video=0)).width == 160


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"codec": "h264"}, "leave it out for live ones"),
        ({"format": ("csv",)}, "JSON lines alone"),
        ({"out": ""}, "no output was chosen"),
    ],
)
def test_live_images_that_cannot_be(clip: Path, tmp_path: Path, options: dict[str, object], said: str) -> None:
    given = {"out": tmp_path / "out", "live": True, **options}
    with pytest.raises(CalcoError, match=said):
        run(clip, **given)


@pytest.mark.parametrize(("format", "kilobytes"), [("jsonl", 12), ("drawn", 28)])
def test_a_full_disk_is_one_line_and_the_same_call_goes_on(tmp_path: Path, format: str, kilobytes: int) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(40):
        image = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        imaging.write(source / f"{number:02d}{'x' * 200}.png", image)
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        with pytest.raises(DiskError, match="cannot write .*: No space left.*, and the same command"):
            run(source, out=disk / "out", format=(format,))
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        done = run(source, out=disk / "out", format=(format,))
        assert done.written + done.kept == 40


def test_lines_go_on_behind_the_last_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = Journal(path, {"model": 1})
    for number in range(5):
        lines.add({"n": number})
    with path.open("ab") as file:
        file.write(b'{"n": 5')
    again = Journal(path, {"model": 1})
    assert again.count == 5
    again.add({"n": "new"})
    again.finish(tmp_path / "b.jsonl")
    assert [row["n"] for row in lines_of(tmp_path / "b.jsonl")] == [0, 1, 2, 3, 4, "new"]
    other = Journal(path, {"model": 2})
    assert other.count == 0


def test_an_image_without_objects_gets_a_sentence_and_no_table(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("calco.detection.exported.open_detector", lambda *_, **__: Spots())
    monkeypatch.setattr("calco.detection.exported.detector_digest", lambda *_, **__: "spots")
    calco.cli.main(["detect", "predict", "m", str(images / "deep" / "nothing.png"), "--out", str(tmp_path / "x.png")])
    told = "".join(capsys.readouterr())
    assert "nothing found in 1 image\n" in told and "score" not in told
