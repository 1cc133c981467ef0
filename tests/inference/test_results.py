"""Which results count as done, and what belongs to others: in folders, tar files, at addresses, and for videos."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from calco import CalcoError, imaging
from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.inference.folder import ModelInfo, save_model
from calco.inference.images import translate_images
from calco.inference.results import REMOTE_LOG
from calco.inference.translator import load
from calco.inference.video import VideoOptions, translate_videos
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.outputs import LOCK, LOG, lock_name
from support import lock_held
from video.videos import make_video, mirror

INFO = ModelInfo(
    generator=GeneratorConfig(depth=3, filters=4, composition="plain"),
    recipe=RecipeConfig(recipe="aligned"),
    jitter=JitterConfig(size=32, resize=36, fit="cover"),
    in_channels=3,
    out_channels=3,
)


def saved(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    network = build_generator(INFO.generator, 3, 3)
    for weights in network.parameters():
        weights.data.mul_(4)
    save_model(folder, INFO, network.state_dict(), None)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "model", 0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png", "sub/c.png")):
        write(tmp_path / "in" / name, number)
    return tmp_path / "in"


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    path.write_bytes(imaging.encode(values, ".bmp") if path.suffix == ".bmp" else imaging.encode(values, path.name))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["a.png", "sub/c.png", "translation.json"])
def test_a_file_of_somebody_else_is_refused_before_anything_is_written(
    model: Path, source: Path, tmp_path: Path, name: str, overwrite: bool
) -> None:
    theirs = tmp_path / "out" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(CalcoError, match=f"{name} is there already and was not written by Calco"):
        translate_images(model, source, tmp_path / "out", overwrite=overwrite)
    assert contents(tmp_path / "out") == {name: b"mine"}


def test_a_link_under_the_name_of_a_result_is_refused(model: Path, source: Path, tmp_path: Path) -> None:
    before = contents(source)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to("../in/a.png")
    with pytest.raises(CalcoError, match="a.png is there already"):
        translate_images(model, source, tmp_path / "out", overwrite=True)
    assert contents(source) == before
    assert (tmp_path / "out" / "a.png").is_symlink()


def test_an_input_that_was_replaced_is_translated_again(model: Path, tmp_path: Path) -> None:
    given = tmp_path / "in" / "a.bmp"
    write(given, 0)
    before = os.stat(given)
    translate_images(model, given.parent, tmp_path / "out")
    first = (tmp_path / "out" / "a.bmp").read_bytes()
    write(given, 5)  # as many bytes, and the time of the one before
    os.utime(given, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(given).st_size == before.st_size
    done = translate_images(model, given.parent, tmp_path / "out")
    assert (done.written, done.kept) == (1, 0)
    assert (tmp_path / "out" / "a.bmp").read_bytes() != first
    assert np.array_equal(imaging.read(tmp_path / "out" / "a.bmp"), load(model)(imaging.read(given)))
    os.utime(given)  # another time and the same bytes
    done = translate_images(model, given.parent, tmp_path / "out")
    assert (done.written, done.kept) == (0, 1)


def test_a_copy_of_a_folder_of_results_still_counts(model: Path, source: Path, tmp_path: Path) -> None:
    translate_images(model, source, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)  # with other times
    assert translate_images(model, source, tmp_path / "copy").kept == 3


def test_a_result_that_somebody_has_changed_is_kept_until_overwrite(model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    translate_images(model, source, out)
    made = (out / "b.png").read_bytes()
    (out / "b.png").write_bytes(b"retouched")
    with pytest.raises(CalcoError, match="b.png is there already and has been changed since Calco wrote it"):
        translate_images(model, source, out)
    assert (out / "b.png").read_bytes() == b"retouched"
    assert translate_images(model, source, out, overwrite=True).written == 3
    assert (out / "b.png").read_bytes() == made


def test_a_name_that_somebody_takes_after_a_kill_is_theirs(model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    translate_images(model, source, out)
    (out / "b.png").unlink()
    (out / "b.png").write_bytes(b"mine")
    with pytest.raises(CalcoError, match="b.png is there already"):
        translate_images(model, source, out)
    assert (out / "b.png").read_bytes() == b"mine"


def test_a_result_that_was_not_noted_as_done_is_made_again(model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    translate_images(model, source, out)
    lines = (out / LOG).read_text().splitlines()
    kept = [line for line in lines if '"done": "b.png"' not in line]  # as a kill right after the rename leaves it
    assert len(kept) == len(lines) - 1
    (out / LOG).write_text("\n".join(kept) + '\n{"file": "su')
    done = translate_images(model, source, out)
    assert (done.written, done.kept) == (1, 2)
    assert translate_images(model, source, out).kept == 3


def test_another_mask_is_another_input(tmp_path: Path) -> None:
    from dataclasses import replace

    from calco.data.recipes import EraseConfig

    info = replace(INFO, recipe=RecipeConfig(recipe="erase", erase=EraseConfig()),
                   generator=replace(INFO.generator, composition="filled"))  # fmt: skip
    save_model(tmp_path / "m", info, build_generator(info.generator, 3, 3).state_dict(), None)
    write(tmp_path / "in" / "a.png", 0)
    mask = np.zeros((12, 16, 1), np.uint8)
    for top in (2, 6):
        mask[top : top + 3, 4:8] = 255
        imaging.write(tmp_path / "masks" / "a.png", mask) if (tmp_path / "masks").mkdir(exist_ok=True) is None else None
        done = translate_images(tmp_path / "m", tmp_path / "in", tmp_path / "out", masks=tmp_path / "masks")
        assert (done.written, done.kept) == (1, 0)
    assert translate_images(tmp_path / "m", tmp_path / "in", tmp_path / "out", masks=tmp_path / "masks").kept == 1


def test_loaded_models_are_told_apart(model: Path, source: Path, tmp_path: Path) -> None:
    other = load(saved(tmp_path / "other", 1))
    translate_images(load(model), source, tmp_path / "out")
    with pytest.raises(CalcoError, match="what another model or other options made"):
        translate_images(other, source, tmp_path / "out")
    assert translate_images(load(model), source, tmp_path / "out").kept == 3


def test_one_file_is_replaced_with_overwrite_alone(model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.png"
    out.write_text("mine")
    with pytest.raises(CalcoError, match="result.png is there already; choose another --out, or --overwrite"):
        translate_images(model, source / "a.png", out)
    assert out.read_text() == "mine"
    assert translate_images(model, source / "a.png", out, overwrite=True).written == 1


def test_tar_files_follow_their_inputs_and_spare_others(model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    translate_images(model, source, out, format="webdataset", shard_images=1)
    assert translate_images(model, source, out, format="webdataset", shard_images=1).kept == 3
    before = (out / "images-000001.tar").read_bytes()
    write(source / "b.png", 9)
    done = translate_images(model, source, out, format="webdataset", shard_images=1)
    assert (done.written, done.kept) == (1, 2)
    assert (out / "images-000001.tar").read_bytes() != before
    shutil.rmtree(source / "sub")  # one tar file fewer is needed, and that name is somebody's now
    (out / "images-000002.tar").write_bytes(b"mine")
    with pytest.raises(CalcoError, match="images-000002.tar is there already and has been changed since"):
        translate_images(model, source, out, format="webdataset", shard_images=1)
    assert (out / "images-000002.tar").read_bytes() == b"mine"


def test_results_at_an_address_follow_the_same_rules(model: Path, source: Path, tmp_path: Path) -> None:
    out, given = f"file://{tmp_path}/out", f"file://{source}"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    with pytest.raises(CalcoError, match="out/a.png is there already and was not written by Calco"):
        translate_images(model, given, out)
    assert contents(tmp_path / "out") == {"a.png": b"mine"}
    (tmp_path / "out" / "a.png").unlink()
    assert translate_images(model, given, out).written == 3
    assert translate_images(model, given, out).kept == 3
    write(source / "b.png", 9)
    done = translate_images(model, given, out)
    assert (done.written, done.kept) == (1, 2)
    log = json.loads((tmp_path / "out" / REMOTE_LOG).read_text())
    del log["done"]["a.png"]  # as a kill before the last version of the log leaves it
    (tmp_path / "out" / REMOTE_LOG).write_text(json.dumps(log))
    done = translate_images(model, given, out)
    assert (done.written, done.kept) == (1, 2)


def test_what_killed_calls_left_is_swept_and_nothing_else(model: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    halves = [out / ".a.0123456789abcdef.tmp.png", out / "sub" / ".c.0123456789abcdef.tmp.png"]
    theirs = [out / ".a.tmp.png", out / ".other.0123456789abcdef.tmp.png", out / ".x.tmp.y"]
    (out / "sub").mkdir(parents=True)
    for path in (*halves, *theirs):
        path.write_text("half")
    translate_images(model, source, out)
    assert not any(path.exists() for path in halves)
    assert all(path.exists() for path in theirs)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_call_at_work_is_left_alone(model: Path, source: Path, tmp_path: Path, overwrite: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with lock_held(out / LOCK, "calco translate"), pytest.raises(CalcoError, match="calco translate .* is at work on"):
        translate_images(model, source, out, overwrite=overwrite)
    assert [path.name for path in out.iterdir()] == [LOCK]
    with lock_held(tmp_path / lock_name("a.png"), "calco translate"), pytest.raises(CalcoError, match="at work"):
        translate_images(model, source / "a.png", tmp_path / "a.png", overwrite=overwrite)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.slow
def test_of_two_commands_at_once_one_is_whole_and_the_other_refused_or_done(
    model: Path, source: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "calco", "translate", str(model), str(source), "--out", "out", "--precision", "fp32"]
    two = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120)[1].strip().splitlines() for process in two]
    assert sorted(process.returncode for process in two) in ([0, 2], [0, 0]), told
    for process, lines in zip(two, told, strict=True):
        assert process.returncode == 0 or (len(lines) == 1 and "is at work on out" in lines[0])
    translate_images(model, source, tmp_path / "alone")
    assert all((tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
               for name in ("a.png", "b.png", "sub/c.png"))  # fmt: skip


def test_videos_in_a_folder_follow_their_inputs_and_spare_others(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    make_video(source / "a.mp4", 3)
    make_video(source / "b.mp4", 4)
    out.mkdir()
    (out / "b.mp4").write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(CalcoError, match="b.mp4 is there already and was not written by Calco"):
            translate_videos(mirror(), [str(source)], out, VideoOptions(overwrite=overwrite))
    assert contents(out) == {"b.mp4": b"mine"}
    (out / "b.mp4").unlink()
    assert len(translate_videos(mirror(), [str(source)], out).done) == 2
    assert translate_videos(mirror(), [str(source)], out).kept == 2
    make_video(source / "b.mp4", 5)
    result = translate_videos(mirror(), [str(source)], out)
    assert ([done.frames for done in result.done], result.kept) == ([5], 1)


def test_a_video_at_work_is_left_alone(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", 3)
    part = tmp_path / ".out.mp4.part"
    part.write_bytes(b"calco video part\nthat another process writes")
    for overwrite in (False, True):
        with lock_held(tmp_path / lock_name("out.mp4"), "calco translate"), pytest.raises(CalcoError, match="at work"):
            translate_videos_to(source, tmp_path / "out.mp4", overwrite)
    assert part.read_bytes() == b"calco video part\nthat another process writes"


def translate_videos_to(source: Path, out: Path, overwrite: bool) -> None:
    from calco.inference.video import translate_video

    translate_video(mirror(), source, out, VideoOptions(overwrite=overwrite))
