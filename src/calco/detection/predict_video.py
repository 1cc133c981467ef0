"""A detector over recorded videos and live frames: each frame drawn, and a line of JSON for what is in it."""

import datetime
import os
import time as clocks
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco.annotations.detections import Detections
from calco.detection.config import PredictConfig
from calco.detection.drawing import Drawer
from calco.detection.slicing import ConfiguredDetector, DetectionCounts
from calco.detection.tables import as_rows, from_rows, write_csv
from calco.errors import CalcoError
from calco.files import short_name, sweep_files
from calco.imaging import Image
from calco.journal import Journal
from calco.journal import remove as remove_journal
from calco.journal import write as write_rows
from calco.locks import locked_file
from calco.video.capture import Capture
from calco.video.encoding import choose_codec
from calco.video.live import LiveStatus, live_source_of, open_sinks, play, stopping
from calco.video.names import is_video
from calco.video.pipeline import RenderedFrame
from calco.video.reading import Frame, Video
from calco.video.recorded import VideoRun, VideoStep, check_begin, identity_of
from calco.video.sources import LiveSource, with_request
from calco.video.writing import NotesWriter, VideoWriter, part_of

VERB: Final = "calco detect predict"
_DIGITS: Final = 6  # of seconds: a millionth
_OF_FILES: Final = ("overwrite", "codec", "quality", "from_", "to")
"""The options that only images and videos in files have."""


@dataclass(frozen=True, kw_only=True)
class VideoOutputs:
    """Results of a video, and how they are made.

    Attributes:
        drawn: The video to write; None for tables alone.
        lines: The JSON lines to write; the CSV lies beside it.
        formats: Formats that are written.
        start: Seconds at which it begins.
        stop: Seconds at which it ends; None for the video's end.
        codec: As of `VideoWriter`.
        quality: As of `VideoWriter`.
        scale: Factor for lines and letters.
        made_by: Plain data that the results depend on besides: the model.
        overwrite: Whether to begin anew.
    """

    drawn: Path | None
    lines: Path
    formats: tuple[str, ...]
    start: Fraction = Fraction(0)
    stop: Fraction | None = None
    codec: str | None = None
    quality: int | None = None
    scale: float = 1.0
    made_by: dict[str, Any] = field(default_factory=dict)
    overwrite: bool = False

    @property
    def table(self) -> Path:
        """The CSV."""
        return self.lines.with_suffix(".csv")

    @property
    def part(self) -> Path:
        """The journal of an interrupted call."""
        if self.drawn is not None:
            return part_of(self.drawn)
        return self.lines.with_name(short_name(f".{self.lines.name}", ".part"))

    def results(self) -> list[Path]:
        """Return the files that are there at the end."""
        paths = [self.lines] if "jsonl" in self.formats else []
        paths += [self.table] if "csv" in self.formats else []
        return paths + ([self.drawn] if self.drawn is not None else [])


@dataclass
class VideoPrediction:
    """Result of a video.

    Attributes:
        written: The files.
        frames: Number of frames in which objects were looked for now.
        kept: Number of frames from before an interruption.
        seconds: Seconds of the work.
        tally: Counts of what was found, frame by frame.
        notes: What is not as in the source, or was damaged, a sentence each.
    """

    written: list[Path]
    frames: int = 0
    kept: int = 0
    seconds: float = 0.0
    tally: DetectionCounts = field(default_factory=DetectionCounts)
    notes: list[str] = field(default_factory=list)


class _DetectStep(VideoStep):
    """Finds objects in frames; what an interrupted call found behind its last whole group of images is used again."""

    def __init__(self, look: ConfiguredDetector, drawer: Drawer | None, known: dict[int, Any]) -> None:
        self.look, self.drawer, self.known, self.batch = look, drawer, known, look.batch

    def __call__(self, frames: Sequence[Frame]) -> list[RenderedFrame]:
        new = [frame.image for frame in frames if frame.number not in self.known]
        fresh = iter(self.look.many(new) if new else [])
        results = []
        for frame in frames:
            row = self.known.pop(frame.number, None)
            found = next(fresh) if row is None else from_rows(row["detections"])
            row = row or {
                "frame": frame.number,
                "time": round(float(frame.time), _DIGITS),
                "detections": as_rows(found),
            }
            results.append(RenderedFrame(frame, None if self.drawer is None else self.drawer(frame.image, found), row))
        return results


