"""Videos as files: where their frames are, and exact frames in any order."""

import atexit
import contextlib
import io
import os
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from calco import imaging
from calco.errors import CalcoError
from calco.files import explain
from calco.imaging.formats import opened as open_image
from calco.video.frame_image import UNSPECIFIED, colours_of, marks_of, orientation_of
from calco.video.names import is_video

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_KEPT_OPEN: Final = 4  # videos a thread keeps open
_REORDERED: Final = 16  # frames that a codec may hold back at most
_STILL_FIRST: Final = (".avif", ".avifs", ".heic", ".heif")


@dataclass(frozen=True, slots=True)
class Index:
    """The places of a video's frames, in the order in which they are shown."""

    # `Item.place` of each: its time stamp, that of the key frame from which it is decoded, and the one to seek to get
    # there; or, in a video without time stamps, its number alone
    places: list[tuple[int, ...]]
    seconds: list[Fraction]  # seconds of each from the first


class SourceFile(io.FileIO):
    """A file that answers a wrong place as FFmpeg expects; for an exception PyAV prints a traceback."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Seek; return -1 if there is no such place."""
        try:
            return super().seek(offset, whence)
        except OSError:
            return -1


@contextlib.contextmanager
def explained(video: str) -> Iterator[None]:
    """Raise errors of FFmpeg and of the system as ours."""
    import av

    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise explain(error, video, "read") from error
    except (av.FFmpegError, OSError, ValueError, LookupError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CalcoError(f"cannot read {video}: no video, or damaged ({reason}); replace or remove it") from error


@contextlib.contextmanager
def opened(video: str) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open a video; yield it and the first of its streams that is moving images."""
    import av

    # Opened here, so that FFmpeg takes no part of the name for a protocol; and what it reads may not name other files.
    with (
        explained(video),
        SourceFile(video) as file,
        _readable(file) as readable,
        av.open(readable, "r", options={"protocol_whitelist": "none"}) as container,
    ):
        moving = moving_streams(container, video)
        streams = [s for s in moving if hasattr(s, "width")]  # which is absent where nothing here decodes it
        if not streams:
            held = "moving images that nothing here decodes" if moving else "no moving images, only sound"
            raise CalcoError(f"cannot read {video}: it holds {held}; replace or remove it")
        if streams[0].codec_context is None:
            raise CalcoError(f"cannot read {video}: its coding is not known here, or damaged; convert or remove it")
        if streams[0].width * streams[0].height > imaging.MAX_PIXELS:
            size = f"{streams[0].width}x{streams[0].height}"
            raise CalcoError(
                f"cannot read {video}: frames of {size} are more than {imaging.MAX_PIXELS:,} pixels; scale it down"
            )
        yield container, streams[0]


def moving_streams(container: "InputContainer", video: str) -> "list[VideoStream]":
    """Return the video streams without covers; of AVIF and HEIC, whose first one is a still, the longest first."""
    from av.stream import Disposition

    moving = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    return sorted(moving, key=lambda s: -s.frames) if video.lower().endswith(_STILL_FIRST) else moving


@contextlib.contextmanager
def _readable(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the file itself; for an animated WebP, which FFmpeg does not decode, a temporary lossless video."""
    head = file.read(21)
    file.seek(0)
    if not (head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & 2):
        yield file
        return
    with tempfile.TemporaryFile() as video:
        _write_lossless(file, video)
        video.seek(0)
        yield video


def _write_lossless(file: BinaryIO, video: BinaryIO) -> None:
    import av

    with open_image(file, file.name) as animation, av.open(video, "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = *animation.size, "bgra"
        stream.codec_context.time_base = Fraction(1, 1000)
        time = 0
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            frame = av.VideoFrame.from_ndarray(np.asarray(animation.convert("RGBA")), format="rgba")
            frame = frame.reformat(format="bgra")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            frame.duration = max(1, round(animation.info.get("duration") or 100))
            time += frame.duration
            for packet in stream.encode(frame):
                packet.duration = frame.duration
                out.mux(packet)
        out.mux(stream.encode(None))


def remarks_on(video: str, container: "InputContainer", first: "av.VideoFrame") -> list[str]:
    """Return what of a video is not used, or is changed on the way to images: a sentence each."""
    notes = []
    count = len(moving_streams(container, video))
    if count > 1 and not video.lower().endswith(_STILL_FIRST):
        notes.append(f"{video} holds {count} video streams: the first is used")
    if not is_video(video) and imaging.several_in(video) == "pages":
        notes.append(f"{video} holds several pages: only the first is used")
    colours = colours_of(first, video)
    if colours.hdr:
        notes.append(f"{video} is HDR ({colours.hdr}): its colours are tone-mapped to SDR (BT.709)")
    elif "DOVI_METADATA" in marks_of(first) and int(first.color_trc) == UNSPECIFIED:
        raise CalcoError(f"cannot read {video}: its colours are coded as Dolby Vision alone, which is not converted "
                         "here; convert it to SDR or HDR10 first")  # fmt: skip
    if odd := orientation_of(first).odd:
        notes.append(f"{video} asks to be shown with {odd}: its frames are turned by the nearest right angle")
    return notes


def first_frame(video: str) -> "tuple[av.VideoFrame | None, list[str]]":
    """Return the first frame that can be decoded, and the remarks on it (see `remarks_on`)."""
    with opened(video) as (container, stream):
        frame = next(_decodable(container, stream), None)
        return frame, [] if frame is None else remarks_on(video, container, frame)


@contextlib.contextmanager
def decoding(video: str) -> "Iterator[Iterator[av.VideoFrame]]":
    """Yield all frames in order that can be decoded: of a video that is cut short, those before the cut."""
    with opened(video) as (container, stream):
        stream.thread_type = "AUTO"
        yield _decodable(container, stream)


def _decodable(container: "InputContainer", stream: "VideoStream") -> "Iterator[av.VideoFrame]":
    import av

    for packet in _packets(container, stream):
        with contextlib.suppress(av.InvalidDataError):
            yield from packet.decode()


def _packets(container: "InputContainer", stream: "VideoStream") -> "Iterator[av.Packet[VideoStream]]":
    import av

    with contextlib.suppress(av.InvalidDataError, EOFError):
        yield from container.demux(stream)


def index_of(video: str) -> Index:
    """Find the frames by reading the video's packets, which are not decoded where they have time stamps."""
    with opened(video) as (container, stream):
        packets = [
            (packet.pts, packet.dts, packet.is_keyframe)
            for packet in _packets(container, stream)
            if packet.size and not packet.is_discard
        ]
        rate, base = stream.average_rate or Fraction(25), stream.time_base or Fraction(1, 1000)
    if not packets:
        raise CalcoError(f"cannot read {video}: it holds no frame; replace or remove it")
    stamped = [(pts, dts, is_key) for pts, dts, is_key in packets if pts is not None]
    if len(stamped) < len(packets):
        with decoding(video) as frames:
            count = sum(1 for _ in frames)
        return Index([(number,) for number in range(count)], [number / rate for number in range(count)])
    stamps = sorted({pts for pts, _, _ in stamped})
    # Many formats find a key frame by its time of decoding.
    keys = sorted((pts, pts if dts is None else dts) for pts, dts, is_key in stamped if is_key) or [(stamps[0],) * 2]
    places = [(stamp, *keys[max(0, bisect_right(keys, (stamp, 1 << 62)) - 1)]) for stamp in stamps]
    return Index(list(places), [(stamp - stamps[0]) * base for stamp in stamps])


class _Reader:
    """A video that is kept open: frames that are asked for in order are decoded once."""

    def __init__(self, video: str) -> None:
        self.video = video
        self._open()

    def _open(self) -> None:
        self._held = contextlib.ExitStack()
        self._container, self._stream = self._held.enter_context(opened(self.video))
        self._frames: Iterator[av.VideoFrame] = self._container.decode(self._stream)
        self._last: int | None = None  # time stamp of the last frame that was decoded
        self._count = 0  # frames from the beginning

    def close(self) -> None:
        self._held.close()

    def frame(self, place: tuple[int, ...]) -> "av.VideoFrame":
        """Return the frame at a place of the index, or raise a `CalcoError` if it cannot be decoded."""
        with explained(self.video):
            found = self._numbered(place[0]) if len(place) == 1 else self._stamped(*place)
        if found is None:
            raise CalcoError(f"cannot read the frame at {place[0]} of {self.video}: the video is damaged there")
        return found

    def _numbered(self, number: int) -> "av.VideoFrame | None":
        if number < self._count:
            self._restart()
        for frame in self._frames:
            self._count += 1
            if self._count > number:
                return frame
        return None

    def _stamped(self, stamp: int, key: int, start: int) -> "av.VideoFrame | None":
        if self._last is not None and key <= self._last < stamp and (frame := self._forward(stamp, self._last)):
            return frame
        # Some formats land behind the key frame that was asked for: then two seconds before it, then at the beginning.
        for target in (start, start - int(2 / (self._stream.time_base or 1))):
            self._last = None
            self._container.seek(target, stream=self._stream)
            self._frames = self._container.decode(self._stream)
            if frame := self._forward(stamp, key):
                return frame
        self._restart()
        return self._forward(stamp, None)

    def _forward(self, stamp: int, after: int | None) -> "av.VideoFrame | None":
        """Decode until the time stamp comes.

        Frames count only from `after` on, a key frame or the last frame that was decoded: what a decoder gives before
        it may lack its references. With None all frames count, and the whole video is searched.
        """
        is_sound, late = after in (None, self._last), 0
        for frame in self._frames:
            is_sound = is_sound or (frame.pts == after and frame.key_frame)
            self._last = frame.pts if is_sound else None
            if is_sound and frame.pts == stamp:
                return frame
            late += after is not None and frame.pts is not None and frame.pts > stamp
            if late > _REORDERED:
                break
        self._last = None
        return None

    def _restart(self) -> None:
        self.close()
        self._open()


class _Open(threading.local):
    """Readers that a thread of a process has open; neither may use those of another."""

    def __init__(self) -> None:
        self.process, self.readers = os.getpid(), dict[str, _Reader]()


_OPEN = _Open()


@atexit.register
def _close_all() -> None:
    """Close videos while the interpreter is whole: later it would fail noisily."""
    for reader in _OPEN.readers.values():
        reader.close()


def read_frame(video: str, place: tuple[int, ...]) -> "av.VideoFrame":
    """Return the frame at a place of a video's index; the video stays open for the next one."""
    if _OPEN.process != os.getpid():
        _OPEN.process, _OPEN.readers = os.getpid(), {}
    reader = _OPEN.readers.pop(video, None) or _Reader(video)
    try:
        frame = reader.frame(place)
    except CalcoError:
        reader.close()
        raise
    _OPEN.readers[video] = reader
    while len(_OPEN.readers) > _KEPT_OPEN:
        _OPEN.readers.pop(next(iter(_OPEN.readers))).close()
    return frame
