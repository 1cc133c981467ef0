"""A watch over live images: always the newest, states kept by the clock, the video in parts."""

import contextlib
import threading
import time as clocks
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from calco.console import say, warn
from calco.imaging import Image
from calco.outputs import Outputs
from calco.video.browser import Page
from calco.video.capture import Capture
from calco.video.pipeline import Done, live
from calco.video.sinks import Sink, VideoFile, fitted
from calco.watch.config import WatchConfig
from calco.watch.watcher import Memory, Watcher

_KEPT_EVERY: Final = 5.0  # seconds between two states on disk; one more after each event
_SKIPPED: Final = 1000  # numbers of tracks that may have been given after the last state
_PAGE_EVERY: Final = 60.0  # seconds between two pages of the timeline


class VideoParts:
    """A live video in parts of some minutes, each with its own name, so that no file grows for ever."""

    name = "the video"

    def __init__(self, folder: Path, minutes: float, rate: Callable[[], float]) -> None:
        """Prepares it.

        Args:
            folder: Where the parts are put, named by the time of day at which they begin (UTC).
            minutes: Of a part.
            rate: Tells the frames in a second of the source, once it is open.
        """
        self.folder, self.seconds, self.rate = folder, 60 * minutes, rate
        self._part: VideoFile | None = None
        self._until = 0.0

    def write(self, image: Image, seconds: float) -> bool:
        """Adds a frame.

        Raises:
            CalcoError: When it cannot be written.
        """
        if self._part is not None and seconds >= self._until:
            self.close()
        if self._part is None:
            path = self.folder / f"video-{datetime.now(UTC):%Y%m%d-%H%M%S}.mp4"
            number = 1
            while path.exists():
                number += 1
                path = path.with_name(f"video-{datetime.now(UTC):%Y%m%d-%H%M%S}-{number}.mp4")
            self._part = VideoFile(str(path), self.rate)
            self._until = seconds + self.seconds
        return self._part.write(image, seconds)

    def close(self) -> None:
        """Ends the part that is written."""
        part, self._part = self._part, None
        if part is not None:
            part.close()


@dataclass
class Lived:
    """What came of it: as `video.live` counts it, and when the watch first began, in seconds since 1970."""

    done: Done = field(default_factory=Done)
    began: float = 0.0


@dataclass
class LiveWatch:
    """Watches a source as it comes.

    Attributes:
        config: As it was told.
        capture: The source, not yet started.
        memory: Where states are kept.
        make: Makes the watcher, once the size of the images is known.
        write_page: Writes the timeline.
    """

    config: WatchConfig
    capture: Capture
    memory: Memory
    make: Callable[[tuple[int, int]], Watcher]
    write_page: Callable[[Watcher], Any]
    watcher: Watcher | None = None
    _told: bool = False

    def run(self, outputs: Outputs, stop: threading.Event, lived: Lived, progress: Callable[[Done], None]) -> Lived:
        """Watches until the source ends, somebody stops it, or the seconds are over.

        Args:
            outputs: The folder of the watch.
            stop: Set by others to stop.
            lived: Where it is counted.
            progress: Called after each frame.

        Raises:
            CalcoError: When the source cannot be opened or has not come back, or something cannot be written.
        """
        kept = self.memory.newest()
        state = None if kept is None else kept[1]
        lived.began = clocks.time() if state is None else state["began"]
        # The clock of the day may be set while we watch; seconds must not jump, so it is read once.
        base = max(clocks.time() - lived.began, 0.0 if state is None else state["time"]) - clocks.monotonic()
        last_kept = last_page = clocks.monotonic()

        def draw(image: Image) -> Image:
            nonlocal last_kept, last_page
            size = (image.shape[1], image.shape[0])
            if self.watcher is None:
                self.watcher = self.make(size)
                _recall(self.watcher, state)
            elif size != self.watcher.size_wh:
                image = self._as_before(image, self.watcher.size_wh)
            time = base + clocks.monotonic()
            drawn = self.watcher(image, time, datetime.now(UTC).isoformat(timespec="milliseconds"))
            now = clocks.monotonic()
            if self.watcher.busy or now - last_kept >= _KEPT_EVERY:
                last_kept = now
                self._keep(self.watcher, time, lived)
            if now - last_page >= _PAGE_EVERY:
                last_page = now
                forget(outputs, self.config.keep_hours)
                with self.watcher.stages("page"):
                    self.write_page(self.watcher)
            return drawn

        sinks = self._sinks(outputs.folder, lived.done)
        live(draw, self.capture, sinks, seconds=self.config.seconds, progress=progress, done=lived.done, stop=stop)
        return lived

    def _as_before(self, image: Image, size_wh: tuple[int, int]) -> Image:
        """An image of a source that has changed its size, in the one in which the zones stand."""
        if not self._told:
            self._told = True
            warn(
                f"{self.capture.origin.name} now gives {image.shape[1]}x{image.shape[0]}; brought to "
                f"{size_wh[0]}x{size_wh[1]}, with which the watch began"
            )
        return fitted(image, size_wh)

    def finish(self, lived: Lived) -> None:
        """Writes what is still followed as ended, and the last state."""
        if self.watcher is not None:
            self.watcher.finish()
            self._keep(self.watcher, clocks.time() - lived.began, lived)

    def _keep(self, watcher: Watcher, time: float, lived: Lived) -> None:
        with watcher.stages("state"):
            self.memory.keep(watcher.frame, {"watcher": watcher.state(), "time": time, "began": lived.began},
                             safe=watcher.frame)  # fmt: skip

    def _sinks(self, folder: Path, done: Done) -> list[Sink]:
        sinks: list[Sink] = []
        if self.config.video:
            sinks.append(VideoParts(folder, self.config.video_minutes, lambda: self.capture.rate))
        if self.config.page is not None:
            page = Page(self.config.page, f"{self.capture.origin.name}, watched", done.line)
            sinks.append(page)
            say(f"the page is {page.address}")
        if not sinks:
            sinks.append(_Nowhere())
        return sinks


def forget(outputs: Outputs, hours: float) -> int:
    """Removes crops and parts of the video of the watch that are older than so many hours; 0 keeps them.

    Returns:
        How many were removed. What the watch did not write stays.
    """
    folder, gone = outputs.folder, 0
    for path in (*folder.glob("crops/*.jpg"), *folder.glob("video-*.mp4")) if hours else ():
        with contextlib.suppress(OSError):
            if clocks.time() - path.stat().st_mtime > 3600 * hours and outputs.owns(path):
                gone += outputs.remove(path)
    return gone


class _Nowhere:
    """Nobody looks: events are all that is wanted."""

    name = "nobody"

    def write(self, _image: Image, _seconds: float) -> bool:
        return True

    def close(self) -> None:
        pass


def _recall(watcher: Watcher, state: dict[str, Any] | None) -> None:
    """Goes on from a state; what was written since stays, for it has been seen and cannot be seen again."""
    inner = watcher.state() if state is None else dict(state["watcher"])
    missed = 0
    for name, lines in (("events", watcher.events), ("tracks", watcher.tracks)):
        size, count = inner[name]
        with contextlib.suppress(OSError), lines.path.open("rb") as file:
            file.seek(size)
            data = file.read()
            whole = data.rfind(b"\n") + 1  # a line that a kill cut off is no event
            missed += data[:whole].count(b"\n")
            size, count = size + whole, count + data[:whole].count(b"\n")
        inner[name] = [size, count]
    if state is not None or missed:
        inner["tracker"] = {**inner["tracker"], "next": inner["tracker"]["next"] + _SKIPPED}
    watcher.recall(inner)