def predict_video(
    look: ConfiguredDetector, source: str, outputs: VideoOutputs, *,
    progress: Callable[[float, int | None], None] = lambda _done, _of: None,
) -> VideoPrediction:  # fmt: skip
    """Find objects in each frame of a video.

    Size, rate, times, sound, colours and title of the drawn video are those of the source. An interrupted call resumes
    where it stopped when it is repeated with the same model and options.

    Args:
        look: The detector with threshold, classes and slices.
        source: A video.
        outputs: What is written.
        progress: Called with the number of frames done, and of how many where that is known.

    Raises:
        CalcoError: If the video cannot be read, or a result cannot be written or is there already.
    """
    with locked_file(outputs.lines, VERB):
        _check_targets(source, outputs)
        sweep_files(outputs.results())
        return predicted_video(look, source, outputs, progress=progress)


def predicted_video(
    look: ConfiguredDetector, source: str, outputs: VideoOutputs, *,
    progress: Callable[[float, int | None], None] = lambda _done, _of: None,
) -> VideoPrediction:  # fmt: skip
    """As `predict_video`, for a caller that holds the lock and knows that the files may be replaced."""
    began = clocks.monotonic()
    video = Video(source)
    check_begin(video, outputs.start)
    result = VideoPrediction(outputs.results())
    if outputs.overwrite:
        remove_journal(outputs.part)
    drawer = None if outputs.drawn is None else Drawer(look.detector.classes, share=outputs.scale)
    with _writer(look, video, outputs) as writer:
        result.kept = writer.done + len(writer.known)
        work = VideoRun(video, _DetectStep(look, drawer, writer.known), writer, outputs.start, outputs.stop)
        work.run(lambda done: progress(done, work.total))
        result.frames = work.kept + work.frames - result.kept
        if not writer.safe and not work.frames:
            raise CalcoError(f"{video.path} shows no frame between these times; choose others")
        writer.finish()
        for row in writer.notes():
            result.tally.add(from_rows(row["detections"]))
        if "csv" in outputs.formats:
            write_csv(outputs.table, writer.notes())
        if "jsonl" in outputs.formats:
            write_rows(outputs.lines, writer.notes())
        remarks = writer.remarks if isinstance(writer, VideoWriter) else []
    result.notes = [*video.notes, *remarks, *(f"{source}: {what}" for what in video.damage)]
    result.seconds = clocks.monotonic() - began
    return result


def _writer(look: ConfiguredDetector, video: Video, outputs: VideoOutputs) -> VideoWriter | NotesWriter:
    """What keeps frames and rows, behind those that are there."""
    made_by = {
        "video": identity_of(video.path), **outputs.made_by, **look.record(),
        "times": [str(outputs.start), str(outputs.stop)], "codec": outputs.codec, "quality": outputs.quality,
        "scale": outputs.scale,
    }  # fmt: skip
    if outputs.drawn is None:
        return NotesWriter(outputs.part, made_by)
    return VideoWriter(outputs.drawn, video.size, codec=outputs.codec, quality=outputs.quality, like=video,
                       start=outputs.start, stop=outputs.stop, made_by=made_by)  # fmt: skip


def _check_targets(source: str, outputs: VideoOutputs) -> None:
    if outputs.drawn is not None:
        choose_codec(outputs.codec, str(outputs.drawn))
    for path in outputs.results():
        if path.exists() and os.path.exists(source) and os.path.samefile(source, path):
            raise CalcoError(f"the result would replace {source}; choose another --out")
        if os.path.lexists(path) and not outputs.overwrite:
            raise CalcoError(f"{path} is there already; choose another --out, or --overwrite")


# ---- Live ----


@dataclass
class LivePrediction:
    """Result of live frames.

    Attributes:
        tally: Counts of what was found.
        summary: How it went, a sentence.
        written: The files.
    """

    tally: DetectionCounts = field(default_factory=DetectionCounts)
    summary: str = ""
    written: list[Path] = field(default_factory=list)


