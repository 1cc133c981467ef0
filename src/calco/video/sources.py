"""Sources of live images: cameras, addresses, played videos and pipes."""

import contextlib
import os
import re
import select
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from calco import imaging
from calco.errors import CalcoError
from calco.files import explain
from calco.video.names import is_video

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Addresses under which there is always a stream, and those under which there may be images or a stream.
_STREAMS: Final = frozenset(
    {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srtp", "srt", "udp", "tcp", "mms", "mmsh", "mmst"}
)
_WEB: Final = frozenset({"http", "https"})
_CAMERA: Final = re.compile(r"camera(?::(\d+))?|/dev/video(\d+)")
_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://")
_OPENS, _READS = 10.0, 5.0  # seconds after which an address that is silent counts as lost
# A server's answer may name other addresses, such as the parts of a playlist, but never a file of this machine.
_PROTOCOLS: Final = "rtsp,rtsps,rtmp,rtmps,rtmpt,rtp,srtp,srt,udp,tcp,tls,http,https,httpproxy,crypto,data,mmsh,mmst"
_EARLY: Final = {"fflags": "nobuffer", "analyzeduration": "1000000"}  # a second of looking, not five
_RECENT: Final = 2.0  # seconds over which rate and delay are averaged
_PLAYLISTS: Final = ("hls", "dash")
Kind = Literal["camera", "address", "file", "pipe"]
_REMEDIES: Final[dict[Kind, str]] = {
    "camera": "check that no other program uses it, or ask it for another --size",
    "address": "check the address, and that its camera is switched on",
    "file": "name a video",
    "pipe": "write a video into it, or bare RGB images and tell their --size",
}


@dataclass
class LiveStatus:
    """Counts of a live run so far."""

    came: int = 0  # frames that the source gave
    rendered: int = 0  # frames that the step was given
    # by sink, rendered frames that it did not show: it was still busy, or nobody was there
    missed: dict[str, int] = field(default_factory=dict)
    longest: float = 0.0  # the longest delay from the arrival of a frame to its being shown, seconds
    total: float = 0.0  # sum of all delays, seconds
    shown: int = 0  # number of these delays
    damaged: int = 0  # packets that could not be read
    lost: int = 0  # number of times that the source was lost
    seconds: float = 0.0  # seconds since the first frame
    _delays: deque[tuple[float, float]] = field(default_factory=deque)  # when shown, and the delay
    _rendered_at: deque[float] = field(default_factory=deque)

    @property
    def dropped(self) -> int:
        """Frames that came and were not rendered, since a newer one was there."""
        return self.came - self.rendered

    def line(self) -> str:
        """Return a line for the terminal or a page, such as "75 frames in, 70 processed, 5 dropped, 23.1 frames/s"."""
        rate = len(self._rendered_at) / min(_RECENT, max(self.seconds, 0.1))
        delays = [delay for _, delay in list(self._delays)]
        delay = f", delay {1000 * sum(delays) / len(delays):.0f} ms" if delays else ""
        return f"{self.came} frames in, {self.rendered} processed, {self.dropped} dropped, {rate:.1f} frames/s{delay}"

    def summary(self) -> str:
        """Return a sentence for the end."""
        rate = self.rendered / max(self.seconds, 1e-3)
        text = f"{self.came} frames in, {self.rendered} processed, {self.dropped} dropped; {rate:.1f} frames/s"
        if self.shown:
            text += f", delay {1000 * self.total / self.shown:.0f} ms, at most {1000 * self.longest:.0f} ms"
        text += "".join(f"; {name} missed {count}" for name, count in self.missed.items() if count)
        text += f"; damaged packets: {self.damaged}" if self.damaged else ""
        return text + (f"; lost {self.lost} times" if self.lost > 1 else "; lost once" if self.lost else "")

    def count_rendered(self, began: float) -> None:
        """Count a frame that was rendered just now."""
        now = time.monotonic()
        self.rendered += 1
        self.seconds = now - began
        self._rendered_at.append(now)
        while self._rendered_at and self._rendered_at[0] < now - _RECENT:
            self._rendered_at.popleft()
        while self._delays and self._delays[0][0] < now - _RECENT:
            self._delays.popleft()

    def count_shown(self, arrived: float) -> None:
        """Count a frame that was shown just now."""
        now = time.monotonic()
        self.longest = max(self.longest, now - arrived)
        self.total, self.shown = self.total + now - arrived, self.shown + 1
        self._delays.append((now, now - arrived))


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """A source of live images."""

    kind: Kind  # A camera of this machine, an address, a file, or a pipe
    place: str  # A device, an address, a path, or "-" for stdin
    # size that the camera is asked for; of a pipe, that of the bare RGB images in it. Pixels
    size_wh: tuple[int, int] | None = None
    # frames a second that the camera is asked for, or that bare images in a pipe have; 0 asks nothing
    rate: float = 0.0

    @property
    def name(self) -> str:
        """Name in messages, without a password."""
        return "stdin" if self.place == "-" else re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", self.place)


def find_live_source(images: str, *, live: bool, watched: bool = False) -> LiveSource | None:
    """Return the live source that a name means; None for images or a video that is neither played nor watched live."""
    if images == "-":
        return LiveSource(kind="pipe", place="-")
    if scheme := _ADDRESS.match(images.lower()):
        if scheme[1] in _STREAMS or (scheme[1] in _WEB and (live or watched)):
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


def live_source_of(name: str, out: str | None, *, live: bool, window: bool, page: int | None) -> LiveSource | None:
    """Return the live source that a name means, given where its images are to go; None if it means files."""
    is_moving = out is not None and (out == "-" or out.startswith("/dev/video") or is_video(out))
    with contextlib.suppress(OSError):
        mode = 0 if out is None else os.stat(out).st_mode
        is_moving = is_moving or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return find_live_source(name, live=live or window or page is not None, watched=is_moving)


def with_request(origin: LiveSource, size: str | None, rate: float) -> LiveSource:
    """Return a source with the size (such as "1280x720") and the frames a second that it is asked for."""
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


@dataclass
class OpenedSource:
    """A source that is open."""

    container: "InputContainer"  # as FFmpeg reads it
    stream: "VideoStream"  # its moving images
    # whether it gives its images faster than they were made, so that they are shown at their own times
    paced: bool = False
    finite: bool = False  # whether it has an end, after which it is not lost but done
    # returns whether the last reading of a pipe had to wait for its writer; None for other sources
    waited: Callable[[], bool] | None = None


@contextlib.contextmanager
def opened(origin: LiveSource, stopped: Callable[[], bool]) -> Iterator[OpenedSource]:
    """Open a source; `stopped` returns whether nobody wants its images any more, while a pipe is waited for."""
    import av

    with contextlib.ExitStack() as held:
        try:
            source = _opened(origin, held, stopped)
        except PermissionError as error:
            remedy = "check who owns it"
            if origin.kind == "camera":
                remedy = "join its group: sudo usermod -aG video $USER, then log in again"
            raise CalcoError(f"cannot read {origin.name}: permission denied; {remedy}") from error
        except (av.FFmpegError, OSError, ValueError, LookupError) as error:
            raise CalcoError(f"cannot read {origin.name}: {reason(error)}; {_REMEDIES[origin.kind]}") from error
        yield source


def reason(error: Exception) -> str:
    """Return why FFmpeg or the system failed, in small letters."""
    import av

    if isinstance(error, av.ExitError):
        return f"it has not answered for {_READS:g} s"
    text = str(getattr(error, "strerror", None) or error)
    return "not found" if "404" in text else text[:1].lower() + text[1:]


def _opened(origin: LiveSource, held: contextlib.ExitStack, stopped: Callable[[], bool]) -> OpenedSource:
    import av

    how: dict[str, Any] = {"options": {"protocol_whitelist": "none"}}
    place: Any = origin.place
    pipe: _Pipe | None = None
    size = "{}x{}".format(*origin.size_wh) if origin.size_wh else ""
    if origin.kind == "camera":
        place = _device(origin)
        options = {"fflags": "nobuffer", "video_size": size, "framerate": f"{origin.rate:g}" if origin.rate else ""}
        how = {"format": "v4l2", "options": {name: value for name, value in options.items() if value},
               "timeout": (_OPENS, _READS)}  # fmt: skip
    elif origin.kind == "address":
        # Over UDP, what a busy network loses is seen as damage.
        over = {"rtsp_flags": "prefer_tcp"} if origin.place.lower().startswith("rtsp") else {}
        how = {"options": {**_EARLY, "protocol_whitelist": _PROTOCOLS, **over}, "timeout": (_OPENS, _READS)}
    elif origin.kind == "file":
        from calco.video.frames import SourceFile  # with OpenCV, which is not needed to look at a name

        try:
            place = held.enter_context(SourceFile(origin.place))
        except OSError as error:
            raise explain(error, origin.place, "read") from error
    else:
        place = pipe = _open_pipe(origin, held, stopped)
        if size:
            raw = {"pixel_format": "rgb24", "framerate": f"{origin.rate or 25:g}", "video_size": size}
            how = {"format": "rawvideo", "options": raw}
    container = held.enter_context(av.open(place, "r", **how))
    streams = [stream for stream in container.streams.video if hasattr(stream, "width")]
    if not streams or streams[0].codec_context is None:
        raise CalcoError(f"cannot read {origin.name}: it holds no moving images that can be decoded")
    stream = streams[0]
    if stream.width * stream.height > imaging.MAX_PIXELS:
        raise CalcoError(f"cannot read {origin.name}: frames of {stream.width}x{stream.height} are more than "
                         f"{imaging.MAX_PIXELS:,} pixels; scale it down")  # fmt: skip
    finite = origin.kind in ("file", "pipe")
    if origin.kind == "address":  # over http a video comes as fast as the line carries it
        finite = urlsplit(origin.place).scheme.lower() in _WEB and container.duration is not None
    # A playlist comes in parts of several seconds.
    paced = finite or container.format.name.split(",")[0] in _PLAYLISTS
    return OpenedSource(container, stream, paced, finite, None if pipe is None else pipe.has_waited)


def _device(origin: LiveSource) -> str:
    """Return the device of a camera, by default the first one."""
    there = sorted(Path("/dev").glob("video[0-9]*"), key=lambda path: int(re.sub(r"\D", "", path.name) or 0))
    device = origin.place or (str(there[0]) if there else "/dev/video0")
    if not os.path.exists(device):
        known = f"this machine has {', '.join(map(str, there))}" if there else "this machine has none in /dev/video*"
        raise CalcoError(
            f"there is no camera {device}: {known}; plug one in, or name an address like rtsp://..., or a video with "
            "--live"
        )
    return device


def _open_pipe(origin: LiveSource, held: contextlib.ExitStack, stopped: Callable[[], bool]) -> "_Pipe":
    # Without O_NONBLOCK, opening a named pipe would wait for its writer, and Ctrl-C with it.
    handle = 0 if origin.place == "-" else os.open(origin.place, os.O_RDONLY | os.O_NONBLOCK)
    if origin.place != "-":
        held.callback(os.close, handle)
    if os.isatty(handle):
        raise CalcoError(
            "stdin is a terminal, which shows no images; pipe a video into it, such as: cat video.mkv | ..."
        )
    return _Pipe(handle, stopped, patient=origin.place != "-")


@dataclass
class _Pipe:
    """A pipe that can be left while it is waited for, and that knows whether it had to be."""

    handle: int
    stopped: Callable[[], bool]
    patient: bool  # a named pipe that nobody writes to yet looks as if it had ended
    begun: bool = False
    has_to_wait: bool = False

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
