"""A watch from its configuration: a video or live images, into a folder of events, crops, video and timeline."""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco import journal
from calco.console import Table, cell, say, warn
from calco.detection.contract import DetectorProtocol
from calco.errors import CalcoError
from calco.files import make_folder, sweep, write_json
from calco.inference.translator import Translator
from calco.inference.working import weights_digest
from calco.journal import remove as remove_journal
from calco.outputs import Outputs, writing_folder
from calco.records import to_record, write_yaml
from calco.video.capture import Capture
from calco.video.frames import result_folder
from calco.video.live import LiveStatus, stopping
from calco.video.reading import Video, clock
from calco.video.recorded import StateStore, identity_of
from calco.video.sources import LiveSource, find_live_source, with_request
from calco.video.writing import part_of
from calco.watch.blurring import PEOPLE, FaceBlur
from calco.watch.config import WatchConfig
from calco.watch.events import box_of
from calco.watch.hooks import Command, Hooks, Webhook
from calco.watch.painting import Painter
from calco.watch.rules import Rules, read_rules
from calco.watch.steps import LiveWatch, watch_video
from calco.watch.timeline import Timeline
from calco.watch.watcher import Parts, Watcher, digest_of, memory_mb

FORMAT: Final = 1
VERB: Final = "calco detect watch"
_PATIENCE: Final = 15.0  # seconds that waiting events are given at the end, beyond one try
_LIVE_ONLY: Final[dict[str, Any]] = {"page": None, "size": None, "rate": 0.0, "seconds": 0.0, "keep_hours": 0.0}


@dataclass
class WatchResult:
    """What came of a watch.

    Attributes:
        out: The folder.
        frames: WatchResult now.
        kept: Frames that were done before.
        seconds: Of the work.
        events: By rule, those from before included.
        tracks: How many there were.
        stages: Seconds of each stage; those "beside" run in threads of their own.
        memory: Megabytes at the end of each pass over a video.
        page: The timeline.
        stopped: Where somebody stopped it, seconds; None at the end.
        notes: What was wrong, a sentence each.
        words: Of live images, how it went.
    """

    out: Path
    frames: int = 0
    kept: int = 0
    seconds: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    tracks: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    page: Path | None = None
    stopped: float | None = None
    notes: list[str] = field(default_factory=list)
    words: str = ""

    def read(self, watcher: Watcher) -> None:
        """Take over what a watcher has counted."""
        self.events, self.tracks = dict(watcher.raised), watcher.tracks.count + len(_open(watcher))
        self.stages = dict(watcher.stages.seconds)

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0