def is_live(config: PredictConfig) -> bool:
    """Return whether live frames are meant.

    Raises:
        CalcoError: If they are not, and options say that they should be; or they are, with other sources.
    """
    if any(_live_source(source, config) is not None for source in config.sources):
        if len(config.sources) > 1:
            raise CalcoError(f"{config.sources[1]}: unexpected argument; one source is shown live at a time")
        return True
    for name in ("size", "rate", "patience", "seconds"):
        if getattr(config, name) != PredictConfig.__dataclass_fields__[name].default:
            raise CalcoError(
                f"--{name} is for cameras, streams and videos that are played, and {config.sources[0]} is none; "
                "leave it out"
            )
    return False


def _live_source(name: str, config: PredictConfig) -> LiveSource | None:
    # A video as result means files too: for live ones, --live or the source itself says so.
    return live_source_of(name, None, live=config.live, window=config.window, page=config.page)


def predict_live(
    look: ConfiguredDetector,
    config: PredictConfig,
    *,
    status: Callable[[LiveStatus], None] = lambda _status: None,
) -> LivePrediction:
    """Find objects in live frames until they end, or somebody stops it.

    Args:
        look: The detector with threshold, classes and slices.
        config: The source, where its images go, and its limits.
        status: Called after each frame.

    Raises:
        CalcoError: If options do not go together, or source or sinks cannot be used.
    """
    for name in _OF_FILES:
        if getattr(config, name) != PredictConfig.__dataclass_fields__[name].default:
            raise CalcoError(f"--{name.strip('_')} is for images and videos in files; leave it out for live ones")
    if "coco" in config.format or "csv" in config.format:
        raise CalcoError("live images are noted as JSON lines alone; leave coco and csv out of --format")
    out, lines_at = _live_targets(config)
    if out is None and lines_at is None and not config.window and config.page is None:
        raise CalcoError("no output was chosen; add --window, --page 8000, or --out with a folder or a video")
    source = _live_source(config.sources[0], config)
    assert source is not None
    source = with_request(source, config.size, config.rate)
    result = LivePrediction()
    step = _LiveStep(look, Drawer(look.detector.classes, share=config.scale), result.tally, lines_at)
    look.many([np.zeros((64, 64, 3), np.uint8)])  # warm-up, so that the first frame does not wait
    capture, counts = Capture(source, patience=config.patience, seconds=config.seconds), LiveStatus()
    title = f"{source.name} by {Path(config.model).name}"
    with stopping() as stop:
        sinks = open_sinks(capture, counts, title, out=out, page=config.page, window=config.window, stopped=stop.is_set)
        play(capture, step, sinks, status=counts, progress=status, stop=stop)
    result.summary = counts.summary() if counts.rendered else ""
    result.written = [Path(path) for path in (out, lines_at) if path is not None and Path(path).is_file()]
    return result


def _live_targets(config: PredictConfig) -> tuple[str | None, Path | None]:
    """Where the drawn video goes, and the JSON lines."""
    out, drawn, noted = config.out, "drawn" in config.format, "jsonl" in config.format
    if not out:
        return None, None
    if out == "-" or out.startswith("/dev/") or is_video(out) or (os.path.exists(out) and not os.path.isdir(out)):
        lines = Path(out).with_suffix(".jsonl") if noted and is_video(out) else None
        if lines is not None and os.path.lexists(lines):
            raise CalcoError(f"{lines} is there already; choose another --out")
        return out, lines
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    # Another call makes another video: what a camera saw cannot be made again.
    stem = f"live-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    return (str(folder / f"{stem}.mp4") if drawn else None), (folder / f"{stem}.jsonl" if noted else None)


class _LiveStep:
    """Finds and draws objects; frames with any are noted with the time of day."""

    def __init__(self, look: ConfiguredDetector, drawer: Drawer, tally: DetectionCounts, lines: Path | None) -> None:
        self.look, self.drawer, self.tally = look, drawer, tally
        self.lines = None if lines is None else Journal(lines)

    def __call__(self, frame: Frame) -> Image:
        now = datetime.datetime.now(datetime.UTC)
        found: Detections = self.look.many([frame.image])[0]
        self.tally.add(found)
        if self.lines is not None and len(found):
            self.lines.add({"time": now.isoformat(timespec="milliseconds"), "detections": as_rows(found)})
        return self.drawer(frame.image, found)
