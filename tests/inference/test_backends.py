"""The backend behind a model: chosen by the work, compared, kept beside the model, the same after an interruption."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

import calco
from bad_inputs.backends import plant
from calco import CalcoError, imaging
from calco.imaging import Image
from calco.inference import backends
from calco.inference.backends import FOLDER, newest, spread
from calco.inference.translator import load
from calco.video.reading import Video
from support import requires
from video.videos import make_image, make_video, model


@pytest.fixture
def room(tmp_path: Path) -> Path:
    model(tmp_path / "model")
    (tmp_path / "set").mkdir()
    for number in range(6):
        imaging.write(tmp_path / "set" / f"{number}.png", make_image(7 * number))
    return tmp_path


@pytest.fixture
def any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every work is worth a backend."""
    monkeypatch.setattr(backends, "FEWEST", 0)
    monkeypatch.setattr(backends, "OPENED", 0.0)
    monkeypatch.setattr(backends, "BUILT", 0.0)
    monkeypatch.setattr(backends, "GAIN", 0.0)


def translate(room: Path, out: str = "out", **options: object) -> list[Image]:
    config = calco.TranslateConfig(model=room / "model", images=room / "set", out=room / out, **options)
    calco.translate(config)
    return [imaging.read(path) for path in imaging.list_images(room / out)]


def equal(one: list[Image], other: list[Image]) -> bool:
    return len(one) == len(other) and all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def planted(room: Path) -> str:
    pytest.importorskip("onnxruntime")
    return plant(room / "model", make_image(0))


def test_a_few_images_are_not_worth_a_backend(room: Path) -> None:
    assert equal(translate(room, precision="fp32"), translate(room, "calco", precision="fp32", backend="calco"))
    assert not (room / "model" / FOLDER).exists()


