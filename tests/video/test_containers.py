"""What containers say of a video beside its pixels: orientation, fields, HDR, lengths, streams beside."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from calco.data.config import SourceConfig
from calco.data.sources.videos import load_frame
from calco.data.sources.videos import open as open_videos
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.video import VideoOptions, translate_video, translate_videos
from calco.video.capture import Capture
from calco.video.frame_image import Colours, colours_of, tone_mapped
from calco.video.names import is_video
from calco.video.reading import Video
from calco.video.sources import LiveSource
from calco.video.writing import VideoWriter
from video.containers import MATRICES, comb, combed, shown_by, with_matrix
from video.videos import make_image, make_video, mirror


def corner() -> Image:
    """An image without any symmetry."""
    image = np.full((48, 64, 3), 90, np.uint8)
    image[4:20, 4:12], image[4:10, 12:40], image[30:44, 4:20] = (230, 30, 30), (30, 200, 30), (40, 40, 220)
    return image


def trained_on(path: Path) -> Image:
    source = open_videos(str(path), SourceConfig(source="video", frames="1"))
    return load_frame(source, source.items[-1]).image


def seen_live(path: Path) -> Image:
    capture = Capture(LiveSource(kind="file", place=str(path)))
    capture.start()
    try:
        frame = capture.take(10)
    finally:
        capture.stop()
    assert frame is not None
    return frame.image


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("plain") / "a.mp4", [corner()] * 3, options={"crf": "1"})


@pytest.mark.parametrize("name", MATRICES)
def test_all_eight_orientations_are_upright_everywhere(plain: Path, tmp_path: Path, name: str) -> None:
    path = with_matrix(plain, tmp_path / "turned.mp4", MATRICES[name])
    wanted = shown_by(name, corner()).astype(int)
    read = next(Video(path).frames()).image
    for image in (read, trained_on(path), seen_live(path)):
        assert image.shape == wanted.shape
        assert np.abs(image - wanted).mean() < 4
    out = translate_video(mirror(), path, tmp_path / "out.mp4").out
    with av.open(str(out)) as container:
        assert next(container.decode(video=0)).rotation == 0
    written = next(Video(out).frames()).image
    assert np.abs(written[:, ::-1] - wanted).mean() < 8
    assert Video(path).notes == []


def test_an_angle_that_is_no_right_one_is_reported(plain: Path, tmp_path: Path) -> None:
    slanted = np.radians(98)
    matrix = (np.cos(slanted), np.sin(slanted), -np.sin(slanted), np.cos(slanted))
    path = with_matrix(plain, tmp_path / "turned.mp4", matrix)
    read = Video(path)
    assert "an angle of 98.0 degrees: its frames are turned by the nearest right angle" in "".join(read.notes)
    assert np.abs(next(read.frames()).image - shown_by("rot90", corner()).astype(int)).mean() < 4


@pytest.mark.parametrize("name", ["a.mkv", "a.mpg"])
def test_fields_become_frames_of_one_moment(tmp_path: Path, name: str) -> None:
    frames = [combed(number) for number in range(12)]
    path = tmp_path / name
    if name == "a.mkv":
        make_video(path, frames, options={"crf": "4", "x264-params": "tff=1"})
    else:
        _mpeg2(path, frames)
    assert comb(combed(5)) > 10, "the measure sees a comb"
    read = Video(path)
    shown = list(read.frames())
    steps = {round(float(after.time - before.time), 2) for before, after in pairwise(shown)}
    assert len(shown) == 12 and len(steps) == 1
    assert max(comb(frame.image) for frame in shown) < 6
    still = shown[5].image[40:56].astype(int).mean(axis=(1, 2))
    assert np.abs(np.diff(still)).min() > 60, "lines that rest keep their detail"
    assert read.damage == ["12 frames are interlaced: deinterlaced by FFmpeg's bwdif, into one frame for two fields"]
    assert comb(trained_on(path)) < 6 and comb(seen_live(path)) < 6


def _mpeg2(path: Path, frames: list[Image]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "b": "8M"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def test_what_is_progressive_is_not_touched(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", [combed(number) for number in range(4)], "ffv1", pixels="yuv444p")
    read = Video(path)
    assert comb(list(read.frames())[2].image) > 10 and read.damage == []


NITS = {"PQ": 16, "HLG": 18}


def code_of(nits: float) -> int:
    """The number of 16 bits that stands for a light in PQ (SMPTE ST 2084)."""
    power = (nits / 10_000) ** (1305 / 8192)
    return round(65535 * ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def test_hdr_keeps_what_a_screen_of_sdr_can_show() -> None:
    nits = (0, 1, 20, 50, 203, 1000, 4000)
    greys = np.array([[[code_of(n)] * 3 for n in nits]], np.uint16)
    seen = tone_mapped(greys, "PQ")[0]
    assert (seen == seen[:, :1]).all(), "grey stays grey"
    values = seen[:, 0].astype(int).tolist()
    # Dark and middle tones are those of a screen whose white is 203 cd/m2 and whose power is 2.4 (BT.1886).
    assert values[0] == 0 and values[1:4] == pytest.approx([255 * (n / 203) ** (1 / 2.4) for n in (1, 20, 50)], abs=2)
    assert 200 < values[4] < 250 and values[5:] == [255, 255], "the white of paper leaves room for highlights"
    # HLG of 0.5 is the light 1/12 of the scene, 1000 * (1/12)^1.2 on the screen (BT.2100).
    half = tone_mapped(np.full((1, 1, 3), 32768, np.uint16), "HLG")[0, 0, 0]
    assert int(half) == pytest.approx(255 * (1000 * (1 / 12) ** 1.2 / 203) ** (1 / 2.4), abs=2)
    red = tone_mapped(np.array([[[code_of(60), 0, 0]]], np.uint16), "PQ")[0, 0]
    assert red[0] > 120 and red[1] == red[2] == 0, "a red beyond BT.709 is clipped to its edge"


@pytest.mark.parametrize("transfer", NITS)
def test_hdr_is_never_passed_as_sdr(tmp_path: Path, transfer: str) -> None:
    path = tmp_path / "hdr.mkv"
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": NITS[transfer]}
    grey = np.full((48, 64, 3), 148, np.uint8)  # 0.58: 203 cd/m2 in PQ, far above the middle grey that it would be
    make_video(path, [grey] * 3, "libx264", pixels="yuv420p10le", tags=tags, options={"crf": "1"})
    read = Video(path)
    assert read.colours == Colours(), "the result is tagged as BT.709"
    assert any(f"is HDR ({transfer}): its colours are tone-mapped to SDR (BT.709)" in note for note in read.notes)
    wanted = int(tone_mapped(np.full((1, 1, 3), 148 * 257, np.uint16), transfer)[0, 0, 1])
    for image in (next(read.frames()).image, trained_on(path), seen_live(path)):
        assert image.dtype == np.uint8 and abs(int(image[20, 20, 1]) - wanted) <= 3
    assert abs(wanted - 148) > 20
    out = translate_video(mirror(), path, tmp_path / "out.mp4")
    with av.open(str(out.out)) as container:
        frame = next(container.decode(video=0))
        assert (int(frame.color_trc), int(frame.color_primaries), int(frame.colorspace)) == (1, 1, 1)


def test_a_matrix_that_is_not_converted_is_refused() -> None:
    frame = av.VideoFrame(64, 48, "yuv444p")
    frame.colorspace = 14
    with pytest.raises(CalcoError, match=r"b\.mkv: its colours are coded by the matrix ICtCp, which is not converted"):
        colours_of(frame, "b.mkv")


def test_training_and_translating_see_the_same_colours(tmp_path: Path) -> None:
    patches = np.kron(np.array([[[230, 30, 30], [30, 200, 60]], [[40, 60, 220], [180, 180, 40]]], np.uint8),
                      np.ones((24, 32, 1), np.uint8))  # fmt: skip
    for matrix, full in ((1, 1), (1, 2), (6, 1), (6, 2)):
        path = make_video(tmp_path / f"{matrix}{full}.mkv", [patches] * 2, options={"crf": "2"},
                    tags={"colorspace": matrix, "color_range": full})  # fmt: skip
        read = next(Video(path).frames()).image.astype(int)
        assert np.abs(read - patches).max(axis=2).mean() < 8
        assert (trained_on(path) == read).all()
        assert (seen_live(path) == read).all()


def test_sound_that_outlasts_the_images_is_no_damage(tmp_path: Path) -> None:
    long = _with_sound(tmp_path / "long.mkv", frames=10, seconds=4.0)
    read = Video(long)
    assert len(list(read.frames())) == 10 and read.damage == []
    late = _with_sound(tmp_path / "late.mkv", frames=10, seconds=1.0, begins=36_000)
    read = Video(late)
    assert [round(float(frame.time), 2) for frame in read.frames()][:2] == [0.0, 0.1] and read.damage == []


def test_a_file_that_is_cut_is_damage_with_sound_too(tmp_path: Path) -> None:
    path = _with_sound(tmp_path / "a.mkv", frames=40, seconds=4.0)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * 0.4)])
    read = Video(path)
    assert len(list(read.frames())) < 30
    assert any("cut short" in what for what in read.damage)


def _with_sound(path: Path, *, frames: int, seconds: float, begins: int = 0) -> Path:
    """Images of ten a second, and sound that may last longer; interleaved as muxers do it."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"bf": "0", "g": "10"})
        sound = out.add_stream("aac", rate=48_000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound.layout = "mono"
        for step in range(round(max(seconds, frames / 10) * 10)):
            if step < frames:
                frame = av.VideoFrame.from_ndarray(make_image(step), format="rgb24")
                frame.pts, frame.time_base = 10 * begins + step, Fraction(1, 10)
                out.mux(video.encode(frame))
            if step < seconds * 10:
                heard = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
                heard.sample_rate, heard.time_base = 48_000, Fraction(1, 48_000)
                heard.pts = 48_000 * begins + 4800 * step
                out.mux(sound.encode(heard))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return path


def test_what_is_changed_on_the_way_to_training_is_reported(tmp_path: Path) -> None:
    _mpeg2(tmp_path / "a.mpg", [combed(number) for number in range(4)])
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 18}
    make_video(tmp_path / "b.mkv", 3, pixels="yuv420p10le", tags=tags)
    summary = open_videos(str(tmp_path), SourceConfig(source="video", frames="1")).summary()
    assert "a.mpg is interlaced: each frame is deinterlaced by itself" in summary
    assert "b.mkv is HDR (HLG): its colours are tone-mapped" in summary


