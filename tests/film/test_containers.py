"""What containers say of a video beside its pixels: orientation, fields, HDR, lengths, streams beside."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from calco.errors import CalcoError
from calco.film.capture import Capture
from calco.film.origins import Origin
from calco.film.reading import Film
from calco.film.translate import translate_film
from calco.images import Image
from calco.pairs.colours import Colours, colours_of, tone_mapped
from calco.pairs.film import load_frame, open_films
from calco.pairs.sources import SourceConfig
from film.containers import MATRICES, comb, combed, shown_by, with_matrix
from film.films import film, mirror, picture


def corner() -> Image:
    """A picture without any symmetry."""
    image = np.full((48, 64, 3), 90, np.uint8)
    image[4:20, 4:12], image[4:10, 12:40], image[30:44, 4:20] = (230, 30, 30), (30, 200, 30), (40, 40, 220)
    return image


def trained_on(path: Path) -> Image:
    source = open_films(str(path), SourceConfig(source="film", frames="1"))
    return load_frame(source, source.items[-1]).image


def seen_live(path: Path) -> Image:
    from av.video.reformatter import VideoReformatter

    capture = Capture(Origin(kind="file", place=str(path)))
    capture.start()
    try:
        shot = capture.decoder.newest.take(10)
    finally:
        capture.stop()
    assert shot is not None
    return shot.picture(VideoReformatter())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("plain") / "a.mp4", [corner()] * 3, options={"crf": "1"})


@pytest.mark.parametrize("name", MATRICES)
def test_all_eight_orientations_are_upright_everywhere(plain: Path, tmp_path: Path, name: str) -> None:
    path = with_matrix(plain, tmp_path / "turned.mp4", MATRICES[name])
    wanted = shown_by(name, corner()).astype(int)
    read = next(Film(path).frames()).picture
    for image in (read, trained_on(path), seen_live(path)):
        assert image.shape == wanted.shape
        assert np.abs(image - wanted).mean() < 4
    out = translate_film(mirror(), path, tmp_path / "out.mp4").out
    with av.open(str(out)) as container:
        assert next(container.decode(video=0)).rotation == 0
    written = next(Film(out).frames()).picture
    assert np.abs(written[:, ::-1] - wanted).mean() < 8
    assert Film(path).notes == []


def test_an_angle_that_is_no_right_one_is_reported(plain: Path, tmp_path: Path) -> None:
    slanted = np.radians(98)
    matrix = (np.cos(slanted), np.sin(slanted), -np.sin(slanted), np.cos(slanted))
    path = with_matrix(plain, tmp_path / "turned.mp4", matrix)
    read = Film(path)
    assert "an angle of 98.0 degrees: its frames are turned by the nearest right angle" in "".join(read.notes)
    assert np.abs(next(read.frames()).picture - shown_by("rot90", corner()).astype(int)).mean() < 4


@pytest.mark.parametrize("name", ["a.mkv", "a.mpg"])
def test_fields_become_frames_of_one_moment(tmp_path: Path, name: str) -> None:
    frames = [combed(number) for number in range(12)]
    path = tmp_path / name
    if name == "a.mkv":
        film(path, frames, options={"crf": "4", "x264-params": "tff=1"})
    else:
        _mpeg2(path, frames)
    assert comb(combed(5)) > 10, "the measure sees a comb"
    read = Film(path)
    shown = list(read.frames())
    steps = {round(float(after.time - before.time), 2) for before, after in pairwise(shown)}
    assert len(shown) == 12 and len(steps) == 1
    assert max(comb(frame.picture) for frame in shown) < 6
    still = shown[5].picture[40:56].astype(int).mean(axis=(1, 2))
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
    path = film(tmp_path / "a.mkv", [combed(number) for number in range(4)], "ffv1", pixels="yuv444p")
    read = Film(path)
    assert comb(list(read.frames())[2].picture) > 10 and read.damage == []


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
    film(path, [grey] * 3, "libx264", pixels="yuv420p10le", tags=tags, options={"crf": "1"})
    read = Film(path)
    assert read.colours == Colours(), "the result is tagged as BT.709"
    assert any(f"is HDR ({transfer}): its colours are tone-mapped to SDR (BT.709)" in note for note in read.notes)
    wanted = int(tone_mapped(np.full((1, 1, 3), 148 * 257, np.uint16), transfer)[0, 0, 1])
    for image in (next(read.frames()).picture, trained_on(path), seen_live(path)):
        assert image.dtype == np.uint8 and abs(int(image[20, 20, 1]) - wanted) <= 3
    assert abs(wanted - 148) > 20
    out = translate_film(mirror(), path, tmp_path / "out.mp4")
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
        path = film(tmp_path / f"{matrix}{full}.mkv", [patches] * 2, options={"crf": "2"},
                    tags={"colorspace": matrix, "color_range": full})  # fmt: skip
        read = next(Film(path).frames()).picture.astype(int)
        assert np.abs(read - patches).max(axis=2).mean() < 8
        assert (trained_on(path) == read).all()
        assert (seen_live(path) == read).all()


def test_sound_that_outlasts_the_pictures_is_no_damage(tmp_path: Path) -> None:
    long = _with_sound(tmp_path / "long.mkv", frames=10, seconds=4.0)
    read = Film(long)
    assert len(list(read.frames())) == 10 and read.damage == []
    late = _with_sound(tmp_path / "late.mkv", frames=10, seconds=1.0, begins=36_000)
    read = Film(late)
    assert [round(float(frame.time), 2) for frame in read.frames()][:2] == [0.0, 0.1] and read.damage == []


def test_a_file_that_is_cut_is_damage_with_sound_too(tmp_path: Path) -> None:
    path = _with_sound(tmp_path / "a.mkv", frames=40, seconds=4.0)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * 0.4)])
    read = Film(path)
    assert len(list(read.frames())) < 30
    assert any("cut short" in what for what in read.damage)


def _with_sound(path: Path, *, frames: int, seconds: float, begins: int = 0) -> Path:
    """Pictures of ten a second, and sound that may last longer; interleaved as muxers do it."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"bf": "0", "g": "10"})
        sound = out.add_stream("aac", rate=48_000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound.layout = "mono"
        for step in range(round(max(seconds, frames / 10) * 10)):
            if step < frames:
                frame = av.VideoFrame.from_ndarray(picture(step), format="rgb24")
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
    film(tmp_path / "b.mkv", 3, pixels="yuv420p10le", tags=tags)
    summary = open_films(str(tmp_path), SourceConfig(source="film", frames="1")).summary()
    assert "a.mpg is interlaced: each frame is deinterlaced by itself" in summary
    assert "b.mkv is HDR (HLG): its colours are tone-mapped" in summary
