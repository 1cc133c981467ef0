"""A detector on recorded videos and live frames: each frame drawn, and a line of JSON for its objects."""

import datetime
import os
import time as clocks
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco.detection.config import PredictConfig
from calco.detection.drawing import Drawer
from calco.detection.prediction import (
    ConfiguredDetector,
    DetectionCounts,
    Prediction,
    VideoPrediction,
    as_rows,
    from_rows,
    write_csv,
)
from calco.errors import CalcoError
from calco.files import short_name
from calco.imaging import Image
from calco.journal import Journal
from calco.journal import remove as remove_journal
from calco.journal import write as write_rows
from calco.video.capture import Capture
from calco.video.live import open_sinks, play, stopping
from calco.video.names import is_video
from calco.video.pipeline import RenderedFrame
from calco.video.reading import Frame, Video
from calco.video.recorded import VideoRun, VideoStep, check_begin, identity_of
from calco.video.sources import LiveSource, LiveStatus, find_live_source, with_request
from calco.video.writing import NotesWriter, VideoWriter, part_of

_DIGITS: Final = 6  # of seconds: a millionth
_OF_FILES: Final = ("overwrite", "codec", "quality", "from_", "to")
"""Options that only images and videos in files have."""
_OF_LIVE: Final = ("size", "rate", "patience", "seconds")
"""Options that only live sources have."""


@dataclass(frozen=True)
class VideoOutputs:
    """Files that a video is written to."""

    video: Path  # path of the drawn video
    lines: Path  # path of the JSON lines; the CSV is beside it
    formats: tuple[str, ...]  # formats that are written

    @property
    def drawn(self) -> Path | None:
        """Return the path of the drawn video; None for tables alone."""
        return self.video if "drawn" in self.formats else None

    @property
    def part(self) -> Path:
        """Return the path of the journal of an interrupted call."""
        if self.drawn is not None:
            return part_of(self.drawn)
        return self.lines.with_name(short_name(f".{self.lines.name}", ".part"))

    def results(self) -> list[Path]:
        """Return the paths of all files that are written."""
        paths = {"jsonl": self.lines, "csv": self.lines.with_suffix(".csv"), "drawn": self.video}
        return [path for name, path in paths.items() if name in self.formats]


class _DetectStep(VideoStep):
    """Finds objects in frames; those that an interrupted call found after its last whole group are used again."""

    def __init__(self, detector: ConfiguredDetector, drawer: Drawer | None, known: dict[int, Any]) -> None:
        self.detector, self.drawer, self.known, self.batch = detector, drawer, known, detector.batch

    def __call__(self, frames: Sequence[Frame]) -> list[RenderedFrame]:
        new = [frame.image for frame in frames if frame.number not in self.known]
        fresh = iter(self.detector.many(new) if new else [])
        results = []
        for frame in frames:
            row = self.known.pop(frame.number, None)
            found = next(fresh) if row is None else from_rows(row["detections"])
            time = round(float(frame.time), _DIGITS)
            row = row or {"frame": frame.number, "time": time, "detections": as_rows(found)}
            results.append(RenderedFrame(frame, None if self.drawer is None else self.drawer(frame.image, found), row))
        return results


def predict_video(
    detector: ConfiguredDetector, source: str, outputs: VideoOutputs, config: PredictConfig, made_by: dict[str, Any],
    tally: DetectionCounts, *, progress: Callable[[float, int | None], None], shown: Callable[[Image], None],
) -> VideoPrediction:  # fmt: skip
    """Find objects in each frame of a video; the caller holds a lock and knows that the files may be replaced.

    Size, rate, times, sound, colours and title of the drawn video are those of the source. An interrupted call resumes
    where it stopped when it is repeated with the same model and options.

    `made_by` is plain data on everything else that the results depend on; `tally` counts the objects; `progress` gets
    the number of frames done, and of how many if that is known; `shown` gets each image that is written, HWC `uint8`.
    """
    began = clocks.monotonic()
    video, (start, stop) = Video(source), config.times()
    check_begin(video, start)
    result = VideoPrediction(outputs.results())
    if config.overwrite:
        remove_journal(outputs.part)
    record = {
        "video": identity_of(source), **made_by, "times": [str(start), str(stop)], "codec": config.codec,
        "quality": config.quality,
    }  # fmt: skip
    drawer: Drawer | None = None
    writer: NotesWriter | VideoWriter
    if outputs.drawn is None:
        writer = NotesWriter(outputs.part, record)
    else:
        drawer = Drawer(detector.classes, share=config.scale)
        writer = VideoWriter(outputs.drawn, video.size, codec=config.codec, quality=config.quality, like=video,
                             start=start, stop=stop, made_by=record)  # fmt: skip
    with writer:
        result.kept = writer.done + len(writer.known)
        work = VideoRun(video, _DetectStep(detector, drawer, writer.known), writer, start, stop, shown=shown)
        work.run(lambda done: progress(done, work.total))
        result.frames = work.kept + work.frames - result.kept
        if not writer.safe and not work.frames:
            raise CalcoError(f"{source} shows no frame between these times; choose others")
        writer.finish()
        for row in writer.notes():
            tally.add(from_rows(row["detections"]))
        if "csv" in outputs.formats:
            write_csv(outputs.lines.with_suffix(".csv"), writer.notes())
        if "jsonl" in outputs.formats:
            write_rows(outputs.lines, writer.notes())
    remarks = writer.remarks if isinstance(writer, VideoWriter) else []
    result.notes = [*video.notes, *remarks, *(f"{source}: {what}" for what in video.damage)]
    result.seconds = clocks.monotonic() - began
    return result


