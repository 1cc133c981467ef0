"""Live images in a pipe or in a virtual camera; and what `--out` means."""

import contextlib
import errno
import os
import select
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from calco.console import say
from calco.errors import CalcoError
from calco.files import explain
from calco.imaging import Image
from calco.video.recording import VP9, X264, Gone, LiveVideo, Sink, VideoFile, telling

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
        self._video: LiveVideo | None = None
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
                say(f"the reader of {self.name} has left; waiting for another")
            return False
        return True

    def _begin(self, image: Image) -> bool:
        import av

        form, codec, options = "nut", "rawvideo", {}  # type: tuple[str, str, dict[str, str]]
        suffix = Path(self.path).suffix.lower()
        if self.path.startswith("/dev/video"):
            with telling(self.name):
                container = av.open(self.path, "w", format="v4l2")
                self._video = LiveVideo(container, image, self._rate(), codec, {})
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
            self._video = LiveVideo(container, image, self._rate(), codec, options)
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
                say(f"{self.name} has no reader yet; waiting for one")
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


def sink_for(path: str, rate: Callable[[], float], stopped: Callable[[], bool]) -> Sink:
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
