"""Whole watches over real videos: events, crops, video, page; interruptions, blurring, painting, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calco import imaging, journal
from calco.annotations.detections import Detections
from calco.cli import main
from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.detection.model import DetectorInfo, build_network, save_detector
from calco.errors import CalcoError
from calco.inference.folder import ModelInfo
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.outputs import LOCK, Outputs
from calco.video.reading import Video
from calco.watch.config import WatchConfig
from calco.watch.painting import FaceBlur, blur, head_of
from calco.watch.rules import Rule, Rules
from calco.watch.run import watch
from calco.watch.watcher import Watcher, remove_old
from support import ROOT, lock_held
from watch.finders import Colours
from watch.walking import SIZE, walk

RULES = """
zones:
  right: {pixels: [[80, 0], [160, 0], [160, 120], [80, 120]]}
rules:
  - {name: enters, class: person, zone: right}
  - {name: armed, class: person, near: {class: gun, within: 0.6}, seconds: 0.5, cool_down: 1}
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walk(tmp_path_factory.mktemp("videos") / "walk.mp4")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(RULES)
    return path


def config(source: Path, out: Path, rules: Path | None = None, **more: Any) -> WatchConfig:
    return WatchConfig(source=str(source), out=str(out), rules="" if rules is None else str(rules), **more)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def frames(path: Path) -> list[imaging.Image]:
    return [frame.image for frame in Video(path).frames()]


