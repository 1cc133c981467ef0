"""A watch of live images: states by the clock, parts of the video, a page, and old files removed."""

import contextlib
import threading
import time as clocks
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from calco.imaging import Image
from calco.outputs import Outputs
from calco.video.capture import Capture
from calco.video.live import open_sinks, play
from calco.video.reading import Frame
from calco.video.recorded import StateStore
from calco.video.sinks import LiveSink, VideoFile, fitted
from calco.video.sources import LiveStatus
from calco.watch.config import WatchConfig
from calco.watch.watcher import Watcher

_SAVED_EVERY: Final = 5.0  # seconds between two states; one more after each event
_SKIPPED_IDS: Final = 1000  # track numbers that may have been given after the last state
_PAGE_EVERY: Final = 60.0  # seconds between two pages of the timeline


class VideoParts:
    """A live video in parts of some minutes, each named by the time of day (UTC), so that no file grows for ever."""

    name = "the video"

    def __init__(self, folder: Path, minutes: float, rate: Callable[[], float]) -> None:
        self.folder, self.seconds, self.rate = folder, 60 * minutes, rate
        self._part: VideoFile | None = None
        self._until = 0.0

    def write(self, image: Image, seconds: float) -> bool:
        """Add a frame; raise a `CalcoError` if it cannot be written."""
        if self._part is not None and seconds >= self._until:
            self.close()
        if self._part is None:
            path = self.folder / f"video-{datetime.now(UTC):%Y%m%d-%H%M%S}.mp4"
            self._part = VideoFile(str(path), self.rate)
            self._until = seconds + self.seconds
        return self._part.write(image, seconds)

    def close(self) -> None:
        """End the part that is written."""
        part, self._part = self._part, None
        if part is not None:
            part.close()


class LiveWatch:
    """Watches a live source that has not started: the step of `play`."""

    def __init__(
        self, config: WatchConfig, capture: Capture, states: StateStore, outputs: Outputs,
        make: Callable[[tuple[int, int]], Watcher], write_page: Callable[[Watcher], Any],
    ) -> None:  # fmt: skip
        """Load the newest state; `make` makes the watcher, once the size of the images is known."""
        self.config, self.capture, self.states, self.outputs = config, capture, states, outputs
        self.status = LiveStatus()
        self.watcher: Watcher | None = None
        self._make, self._write_page = make, write_page
        kept = states.newest()
        self._state = None if kept is None else kept[1]
        # When the watch first began, seconds since 1970. The clock of the day may be set while it runs; seconds must
        # not jump, so it is read once.
        self._began = clocks.time() if self._state is None else self._state["began"]
        since = max(clocks.time() - self._began, 0.0 if self._state is None else self._state["time"])
        self._saved = self._paged = clocks.monotonic()
        self._base = since - self._saved

    def run(self, stop: threading.Event, progress: Callable[[LiveStatus], None]) -> None:
        """Watch until the source ends, somebody stops it, or the seconds are over."""
        sinks: list[LiveSink] = []
        if self.config.video:
            sinks.append(VideoParts(self.outputs.folder, self.config.video_minutes, lambda: self.capture.rate))
        title = f"{self.capture.source.name}, watched"
        sinks += open_sinks(self.capture, self.status, title, page=self.config.page)
        try:
            play(self.capture, self, sinks, status=self.status, progress=progress, stop=stop)
        finally:
            if self.watcher is not None:
                self.watcher.finish()
                self._save(self.watcher, clocks.time() - self._began)

    def __call__(self, frame: Frame) -> Image:
        """Watch a frame; return it annotated."""
        if self.watcher is None:
            self.watcher = self._make((frame.image.shape[1], frame.image.shape[0]))
            _resume(self.watcher, self._state)
        image = fitted(frame.image, self.watcher.size_wh)  # the zones keep their places when a source changes its size
        time = self._base + clocks.monotonic()
        annotated = self.watcher.watch(image, time, datetime.now(UTC).isoformat(timespec="milliseconds"))
        now = clocks.monotonic()
        if self.watcher.is_busy or now - self._saved >= _SAVED_EVERY:
            self._saved = now
            self._save(self.watcher, time)
        if now - self._paged >= _PAGE_EVERY:
            self._paged = now
            remove_old(self.outputs, self.config.keep_hours)
            with self.watcher.stages("page"):
                self._write_page(self.watcher)
        return annotated

    def _save(self, watcher: Watcher, time: float) -> None:
        with watcher.stages("state"):
            state = {"watcher": watcher.state(), "time": time, "began": self._began}
            self.states.save(watcher.frame, state, safe=watcher.frame)


def remove_old(outputs: Outputs, hours: float) -> int:
    """Remove the watch's own crops and videos that are older than so many hours, 0 for none; return their number."""
    folder, gone = outputs.folder, 0
    for path in (*folder.glob("crops/*.jpg"), *folder.glob("video-*.mp4")) if hours else ():
        with contextlib.suppress(OSError):
            if clocks.time() - path.stat().st_mtime > 3600 * hours and outputs.owns(path):
                gone += outputs.remove(path)
    return gone


def _resume(watcher: Watcher, state: dict[str, Any] | None) -> None:
    """Continue from a state; events written since stay, for they have been seen and cannot be seen again."""
    inner = watcher.state() if state is None else dict(state["watcher"])
    missed = sum(lines.count - inner[name][1] for name, lines in watcher.journals.items())
    inner |= {name: lines.state() for name, lines in watcher.journals.items()}
    if state is not None or missed:
        inner["tracker"] = {**inner["tracker"], "next": inner["tracker"]["next"] + _SKIPPED_IDS}
    watcher.resume(inner)
