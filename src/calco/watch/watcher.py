"""One frame after the other: detect, follow, paint, judge, blur, write, draw."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from calco import imaging
from calco.annotations.detections import Detections
from calco.console import warn
from calco.detection.contract import DetectorProtocol
from calco.detection.drawing import Drawer, Sizes, draw_label, draw_labels, numbered_colour
from calco.imaging import Image
from calco.journal import Journal
from calco.video.reading import clock
from calco.watch.blurring import FaceBlur
from calco.watch.config import WatchConfig
from calco.watch.events import box_of, event_of
from calco.watch.hooks import Hooks
from calco.watch.judging import Judge, Verdict
from calco.watch.painting import Painted, Painter, outlined, put_back, window_of
from calco.watch.rules import Rules
from calco.watch.tracking import Track, Tracker

ALARM: Final = (230, 30, 40)
_SHOWN: Final = 3.0  # seconds for which an event stays in the image
_ZONE: Final = (255, 255, 255)
_TINT: Final = 0.12


@dataclass
class Scene:
    """Draws frames.

    Attributes:
        rules: Whose zones are drawn.
        size_wh: Of the images, pixels.
        classes: Of the detector, for the colours.
    """

    rules: Rules
    size_wh: tuple[int, int]
    classes: tuple[str, ...]
    alarms: list[tuple[float, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._drawer = Drawer(self.classes, by="track")
        corners = {name: zone.pixels(*self.size_wh) for name, zone in self.rules.zones.items()}
        self._zones = {name: np.round(points).astype(np.int32) for name, points in corners.items()}
        self._tint: tuple[Image, tuple[slice, slice]] | None = None

    def alarm(self, time: float, track: int, rule: str) -> None:
        """Notes an event, which is shown for some seconds."""
        self.alarms.append((time, track, rule))

    def __call__(self, image: Image, tracks: Sequence[Track], painted: Mapping[int, Painted],
                 running: Mapping[int, float], time: float) -> Image:  # fmt: skip
        """Draws a frame.

        Args:
            image: HW3 `uint8`; it is drawn on.
            tracks: Those in view.
            painted: What covers them, by track; it lies in the image already.
            running: For how long a rule has held for them that waits for its seconds, by track.
            time: Seconds.
        """
        self.alarms = [alarm for alarm in self.alarms if time - _SHOWN < alarm[0] <= time]
        sizes = Sizes.of(image)
        self._draw_zones(image, sizes)
        alarmed = {track: rule for _, track, rule in self.alarms}
        for track in tracks:
            colour = ALARM if track.id in alarmed else numbered_colour(track.id)
            if track.id in painted:
                outlined(image, track.box, painted[track.id], colour)
            self._draw_way(image, track, colour, sizes)
        image = self._draw_boxes(image, tracks, alarmed, running, sizes)
        draw_label(image, clock(time), (0, 0), (20, 20, 20), sizes)
        if self.alarms:
            lines = [f"{rule}: #{track}" for _, track, rule in self.alarms[-4:]]
            for n, line in enumerate(reversed(lines)):
                draw_label(image, line, (0, (n + 1) * round(2.1 * 22 * sizes.scale + sizes.gap)), ALARM, sizes)
        return image

    def _draw_zones(self, image: Image, sizes: Sizes) -> None:
        for corners in self._zones.values():
            left, top, width, height = cv2.boundingRect(corners)
            part = image[max(0, top) : top + height, max(0, left) : left + width]
            over = part.copy()
            moved = corners - np.array([max(0, left), max(0, top)], np.int32)
            cv2.fillPoly(over, [moved.astype(np.int32)], _ZONE)
            part[:] = cv2.addWeighted(over, _TINT, part, 1 - _TINT, 0)
            cv2.polylines(image, [corners], True, _ZONE, max(1, sizes.line), cv2.LINE_AA)
        frames = [cv2.boundingRect(corners) for corners in self._zones.values()]
        boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in frames], np.float32).reshape(-1, 4)
        draw_labels(image, boxes, list(self._zones), [_ZONE] * len(boxes), sizes)

    def _draw_way(self, image: Image, track: Track, colour: tuple[int, int, int], sizes: Sizes) -> None:
        if len(track.trail) > 1:
            way = np.round(np.array(track.trail)).astype(np.int32)
            cv2.polylines(image, [way], False, colour, max(1, sizes.line), cv2.LINE_AA)

    def _draw_boxes(self, image: Image, tracks: Sequence[Track], alarmed: Mapping[int, str],
                    running: Mapping[int, float], sizes: Sizes) -> Image:  # fmt: skip
        if not tracks:
            return image
        found = detections_of(tracks).clipped(*self.size_wh)
        labels = []
        for number, name in zip(found.track_ids if found.track_ids is not None else (), found.classes, strict=False):
            seconds = f" {running[int(number)]:.1f} s" if int(number) in running else ""
            labels.append(f"{name} {number}{seconds}")
        for track in tracks:
            if track.id in alarmed:  # below the labels, which must stay readable
                left, top, right, bottom = (round(float(end)) for end in track.box)
                cv2.rectangle(image, (left, top), (right, bottom), ALARM, 4 * sizes.line + 1)
        return self._drawer(image, found, labels)


def detections_of(tracks: Sequence[Track]) -> Detections:
    """Tracks as detections with ids."""
    return Detections(
        boxes=np.array([track.box for track in tracks], np.float32).reshape(-1, 4),
        classes=tuple(track.name for track in tracks),
        scores=np.array([track.score for track in tracks], np.float32),
        track_ids=np.array([track.id for track in tracks], np.int64),
    )


def lay_over(scene: Image, tracks: Sequence[Track], painted: Mapping[int, Painted]) -> None:
    """Puts what was painted back into the image, the nearest objects (those that reach lowest) last."""
    for track in sorted(tracks, key=lambda each: float(each.box[3])):
        if track.id in painted:
            put_back(scene, track.box, painted[track.id])


class Stages:
    """Counts the seconds of each stage; threads may count at once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Counts what is done within."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """Adds to a stage."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def memory_mb() -> float:
    """Megabytes of memory that this process holds now; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


SHOWN: Final = 0.3
"""Seconds for which something that is hidden is still shown, painted and judged."""
_LOOKS: Final = 3  # in a row that are too far apart, after which it is no outage but the pace
_SMALL: Final = 320  # pixels of the longer side of a crop below which it is kept as it is


@dataclass
class Parts:
    """What a watch is put together from.

    Attributes:
        config: As it was told.
        detector: What finds.
        rules: What raises events.
        painter: What paints; None for nothing.
        blur: What makes faces unknowable; None where they stay.
        hooks: What is called for each event; None for nothing.
        out: The folder.
    """

    config: WatchConfig
    detector: DetectorProtocol
    rules: Rules
    painter: Painter | None
    blur: FaceBlur | None
    hooks: Hooks | None
    out: Path


@dataclass
class Watcher:
    """Watches images of one size that come in the order of time.

    Attributes:
        parts: What it is put together from.
        size_wh: Of the images, pixels.
        stages: Where the time goes.
        frame: Frames so far.
        raised: Events so far, by rule.
    """

    parts: Parts
    size_wh: tuple[int, int]
    stages: Stages = field(default_factory=Stages)
    frame: int = 0
    raised: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = self.parts
        config = parts.config
        self.tracker = Tracker(config.score or parts.detector.threshold, config.track)
        self.judge = Judge(parts.rules, self.size_wh)
        self.scene = Scene(parts.rules, self.size_wh, tuple(parts.detector.classes))
        self.events, self.tracks = (Journal(parts.out / f"{name}.jsonl", sync=True) for name in ("events", "tracks"))
        self.busy = False  # whether the last frame raised an event

    def __call__(self, image: Image, time: float, clock: str | None = None) -> Image:
        """Watches a frame, and writes what it raises.

        Args:
            image: HW3 `uint8`.
            time: Seconds from the beginning; later than those of the frame before.
            clock: The time of day in ISO 8601, of live images.

        Returns:
            The annotated frame, HW3 `uint8`.

        Raises:
            CalcoError: When something cannot be written.
        """
        parts, stages = self.parts, self.stages
        found: Detections | None = None
        if self.frame % parts.config.every == 0:
            with stages("detect"):
                found = parts.detector.many([image], threshold=self.tracker.lowest)[0]
        with stages("track"):
            self.tracker.predict(time)
            if found is not None:
                self._check_pace(time)
                self.tracker.update(found, image)
            self.tracker.step_trails()
            shown = self.tracker.shown(max(SHOWN, self._between(time)))
        with stages("paint"):
            painted = parts.painter(image, shown, self.frame) if parts.painter else {}
        with stages("rules"):
            verdicts = self.judge(shown, time)
        with stages("blur"):
            clean = self._without_faces(image, found)
        with stages("events"):
            for verdict in verdicts:
                self._raise(verdict, clean, time, clock)
            self._write_ended(self.tracker.taken())
        with stages("draw"):
            drawn = clean.copy() if clean is image or parts.blur is None else clean
            lay_over(drawn, shown, painted)
            if parts.blur is not None and parts.painter is not None and parts.painter.palette is None:
                drawn = self._without_faces(drawn, found)  # a translator that draws images draws faces too
            drawn = self.scene(drawn, shown, painted, self.judge.holding(time), time)
        self.busy, self.frame, self._before = bool(verdicts), self.frame + 1, time
        return drawn

    _before: float = 0.0
    _looked: float | None = None  # the time of the last look
    _far_apart: int = 0  # looks in a row that came later than tracks last
    _has_warned: bool = False

    def _check_pace(self, time: float) -> None:
        """Warns once if looks are so far apart that no track lives from one to the next: no rule would ever hold."""
        gap, before, self._looked = self.parts.config.track.gap, self._looked, time
        self._far_apart = 0 if before is None or time - before <= gap else self._far_apart + 1
        if before is not None and self._far_apart == _LOOKS and not self._has_warned:
            self._has_warned = True
            remedy = "a smaller --every, or " if self.parts.config.every > 1 else ""
            warn(f"the detector looks every {time - before:.1f} s, and tracks end after --gap {gap:g} s: nothing can "
                 f"be followed and no rule holds; give {remedy}--gap {2 * (time - before):.1f}")  # fmt: skip

    def _between(self, time: float) -> float:
        """Seconds for which objects in view are not looked for, where not every frame is."""
        return 1.5 * self.parts.config.every * max(0.0, time - self._before) if self.parts.config.every > 1 else 0.0

    def _without_faces(self, image: Image, found: Detections | None) -> Image:
        """The image with the heads of all that was found, surely or hardly, and of all that is followed blurred."""
        if self.parts.blur is None:
            return image
        people = [(track.name, track.box) for track in self.tracker.tracks]
        if found is not None:
            people += [(name, box.astype(np.float64)) for name, box in zip(found.classes, found.boxes, strict=True)]
        return self.parts.blur(image, people)

    def _raise(self, verdict: Verdict, clean: Image, time: float, clock: str | None) -> None:
        """Writes an event and its crop, and has the hook called."""
        number = self.events.count + 1
        name = f"crops/{number:06d}.jpg"
        boxes = np.array([verdict.track.box, *(other.box for other, _ in verdict.others)])
        whole = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
        left, top, right, bottom = window_of(whole, self.parts.config.margin, *self.size_wh)
        if right > left and bottom > top:
            imaging.write(self.parts.out / name, clean[top:bottom, left:right])
        else:
            name = ""
        event = event_of(number, verdict, time=time, frame=self.frame, clock=clock, crop=name)
        self.events.add(event)
        self.raised[verdict.rule.name] = self.raised.get(verdict.rule.name, 0) + 1
        self.scene.alarm(time, verdict.track.id, verdict.rule.name)
        if self.parts.hooks is not None:
            self.parts.hooks.put(event)

    def _write_ended(self, ended: list[Track]) -> None:
        for track in ended:
            self.tracks.add(
                {"track": track.id, "class": track.name, "first": round(track.first, 3), "last": round(track.last, 3),
                 "seen": track.hits, "score": round(track.score, 4), "best": round(track.best, 4),
                 "box": box_of(track.box)}
            )  # fmt: skip

    def finish(self) -> None:
        """Writes the tracks that are still followed, as ended."""
        self.tracker.end_all()
        self._write_ended(self.tracker.taken())

    def state(self) -> dict[str, Any]:
        """Everything that the next frame depends on, and how far the files have come."""
        painter = self.parts.painter
        return {
            "frame": self.frame, "before": self._before, "tracker": self.tracker.state(), "judge": self.judge.state(),
            "alarms": self.scene.alarms, "raised": self.raised, "events": self.events.state(),
            "tracks": self.tracks.state(), "painter": None if painter is None else painter.state(),
        }  # fmt: skip

    @property
    def time(self) -> float:
        """Seconds of the last frame."""
        return self._before

    @property
    def journals(self) -> dict[str, Journal]:
        """The files of events and ended tracks, by name."""
        return {"events": self.events, "tracks": self.tracks}

    def forget(self) -> None:
        """Cut off all events and tracks: they will be written again."""
        for journal in self.journals.values():
            journal.recall(journal.start)

    def recall(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave; what was written since is cut off, and will be written again.

        Raises:
            CalcoError: When the files are shorter than they were.
        """
        self.frame, self._before, self.raised = state["frame"], state["before"], dict(state["raised"])
        self.tracker.recall(state["tracker"])
        self.judge.recall(state["judge"])
        self.scene.alarms = [(time, track, rule) for time, track, rule in state["alarms"]]
        self.events.recall(state["events"])
        self.tracks.recall(state["tracks"])
        if self.parts.painter is not None and state["painter"] is not None:
            self.parts.painter.recall(state["painter"])


FORMAT: Final = 1
_DIGITS: Final = 12


def digest_of(path: str) -> str:
    """The first 16 hex digits of the SHA-256 of a text file's bytes; empty for no file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else ""
