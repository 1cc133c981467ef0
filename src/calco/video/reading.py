"""A video opened for reading: its frames upright and in RGB, the times at which they are shown, and what is wrong."""

import contextlib
import itertools
import math
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from calco.errors import CalcoError
from calco.imaging import Image, is_image
from calco.video.colours import colours_of
from calco.video.frame_image import WHITE, bits_of, deinterlaced, has_alpha, image_of, is_opaque, orientation_of
from calco.video.frames import opened, remarks_on, telling

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_LEAD: Final = Fraction(2)  # seconds before a place from which it is decoded: codecs reorder, formats seek roughly
_FEW_GAPS: Final = 2  # times without frames up to which they are remarkable
_EVEN: Final = 0.3  # of a frame's time, by which a step may differ and still be one of an even rate
_MOSTLY: Final = 0.8  # share of even steps from which on the rate is even
_LEAST_STEPS: Final = 4  # even ones, below which nothing is known of the rate
_USUAL_RATE: Final = Fraction(25)
_MOST_RATE: Final = 240  # frames a second, above which a rate that nobody counted is that of the time stamps
_ONE_PLACE: Final = 1  # seconds within which damage is told as one


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a video.

    Attributes:
        image: HW3 `uint8`, RGB, upright.
        time: Seconds from the video's start, at which it appears.
        pts: Its time stamp in the video; None where the video has none.
        time_base: Seconds of a unit of `pts`.
        number: How many frames of this pass came before it.
        duration: Seconds for which it is shown, where the video tells.
        arrived: Seconds of `time.monotonic` at which a live frame came or was due; None for a recorded one.
        restarted: Whether it is the first one after a live source was opened, also for another time.
    """

    image: Image
    time: Fraction
    pts: int | None
    time_base: Fraction
    number: int
    duration: Fraction | None = None
    arrived: float | None = None
    restarted: bool = False


class Video:
    """A video opened for reading; the file itself is open only while frames are read.

    Attributes:
        path: Where it lies.
        size: Width and height of the upright frames, pixels.
        rate: Frames a second, on the mean where that varies.
        time_base: Seconds of a unit of its time stamps.
        start: Its own time of its beginning, seconds; sound and images share it.
        duration: Seconds, as the file says; None where it does not.
        frames_hint: Its number of frames, as far as it can be told without reading.
        colours: How its numbers stand for colours.
        aspect: Width of a pixel by its height.
        metadata: Title and the like.
        tags: Language and title of its images.
        full_chroma: Whether it keeps chroma for each pixel (4:4:4).
        notes: What of it cannot be kept, a sentence each.
    """

    def __init__(self, path: str | os.PathLike[str], *, background: tuple[int, int, int] = WHITE) -> None:
        """Looks at the video.

        Args:
            path: A file.
            background: On which transparent frames are shown, RGB.

        Raises:
            CalcoError: When it is no video, holds no moving images, or none that can be decoded.
        """
        self.path = os.fspath(path)
        self.background = background
        self._events: list[tuple[Fraction, str]] = []
        self._shared_length, self._others_end = False, Fraction(0)
        self._remarks: list[str] = []
        self._gaps: list[tuple[float, float]] = []
        self._interlaced = 0  # frames of those that were read last
        with opened(self.path) as (container, stream):
            self.time_base = Fraction(stream.time_base or Fraction(1, 1000))
            self.rate = _rate_of(stream)
            length, self._shared_length = _length_of(container, stream)
            self.duration = length if length is not None and length > 0 else None
            self.metadata, self.tags = dict(container.metadata), _tags_of(stream)
            self._numbered = container.format.name == "avi"
            hint, aspect = stream.frames, Fraction(stream.sample_aspect_ratio or 1)
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise CalcoError(f"cannot read {path}: none of its frames can be decoded; replace or remove it")
            self.notes = remarks_on(self.path, container, first)
            self.start = _start_of(container, None if first.pts is None else first.pts * self.time_base)
            if self.duration is not None and "matroska" in container.format.name and self.start < self.duration:
                self.duration -= float(self.start)  # it counts from zero, not from where its first packet stands
        self._late = Fraction(0)
        if self._numbered and first.pts is not None:
            self._late = max(Fraction(0), first.pts * self.time_base - self.start)
        orientation = orientation_of(first)
        self.size = orientation.size(first.width, first.height)
        self.aspect = 1 / aspect if orientation.exchanged and aspect else aspect or Fraction(1)
        self._colours = colours_of(first, self.path)
        self.colours = self._colours.shown
        pixels = first.format
        self.full_chroma = not pixels.is_rgb and len(pixels.components) >= 3 and pixels.chroma_width(8) == 8
        self.full_chroma = self.full_chroma and pixels.chroma_height(8) == 8
        self.frames_hint = hint or (None if self.duration is None else max(1, round(self.duration * self.rate)))
        if (bits := bits_of(first.format.name)) > 8:
            self.notes.append(f"{self.path} has {bits} bits a channel, the result has 8")
        # The canvas of a GIF or WebP always comes with alpha; a video with alpha was made so for a reason.
        if has_alpha(first.format.name) and not (is_image(self.path) and is_opaque(first)):
            self.notes.append(f"{self.path} is transparent in places: shown on its background, the result is opaque")

    @property
    def damage(self) -> list[str]:
        """What was wrong in the frames that were read last, or had to be changed: what, how often and where."""
        told, group = list(self._remarks), list[tuple[Fraction, str]]()
        if self._interlaced:
            told.insert(0, f"{self._interlaced} frames are interlaced: deinterlaced by FFmpeg's bwdif, into one frame "
                           "for two fields")  # fmt: skip
        for event in [*self._events, None]:
            if event is None or (group and (event[1] != group[0][1] or event[0] - group[-1][0] > _ONE_PLACE)):
                if group:
                    begin, end = float(group[0][0]), float(group[-1][0])
                    where = f"at {begin:.2f} s" if end - begin < 0.01 else f"from {begin:.2f} to {end:.2f} s"
                    told.append(f"{len(group)} {group[0][1]}{'s' * (len(group) > 1)} {where}")
                group = []
            if event is not None:
                group.append(event)
        return told

    def frames(self, start: Fraction | float = 0, stop: Fraction | float | None = None) -> Generator[Frame, None, None]:
        """The frames that are shown from one time to another, in order, each once.

        What cannot be decoded is passed over and noted in `damage`. Frames of another size are brought to the size of
        the first. Times grow strictly, whatever the video says.

        Args:
            start: Seconds from the video's start; the frame that stands there comes first.
            stop: The first second that is not read any more; None reads to the end.
        """
        begin = Fraction(start)
        end = None if stop is None else Fraction(stop)
        self._events, self._remarks, self._interlaced = [], [], 0
        with contextlib.closing(self._shown(begin)) as shown:
            waiting: Frame | None = None  # of those before the start, the last one stands there
            count = 0
            for frame in shown:
                if end is not None and frame.time >= end:
                    break
                if frame.time > begin and waiting is not None:
                    yield replace(waiting, number=count)
                    waiting, count = None, count + 1
                if frame.time <= begin and count == 0 and begin > 0:
                    waiting = frame
                    continue
                yield replace(frame, number=count)
                count += 1
            if waiting is not None:
                yield replace(waiting, number=count)

    def _shown(self, begin: Fraction) -> Generator[Frame, None, None]:
        """Frames from some time before `begin` on, with their times put in order."""
        # Without time stamps frames are counted, so all are read.
        seeks = begin > 2 * _LEAD
        for lead in (_LEAD, 5 * _LEAD) if seeks else ():
            with contextlib.closing(self._timed(begin - lead)) as timed:
                first = next(timed, None)
                if first is not None and first.pts is not None and first.time <= begin - lead / 2:
                    yield from itertools.chain([first], timed)
                    return
            self._events, self._remarks, self._interlaced = [], [], 0
        with contextlib.closing(self._timed(None)) as timed:
            yield from timed

    def _timed(self, target: Fraction | None) -> Generator[Frame, None, None]:
        import av

        with opened(self.path) as (container, stream):
            stream.thread_type = "AUTO"
            if target is not None:
                try:
                    container.seek(int((target + self.start) / self.time_base), stream=stream)
                except av.FFmpegError:
                    return
            last: Fraction | None = None
            shown_until = Fraction(0)  # where the frame before is shown to, as far as its video says
            self._gaps, self._others_end = [], Fraction(0)
            self._steps = self._even_steps = 0
            reformatter = av.video.reformatter.VideoReformatter()
            decoded = deinterlaced(self._counted(self._decoded(container, stream)))
            for count, frame in enumerate(decoded):
                if frame.pts is None:
                    time = Fraction(0) if last is None else last + 1 / self.rate
                else:
                    time = frame.pts * self.time_base - self.start - self._late
                if last is not None and time <= last:
                    time = last + 1 / self.rate / 2
                if frame.is_corrupt:
                    self._events.append((time, "damaged frame"))
                if last is not None:
                    self._steps += 1
                    self._even_steps += abs((time - last) * self.rate - 1) < _EVEN
                    if time - shown_until > 1 / self.rate:
                        self._step(last, time)
                span = frame.duration * self.time_base if frame.duration else None
                last, shown_until = time, time + (span or 0)
                with telling(self.path):
                    image = self._image(frame, reformatter, time)
                yield Frame(image, time, frame.pts, self.time_base, count, span)
            self._look_at_end(None if last is None else max(shown_until, last + 1 / self.rate))

    def _counted(self, frames: "Iterator[av.VideoFrame]") -> "Iterator[av.VideoFrame]":
        for frame in frames:
            self._interlaced += frame.interlaced_frame
            yield frame

    def _step(self, before: Fraction, now: Fraction) -> None:
        """Notes a time without frames."""
        if now - before > max(4 / self.rate, Fraction(1, 3)):
            self._gaps.append((float(before), float(now)))

    def _look_at_end(self, end: Fraction | None) -> None:
        """Notes when the video ends much before the length that it claims."""
        # Where the rate varies, pauses belong to the video: a recorder of a screen writes a frame when something moves.
        if len(self._gaps) <= _FEW_GAPS and self._even_steps >= max(_LEAST_STEPS, _MOSTLY * self._steps):
            self._remarks += [f"there are no frames between {begin:.2f} and {end:.2f} s" for begin, end in self._gaps]
        if end is None or self.duration is None:
            return
        # A length that all streams share says nothing of the images where sound or subtitles reach it.
        reached = float(max(end, self._others_end - self.start) if self._shared_length else end)
        if self.duration - reached > max(0.5, 3 / float(self.rate)):
            self._remarks.append(f"the images end at {float(end):.2f} s of {self.duration:.2f} s: it is cut short")

    def _decoded(self, container: "InputContainer", stream: "VideoStream") -> "Iterator[av.VideoFrame]":
        """Every frame that can be decoded; notes the packets that cannot."""
        import av

        others = [*container.streams.audio, *container.streams.subtitles] if self._shared_length else []
        packets = container.demux(stream, *others)
        decoder = _decoder(stream)
        where = Fraction(0)
        shown: int | None = None
        step = 1  # of AVI, between the last two frames
        while True:
            try:
                packet = next(packets, None)
            except (av.InvalidDataError, EOFError):
                self._remarks.append(f"the file is damaged after {float(where):.2f} s, nothing is read beyond")
                packet = None
            if packet is None:
                break
            if packet.stream.index != stream.index:
                if packet.pts is not None and packet.time_base is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._others_end = max(self._others_end, end)
                continue
            if packet.pts is not None:
                where = max(where, packet.pts * self.time_base - getattr(self, "start", Fraction(0)))
            try:
                for frame in decoder.decode(packet if packet.size else None):
                    if self._numbered:
                        frame.pts = number = _number_of(frame, shown, step)
                        step = step if shown is None or number is None else number - shown
                        shown = number
                    yield frame
            except (av.InvalidDataError, av.error.UndefinedError, ValueError):
                self._events.append((where, "undecodable packet"))

    def _image(self, frame: "av.VideoFrame", reformatter: "av.video.reformatter.VideoReformatter",
                 time: Fraction) -> Image:  # fmt: skip
        """Upright RGB of the first frame's size."""
        size = orientation_of(frame).size(frame.width, frame.height)
        if size != self.size:
            is_now = f"{size[0]}x{size[1]}"
            if not any(is_now in remark for remark in self._remarks):
                self._remarks.append(
                    f"frames are {is_now} from {float(time):.2f} s on: brought to the first one's "
                    f"{self.size[0]}x{self.size[1]}"
                )
        return image_of(
            frame, reformatter, self.path, colours=self._colours, background=self.background, size_wh=self.size
        )


