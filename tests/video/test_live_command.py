"""`calco translate` with live images, as a person calls it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import pytest
import torch

from calco import CalcoError, cli, imaging
from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.inference import TranslateConfig
from calco.inference.folder import ModelInfo, save_model
from calco.inference.live import LiveRenderer
from calco.inference.translator import load
from calco.inference.video import render_options
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.video.reading import Frame
from video.streams import HEIGHT, WIDTH, make_video, numbered

INFO = ModelInfo(
    generator=GeneratorConfig(depth=3, filters=4, composition="plain"),
    recipe=RecipeConfig(recipe="colorize"),
    jitter=JitterConfig(size=32, resize=36, fit="cover"),
    in_channels=1,
    out_channels=3,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "model"
    save_model(folder, INFO, build_generator(INFO.generator, 1, 3).state_dict(), None)
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(make_video(50, "ismv"))
    return path


def test_a_video_is_played_into_a_video_and_the_figures_are_told(
    model: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    cli.main(["translate", str(model), str(clip), "--live", "--out", str(out), "--seconds", "1", "--device", "cpu"])
    said = capsys.readouterr().err
    assert "frames in" in said and "dropped" in said and "delay" in said and f"{out} is written" in said
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) > 3 and frames[0].shape == (HEIGHT, WIDTH, 3)
    translator = load(model, device="cpu")
    assert abs(frames[0].astype(int) - translator(numbered(0))).mean() < 6


def started(*words: str, stdout: int | IO[bytes] = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "CALCO_KEEP_MEMORY": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "calco", "translate", *words, "--device", "cpu"],
        stdout=stdout, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_leaves_a_whole_video(model: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.ts"
    long.write_bytes(make_video(1500))
    out = tmp_path / "out.mp4"
    running = started(str(model), str(long), "--live", "--out", str(out))
    for _ in range(600):
        if any(part.stat().st_size > 0 for part in tmp_path.glob(".out.*.part.mp4")):
            break
        time.sleep(0.1)
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 0, said.decode()
    assert b"Traceback" not in said and b"frames in" in said
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 3
    assert not list(tmp_path.glob(".out.*"))


@pytest.mark.slow
def test_a_reader_of_stdout_that_leaves_ends_it_quietly(model: Path, clip: Path) -> None:
    running = started(str(model), str(clip), "--live", "--out", "-", stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stderr is not None
    assert running.stdout.read(60_000)
    running.stdout.close()
    said = running.stderr.read().decode()
    running.stderr.close()
    assert running.wait(20) == 0, said
    assert said.count("\n") == 1 and "frames in" in said


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["camera:71", "--page", "0"], "there is no camera /dev/video71"),
        (["{clip}", "--live"], "no output was chosen; add --window, --page 8000, or --out FILE"),
        (["{clip}", "--live", "--out", "{clip}"], "the result would replace {clip}; choose another --out"),
        (["{clip}", "--live", "--page", "0", "--jobs", "2"], "--jobs is for images and videos in files"),
        (["{clip}", "--live", "--page", "0", "--seconds", "-1"], "--seconds is -1; give seconds, or 0 for no limit"),
        (["{clip}", "--live", "--page", "0", "--allow-code"], "--recipe, --allow-code and --holes-per-frame serve"),
        (["{clip}", "--live", "--page", "0", "--masks", "."], "must be one image, which serves for all frames"),
        (["{folder}", "--out", "x", "--seconds", "3"], "--seconds is for cameras, streams and videos that are played"),
        (["{folder}"], "--out is missing; name the folder to write into"),
        (["s3://a/b.mp4", "--live", "--page", "0"], "s3://a/b.mp4 cannot be played; give an address that starts with"),
        (["{clip}", "--live", "--out", "x.gif"], "x.gif: live images can be recorded as a video"),
    ],
)
def test_calls_that_cannot_be(
    words: list[str], answer: str, model: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [word.format(clip=clip, folder=tmp_path) for word in words]
    with pytest.raises(SystemExit) as end:
        cli.main(["translate", str(model), *said])
    assert end.value.code == 2
    assert answer.format(clip=clip) in capsys.readouterr().err


def config_of(**given: Any) -> TranslateConfig:
    return TranslateConfig(model="eraser", images="camera", **given)


def test_holes_made_for_live_images_stand_still_and_a_mask_serves_for_all(tmp_path: Path) -> None:
    info = replace(INFO, recipe=RecipeConfig(recipe="erase"), in_channels=3)
    info = replace(info, generator=replace(info.generator, composition="filled"))
    save_model(tmp_path / "eraser", info, build_generator(info.generator, 3, 3).state_dict(), None)
    translator = load(tmp_path / "eraser", device="cpu")
    frame = Frame(numbered(5), Fraction(0), None, Fraction(1), 0)
    made = LiveRenderer(translator, render_options(config_of(make_input=True), translator.info))
    first, second = made(frame), made(frame)
    assert first.shape == (HEIGHT, WIDTH, 3) and np.array_equal(first, second)
    mask = np.zeros((20, 40, 1), np.uint8)
    mask[:10] = 255  # the upper half, at another size
    imaging.write(tmp_path / "mask.png", mask)
    masks = render_options(config_of(masks=str(tmp_path / "mask.png")), translator.info)
    masked = LiveRenderer(translator, masks)(frame)
    assert np.array_equal(masked[60:], numbered(5)[60:]) and not np.array_equal(masked[:40], numbered(5)[:40])
    with pytest.raises(CalcoError, match="give one of them"):
        render_options(config_of(masks=str(tmp_path / "mask.png"), make_input=True), translator.info)
