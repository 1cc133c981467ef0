"""Where live images come from: what the words of a user mean."""

import contextlib
import os
import re
import select
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from calco import imaging
from calco.errors import CalcoError
from calco.files import explain

STREAMS: Final = frozenset(
    {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srtp", "srt", "udp", "tcp", "mms", "mmsh", "mmst"}
)
"""Kinds of addresses under which there is always a stream."""
WEB: Final = frozenset({"http", "https"})
"""Kinds of addresses under which there may be images or a stream."""
_CAMERA: Final = re.compile(r"camera(?::(\d+))?|/dev/video(\d+)")
_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://")
Kind = Literal["camera", "address", "file", "pipe"]


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """A source of live images.

    Attributes:
        kind: A camera of this machine, an address, a file, or a pipe.
        place: What is opened: a device, an address, a path, or "-" for stdin.
        size_wh: What the camera is asked for; of a pipe, that it holds bare RGB images of this size. Pixels.
        rate: Frames in a second that the camera is asked for, or that bare images in a pipe have; 0 asks nothing.
    """

    kind: Kind
    place: str
    size_wh: tuple[int, int] | None = None
    rate: float = 0.0

    @property
    def name(self) -> str:
        """What messages call it, without a password."""
        return "stdin" if self.place == "-" else re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", self.place)

    @property
    def may_return(self) -> bool:
        """Whether it is tried again when it is lost."""
        return self.kind in ("camera", "address")


def find_live_source(images: str, *, live: bool, watched: bool = False) -> LiveSource | None:
    """The live source that a word, an address or a path means, or None where it means images or a video.

    Args:
        images: As the user wrote it.
        live: Whether the user asked for playing.
        watched: Whether the result goes where only moving images go: a window, a page, a video, a pipe.
    """
    if images == "-":
        return LiveSource(kind="pipe", place="-")
    if scheme := _ADDRESS.match(images.lower()):
        if scheme[1] in STREAMS or (scheme[1] in WEB and (live or watched)):
            return LiveSource(kind="address", place=images)
        if live:
            raise CalcoError(
                f"{images} cannot be played; give an address that starts with rtsp:// or http://, or a file"
            )
        return None
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.stat(images).st_mode):
            return LiveSource(kind="pipe", place=images)
    if (camera := _CAMERA.fullmatch(images)) and (images.startswith("/dev/") or not os.path.exists(images)):
        number = camera[1] or camera[2]
        return LiveSource(kind="camera", place="" if number is None else f"/dev/video{number}")
    if not live:
        return None
    if os.path.isdir(images):
        raise CalcoError(f"{images} is a folder, and one video is played at a time; name a video in it")
    return LiveSource(kind="file", place=images)


def with_request(origin: LiveSource, size: str | None, rate: float) -> LiveSource:
    """The source with what is asked of it.

    Args:
        origin: The source.
        size: Width and height in pixels, such as "1280x720"; None asks nothing.
        rate: Frames in a second; 0 asks nothing.

    Raises:
        CalcoError: When they are no size and no rate, or the source cannot be asked.
    """
    if size is None and not rate:
        return origin
    if origin.kind in ("address", "file"):
        raise CalcoError(
            f"{origin.name} has its own size and rate; leave --size and --rate out: they ask a camera, and tell those "
            "of bare images in a pipe"
        )
    parts = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size or "1x1")
    size_wh = (int(parts[1]), int(parts[2])) if parts else (0, 0)
    if not 0 < size_wh[0] * size_wh[1] <= imaging.MAX_PIXELS:
        raise CalcoError(f"--size {size}: not a valid size; give width and height in pixels, such as --size 1280x720")
    if not 0 <= rate <= 1000:
        raise CalcoError(f"--rate {rate:g} is no rate; give frames in a second, such as --rate 30")
    if origin.kind == "pipe" and size is None:
        raise CalcoError("--rate alone tells nothing of a pipe; give --size too where it holds bare RGB images")
    return replace(origin, size_wh=size_wh if size else None, rate=rate)


