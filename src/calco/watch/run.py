"""A watch from its configuration: a video or live images, into a folder of events, crops, video and timeline.

Its page shows tracks and events over time, each event with its crop, and needs no other file.
"""

import base64
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from calco import files, imaging, journal
from calco.detection.drawing import colour_of
from calco.detection.network import DetectorProtocol
from calco.errors import CalcoError
from calco.files import make_folder, sweep, write_json
from calco.inference.translator import Translator, weights_digest
from calco.journal import Journal
from calco.journal import remove as remove_journal
from calco.outputs import Outputs, writing_folder
from calco.records import to_record, write_yaml
from calco.report.page import Column, Row, Table, write_page
from calco.video.capture import Capture
from calco.video.live import stopping
from calco.video.names import result_folder
from calco.video.reading import Video, clock
from calco.video.recorded import StateStore, Stopped, VideoRun, identity_of
from calco.video.sources import LiveSource, LiveStatus, find_live_source, with_request
from calco.video.writing import VideoWriter, part_of
from calco.watch.config import WatchConfig
from calco.watch.hooks import Command, Hooks, Webhook
from calco.watch.painting import PEOPLE, FaceBlur, Painter
from calco.watch.rules import Rules, read_rules
from calco.watch.watcher import LiveWatch, Watcher

FORMAT: Final = 1
VERB: Final = "calco detect watch"
CROPS: Final = "crops"
STATE: Final = "state"
_PATIENCE: Final = 15.0  # seconds that waiting events are given at the end, beyond one try
_QUALITY: Final = 24  # constant rate factor: letters stay sharp, and hours fit on a disk
_LIVE_ONLY: Final[dict[str, Any]] = {"page": None, "size": None, "rate": 0.0, "seconds": 0.0, "keep_hours": 0.0}
_GROWING: Final = ("events.jsonl", "tracks.jsonl", "hooks.jsonl")
_OWN: Final = (*_GROWING, "watch.json", "timeline.html", "config.yaml", "video.mp4")
# Options that may change when a watch is resumed: they do not change what is found.
_FREE: Final = frozenset({
    "source", "model", "out", "rules", "paint", "resume", "overwrite", "hook", "webhook", "hook_seconds",
    "hook_retries", "runtime", "precision", "page", "patience", "seconds", "device", "video_minutes", "keep_hours",
    "face_model", "size", "rate", "live",
})  # fmt: skip
EVENTS: Final = 500
"""Events on the page, the newest; the file has all."""
TRACKS: Final = 2000
"""Tracks on the page, the newest."""
_SIDE: Final = 360  # pixels of a crop's longer side on the page
_NEAR: Final = 3  # objects near by that a card names, the nearest


@dataclass
class WatchResult:
    """Result of a watch."""

    out: Path
    frames: int = 0  # number of frames watched now
    kept: int = 0  # number of frames that were done before
    seconds: float = 0.0  # seconds of the work
    events: dict[str, int] = field(default_factory=dict)  # number of events by rule, those from before included
    tracks: int = 0  # number of tracks
    # seconds of each stage; those "beside" run in threads of their own
    stages: dict[str, float] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)  # megabytes at the end of each pass over a video
    page: Path | None = None  # the timeline
    stopped: float | None = None  # seconds of the video at which somebody stopped it; None at its end
    notes: list[str] = field(default_factory=list)  # what was wrong with the video, a sentence each
    summary: str = ""  # of live images, how it went

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0

    def record(self, config: WatchConfig) -> dict[str, Any]:
        """Return the content of watch.json."""
        return {
            "format": FORMAT, "frames": self.frames, "kept": self.kept, "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.rate, 2), "events": self.events, "tracks": self.tracks,
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
            "memory_mb": [round(mb, 1) for mb in self.memory or [memory_mb()]],
            "stopped": self.stopped, "notes": self.notes, "faces_blurred": config.blur_faces,
        }  # fmt: skip