def watch(
    config: WatchConfig,
    *,
    detector: DetectorProtocol | None = None,
    translator: Translator | None = None,
    progress: Callable[[int, int | None], None] = lambda _done, _of: None,
    status: Callable[[LiveStatus], None] = lambda _done: None,
    stop: threading.Event | None = None,
) -> WatchResult:
    """Watches a video or live images.

    Args:
        config: How.
        detector: What finds, in place of `config.model`.
        translator: What paints, in place of `config.paint`.
        progress: Of a video, is told how many frames are done and of how many.
        status: Live, is told how it goes after each frame.
        stop: Set by others to stop; Ctrl-C and SIGTERM do so too.

    Returns:
        Counts, events, notes, and the page of the timeline.

    Raises:
        CalcoError: When source, models, rules or folder cannot be used, or something cannot be written.
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
    detector = detector or the_detector(config)
    rules.fits(detector.classes, config.rules)
    call = Command.of(config.hook) if config.hook else Webhook(config.webhook) if config.webhook else None
    blur = make_blur(config, detector)
    painter = make_painter(config, detector, translator)
    identity = identity_of(config.source) if origin is None else origin.name
    made = made_by(config, detector, identity)
    with writing_folder(result_folder(config.out), VERB, overwrite=config.overwrite, apart=STATE) as outputs:
        out = outputs.folder
        prepare_folder(config, outputs)
        states = StateStore(out / STATE, made)
        if config.resume:
            states.newest()  # another source or another model is said before anything is begun
        write_yaml(out / "config.yaml", _told(config, origin), "what calco detect watch was told, without its hook")
        hooks = None if call is None else _hooks(call, out, config)
        parts = Parts(config, detector, rules, painter, blur, hooks, out)
        title = Path(config.source).name if origin is None else origin.name
        timeline = Timeline(out, title, rules, tuple(detector.classes), config.blur_faces)
        done = WatchResult(out)
        try:
            with contextlib.ExitStack() as held:
                stop = stop or held.enter_context(stopping())
                if video is not None:
                    _watch_recorded(video, parts, states, timeline, done, stop, progress)
                else:
                    assert origin is not None
                    _watch_live(origin, outputs, parts, states, timeline, done, stop, status)
        finally:
            if hooks is not None:
                hooks.close(config.hook_seconds + _PATIENCE)
        write_json(out / "watch.json", _record(done, config))
    return done


def _hooks(call: Command | Webhook, out: Path, config: WatchConfig) -> Hooks:
    """What delivers events, with those that an interruption kept from being delivered."""
    hooks = Hooks(call, out / "hooks.jsonl", seconds=config.hook_seconds, retries=config.hook_retries)
    for event in journal.read(out / "events.jsonl"):
        hooks.put(event)
    return hooks


def _told(config: WatchConfig, origin: LiveSource | None) -> dict[str, Any]:
    """The configuration without what may be secret: passwords of cameras, keys in hooks."""
    record = to_record(config)
    return {**record, "hook": "", "webhook": "", "source": config.source if origin is None else origin.name}


def asked_origin(config: WatchConfig) -> LiveSource | None:
    """Where live images come from; None for a video in a file.

    Raises:
        CalcoError: When options do not go with the source.
    """
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


def _watch_recorded(video: Video, parts: Parts, states: StateStore, timeline: Timeline, done: WatchResult,
                    stop: threading.Event, progress: Callable[[int, int | None], None]) -> None:  # fmt: skip
    watcher = Watcher(parts, video.size)
    target = parts.out / "video.mp4" if parts.config.video else None
    recorded = watch_video(video, watcher, states, target=target, passes=parts.config.loops, stop=stop,
                           progress=progress)  # fmt: skip
    done.memory, done.stopped, done.notes = recorded.memory, recorded.stopped, recorded.notes
    done.frames, done.kept, done.seconds = recorded.frames, recorded.kept, recorded.seconds
    done.read(watcher)
    done.page = timeline.write(_facts(watcher, video), watcher.raised, _open(watcher))


def _watch_live(source: LiveSource, outputs: Outputs, parts: Parts, states: StateStore, timeline: Timeline,
                done: WatchResult, stop: threading.Event, status: Callable[[LiveStatus], None]) -> None:  # fmt: skip
    def make(size_wh: tuple[int, int]) -> Watcher:
        parts.rules.fits_image(*size_wh, parts.config.rules)
        return Watcher(parts, size_wh)

    def write_page(watcher: Watcher) -> None:
        done.page = timeline.write(_facts(watcher, None), watcher.raised, _open(watcher))

    capture = Capture(source, patience=parts.config.patience, seconds=parts.config.seconds)
    watching = LiveWatch(parts.config, capture, states, outputs, make, write_page)
    try:
        watching.run(stop, status)
    finally:
        done.words = watching.status.summary()
        if watching.watcher is not None:
            done.frames, done.seconds = watching.status.rendered, watching.status.seconds
            done.read(watching.watcher)
            write_page(watching.watcher)


def _open(watcher: Watcher) -> list[dict[str, Any]]:
    return [
        {"track": track.id, "class": track.name, "first": track.first, "last": track.last, "box": box_of(track.box)}
        for track in watcher.tracker.tracks
        if track.confirmed
    ]


def _facts(watcher: Watcher, video: Video | None) -> list[str]:
    size = f"{watcher.size_wh[0]}×{watcher.size_wh[1]} pixels"
    length = [] if video is None or video.duration is None else [f"{clock(video.duration)} long"]
    tracks = watcher.tracks.count + len(_open(watcher))
    return [size, *length, f"{watcher.frame:,} frames watched", f"{tracks:,} tracks"]


def _record(done: WatchResult, config: WatchConfig) -> dict[str, Any]:
    """What stands in watch.json."""
    return {
        "format": FORMAT, "frames": done.frames, "kept": done.kept, "seconds": round(done.seconds, 3),
        "frames_per_second": round(done.rate, 2), "events": done.events, "tracks": done.tracks,
        "stages": {name: round(seconds, 3) for name, seconds in done.stages.items()},
        "memory_mb": [round(mb, 1) for mb in done.memory] or [round(memory_mb(), 1)],
        "stopped": done.stopped, "notes": done.notes, "faces_blurred": config.blur_faces,
    }  # fmt: skip


def tell(done: WatchResult) -> None:
    """Says at the terminal what came of it."""
    if done.words:
        say(done.words)
    kept = f", {done.kept} more from before" if done.kept else ""
    say(f"{done.frames} frames watched{kept}; {done.rate:.1f} frames/s; {done.tracks} tracks, "
        f"{sum(done.events.values())} events")  # fmt: skip
    if done.stopped is not None:
        say(f"stopped at {clock(done.stopped)}; the same command with --resume goes on")
    for note in done.notes:
        warn(note)
    say(f"events, crops and video are in {done.out}; the timeline is {done.page}")


CROPS: Final = "crops"
STATE: Final = "state"
_GROWING: Final = ("events.jsonl", "tracks.jsonl", "hooks.jsonl")
_OWN: Final = (*_GROWING, "watch.json", "timeline.html", "config.yaml", "video.mp4")
# What may be another when a watch goes on: where it stands, what is told, how it is played.
_FREE: Final = frozenset({
    "source", "model", "out", "rules", "paint", "resume", "overwrite", "hook", "webhook", "hook_seconds",
    "hook_retries", "runtime", "precision", "page", "patience", "seconds", "device", "video_minutes", "keep_hours",
    "face_model", "size", "rate", "live",
})  # fmt: skip


def the_detector(config: WatchConfig) -> DetectorProtocol:
    """The detector that the configuration names.

    Raises:
        CalcoError: When it names none, or what cannot be loaded.
    """
    from calco.detection.loading import open_detector

    if not config.model:
        raise CalcoError("--model is missing; name a run of calco detect train")
    return open_detector(config.model, runtime=config.runtime, device=config.device, precision=config.precision)


def make_blur(config: WatchConfig, detector: DetectorProtocol) -> FaceBlur | None:
    """What blurs faces.

    Raises:
        CalcoError: When nothing would tell where they are.
    """
    if not config.blur_faces:
        return None
    people = config.people or tuple(name for name in detector.classes if name.lower() in PEOPLE)
    if unknown := [name for name in people if name not in detector.classes]:
        raise CalcoError(
            f"--people names {unknown[0]}, which the detector does not find; choose from {', '.join(detector.classes)}"
        )
    if not people and not config.face_model:
        raise CalcoError(
            f"--blur-faces needs to know where people are, and the detector finds {', '.join(detector.classes)}; name "
            "the classes that have a head with --people, or a detector of faces with --face-model"
        )
    return FaceBlur(people, config.face_model)


def make_painter(config: WatchConfig, detector: DetectorProtocol, translator: Translator | None) -> Painter | None:
    """What paints; None where nothing is painted.

    Raises:
        CalcoError: When the model cannot be loaded, or the detector does not find the class to paint.
    """
    if translator is None and config.paint:
        from calco.inference.loading import load

        translator = load(config.paint, device=config.device, precision=config.precision)
    if translator is None:
        if config.paint_classes:
            raise CalcoError("--paint-classes tells what --paint paints; give that too, or leave it out")
        return None
    if unknown := [name for name in config.paint_classes if name not in detector.classes]:
        known = ", ".join(detector.classes)
        raise CalcoError(f"--paint-classes names {unknown[0]}, which the detector does not find; choose from {known}")
    return Painter(
        translator, translator.info.palette, config.paint_classes, margin=config.margin, every=config.paint_every,
        most=config.paint_most,
    )  # fmt: skip


def prepare_folder(config: WatchConfig, outputs: Outputs) -> None:
    """Readies the folder of a watch: empty of an earlier one, or with the one that is resumed.

    Args:
        config: As it was told.
        outputs: The folder, locked.

    Raises:
        CalcoError: If a watch is there and neither option says what becomes of it, or files of somebody else are there.
    """
    out = outputs.folder
    there = [name for name in outputs.names() if outputs.owns(out / name)]
    if not there and (others := _in_the_way(out)):
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


def _in_the_way(out: Path) -> list[str]:
    """Names in a folder without a watch that a watch would write."""
    found = [name for name in _OWN if os.path.lexists(out / name)]
    found += [name for name in (CROPS, STATE) if os.path.lexists(out / name) and _is_filled(out / name)]
    return found + sorted(path.name for path in out.glob("video-*.mp4"))


def _is_filled(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())


def made_by(config: WatchConfig, detector: DetectorProtocol, source: Any) -> dict[str, Any]:
    """What the course of a watch depends on, plain data.

    Args:
        config: As it was told.
        detector: What finds.
        source: What tells this video or camera from another.
    """
    from calco.detection.loading import detector_digest

    told = {name: value for name, value in to_record(config).items() if name not in _FREE}
    return {
        **told, "classes": list(detector.classes), "threshold": float(detector.threshold), "source": source,
        "model": detector_digest(config.model) if config.model else None, "rules": digest_of(config.rules),
        "paint": weights_digest(config.paint) if config.paint else None,
    }  # fmt: skip


def stages_table(done: WatchResult) -> Table:
    """Seconds and shares of each stage; those that run beside in threads of their own have no share of the whole."""
    table = Table(title="where the time went", title_style="bold")
    for name in ("stage", "seconds", "ms a frame", "share"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    frames = max(1, done.frames)
    inside = {name: seconds for name, seconds in done.stages.items() if "beside" not in name}
    waiting = max(0.0, done.seconds - sum(inside.values()))
    for name, seconds in [*inside.items(), ("waiting", waiting)]:
        share = f"{seconds / done.seconds:.0%}" if done.seconds else "–"
        table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / frames:.1f}", share)
    table.add_section()
    for name, seconds in done.stages.items():
        if name not in inside:
            table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / frames:.1f}", "")
    if len(done.memory) > 1:
        table.caption = cell(f"memory after each pass: {', '.join(f'{mb:.0f}' for mb in done.memory)} MB", style="dim")
    return table


def events_table(done: WatchResult) -> Table:
    """Events by rule."""
    table = Table(title="events", title_style="bold")
    table.add_column("rule")
    table.add_column("events", justify="right")
    for rule, count in done.events.items():
        table.add_row(rule, str(count))
    return table
