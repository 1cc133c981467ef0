"""A detector over what a camera sees, a stream or a video that is played: always the newest image."""

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from calco.console import say
from calco.detection.config import PredictConfig
from calco.detection.drawing import Drawer
from calco.detection.slicing import Look, Tally
from calco.detection.tables import as_rows
from calco.errors import CalcoError
from calco.imaging import Image
from calco.journal import Journal
from calco.video.capture import Capture
from calco.video.names import is_video
from calco.video.pipeline import Done, live, origin_asked, sinks_of, status_line, stopping
from calco.video.sources import asked

_OF_FILES: Final = ("overwrite", "codec", "quality", "from_", "to")
"""The options that only images and videos in files have."""


def is_live(config: PredictConfig) -> bool:
    """Whether live images are meant.

    Raises:
        CalcoError: When they are not, and options say that they should be; or they are, with other sources.
    """
    # A video as result means files too: for live ones, --live or the source itself says so.
    options = config.live_options() | {"out": None}
    origins = [origin_asked(source, options) for source in config.sources]
    if any(origin is not None for origin in origins):
        if len(config.sources) > 1:
            raise CalcoError(f"{config.sources[1]} is one name too many: one source is shown live at a time")
        return True
    for name in ("size", "rate", "patience", "seconds"):
        if options[name] != PredictConfig.__dataclass_fields__[name].default:
            raise CalcoError(
                f"--{name} is for cameras, streams and videos that are played, and {config.sources[0]} is none; "
                "leave it out"
            )
    return False


def predict_live(look: Look, config: PredictConfig) -> Tally:
    """Looks at live images until they end, or somebody stops it.

    Args:
        look: How.
        config: The source, where its images go, and its limits.

    Raises:
        CalcoError: When options do not go together, or source or sinks cannot be used.
    """
    for name in _OF_FILES:
        if getattr(config, name) != PredictConfig.__dataclass_fields__[name].default:
            raise CalcoError(f"--{name.strip('_')} is for images and videos in files; leave it out for live ones")
    if "coco" in config.format or "csv" in config.format:
        raise CalcoError("live images are noted as JSON lines alone; leave coco and csv out of --format")
    options = config.live_options()
    options["out"], lines_at = _targets(config)
    if options["out"] is None and lines_at is None and not config.window and config.page is None:
        raise CalcoError("nobody would see it; add --window, --page 8000, or --out with a folder or a video")
    origin = origin_asked(config.sources[0], options)
    assert origin is not None
    origin = asked(origin, config.size, config.rate)
    lines = Journal(lines_at) if lines_at is not None else None
    tally = Tally()
    draw = _drawing(look, Drawer(look.detector.classes, share=config.scale), tally, lines)
    look.many([np.zeros((64, 64, 3), np.uint8)])  # the first call makes ready, for which no image shall wait
    capture, done = Capture(origin, patience=config.patience), Done()
    with stopping() as stop, status_line(done) as progress:
        sinks = sinks_of(options, capture, done, stop.is_set)
        try:
            live(draw, capture, sinks, seconds=config.seconds, progress=progress, done=done, stop=stop)
        finally:
            if done.drawn:
                say(done.words())
    for path in (options["out"], lines_at):
        if path is not None and Path(path).is_file():
            say(f"{path} is written")
    return tally


def _targets(config: PredictConfig) -> tuple[str | None, Path | None]:
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


def _drawing(look: Look, drawer: Drawer, tally: Tally, lines: Journal | None) -> Callable[[Image], Image]:
    """What is done with each image: those in which something is are noted with the time of day."""

    def draw(image: Image) -> Image:
        now = datetime.datetime.now(datetime.UTC)
        found = look.many([image])[0]
        tally.add(found)
        if lines is not None and len(found):
            lines.add({"time": now.isoformat(timespec="milliseconds"), "detections": as_rows(found)})
        return drawer(image, found)

    return draw