# ---- Live ----


def live_source(config: PredictConfig) -> LiveSource | None:
    """Return the live source, or None for files; check that the options fit."""
    # A video as result means files too: for live ones, --live or the source itself says so.
    live = config.live or config.window or config.page is not None
    found = [each for name in config.sources if (each := find_live_source(name, live=live, watched=False)) is not None]
    if found and len(config.sources) > 1:
        raise CalcoError(f"{config.sources[1]}: unexpected argument; one source is shown live at a time")
    if not found and (given := _given(config, _OF_LIVE)):
        raise CalcoError(
            f"--{given[0]} is for cameras, streams and videos that are played, and {config.sources[0]} is none; "
            "leave it out"
        )
    return found[0] if found else None


def _given(config: PredictConfig, names: Sequence[str]) -> list[str]:
    """Names of the options that differ from their defaults."""
    fields = PredictConfig.__dataclass_fields__
    return [name.strip("_") for name in names if getattr(config, name) != fields[name].default]


def predict_live(
    detector: ConfiguredDetector, source: LiveSource, config: PredictConfig, result: Prediction, *,
    status: Callable[[LiveStatus], None],
) -> None:  # fmt: skip
    """Find objects in live frames until they end, or somebody stops it; `result` takes counts, summary and files."""
    if given := _given(config, _OF_FILES):
        raise CalcoError(f"--{given[0]} is for images and videos in files; leave it out for live ones")
    if "coco" in config.format or "csv" in config.format:
        raise CalcoError("live images are noted as JSON lines alone; leave coco and csv out of --format")
    out, lines = _live_targets(config)
    if out is None and lines is None and not config.window and config.page is None:
        raise CalcoError("no output was chosen; add --window, --page 8000, or --out with a folder or a video")
    source = with_request(source, config.size, config.rate)
    journal = None if lines is None else Journal(lines)
    step = _LiveStep(detector, Drawer(detector.classes, share=config.scale), result.frames, journal)
    detector.many([np.zeros((64, 64, 3), np.uint8)])  # warm-up, so that the first frame does not wait
    capture, counts = Capture(source, patience=config.patience, seconds=config.seconds), LiveStatus()
    title = f"{source.name} by {Path(config.model).name}"
    with stopping() as stop:
        sinks = open_sinks(capture, counts, title, out=out, page=config.page, window=config.window, stopped=stop.is_set)
        play(capture, step, sinks, status=counts, progress=status, stop=stop)
    result.summary = counts.summary() if counts.rendered else ""
    result.files = [Path(path) for path in (out, lines) if path is not None and Path(path).is_file()]


def _live_targets(config: PredictConfig) -> tuple[str | None, Path | None]:
    """Return where the drawn video and the JSON lines go."""
    out, noted = config.out, "jsonl" in config.format
    if not out:
        return None, None
    if out == "-" or out.startswith("/dev/") or is_video(out) or (os.path.exists(out) and not os.path.isdir(out)):
        lines = Path(out).with_suffix(".jsonl") if noted and is_video(out) else None
        if lines is not None and os.path.lexists(lines):
            raise CalcoError(f"{lines} is there already; choose another --out")
        return out, lines
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    # Each call makes a video of its own: what a camera saw cannot be made again.
    stem = f"live-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    drawn = str(folder / f"{stem}.mp4") if "drawn" in config.format else None
    return drawn, folder / f"{stem}.jsonl" if noted else None


@dataclass
class _LiveStep:
    """Finds and draws objects; frames with any are noted with the time of day."""

    detector: ConfiguredDetector
    drawer: Drawer
    tally: DetectionCounts
    lines: Journal | None

    def __call__(self, frame: Frame) -> Image:
        now = datetime.datetime.now(datetime.UTC)
        found = self.detector.many([frame.image])[0]
        self.tally.add(found)
        if self.lines is not None and len(found):
            self.lines.add({"time": now.isoformat(timespec="milliseconds"), "detections": as_rows(found)})
        return self.drawer(frame.image, found)