def _tags_of(stream: "VideoStream") -> dict[str, str]:
    return {k: v for k, v in stream.metadata.items() if k in ("language", "title") and v != "und"}


def _number_of(frame: "av.VideoFrame", before: int | None, step: int) -> int | None:
    """The place of a frame of an AVI file, given that of the frame shown before it and the step to that one.

    AVI keeps no times but the order of decoding, and the time stamps that FFmpeg makes of it for H.264 are in disorder.
    Frames come in the order in which they are shown, late by as many as the decoder holds back.
    """
    if before is None:
        return frame.pts if frame.dts is None else frame.dts
    return frame.dts if frame.dts is not None and frame.dts > before else before + step


def _rate_of(stream: "VideoStream") -> Fraction:
    """Frames a second; the usual ones where what stands there is the unit of time, as of a browser's recorder."""
    rate = Fraction(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
    return _USUAL_RATE if rate > _MOST_RATE and not stream.frames else rate


def _start_of(container: "InputContainer", first: Fraction | None) -> Fraction:
    """The beginning that sound and images share, given the time of the first frame.

    Where sound has a lead-in, FFmpeg gives the images of Matroska its start too: the frame itself knows better.
    """
    starts = [] if first is None else [first]
    starts += [
        stream.start_time * stream.time_base
        for stream in container.streams.audio
        if stream.start_time is not None and stream.time_base is not None
    ]
    return Fraction(min(starts, default=0))


def _length_of(container: "InputContainer", stream: "VideoStream") -> tuple[float | None, bool]:
    """The seconds that a video claims to last, and whether all its streams share them."""
    # Matroska keeps no length of single streams; FFmpeg then sometimes gives them that of the file.
    if stream.duration is not None and stream.time_base is not None and "matroska" not in container.format.name:
        return float(stream.duration * stream.time_base), False
    if container.duration is None:
        return None, True
    return container.duration / 1e6, True


def _decoder(stream: "VideoStream") -> "av.VideoCodecContext":
    """FFmpeg's own decoders of VP8 and VP9 do not see what is transparent; those of libvpx do."""
    import av

    name = f"libvpx-{stream.codec_context.name}".replace("-vp8", "")
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return stream.codec_context
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    return decoder


def clock(seconds: float) -> str:
    """A time as players show it: 1:02:03."""
    whole = math.floor(seconds)
    return (
        f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )
