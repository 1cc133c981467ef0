"""Recorded videos through a step into a writer, resumed where an interruption stopped them."""

import contextlib
import json
import os
import threading
import time as clocks
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from calco.errors import CalcoError
from calco.files import atomic_write, explain, make_folder, read_json, sweep
from calco.imaging import Image
from calco.video.pipeline import WAITING_BYTES, Recorded, RenderedFrame, run
from calco.video.reading import Frame, Video
from calco.video.writing import NotesWriter, VideoWriter

STATE_FORMAT: Final = 1
_DIGITS: Final = 12  # of a state's file name


class Stopped(Exception):
    """Somebody stopped the work; what is done stays for resuming."""


class VideoStep:
    """Processes the frames of a video, in order.

    A step without memory overrides `__call__` alone. One that only needs to have seen some frames sets `lookback`; one
    whose results depend on all frames before returns its memory from `state`.
    """

    lookback = Fraction(0)
    batch = 1
    every = 0

    def __call__(self, frames: Sequence[Frame]) -> Sequence[RenderedFrame]:
        """Return the result for each frame."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return everything that the next frame depends on, as plain data."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""

    def finish(self) -> None:
        """Note that no further frame comes."""


@dataclass
class StateStore:
    """States of interrupted work in a folder, each with the number of frames that it has seen."""

    folder: Path
    made_by: dict[str, Any]  # plain data that the states depend on: the source, the model, the options

    def save(self, frames: int, state: dict[str, Any], *, safe: int) -> None:
        """Write a state that has seen so many frames, and remove those that nobody will need.

        Everything else (the video) has the first `safe` frames for sure: the newest state at or before them is needed,
        and all later ones.
        """
        make_folder(self.folder)
        record = {"format": STATE_FORMAT, "made_by": self.made_by, "frame": frames, "state": state}
        atomic_write(self._path(frames), json.dumps(record))
        there = self._frames()
        needed = max((each for each in there if each <= safe), default=0)
        for each in there:
            if each < needed:
                self._path(each).unlink(missing_ok=True)

    def newest(self, most: int | None = None) -> tuple[int, dict[str, Any]] | None:
        """Return the newest state and its number of frames, at most `most` of them; None if there is none."""
        frames = [frame for frame in self._frames() if most is None or frame <= most]
        if not frames:
            return None
        path = self._path(max(frames))
        record = read_json(path)
        if record.get("format") != STATE_FORMAT:
            raise CalcoError(
                f"{path} is of format {record.get('format')}, and this Calco reads {STATE_FORMAT}; begin anew with "
                "--overwrite"
            )
        before, now = record["made_by"], json.loads(json.dumps(self.made_by))
        if differs := [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]:
            raise CalcoError(
                f"the work in {self.folder.parent} was begun with another {differs[0].replace('_', '-')}; resume with "
                "the same, or begin anew with --overwrite"
            )
        return max(frames), record["state"]

    def clear(self) -> None:
        """Remove all states."""
        for frame in self._frames():
            self._path(frame).unlink(missing_ok=True)
        sweep(self.folder)

    def _path(self, frame: int) -> Path:
        return self.folder / f"{frame:0{_DIGITS}d}.json"

    def _frames(self) -> list[int]:
        names = (path.stem for path in self.folder.glob("*.json"))
        return sorted(int(name) for name in names if name.isdecimal() and len(name) == _DIGITS)


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a frame: the pass, the seconds before that pass, and its seconds in it; None at the start."""

    playing: int = 0
    offset: Fraction = Fraction(0)
    local: Fraction | None = None


