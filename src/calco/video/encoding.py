"""Codecs, containers, and the one way from images to packets, for recorded and live videos."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from calco.errors import CalcoError
from calco.imaging import Image, as_channels
from calco.video.frame_image import Colours
from calco.video.names import VIDEO_SUFFIXES

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_GLOBAL_HEADER: Final = 0x40  # AVFMT_GLOBALHEADER
_MANY: Final = 8  # cores, of which the model leaves some to a slower encoder with smaller files
MOST_RATE: Final = Fraction(240)
"""Frames a second, above which a rate is rather the resolution of a video's time stamps."""
GOP_SECONDS: Final = 2  # between key frames: the most that an interruption costs


@dataclass(frozen=True, slots=True)
class _Codec:
    """An encoder, its options, the worst and the default constant rate factor, and whether 4:2:0 may have odd sizes.

    The options are quick ones, in one thread: the encoder shares the cores with the model. The default qualities show
    no difference from the model's output, or hardly any.
    """

    encoder: str
    options: dict[str, str]
    worst: int
    quality: int
    odd: bool = False


CODECS: Final[dict[str, _Codec]] = {
    "h264": _Codec("libx264", {"preset": "ultrafast", "coder": "1", "threads": "1", "forced-idr": "1"}, 51, 18),
    "h265": _Codec(
        "libx265",
        {"preset": "superfast", "forced-idr": "1",
         "x265-params": "log-level=none:open-gop=0:pools=1:frame-threads=1"},
        51, 20,
    ),
    "vp9": _Codec(
        "libvpx-vp9", {"b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1", "threads": "1"}, 63, 24, True
    ),
    "av1": _Codec("libsvtav1", {"preset": "10", "svtav1-params": "lp=1"}, 63, 24, True),
}  # fmt: skip
# By ending FFmpeg's name of the container, and the codecs that it holds.
_ALL: Final = ("h264", "h265", "vp9", "av1")
_FORMATS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    ".mp4": ("mp4", _ALL), ".m4v": ("mp4", _ALL), ".mkv": ("matroska", _ALL), ".webm": ("webm", ("vp9", "av1")),
    ".mov": ("mov", ("h264", "h265")), ".avi": ("avi", ("h264", "vp9", "av1")), ".ts": ("mpegts", _ALL),
    ".m2ts": ("mpegts", _ALL), ".mts": ("mpegts", _ALL), ".mpg": ("mpeg", _ALL), ".mpeg": ("mpeg", _ALL),
    ".flv": ("flv", _ALL), ".wmv": ("asf", ("h264", "vp9", "av1")), ".3gp": ("3gp", ("h264",)), ".ogv": ("ogg", ()),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Settings of an encoder."""

    codec: str  # h264, h265, vp9 or av1; for pipes also the name of one of FFmpeg's encoders
    quality: int  # the constant rate factor: lower is better and larger
    size: tuple[int, int]  # width and height, pixels
    rate: Fraction  # frames a second, on the mean
    time_base: Fraction  # seconds of a unit of the time stamps
    colours: Colours  # meaning of the pixels' numbers
    pixels: str  # FFmpeg's name of the pixel format
    aspect: Fraction = Fraction(1)  # width of a pixel by its height
    live: bool = field(default=False, repr=False)  # whether no frame may wait for later ones

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder."""
        return encoder_of(self.codec) if self.codec in CODECS else self.codec

    @property
    def nominal_rate(self) -> Fraction:
        """Rate for the encoder's budget; times are those of the time stamps. SVT-AV1 takes no higher one."""
        return min(self.rate, MOST_RATE)

    @property
    def options(self) -> dict[str, str]:
        """FFmpeg's options of the encoder."""
        if self.codec not in CODECS:
            return {}
        options = CODECS[self.codec].options
        if self.codec == "h264" and (self.live or len(os.sched_getaffinity(0)) >= _MANY):
            options = {"preset": "veryfast", "forced-idr": "1", **({"tune": "zerolatency"} if self.live else {})}
        return {**options, "crf": str(self.quality), "g": str(max(1, round(GOP_SECONDS * self.nominal_rate)))}

    def open(self, context: "VideoCodecContext", *, container: str) -> None:
        """Configure and open an encoder whose packets go into a container."""
        context.width, context.height = self.size
        context.pix_fmt, context.time_base = self.pixels, self.time_base
        context.framerate, context.sample_aspect_ratio = self.nominal_rate, self.aspect
        context.options = self.options
        context.gop_size = max(1, round(GOP_SECONDS * self.nominal_rate))
        if container == "avi":  # which keeps frames in the order of showing alone
            context.max_b_frames = 0
        self.colours.tag(context)
        os.environ.setdefault("SVT_LOG", "0")  # SVT-AV1 writes its settings to the terminal
        with _ordinary_priority():
            context.open()


class FrameEncoder:
    """Encodes images of one size, each with its time, into packets."""

    def __init__(self, encoding: Encoding, encoder: "VideoCodecContext | VideoStream", last: int | None = None) -> None:
        import av

        self.encoding, self.last = encoding, last  # `last` is the time stamp of the last frame
        self._encoder = encoder
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._key: Fraction | None = None  # seconds of the last key frame that was asked for

    def encode(self, image: Image, time: Fraction) -> "list[av.Packet[Any]]":
        """Encode an image, HWC `uint8`, RGB or grey; return the packets that are ready. Times must grow."""
        from av.video.frame import PictureType

        base = self.encoding.time_base
        frame = self.encoding.colours.from_rgb(as_channels(image, 3), self._reformatter, self.encoding.pixels)
        stamp = round(time / base)
        stamp = stamp if self.last is None else max(stamp, self.last + 1)
        self.last = frame.pts = stamp
        frame.time_base = base
        # Encoders count frames, whose rate may vary; the time between key frames is bounded here.
        is_key = self._key is None or stamp * base - self._key >= GOP_SECONDS
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        if is_key:
            self._key = stamp * base
        return list(self._encoder.encode(frame))

    def flush(self) -> "list[av.Packet[Any]]":
        """Return the packets that the encoder held back; it takes no more frames."""
        return list(self._encoder.encode(None))