if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_OPENS, _READS = 10.0, 5.0  # seconds after which an address that is silent counts as lost
# What an address answers may name other addresses, such as the parts of a playlist, but never a file of this machine.
_PROTOCOLS: Final = "rtsp,rtsps,rtmp,rtmps,rtmpt,rtp,srtp,srt,udp,tcp,tls,http,https,httpproxy,crypto,data,mmsh,mmst"
_EARLY: Final = {"fflags": "nobuffer", "analyzeduration": "1000000"}  # a second of looking, not five
_PLAYLISTS: Final = ("hls", "dash")


class Lost(Exception):
    """The source gave nothing more: its end, or the reason why it cannot be read."""


@dataclass
class OpenedSource:
    """A source that is open.

    Attributes:
        container: As FFmpeg reads it.
        stream: Its moving images.
        paced: It gives its images faster than they were made, so they are shown at the times that it tells.
        finite: It has an end, after which it is not lost but done.
        waited: Whether the last reading of a pipe had to wait for its writer; None where nobody can tell.
    """

    container: "InputContainer"
    stream: "VideoStream"
    paced: bool = False
    finite: bool = False
    waited: Callable[[], bool] | None = None


@contextlib.contextmanager
def opened(origin: LiveSource, stopped: Callable[[], bool]) -> Iterator[OpenedSource]:
    """Opens a source, closed again at the end.

    Args:
        origin: The source.
        stopped: Asked while a pipe is waited for: whether nobody wants its images any more.

    Raises:
        CalcoError: When it is not there, may not be read, or gives no moving images.
    """
    with contextlib.ExitStack() as held:
        opens = {"camera": _camera, "address": _address, "file": _file, "pipe": _pipe}[origin.kind]
        with telling(origin):
            source = opens(origin, held, stopped)
        yield source


@contextlib.contextmanager
def telling(origin: LiveSource) -> Iterator[None]:
    """What FFmpeg and the system answer, in a sentence."""
    import av

    try:
        yield
    except Lost as error:
        raise CalcoError(f"cannot read {origin.name}: {error}") from error
    except PermissionError as error:
        remedy = "join its group: sudo usermod -aG video $USER, then log in again" if origin.kind == "camera" else ""
        raise CalcoError(f"cannot read {origin.name}: permission denied; {remedy or 'check who owns it'}") from error
    except (av.FFmpegError, OSError, ValueError, LookupError) as error:
        raise CalcoError(f"cannot read {origin.name}: {reason(error)}; {_REMEDIES[origin.kind]}") from error


_REMEDIES: Final[dict[Kind, str]] = {
    "camera": "check that no other program uses it, or ask it for another --size",
    "address": "check the address, and that its camera is switched on",
    "file": "name a video",
    "pipe": "write a video into it, or bare RGB images and tell their --size",
}


def reason(error: Exception) -> str:
    """Why FFmpeg or the system failed, in small letters."""
    import av

    if isinstance(error, av.ExitError):
        return f"it has not answered for {_READS:g} s"
    text = str(getattr(error, "strerror", None) or error)
    return "not found" if "404" in text else text[:1].lower() + text[1:]


def _moving(container: "InputContainer", **how: Any) -> OpenedSource:
    """The moving images among the streams."""
    streams = [stream for stream in container.streams.video if hasattr(stream, "width")]
    if not streams or streams[0].codec_context is None:
        raise Lost("it holds no moving images that can be decoded")
    stream = streams[0]
    if stream.width * stream.height > imaging.MAX_PIXELS:
        raise Lost(
            f"frames of {stream.width}x{stream.height} are more than {imaging.MAX_PIXELS:,} pixels; scale it down"
        )
    return OpenedSource(container, stream, **how)


def _camera(origin: LiveSource, held: contextlib.ExitStack, _stopped: Callable[[], bool]) -> OpenedSource:
    import av

    there = sorted(Path("/dev").glob("video[0-9]*"), key=lambda path: int(re.sub(r"\D", "", path.name) or 0))
    device = origin.place or (str(there[0]) if there else "/dev/video0")
    if not os.path.exists(device):
        known = f"this machine has {', '.join(map(str, there))}" if there else "this machine has none in /dev/video*"
        raise CalcoError(
            f"there is no camera {device}: {known}; plug one in, or name an address like rtsp://..., or a video with "
            "--live"
        )
    options = {"fflags": "nobuffer"}
    if origin.size_wh:
        options["video_size"] = "{}x{}".format(*origin.size_wh)
    if origin.rate:
        options["framerate"] = f"{origin.rate:g}"
    container = held.enter_context(av.open(device, "r", format="v4l2", options=options, timeout=(_OPENS, _READS)))
    return _moving(container)


