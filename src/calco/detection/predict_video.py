"""A detector over a video: each frame drawn, with the video's times and sound, and a line for each."""

import contextlib
import itertools
import os
import time as clocks
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from calco import journal
from calco.annotations.detections import Detections
from calco.detection.drawing import Drawer
from calco.detection.predict_images import lots
from calco.detection.slicing import Look, Tally
from calco.detection.tables import as_rows, from_rows, write_csv
from calco.errors import CalcoError
from calco.files import short_name, sweep_files
from calco.imaging import Image
from calco.journal import Journal
from calco.locks import locked_file
from calco.video.encoding import choose_codec
from calco.video.pipeline import ahead, pump
from calco.video.reading import Frame, Video
from calco.video.writing import VideoWriter, part_of, remove_part

VERB: Final = "calco detect predict"
_DIGITS: Final = 6  # of seconds: a millionth


@dataclass(frozen=True, kw_only=True)
class VideoWish:
    """What is wanted of a video.

    Attributes:
        drawn: The video to write; None for tables alone.
        lines: The JSON lines to write; the CSV lies beside it.
        formats: What is written.
        start: Seconds at which it begins.
        stop: Where it ends; None for the video's end.
        codec: As of `VideoWriter`.
        quality: As of `VideoWriter`.
        scale: Of lines and letters.
        made_by: What else another result would come from: the model.
        overwrite: Begins anew.
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

    def results(self) -> list[Path]:
        """What will be there at the end."""
        paths = [self.lines] if "jsonl" in self.formats else []
        paths += [self.table] if "csv" in self.formats else []
        return paths + ([self.drawn] if self.drawn is not None else [])


@dataclass
class VideoDone:
    """What came of a video.

    Attributes:
        written: The files.
        frames: Those looked at now.
        kept: Those from before an interruption.
        seconds: Of the work.
        tally: What was found, frame by frame.
        notes: What is not as in the video that was given, or was damaged, a sentence each.
    """

    written: list[Path]
    frames: int = 0
    kept: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Seen:
    number: int
    frame: Frame
    found: Detections
    image: Image | None


def predict_video(
    look: Look,
    source: str,
    wish: VideoWish,
    *,
    progress: Callable[[float, int | None], None] = lambda _done, _of: None,
) -> VideoDone:
    """Looks at each frame of a video.

    Size, rate, times, sound, colours and title of what is drawn are the video's. A call that was interrupted, by
    whatever, goes on where it stopped when it is repeated with the same model and options.

    Args:
        look: How.
        source: A video.
        wish: What is wanted of it.
        progress: Is told how many frames are done, and of how many where that is known.

    Raises:
        CalcoError: When the video cannot be read, or a result cannot be written or is there already.
    """
    with locked_file(wish.lines, VERB):
        _check_targets(source, wish)
        sweep_files(wish.results())
        return predicted_video(look, source, wish, progress=progress)


def predicted_video(
    look: Look, source: str, wish: VideoWish, *,
    progress: Callable[[float, int | None], None] = lambda _done, _of: None,
) -> VideoDone:  # fmt: skip
    """As `predict_video`, for a caller that holds the lock and knows that the files may be replaced."""
    began = clocks.monotonic()
    video = Video(source)
    if video.duration is not None and float(wish.start) >= video.duration + 1:
        raise CalcoError(f"{source} is {video.duration:.1f} seconds long, and --from is {float(wish.start):g}; "
                         "give an earlier time")  # fmt: skip
    status = os.stat(source)
    made_by = {
        "video": [os.path.basename(source), status.st_size, status.st_mtime_ns], **wish.made_by, **look.record(),
        "times": [str(wish.start), str(wish.stop)], "codec": wish.codec, "quality": wish.quality, "scale": wish.scale,
        "drawn": wish.drawn is not None,
    }  # fmt: skip
    part = wish.lines.with_name(short_name(f".{wish.lines.name}", ".part"))
    if wish.overwrite:
        journal.remove(part)
    lines = Journal(part, made_by)
    done = VideoDone(wish.results())
    try:
        _work(look, video, wish, made_by, lines, done, progress)
        if "csv" in wish.formats:
            write_csv(wish.table, lines.rows())
    finally:
        if not lines.count:
            part.unlink(missing_ok=True)
    if "jsonl" in wish.formats:
        lines.finish(wish.lines)
    part.unlink(missing_ok=True)
    done.notes = [*video.notes, *done.notes, *(f"{source}: {what}" for what in video.damage)]
    done.seconds = clocks.monotonic() - began
    return done


def _work(
    look: Look,
    video: Video,
    wish: VideoWish,
    made_by: dict[str, Any],
    lines: Journal,
    done: VideoDone,
    progress: Callable[[float, int | None], None],
) -> None:
    total = _total(video, wish)
    drawer = Drawer(look.detector.classes, share=wish.scale)
    writer = _writer(video, wish, made_by, lines)
    begin = lines.count if writer is None else writer.done
    # An encoder holds frames back, so of some the lines know more than the video's part has.
    known: dict[int, Detections] = {}
    for number, row in enumerate(lines.rows()):
        objects = from_rows(row["detections"])
        done.tally.add(objects)
        if number >= begin:
            known[number] = objects
    done.kept = lines.count

    def find(lot: Sequence[tuple[int, Frame]]) -> list[_Seen]:
        new = [frame.image for number, frame in lot if number not in known]
        found = iter(look.many(new) if new else [])
        seen = []
        for number, frame in lot:
            objects = known.pop(number) if number in known else next(found)
            seen.append(_Seen(number, frame, objects, None if writer is None else drawer(frame.image, objects)))
        return seen

    def keep(lot: Sequence[_Seen]) -> None:
        for seen in lot:
            # The line first: what the video's part holds, the lines hold.
            if seen.number >= lines.count:
                time = round(float(seen.frame.time), _DIGITS)
                lines.add({"frame": seen.number, "time": time, "detections": as_rows(seen.found)})
                done.tally.add(seen.found)
                done.frames += 1
            if writer is not None and seen.image is not None:
                writer.write(seen.image, max(Fraction(0), seen.frame.time - wish.start), duration=seen.frame.duration)
            progress(seen.number + 1, total)

    # Decoding what is done already costs little beside looking at it, and is exact.
    coming = itertools.islice(enumerate(video.frames(wish.start, wish.stop)), begin, None)
    length = ahead(3 * video.size[0] * video.size[1] * look.batch)
    with contextlib.nullcontext() if writer is None else writer:
        pump(lots(coming, look.batch), find, keep, length=length)
    if not lines.count:
        raise CalcoError(f"{video.path} shows no frame between these times; choose others")
    done.notes += [] if writer is None else writer.notes


def _writer(video: Video, wish: VideoWish, made_by: dict[str, Any], lines: Journal) -> VideoWriter | None:
    """What writes the video, behind what is there of it."""
    if wish.drawn is None:
        return None
    if wish.overwrite or not lines.count:
        remove_part(part_of(wish.drawn))

    def opened() -> VideoWriter:
        assert wish.drawn is not None
        return VideoWriter(wish.drawn, video.size, codec=wish.codec, quality=wish.quality, like=video, start=wish.start,
                          stop=wish.stop, made_by=made_by)  # fmt: skip

    writer = opened()
    if writer.done > lines.count:  # somebody has removed the lines
        writer.__exit__(CalcoError, None, None)
        remove_part(part_of(wish.drawn))
        writer = opened()
    return writer


def _check_targets(source: str, wish: VideoWish) -> None:
    if wish.drawn is not None:
        choose_codec(wish.codec, str(wish.drawn))
    for path in wish.results():
        if path.exists() and os.path.exists(source) and os.path.samefile(source, path):
            raise CalcoError(f"the result would replace {source}; choose another --out")
        if os.path.lexists(path) and not wish.overwrite:
            raise CalcoError(f"{path} is there already; choose another --out, or --overwrite")


def _total(video: Video, wish: VideoWish) -> int | None:
    """How many frames there will be, as far as that can be told."""
    if video.frames_hint is None or video.duration is None:
        return video.frames_hint
    end = video.duration if wish.stop is None else min(video.duration, float(wish.stop))
    return max(1, round(video.frames_hint * (end - float(wish.start)) / video.duration))
