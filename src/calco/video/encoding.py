"""Encoders by the name of what they write, with the settings that this machine and a player like."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from calco.errors import CalcoError
from calco.video.colours import Colours
from calco.video.names import VIDEO_SUFFIXES

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

CodecName: TypeAlias = Literal["h264", "h265", "vp9", "av1"]
_GLOBAL_HEADER: Final = 0x40  # AVFMT_GLOBALHEADER
_NOBODY: Final = 65534  # the user of that name, on Linux
_MANY: Final = 8  # cores, of which the model leaves some to a slower encoder with smaller files
MOST_RATE: Final = Fraction(240)
"""Frames a second, above which a rate is rather the resolution of a video's time stamps."""
GOP_SECONDS: Final = 2  # between key frames: what an interruption costs at most


@dataclass(frozen=True, slots=True)
class _Codec:
    """The encoders of a format, best first; the range of the quality, its default, and whether odd sizes are known."""

    encoders: tuple[str, ...]
    worst: int
    quality: int
    odd: bool


# Qualities at which the eye sees no difference from what the model drew, or hardly any.
CODECS: Final[dict[str, _Codec]] = {
    "h264": _Codec(("libx264",), 51, 18, False),
    "h265": _Codec(("libx265",), 51, 20, False),
    "vp9": _Codec(("libvpx-vp9",), 63, 24, True),
    "av1": _Codec(("libsvtav1", "libaom-av1"), 63, 24, True),
}
_CRF: Final = {
    # Quick ones, in one thread each: the model has the cores, and what the encoder takes is taken from it.
    "libx264": {"preset": "ultrafast", "coder": "1", "threads": "1", "forced-idr": "1"},
    "libx265": {
        "preset": "superfast",
        "forced-idr": "1",
        "x265-params": "log-level=none:open-gop=0:pools=1:frame-threads=1",
    },
    "libvpx-vp9": {"b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1", "threads": "1"},
    "libsvtav1": {"preset": "10", "svtav1-params": "lp=1"},
    "libaom-av1": {"usage": "realtime", "cpu-used": "8", "threads": "1"},
}


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """All that an encoder is told.

    Attributes:
        codec: h264, h265, vp9 or av1.
        quality: The constant rate factor: lower is better and larger.
        size: Width and height, pixels.
        rate: Frames a second, on the mean.
        time_base: Seconds of a unit of the time stamps.
        colours: Of the numbers.
        pixels: FFmpeg's name of the pixel format.
        aspect: Width of a pixel by its height.
    """

    codec: str
    quality: int
    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    colours: Colours
    pixels: str
    aspect: Fraction = Fraction(1)

    @property
    def encoder(self) -> str:
        """The library that encodes."""
        return encoder_of(self.codec)

    @property
    def nominal_rate(self) -> Fraction:
        """What the encoder takes for its budget; times are those of the time stamps. SVT-AV1 knows no higher one."""
        return min(self.rate, MOST_RATE)

    @property
    def options(self) -> dict[str, str]:
        """FFmpeg's options of the encoder."""
        told = _CRF[self.encoder]
        if self.encoder == "libx264" and len(os.sched_getaffinity(0)) >= _MANY:
            told = {"preset": "veryfast", "forced-idr": "1"}
        return {**told, "crf": str(self.quality), "g": str(max(1, round(GOP_SECONDS * self.nominal_rate)))}

    def configure(self, context: "VideoCodecContext", path: str) -> None:
        """Tells an encoder that is not open yet; its packets go into the video `path`."""
        from av.codec.context import Flags

        context.width, context.height = self.size
        context.pix_fmt, context.time_base = self.pixels, self.time_base
        context.framerate, context.sample_aspect_ratio = self.nominal_rate, self.aspect
        context.options = self.options
        context.gop_size = max(1, round(GOP_SECONDS * self.nominal_rate))
        if path.lower().endswith(".avi"):  # which knows no order but that of showing
            context.max_b_frames = 0
        self.colours.tag(context)
        if wants_global_header(path):
            context.flags |= Flags.global_header


def keep_keys_close(frame: "av.VideoFrame", keys: list[Fraction]) -> None:
    """Ask for a key frame where the last one was `GOP_SECONDS` ago: encoders count frames, whose rate may vary.

    Args:
        frame: The next one, with its time stamp.
        keys: The time of the last key frame that was asked for, or nothing at the beginning; it is kept here.
    """
    from av.video.frame import PictureType

    assert frame.pts is not None
    time = frame.pts * Fraction(frame.time_base or 1)
    is_key = not keys or time - keys[0] >= GOP_SECONDS
    frame.pict_type = PictureType.I if is_key else PictureType.NONE
    if is_key:
        keys[:] = [time]


def encoder_of(codec: str) -> str:
    """The encoder that PyAV has for a codec.

    Raises:
        CalcoError: When there is none; tells those that there are.
    """
    import av

    known = {name: [e for e in each.encoders if e in av.codecs_available] for name, each in CODECS.items()}
    if found := known.get(codec):
        return found[0]
    there = ", ".join(name for name, encoders in known.items() if encoders)
    raise CalcoError(f"there is no encoder for {codec} here; choose --codec {there}")