@pytest.fixture(scope="module")
def whole(video: Path, rules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "watch"
    watch(config(video, out, rules), detector=Colours())
    return out


def test_events_tracks_crops_and_video(whole: Path) -> None:
    events = journal.read(whole / "events.jsonl")
    assert [(e["rule"], e["track"], e["class"]) for e in events][:2] == [
        ("enters", 1, "person"),
        ("armed", 1, "person"),
    ]
    enters, armed = events[:2]
    # The middle of its feet, 4 + 2 n + 9, reaches 80 in frame 34.
    assert (enters["frame"], enters["time"], enters["zone"]) == (34, 3.4, "right")
    assert enters["box"] == pytest.approx([72, 50, 90, 90], abs=2) and enters["score"] > 0.5
    assert armed["near"][0]["class"] == "gun" and armed["near"][0]["distance"] <= 0.6 and armed["held"] >= 0.5
    crop = imaging.read(whole / armed["crop"])
    assert (crop[..., 0] > 180).any() and (crop[..., 2] > 180).any()  # both are on it
    tracks = journal.read(whole / "tracks.jsonl")
    assert [(t["class"], t["first"]) for t in tracks] == [("person", 0.0), ("gun", 3.0)]
    assert tracks[0]["last"] == 5.9 and tracks[0]["seen"] == 60
    shown = Video(whole / "video.mp4")
    assert shown.size == SIZE and len(frames(whole / "video.mp4")) == 60
    assert [round(float(frame.time), 3) for frame in shown.frames()][:3] == [0, 0.1, 0.2]
    record = json.loads((whole / "watch.json").read_text())
    assert record["events"] == {"enters": 1, "armed": len(events) - 1} and record["stages"]["detect"] > 0


def test_a_track_lasts_while_not_every_frame_is_looked_at(video: Path, rules: Path, tmp_path: Path) -> None:
    detector = Colours()
    done = watch(config(video, tmp_path / "w", rules, every=3, video=False), detector=detector)
    assert len(detector.seen) == 20 and done.frames == 60
    events = journal.read(tmp_path / "w" / "events.jsonl")
    assert events[0]["rule"] == "enters" and events[0]["frame"] in (33, 34, 35) and events[0]["track"] == 1
    assert not (tmp_path / "w" / "video.mp4").exists()


def test_it_is_there_already(whole: Path, video: Path, rules: Path) -> None:
    with pytest.raises(CalcoError, match="holds a watch; --resume goes on with it, --overwrite begins anew"):
        watch(config(video, whole, rules), detector=Colours())
    with pytest.raises(CalcoError, match="was begun with another every"):
        watch(config(video, whole, rules, every=2, resume=True), detector=Colours())
    before = lines(whole / "events.jsonl")
    done = watch(config(video, whole, rules, resume=True), detector=Colours())
    assert done.frames == 0 and lines(whole / "events.jsonl") == before


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from watch.finders import Colours
from calco.watch.config import WatchConfig
from calco.watch.watcher import Watcher
from calco.watch.run import watch
Watcher.every = 7

class Dies(Colours):
    def many(self, images, *, threshold=None):
        found = super().many(images, threshold=threshold)
        if len(self.seen) == {after}:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

config = WatchConfig(source={video!r}, out={out!r}, rules={rules!r}, resume={resume!r})
watch(config, detector=Dies())
"""


@pytest.mark.slow
def test_what_was_killed_twice_ends_as_if_nothing_had_happened(
    whole: Path, video: Path, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed"
    for after, resume in ((41, False), (20, True)):
        code = KILLED.format(here=str(ROOT / "tests"), after=after, video=str(video), out=str(out),
                             rules=str(rules), resume=resume)  # fmt: skip
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert not (out / "video.mp4").exists()
    monkeypatch.setattr(Watcher, "every", 7)
    done = watch(config(video, out, rules, resume=True), detector=Colours())
    assert done.kept >= 14  # it did not begin anew
    assert lines(out / "events.jsonl") == lines(whole / "events.jsonl")
    assert lines(out / "tracks.jsonl") == lines(whole / "tracks.jsonl")
    shown = frames(out / "video.mp4")
    assert len(shown) == 60
    far = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(shown, frames(whole / "video.mp4"), strict=True))
    assert far < 2  # the encoder began anew at another place


def test_stopped_and_gone_on(whole: Path, video: Path, rules: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    class Stops(Colours):
        def many(self, images: Any, *, threshold: float | None = None) -> Any:
            if len(self.seen) == 25:
                stop.set()
            return super().many(images, threshold=threshold)

    done = watch(config(video, tmp_path / "w", rules), detector=Stops(), stop=stop)
    assert done.stopped is not None and done.stopped < 4
    assert (tmp_path / "w" / "timeline.html").exists()
    watch(config(video, tmp_path / "w", rules, resume=True), detector=Colours())
    assert lines(tmp_path / "w" / "events.jsonl") == lines(whole / "events.jsonl")
    assert len(frames(tmp_path / "w" / "video.mp4")) == 60


LOOPS = """
import sys
sys.path.insert(0, {here!r})
from watch.finders import Colours
from calco.watch.config import WatchConfig
from calco.watch.run import watch
done = watch(WatchConfig(source={video!r}, out={out!r}, loops=4, video=False), detector=Colours())
print(done.frames, *done.memory)
"""


@pytest.mark.slow
def test_loops_go_on_in_time_and_hold_no_more_memory(video: Path, tmp_path: Path) -> None:
    # In a process of its own: what other tests left in the heap moves the memory of this one.
    code = LOOPS.format(here=str(ROOT / "tests"), video=str(video), out=str(tmp_path / "w"))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True).stdout
    frames_watched, *memory = map(float, said.splitlines()[-1].split())
    assert frames_watched == 240 and len(memory) == 4
    tracks = journal.read(tmp_path / "w" / "tracks.jsonl")
    assert len({t["track"] for t in tracks}) == len(tracks) >= 8 and tracks[-1]["last"] == pytest.approx(23.9)
    assert memory[3] - memory[1] < 8


def tiny_painter() -> Translator:
    torch.manual_seed(0)
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4), recipe=RecipeConfig(recipe="segment"),
        jitter=JitterConfig(size=32, resize=32), in_channels=3, out_channels=3,
    )  # fmt: skip
    return Translator(info, build_generator(info.generator, 3, 3))


def test_what_is_painted_lies_over_the_person_alone(video: Path, rules: Path, whole: Path, tmp_path: Path) -> None:
    done = watch(config(video, tmp_path / "w", rules, paint_classes=("person",)), detector=Colours(),
                 translator=tiny_painter())  # fmt: skip
    assert done.stages["paint"] > 0
    painted, plain = frames(tmp_path / "w" / "video.mp4"), frames(whole / "video.mp4")
    change = np.abs(painted[20].astype(int) - plain[20]).max(axis=2)
    assert change[40:100, 36:72].max() > 40  # a mask of a network that learned nothing, but a mask
    assert np.median(change[100:, 90:]) < 4
    assert lines(tmp_path / "w" / "events.jsonl") == lines(whole / "events.jsonl")


def test_heads_are_blurred_in_everything_that_leaves(video: Path, rules: Path, tmp_path: Path) -> None:
    got = tmp_path / "got.json"
    hook = f"{sys.executable} -c \"import sys; open('{got}', 'a').write(sys.stdin.read())\""
    watch(config(video, tmp_path / "w", rules, blur_faces=True, hook=hook), detector=Colours())
    events = journal.read(tmp_path / "w" / "events.jsonl")
    crop = imaging.read(tmp_path / "w" / events[0]["crop"]).astype(int)
    # The head's edge against the ground is the sharpest line above the shoulders: it is gone.
    sharp = np.abs(np.diff(crop[:12, :, 0], axis=0)).max()
    assert sharp < 60
    shown = frames(tmp_path / "w" / "video.mp4")[20].astype(int)
    assert np.abs(np.diff(shown[53:60, 60:64, 1], axis=0)).max() < 40
    assert [json.loads(line)["event"] for line in got.read_text().splitlines()] == [e["event"] for e in events]
    assert "Faces are blurred" in (tmp_path / "w" / "timeline.html").read_text()


def test_a_blurred_head_cannot_be_told_from_another() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (80, 60, 3), dtype=np.uint8) for _ in range(2))
    for image in (one, other):
        image[...] = image // 8 + 100  # two faces in one light
    before = np.abs(one.astype(int) - other).mean()
    for image in (one, other):
        blur(image, np.array([5, 5, 55, 75]))
    assert np.abs(one[8:72, 8:52].astype(int) - other[8:72, 8:52]).mean() < before / 8
    assert head_of(np.array([0.0, 0, 40, 160])).tolist() == [-4, pytest.approx(-12.8), 44, 40]
    assert head_of(np.array([0.0, 0, 100, 110]))[3] == 80  # cut at the breast: most of it
    assert head_of(np.array([0.0, 0, 160, 60]))[3] == 60  # who lies
    blur(one, np.array([-50, -50, -5, -5]))  # outside: nothing to do


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"blur_faces": True, "people": ("dog",)}, "--people names dog, which the detector does not find"),
        ({"paint_classes": ("person",)}, "--paint-classes tells what --paint paints"),
        ({"seconds": 3.0}, "--seconds is for cameras and streams"),
        ({"hook": "no-such-program --now"}, "--hook names the program 'no-such-program'"),
        ({"hook": "'unclosed"}, "is no command"),
        ({"webhook": "ftp://somewhere"}, "is no address"),
        ({"webhook": "http://"}, "is no address"),
        ({"resume": True, "loops": 0}, "loops is 0; it must lie between 1 and"),
        ({"keep_hours": 2.0}, "--keep-hours is for cameras and streams"),
        ({"every": 0}, "every is 0"),
        ({"blur_faces": True, "every": 2}, "a face that comes between two looks would be seen"),
        ({"face_model": "x.onnx"}, "serve blur_faces"),
        ({"blur_faces": True, "face_model": "none.onnx"}, "--face-model none.onnx is not there"),
        ({"blur_faces": True, "face_model": __file__}, "is no YuNet face detector"),
        ({"hook": "true", "webhook": "http://a"}, "choose one of them"),
        ({"resume": True, "overwrite": True}, "give one of them"),
        ({"score": 2.0}, "score is 2.0; it must lie between 0 and 1"),
        ({"hook_seconds": 0.0}, "hook seconds is 0.0; it must lie between 0.001 and"),
        ({"source": "none.mp4"}, "cannot read none.mp4"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    video: Path, rules: Path, tmp_path: Path, more: dict[str, Any], complaint: str
) -> None:
    told = {"source": str(video), "out": str(tmp_path / "w"), "rules": str(rules), **more}
    with pytest.raises(CalcoError) as raised:
        watch(WatchConfig(**told), detector=Colours())
    assert complaint in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "w" / "events.jsonl").exists()


def test_a_detector_without_people_cannot_blur_faces(video: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="the detector finds gun; name the classes that have a head"):
        watch(config(video, tmp_path / "w", blur_faces=True), detector=Colours(classes=("gun",)))


def test_what_a_face_detector_finds_is_blurred_too() -> None:
    class Finds:
        def setInputSize(self, size: tuple[int, int]) -> None:
            self.size = size

        def detect(self, image: Any) -> tuple[int, Any]:
            return 1, np.array([[10, 10, 20, 20, *[0] * 11]], np.float32)

    faces = FaceBlur(())
    faces._detector = Finds()
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    blurred = faces(image, [])
    assert np.abs(np.diff(blurred[12:28, 12:28].astype(int), axis=0)).max() < 40
    assert np.array_equal(blurred[45:], image[45:])


@pytest.mark.slow
def test_a_stream_is_watched_and_gone_on_with(video: Path, rules: Path, tmp_path: Path) -> None:
    out = tmp_path / "w"
    told = {"source": str(video), "out": str(out), "rules": str(rules), "live": True}
    began = time.time()
    done = watch(WatchConfig(**told, seconds=4.5), detector=Colours())
    events = journal.read(out / "events.jsonl")
    assert events[0]["rule"] == "enters" and events[0]["clock"].startswith("20")
    assert done.frames > 20 and "frames in" in done.summary and time.time() - began < 30
    first = sorted(out.glob("video-*.mp4"))
    assert len(first) == 1 and sum(1 for _ in Video(first[0]).frames()) > 10
    state = json.loads(max((out / "state").glob("*.json")).read_text())["state"]
    watch(WatchConfig(**told, resume=True), detector=Colours())
    again = journal.read(out / "events.jsonl")
    assert again[: len(events)] == events and len(again) > len(events)
    assert again[-1]["event"] == len(again) and again[-1]["track"] > 1000  # no number is given twice
    assert again[-1]["time"] > state["time"]
    assert len(list(out.glob("video-*.mp4"))) == 2


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    old = [tmp_path / name for name in ("crops/000001.jpg", "video-20260101-000000.mp4")]
    kept = [tmp_path / name for name in ("crops/000002.jpg", "events.jsonl")]
    theirs = [tmp_path / name for name in ("crops/mine.jpg", "video-2020.mp4")]
    for path in (*old, *kept, *theirs):
        path.write_text("x")
    for path in (*old, kept[1], *theirs):
        os.utime(path, (time.time() - 7300, time.time() - 7300))
    outputs = Outputs(tmp_path, "calco detect watch")
    for path in (*old, *kept):
        outputs.record(path)
    kept += theirs
    assert remove_old(outputs, 0) == 0 and remove_old(outputs, 2) == 2
    assert not any(path.exists() for path in old) and all(path.exists() for path in kept)


@pytest.mark.parametrize("name", ["crops/mine.png", "state/mine.txt", "config.yaml", "video-2020.mp4", "tracks.jsonl"])
@pytest.mark.parametrize("option", ["overwrite", "resume", ""])
def test_a_folder_of_somebody_else_is_refused(video: Path, tmp_path: Path, name: str, option: str) -> None:
    path = tmp_path / "w" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    options = config(video, tmp_path / "w", **({option: True} if option else {}))
    with pytest.raises(CalcoError, match="holds other files, such as .*; choose a new or empty folder with --out"):
        watch(options, detector=Colours())
    assert [each for each in (tmp_path / "w").rglob("*") if each.is_file()] == [path]
    assert path.read_text() == "mine"


def test_overwrite_removes_the_watch_and_nothing_else(whole: Path, video: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "w")
    before = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    for name in ("crops/mine.jpg", "video-mine.mp4", "state/2020.json", "notes.txt"):
        (out / name).write_text("mine")
    watch(config(video, out, video=False, overwrite=True), detector=Colours())
    after = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert "video.mp4" in before and "video.mp4" not in after, "what the watch before wrote is removed"
    for name in ("crops/mine.jpg", "video-mine.mp4", "state/2020.json", "notes.txt"):
        assert (out / name).read_text() == "mine"


def test_a_watch_never_removes_its_own_source(whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "w")
    size = (out / "video.mp4").stat().st_size
    with pytest.raises(CalcoError, match="is a result of the watch"):
        watch(config(out / "video.mp4", out, overwrite=True), detector=Colours())
    assert (out / "video.mp4").stat().st_size == size


@pytest.mark.parametrize("option", [{}, {"resume": True}, {"overwrite": True}])
def test_a_watch_at_work_is_left_alone(whole: Path, video: Path, rules: Path, tmp_path: Path, option: Any) -> None:
    out = shutil.copytree(whole, tmp_path / "w")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with lock_held(out / LOCK, "calco detect watch"), pytest.raises(CalcoError, match="calco detect watch .* at work"):
        watch(config(video, out, rules, **option), detector=Colours())
    assert {path: path.read_bytes() for path in before} == before


def test_a_video_on_the_clock(video: Path, tmp_path: Path) -> None:
    done = watch(WatchConfig(source=str(video), out=str(tmp_path / "w"), video=False, every=2), detector=Colours())
    assert done.frames == 60
    assert journal.read(tmp_path / "w" / "events.jsonl") == []
    assert "There were none" in (tmp_path / "w" / "timeline.html").read_text()


def test_the_command(video: Path, rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    settings = {"width": 32, "depth": 1}
    info = DetectorInfo(architecture="lite", classes=("person", "gun"), size=64, settings=settings)
    save_detector(tmp_path / "model", info, build_network("lite", settings, 2))
    told = ["detect", "watch", str(video), "--model", str(tmp_path / "model"), "--rules", str(rules)]
    main([*told, "--out", str(tmp_path / "w"), "--every", "10"])
    said = capsys.readouterr()
    assert "where the time went" in said.out and "encode (beside)" in said.out
    assert "60 frames watched" in said.err and "the timeline is" in said.err
    with pytest.raises(SystemExit) as left:
        main([*told, "--out", str(tmp_path / "w")])
    assert left.value.code == 2 and capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["detect", "watch", str(video), "--out", str(tmp_path / "v")])
    assert "--model is missing" in capsys.readouterr().err
    rules.with_name("dogs.yaml").write_text("rules: [{name: a, class: dog}]")
    with pytest.raises(SystemExit):
        main([*told[:-1], str(rules.with_name("dogs.yaml")), "--out", str(tmp_path / "v")])
    assert "names the class dog, which the detector does not find; choose from person, gun" in capsys.readouterr().err


@dataclass
class Once:
    """Finds one thing in some of its images, by number."""

    where: dict[int, tuple[int, ...]]
    classes: tuple[str, ...] = ("person",)
    threshold: float = 0.5
    number: int = -1

    def many(self, images: Sequence[imaging.Image], *, threshold: float | None = None) -> list[Detections]:
        self.number += 1
        box = self.where.get(self.number)
        count = 0 if box is None else 1
        return [Detections(boxes=np.array(box or (), np.float32).reshape(-1, 4), classes=("person",) * count,
                           scores=np.full(count, 0.9, np.float32))]  # fmt: skip


def events_of(out: Path, where: dict[int, tuple[int, ...]], *, every: int = 1, count: int = 30, rate: float = 10.0,
              state: dict[str, Any] | None = None) -> list[int]:  # fmt: skip
    """The frames of the events that one rule raises, which holds for everything at once."""
    (out / "crops").mkdir(parents=True, exist_ok=True)
    config = WatchConfig(source="x", out=str(out), every=every)
    watcher = Watcher(config, Once(where), Rules(rules=(Rule(name="any"),)), out, (64, 48))
    if state is not None:
        watcher.resume(state)
    for number in range(count):
        watcher.watch(np.zeros((48, 64, 3), np.uint8), number / rate)
    watcher.finish()
    path = out / "events.jsonl"
    return [event["frame"] for event in journal.read(path)] if path.exists() else []


BOX = (10, 10, 30, 40)


def test_one_detection_raises_no_event_except_at_the_very_first_look(tmp_path: Path) -> None:
    assert events_of(tmp_path / "late", {12: BOX}) == []
    assert events_of(tmp_path / "late, looking seldom", {4: BOX}, every=3) == []
    assert events_of(tmp_path / "first", {0: BOX}) == [0]
    assert events_of(tmp_path / "two", {12: BOX, 13: BOX}) == [13]
    assert events_of(tmp_path / "two, looking seldom", {4: BOX, 5: BOX}, every=3) == [15]


def test_looks_further_apart_than_tracks_last_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events_of(tmp_path / "a", dict.fromkeys(range(10), BOX), rate=0.25, count=8)
    said = caplog.text
    caplog.clear()
    assert said.count("looks every 4.0 s, and tracks end after --gap 2 s") == 1 and "--gap 8.0" in said
    events_of(tmp_path / "b", {}, rate=10, count=8)
    assert caplog.text == ""
