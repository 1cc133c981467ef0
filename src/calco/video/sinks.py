"""Where live images go: videos that survive a kill, pipes, stdout and virtual cameras."""

import contextlib
import errno
import fcntl
import io
import logging
import os
import select
import stat
import uuid
from collections.abc import Callable, Iterator
from fractions import Fraction
from glob import escape
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol

import cv2
import numpy as np

from calco import imaging
from calco.errors import CalcoError
from calco.files import cut_name, explain, put_in_place
from calco.imaging import Image
from calco.outputs import locked_file
from calco.video.encoding import Encoding, FrameEncoder, format_of, new_stream
from calco.video.frame_image import Colours
from calco.video.pipeline import Gone

if TYPE_CHECKING:
    from av.container import OutputContainer

LOG = logging.getLogger(__name__)

TICKS: Final = Fraction(1, 90000)
"""Seconds; the unit of time stamps."""
_GRACE: Final = 2.0  # seconds for a reader to take the last images
# By container: it is written in parts, so that a kill loses a second at most.
_FORMATS: Final = {
    "mp4": {"movflags": "+hybrid_fragmented", "frag_duration": "1000000", "flush_packets": "1"},
    "mov": {"movflags": "+hybrid_fragmented", "frag_duration": "1000000", "flush_packets": "1"},
    "matroska": {"cluster_time_limit": "1000", "flush_packets": "1"},
    "webm": {"cluster_time_limit": "1000", "flush_packets": "1"},
    "mpegts": {"flush_packets": "1"},
}
# By ending of a named pipe: FFmpeg's format and encoder.
_PIPES: Final = {
    ".mkv": ("matroska", "h264"), ".ts": ("mpegts", "h264"), ".webm": ("webm", "vp9"),
    ".y4m": ("yuv4mpegpipe", "wrapped_avframe"),
}  # fmt: skip


class LiveSink(Protocol):
    """Where live images go."""

    name: str

    def write(self, image: Image, seconds: float) -> bool:
        """Show an image (HW1 or HW3 `uint8`); return whether anybody saw it, or raise `Gone` if nobody will."""

    def close(self) -> None:
        """End."""


class _LiveVideo:
    """Images that are encoded into an open container as they come, fitted into the size of the first one."""

    def __init__(self, container: "OutputContainer", image: Image, rate: float, codec: str) -> None:
        height, width = image.shape[:2]
        encoding = Encoding(
            codec=codec, quality=30 if codec == "vp9" else 20, size=(width + width % 2, height + height % 2),
            rate=Fraction(rate or 25).limit_denominator(1001), time_base=TICKS, colours=Colours(), pixels="yuv420p",
            live=True,
        )  # fmt: skip
        self.container = container
        self._stream = new_stream(container, encoding)
        self._encoder = FrameEncoder(encoding, self._stream)
        self._began: float | None = None

    def write(self, image: Image, seconds: float) -> None:
        self._began = seconds if self._began is None else self._began
        shown = fitted(image, self._encoder.encoding.size)
        self.container.mux(self._encoder.encode(shown, Fraction(seconds - self._began)))

    def close(self) -> None:
        self.container.mux(self._encoder.flush())
        self.container.close()


