"""Jobs of the studio, with real processes: done, cancelled, interrupted, refused, delivered and cleaned."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.errors import CalcoError
from calco.inference.translator import load
from calco.video.reading import Video
from calco.web import job_processes
from calco.web import jobs as jobs_module
from calco.web.archives import Limits
from calco.web.jobs import Job, Jobs
from calco.web.refusals import RefusedError
from calco.web.served import ServedModel
from calco.web.uploads import recognise
from support import ROOT, small_disk
from video.videos import make_image, make_video, model
from web.archives import image_bytes, written, zip_bytes

PATIENCE = 120.0
ENDED = ("done", "failed", "cancelled")


def faces(path: Path) -> ServedModel:
    return ServedModel(name="faces", kind="translator", job="translate", path=path, uses_noise=True)


@pytest.fixture(autouse=True)
def _ordinary_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of a lower one would wait for the tests that run beside them."""
    monkeypatch.setattr(job_processes, "_NICE", 0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return faces(model(tmp_path_factory.mktemp("models") / "faces"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    import torch

    from calco.detection.lite import LiteDetector
    from calco.detection.model import DetectorInfo, save_detector

    torch.manual_seed(0)
    info = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("dog", "cat"), size=64)
    folder = tmp_path_factory.mktemp("models") / "dogs"
    save_detector(folder, info, LiteDetector(2, width=16, depth=1))
    return ServedModel(name="dogs", kind="detector", job="detect", path=folder)


@pytest.fixture(scope="module")
def slow_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some minutes of work."""
    frames = [make_image(number, (640, 480)) for number in range(20)] * 30
    return make_video(tmp_path_factory.mktemp("videos") / "slow.mp4", frames)


@contextlib.contextmanager
def opened(folder: Path, **how: Any) -> Iterator[Jobs]:
    jobs = Jobs(folder, **how)
    try:
        yield jobs
    finally:
        jobs.close()


def awaited(jobs: Jobs, id: str, until: Callable[[Job], bool] = lambda job: job.state in ENDED) -> Job:
    limit = time.monotonic() + PATIENCE
    while not until(job := jobs.get(id)):
        assert time.monotonic() < limit, job
        time.sleep(0.02)
    return job


def is_working(job: Job) -> bool:
    assert job.state in ("queued", "running"), job
    return job.count > 0


def workers() -> list[int]:
    """Processes of jobs that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"calco.web.worker" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


def test_a_video_becomes_a_video(tmp_path: Path, served: ServedModel) -> None:
    source = make_video(tmp_path / "holiday in Lima.mov", 12, sound="aac")
    with opened(tmp_path / "jobs") as jobs:
        id = jobs.submit(model=served, upload=source, options={}, client="a")
        job = awaited(jobs, id)
        assert (job.state, job.kind, job.progress, job.count, job.total) == ("done", "video", 1, 12, 12), job
        assert job.result is not None and job.preview is not None
        frames = [*Video(job.result).frames()]
        assert len(frames) == 12 and frames[0].image.shape == (48, 64, 3)
        assert imaging.read(job.preview).shape == (48, 64, 3)
        # The upload and what the work left are gone.
        assert sorted(path.name for path in job.result.parent.iterdir()) == ["preview.jpg", "result.mp4"]
    assert source.exists()


def test_images_in_a_zip_become_a_zip(tmp_path: Path, served: ServedModel) -> None:
    files = {"a.png": image_bytes(1), "day 1/b.png": image_bytes(2), "notes.txt": b"no image"}
    upload = written(tmp_path / "many.zip", zip_bytes(files))
    with opened(tmp_path / "jobs") as jobs:
        job = awaited(jobs, jobs.submit(model=served, upload=upload, options={}, client="a", language="es"))
        assert job.state == "done" and job.result is not None, job
        assert job.message == "1 of 3 files are left out; left_out.txt in the ZIP says why"
        assert job.spanish.startswith("se omitieron 1 de 3 archivos")
        with zipfile.ZipFile(job.result) as archive:
            assert sorted(archive.namelist()) == ["a.png", "day 1/b.png", "left_out.txt"]
            assert archive.read("left_out.txt").decode() == "notes.txt: no es una imagen, o está dañada\n"
            made = imaging.decode(archive.read("day 1/b.png"), "b.png")
    right = load(served.path, precision="auto")(imaging.decode(files["day 1/b.png"], "b.png"))
    assert np.array_equal(made, right)


def test_several_images_become_a_zip_under_their_names(tmp_path: Path, served: ServedModel) -> None:
    with opened(tmp_path / "jobs") as jobs:
        with contextlib.ExitStack() as held:
            uploads = {name: written(held.enter_context(jobs.incoming()), image_bytes(number))
                       for number, name in enumerate(["one.png", "../two.png"])}  # fmt: skip
            id = jobs.submit(model=served, upload=uploads, options={"noise_seed": 3}, client="a")
        job = awaited(jobs, id)
        assert job.state == "done" and job.result is not None, job
        with zipfile.ZipFile(job.result) as archive:
            assert archive.namelist() == ["one.png", "two.png"]


def test_a_detector_does_images_and_videos(tmp_path: Path, detector: ServedModel) -> None:
    upload = written(tmp_path / "many.zip", zip_bytes({"a/b.png": image_bytes(1), "c.png": image_bytes(2)}))
    with opened(tmp_path / "jobs") as jobs:
        options = {"threshold": 0.01}
        images = jobs.submit(model=detector, upload=upload, options=options, client="a")
        video = jobs.submit(model=detector, upload=make_video(tmp_path / "v.mp4", 5), options=options, client="a")
        job = awaited(jobs, images)
        assert job.state == "done" and job.result is not None, job
        with zipfile.ZipFile(job.result) as archive:
            assert sorted(archive.namelist()) == ["a/b.png", "c.png", "detections.csv", "detections.jsonl"]
            assert archive.read("detections.csv").decode().startswith("image,")
            rows = [json.loads(line) for line in archive.read("detections.jsonl").splitlines()]
            assert [row["image"] for row in rows] == ["a/b.png", "c.png"] and rows[0]["detections"]
        job = awaited(jobs, video)
        assert job.state == "done" and job.result is not None, job
        assert len([*Video(job.result).frames()]) == 5
        lines = [json.loads(line) for line in job.boxes["jsonl"].read_text().splitlines()]
        assert [line["frame"] for line in lines] == [*range(5)] and lines[0]["detections"]
        table = job.boxes["csv"].read_text().splitlines()
        assert len(table) == 1 + sum(len(line["detections"]) for line in lines)
        jobs.clean()
        assert jobs.get(video).boxes.keys() == {"csv", "jsonl"}


@pytest.mark.slow
def test_jobs_have_a_lower_priority(tmp_path: Path, served: ServedModel, slow_video: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with opened(tmp_path / "jobs") as jobs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_processes, "_NICE", 3)
        slow = jobs.submit(model=served, upload=slow_video, options={}, client="a")
        awaited(jobs, slow, is_working)
        assert [os.getpriority(os.PRIO_PROCESS, process) for process in workers()] == [min(19, own + 3)]


@pytest.mark.slow
def test_a_slow_video_does_not_block_images_and_a_cancelled_one_frees_its_process(
    tmp_path: Path, served: ServedModel, slow_video: Path
) -> None:
    with opened(tmp_path / "jobs") as jobs:
        slow = jobs.submit(model=served, upload=slow_video, options={}, client="a")
        waits = jobs.submit(model=served, upload=make_video(tmp_path / "v.mp4", 3), options={}, client="a")
        awaited(jobs, slow, is_working)
        image = jobs.submit(model=served, upload=written(tmp_path / "a.png", image_bytes()), options={}, client="a")
        assert awaited(jobs, image).state == "done"
        assert jobs.get(slow).state == "running"
        assert (jobs.get(waits).state, jobs.get(waits).ahead) == ("queued", 1)
        began = time.monotonic()
        jobs.cancel(slow)
        assert jobs.get(slow).state == "cancelled"
        awaited(jobs, waits, lambda job: job.state != "queued")
        assert time.monotonic() - began < 2
        assert not (tmp_path / "jobs" / slow).exists()
        assert awaited(jobs, waits).state == "done"


@pytest.mark.slow
def test_a_killed_process_goes_on_where_it_was(tmp_path: Path, served: ServedModel) -> None:
    frames = [make_image(number, (640, 480)) for number in range(60)]
    with opened(tmp_path / "jobs") as jobs:
        id = jobs.submit(model=served, upload=make_video(tmp_path / "v.mp4", frames), options={}, client="a")
        awaited(jobs, id, lambda job: job.count > 25)
        (process,) = workers()
        os.kill(process, signal.SIGKILL)
        job = awaited(jobs, id)
        assert job.state == "done" and job.result is not None, job
        assert len([*Video(job.result).frames()]) == 60


def test_a_process_that_dies_again_and_again_fails_its_job(
    tmp_path: Path, served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def start(self: Any) -> "subprocess.Popen[bytes]":
        started.append(1)
        command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(job_processes.JobProcesses, "_begun", start)
    with opened(tmp_path / "jobs") as jobs:
        id = jobs.submit(model=served, upload=make_video(tmp_path / "v.mp4", 3), options={}, client="a")
        job = awaited(jobs, id)
    assert (job.state, len(started)) == ("failed", 3)
    assert "interrupted 3 times at the same place (its process was killed, as happens where the memory" in job.message
    assert "se interrumpió 3 veces en el mismo punto (se mató su proceso" in job.spanish


STUDIO = """
import sys, time
from pathlib import Path
from calco.web.jobs import Jobs
from web.test_jobs import faces
jobs = Jobs(Path(sys.argv[1]))
for upload in sys.argv[3:]:
    print(jobs.submit(model=faces(Path(sys.argv[2])), upload=Path(upload), options={}, client=upload), flush=True)
time.sleep(600)
"""


def start_studio(folder: Path, served: ServedModel, *uploads: Path) -> "subprocess.Popen[str]":
    """A studio in another process that accepts some jobs, and prints their ids."""
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", STUDIO, str(folder), str(served.path), *map(str, uploads)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})


def kill_studios(folder: Path, served: ServedModel, uploads: list[Path], times: int) -> list[Job]:
    """Kill a studio at work a number of times, each at another moment; return what became of all jobs."""
    ids: list[str] = []
    for number in range(times):
        given = uploads if not number else uploads[:1]
        studio = start_studio(folder, served, *given)
        assert studio.stdout is not None
        ids += [studio.stdout.readline().strip() for _ in given]
        time.sleep(0.3 + 0.35 * number)
        studio.kill()
        studio.wait()
        studio.stdout.close()
    with opened(folder) as jobs:
        return [awaited(jobs, id) for id in ids]


@pytest.mark.slow
def test_a_killed_studio_loses_no_accepted_job(tmp_path: Path, served: ServedModel) -> None:
    video = make_video(tmp_path / "v.mp4", 20)
    images = written(tmp_path / "many.zip", zip_bytes({f"{number}.png": image_bytes(number) for number in range(5)}))
    ended = kill_studios(tmp_path / "jobs", served, [video, images], 2)
    assert [job.state for job in ended] == ["done"] * 3, ended


@pytest.mark.slow
def test_kill_9_twenty_times_ends_every_accepted_job(tmp_path: Path, served: ServedModel) -> None:
    frames = [make_image(number, (320, 240)) for number in range(100)]
    video = make_video(tmp_path / "v.mp4", frames)
    images = written(tmp_path / "many.zip", zip_bytes({f"{number}.png": image_bytes(number) for number in range(50)}))
    ended = kill_studios(tmp_path / "jobs", served, [video, images], 10)
    with opened(tmp_path / "jobs", most_per_client=20) as jobs:  # and the processes of jobs
        for _ in range(10):
            id = jobs.submit(model=served, upload=video, options={}, client="a")
            awaited(jobs, id, is_working)
            for process in workers():
                os.kill(process, signal.SIGKILL)
            ended.append(awaited(jobs, id))
    assert len(ended) == 21
    assert {job.state for job in ended} <= {"done", "failed"}
    assert all(job.result for job in ended if job.state == "done")
    assert all("interrupted" in job.message for job in ended if job.state == "failed")
    assert sum(job.state == "done" for job in ended) >= 15


def test_a_closed_studio_goes_on_at_its_next_start(tmp_path: Path, served: ServedModel, slow_video: Path) -> None:
    with opened(tmp_path / "jobs") as jobs:
        id = jobs.submit(model=served, upload=slow_video, options={}, client="a")
        awaited(jobs, id, is_working)
    assert workers() == []
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite") as store:
        assert store.execute("SELECT state, attempts FROM jobs").fetchall() == [("queued", 0)]
    with opened(tmp_path / "jobs") as jobs:
        awaited(jobs, id, lambda job: job.state == "running")  # what it had done before counts already while it waits
        jobs.cancel(id)


# ---- What is refused ----


@pytest.fixture
def idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """Jobs that nobody does."""
    monkeypatch.setattr(job_processes.JobProcesses, "_serve", lambda *_: None)
    with opened(tmp_path / "jobs", most=3, most_per_client=2) as jobs:
        yield jobs


def test_a_full_queue_and_a_greedy_client_are_refused(idle: Jobs, tmp_path: Path, served: ServedModel) -> None:
    upload = written(tmp_path / "a.png", image_bytes())
    ids = [idle.submit(model=served, upload=upload, options={}, client="a") for _ in range(2)]
    with pytest.raises(RefusedError, match="your share of the queue of jobs is full with 2 waiting"):
        idle.submit(model=served, upload=upload, options={}, client="a")
    idle.submit(model=served, upload=upload, options={}, client="b")
    with pytest.raises(RefusedError, match="the queue of jobs is full with 3 waiting"):
        idle.submit(model=served, upload=upload, options={}, client="c")
    idle.cancel(ids[0])
    idle.submit(model=served, upload=upload, options={}, client="c")
    assert len([path for path in idle.folder.iterdir() if path.is_dir() and len(path.name) == 32]) == 3


def test_ids_cannot_be_guessed_and_name_no_files(idle: Jobs, tmp_path: Path, served: ServedModel) -> None:
    upload = written(tmp_path / "a.png", image_bytes())
    ids = {idle.submit(model=served, upload=upload, options={}, client=str(number)) for number in range(3)}
    assert all(len(id) == 32 for id in ids) and len({id[:8] for id in ids}) == 3
    for wrong in ("", "0" * 32, "../jobs", f"{next(iter(ids))}/..", "x" * 5000, "%"):
        with pytest.raises(RefusedError, match="there is no such job"):
            idle.get(wrong)
        with pytest.raises(RefusedError):
            idle.cancel(wrong)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"noise_seed": -1}, "noise seed is -1; it must lie between 0"),
        ({"threshold": 0.5}, "threshold does not serve faces here; leave it out: what serves it is noise_seed, steady"),
        ({"overlay": True}, "overlay does not serve faces here"),
        ({"steady": True}, "steady is for videos, and images were sent"),
        ({"speed": 3}, "has the unknown field speed"),
        ({"steady": "very"}, "a job's options: "),
    ],
)
def test_wrong_options_are_refused(
    idle: Jobs, tmp_path: Path, served: ServedModel, options: dict[str, Any], line: str
) -> None:
    with pytest.raises(CalcoError) as met:
        idle.submit(model=served, upload=written(tmp_path / "a.png", image_bytes()), options=options, client="a")
    assert line in str(met.value)
    assert idle.counts() == {}