def _address(origin: LiveSource, held: contextlib.ExitStack, _stopped: Callable[[], bool]) -> OpenedSource:
    import av

    options = {**_EARLY, "protocol_whitelist": _PROTOCOLS}
    scheme = urlsplit(origin.place).scheme.lower()
    if scheme.startswith("rtsp"):
        options["rtsp_flags"] = "prefer_tcp"  # over UDP what a busy network loses is seen as damage
    container = held.enter_context(av.open(origin.place, "r", options=options, timeout=(_OPENS, _READS)))
    playlist = container.format.name.split(",")[0] in _PLAYLISTS
    # Over http a video comes as fast as the line carries it, and a playlist in parts of several seconds.
    finite = scheme in WEB and container.duration is not None
    return _moving(container, paced=finite or playlist, finite=finite)


def _file(origin: LiveSource, held: contextlib.ExitStack, _stopped: Callable[[], bool]) -> OpenedSource:
    import av

    try:
        file = held.enter_context(_Bytes(os.open(origin.place, os.O_RDONLY)))
    except OSError as error:
        raise explain(error, origin.place, "read") from error
    container = held.enter_context(av.open(file, "r", options={"protocol_whitelist": "none"}))
    return _moving(container, paced=True, finite=True)


def _pipe(origin: LiveSource, held: contextlib.ExitStack, stopped: Callable[[], bool]) -> OpenedSource:
    import av

    # Without O_NONBLOCK, opening a named pipe would wait for its writer, and Ctrl-C with it.
    handle = 0 if origin.place == "-" else os.open(origin.place, os.O_RDONLY | os.O_NONBLOCK)
    if origin.place != "-":
        held.callback(os.close, handle)
    if os.isatty(handle):
        raise CalcoError(
            "stdin is a terminal, which shows no images; pipe a video into it, such as: cat video.mkv | ..."
        )
    pipe = _Pipe(handle, stopped, patient=origin.place != "-")
    how: dict[str, Any] = {"options": {"protocol_whitelist": "none"}}
    if origin.size_wh:
        rate = f"{origin.rate or 25:g}"
        how = {"format": "rawvideo", "options": {"pixel_format": "rgb24", "framerate": rate}}
        how["options"]["video_size"] = "{}x{}".format(*origin.size_wh)
    container = held.enter_context(av.open(pipe, "r", **how))
    return _moving(container, paced=True, finite=True, waited=pipe.has_waited)


class _Bytes:
    """A file by its handle. Wrong places are answered as FFmpeg expects; for an exception PyAV prints a traceback."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __enter__(self) -> "_Bytes":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)

    def read(self, count: int) -> bytes:
        return os.read(self.handle, count)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return os.lseek(self.handle, offset, whence)
        except OSError:
            return -1

    def tell(self) -> int:
        return os.lseek(self.handle, 0, os.SEEK_CUR)


@dataclass
class _Pipe:
    """A pipe that can be left while it is waited for, and that knows whether it had to be."""

    handle: int
    stopped: Callable[[], bool]
    patient: bool  # a named pipe that nobody writes to yet looks as if it had ended
    begun: bool = False
    has_to_wait: bool = False
    closed: bool = field(default=False, init=False)

    def has_waited(self) -> bool:
        """Whether there was nothing to read since the last question."""
        waited, self.has_to_wait = self.has_to_wait, False
        return waited

    def read(self, count: int) -> bytes:
        while not self.stopped():
            if not select.select([self.handle], [], [], 0)[0]:
                self.has_to_wait = True
                if not select.select([self.handle], [], [], 0.1)[0]:
                    continue
            data = os.read(self.handle, count)
            if data or self.begun or not self.patient:
                self.begun = True
                return data
            select.select([], [], [], 0.1)
        return b""