def fitted(image: Image, size_wh: tuple[int, int]) -> Image:
    """Bring an image to another size, its proportions kept, with black beside it where they differ. HWC => HWC."""
    height, width = image.shape[:2]
    if (width, height) == size_wh:
        return image
    if 0 <= size_wh[0] - width <= 1 and 0 <= size_wh[1] - height <= 1:  # encoders want even sides
        return np.pad(image, ((0, size_wh[1] - height), (0, size_wh[0] - width), (0, 0)), "edge")
    scale = min(size_wh[0] / width, size_wh[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    whole = np.zeros((size_wh[1], size_wh[0], image.shape[2]), image.dtype)
    top, left = (size_wh[1] - inner[1]) // 2, (size_wh[0] - inner[0]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = small.reshape(inner[1], inner[0], -1)
    return whole


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise errors of FFmpeg and of the system as ours."""
    import av

    try:
        yield
    except OSError as error:  # FFmpeg's errors of the system are OSErrors too
        raise explain(error, name, "write") from error
    except av.FFmpegError as error:
        raise CalcoError(f"cannot write {name}: {error}; choose another format") from error


class _File(io.FileIO):
    """A file that takes all it is given, or keeps why it could not and takes nothing from then on.

    FFmpeg ignores how much was taken, and what it writes at its end would spoil a video that is cut off.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        try:
            while left and self.error is None:
                left = left[super().write(left) or 0 :]
        except OSError as error:
            self.error = error
        return len(data)

    def check(self) -> None:
        if self.error is not None:
            raise self.error


class VideoFile:
    """A video that is written while it happens: what a kill leaves behind can be played up to its last second.

    It is written under a hidden name and gets its own at the end.
    """

    def __init__(self, path: str, rate: Callable[[], float]) -> None:
        """Make the hidden file; `rate` returns the frames a second of the source, once it is open."""
        self.name, self.path = path, Path(path)
        self._rate, self._video = rate, None  # type: tuple[Callable[[], float], _LiveVideo | None]
        if format_of(path) not in _FORMATS:
            raise CalcoError(
                f"{path}: live images can be recorded as a video or sent to a pipe; end it in .mp4 .m4v .mov .mkv "
                f".webm .ts, make it a pipe (mkfifo {path}), or write to stdout with --out -"
            )
        if not self.path.parent.is_dir():
            raise CalcoError(f"cannot write {path}: there is no folder {self.path.parent}; make it")
        with contextlib.ExitStack() as held:
            held.enter_context(locked_file(path, "calco"))
            if os.path.lexists(path):  # what a camera saw is never worth somebody's file
                raise CalcoError(f"{path} is there already; choose another --out")
            self._held = held.pop_all()
        stem, suffix = f".{cut_name(self.path.stem, 80)}", f".part{self.path.suffix}"
        self._report_parts(f"{escape(stem)}.????????{suffix}")
        self.part = self.path.with_name(f"{stem}.{uuid.uuid4().hex[:8]}{suffix}")
        try:
            self._file = _File(self.part, "wb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as long as somebody writes
        except OSError as error:
            self._held.close()
            raise explain(error, path, "write") from error

    def _report_parts(self, pattern: str) -> None:
        """Name what an interruption left, and remove what is empty; a locked part is being written."""
        for part in sorted(self.path.parent.glob(pattern)):
            with contextlib.suppress(OSError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if part.stat().st_size:
                    LOG.warning(
                        f"an earlier recording was cut off; {part} can be played up to there: rename it, or remove it"
                    )
                else:
                    part.unlink()

    def write(self, image: Image, seconds: float) -> bool:
        """Add an image; the first one sets the size."""
        import av

        with _explained(self.name):
            if self._video is None:
                container = format_of(self.name)
                opened = av.open(self._file, "w", format=container, options=_FORMATS[container])
                self._video = _LiveVideo(opened, image, self._rate(), "vp9" if container == "webm" else "h264")
            self._video.write(image, seconds)
            self._file.check()
        return True

    def close(self) -> None:
        """Give the video its name; without an image there is none."""
        video, self._video = self._video, None
        if self._file.closed:
            return
        with self._held, self._file:
            try:
                with _explained(self.name):
                    if video is None:
                        self.part.unlink(missing_ok=True)
                        return
                    video.close()
                    self._file.check()
                    os.fsync(self._file.fileno())
                    put_in_place(self.part, self.path)
            except CalcoError as error:
                raise CalcoError(f"{error}; {self.part} holds what was recorded until then") from error


def as_shown(image: Image) -> Image:
    """Return an output as videos hold it: HW3 `uint8`; of bands the first three."""
    seen = imaging.as_dtype(imaging.visible(image), np.uint8)
    return np.ascontiguousarray(np.broadcast_to(seen, (*seen.shape[:2], 3)))


class VideoPipe:
    """A video in a pipe, bare images with their times (NUT), or coded as the ending of a named pipe says.

    A named pipe waits for a reader, and for the next one when that leaves. A device is a virtual camera.
    """

    def __init__(self, path: str, rate: Callable[[], float], stopped: Callable[[], bool]) -> None:
        """Prepare "-" for stdout, a named pipe, or a device.

        `rate` returns the frames a second of the source, once it is open; `stopped`, whether nobody wants its images
        any more.
        """
        self.path, self.name = path, "stdout" if path == "-" else path
        self._rate, self._stopped = rate, stopped
        self._video: _LiveVideo | None = None
        self._handle, self._has_reported = -1, False
        if path == "-" and os.isatty(1):
            raise CalcoError("stdout is a terminal, which shows no video; pipe it on, such as: --out - | ffplay -")

    def write(self, image: Image, seconds: float) -> bool:
        """Pass an image on; return whether there was a reader."""
        try:
            with _explained(self.name):
                self._video = self._video or self._begin(image)
                if self._video is None:
                    return False
                self._video.write(image, seconds)
        except CalcoError as error:
            if not isinstance(error.__cause__, BrokenPipeError):
                raise
            self._forget()
            if self.path == "-":
                raise Gone from error
            if not self._stopped():
                LOG.info(f"the reader of {self.name} has left; waiting for another")
            return False
        return True

    def _begin(self, image: Image) -> _LiveVideo | None:
        """Open the container; None if a named pipe has no reader yet."""
        import av

        if self.path.startswith("/dev/video"):
            return _LiveVideo(av.open(self.path, "w", format="v4l2"), image, self._rate(), "rawvideo")
        try:
            # Without O_NONBLOCK it would wait for a reader, and Ctrl-C with it.
            self._handle = 1 if self.path == "-" else os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if not self._has_reported:
                self._has_reported = True
                LOG.info(f"{self.name} has no reader yet; waiting for one")
            return None
        form, codec = _PIPES.get(Path(self.path).suffix.lower(), ("nut", "rawvideo"))
        # Without a method `seek`, since there is no way back in a pipe.
        container = av.open(SimpleNamespace(write=self.put), "w", format=form, options={"flush_packets": "1"})
        return _LiveVideo(container, image, self._rate(), codec)

    def put(self, data: bytes) -> int:
        """Write bytes in pieces that a pipe takes at once, so that a reader who stands still can be left."""
        left, patience = memoryview(data), 0.0
        while left and self._handle >= 0:
            if select.select([], [self._handle], [], 0.1)[1]:
                with contextlib.suppress(BlockingIOError):
                    left = left[os.write(self._handle, left[: select.PIPE_BUF]) :]
                patience = 0.0
            elif self._stopped():
                patience += 0.1
                if patience > _GRACE:
                    raise BrokenPipeError(errno.EPIPE, "its reader stands still")
        return len(data)

    def _forget(self) -> None:
        import av

        video, self._video = self._video, None
        handle, self._handle = self._handle, -1  # what FFmpeg still wants to write goes nowhere
        if handle > 2:
            os.close(handle)
        if video is not None:
            with contextlib.suppress(OSError, ValueError, av.FFmpegError):
                video.container.close()

    def close(self) -> None:
        """End the video."""
        import av

        if self._video is not None:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._video.close()
        self._forget()


def sink_for(path: str, rate: Callable[[], float], stopped: Callable[[], bool]) -> LiveSink:
    """Open the sink that `--out` names: a video, a pipe, stdout or a virtual camera."""
    if path.startswith("/dev/video") and not os.path.exists(path):
        raise CalcoError(
            f"there is no virtual camera {path}; make it: sudo modprobe v4l2loopback video_nr={path[10:] or 9}"
        )
    with contextlib.suppress(OSError):
        mode = 0 if path == "-" else os.stat(path).st_mode
        if path == "-" or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            return VideoPipe(path, rate, stopped)
        if stat.S_ISDIR(mode):
            raise CalcoError(f"{path} is a folder, and live images make one video; name a file such as {path}/live.mp4")
    return VideoFile(path, rate)