def watch(
    config: WatchConfig,
    *,
    detector: DetectorProtocol | None = None,
    translator: Translator | None = None,
    progress: Callable[[int, int | None], None] = lambda _done, _of: None,
    status: Callable[[LiveStatus], None] = lambda _done: None,
    stop: threading.Event | None = None,
) -> WatchResult:
    """Watch a video or live images.

    Args:
        config: Source, detector, rules and options.
        detector: The detector, in place of `config.model`.
        translator: The model that paints, in place of `config.paint`.
        progress: For a video, called with the number of frames that are done, and of how many.
        status: Live, called after each frame with the counts so far.
        stop: Set by others to stop; Ctrl-C and SIGTERM stop it too.

    Returns:
        Counts, events, notes, and the page of the timeline.

    Raises:
        CalcoError: If source, models, rules or folder cannot be used, or something cannot be written.
    """
    if not config.source or not config.out:
        raise CalcoError(
            "a video or camera and --out are needed; for example calco detect watch door.mp4 --out watched"
        )
    origin = asked_origin(config)
    rules = read_rules(config.rules) if config.rules else Rules()
    video = Video(config.source) if origin is None else None
    if video is not None:
        rules.fits_image(*video.size, config.rules)
    detector = detector or _open_detector(config)
    rules.fits(detector.classes, config.rules)
    hook = Command.of(config.hook) if config.hook else Webhook(config.webhook) if config.webhook else None
    blur, painter = _make_blur(config, detector), _make_painter(config, detector, translator)
    made_by = _made_by(config, detector, identity_of(config.source) if origin is None else origin.name)
    with writing_folder(result_folder(config.out), VERB, overwrite=config.overwrite, apart=STATE) as outputs:
        out = outputs.folder
        _prepare_folder(config, outputs)
        states = StateStore(out / STATE, made_by)
        if config.resume:
            states.newest()  # refuses another source or model before anything is begun
        title = Path(config.source).name if origin is None else origin.name
        # Without what may be secret: passwords of cameras, keys in hooks.
        given = {**to_record(config), "hook": "", "webhook": "", "source": config.source if video else title}
        write_yaml(out / "config.yaml", given, "options of calco detect watch, without its hook")
        hooks = None if hook is None else _open_hooks(hook, out, config)
        make = partial(Watcher, config, detector, rules, out, painter=painter, blur=blur, hooks=hooks)
        timeline = Timeline(out, title, rules, tuple(detector.classes), config.blur_faces)
        result = WatchResult(out)
        try:
            with contextlib.ExitStack() as held:
                stop = stop or held.enter_context(stopping())
                if video is not None:
                    watcher = make(video.size)
                    _watch_recorded(video, watcher, states, result, stop, progress)
                    _conclude(watcher, timeline, result, video)
                elif origin is not None:
                    _watch_live(origin, config, make, outputs, states, timeline, result, stop, status)
        finally:
            if hooks is not None:
                hooks.close(config.hook_seconds + _PATIENCE)
        write_json(out / "watch.json", result.record(config))
    return result


def _open_hooks(hook: Command | Webhook, out: Path, config: WatchConfig) -> Hooks:
    """Return what delivers events, with those that an interruption kept from being delivered."""
    hooks = Hooks(hook, out / "hooks.jsonl", seconds=config.hook_seconds, retries=config.hook_retries)
    for event in journal.read(out / "events.jsonl"):
        hooks.put(event)
    return hooks


def asked_origin(config: WatchConfig) -> LiveSource | None:
    """Return the source of live images; None for a video in a file."""
    origin = find_live_source(config.source, live=config.live, watched=True)
    if origin is None:
        for name, default in _LIVE_ONLY.items():
            if getattr(config, name) != default:
                raise CalcoError(
                    f"--{name.replace('_', '-')} is for cameras and streams, and {config.source} is a video; add --live"
                )
        return None
    if config.loops != 1:
        raise CalcoError(f"--loops is for videos, and {origin.name} is live; leave it out")
    return with_request(origin, config.size, config.rate)


def _watch_recorded(
    video: Video, watcher: Watcher, states: StateStore, result: WatchResult, stop: threading.Event,
    progress: Callable[[int, int | None], None],
) -> None:  # fmt: skip
    """Watch a video to its end, or until somebody stops it."""
    began, target, writer = time.monotonic(), watcher.out / "video.mp4", None
    try:
        with contextlib.ExitStack() as held:
            if watcher.config.video and not target.exists():
                writer = held.enter_context(VideoWriter(
                    target, video.size, rate=video.rate, quality=_QUALITY, made_by={**states.made_by, "watch": True},
                    again="the same command with --resume",
                ))  # fmt: skip
            work = VideoRun(video, watcher, writer, states=states, passes=watcher.config.loops,
                            passed=lambda: result.memory.append(memory_mb()))  # fmt: skip
            if not work.kept:
                for lines in watcher.journals.values():  # all events and tracks will be written again
                    lines.recall(lines.start)
            result.kept = work.kept
            try:
                work.run(lambda done: progress(done, work.total), stop)
            finally:
                result.frames = work.frames
                watcher.stages.seconds["decode (beside)"] = work.decode_seconds
                watcher.stages.seconds["encode (beside)"] = work.encode_seconds
    except Stopped:
        result.stopped = watcher.time
    result.seconds = time.monotonic() - began
    result.notes = [*video.notes, *(f"{video.path}: {what}" for what in video.damage)]


