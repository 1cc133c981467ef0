"""One frame after the other: detect, track, paint, apply rules, blur, write events, draw.

A rule has a clock for each track, which runs while its conditions hold.

Of live images a watch also saves states by the clock, writes the video in parts and the page, and removes old files.
"""

import contextlib
import logging
import threading
import time as clocks
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco import imaging
from calco.annotations.detections import Detections
from calco.detection.network import DetectorProtocol
from calco.imaging import Image
from calco.journal import Journal
from calco.outputs import Outputs
from calco.video.capture import Capture
from calco.video.live import open_sinks, play
from calco.video.pipeline import RenderedFrame
from calco.video.reading import Frame
from calco.video.recorded import StateStore, VideoStep
from calco.video.sinks import LiveSink, VideoFile, fitted
from calco.video.sources import LiveStatus
from calco.watch.config import WatchConfig
from calco.watch.hooks import Hooks
from calco.watch.painting import FaceBlur, Painter, Scene, lay_over, window_of
from calco.watch.rules import Near, Rule, Rules, inside, touches
from calco.watch.tracking import Floats, Track, Tracker, rounded_box

FORMAT: Final = 1
"""Version of events."""
_SAVED_EVERY: Final = 5.0  # seconds between two states; one more after each event
_SKIPPED_IDS: Final = 1000  # track numbers that may have been given after the last state
_PAGE_EVERY: Final = 60.0  # seconds between two pages of the timeline


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule that is fulfilled."""

    rule: Rule
    track: Track  # the object that fulfils it
    held: float  # seconds for which it has held
    # objects near it, each with its distance in box heights, the nearest first
    others: tuple[tuple[Track, float], ...] = ()

    def event(self, number: int, *, time: float, frame: int, clock: str | None, crop: str) -> dict[str, Any]:
        """Return the event as it is written and as a hook gets it; `clock` is the time of day of live images."""
        track, rule = self.track, self.rule
        near = [{"track": other.id, "class": other.name, "score": round(other.score, 4),
                 "box": rounded_box(other.box), "distance": round(distance, 3)}
                for other, distance in self.others]  # fmt: skip
        return {
            "format": FORMAT, "event": number, "rule": rule.name, "time": round(time, 3),
            **({} if clock is None else {"clock": clock}),
            "frame": frame, "track": track.id, "class": track.name, "score": round(track.score, 4),
            "held": round(self.held, 3), "zone": rule.zone or None, "box": rounded_box(track.box), "near": near,
            "crop": crop,
        }  # fmt: skip


@dataclass(slots=True)
class _Clock:
    since: float  # seconds at which the conditions began to hold
    last: float  # and at which they last held
    fired: float | None = None  # and at which an event was raised


class Judge:
    """Applies rules to the tracks of each frame, in images of one size (pixels)."""

    def __init__(self, rules: Rules, size_wh: tuple[int, int]) -> None:
        self.rules, self.size_wh = rules, size_wh
        self._clocks: dict[str, dict[int, _Clock]] = {}
        self._cooling: dict[str, float] = {}  # by rule, seconds of its last event
        self._corners = {name: zone.pixels(*size_wh) for name, zone in rules.zones.items()}

    def __call__(self, tracks: Sequence[Track], time: float) -> list[Verdict]:
        """Return the rules that the tracks in view fulfil now, and did not just before."""
        verdicts: list[Verdict] = []
        for rule in self.rules.rules:
            clocks = self._clocks.setdefault(rule.name, {})
            for track in tracks:
                others = self._holds(rule, track, tracks)
                if others is None:
                    continue
                clock = clocks.setdefault(track.id, _Clock(time, time))
                if time - clock.last > rule.pause + 1e-9:
                    clock.since = time
                clock.last = time
                before = self._cooling.get(rule.name) if rule.once else clock.fired
                is_cool = before is None or time - before >= rule.cool_down
                if time - clock.since >= rule.seconds - 1e-9 and is_cool:
                    clock.fired = self._cooling[rule.name] = time
                    verdicts.append(Verdict(rule, track, time - clock.since, others))
            self._clocks[rule.name] = {  # so that memory is bounded over weeks
                number: clock for number, clock in clocks.items()
                if time - clock.last <= rule.pause or (clock.fired is not None and time - clock.fired < rule.cool_down)
            }  # fmt: skip
        return verdicts

    def _holds(self, rule: Rule, track: Track, tracks: Sequence[Track]) -> tuple[tuple[Track, float], ...] | None:
        """Return the objects near a track for which a rule holds at this moment; None if it does not hold."""
        if (rule.classes and track.name not in rule.classes) or track.score < rule.score:
            return None
        if rule.zone and not self._is_in(rule, track):
            return None
        return () if rule.near is None else near(rule.near, track, tracks) or None

    def _is_in(self, rule: Rule, track: Track) -> bool:
        corners, (left, top, right, bottom) = self._corners[rule.zone], (float(end) for end in track.box)
        if rule.place == "touch":
            return touches(corners, track.box)
        # The lower edge of a box that reaches below the image is its last row.
        down = min(bottom, self.size_wh[1] - 1e-3) if rule.place == "foot" else (top + bottom) / 2
        return inside(corners, (left + right) / 2, down)

    def state(self) -> dict[str, Any]:
        """Return all clocks, as JSON can hold them."""
        clocks = {
            rule: [[number, *astuple(clock)] for number, clock in clocks.items()]
            for rule, clocks in self._clocks.items()
        }
        return {"clocks": clocks, "cooling": self._cooling}

    def recall(self, state: dict[str, Any]) -> None:
        """Continue from a state; clocks of rules that are gone are dropped."""
        names = {rule.name for rule in self.rules.rules}
        self._clocks = {
            rule: {number: _Clock(*times) for number, *times in clocks}
            for rule, clocks in state["clocks"].items() if rule in names
        }  # fmt: skip
        self._cooling = {rule: time for rule, time in state["cooling"].items() if rule in names}


def near(wanted: Near, track: Track, tracks: Sequence[Track]) -> tuple[tuple[Track, float], ...]:
    """Return the tracks of some classes that are close to one, with the distance in its box heights, nearest first."""
    others = [
        each for each in tracks if each.name in wanted.classes and each.score >= wanted.score and each is not track
    ]
    if not others:
        return ()
    height = max(1.0, float(track.box[3] - track.box[1]))
    far = gaps(track.box, np.array([each.box for each in others])) / height
    close = [(others[i], float(far[i])) for i in np.flatnonzero(far <= wanted.within)]
    return tuple(sorted(close, key=lambda pair: (pair[1], pair[0].id)))


def gaps(box: Floats, boxes: Floats) -> Floats:
    """Return the pixels between a box and each of others (N x 4); 0 where they touch or overlap."""
    apart = np.maximum(np.maximum(box[:2] - boxes[:, 2:], boxes[:, :2] - box[2:]), 0.0)
    return np.hypot(apart[:, 0], apart[:, 1])


LOG = logging.getLogger(__name__)

_SHOWN: Final = 0.3  # seconds for which an object that is hidden is still shown, painted and judged
_LOOKS: Final = 3  # in a row that are too far apart, after which it is no outage but the pace


class Stages:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the seconds of what is done within."""
        began = clocks.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += clocks.perf_counter() - began


