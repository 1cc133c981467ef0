"""A watch as a step of the loop over frames: recorded, with states by the frame; live, with states by the clock."""

import contextlib
import logging
import threading
import time as clocks
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from calco.imaging import Image
from calco.outputs import Outputs
from calco.video.browser import Page
from calco.video.capture import Capture
from calco.video.live import LiveStatus, play
from calco.video.pipeline import RenderedFrame
from calco.video.reading import Frame, Video
from calco.video.recorded import StateStore, Stopped, VideoRun, VideoStep
from calco.video.sinks import LiveSink, VideoFile, fitted
from calco.video.writing import VideoWriter
from calco.watch.config import WatchConfig
from calco.watch.watcher import Watcher, memory_mb

_log = logging.getLogger(__name__)

KEPT_EVERY: Final = 100
"""Frames of a recorded video between two states on disk."""
_QUALITY: Final = 24  # constant rate factor: letters stay sharp, and hours fit on a disk
_SAVED_EVERY: Final = 5.0  # seconds between two states of a live watch; one more after each event
_SKIPPED_IDS: Final = 1000  # track numbers that may have been given after the last state of a live watch
_PAGE_EVERY: Final = 60.0  # seconds between two pages of the timeline


class WatchStep(VideoStep):
    """Shows recorded frames to a watcher."""

    def __init__(self, watcher: Watcher) -> None:
        """Create it from the watcher."""
        self.watcher, self.every = watcher, KEPT_EVERY

    def __call__(self, frames: Sequence[Frame]) -> list[RenderedFrame]:
        """Watch frames."""
        return [RenderedFrame(frame, self.watcher(frame.image, float(frame.time))) for frame in frames]

    def state(self) -> dict[str, Any]:
        """Return the watcher's state."""
        return self.watcher.state()

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a state; what was written since is cut off, and will be written again."""
        self.watcher.recall(state)

    def finish(self) -> None:
        """Write the tracks that are still followed."""
        self.watcher.finish()


@dataclass
class RecordedResult:
    """Result of watching a recorded video.

    Attributes:
        frames: Number of frames watched now.
        kept: Number of frames that were done before.
        seconds: Seconds of the work.
        memory: Megabytes at the end of each pass.
        stopped: Seconds of the video at which somebody stopped it; None at its end.
        notes: What was wrong with the video, a sentence each.
    """

    frames: int = 0
    kept: int = 0
    seconds: float = 0.0
    memory: list[float] = field(default_factory=list)
    stopped: float | None = None
    notes: list[str] = field(default_factory=list)


def watch_video(
    video: Video, watcher: Watcher, states: StateStore, *, target: Path | None, passes: int,
    stop: threading.Event, progress: Callable[[int, int | None], None],
) -> RecordedResult:  # fmt: skip
    """Watch a recorded video to its end, or until somebody stops it.

    Args:
        video: What is watched.
        watcher: What watches it.
        states: Where states are kept.
        target: The annotated video; None for none. It is put in place when all is done.
        passes: Number of passes over the video.
        stop: Set by others to stop.
        progress: Called with the number of frames done, and of how many.

    Raises:
        CalcoError: If the video cannot be read, or something cannot be written.
    """
    began, result = clocks.monotonic(), RecordedResult()

    def run(writer: VideoWriter | None) -> None:
        work = VideoRun(video, WatchStep(watcher), writer, states=states, passes=passes,
                        passed=lambda: result.memory.append(memory_mb()))  # fmt: skip
        if not work.kept:
            watcher.forget()
        result.kept = work.kept
        try:
            work.run(lambda done: progress(done, work.total), stop)
        finally:
            result.frames = work.frames
            watcher.stages.add("decode (beside)", work.decode_seconds)
            watcher.stages.add("encode (beside)", work.encode_seconds)

    try:
        if target is None or target.exists():
            run(None)
        else:
            with VideoWriter(
                target, video.size, rate=video.rate, quality=_QUALITY, made_by={**states.made_by, "watch": True},
                again="the same command with --resume",
            ) as writer:  # fmt: skip
                run(writer)
    except Stopped:
        result.stopped = watcher.time
    result.seconds = clocks.monotonic() - began
    result.notes = [*video.notes, *(f"{video.path}: {what}" for what in video.damage)]
    return result


class VideoParts:
    """A live video in parts of some minutes, each with its own name, so that no file grows for ever."""

    name = "the video"

    def __init__(self, folder: Path, minutes: float, rate: Callable[[], float]) -> None:
        """Prepare it.

        Args:
            folder: Where the parts are put, named by the time of day at which they begin (UTC).
            minutes: Minutes of a part.
            rate: Returns the frames a second of the source, once it is open.
        """
        self.folder, self.seconds, self.rate = folder, 60 * minutes, rate
        self._part: VideoFile | None = None
        self._until = 0.0

    def write(self, image: Image, seconds: float) -> bool:
        """Add a frame.

        Raises:
            CalcoError: If it cannot be written.
        """
        if self._part is not None and seconds >= self._until:
            self.close()
        if self._part is None:
            stem, number = f"video-{datetime.now(UTC):%Y%m%d-%H%M%S}", 1
            path = self.folder / f"{stem}.mp4"
            while path.exists():
                number += 1
                path = path.with_name(f"{stem}-{number}.mp4")
            self._part = VideoFile(str(path), self.rate)
            self._until = seconds + self.seconds
        return self._part.write(image, seconds)

    def close(self) -> None:
        """End the part that is written."""
        part, self._part = self._part, None
        if part is not None:
            part.close()


@dataclass
class LiveWatch:
    """Watches a live source: a step for `play`.

    Attributes:
        config: Settings of the watch.
        capture: The source, not yet started.
        states: Where states are kept.
        outputs: The folder of the watch.
        make: Makes the watcher, once the size of the images is known.
        write_page: Writes the timeline.
        status: Where frames are counted.
        began: When the watch first began, seconds since 1970.
        watcher: What watches; None before the first frame.
    """

    config: WatchConfig
    capture: Capture
    states: StateStore
    outputs: Outputs
    make: Callable[[tuple[int, int]], Watcher]
    write_page: Callable[[Watcher], Any]
    status: LiveStatus = field(default_factory=LiveStatus)
    began: float = 0.0
    watcher: Watcher | None = None
    _has_warned: bool = False

    def __post_init__(self) -> None:
        kept = self.states.newest()
        self._state = None if kept is None else kept[1]
        self.began = clocks.time() if self._state is None else self._state["began"]
        # The clock of the day may be set while we watch; seconds must not jump, so it is read once.
        since = max(clocks.time() - self.began, 0.0 if self._state is None else self._state["time"])
        self._saved = self._paged = clocks.monotonic()
        self._base = since - self._saved

    def run(self, stop: threading.Event, progress: Callable[[LiveStatus], None]) -> None:
        """Watch until the source ends, somebody stops it, or the seconds are over.

        Raises:
            CalcoError: If the source cannot be opened or has not come back, or something cannot be written.
        """
        try:
            play(self.capture, self, self._sinks(), status=self.status, progress=progress, stop=stop)
        finally:
            if self.watcher is not None:
                self.watcher.finish()
                self._save(self.watcher, clocks.time() - self.began)

    def __call__(self, frame: Frame) -> Image:
        """Watch a frame; return it annotated."""
        image, size = frame.image, (frame.image.shape[1], frame.image.shape[0])
        if self.watcher is None:
            self.watcher = self.make(size)
            _resume(self.watcher, self._state)
        elif size != self.watcher.size_wh:
            image = self._as_before(image, self.watcher.size_wh)
        time = self._base + clocks.monotonic()
        drawn = self.watcher(image, time, datetime.now(UTC).isoformat(timespec="milliseconds"))
        now = clocks.monotonic()
        if self.watcher.busy or now - self._saved >= _SAVED_EVERY:
            self._saved = now
            self._save(self.watcher, time)
        if now - self._paged >= _PAGE_EVERY:
            self._paged = now
            remove_old(self.outputs, self.config.keep_hours)
            with self.watcher.stages("page"):
                self.write_page(self.watcher)
        return drawn

    def _as_before(self, image: Image, size_wh: tuple[int, int]) -> Image:
        """An image of a source that has changed its size, in the one in which the zones stand."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                f"{self.capture.source.name} now gives {image.shape[1]}x{image.shape[0]}; brought to "
                f"{size_wh[0]}x{size_wh[1]}, with which the watch began"
            )
        return fitted(image, size_wh)

    def _save(self, watcher: Watcher, time: float) -> None:
        with watcher.stages("state"):
            self.states.save(watcher.frame, {"watcher": watcher.state(), "time": time, "began": self.began},
                             safe=watcher.frame)  # fmt: skip

    def _sinks(self) -> list[LiveSink]:
        sinks: list[LiveSink] = []
        if self.config.video:
            sinks.append(VideoParts(self.outputs.folder, self.config.video_minutes, lambda: self.capture.rate))
        if self.config.page is not None:
            page = Page(self.config.page, f"{self.capture.source.name}, watched", self.status.line)
            sinks.append(page)
            _log.info(f"the page is {page.address}")
        return sinks


def remove_old(outputs: Outputs, hours: float) -> int:
    """Remove crops and parts of the video of the watch that are older than so many hours; 0 keeps them.

    Returns:
        Number of files that were removed. What the watch did not write stays.
    """
    folder, gone = outputs.folder, 0
    for path in (*folder.glob("crops/*.jpg"), *folder.glob("video-*.mp4")) if hours else ():
        with contextlib.suppress(OSError):
            if clocks.time() - path.stat().st_mtime > 3600 * hours and outputs.owns(path):
                gone += outputs.remove(path)
    return gone


def _resume(watcher: Watcher, state: dict[str, Any] | None) -> None:
    """Continue from a state; what was written since stays, for it has been seen and cannot be seen again."""
    inner = watcher.state() if state is None else dict(state["watcher"])
    missed = sum(lines.count - inner[name][1] for name, lines in watcher.journals.items())
    inner |= {name: lines.state() for name, lines in watcher.journals.items()}
    if state is not None or missed:
        inner["tracker"] = {**inner["tracker"], "next": inner["tracker"]["next"] + _SKIPPED_IDS}
    watcher.recall(inner)
