"""Live images coded as they come, and kept in a video that survives a kill."""

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
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import cv2
import numpy as np

from calco import imaging
from calco.errors import CalcoError
from calco.files import cut_name, explain, put_in_place
from calco.imaging import Image
from calco.locks import locked_file
from calco.video.colours import Colours
from calco.video.encoding import keep_keys_close
from calco.video.pipeline import Gone

if TYPE_CHECKING:
    from av.container import OutputContainer

_log = logging.getLogger(__name__)

TICKS: Final = Fraction(1, 90000)
"""Seconds; what time stamps count in."""
X264: Final = {"preset": "veryfast", "crf": "20", "tune": "zerolatency", "g": "60"}
VP9: Final = {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b:v": "0", "g": "60"}
# A second at most is lost when the process is killed.
_MOVIE: Final = {"movflags": "+hybrid_fragmented", "frag_duration": "1000000", "flush_packets": "1"}
_MATROSKA: Final = {"cluster_time_limit": "1000", "flush_packets": "1"}
_FORMATS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    ".mp4": ("mp4", _MOVIE), ".m4v": ("mp4", _MOVIE), ".mov": ("mov", _MOVIE),
    ".mkv": ("matroska", _MATROSKA), ".webm": ("webm", _MATROSKA), ".ts": ("mpegts", {"flush_packets": "1"}),
}  # fmt: skip
"""By ending: the formats in which each image has a time of its own."""


class LiveSink(Protocol):
    """Where live images go."""

    name: str

    def write(self, image: Image, seconds: float) -> bool:
        """Shows an image of HW1 or HW3 `uint8`, with its time since the first; whether anybody was there to see it.

        Raises:
            Gone: When nobody will look any more.
            CalcoError: When it cannot be written.
        """

    def close(self) -> None:
        """Ends."""


class LiveEncoder:
    """Images of one size, coded into a container that is open; others are fitted into that size."""

    def __init__(self, container: "OutputContainer", image: Image, rate: float, codec: str, options: dict[str, str]):
        from av.video.reformatter import VideoReformatter

        height, width = image.shape[:2]
        self.container, self.size_wh = container, (width + width % 2, height + height % 2)
        self.first, self.last = 0.0, -1
        self.reformatter = VideoReformatter()
        self._keys: list[Fraction] = []
        per_second = Fraction(rate or 25).limit_denominator(1001)
        self.stream: Any = cast(Any, container.add_stream(codec, rate=per_second, options=options))
        self.stream.width, self.stream.height = self.size_wh
        self.stream.pix_fmt = "yuv420p"
        context = self.stream.codec_context
        context.time_base = TICKS
        self.colours = Colours()
        self.colours.tag(context)

    def write(self, image: Image, seconds: float) -> None:
        """Adds an image, HW1 or HW3 `uint8`."""
        shown = np.ascontiguousarray(np.broadcast_to(fitted(image, self.size_wh), (*self.size_wh[::-1], 3)))
        frame = self.colours.from_rgb(shown, self.reformatter, "yuv420p")
        if self.last < 0:
            self.first = seconds
        self.last = frame.pts = max(self.last + 1, round((seconds - self.first) / TICKS))
        frame.time_base = TICKS
        keep_keys_close(frame, self._keys)
        for packet in self.stream.encode(frame):
            self.container.mux(packet)

    def close(self) -> None:
        """Ends the video, and closes the container."""
        for packet in self.stream.encode():
            self.container.mux(packet)
        self.container.close()