@dataclass
class VideoRun:
    """Passes a video through a step."""

    video: Video
    step: VideoStep
    writer: VideoWriter | NotesWriter | None  # writes them; None for a step that writes by itself
    start: Fraction = Fraction(0)  # seconds of the video at which it begins
    stop: Fraction | None = None  # seconds at which it ends; None for its end
    states: StateStore | None = None  # where the states of a step with a memory are kept
    passes: int = 1  # number of times that the video is played, one after the other in time
    passed: Callable[[], None] = lambda: None  # called at the end of each pass
    shown: Callable[[Image], None] = lambda _image: None  # called with each image that is written, HWC `uint8`
    kept: int = 0  # number of frames that were done before
    frames: int = 0  # number of frames done now, including those that a step saw again to resume
    decode_seconds: float = 0.0
    encode_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Load the state from which the step resumes, at or before the last frame that the writer has."""
        self.kept = 0 if self.writer is None else self.writer.done
        self._place = _Place(local=None if self.writer is None else self.writer.after)
        if self.states is not None:
            kept = self.states.newest(None if self.writer is None else self.writer.done)
            self.kept, self._place = 0, _Place()
            if kept is not None:
                self.kept, state = kept
                self.step.resume(state["step"])
                self._place = _Place(state["pass"], Fraction(state["offset"]), Fraction(state["local"]))

    @property
    def total(self) -> int | None:
        """Number of frames in all, as far as it is known."""
        count = frame_count(self.video, self.start, self.stop)
        return None if count is None else count * self.passes

    def run(self, progress: Callable[[int], None] = lambda _done: None, stop: threading.Event | None = None) -> None:
        """Process the frames that are not there yet; raise `Stopped` if `stop` was set before the end."""
        first, last = self.kept, self._place
        written = 0 if self.writer is None else self.writer.done
        places: dict[int, _Place] = {}

        def step(frames: Sequence[Frame]) -> Iterator[RenderedFrame]:
            nonlocal last
            for result in self.step(frames):
                number = result.frame.number
                last = places.pop(number, last)
                due = self.step.every and (number + 1) % self.step.every == 0
                yield replace(result, state=self._state(last)) if due else result

        def keep(result: RenderedFrame) -> None:
            number = result.frame.number
            if self.writer is not None and number >= written:
                time, began = max(Fraction(0), result.frame.time - self.start), clocks.perf_counter()
                self.writer.write(result.image, time, duration=result.frame.duration, note=result.note)
                self.encode_seconds += clocks.perf_counter() - began
                if result.image is not None:
                    self.shown(result.image)
            if number >= first:
                self.frames += 1
                progress(number + 1)
            if result.state is not None:
                self._save(number + 1, result.state)

        width, height = self.video.size
        length = max(1, min(8 if self.states is None else 4, WAITING_BYTES // (3 * width * height * self.step.batch)))
        run(Recorded(self._coming(places, stop), length), step, [keep], batch=self.step.batch, length=length)
        is_stopped = stop is not None and stop.is_set()
        if not is_stopped:
            self.step.finish()
        if self.frames:
            self._save(first + self.frames, self._state(last))
        if is_stopped:
            raise Stopped

    def _state(self, place: _Place) -> dict[str, Any]:
        return {"step": self.step.state(), "pass": place.playing, "offset": str(place.offset),
                "local": str(place.local)}  # fmt: skip

    def _save(self, frames: int, state: dict[str, Any]) -> None:
        if self.states is not None:
            self.states.save(frames, state, safe=frames if self.writer is None else self.writer.safe)

    def _coming(self, places: dict[int, _Place], stop: threading.Event | None) -> Generator[Frame, None, None]:
        """Yield the frames that are not there yet, pass after pass, after those that the step must see again."""
        number, after, offset = self.kept, self._place.local, self._place.offset
        # Times are compared in the units of what is written.
        unit = self.writer.encoding.time_base if isinstance(self.writer, VideoWriter) else Fraction(1, 1 << 40)
        for playing in range(self._place.playing, self.passes):
            local = after or Fraction(0)
            begin = self.start if after is None else max(self.start, self.start + after - self.step.lookback)
            for frame in self._decoded(begin):
                local = max(Fraction(0), frame.time - self.start)
                is_seen = after is not None and round(local / unit) <= round(after / unit)
                if is_seen and not self.step.lookback:
                    continue
                if stop is not None and stop.is_set():
                    return
                here = self.kept - 1 if is_seen else number
                number += not is_seen
                places[here] = _Place(playing, offset, local)
                yield replace(frame, number=here, time=offset + frame.time)
            after = None
            offset += local + 1 / self.video.rate
            self.passed()

    def _decoded(self, begin: Fraction) -> Generator[Frame, None, None]:
        with contextlib.closing(self.video.frames(begin, self.stop)) as frames:
            while True:
                began = clocks.perf_counter()
                frame = next(frames, None)
                self.decode_seconds += clocks.perf_counter() - began
                if frame is None:
                    return
                yield frame


def frame_count(video: Video, start: Fraction = Fraction(0), stop: Fraction | None = None) -> int | None:
    """Return the number of frames between two times, as far as it is known without reading them."""
    if video.frames_hint is None or video.duration is None:
        return video.frames_hint
    end = video.duration if stop is None else min(video.duration, float(stop))
    return max(1, round(video.frames_hint * (end - float(start)) / video.duration))


def check_begin(video: Video, start: Fraction) -> None:
    """Raise a `CalcoError` if a video is shorter than the time at which it is to begin."""
    if video.duration is not None and float(start) >= video.duration + 1:
        raise CalcoError(
            f"{video.path} is {video.duration:.1f} seconds long, and --from is {float(start):g}; give an earlier time"
        )


def identity_of(path: str) -> list[Any]:
    """Return name, bytes and time of change of a video, which distinguish it from another."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise explain(error, path, "read") from error
    return [os.path.basename(path), status.st_size, status.st_mtime_ns]