def rich(path: Path) -> Path:
    """Two streams of sound in two languages, subtitles, chapters, tags and a second video stream."""
    base = _with_sound(path.with_name("base.mkv"), frames=20, seconds=2.0)
    path.with_name("s.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,900\nhola\n\n2\n00:00:01,000 --> 00:00:01,800\nadios\n"
    )
    with av.open(str(base)) as source, av.open(str(path.with_name("s.srt"))) as words, av.open(str(path), "w") as out:
        out.metadata.update({"title": "Bicicletas", "comment": "a", "com.example.place": "Lima"})
        copies = [(source.streams.video[0], {"language": "spa"}), (source.streams.audio[0], {"language": "spa"}),
                  (source.streams.audio[0], {"language": "eng", "title": "Comments"})]  # fmt: skip
        made = [out.add_stream_from_template(stream) for stream, _ in copies]
        text = out.add_stream_from_template(words.streams.subtitles[0])
        for copy, (_, tags) in zip([*made, text], [*copies, (None, {"language": "spa"})], strict=True):
            copy.metadata.update(tags)
        names = (("uno", 0, 1000), ("dos", 1000, 2000))
        out.set_chapters([
            {"id": number, "start": begin, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": name}}
            for number, (name, begin, end) in enumerate(names)
        ])  # fmt: skip
        lines = [packet for packet in words.demux() if packet.size]
        for packet in source.demux():
            if packet.dts is None:
                continue
            data, times = bytes(packet), (packet.pts, packet.dts, packet.duration, packet.time_base)
            for copy, (stream, _) in zip(made, copies, strict=True):
                if stream.index == packet.stream.index:
                    again = av.Packet(data)
                    again.pts, again.dts, again.duration, again.time_base = times
                    again.is_keyframe, again.stream = packet.is_keyframe, copy
                    out.mux(again)
            if lines:
                line = lines.pop(0)
                line.stream = text
                out.mux(line)
    return path


def test_all_that_lies_beside_the_images_is_kept_or_named(tmp_path: Path) -> None:
    source = rich(tmp_path / "rich.mkv")
    done = translate_video(mirror(), source, tmp_path / "out.mkv")
    assert done.notes == []
    with av.open(str(done.out)) as out:
        tags = [(s.type, s.metadata.get("language"), s.metadata.get("title")) for s in out.streams]
        assert tags == [("video", "spa", None), ("audio", "spa", None), ("audio", "eng", "Comments"),
                        ("subtitle", "spa", None)]  # fmt: skip
        chapters = [(each["metadata"]["title"], each["start"] * each["time_base"]) for each in out.chapters()]
        assert chapters == [("uno", 0), ("dos", 1)]
        assert {name.lower(): value for name, value in out.metadata.items()}["com.example.place"] == "Lima"
        text = [(packet.pts, packet.duration, bytes(packet)) for packet in out.demux(out.streams.subtitles[0])
                if packet.size]  # fmt: skip
        assert text == [(100, 800, b"hola"), (1000, 800, b"adios")]
    notes = " | ".join(translate_video(mirror(), source, tmp_path / "out.mp4").notes)
    assert "the subtitles (subrip) are left out: a .mp4 file cannot hold them" in notes
    assert "tags that a .mp4 file cannot hold are left out: COM.EXAMPLE.PLACE, the title of the audio" in notes
    again = translate_video(mirror(), tmp_path / "out.mp4", tmp_path / "again.mp4")
    assert again.notes == [], "the stream of chapter names that MP4 keeps is no data"
    notes = " | ".join(translate_video(mirror(), source, tmp_path / "out.avi").notes)
    assert "2 chapters are left out: a .avi file cannot hold them" in notes and "language of the video" in notes


def test_a_cut_takes_its_part_of_subtitles_and_chapters(tmp_path: Path) -> None:
    options = VideoOptions(start=Fraction(1, 2), stop=Fraction(3, 2))
    out = translate_video(mirror(), rich(tmp_path / "rich.mkv"), tmp_path / "out.mkv", options).out
    with av.open(str(out)) as container:
        chapters = [tuple(float(each[side] * each["time_base"]) for side in ("start", "end"))
                    for each in container.chapters()]  # fmt: skip
        assert chapters == [(0, 0.5), (0.5, 1)]
        words = container.demux(container.streams.subtitles[0])
        text = [(packet.pts, packet.duration, bytes(packet)) for packet in words if packet.size]
        assert text == [(0, 400, b"hola"), (500, 800, b"adios")]


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
@pytest.mark.parametrize("rate", [10, 1000])
def test_a_key_frame_comes_every_two_seconds_of_time(tmp_path: Path, codec: str, rate: int) -> None:
    steps = [33, 34, 66, 100, 167]
    times = [Fraction(sum(steps[k % 5] for k in range(number)), 1000) for number in range(100)]
    with VideoWriter(tmp_path / "a.mkv", (64, 48), codec=codec, rate=Fraction(rate)) as writer:
        for number, time in enumerate(times):
            writer.write(make_image(number), time)
    with av.open(str(tmp_path / "a.mkv")) as container:
        packets = [
            (packet.pts * packet.time_base, packet.is_keyframe) for packet in container.demux(video=0) if packet.size
        ]
    assert sorted(float(time) for time, _ in packets) == pytest.approx(list(map(float, times)), abs=0.0015)
    keys = [time for time, is_key in packets if is_key]
    assert max(after - before for before, after in pairwise([*keys, times[-1]])) < Fraction("2.2")


def test_a_recording_of_a_browser_has_all_frames_at_their_times(tmp_path: Path) -> None:
    """WebM in milliseconds, of a varying rate, without a length or a rate."""
    stamps = [0, 33, 66, 133, 300, 334, 367, 1200, 1233]
    path = tmp_path / "a.webm"
    with av.open(str(path), "w", options={"live": "1"}) as out:
        stream = out.add_stream("libvpx", rate=1000, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(make_image(number), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    read = Video(path)
    assert (read.duration, read.rate) == (None, 25)
    for name, codec in (("b.mp4", "av1"), ("b.webm", None)):
        done = translate_video(mirror(), path, tmp_path / name, VideoOptions(codec=codec))
        assert [round(1000 * float(frame.time)) for frame in Video(done.out).frames()] == stamps
        assert done.notes == []


def test_every_ending_that_is_read_is_known_in_any_case(tmp_path: Path) -> None:
    for ending in ("m4v", "MOV", "mts", "M2TS", "ts", "wmv", "flv", "3gp", "ogv", "mpg", "MPEG", "vob", "y4m", "mxf"):
        assert is_video(f"a.{ending}")
    source = make_video(tmp_path / "videos" / "a.mkv", 3)
    (tmp_path / "videos" / "b.Y4M").write_bytes(b"")
    _mpeg2(tmp_path / "videos" / "c.vob", [combed(number) for number in range(3)])
    done = translate_videos(mirror(), [str(tmp_path / "videos")], tmp_path / "out")
    assert sorted(each.out.name for each in done.done) == ["a.mkv", "c.vob.mp4"]
    assert list(done.left_out) == ["b.Y4M"]
    with pytest.raises(CalcoError, match=r"out\.vob is a video that is read and not written; name it with \.mp4"):
        translate_video(mirror(), source, tmp_path / "out.vob")


def test_a_second_video_stream_is_reported(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        streams = [out.add_stream("libx264", rate=10) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            for stream in streams:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(make_image(number), format="rgb24")))
        for stream in streams:
            out.mux(stream.encode(None))
    assert Video(tmp_path / "a.mkv").notes == [f"{tmp_path / 'a.mkv'} holds 2 video streams: the first is used"]


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", {"bf": "2"}), ("libx264", {"bf": "0"}), ("mpeg4", {"bf": "2"}), ("mpeg4", {}), ("mjpeg", {})],
)
def test_avi_has_its_frames_in_step(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(tmp_path / "a.avi", 14, codec, pixels=pixels, times=[10 * n for n in range(14)], options=options)
    assert [round(float(frame.time), 3) for frame in Video(path).frames()] == [n / 10 for n in range(14)]


def test_frames_that_an_avi_leaves_out_leave_a_gap(tmp_path: Path) -> None:
    """Capture programs write nothing for a frame that they dropped: the one before stays."""
    source = tmp_path / "a.mkv"
    kept = [number for number in range(12) if number % 3 != 2]
    make_video(source, [make_image(number) for number in kept], times=[10 * number for number in kept])
    read = Video(translate_video(mirror(), source, tmp_path / "b.avi").out)
    frames = list(read.frames())
    assert [round(float(frame.time), 3) for frame in frames] == [number / 10 for number in kept]
    assert read.damage == []
