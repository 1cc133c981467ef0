"""Animated images: all their frames in a video, or a line that says that the first alone is used."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.cli import main
from calco.data.sources import open_source
from calco.detection.model import DetectorInfo, build_network, save_detector
from calco.video.reading import Video
from video.videos import make_image, make_video, model

ANIMATED = ("a.gif", "a.webp", "a.png", "A.GIF", "a.avif")


def animation(path: Path, frames: int = 5, **more: object) -> Path:
    shown = [Pillow.fromarray(make_image(3 * number)) for number in range(frames)]
    lossless = {"lossless": True} if path.suffix == ".webp" else {"quality": 95} if path.suffix == ".avif" else {}
    times = {} if path.suffix in (".tif", ".tiff") else {"duration": [100, 200, 100, 300, 100][:frames], "loop": 0}
    shown[0].save(path, save_all=True, append_images=shown[1:], **lossless, **times, **more)
    return path


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector") / "detector"
    settings = {"width": 16, "depth": 1}
    info = DetectorInfo(architecture="lite", settings=settings, classes=("person",), size=96)
    return save_detector(folder, info, build_network("lite", settings, 1)) or folder


def called(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


@pytest.mark.parametrize("name", ANIMATED)
def test_all_frames_come_at_their_times(tmp_path: Path, name: str) -> None:
    read = Video(animation(tmp_path / name))
    frames = list(read.frames())
    assert [round(float(frame.time), 2) for frame in frames] == [0, 0.1, 0.3, 0.4, 0.7]
    for number, frame in enumerate(frames):
        assert np.abs(frame.image.astype(int) - make_image(3 * number)).mean() < 6
    assert (read.notes, read.damage) == ([], [])


@pytest.mark.parametrize("name", ANIMATED)
def test_a_video_is_made_of_all_frames(
    painter: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = animation(tmp_path / name)
    assert called("translate", painter, source, "--out", tmp_path / "out.mp4") == 0
    assert [round(float(frame.time), 2) for frame in Video(tmp_path / "out.mp4").frames()] == [0, 0.1, 0.3, 0.4, 0.7]
    assert "only the first" not in capsys.readouterr().err


def test_a_detector_looks_at_all_frames_or_says_so(
    detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = animation(tmp_path / "a.webp")
    assert called("detect", "predict", detector, source, "--out", tmp_path / "seen.mp4") == 0
    assert len(list(Video(tmp_path / "seen.mp4").frames())) == 5
    assert called("detect", "predict", detector, source, "--out", tmp_path / "seen") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "a.webp holds several frames: only the first is used; --out NAME.mp4 looks at all frames" in said
    assert called("detect", "watch", source, "--model", detector, "--out", tmp_path / "watched", "--no-video") == 0
    assert "5 frames watched" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_images_of_several_frames_are_reported(
    painter: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    source = animation(tmp_path / "set" / name)
    for number in range(3):
        Pillow.fromarray(make_image(number)).save(tmp_path / "set" / f"still{number}{source.suffix}")
    kind = "pages" if name == "a.tif" else "frames"
    assert f"{name} holds several {kind}: only the first is used" in open_source(tmp_path / "set").summary()
    assert called("translate", painter, tmp_path / "set", "--out", tmp_path / "out") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"{name} holds several {kind}: only the first is used" in said
    assert ("--out NAME.mp4" in said) == (kind == "frames")


def test_one_image_is_not_several(tmp_path: Path) -> None:
    still = Pillow.fromarray(make_image(1))
    for ending in ("gif", "webp", "png", "avif", "tif", "jpg"):
        still.save(tmp_path / f"a.{ending}")
        assert imaging.several_in(tmp_path / f"a.{ending}") == "", ending
    still.save(tmp_path / "profile.png", icc_profile=bytes(70_000), exif=Pillow.Exif())
    (tmp_path / "empty.gif").write_bytes(b"")
    (tmp_path / "cut.gif").write_bytes((tmp_path / "a.gif").read_bytes()[:20])
    assert [imaging.several_in(tmp_path / name) for name in ("profile.png", "empty.gif", "cut.gif", "none.gif")] == [
        ""
    ] * 4
    thumbnail = tmp_path / "pyramid.tif"
    still.save(thumbnail, save_all=True, append_images=[still.resize((16, 12))])
    data = bytearray(thumbnail.read_bytes())
    assert imaging.several_in(thumbnail) == "pages"
    # A second directory that is marked as a smaller copy (NewSubfileType 1) is no page.
    second = int.from_bytes(data[4:8], "little")
    second = int.from_bytes(data[second + 2 + 12 * int.from_bytes(data[second : second + 2], "little") :][:4], "little")
    data[second + 2 : second + 14] = b"\xfe\0\4\0\1\0\0\0\1\0\0\0"
    thumbnail.write_bytes(data)
    assert imaging.several_in(thumbnail) == ""


@pytest.mark.parametrize("verb", ["translate", "predict", "watch"])
@pytest.mark.parametrize("name", ["out.mp4", "out.MKV", "out.png"])
def test_no_folder_gets_the_name_of_a_video_or_an_image(
    painter: Path, detector: Path, tmp_path: Path, verb: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    Pillow.fromarray(make_image(1)).save(tmp_path / "set" / "a.png")
    Pillow.fromarray(make_image(2)).save(tmp_path / "set" / "b.png")
    video, out = make_video(tmp_path / "a.mp4", 3), tmp_path / name
    calls = {
        "translate": [("translate", painter, tmp_path / "set", "--out", out)],
        "predict": [("detect", "predict", detector, tmp_path / "set", "--out", out)],
        "watch": [("detect", "watch", video, "--model", detector, "--out", out)],
    }[verb]
    if name == "out.png" and verb != "watch":
        calls.append((*calls[0][: len(calls[0]) - 3], video, "--out", out))
    for words in calls:
        assert called(*words) == 2
        assert "name a folder" in " ".join(capsys.readouterr().err.split())
        assert not out.exists()