def flat_image(path: Path, side: int) -> Path:
    Pillow.new("1", (side, side)).save(path)
    return path


LONG = 4 * 3600 * 100  # hundredths of a second
UPLOADS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "four hours": (lambda path: make_video(path / "v.mp4", 3, times=[0, LONG // 2, LONG]),
                   "the video is 240 minutes long, and at most 30 are taken"),
    "text": (lambda path: written(path / "v.mp4", b"This is no video. " * 100), "neither an image, nor a video"),
    "nothing": (lambda path: written(path / "v.mp4", b""), "the upload is empty"),
    "cut off": (lambda path: written(path / "w.mp4", make_video(path / "v.mp4", 20).read_bytes()[:300]),
                "neither an image, nor a video"),
    "large": (lambda path: flat_image(path / "a.png", 9000), "9000 x 9000 pixels, and at most"),
    "archive": (lambda path: written(path / "a.zip", zip_bytes({"../a.png": image_bytes()})), "outside itself"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UPLOADS)
def test_an_upload_is_refused_before_work_begins(idle: Jobs, tmp_path: Path, served: ServedModel, kind: str) -> None:
    make, line = UPLOADS[kind]
    with pytest.raises(RefusedError) as met:
        idle.submit(model=served, upload=make(tmp_path), options={}, client="a")
    assert line in str(met.value) and "\n" not in str(met.value) and str(tmp_path) not in str(met.value)
    assert sorted(path.name for path in idle.folder.iterdir() if path.is_dir()) == []


def test_the_content_decides_what_an_upload_is(tmp_path: Path) -> None:
    limits = Limits()
    kinds = {"video.png": make_video(tmp_path / "a.mkv", 3).read_bytes(), "image.zip": image_bytes(),
             "archive.mp4": zip_bytes({"a.png": image_bytes()})}  # fmt: skip
    found = {name: recognise(written(tmp_path / name, data), limits) for name, data in kinds.items()}
    assert found == {"video.png": "video", "image.zip": "images", "archive.mp4": "images"}


def test_a_video_whose_container_lies_about_its_length_is_ended(tmp_path: Path, served: ServedModel) -> None:
    """A raw stream has no length at all."""
    source = make_video(tmp_path / "v.h264", 80)
    with opened(tmp_path / "jobs", limits=Limits(video_seconds=2)) as jobs:
        job = awaited(jobs, jobs.submit(model=served, upload=source, options={}, client="a"))
    assert job.state == "failed" and "minutes long, and at most" in job.message, job


def test_a_full_disk_fails_the_job_in_one_line_and_leaves_nothing(tmp_path: Path, served: ServedModel) -> None:
    frames = [np.random.default_rng(number).integers(0, 256, (240, 320, 3), np.uint8) for number in range(40)]
    source = make_video(tmp_path / "v.mp4", frames)
    room = source.stat().st_size // 1024 + 300
    with small_disk(tmp_path / "disk", room) as disk, opened(disk / "jobs") as jobs:
        job = awaited(jobs, jobs.submit(model=served, upload=source, options={}, client="a"))
        assert (job.state, job.message) == (
            "failed", "the disk of the studio is full; ask for room there, and send it again",
        )  # fmt: skip
        assert [path for path in jobs.folder.iterdir() if path.is_dir()] == []
        with pytest.raises(RefusedError, match="disk of the studio is full"):
            jobs.submit(model=served, upload=written(tmp_path / "big.png", image_bytes(0, (900, 900))), options={},
                        client="a")  # fmt: skip


def test_a_model_that_cannot_do_it_says_so_without_paths(tmp_path: Path, served: ServedModel) -> None:
    gone = faces(tmp_path / "nowhere" / "model")
    with opened(tmp_path / "jobs") as jobs:
        upload = written(tmp_path / "a.png", image_bytes())
        first = jobs.submit(model=gone, upload=upload, options={}, client="a")
        assert "there is no model" in awaited(jobs, first).message
        assert str(tmp_path) not in jobs.get(first).message


# ---- Results ----


@pytest.fixture
def done(tmp_path: Path, served: ServedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """Jobs whose results are there at once."""

    def start(self: Any) -> "subprocess.Popen[bytes]":
        code = (
            "import json, sys, pathlib; task = json.loads(sys.stdin.readline());"
            "pathlib.Path(task['folder'], 'result.zip').write_bytes(bytes(100_000));"
            "print(json.dumps({'state': 'done', 'result': 'result.zip', 'code': '', 'details': {}}))"
        )
        return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(job_processes.JobProcesses, "_begun", start)
    with opened(tmp_path / "jobs") as jobs:
        yield jobs


def a_result(jobs: Jobs, served: ServedModel, tmp_path: Path, **options: Any) -> str:
    id = jobs.submit(
        model=served, upload=written(tmp_path / "a.png", image_bytes()), options=options, client=os.urandom(4).hex()
    )
    assert awaited(jobs, id).state == "done"
    return id


def test_a_delivered_result_is_deleted_unless_it_is_to_be_kept(
    done: Jobs, served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_LINGER", -1.0)
    given, kept, waits = (a_result(done, served, tmp_path, keep=keep) for keep in (False, True, False))
    done.delivered(given)
    done.delivered(kept)
    done.clean()
    assert (done.get(given).result, done.get(given).message) == (None, "the result was delivered and deleted")
    assert done.get(kept).result is not None and done.get(waits).result is not None
    assert not (done.folder / given).exists()
    done.cancel(kept)
    assert done.get(kept).result is None and not (done.folder / kept).exists()


def test_old_jobs_and_the_oldest_results_above_the_room_are_removed(
    done: Jobs, served: ServedModel, tmp_path: Path
) -> None:
    old, first, second = (a_result(done, served, tmp_path) for _ in range(3))
    done._store._write("UPDATE jobs SET ended = ended - 90000 WHERE id = ?", old)
    done.clean()
    with pytest.raises(RefusedError):
        done.get(old)
    done.keep_bytes = sum(path.stat().st_size for path in done.folder.rglob("*") if path.is_file()) - 1
    done.clean()
    assert done.get(first).result is None and done.get(second).result is not None
    assert "to make room for others" in done.get(first).message
    done.keep_bytes = 10
    with pytest.raises(RefusedError, match="no room for another upload"):
        a_result(done, served, tmp_path)


# ---- The store ----


def test_two_studios_do_not_share_a_folder(tmp_path: Path, served: ServedModel) -> None:
    studio = start_studio(tmp_path / "jobs", served, written(tmp_path / "a.png", image_bytes()))
    assert studio.stdout is not None and studio.stdout.readline().strip()
    try:
        with pytest.raises(CalcoError, match="calco serve .* is at work on"):
            Jobs(tmp_path / "jobs")
    finally:
        studio.kill()
        studio.wait()
        studio.stdout.close()


@pytest.mark.parametrize("newer", [True, False])
def test_a_store_that_is_newer_or_none_is_refused(tmp_path: Path, newer: bool) -> None:
    path = tmp_path / "jobs.sqlite"
    if newer:
        with contextlib.closing(sqlite3.connect(path)) as store:
            store.execute("PRAGMA user_version = 99")
    else:
        path.write_bytes(b"no database " * 1000)
    with pytest.raises(CalcoError, match="is of format 99" if newer else "cannot use"):
        Jobs(tmp_path)


def test_what_belongs_to_no_job_is_removed_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path) as jobs:
        assert jobs.counts() == {}
    (tmp_path / ("0" * 32)).mkdir()
    written(tmp_path / ("0" * 32) / "upload", b"x")
    (tmp_path / "uploads").mkdir(exist_ok=True)
    written(tmp_path / "uploads" / "half", b"x")
    (tmp_path / "mine").mkdir()
    with opened(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["mine"]