def test_a_backend_that_disagrees_is_not_used(
    room: Path, any_work: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    planted(room)
    only = [("onnxruntime", "fp32")]
    monkeypatch.setattr(backends, "_wanted", lambda *_: only)
    with caplog.at_level(logging.WARNING):
        made = translate(room, precision="fp32")
    assert "onnxruntime in fp32 does not agree with Calco on these images (largest difference" in caplog.text
    assert equal(made, translate(room, "calco", precision="fp32", backend="calco"))
    with pytest.raises(CalcoError, match=r"does not agree .* leave --backend out"):
        translate(room, "explicit", precision="fp32", backend="onnxruntime")


def test_results_keep_the_backend_that_they_were_begun_with(
    room: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identity = planted(room)
    with monkeypatch.context() as patch:
        patch.setattr(backends, "LEVELS", 255)
        first = translate(room, precision="fp32", backend="onnxruntime")
    assert not equal(first, translate(room, "calco", precision="fp32", backend="calco"))
    (room / "out" / "3.png").unlink()
    with caplog.at_level(logging.INFO):
        assert equal(first, translate(room, precision="fp32"))  # few images, and no comparison: as they were begun
    assert f"backend: {identity}" in caplog.text
    shutil.rmtree(room / "model" / FOLDER)
    with pytest.raises(CalcoError, match="another model or other options"):
        translate(room, precision="fp32")


def test_a_video_resumes_with_the_backend_that_it_was_begun_with(
    room: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identity = planted(room)
    video = make_video(room / "video.mp4", 60)

    def config(name: str, **options: object) -> calco.TranslateConfig:
        return calco.TranslateConfig(model=room / "model", images=video, out=room / name, precision="fp32", **options)

    def stop(done: float, _: float | None) -> None:
        if done >= 45:
            raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(backends, "LEVELS", 255)
        calco.translate(config("whole.mp4", backend="onnxruntime"))
        with pytest.raises(InterruptedError):
            calco.translate(config("half.mp4", backend="onnxruntime"), progress=stop)
    with caplog.at_level(logging.INFO):
        calco.translate(config("half.mp4"))  # little is left, and its images would not agree
    assert f"{identity}, which the results were begun with" in caplog.text
    whole, half = (list(Video(room / name).frames()) for name in ("whole.mp4", "half.mp4"))
    assert len(half) == len(whole) == 60
    # The encoder begins anew in between, so that only the network's share is the same to the bit.
    assert all(np.abs(one.image.astype(int) - two.image).mean() < 1 for one, two in zip(half, whole, strict=True))


@pytest.mark.slow
def test_processes_of_their_own_take_the_same_backend(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(room)
    monkeypatch.setattr(backends, "LEVELS", 255)
    here = translate(room, precision="fp32", backend="onnxruntime")
    assert equal(here, translate(room, "two", precision="fp32", backend="onnxruntime", jobs=2))


def test_without_a_place_for_it_calco_goes_on(room: Path, any_work: None, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("onnxruntime")
    (room / "model" / FOLDER).write_text("a file")
    with caplog.at_level(logging.WARNING):
        made = translate(room, precision="fp32")
    assert caplog.text.count("going on with Calco") == 1
    assert equal(made, translate(room, "calco", precision="fp32", backend="calco"))


def test_what_would_be_faster_is_named_once(
    room: Path, any_work: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backends, "_missing", lambda name: name)
    with caplog.at_level(logging.INFO):
        translate(room, precision="fp32")
    assert caplog.text.count("pip install 'calco[export,openvino]'") == 1


def test_backends_are_refused_where_only_calco_computes(room: Path) -> None:
    with pytest.raises(CalcoError, match="--backend openvino cannot be used: a noise seed"):
        translate(room, backend="openvino", noise_seed=7)
    with pytest.raises(CalcoError, match="int8 needs a backend"):
        translate(room, backend="calco", precision="int8")
    with pytest.raises(CalcoError, match="does not compute in bf16"):
        translate(room, backend="onnxruntime", precision="bf16")


def test_samples_are_spread_over_the_work() -> None:
    assert spread(0) == []
    assert spread(3) == [0, 1, 2]
    assert spread(101, 5) == [0, 25, 50, 75, 100]


@pytest.mark.slow
def test_the_fastest_backend_gives_the_images_of_the_model(
    room: Path, any_work: None, caplog: pytest.LogCaptureFixture
) -> None:
    requires(backends._missing("openvino") == "", "openvino", "pip install -e '.[dev]'")
    with caplog.at_level(logging.INFO):
        made = translate(room, precision="fp32")
    assert "times as fast as Calco's own kernels" in caplog.text
    alone = translate(room, "calco", precision="fp32", backend="calco")
    assert all(np.abs(one.astype(int) - two).max() <= 1 for one, two in zip(made, alone, strict=True))
    caplog.clear()
    assert equal(made, translate(room, "again", precision="fp32"))  # from the cache
    assert "building" not in caplog.text

    translator = load(room / "model", backend="auto")
    assert translator.backend is not None
    assert np.array_equal(translator(imaging.read(room / "set" / "3.png")), made[3])
    assert newest(load(room / "model"), room / "model", "fp32")

    video = make_video(room / "one.mp4", 20)
    for name in ("a.mp4", "b.mp4"):
        calco.translate(calco.TranslateConfig(model=room / "model", images=video, out=room / name, precision="fp32"))
    assert (room / "a.mp4").read_bytes() == (room / "b.mp4").read_bytes()


@pytest.mark.slow
def test_int8_is_calibrated_on_some_images_and_compared_on_others(room: Path) -> None:
    requires(backends._missing("openvino") == "", "openvino", "pip install -e '.[dev]'")
    examples = [make_image(number) for number in range(0, 100, 5)]
    try:
        outcome = load(room / "model", precision="int8", backend="openvino", examples=examples).settings["precision"]
    except CalcoError as error:  # random weights may not survive bytes
        outcome = str(error)
    assert outcome == "int8" or "35 dB are needed" in outcome
