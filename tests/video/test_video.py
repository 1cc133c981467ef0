"""Videos: size, rate, times, turns, colours and sound are kept; nothing is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from calco import CalcoError
from calco.cli import main
from calco.imaging import Image
from calco.inference.video import VideoOptions, translate_video
from calco.journal import remove as remove_journal
from calco.video.encoding import Encoding, new_encoder
from calco.video.frame_image import Colours
from calco.video.names import seconds_of
from calco.video.reading import Video
from calco.video.writing import VideoWriter, part_of
from support import ROOT
from video.videos import make_image, make_video, mirror, model, packets


def shown(path: Path) -> list[Image]:
    return [frame.image for frame in Video(path).frames()]


def times(path: Path) -> list[float]:
    return [round(float(frame.time), 4) for frame in Video(path).frames()]


def near(one: Image, other: Image, levels: float = 4) -> bool:
    return one.shape == other.shape and np.abs(one.astype(int) - other).mean() < levels


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", None), ("a.mkv", "h264"), ("a.mov", "h265"), ("a.webm", None), ("a.mp4", "av1"), ("a.avi", None)],
)
def test_each_frame_comes_out_once_at_its_time_in_every_container(tmp_path: Path, name: str, codec: str | None) -> None:
    source = make_video(tmp_path / "source.mp4", 25)
    done = translate_video(mirror(), source, tmp_path / "out" / name, VideoOptions(codec=codec))
    written = Video(done.out)
    assert (written.size, written.rate, done.frames) == ((64, 48), 10, 25)
    assert times(done.out) == [round(number / 10, 4) for number in range(25)]
    assert abs((written.duration or 0) - 2.5) < 0.06
    assert all(near(frame, make_image(number)[:, ::-1]) for number, frame in enumerate(shown(done.out)))
    assert sorted(path.name for path in done.out.parent.iterdir()) == [name], "no part stays"


def test_no_encoder_takes_the_machine_for_itself(tmp_path: Path) -> None:
    translate_video(mirror(), make_video(tmp_path / "a.mp4", 12), tmp_path / "b.mp4", VideoOptions(codec="av1"))
    encoding = Encoding(codec="av1", quality=30, size=(64, 64), rate=Fraction(25), time_base=Fraction(1, 25),
                        colours=Colours(), pixels="yuv420p")  # fmt: skip
    encoder = new_encoder(encoding, "c.mp4")
    threads = [int(thread) for thread in os.listdir("/proc/self/task")]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}
    assert encoder.is_open


def test_a_varying_rate_the_title_and_the_shape_of_pixels_are_kept(tmp_path: Path) -> None:
    stamps = [0, 3, 7, 50, 51, 90, 200, 210]
    source = make_video(tmp_path / "a.mp4", 8, times=stamps, title="Bicicletas", aspect=Fraction(4, 3))
    out = translate_video(mirror(), source, tmp_path / "b.mp4").out
    assert times(out) == [stamp / 100 for stamp in stamps]
    assert (Video(out).metadata["title"], Video(out).aspect) == ("Bicicletas", Fraction(4, 3))


@pytest.mark.parametrize("tags", [(1, 1), (1, 2), (6, 1), (6, 2)], ids=["709 tv", "709 full", "601 tv", "601 full"])
def test_colours_are_read_and_written_as_they_are_tagged(tmp_path: Path, tags: tuple[int, int]) -> None:
    patches = np.kron(np.array([[[230, 30, 30], [30, 200, 60]], [[40, 60, 220], [180, 180, 40]]], np.uint8),
                      np.ones((24, 32, 1), np.uint8))  # fmt: skip
    source = make_video(
        tmp_path / "a.mp4", [patches] * 3, options={"crf": "8"},
        tags={"colorspace": tags[0], "color_range": tags[1], "color_primaries": tags[0], "color_trc": tags[0]},
    )  # fmt: skip
    out = translate_video(mirror(), source, tmp_path / "b.mp4", VideoOptions(quality=8)).out
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.color_primaries) == (tags[0], tags[1], tags[0])
    got = shown(out)[0]
    for y, x in ((12, 16), (12, 48), (36, 16), (36, 48)):
        assert np.abs(got[y, x].astype(int) - patches[y, 63 - x]).max() <= 4


def test_turned_videos_come_out_upright(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", 5)
    data = source.read_bytes()
    whole = b"".join(number.to_bytes(4, "big", signed=True) for number in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    quarter = b"".join(
        number.to_bytes(4, "big", signed=True) for number in (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    )
    place = data.index(whole, data.index(b"tkhd"))
    source.write_bytes(data[:place] + quarter + data[place + 36 :])
    assert Video(source).size == (48, 64)
    out = translate_video(mirror(), source, tmp_path / "b.mp4").out
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (48, 64, 0)
    assert near(shown(out)[4], np.rot90(make_image(4), -1)[:, ::-1])


def test_sound_is_copied_and_cut_with_the_images(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", 40, sound="aac")
    whole = translate_video(mirror(), source, tmp_path / "b.mp4")
    assert packets(whole.out)["audio"] == packets(source)["audio"]
    assert whole.notes == []
    part = translate_video(
        mirror(), source, tmp_path / "c.mp4", VideoOptions(start=seconds_of("1"), stop=seconds_of("0:03"))
    )
    assert (part.frames, times(part.out)[0]) == (20, 0)
    assert near(shown(part.out)[0], make_image(10)[:, ::-1])
    heard = packets(part.out)["audio"]
    assert abs(len(heard) * 1024 / 48_000 - 2) < 0.05
    assert b"".join(heard) in b"".join(packets(source)["audio"])


def test_sound_that_a_container_cannot_hold_is_coded_anew(tmp_path: Path) -> None:
    for name, codec, before in (("b.mp4", "aac", "pcm_u8"), ("b.webm", "opus", "pcm_s16le")):
        source = make_video(tmp_path / "a.mkv", 20, sound=before)
        done = translate_video(mirror(), source, tmp_path / name)
        with av.open(str(done.out)) as container:
            stream = container.streams.audio[0]
            assert stream.codec_context.name.endswith(codec)
            heard = sum(frame.samples for frame in container.decode(stream)) / stream.rate
        assert abs(heard - 2) < 0.1
        assert f"coded anew as {codec}" in done.notes[0] and before in done.notes[0]


@pytest.mark.parametrize(("codec", "pixels"), [("h264", "yuv444p"), ("h265", "yuv444p"), ("vp9", "yuv420p")])
def test_odd_sizes_stay_odd(tmp_path: Path, codec: str, pixels: str) -> None:
    source = make_video(tmp_path / "a.mp4", [make_image(n, (65, 49)) for n in range(6)], pixels="yuv444p")
    with av.open(str(source)) as container:
        assert container.streams.video[0].width == 65
    odd = make_video(tmp_path / "a.mkv", [make_image(n, (65, 49)) for n in range(6)], "ffv1")
    done = translate_video(mirror(), odd, tmp_path / "b.mp4", VideoOptions(codec=codec))
    with av.open(str(done.out)) as container:
        assert container.streams.video[0].pix_fmt == pixels
    assert Video(done.out).size == (65, 49)
    assert near(shown(done.out)[5], make_image(5, (65, 49))[:, ::-1])
    assert bool(done.notes) == (pixels == "yuv444p")


def test_times_are_understood(tmp_path: Path) -> None:
    assert [seconds_of(text) for text in ("90", "1:30", "0:01:30", "2.5")] == [90, 90, 90, Fraction(5, 2)]
    for wrong in ("soon", "1:75", "-3", "1:2:3:4", ""):
        with pytest.raises(CalcoError, match="no time"):
            seconds_of(wrong)


KILLED = """
import sys, time
sys.path[:0] = [{tests!r}]
from fractions import Fraction
from video.videos import mirror
from calco.inference.video import VideoOptions, translate_video
told = mirror()
class Slow(type(told)):
    def __call__(self, image, **_):
        time.sleep(0.02)
        return super().__call__(image)
