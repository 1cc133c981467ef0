"""For any container, time base, start and orientation: each frame once at its time, or a line names what is not."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calco.imaging import Image
from calco.inference.video import translate_video
from calco.video.reading import Video
from video.containers import MATRICES, shown_by, with_matrix
from video.videos import mirror

CODECS = {"mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx", "ts": "libx264", "flv": "libx264"}
SOUND = {"webm": "libopus"}


def numbered(number: int) -> Image:
    """A frame with its number in six blocks above, and a mark in one corner below."""
    image = np.full((48, 64, 3), 90, np.uint8)
    for bit in range(6):
        image[4:16, 2 + 10 * bit : 10 + 10 * bit] = 235 if number >> bit & 1 else 20
    image[30:44, 4:12] = 235
    return image


def number_in(image: Image) -> int:
    luma = image.astype(float).mean(axis=2)
    return sum(int(luma[7:13, 4 + 10 * bit : 8 + 10 * bit].mean() > 128) << bit for bit in range(6))


@dataclass(frozen=True)
class Made:
    """A video as it is written.

    Attributes:
        ending: Its container.
        steps: Milliseconds between its frames.
        begins: Milliseconds at which its images begin.
        sound: Milliseconds at which its sound begins; None for none.
        lasts: Milliseconds of its sound.
        b_frames: Frames that are decoded in another order.
        matrix: Its orientation.
    """

    ending: str
    steps: tuple[int, ...]
    begins: int
    sound: int | None
    lasts: int
    b_frames: int
    matrix: str

    def write(self, folder: Path) -> Path:
        path = folder / f"a.{self.ending}"
        with av.open(str(path), "w") as out:
            options = {"bf": str(self.b_frames), "g": "8", "crf": "18"} if self.ending != "webm" else {}
            video = out.add_stream(CODECS[self.ending], rate=25, options=options)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
            sound = None if self.sound is None else out.add_stream(SOUND.get(self.ending, "aac"), rate=48_000)
            if sound is not None:
                sound.layout = "mono"
                format_ = sound.codec_context.format.name
                heard = av.AudioFrame.from_ndarray(
                    np.zeros((1, 48 * self.lasts), np.float32 if "flt" in format_ else np.int16), format_, "mono"
                )
                heard.sample_rate, heard.pts, heard.time_base = 48_000, 48 * (self.sound or 0), Fraction(1, 48_000)
                size = sound.codec_context.frame_size or 1024
                resampler = av.AudioResampler(format=format_, layout="mono", rate=48_000, frame_size=size)
                for part in [*resampler.resample(heard), *resampler.resample(None)]:
                    out.mux(sound.encode(part))
                out.mux(sound.encode(None))
            for number, stamp in enumerate(self.stamps):
                frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
                frame.pts, frame.time_base = stamp, Fraction(1, 1000)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        if self.matrix != "upright":
            return with_matrix(path, path.with_name(f"turned.{self.ending}"), MATRICES[self.matrix])
        return path

    @property
    def stamps(self) -> list[int]:
        return [self.begins + sum(self.steps[:count]) for count in range(len(self.steps) + 1)]


@st.composite
def videos(draw: st.DrawFn) -> Made:
    ending = draw(st.sampled_from(sorted(CODECS)))
    steps = draw(st.one_of(st.lists(st.integers(5, 400), min_size=1, max_size=20),
                           st.integers(1, 20).map(lambda count: [40] * count)))  # fmt: skip
    if ending == "ts":  # of which a few hundred bytes are too few to be recognised
        steps += [40] * 8
    return Made(
        ending=ending, steps=tuple(steps), begins=draw(st.sampled_from([0, 40, 700, 3_600_000])),
        sound=draw(st.sampled_from([None, 0, 20, 500])), lasts=draw(st.sampled_from([40, 400, 3000])),
        b_frames=0 if ending in ("flv", "webm") else draw(st.integers(0, 2)),
        matrix=draw(st.sampled_from(sorted(MATRICES))) if ending in ("mp4", "mov") else "upright",
    )  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(videos())
def test_each_frame_comes_once_at_its_time(made: Made) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = made.write(folder)
        read = Video(path)
        frames = list(read.frames())
        wanted = shown_by(made.matrix, numbered(0)).shape
        assert [frame.image.shape for frame in frames] == [wanted] * len(made.stamps)
        back = [shown_by(_inverse(made.matrix), frame.image) for frame in frames]
        assert [number_in(image) for image in back] == list(range(len(made.stamps)))
        pauses = max(made.steps) > 330  # which at an even rate are remarkable
        assert [what for what in read.damage if not (pauses and "there are no frames between" in what)] == []
        times = [float(frame.time) for frame in frames]
        # The beginning is the first of images and sound; MP4 and MOV may begin with the images' first time.
        offset = times[0]
        steps = [(stamp - made.stamps[0]) / 1000 for stamp in made.stamps]
        assert np.abs(np.array(times) - offset - steps).max() < 0.0021
        done = translate_video(mirror(), path, folder / "out.mkv")
        again = list(Video(done.out).frames())
        assert [number_in(shown_by(_inverse(made.matrix), frame.image[:, ::-1])) for frame in again] == list(
            range(len(made.stamps))
        )
        assert np.abs(np.array([float(frame.time) for frame in again]) - times).max() < 0.0021
        assert [what for what in done.notes if not (pauses and "there are no frames between" in what)] == []


def _inverse(name: str) -> str:
    return {"rot90": "rot270", "rot270": "rot90"}.get(name, name)
