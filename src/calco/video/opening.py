"""Live sources, opened: cameras, addresses, files and pipes, as FFmpeg reads them."""

import contextlib
import os
import re
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from calco import imaging
from calco.errors import CalcoError
from calco.files import explain
from calco.video.origins import WEB, Kind, Origin

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
class Opened:
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
def opened(origin: Origin, stopped: Callable[[], bool]) -> Iterator[Opened]:
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
def telling(origin: Origin) -> Iterator[None]:
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


def _moving(container: "InputContainer", **how: Any) -> Opened:
    """The moving images among the streams."""
    streams = [stream for stream in container.streams.video if hasattr(stream, "width")]
    if not streams or streams[0].codec_context is None:
        raise Lost("it holds no moving images that can be decoded")
    stream = streams[0]
    if stream.width * stream.height > imaging.MAX_PIXELS:
        raise Lost(
            f"frames of {stream.width}x{stream.height} are more than {imaging.MAX_PIXELS:,} pixels; scale it down"
        )
    return Opened(container, stream, **how)


def _camera(origin: Origin, held: contextlib.ExitStack, _stopped: Callable[[], bool]) -> Opened:
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


def _address(origin: Origin, held: contextlib.ExitStack, _stopped: Callable[[], bool]) -> Opened:
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


def _file(origin: Origin, held: contextlib.ExitStack, _stopped: Callable[[], bool]) -> Opened:
    import av

    try:
        file = held.enter_context(_Bytes(os.open(origin.place, os.O_RDONLY)))
    except OSError as error:
        raise explain(error, origin.place, "read") from error
    container = held.enter_context(av.open(file, "r", options={"protocol_whitelist": "none"}))
    return _moving(container, paced=True, finite=True)


def _pipe(origin: Origin, held: contextlib.ExitStack, stopped: Callable[[], bool]) -> Opened:
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
