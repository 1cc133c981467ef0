"""A watch over a video: read ahead, watched, encoded, and gone on with where it stopped."""

import os
import threading
import time as clocks
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

from calco.errors import CalcoError
from calco.imaging import Image
from calco.video.pipeline import ahead, pump
from calco.video.reading import Video
from calco.video.writing import VideoWriter
from calco.watch.watcher import Memory, Watcher, memory_mb

KEPT_EVERY: Final = 100
"""Frames between two states on disk."""

_QUALITY: Final = 24  # constant rate factor: letters stay sharp, and hours fit on a disk

Progress = Callable[[int, int | None], None]


class _Shot(NamedTuple):
    image: Image
    time: Fraction  # from the beginning of the first pass
    loop: int
    local: Fraction  # from the beginning of the video


class _Watched(NamedTuple):
    image: Image
    time: Fraction
    number: int
    state: dict[str, Any] | None


@dataclass
class Played:
    """What came of it.

    Attributes:
        frames: Watched now.
        replayed: Of these, seen again since the last state, to go on exactly.
        kept: Frames that were done before.
        seconds: Of the work.
        memory: Megabytes at the end of each pass.
        stopped: Seconds of the video at which somebody stopped it; None at its end.
        notes: What was wrong with the video.
    """

    frames: int = 0
    replayed: int = 0
    kept: int = 0
    seconds: float = 0.0
    memory: list[float] = field(default_factory=list)
    stopped: float | None = None
    notes: list[str] = field(default_factory=list)


class _Stopped(Exception):
    """Somebody stopped it: what is done stays for going on."""


class Player:
    """Plays a video to a watcher."""

    def __init__(self, video: Video, watcher: Watcher, memory: Memory, *, target: Path | None, loops: int) -> None:
        """Prepares it.

        Args:
            video: What is watched.
            watcher: What watches it.
            memory: Where states are kept.
            target: The annotated video; None for none.
            loops: Passes over the video.
        """
        self.video, self.watcher, self.memory = video, watcher, memory
        self.target, self.loops = target, loops
        self.begin_loop, self.begin_offset = 0, Fraction(0)
        self.after: Fraction | None = None  # local time of the last frame that was seen before
        self.done = Played()

    def play(self, stop: threading.Event, progress: Progress) -> Played:
        """Plays it to its end, or until somebody stops it; under the video's name there is a whole video or none.

        Args:
            stop: Set by others to stop.
            progress: Is told how many frames are done, and of how many.

        Raises:
            CalcoError: When the video cannot be read, or something cannot be written.
        """
        began = clocks.monotonic()
        if self.target is None or self.target.exists():  # it is put in place when all is done
            self._recall(None)
            self._pump(None, stop, progress)
        else:
            made_by = {**self.memory.made_by, "watch": True}
            try:
                with VideoWriter(
                    self.target,
                    self.video.size,
                    rate=self.video.rate,
                    quality=_QUALITY,
                    made_by=made_by,
                    again="the same command with --resume",
                ) as writer:
                    self._recall(writer.done)
                    self._pump(writer, stop, progress)
            except _Stopped:
                pass
        self.done.seconds = clocks.monotonic() - began
        self.done.notes = [*self.video.notes, *(f"{self.video.path}: {what}" for what in self.video.damage)]
        return self.done

    def _recall(self, most: int | None) -> None:
        """Goes on from the newest state that the video reaches."""
        kept = self.memory.newest(most)
        if kept is None:
            self.watcher.events.recall([0, 0])
            self.watcher.tracks.recall([0, 0])
            return
        _, state = kept
        self.watcher.recall(state["watcher"])
        self.begin_loop, self.begin_offset = state["loop"], Fraction(state["offset"])
        self.after = Fraction(state["local"])
        self.done.kept = self.watcher.frame

    def _pump(self, writer: VideoWriter | None, stop: threading.Event, progress: Progress) -> None:
        stages, watcher = self.watcher.stages, self.watcher
        written = 0 if writer is None else writer.done
        total = None if self.video.frames_hint is None else self.video.frames_hint * self.loops

        last: deque[_Shot] = deque(maxlen=1)

        def draw(shot: _Shot) -> _Watched:
            drawn = watcher(shot.image, float(shot.time))
            state = None
            if watcher.frame % KEPT_EVERY == 0:
                state = self._state(shot)
            last.append(shot)
            self.done.frames += 1
            self.done.replayed += watcher.frame <= written
            progress(watcher.frame, total)
            return _Watched(drawn, shot.time, watcher.frame, state)

        def keep(watched: _Watched) -> None:
            if writer is not None and watched.number > written:
                with stages("encode (beside)"):
                    writer.write(watched.image, watched.time)
            if watched.state is not None:
                safe = watched.number if writer is None else writer.safe
                self.memory.keep(watched.number, watched.state, safe=safe)

        width, height = self.video.size
        pump(self._shots(stop), draw, keep, length=min(4, ahead(3 * width * height)))
        if last:
            safe = watcher.frame if writer is None else writer.safe
            if stop.is_set():
                self.done.stopped = float(last[0].time)
            else:
                watcher.finish()
            self.memory.keep(watcher.frame, self._state(last[0]), safe=safe)
        if stop.is_set() and writer is not None:
            raise _Stopped

    def _state(self, shot: _Shot) -> dict[str, Any]:
        return {"watcher": self.watcher.state(), "loop": shot.loop, "offset": str(shot.time - shot.local),
                "local": str(shot.local)}  # fmt: skip

    def _shots(self, stop: threading.Event) -> Generator[_Shot, None, None]:
        """The frames that were not seen yet, pass after pass."""
        offset, after = self.begin_offset, self.after
        for loop in range(self.begin_loop, self.loops):
            local = after or Fraction(0)
            frames = self.video.frames(Fraction(0) if after is None else after)
            began = clocks.perf_counter()
            for frame in frames:
                local = frame.time
                if after is not None and local <= after:
                    began = clocks.perf_counter()
                    continue
                self.watcher.stages.add("decode (beside)", clocks.perf_counter() - began)
                if stop.is_set():
                    return
                yield _Shot(frame.image, offset + local, loop, local)
                began = clocks.perf_counter()
            after = None
            offset += local + 1 / self.video.rate
            self.done.memory.append(memory_mb())


def video_identity(path: str) -> list[Any]:
    """What tells a video from another: its name, bytes and time of change.

    Raises:
        CalcoError: When it is not there.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise CalcoError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; check the path") from error
    return [os.path.basename(path), status.st_size, status.st_mtime_ns]