def choose_codec(asked: str | None, path: str) -> str:
    """The codec of a video by the ending of its name, where none is asked for.

    Raises:
        CalcoError: When the ending is no video's, the encoder is missing, or the file cannot hold what it writes.
    """
    import av

    ending = os.path.splitext(path)[1].lower()
    if ending not in _FORMATS:
        why = "is a video that is read and not written" if ending in VIDEO_SUFFIXES else "does not end like a video"
        raise CalcoError(f"{path} {why}; name it with .mp4, .mkv, .mov or .webm at its end")
    codec = asked or ("vp9" if ending == ".webm" else "h264")
    encoder_of(codec)
    if (ending in _HOLD_ALL) or (ending == ".webm" and codec in ("vp9", "av1")):
        return codec
    try:  # some say no only when their beginning is written
        with av.open(io.BytesIO(), "w", format=format_of(path)) as container:
            trial = Encoding(codec=codec, quality=30, size=(64, 64), rate=Fraction(25), time_base=Fraction(1, 25),
                             colours=Colours(), pixels="yuv420p")  # fmt: skip
            new_stream(container, trial, path)
            container.start_encoding()
    except (ValueError, av.FFmpegError) as error:
        others = ".webm or .mkv" if codec == "vp9" else ".mp4 or .mkv"
        raise CalcoError(f"a {ending} file cannot hold {codec}; name the result with {others} at its end, "
                         "or choose another --codec") from error  # fmt: skip
    return codec


_HOLD_ALL: Final = (".mp4", ".m4v", ".mov", ".mkv")
_FORMATS: Final = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi", ".flv": "flv",
    ".mpg": "mpeg", ".mpeg": "mpeg", ".m2ts": "mpegts", ".mts": "mpegts", ".wmv": "asf", ".ogv": "ogg", ".3gp": "3gp",
    ".3g2": "3g2", ".ts": "mpegts", ".m2t": "mpegts", ".qt": "mov", ".f4v": "f4v", ".asf": "asf", ".nut": "nut",
    ".mpe": "mpeg",
}  # fmt: skip


def written_as(name: str, codec: str | None) -> str:
    """Return the name of a result in a folder: that of its video, with .mp4 behind it if its format is not written."""
    try:
        choose_codec(codec, name)
    except CalcoError:
        return f"{name}.mp4"
    return name


def format_of(path: str) -> str:
    """FFmpeg's name of the container that an ending stands for."""
    return _FORMATS[os.path.splitext(path)[1].lower()]


def choose_quality(codec: str, asked: int | None) -> int:
    """The quality, checked.

    Raises:
        CalcoError: When the codec knows no such.
    """
    known = CODECS[codec]
    if asked is not None and not 0 <= asked <= known.worst:
        raise CalcoError(
            f"quality is {asked}, and {codec} knows 0 (best) to {known.worst} (smallest); "
            f"leave it out for {known.quality}"
        )
    return known.quality if asked is None else asked


def choose_pixels(codec: str, size: tuple[int, int], *, full_chroma: bool) -> tuple[str, str]:
    """The pixel format, and a remark where players may not know it.

    H.264 and H.265 store colour for every second pixel of even sizes; an odd size keeps it for every pixel instead, so
    that no pixel is added or lost.
    """
    odd = any(side % 2 for side in size)
    wants = full_chroma or (odd and not CODECS[codec].odd)
    if not wants:
        return "yuv420p", ""
    if encoder_of(codec) == "libsvtav1":
        return "yuv420p", "colour is kept for every second pixel (4:2:0), which is all that av1 has here"
    why = "the size is odd" if odd else "the video has it so"
    return "yuv444p", f"colour is kept for every pixel (4:4:4), since {why}; for browsers and phones choose --codec vp9"


def fine(time_base: Fraction, rate: Fraction, ending: str) -> Fraction:
    """A unit of time stamps in which those of another can be told exactly, of a ten-thousandth of a second at most."""
    if ending == ".avi":  # which numbers its frames
        return 1 / rate
    while time_base > Fraction(1, 10_000):
        time_base /= 10
    return time_base if time_base.denominator < 1 << 30 else Fraction(1, 90_000)


def quiet() -> None:
    """Keeps SVT-AV1 from telling the terminal its settings."""
    os.environ.setdefault("SVT_LOG", "0")


@contextlib.contextmanager
def _at_ordinary_priority(encoder: str) -> Iterator[None]:
    """Opens SVT-AV1 as nobody where root does it.

    For root it gives its threads, and the one that opens it, the highest priority of real time: other programs would
    stand still, and so would those that this one starts.
    """
    if encoder != "libsvtav1" or os.geteuid() != 0:
        yield
        return
    with contextlib.suppress(OSError):
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def wants_global_header(path: str) -> bool:
    """Whether a container keeps what describes the coding at its beginning, and not with the key frames."""
    import av

    return bool(int(av.ContainerFormat(format_of(path), "w").flags) & _GLOBAL_HEADER)


def new_encoder(encoding: Encoding, path: str) -> "VideoCodecContext":
    """An open encoder for videos that go into `path` later."""
    import av
    from av.video.codeccontext import VideoCodecContext

    quiet()
    context = av.CodecContext.create(encoding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    encoding.configure(context, path)
    with _at_ordinary_priority(encoding.encoder):
        context.open()
    return context


def new_stream(container: "OutputContainer", encoding: Encoding, path: str) -> "VideoStream":
    """A stream of a container for packets that such an encoder made."""
    import av
    from av.video.stream import VideoStream

    quiet()

    stream = container.add_stream(encoding.encoder, rate=encoding.nominal_rate)
    assert isinstance(stream, VideoStream)
    encoding.configure(stream.codec_context, path)
    stream.time_base = encoding.time_base
    with _at_ordinary_priority(encoding.encoder):
        stream.codec_context.open()
    if encoding.encoder == "libsvtav1":
        # Closed before its threads have had anything to do, it sometimes takes the whole process down with it.
        for frame in (av.VideoFrame(*encoding.size, encoding.pixels), None):
            stream.codec_context.encode(frame)
    return stream