def fitted(image: Image, size_wh: tuple[int, int]) -> Image:
    """An image in another size, its proportions kept, with black beside it where they differ. HWC => HWC."""
    height, width = image.shape[:2]
    if (width, height) == size_wh:
        return image
    if 0 <= size_wh[0] - width <= 1 and 0 <= size_wh[1] - height <= 1:  # a size that the coding does not know
        return np.pad(image, ((0, size_wh[1] - height), (0, size_wh[0] - width), (0, 0)), "edge")
    scale = min(size_wh[0] / width, size_wh[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    whole = np.zeros((size_wh[1], size_wh[0], image.shape[2]), image.dtype)
    top, left = (size_wh[1] - inner[1]) // 2, (size_wh[0] - inner[0]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = small.reshape(inner[1], inner[0], -1)
    return whole


@contextlib.contextmanager
def telling(name: str) -> Iterator[None]:
    """Errors of FFmpeg and of the system, in a sentence about what is written."""
    import av

    try:
        yield
    except OSError as error:  # FFmpeg's errors of the system are OSErrors too
        raise explain(error, name, "write") from error
    except av.FFmpegError as error:
        raise CalcoError(f"cannot write {name}: {error}; choose another format") from error


class _File(io.FileIO):
    """A file that takes all it is given, or keeps why it could not and takes nothing from then on.

    FFmpeg ignores how much was taken; and what it puts in order at its end would spoil a video that is cut off.
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

    It is written under a hidden name and gets its own at the end; MP4 is then put in order as players like it best.
    """

    def __init__(self, path: str, rate: Callable[[], float]) -> None:
        """Makes the hidden file.

        Args:
            path: The file; its ending is the format.
            rate: Tells the frames in a second of the source, once it is open.

        Raises:
            CalcoError: When the ending is that of no video, or the file cannot be made.
        """
        self.name, self.path = path, Path(path)
        self._rate, self._video = rate, None  # type: tuple[Callable[[], float], LiveEncoder | None]
        if self.path.suffix.lower() not in _FORMATS:
            raise CalcoError(
                f"{path}: live images can be recorded as a video or sent to a pipe; end it in {' '.join(_FORMATS)}, "
                f"make it a pipe (mkfifo {path}), or write to stdout with --out -"
            )
        if not self.path.parent.is_dir():
            raise CalcoError(f"cannot write {path}: there is no folder {self.path.parent}; make it")
        with contextlib.ExitStack() as held:
            held.enter_context(locked_file(path, "calco"))
            if os.path.lexists(path):  # what a camera saw is never worth somebody's file
                raise CalcoError(f"{path} is there already; choose another --out")
            self._held = held.pop_all()
        self._tell_of_parts()
        self.part = self.path.with_name(
            f".{cut_name(self.path.stem, 80)}.{uuid.uuid4().hex[:8]}.part{self.path.suffix}"
        )
        try:
            self._file = _File(self.part, "wb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as long as somebody writes
        except OSError as error:
            self._held.close()
            raise explain(error, path, "write") from error

    def _tell_of_parts(self) -> None:
        for part in sorted(
            self.path.parent.glob(f".{escape(cut_name(self.path.stem, 80))}.????????.part{self.path.suffix}")
        ):
            with contextlib.suppress(OSError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if part.stat().st_size:
                    _log.warning(
                        f"an earlier recording was cut off; {part} can be played up to there: rename it, or remove it"
                    )
                else:
                    part.unlink()

    def write(self, image: Image, seconds: float) -> bool:
        """Adds an image; the first one sets the size.

        Raises:
            CalcoError: When the disk is full, or the format does not hold it.
        """
        import av

        with telling(self.name):
            if self._video is None:
                form, options = _FORMATS[self.path.suffix.lower()]
                container = av.open(self._file, "w", format=form, options=options)
                codec, how = ("libvpx-vp9", VP9) if self.path.suffix.lower() == ".webm" else ("libx264", X264)
                self._video = LiveEncoder(container, image, self._rate(), codec, how)
            self._video.write(image, seconds)
            self._file.check()
        return True

    def close(self) -> None:
        """Gives the video its name; without an image there is none.

        Raises:
            CalcoError: When it cannot be finished; what was written stays in the hidden file, whose name is told.
        """
        video, self._video = self._video, None
        if self._file.closed:
            return
        with self._held:
            self._finish(video)

    def _finish(self, video: LiveEncoder | None) -> None:
        try:
            with telling(self.name):
                if video is not None:
                    video.close()
                    self._file.check()
                    os.fsync(self._file.fileno())
                    put_in_place(self.part, self.path)
                else:
                    self.part.unlink(missing_ok=True)
        except CalcoError as error:
            raise CalcoError(f"{error}; {self.part} holds what was recorded until then") from error
        finally:
            self._file.close()


def as_shown(drawn: Image) -> Image:
    """What a translator drew as videos hold it: HW3 `uint8`; of bands the first three."""
    seen = imaging.as_dtype(imaging.visible(drawn), np.uint8)
    return np.ascontiguousarray(np.broadcast_to(seen, (*seen.shape[:2], 3)))


_GRACE: Final = 2.0  # seconds for a reader to take the last images


class VideoPipe:
    """A video in a pipe, bare images with their times (NUT), or coded as the ending of a named pipe says.

    A named pipe waits for a reader, and for the next one when that leaves. A device is a virtual camera.
    """

    def __init__(self, path: str, rate: Callable[[], float], stopped: Callable[[], bool]) -> None:
        """Prepares it.

        Args:
            path: "-" for stdout, a named pipe, or a device.
            rate: Tells the frames in a second of the source, once it is open.
            stopped: Whether nobody wants its images any more, asked while a reader is waited for.

        Raises:
            CalcoError: When there is no such device, or stdout is a terminal.
        """
        self.path, self.name = path, "stdout" if path == "-" else path
        self._rate, self._stopped = rate, stopped
        self._video: LiveEncoder | None = None
        self._handle, self._told = -1, False
        if path == "-" and os.isatty(1):
            raise CalcoError("stdout is a terminal, which shows no video; pipe it on, such as: --out - | ffplay -")

    def write(self, image: Image, seconds: float) -> bool:
        """Passes an image on; whether there was a reader.

        Raises:
            Gone: When the program behind stdout has ended.
            CalcoError: When it cannot be written.
        """
        if self._video is None and not self._begin(image):
            return False
        try:
            assert self._video is not None
            with telling(self.name):
                self._video.write(image, seconds)
        except CalcoError as error:
            if not isinstance(error.__cause__, BrokenPipeError):
                raise
            self._forget()
            if self.path == "-":
                raise Gone from error
            if not self._stopped():
                _log.info(f"the reader of {self.name} has left; waiting for another")
            return False
        return True

    def _begin(self, image: Image) -> bool:
        import av

        form, codec, options = "nut", "rawvideo", {}  # type: tuple[str, str, dict[str, str]]
        suffix = Path(self.path).suffix.lower()
        if self.path.startswith("/dev/video"):
            with telling(self.name):
                container = av.open(self.path, "w", format="v4l2")
                self._video = LiveEncoder(container, image, self._rate(), codec, {})
            return True
        if suffix in (".mkv", ".ts", ".webm"):
            form = {".mkv": "matroska", ".ts": "mpegts", ".webm": "webm"}[suffix]
            codec, options = ("libvpx-vp9", VP9) if suffix == ".webm" else ("libx264", X264)
        elif suffix == ".y4m":
            form, codec = "yuv4mpegpipe", "wrapped_avframe"
        if not self._connect():
            return False
        with telling(self.name):
            container = av.open(_Writer(self), "w", format=form, options={"flush_packets": "1"})
            self._video = LiveEncoder(container, image, self._rate(), codec, options)
        return True

    def _connect(self) -> bool:
        if self.path == "-":
            self._handle = 1
            return True
        try:
            # Without O_NONBLOCK it would wait for a reader, and Ctrl-C with it.
            self._handle = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise explain(error, self.path, "write") from error
            if not self._told:
                self._told = True
                _log.info(f"{self.name} has no reader yet; waiting for one")
            return False
        return True

    def put(self, data: bytes) -> int:
        """Writes bytes in pieces that a pipe takes at once, so that a reader who stands still can be left."""
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
        """Ends the video."""
        import av

        if self._video is not None:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._video.close()
        self._forget()


class _Writer:
    """What FFmpeg writes into; there is no way back in a pipe, so it has no `seek`."""

    def __init__(self, pipe: VideoPipe) -> None:
        self.write = pipe.put


def sink_for(path: str, rate: Callable[[], float], stopped: Callable[[], bool]) -> LiveSink:
    """What `--out` means: a video, a pipe, stdout or a virtual camera.

    Raises:
        CalcoError: When it is none of them, or is not there.
    """
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