told.__class__ = Slow
translate_video(told, {source!r}, {out!r}, VideoOptions(stop=Fraction(100)))
"""


@pytest.mark.slow
def test_a_killed_translation_goes_on_and_has_every_frame_once(tmp_path: Path) -> None:
    stamps = [int(10 * number + (number * 7 % 5)) for number in range(150)]
    source, out = make_video(tmp_path / "a.mp4", 150, times=stamps, sound="aac"), tmp_path / "b.mp4"
    code = KILLED.format(tests=str(ROOT / "tests"), source=str(source), out=str(out))
    size = sum(map(len, packets(translate_video(mirror(), source, tmp_path / "c.mp4").out)["video"]))
    (tmp_path / "c.mp4").unlink()
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if part_of(out).exists() and part_of(out).stat().st_size > size * 0.6:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    options = VideoOptions(stop=Fraction(100))
    done = translate_video(mirror(), source, out, options)
    assert done.kept > 0 and done.kept + done.frames == 150
    assert times(out) == [round(stamp / 100, 4) for stamp in stamps]
    assert all(near(frame, make_image(number)[:, ::-1]) for number, frame in enumerate(shown(out)))
    assert packets(out)["audio"] == packets(source)["audio"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_frames_of_another_model_or_option_are_kept_until_they_are_given_up(tmp_path: Path) -> None:
    images = [make_image(number) for number in range(45)]

    def begun(made_by: str) -> int:
        writer = VideoWriter(tmp_path / "a.mp4", (64, 48), rate=Fraction(10), made_by={"by": made_by})
        for number in range(writer.done, 45):
            writer.write(images[number], Fraction(number, 10))
        writer._keep(writer._encoder.flush())
        writer.__exit__(RuntimeError, RuntimeError(), None)
        return writer.done

    assert begun("one") == 0
    assert 20 <= begun("one") < 45, "groups of two seconds at most; the last one is not known to be whole"
    kept = part_of(tmp_path / "a.mp4").read_bytes()
    with pytest.raises(CalcoError, match="interrupted call with another model, other options or another input"):
        begun("other")
    assert part_of(tmp_path / "a.mp4").read_bytes() == kept
    remove_journal(part_of(tmp_path / "a.mp4"))
    assert begun("other") == 0
    data = part_of(tmp_path / "a.mp4").read_bytes()
    part_of(tmp_path / "a.mp4").write_bytes(data[: len(data) * 3 // 4])  # cut in the middle of a packet
    with VideoWriter(tmp_path / "a.mp4", (64, 48), rate=Fraction(10), made_by={"by": "other"}) as writer:
        assert 0 < writer.done < 45 and writer.after == Fraction(writer.done - 1, 10)
        for number in range(writer.done, 45):
            writer.write(images[number], Fraction(number, 10))
    assert all(near(frame, image) for frame, image in zip(shown(tmp_path / "a.mp4"), images, strict=True))


def test_a_file_of_somebody_under_the_name_of_the_part_is_kept(tmp_path: Path) -> None:
    source = make_video(tmp_path / "source.mp4", 3)
    part_of(tmp_path / "a.mp4").write_text("mine")
    for options in (VideoOptions(), VideoOptions(overwrite=True)):
        with pytest.raises(CalcoError, match="is in the way and was not written by Calco"):
            translate_video(mirror(), source, tmp_path / "a.mp4", options)
    assert part_of(tmp_path / "a.mp4").read_text() == "mine"


@pytest.mark.parametrize("recipe", ["colorize", "erase"])
def test_side_by_side_shows_truth_input_and_output_and_writes_the_psnr(tmp_path: Path, recipe: str) -> None:
    source = make_video(tmp_path / "a.mp4", 12)
    trained, out = str(model(tmp_path / "model", recipe)), str(tmp_path / "b.mp4")
    main(["translate", trained, str(source), "--out", out, "--side-by-side", "--quality", "8", "--precision", "fp32"])
    frame, band = shown(tmp_path / "b.mp4")[6], 22
    cells = [frame[band : band + 48, 68 * place : 68 * place + 64].astype(int) for place in range(3)]
    assert near(cells[0], make_image(6), 6)
    if recipe == "colorize":
        assert np.ptp(cells[1], axis=2).mean() < 6, "the input is grey"
    else:
        hole = np.abs(cells[1] - cells[0]).sum(axis=2) > 120
        assert 0.02 < hole.mean() < 0.9, "the input has holes"
        assert np.abs(cells[2] - cells[0])[~hole].mean() < 8, "and is kept elsewhere"
    rows = (tmp_path / "b.psnr.csv").read_text().splitlines()
    assert rows[0] == "frame,seconds,psnr" and len(rows) == 13
    mse = np.mean((cells[2] - cells[0]) ** 2)
    assert recipe == "erase" or abs(float(rows[7].split(",")[2]) - 10 * np.log10(255**2 / mse)) < 1.5
    page = (tmp_path / "b.html").read_text()
    assert "<svg" in page and page.count("<img") == 9 and "a.mp4" in page


def test_several_videos_keep_their_names_and_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("day/a.mp4", "day/night/b.mkv"):
        make_video(tmp_path / name, 8)
    (tmp_path / "day" / "c.mp4").write_bytes(b"no video")
    trained = str(model(tmp_path / "model"))
    call = ["translate", trained, str(tmp_path / "day"), "--out", str(tmp_path / "out")]
    main(call)
    told = capsys.readouterr().err
    assert "2 videos written" in told and "left out c.mp4" in told
    assert len(shown(tmp_path / "out" / "a.mp4")) == len(shown(tmp_path / "out" / "night" / "b.mkv")) == 8
    assert "c.mp4" in json.loads((tmp_path / "out" / "translation.json").read_text())["left_out"]
    main(call)
    assert "2 kept from before" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*call, "--quality", "30"])
    assert "other options" in capsys.readouterr().err


class Halves:
    """Steadies by the mean of two drawings, and counts."""

    def __init__(self) -> None:
        self.before: Image | None = None

    def __call__(self, shown: Image, drawn: Image) -> Image:
        assert shown.shape == drawn.shape
        before, self.before = self.before, drawn
        return drawn if before is None else ((before.astype(int) + drawn) // 2).astype(np.uint8)

    def reset(self) -> None:
        self.before = None


def test_what_steadies_sees_the_frames_in_order_also_after_an_interruption(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", [np.full((48, 64, 3), 60 + 4 * number, np.uint8) for number in range(40)])
    whole = translate_video(mirror(), source, tmp_path / "b.mp4", VideoOptions(steadier=Halves)).out
    calls = 0

    class Failing(type(mirror())):
        def __call__(self, image: Image, **_: object) -> Image:
            nonlocal calls
            calls += 1
            if calls == 35:
                raise CalcoError("the model has had enough")
            return super().__call__(image)

    told = mirror()
    told.__class__ = Failing
    with pytest.raises(CalcoError, match="enough"):
        translate_video(told, source, tmp_path / "c.mp4", VideoOptions(steadier=Halves))
    done = translate_video(mirror(), source, tmp_path / "c.mp4", VideoOptions(steadier=Halves))
    assert (done.kept, done.frames) == (20, 20)
    means = [[frame.mean() for frame in shown(path)] for path in (whole, done.out)]
    assert np.allclose(*means, atol=1)
    assert means[0][20] == pytest.approx(60 + 4 * 20 - 2, abs=1.5)
