"""Videos that are broken or unusual: what was done is kept, and one line says what happened and where."""

import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from calco import CalcoError, imaging
from calco.cli import main
from calco.imaging import Image
from calco.inference.results import VideoResult
from calco.inference.video import VideoOptions, translate_video
from calco.video.encoding import CODECS, encoder_of
from calco.video.reading import Video
from calco.video.writing import VideoWriter, part_of
from support import small_disk
from video.videos import make_image, make_video, mirror, model, packet_places, silent_video


def noisy(count: int) -> list[Image]:
    chance = np.random.default_rng(0)
    return [
        np.clip(make_image(n).astype(int) + chance.integers(-40, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
        for n in range(count)
    ]


def translated(source: Path, **options: object) -> tuple[VideoResult, list[Image]]:
    out = source.with_name("out.mp4")
    done = translate_video(mirror(), source, out, VideoOptions(**options))
    return done, [frame.image for frame in Video(out).frames()]


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_a_truncated_video_is_translated_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    source = make_video(tmp_path / name, noisy(40), "libvpx-vp9" if name == "a.webm" else "libx264")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    done, shown = translated(source)
    assert 10 < len(shown) == done.frames < 40
    assert len(done.notes) == 1 and "s of 4.00 s: it is cut short" in done.notes[0] and name in done.notes[0]


def test_a_truncated_video_whose_index_is_lost_is_refused(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", 20)
    source.write_bytes(source.read_bytes()[:-400])
    with pytest.raises(CalcoError, match=r"a\.mp4: no video, or damaged"):
        translated(source)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_damaged_packets_are_passed_over_and_what_follows_keeps_its_time(tmp_path: Path, name: str) -> None:
    source = make_video(tmp_path / name, noisy(60))
    data = bytearray(source.read_bytes())
    for place, length in packet_places(source)[25:28]:
        data[place : place + length] = bytes(length)
    source.write_bytes(data)
    done, shown = translated(source)
    assert 45 < len(shown) < 60
    times = [float(frame.time) for frame in Video(done.out).frames()]
    assert times[-1] == pytest.approx(5.9)
    told = [note for note in done.notes if "undecodable packets from 2." in note or "no frames between 2." in note]
    assert told and all(name in note for note in told)


def test_a_video_of_sound_alone_is_refused(tmp_path: Path) -> None:
    silent_video(tmp_path / "a.mp4")
    with pytest.raises(CalcoError, match="no moving images, only sound"):
        translated(tmp_path / "a.mp4")


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
def test_full_chroma_is_kept_where_the_encoder_can(tmp_path: Path, codec: str) -> None:
    source = make_video(tmp_path / "a.mkv", 6, pixels="yuv444p")
    done, shown = translated(source, codec=codec)
    with av.open(str(done.out)) as container:
        assert container.streams.video[0].pix_fmt == ("yuv420p" if codec == "av1" else "yuv444p")
    assert len(shown) == 6 and len(done.notes) == 1 and "4:" in done.notes[0]


def test_ten_bits_become_eight_and_are_told(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", 6, pixels="yuv420p10le")
    done, shown = translated(source)
    assert np.abs(shown[3].astype(int) - make_image(3)[:, ::-1]).mean() < 4
    assert done.notes == [f"{source} has 10 bits a channel, the result has 8"]


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.mov", "png", "rgba"), ("a.webm", "libvpx-vp9", "yuva420p")])
def test_what_is_transparent_is_shown_on_white(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    clear = [
        np.dstack([make_image(n), np.where(np.arange(64) < 32, 255, 0).astype(np.uint8)[None].repeat(48, 0)])
        for n in range(5)
    ]
    done, shown = translated(make_video(tmp_path / name, clear, codec, pixels=pixels, options={"crf": "10"}))
    assert np.abs(shown[2][:, 40:].astype(int) - make_image(2)[:, 23::-1]).mean() < 8, (
        "mirrored: the opaque side is right"
    )
    assert shown[2][:, :24].min() > 240
    assert "transparent" in done.notes[0]


def test_frames_of_another_size_are_brought_to_the_first_ones(tmp_path: Path) -> None:
    parts = [make_video(tmp_path / "one.m2ts", 10, options={"bf": "0"}),
             make_video(tmp_path / "two.m2ts", [make_image(n, (96, 64)) for n in range(10)],
                        options={"bf": "0"})]  # fmt: skip
    (tmp_path / "a.m2ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    done, shown = translated(tmp_path / "a.m2ts")
    assert len(shown) == 20 and {frame.shape for frame in shown} == {(48, 64, 3)}
    assert any("frames are 96x64 from" in note and "64x48" in note for note in done.notes)


def test_an_encoder_that_is_missing_is_one_line_with_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "a.mp4", 3)
    with pytest.raises(CalcoError, match="no encoder for h266 here; choose --codec h264, h265, vp9, av1"):
        translated(source, codec="h266")
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx265"})
    with pytest.raises(CalcoError, match="no encoder for h265 here; choose --codec h264, vp9, av1"):
        translated(source, codec="h265")
    assert all(encoder_of(codec) for codec in CODECS if codec != "h265")


def test_a_container_that_cannot_hold_the_codec_is_refused_before_the_work(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", 3)
    for name, codec, remedy in (("b.webm", "h264", ".mp4 or .mkv"), ("b.ogv", None, ".mp4 or .mkv")):
        with pytest.raises(CalcoError, match=f"cannot hold h264; name the result with {remedy}"):
            translate_video(mirror(), source, tmp_path / name, VideoOptions(codec=codec))
    with pytest.raises(CalcoError, match="does not end like a video"):
        translate_video(mirror(), source, tmp_path / "b.txt")
    with pytest.raises(CalcoError, match=r"h264 knows 0 \(best\) to 51"):
        translated(source, quality=70)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_result_never_replaces_its_video_nor_another_unasked(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", 3)
    before = source.read_bytes()
    (tmp_path / "link.mp4").symlink_to(source)
    for out in (source, tmp_path / "link.mp4"):
        with pytest.raises(CalcoError, match="would replace"):
            translate_video(mirror(), source, out, VideoOptions(overwrite=True))
    with pytest.raises(CalcoError, match="would replace"):
        main_like(tmp_path, source)
    assert source.read_bytes() == before
    other = make_video(tmp_path / "b.mp4", 4)
    with pytest.raises(CalcoError, match="is there already; choose another --out, or --overwrite"):
        translate_video(mirror(), source, other)
    assert translate_video(mirror(), source, other, VideoOptions(overwrite=True)).frames == 3


def main_like(folder: Path, source: Path) -> None:
    from calco.inference.video import translate_videos

    translate_videos(mirror(), [str(source)], folder, VideoOptions(overwrite=True))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 128) as mounted:
        yield mounted


def test_a_full_disk_keeps_what_is_done_and_the_same_command_goes_on(tmp_path: Path, disk: Path) -> None:
    source = make_video(tmp_path / "a.mp4", noisy(80))
    options = VideoOptions(quality=2)
    with pytest.raises(CalcoError) as refused:
        translate_video(mirror(), source, disk / "b.mp4", options)
    told = str(refused.value)
    assert "No space left on device; free some space" in told and "frames) is kept" in told and "\n" not in told
    assert not (disk / "b.mp4").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    done = translate_video(mirror(), source, disk / "b.mp4", options)
    assert done.kept > 0 and done.kept + done.frames == 80
    assert len(list(Video(done.out).frames())) == 80


def test_a_disk_that_is_full_when_the_video_is_put_together_loses_nothing(tmp_path: Path, disk: Path) -> None:
    def writer() -> VideoWriter:
        return VideoWriter(disk / "a.mp4", (64, 48), made_by={"by": "test"}, quality=2)

    first, count = writer(), 0
    for count, image in enumerate(noisy(200), 1):
        first.write(image, Fraction(count - 1, 25))
        if part_of(first.path).stat().st_size > 80_000:
            break
    with pytest.raises(CalcoError, match="No space left"):
        first.close()
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    with writer() as second:
        assert second.done == count
    assert len(list(Video(disk / "a.mp4").frames())) == count


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from", "9"], "is 0.5 seconds long"),
        (["--from", "0:02", "--to", "1"], "must be later than"),
        (["--to", "soon"], "is no time"),
        (["--engine", "ray"], "--engine is for images"),
        (["--holes-per-frame"], "serve --side-by-side"),
        (["--side-by-side", "--masks", "masks"], "give one of them"),
        (["--masks", "masks"], "must be one image"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    source = make_video(tmp_path / "a.mp4", 5)
    with pytest.raises(SystemExit):
        main(["translate", str(model(tmp_path / "model")), str(source), "--out", str(tmp_path / "b.mp4"), *words])
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
    assert not (tmp_path / "b.mp4").exists() and not part_of(tmp_path / "b.mp4").exists()


def test_options_of_videos_are_refused_with_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imaging.write(tmp_path / "a.png", make_image(0))
    with pytest.raises(SystemExit):
        main(
            [
                "translate",
                str(model(tmp_path / "model")),
                str(tmp_path / "a.png"),
                "--out",
                str(tmp_path),
                "--codec",
                "av1",
            ]
        )
    assert "--codec is for videos" in capsys.readouterr().err


def test_a_model_of_given_pairs_makes_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained, source = str(model(tmp_path / "model", "aligned")), str(make_video(tmp_path / "a.mp4", 5))
    with pytest.raises(SystemExit):
        main(["translate", trained, source, "--out", str(tmp_path / "b.mp4"), "--side-by-side"])
    assert "leave --side-by-side and --make-input out" in capsys.readouterr().err