@dataclass
class Timeline:
    """Writes the page, again and again for a live watch."""

    folder: Path  # folder of the watch, whose files it reads
    title: str  # name of the video or camera
    rules: Rules
    classes: tuple[str, ...]  # classes of the detector, for the colours
    blurred: bool  # whether faces were blurred
    _crops: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def write(
        self, facts: Sequence[str], counts: Mapping[str, int], open_tracks: Sequence[dict[str, Any]] = ()
    ) -> Path:
        """Write timeline.html with facts (phrases), events by rule and open tracks; return its path."""
        events = deque(Journal(self.folder / "events.jsonl").rows(), EVENTS)
        tracks = [*deque(Journal(self.folder / "tracks.jsonl").rows(), TRACKS), *open_tracks]
        self._crops = {name: crop for name, crop in self._crops.items() if any(e["crop"] == name for e in events)}
        names = dict.fromkeys(track["class"] for track in tracks)
        colours = {name: "#{:02x}{:02x}{:02x}".format(*colour_of(name, self.classes)) for name in names}
        data = {
            "events": [{name: event[name] for name in ("event", "time", "rule", "track", "class")} for event in events],
            "tracks": [[t["track"], t["class"], t["first"], t["last"]] for t in tracks],
            "rules": [rule.name for rule in self.rules.rules], "colours": colours,
        }  # fmt: skip
        rows = [Row(rule.name, [rule.words, f"{counts.get(rule.name, 0):,}"]) for rule in self.rules.rules]
        return write_page(
            self.folder, "timeline", name="timeline.html", title=f"{self.title} · Calco watch", heading=self.title,
            facts=facts, total=sum(counts.values()), blurred=self.blurred, data=data,
            rules=Table("Rules", [Column("asks for", css="words"), Column("events")], rows, corner="rule"),
            events=[self._shown(event) for event in events],
        )  # fmt: skip

    def _shown(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return an event with the texts and the image of its card."""
        near = [
            f"{other['class']} {other['track']} "
            + (f"at {other['distance']:.2g} heights" if other["distance"] >= 0.005 else "touching")
            for other in event["near"][:_NEAR]
        ]
        near += [f"{len(event['near']) - _NEAR} more"] if len(event["near"]) > _NEAR else []
        held = [f"for {event['held']:g} s"] if event["held"] else []
        described = [f"{event['class']} {event['track']}, score {event['score']:.2f}", *near, *held]
        return event | {
            "at": clock(event["time"]),
            "day": event["clock"][:19].replace("T", " ") if "clock" in event else "",
            "described": " · ".join(described),
            "image": self._crop(event["crop"]),
        }

    def _crop(self, name: str) -> tuple[str, int, int] | None:
        """Return a crop for the page, with its size; None if it is not there any more."""
        if not name:
            return None
        if name not in self._crops:
            try:
                image = imaging.read(self.folder / name)
            except CalcoError:
                return None
            height, width = image.shape[:2]
            scale = min(1.0, _SIDE / max(height, width))
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
            data = imaging.encode(imaging.resize(image, (width, height)), ".jpg")
            self._crops[name] = (f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", width, height)
        return self._crops[name]


def _watch_live(
    source: LiveSource, config: WatchConfig, make: Callable[[tuple[int, int]], Watcher], outputs: Outputs,
    states: StateStore, timeline: Timeline, result: WatchResult, stop: threading.Event,
    status: Callable[[LiveStatus], None],
) -> None:  # fmt: skip
    """Watch live images until they end, or somebody stops it."""

    def begin(size_wh: tuple[int, int]) -> Watcher:
        timeline.rules.fits_image(*size_wh, config.rules)
        return make(size_wh)

    capture = Capture(source, patience=config.patience, seconds=config.seconds)
    watching = LiveWatch(config, capture, states, outputs, begin, lambda watcher: _conclude(watcher, timeline, result))
    try:
        watching.run(stop, status)
    finally:
        result.summary = watching.status.summary()
        if watching.watcher is not None:
            result.frames, result.seconds = watching.status.rendered, watching.status.seconds
            _conclude(watching.watcher, timeline, result)


def _conclude(watcher: Watcher, timeline: Timeline, result: WatchResult, video: Video | None = None) -> None:
    """Take over what a watcher has counted, and write the timeline."""
    followed = [track.record() for track in watcher.tracker.tracks if track.confirmed]
    result.events, result.stages = dict(watcher.raised), dict(watcher.stages.seconds)
    result.tracks = watcher.journals["tracks"].count + len(followed)
    length = [f"{clock(video.duration)} long"] if video is not None and video.duration is not None else []
    facts = [f"{watcher.size_wh[0]}×{watcher.size_wh[1]} pixels", *length, f"{watcher.frame:,} frames watched",
             f"{result.tracks:,} tracks"]  # fmt: skip
    result.page = timeline.write(facts, watcher.raised, followed)


def memory_mb() -> float:
    """Return the megabytes of memory that this process holds now; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    return 0.0


def _open_detector(config: WatchConfig) -> DetectorProtocol:
    from calco.detection.exported import open_detector

    if not config.model:
        raise CalcoError("--model is missing; name a run of calco detect train")
    return open_detector(config.model, runtime=config.runtime, device=config.device, precision=config.precision)


def _make_blur(config: WatchConfig, detector: DetectorProtocol) -> FaceBlur | None:
    """Return what blurs faces; raise a `CalcoError` if nothing would find them."""
    if not config.blur_faces:
        return None
    people = config.people or tuple(name for name in detector.classes if name.lower() in PEOPLE)
    _check_classes("--people", config.people, detector)
    if not people and not config.face_model:
        raise CalcoError(
            f"--blur-faces needs to know where people are, and the detector finds {', '.join(detector.classes)}; name "
            "the classes that have a head with --people, or a detector of faces with --face-model"
        )
    return FaceBlur(people, config.face_model)


def _make_painter(config: WatchConfig, detector: DetectorProtocol, translator: Translator | None) -> Painter | None:
    """Return what paints; None if nothing is painted."""
    if translator is None and config.paint:
        from calco.inference.folder import is_exported
        from calco.inference.translator import load

        translator = load(
            config.paint, device=config.device, precision=config.precision,
            backend="calco" if is_exported(config.paint) else config.backend,
        )  # fmt: skip
    if translator is None:
        if config.paint_classes:
            raise CalcoError("--paint-classes tells what --paint paints; give that too, or leave it out")
        return None
    _check_classes("--paint-classes", config.paint_classes, detector)
    return Painter(
        translator, translator.info.palette, config.paint_classes, margin=config.margin, every=config.paint_every,
        most=config.paint_most,
    )  # fmt: skip


def _check_classes(option: str, names: tuple[str, ...], detector: DetectorProtocol) -> None:
    if unknown := [name for name in names if name not in detector.classes]:
        known = ", ".join(detector.classes)
        raise CalcoError(f"{option} names {unknown[0]}, which the detector does not find; choose from {known}")


def _prepare_folder(config: WatchConfig, outputs: Outputs) -> None:
    """Prepare the locked folder of a watch: empty of an earlier one, or with the one that is resumed."""
    out = outputs.folder
    there = [name for name in outputs.names() if outputs.owns(out / name)]
    if not there:
        others = [name for name in _OWN if os.path.lexists(out / name)]
        others += [name for name in (CROPS, STATE) if (out / name).is_file() or [*(out / name).glob("*")]]
        others += sorted(path.name for path in out.glob("video-*.mp4"))
        if others:
            raise CalcoError(f"{out} holds other files, such as {others[0]}; choose a new or empty folder with --out")
    if there and not (config.resume or config.overwrite):
        raise CalcoError(
            f"{out} holds a watch; --resume goes on with it, --overwrite begins anew, or choose another --out"
        )
    if os.path.realpath(config.source) in {os.path.realpath(out / name) for name in (*there, *_OWN)}:
        raise CalcoError(f"{config.source} is a result of the watch in {out}; choose another --out")
    if there and config.overwrite:
        remove_journal(part_of(out / "video.mp4"))
        for name in outputs.names():
            outputs.remove(out / name)
        StateStore(out / STATE, {}).clear()
    outputs.check(out / name for name in _OWN)
    sweep(out)
    for name in (CROPS, STATE):
        sweep(make_folder(out / name))
    for name in _GROWING:
        outputs.record(out / name, grows=True)


def _made_by(config: WatchConfig, detector: DetectorProtocol, source: Any) -> dict[str, Any]:
    """Return the plain data that the course of a watch depends on."""
    from calco.detection.exported import detector_digest

    given = {name: value for name, value in to_record(config).items() if name not in _FREE}
    return {
        **given, "classes": list(detector.classes), "threshold": float(detector.threshold), "source": source,
        "model": detector_digest(config.model) if config.model else None,
        "rules": files.digest(config.rules) if config.rules else "",
        "paint": weights_digest(config.paint) if config.paint else None,
    }  # fmt: skip
