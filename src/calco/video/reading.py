"""A video opened for reading: its frames upright and in RGB, the times at which they are shown, and what is wrong."""

import contextlib
import math
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from calco.errors import CalcoError
from calco.imaging import Image, is_image
from calco.video.frame_image import WHITE, bits_of, colours_of, deinterlaced, has_alpha, image_of, orientation_of
from calco.video.frames import explained, opened, remarks_on

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
        number: Number of frames of this pass that came before it.
        duration: Seconds for which it is shown; None where the video does not say.
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
        path: The file.
        size: Width and height of the upright frames, pixels.
        rate: Frames a second, on the mean where that varies.
        time_base: Seconds of a unit of its time stamps.
        start: Its own time of its beginning, seconds; sound and images share it.
        duration: Seconds, as the file says; None where it does not.
        frames_hint: Its number of frames, as far as it is known without reading.
        colours: Meaning of its numbers as colours.
        aspect: Width of a pixel by its height.
        metadata: Title and the like.
        tags: Language and title of its images.
        full_chroma: Whether it keeps chroma for each pixel (4:4:4).
        notes: What of it cannot be kept, a sentence each.
    """

    def __init__(self, path: str | os.PathLike[str], *, background: tuple[int, int, int] = WHITE) -> None:
        """Read the header and the first frame.

        Args:
            path: A file.
            background: Colour behind transparent frames, RGB.

        Raises:
            CalcoError: If it is not a video, holds no moving images, or none that can be decoded.
        """
        self.path = os.fspath(path)
        self.background = background
        self._late, self._others_end = Fraction(0), Fraction(0)
        self._forget_damage()
        with opened(self.path) as (container, stream):
            matroska = "matroska" in container.format.name
            self._numbered = container.format.name == "avi"
            self.time_base = Fraction(stream.time_base or Fraction(1, 1000))
            rate = Fraction(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
            # A browser's recorder states the unit of its time stamps as the rate.
            self.rate = _USUAL_RATE if rate > _MOST_RATE and not stream.frames else rate
            # Matroska keeps no length of single streams; FFmpeg then sometimes gives them that of the file.
            self._shared_length = stream.duration is None or matroska
            length = None if container.duration is None else container.duration / 1e6
            if stream.duration is not None and not matroska:
                length = float(stream.duration * self.time_base)
            self.duration = length if length is not None and length > 0 else None
            self.metadata = dict(container.metadata)
            self.tags = {k: v for k, v in stream.metadata.items() if k in ("language", "title") and v != "und"}
            first = next(self._decoded(container, stream, Fraction(0)), None)
            if first is None:
                raise CalcoError(f"cannot read {path}: none of its frames can be decoded; replace or remove it")
            self.notes = remarks_on(self.path, container, first)
            self.start = _start_of(container, None if first.pts is None else first.pts * self.time_base)
            if self.duration is not None and matroska and self.start < self.duration:
                self.duration -= float(self.start)  # it counts from zero, not from its first packet
            hint, aspect = stream.frames, Fraction(stream.sample_aspect_ratio or 1)
        if self._numbered and first.pts is not None:
            self._late = max(Fraction(0), first.pts * self.time_base - self.start)
        orientation = orientation_of(first)
        self.size = orientation.size(first.width, first.height)
        self.aspect = 1 / aspect if orientation.exchanged else aspect
        self._colours = colours_of(first, self.path)
        self.colours = self._colours.shown
        self.full_chroma = _has_full_chroma(first)
        self.frames_hint = hint or (None if self.duration is None else max(1, round(self.duration * self.rate)))
        if (bits := bits_of(first.format.name)) > 8:
            self.notes.append(f"{self.path} has {bits} bits a channel, the result has 8")
        # The canvas of a GIF or WebP always comes with alpha; a video with alpha was made so for a reason.
        if has_alpha(first.format.name) and not (
            is_image(self.path) and (first.reformat(format="rgba").to_ndarray()[..., 3] == 255).all()
        ):
            self.notes.append(f"{self.path} is transparent in places: shown on its background, the result is opaque")
        self._forget_damage()

    def _forget_damage(self) -> None:
        self._events: list[tuple[Fraction, str]] = []
        self._remarks: list[str] = []
        self._interlaced = 0

    @property
    def damage(self) -> list[str]:
        """Damage and changes of the frames that were read last: what, how often and where."""
        notes = list(self._remarks)
        if self._interlaced:
            notes.insert(0, f"{self._interlaced} frames are interlaced: deinterlaced by FFmpeg's bwdif, into one frame "
                            "for two fields")  # fmt: skip
        groups: list[list[tuple[Fraction, str]]] = []
        for time, what in self._events:
            if not groups or what != groups[-1][0][1] or time - groups[-1][-1][0] > _ONE_PLACE:
                groups.append([])
            groups[-1].append((time, what))
        for group in groups:
            begin, end = float(group[0][0]), float(group[-1][0])
            where = f"at {begin:.2f} s" if end - begin < 0.01 else f"from {begin:.2f} to {end:.2f} s"
            notes.append(f"{len(group)} {group[0][1]}{'s' * (len(group) > 1)} {where}")
        return notes

    def frames(self, start: Fraction | float = 0, stop: Fraction | float | None = None) -> Generator[Frame, None, None]:
        """Yield the frames that are shown from one time to another, in order, each once.

        Frames that cannot be decoded are skipped and noted in `damage`. Frames of another size are brought to the size
        of the first. Times grow strictly, whatever the video says.

        Args:
            start: Seconds from the video's start; the frame that is shown then comes first.
            stop: The first second that is not read any more; None reads to the end.
        """
        begin = Fraction(start)
        self._forget_damage()
        count = 0
        waiting: Frame | None = None  # the last frame up to the start, which is shown then
        with contextlib.closing(self._from(begin)) as frames:
            for frame in frames:
                if stop is not None and frame.time >= stop:
                    break
                if begin > 0 and count == 0 and frame.time <= begin:
                    waiting = frame
                    continue
                if waiting is not None:
                    yield replace(waiting, number=0)
                    waiting, count = None, 1
                yield replace(frame, number=count)
                count += 1
        if waiting is not None:
            yield replace(waiting, number=0)

    def _from(self, begin: Fraction) -> Generator[Frame, None, None]:
        """Yield frames from some time before `begin` on; without time stamps from the beginning."""
        for lead in (_LEAD, 5 * _LEAD) if begin > 2 * _LEAD else ():
            with contextlib.closing(self._timed(begin - lead)) as timed:
                first = next(timed, None)
                if first is not None and first.pts is not None and first.time <= begin - lead / 2:
                    yield first
                    yield from timed
                    return
            self._forget_damage()
        with contextlib.closing(self._timed(None)) as timed:
            yield from timed

    def _timed(self, target: Fraction | None) -> Generator[Frame, None, None]:
        """Yield all frames from about a time on, with their times put in order, and note gaps."""
        import av

        with opened(self.path) as (container, stream):
            stream.thread_type = "AUTO"
            if target is not None:
                try:
                    container.seek(int((target + self.start) / self.time_base), stream=stream)
                except av.FFmpegError:
                    return
            last: Fraction | None = None
            shown_until = self._others_end = Fraction(0)  # where the frame before is shown to, as far as the video says
            gaps: list[tuple[float, float]] = []
            steps = even_steps = 0
            reformatter = av.video.reformatter.VideoReformatter()
            for count, frame in enumerate(deinterlaced(self._decoded(container, stream, self.start))):
                if frame.pts is None:
                    time = Fraction(0) if last is None else last + 1 / self.rate
                else:
                    time = frame.pts * self.time_base - self.start - self._late
                if last is not None and time <= last:
                    time = last + 1 / self.rate / 2
                if frame.is_corrupt:
                    self._events.append((time, "damaged frame"))
                if last is not None:
                    steps += 1
                    even_steps += abs((time - last) * self.rate - 1) < _EVEN
                    if time - shown_until > 1 / self.rate and time - last > max(4 / self.rate, Fraction(1, 3)):
                        gaps.append((float(last), float(time)))
                span = frame.duration * self.time_base if frame.duration else None
                last, shown_until = time, time + (span or 0)
                with explained(self.path):
                    image = self._image(frame, reformatter, time)
                yield Frame(image, time, frame.pts, self.time_base, count, span)
            # Where the rate varies, pauses belong to the video: a recorder of a screen writes what moves.
            if len(gaps) <= _FEW_GAPS and even_steps >= max(_LEAST_STEPS, _MOSTLY * steps):
                self._remarks += [f"there are no frames between {begin:.2f} and {end:.2f} s" for begin, end in gaps]
            if last is not None:
                self._check_end(max(shown_until, last + 1 / self.rate))

    def _check_end(self, end: Fraction) -> None:
        """Note if the video ends much before the length that it claims."""
        if self.duration is None:
            return
        # A length that all streams share says nothing of the images where sound or subtitles reach it.
        reached = float(max(end, self._others_end - self.start) if self._shared_length else end)
        if self.duration - reached > max(0.5, 3 / float(self.rate)):
            self._remarks.append(f"the images end at {float(end):.2f} s of {self.duration:.2f} s: it is cut short")

    def _decoded(
        self, container: "InputContainer", stream: "VideoStream", start: Fraction
    ) -> "Iterator[av.VideoFrame]":
        """Yield every frame that can be decoded; note the packets that cannot."""
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
                return
            if packet is None:
                return
            if packet.stream.index != stream.index:
                if packet.pts is not None and packet.time_base is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._others_end = max(self._others_end, end)
                continue
            if packet.pts is not None:
                where = max(where, packet.pts * self.time_base - start)
            try:
                for frame in decoder.decode(packet if packet.size else None):
                    if self._numbered:
                        frame.pts = number = _number_of(frame, shown, step)
                        step = step if shown is None or number is None else number - shown
                        shown = number
                    self._interlaced += frame.interlaced_frame
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


def _start_of(container: "InputContainer", first: Fraction | None) -> Fraction:
    """Return the beginning that sound and images share, given the time of the first frame."""
    # Where sound has a lead-in, FFmpeg gives the images of Matroska its start too: the frame itself knows better.
    starts = [] if first is None else [first]
    starts += [
        stream.start_time * stream.time_base
        for stream in container.streams.audio
        if stream.start_time is not None and stream.time_base is not None
    ]
    return Fraction(min(starts, default=0))


def _has_full_chroma(frame: "av.VideoFrame") -> bool:
    pixels = frame.format
    if pixels.is_rgb or len(pixels.components) < 3:
        return False
    return pixels.chroma_width(8) == 8 and pixels.chroma_height(8) == 8


def _number_of(frame: "av.VideoFrame", before: int | None, step: int) -> int | None:
    """Return the place of a frame of an AVI file, given that of the frame shown before it and the step to that one.

    AVI keeps no times but the order of decoding, and the time stamps that FFmpeg makes of it for H.264 are in disorder.
    Frames come in the order in which they are shown, late by as many as the decoder holds back.
    """
    if before is None:
        return frame.pts if frame.dts is None else frame.dts
    return frame.dts if frame.dts is not None and frame.dts > before else before + step


def _decoder(stream: "VideoStream") -> "av.VideoCodecContext":
    """Return a decoder: FFmpeg's own ones of VP8 and VP9 do not see what is transparent; those of libvpx do."""
    import av

    name = f"libvpx-{stream.codec_context.name}".replace("-vp8", "")
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return stream.codec_context
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    return decoder


def clock(seconds: float) -> str:
    """Return a time as players show it: 1:02:03."""
    minutes, rest = divmod(math.floor(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