def new_encoder(encoding: Encoding, path: str) -> "VideoCodecContext":
    """Open an encoder whose packets go into the video `path` later."""
    import av
    from av.codec.context import Flags
    from av.video.codeccontext import VideoCodecContext

    context = av.CodecContext.create(encoding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    container = format_of(path)
    # Such containers keep the description of the coding at their beginning, not with the key frames.
    if int(av.ContainerFormat(container, "w").flags) & _GLOBAL_HEADER:
        context.flags |= Flags.global_header
    encoding.open(context, container=container)
    return context


def new_stream(container: "OutputContainer", encoding: Encoding) -> "VideoStream":
    """Add a stream with an open encoder to a container."""
    import av
    from av.video.stream import VideoStream

    stream = container.add_stream(encoding.encoder, rate=encoding.nominal_rate)
    assert isinstance(stream, VideoStream)
    stream.time_base = encoding.time_base
    encoding.open(stream.codec_context, container=container.format.name)
    if encoding.codec == "av1":
        # SVT-AV1 may end the whole process when it is closed before its threads have worked.
        for frame in (av.VideoFrame(*encoding.size, encoding.pixels), None):
            stream.codec_context.encode(frame)
    return stream


@contextlib.contextmanager
def _ordinary_priority() -> Iterator[None]:
    """Give this thread, and those that start within, the priority of before.

    For root, SVT-AV1 raises its threads and the one that opens it to the highest priority of real time: other programs
    would stand still.
    """
    before, policy, parameters = os.listdir("/proc/self/task"), os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in ("0", *(set(os.listdir("/proc/self/task")) - set(before))):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread), policy, parameters)


def encoder_of(codec: str) -> str:
    """Return FFmpeg's name of the encoder of a codec."""
    import av

    known = {name: each.encoder for name, each in CODECS.items() if each.encoder in av.codecs_available}
    if codec not in known:
        raise CalcoError(f"there is no encoder for {codec} here; choose --codec {', '.join(known)}")
    return known[codec]


def choose_codec(asked: str | None, path: str) -> str:
    """Return the codec that was asked for, or that fits the ending of a video's name."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in _FORMATS:
        why = "is a video that is read and not written" if ending in VIDEO_SUFFIXES else "does not end like a video"
        raise CalcoError(f"{path} {why}; name it with .mp4, .mkv, .mov or .webm at its end")
    codec = asked or ("vp9" if ending == ".webm" else "h264")
    encoder_of(codec)
    if codec not in _FORMATS[ending][1]:
        others = ".webm or .mkv" if codec == "vp9" else ".mp4 or .mkv"
        raise CalcoError(f"a {ending} file cannot hold {codec}; name the result with {others} at its end, "
                         "or choose another --codec")  # fmt: skip
    return codec


def written_as(name: str, codec: str | None) -> str:
    """Return the name of a result in a folder: that of its video, with .mp4 behind it if its format is not written."""
    try:
        choose_codec(codec, name)
    except CalcoError:
        return f"{name}.mp4"
    return name


def format_of(path: str) -> str:
    """Return FFmpeg's name of the container of a video; empty if it is not written."""
    return _FORMATS.get(os.path.splitext(path)[1].lower(), ("", ()))[0]


def choose_encoding(
    path: str, size: tuple[int, int], *, codec: str | None = None, quality: int | None = None, rate: Fraction,
    time_base: Fraction, colours: Colours, aspect: Fraction = Fraction(1), full_chroma: bool = False,
) -> tuple[Encoding, str]:  # fmt: skip
    """Return the settings of a recorded video, and a remark where players may not know its pixel format.

    H.264 and H.265 store colour for every second pixel of even sizes; an odd size keeps it for every pixel instead, so
    that no pixel is added or lost.
    """
    codec = choose_codec(codec, path)
    known = CODECS[codec]
    if quality is not None and not 0 <= quality <= known.worst:
        raise CalcoError(f"quality is {quality}, and {codec} knows 0 (best) to {known.worst} (smallest); "
                         f"leave it out for {known.quality}")  # fmt: skip
    pixels, remark = "yuv420p", ""
    is_odd = any(side % 2 for side in size) and not known.odd
    if (full_chroma or is_odd) and codec == "av1":
        remark = "colour is kept for every second pixel (4:2:0), which is all that av1 has here"
    elif full_chroma or is_odd:
        pixels, why = "yuv444p", "the size is odd" if is_odd else "the video has it so"
        remark = f"colour is kept for every pixel (4:4:4), since {why}; for browsers and phones choose --codec vp9"
    if format_of(path) == "avi":  # which numbers its frames
        time_base = 1 / rate
    while format_of(path) != "avi" and time_base > Fraction(1, 10_000):
        time_base /= 10  # fine enough for times between those of the source, which it still holds exactly
    if time_base.denominator >= 1 << 30:
        time_base = Fraction(1, 90_000)
    encoding = Encoding(
        codec=codec, quality=known.quality if quality is None else quality, size=size, rate=rate, pixels=pixels,
        time_base=time_base, colours=colours, aspect=aspect,
    )  # fmt: skip
    return encoding, remark