class Watcher(VideoStep):
    """Watches images of one size that come in the order of time: the step of the loop over frames."""

    every = 100  # frames of a recorded video between two states on disk

    def __init__(
        self, config: WatchConfig, detector: DetectorProtocol, rules: Rules, out: Path, size_wh: tuple[int, int], *,
        painter: Painter | None = None, blur: FaceBlur | None = None, hooks: Hooks | None = None,
    ) -> None:  # fmt: skip
        self.config, self.size_wh, self.detector, self.out = config, size_wh, detector, out
        self.painter, self.blur, self.hooks = painter, blur, hooks
        self.stages = Stages()
        self.frame, self.time, self.is_busy = 0, 0.0, False
        self.raised: dict[str, int] = {}
        self.tracker = Tracker(config.score or detector.threshold, config.track)
        self.judge = Judge(rules, size_wh)
        self.scene = Scene(rules, size_wh, tuple(detector.classes))
        self.journals = {name: Journal(out / f"{name}.jsonl", sync=True) for name in ("events", "tracks")}
        self._looked: float | None = None  # seconds of the last look
        self._far_apart = 0  # looks in a row that came later than tracks last

    def __call__(self, frames: Sequence[Frame]) -> list[RenderedFrame]:
        """Watch frames of a recorded video."""
        return [RenderedFrame(frame, self.watch(frame.image, float(frame.time))) for frame in frames]

    def watch(self, image: Image, time: float, clock: str | None = None) -> Image:
        """Watch a frame (HW3 `uint8`), write the events that it raises, and return it annotated.

        `time` is in seconds from the beginning; `clock` is the time of day in ISO 8601, of live images.
        """
        stages, config = self.stages, self.config
        found: Detections | None = None
        if self.frame % config.every == 0:
            with stages("detect"):
                found = self.detector.many([image], threshold=self.tracker.lowest)[0]
        with stages("track"):
            self.tracker.predict(time)
            if found is not None:
                self._check_pace(time)
                self.tracker.update(found, image)
            self.tracker.step_trails()
            # Where not every frame is looked at, objects in view stay so until the next look.
            between = 1.5 * config.every * max(0.0, time - self.time) if config.every > 1 else 0.0
            shown = self.tracker.shown(max(_SHOWN, between))
        with stages("paint"):
            painted = self.painter(image, shown, self.frame) if self.painter else {}
        with stages("rules"):
            verdicts = self.judge(shown, time)
        with stages("blur"):
            clean = self._without_faces(image, found)
        with stages("events"):
            for verdict in verdicts:
                self._raise(verdict, clean, time, clock)
            self._write_ended()
        with stages("draw"):
            drawn = clean.copy() if self.blur is None else clean
            lay_over(drawn, shown, painted)
            if self.blur is not None and self.painter is not None and self.painter.palette is None:
                drawn = self._without_faces(drawn, found)  # a translator that makes images makes faces too
            drawn = self.scene(drawn, shown, painted, time)
        self.is_busy, self.frame, self.time = bool(verdicts), self.frame + 1, time
        return drawn

    def _check_pace(self, time: float) -> None:
        """Warn once if looks are so far apart that no track lives from one to the next: no rule would ever hold."""
        gap, before, self._looked = self.config.track.gap, self._looked, time
        if before is None or self._far_apart >= _LOOKS:
            return
        self._far_apart = self._far_apart + 1 if time - before > gap else 0
        if self._far_apart == _LOOKS:
            remedy = "a smaller --every, or " if self.config.every > 1 else ""
            LOG.warning(
                f"the detector looks every {time - before:.1f} s, and tracks end after --gap {gap:g} s: nothing can be "
                f"followed and no rule holds; give {remedy}--gap {2 * (time - before):.1f}"
            )

    def _without_faces(self, image: Image, found: Detections | None) -> Image:
        """Blur the heads of all that was found, with a high or a low score, and of all that is followed."""
        if self.blur is None:
            return image
        people = [(track.name, track.box) for track in self.tracker.tracks]
        if found is not None:
            people += [(name, box.astype(np.float64)) for name, box in zip(found.classes, found.boxes, strict=True)]
        return self.blur(image, people)

    def _raise(self, verdict: Verdict, clean: Image, time: float, clock: str | None) -> None:
        """Write an event and its crop, and have the hook called."""
        number, rule = self.journals["events"].count + 1, verdict.rule.name
        boxes = np.array([verdict.track.box, *(other.box for other, _ in verdict.others)])
        whole = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
        left, top, right, bottom = window_of(whole, self.config.margin, *self.size_wh)
        crop = f"crops/{number:06d}.jpg" if right > left and bottom > top else ""
        if crop:
            imaging.write(self.out / crop, clean[top:bottom, left:right])
        event = verdict.event(number, time=time, frame=self.frame, clock=clock, crop=crop)
        self.journals["events"].add(event)
        self.raised[rule] = self.raised.get(rule, 0) + 1
        self.scene.alarms.append((time, verdict.track.id, rule))
        if self.hooks is not None:
            self.hooks.put(event)

    def _write_ended(self) -> None:
        for track in self.tracker.taken():
            self.journals["tracks"].add(track.record())

    def finish(self) -> None:
        """Write the tracks that are still followed, as ended."""
        self.tracker.end_all()
        self._write_ended()

    def state(self) -> dict[str, Any]:
        """Return everything that the next frame depends on, and how far the files have come."""
        return {
            "frame": self.frame, "before": self.time, "tracker": self.tracker.state(), "judge": self.judge.state(),
            "alarms": self.scene.alarms, "raised": self.raised,
            **{name: lines.state() for name, lines in self.journals.items()},
        }  # fmt: skip

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a state; events and tracks written since are cut off, and will be written again."""
        self.frame, self.time, self.raised = state["frame"], state["before"], dict(state["raised"])
        self.tracker.recall(state["tracker"])
        self.judge.recall(state["judge"])
        self.scene.alarms = [(time, track, rule) for time, track, rule in state["alarms"]]
        for name, lines in self.journals.items():
            lines.recall(state[name])


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
