"""Frames of videos: which ones, exactly those, in groups that do not leak, and what is said of videos that are none."""

from collections.abc import Iterable
from fractions import Fraction
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from calco import imaging
from calco.data.config import SourceConfig, SplitConfig
from calco.data.source import Source
from calco.data.sources import open_source
from calco.data.splits import split_items, split_names
from calco.errors import CalcoError
from calco.imaging import Image
from calco.video.frame_image import image_of
from calco.video.motion import scene_starts

SIZE_WH = (64, 48)


def make_image(number: int) -> Image:
    """A frame that tells its number by a bar, over a colour of its own."""
    image = np.empty((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    image[:] = (number * 5 % 200, 200 - number * 5 % 200, number * 3 % 200)
    image[8:16, : 4 + number] = 255
    return image


def make_video(
    path: Path, frames: Iterable[Image], codec: str = "libx264", times: list[int] | None = None, **options: str
) -> Path:
    """Writes a video of 10 frames a second, or with these times in tenths of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"g": "12", **options})
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(source: Source) -> list[int]:
    return [int(item.key.rsplit("/", 1)[1]) for item in source.items]


def opened(path: Path, frames: str = "1") -> Source:
    return open_source(path, SourceConfig(frames=frames))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"bf": "2"}), ("a.mkv", "libx264", {"bf": "2"}), ("a.MOV", "mpeg4", {}),
     ("a.webm", "libvpx", {}), ("a.avi", "mpeg4", {}), ("a.mpg", "mpeg2video", {}),
     ("open.mp4", "libx264", {"x264-params": "open-gop=1:bframes=3"})],
)  # fmt: skip
def test_every_frame_is_exactly_that_one_in_any_order(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = make_video(tmp_path / name, map(make_image, range(40)), codec, **options)
    with av.open(str(path)) as container:
        truth = [image_of(frame, VideoReformatter(), str(path)) for frame in container.decode(video=0)]
    source = opened(path)
    assert (source.kind, numbers(source)) == ("video", list(range(40)))
    order = [*range(40), *np.random.default_rng(0).permutation(40)]
    assert all(np.array_equal(source.load(source.items[i]).image, truth[i]) for i in order)


def test_a_video_without_time_stamps_is_counted_through(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mkv", map(make_image, range(20)))
    with av.open(str(tmp_path / "a.mkv")) as container, av.open(str(tmp_path / "a.m4v"), "w", format="m4v") as raw:
        stream = raw.add_stream("mpeg4", rate=10)
        stream.width, stream.height = SIZE_WH
        for frame in container.decode(video=0):
            raw.mux(stream.encode(frame))
        raw.mux(stream.encode())
    source = opened(tmp_path / "a.m4v", "5")
    assert numbers(source) == [0, 5, 10, 15]
    back = [source.load(item).image for item in source.items[::-1]][::-1]
    assert all(np.array_equal(source.load(item).image, image) for item, image in zip(source.items, back, strict=True))
    assert abs(back[2].astype(int) - make_image(10)).mean() < 10


@pytest.mark.parametrize(
    ("frames", "expected"),
    [("10", [0, 10, 20, 30]), ("2s", [0, 20]), ("0.25s", [0, 3, 5, 8, 10, *range(13, 36)][:5])],
)
def test_which_frames(tmp_path: Path, frames: str, expected: list[int]) -> None:
    source = opened(make_video(tmp_path / "Un día.mp4", map(make_image, range(36))), frames)
    assert numbers(source)[: len(expected)] == expected
    assert source.items[0].key == "Un día/000000"


def test_seconds_follow_the_time_stamps_where_the_rate_varies(tmp_path: Path) -> None:
    times = [0, 1, 2, 3, 10, 11, 29, 30, 31, 60]
    path = make_video(tmp_path / "a.mkv", map(make_image, range(10)), times=times)
    source = opened(path, "1s")
    assert numbers(source) == [0, 4, 6, 7, 9]
    assert abs(source.load(source.items[3]).image.astype(int) - make_image(7)).mean() < 10


def test_scenes_begin_at_cuts_and_not_in_movement_light_or_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    landscapes = [
        imaging.resize(rng.integers(0, 256, (6, 20, 3)).astype(np.uint8), (200, 48), "bicubic") for _ in "abc"
    ]
    shown = [landscape[:, 2 * i : 2 * i + 64].copy() for landscape in landscapes for i in range(20)]  # a moving camera
    shown[10][:] = 255  # a flash
    noisy = [np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8) for image in shown]
    source = opened(make_video(tmp_path / "a.mp4", noisy, crf="18"), "scene")
    assert numbers(source) == [0, 20, 40]
    assert "scene" in source.summary()
    assert scene_starts([]) == []
    assert scene_starts([make_image(0)] * 3) == [0]


def test_one_group_a_video_and_copies_of_a_video_share_it(tmp_path: Path) -> None:
    for first, name in enumerate(("day/a", "day/b", "night/a")):
        make_video(tmp_path / f"{name}.mp4", map(make_image, range(first, 30)))
    (tmp_path / "copy.MP4").write_bytes((tmp_path / "day" / "a.mp4").read_bytes())
    (tmp_path / "notes.txt").touch()
    source = opened(tmp_path, "10")
    assert len(source.items) == 12
    assert {item.key.rsplit("/", 1)[0]: item.group for item in source.items} == {
        "copy": "copy", "day/a": "copy", "day/b": "day/b", "night/a": "night/a",
    }  # fmt: skip
    assert len({source.digest(item) for item in source.items}) == 9
    far = ForkingPickler.loads(ForkingPickler.dumps(source))
    assert np.array_equal(far.load(far.items[4]).image, source.load(source.items[4]).image)


def long_video(path: Path, tenths: int = 120) -> Path:
    """Scenes of two seconds, in which nothing stands still."""
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 200, 3) for _ in range(tenths // 20 + 1)]
    shown = (np.clip(make_image(i % 20) // 4 + scenes[i // 20], 0, 255).astype(np.uint8) for i in range(tenths))
    return make_video(path, shown, g="20", **{"x264-params": "scenecut=0:min-keyint=20:bframes=2"})


def sides(source: Source, config: SplitConfig | None = None) -> dict[str, str]:
    splits = split_items(source.items, config or SplitConfig())
    return {item.key: side for side, items in splits.items() for item in items}


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.3, 0.3), (0.2, 0.0)])
def test_no_near_frames_on_two_sides_of_one_video(
    tmp_path: Path, shares: tuple[float, float], capfd: pytest.CaptureFixture[str]
) -> None:
    source = opened(long_video(tmp_path / "a.mp4"))
    side = sides(source, SplitConfig(validation=shares[0], test=shares[1]))
    assert set(side.values()) == ({"train", "val", "test"} if shares[1] else {"train", "val"})
    seconds = {item.key: item.when[0] for item in source.items if item.key in side}
    gap = source.items[0].when[1]
    assert gap == pytest.approx(1.19)
    apart = [abs(seconds[a] - seconds[b]) for a in side for b in side if side[a] != side[b]]
    assert min(apart) >= gap
    said = capfd.readouterr().err
    assert f"{len(source.items) - len(side)} frames are left out" in said
    assert "within 1.19 s" in said
    checked = split_names(source.items, SplitConfig(validation=shares[0], test=shares[1]))
    assert {key for key, name in checked.items() if name == "gap"} == {item.key for item in source.items} - side.keys()


def test_the_split_of_a_video_stands_when_others_are_added_and_more_of_its_frames_are_taken(tmp_path: Path) -> None:
    long_video(tmp_path / "a.mp4")
    alone = sides(opened(tmp_path))
    for name, tenths in (("b", 100), ("c", 30), ("0", 70)):
        long_video(tmp_path / f"{name}.mp4", tenths)
    joined = sides(opened(tmp_path))
    assert {key: side for key, side in joined.items() if key[:2] == "a/"} == alone
    assert len({side for key, side in joined.items() if key[:2] == "c/"}) == 1  # too short to be divided
    few = sides(opened(tmp_path / "a.mp4", "4"))
    assert all(alone.get(key, side) == side for key, side in few.items())


def test_blocks_begin_at_cuts_and_copies_of_a_video_share_them(tmp_path: Path) -> None:
    path = long_video(tmp_path / "a.mp4")
    starts: dict[str, int] = {}
    for item in opened(path).items:
        starts.setdefault(item.group, int(item.key[-6:]))
    assert list(starts.values()) == [0, 20, 40, 60, 80, 100]
    (tmp_path / "copy.mp4").write_bytes(path.read_bytes())
    side = sides(opened(tmp_path))
    assert all(side[key] == side[key.replace("a/", "copy/")] for key in side if key[:2] == "a/")


def test_from_ten_videos_on_each_is_one_group_unless_blocks_are_asked_for(tmp_path: Path) -> None:
    whole = long_video(tmp_path / "0.mp4", 60)
    for number in range(1, 10):
        make_video(tmp_path / f"{number}.mp4", map(make_image, range(number, number + 2)))
    assert {item.group for item in opened(tmp_path).items} == {str(number) for number in range(10)}
    asked = open_source(tmp_path, SourceConfig(frames="1", video_groups="block"))
    assert len({item.group for item in asked.items}) > 10
    one = open_source(whole, SourceConfig(frames="1", video_groups="video"))
    with pytest.raises(CalcoError, match="--video-groups block"):
        split_items(one.items, SplitConfig())


def test_splits_of_a_folder_of_videos(tmp_path: Path) -> None:
    for name in ("train/a", "val/b", "test/c"):
        make_video(tmp_path / f"{name}.mp4", map(make_image, range(12)))
    assert {item.key: item.split for item in opened(tmp_path, "12").items} == {
        "train/a/000000": "train", "val/b/000000": "val", "test/c/000000": "test",
    }  # fmt: skip


def test_a_turned_video_is_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", map(make_image, range(12)))
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 8
    quarter = [
        0,
        1 << 16,
        0,
        -(1 << 16),
        0,
        0,
        48 << 16,
        0,
        1 << 30,
    ]  # clockwise
    data[matrix : matrix + 36] = np.array(quarter, ">i4").tobytes()
    before = opened(path).load(opened(path).items[3]).image
    (tmp_path / "turned.mp4").write_bytes(data)
    turned = opened(tmp_path / "turned.mp4")
    assert np.array_equal(turned.load(turned.items[3]).image, np.rot90(before, -1))


def test_a_video_with_more_than_eight_bits_keeps_them(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "deep.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "gbrp10le"
        deep = np.full((16, 16, 3), 513 << 6, np.uint16)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(deep, format="rgb48le").reformat(format="gbrp10le")))
        container.mux(stream.encode())
    source = opened(tmp_path / "deep.mkv")
    image = source.load(source.items[0]).image
    assert image.dtype == np.uint16
    assert abs(int(image[0, 0, 0]) - (513 << 6)) < 128


def test_videos_that_are_none_are_named_and_the_others_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = make_video(tmp_path / "whole.mkv", map(make_image, range(40))).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    moov_last = make_video(tmp_path / "whole.mp4", map(make_image, range(40))).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(moov_last[: len(moov_last) // 2])
    (tmp_path / "empty.avi").touch()
    (tmp_path / "text.mov").write_text("I am no video")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    source = opened(tmp_path)
    assert {item.group for item in source.items} == {"cut", "whole", "whole.mp4"}
    left_out = dict(source.left_out)
    assert left_out.keys() == {"cut.mp4", "empty.avi", "text.mov", "list.mp4", "sound.mp4"}
    assert "only sound" in left_out["sound.mp4"]
    beginning = [item for item in source.items if item.group == "cut"][:15]
    for item in (*beginning, *(item for item in source.items if item.group != "cut")):
        assert source.load(item).image.shape == (48, 64, 3)
    assert "Traceback" not in capfd.readouterr().err  # of the video library, which prints what it drops
    for name in ("text.mov", "empty.avi", "sound.mp4"):
        with pytest.raises(CalcoError, match=name):
            opened(tmp_path / name)


def test_folders_without_videos_and_with_bad_ones_alone(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="empty"):
        open_source(tmp_path, SourceConfig(source="video"))
    (tmp_path / "a.mp4").touch()
    with pytest.raises(CalcoError, match="none of the 1 videos"):
        open_source(tmp_path)
    (tmp_path / "a.mp4").rename(tmp_path / "a.txt")
    with pytest.raises(CalcoError, match=r"holds no video, only \.txt"):
        open_source(tmp_path, SourceConfig(source="video"))
    with pytest.raises(CalcoError, match="there is no"):
        open_source(tmp_path / "absent.mp4", SourceConfig(source="video"))


def test_real_videos(real_data: Path) -> None:
    source = opened(real_data / "video", "50")
    assert {item.group.split("#")[0] for item in source.items} == {"bikes", "vtest"}
    assert len(source.items) == 5 + 16
    assert source.load(source.items[-1]).image.shape == (576, 768, 3)
    cuts = opened(real_data / "video" / "bikes.mp4", "scene")
    assert numbers(cuts) == [0, 30, 76, 137, 187, 242]
