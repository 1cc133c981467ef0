"""A model over videos: decoded, translated and encoded as one stream, and resumed after an interruption."""

import itertools
import os
import time as clocks
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from calco import imaging
from calco.data.sources.folders import nothing_in
from calco.errors import CalcoError, DiskError
from calco.files import list_files, sweep_files
from calco.inference.comparison import report_files, write_report
from calco.inference.results import (
    MANIFEST,
    VERB,
    VERSION,
    check_not_input,
    claim,
    same_inputs,
    stamps_of,
    write_manifest,
)
from calco.inference.steady import Steady
from calco.inference.translator import Translator
from calco.inference.video_rendering import RenderOptions, VideoRenderer
from calco.journal import remove as remove_journal
from calco.locks import locked_file
from calco.outputs import Outputs, new_file, settings_digest, writing_folder
from calco.records import check_numbers
from calco.video.encoding import choose_codec, written_as
from calco.video.frame_image import WHITE
from calco.video.frames import result_folder
from calco.video.names import is_video
from calco.video.reading import Video
from calco.video.recorded import VideoRun, check_begin, frame_count, identity_of
from calco.video.writing import VideoWriter, part_of

Progress = Callable[[int, int | None, str], None]
"""Called after each frame with the number done, the number in all where it is known, and the video's name."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How videos are translated."""

    codec: str | None = None  # h264, h265, vp9 or av1; None for that of the container
    quality: int | None = None  # the encoder's constant rate factor; None for the default
    start: Fraction = Fraction(0)  # seconds
    stop: Fraction | None = None  # seconds; None for the video's end
    render: RenderOptions = field(default_factory=RenderOptions)
    steadier: Callable[[], Steady] | None = None  # makes a steadier for each video
    made_by: dict[str, Any] = field(default_factory=dict)  # what else a result depends on, such as the model's digest
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.stop is not None and self.stop <= self.start:
            raise CalcoError(
                f"--to {float(self.stop):g} must be later than --from {float(self.start):g}; give a later time"
            )

    def record(self) -> dict[str, Any]:
        """Return what a result depends on, as plain data."""
        render = self.render
        mask = None if render.mask is None else f"{render.mask.shape} {int(render.mask.astype('u8').sum())}"
        rendered = {name: getattr(render, name) for name in ("noise_seed", "native", "make_input", "side_by_side",
                                                           "holes_per_frame", "recipe")}  # fmt: skip
        times = [str(self.start), None if self.stop is None else str(self.stop)]
        return {**self.made_by, **rendered, "mask": mask, "times": times, "codec": self.codec, "quality": self.quality,
                "steady": self.steadier is not None}  # fmt: skip


@dataclass
class VideoResult:
    """Result of translating a video."""

    out: Path
    frames: int = 0  # translated now
    kept: int = 0  # frames from before an interruption
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)  # sentences on damage and on differences from the source
    psnr: float | None = None  # mean over the frames, dB, of a side-by-side video
    page: Path | None = None  # of the report of a side-by-side video


def translate_video(
    translator: Translator,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: VideoOptions | None = None,
    *,
    progress: Progress | None = None,
) -> VideoResult:
    """Translate a video; size, rate, times, sound, colours and title are kept.

    An interrupted call resumes when it is repeated with the same model and options. Under the name `out` there is a
    whole video or none. `progress` is called after each frame.
    """
    options = options or VideoOptions()
    target = Path(out)
    choose_codec(options.codec, str(target))
    check_not_input(os.fspath(source), target)
    with new_file(target, VERB, beside=_reports_of(target, options), overwrite=options.overwrite):
        return _translated(translator, os.fspath(source), target, options, progress)


def _reports_of(target: Path, options: VideoOptions) -> list[Path]:
    """Return the files that are written beside a video."""
    return list(report_files(target)) if options.render.side_by_side else []


def _translated(
    translator: Translator, source: str, target: Path, options: VideoOptions, progress: Progress | None
) -> VideoResult:
    """Translate a video for a caller that holds the lock and knows that the files may be replaced."""
    began = clocks.monotonic()
    choose_codec(options.codec, str(target))
    video = Video(source, background=imaging.background_colour(translator.info.source.background) or WHITE)
    check_begin(video, options.start)
    if options.overwrite:
        remove_journal(part_of(target))
    made_by = {"video": identity_of(source), **options.record()}
    result = VideoResult(target)
    steadier = options.steadier() if options.steadier is not None else None
    renderer = VideoRenderer(
        translator, video, options.render, steadier, frame_count(video, options.start, options.stop)
    )
    with VideoWriter(
        target, renderer.size, codec=options.codec, quality=options.quality, like=video, start=options.start,
        stop=options.stop, made_by=made_by,
    ) as writer:  # fmt: skip
        work = VideoRun(video, renderer, writer, options.start, options.stop)
        result.kept, renderer.first, renderer.start = work.kept, work.kept, options.start
        if renderer.sheet is not None:
            for score, _ in itertools.islice(writer.notes(), work.kept):
                renderer.sheet.extend(score)
        work.run((lambda done: progress(done, work.total, video.path)) if progress is not None else lambda _done: None)
        result.frames = work.frames
        writer.finish()
        scores = [(float(time), float(score)) for score, time in writer.notes()]
    result.notes = [*video.notes, *writer.remarks, *(f"{source}: {what}" for what in video.damage)]
    if scores and renderer.sheet is not None:
        result.psnr = sum(score for _, score in scores) / len(scores)
        result.page = write_report(target, source, scores, renderer.sheet)
    result.seconds = clocks.monotonic() - began
    return result


@dataclass
class VideosResult:
    """Result of translating several videos."""

    out: Path
    done: list[VideoResult] = field(default_factory=list)
    kept: int = 0  # videos that an earlier call with the same model had written
    left_out: dict[str, str] = field(default_factory=dict)  # reason by name
    computed_on: str = ""  # such as "cpu in bf16"


def list_videos(sources: list[str], out: Path) -> list[tuple[str, str]]:
    """Return videos and their names in the folder `out`, of single videos and of folders with all below them."""
    found: list[tuple[str, str]] = []
    for source in sources:
        if not os.path.isdir(source):
            found.append((source, os.path.basename(source)))
            continue
        listing = list_files(source, is_video)
        inside = os.path.join(os.path.realpath(out), "")
        paths = [path for path in listing.paths if not os.path.realpath(path).startswith(inside)]
        if not paths:
            raise CalcoError(nothing_in(Path(source), listing.left_out, "video"))
        found += [(path, path[len(listing.root) :]) for path in paths]
    names = [name for _, name in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CalcoError(f"two videos would be written as {twice[0]}; translate them into two folders")
    return found


def translate_videos(
    translator: Translator, sources: list[str], out: str | os.PathLike[str], options: VideoOptions | None = None, *,
    progress: Progress | None = None,
) -> VideosResult:  # fmt: skip
    """Translate videos, and folders of them, into a folder; one that cannot be read is left out.

    Results of the same model and options from the same videos are kept. `progress` is called after each frame.
    """
    options = options or VideoOptions()
    folder = result_folder(out)
    videos = list_videos(sources, folder)
    targets = [folder / written_as(name, options.codec) for _, name in videos]
    for (source, _), target in zip(videos, targets, strict=True):
        check_not_input(source, target)
    record = {"version": VERSION, **options.record()}
    result = VideosResult(folder)
    with writing_folder(folder, VERB, overwrite=options.overwrite) as outputs:
        # Nothing is written before it is clear that all of it may be.
        outputs.check([folder / MANIFEST, *(path for each in targets for path in (each, *_reports_of(each, options)))])
        claim(str(folder / MANIFEST), record, overwrite=options.overwrite)
        for source, name in videos:
            _translate(translator, source, name, options, outputs, result, progress)
        write_manifest(str(folder / MANIFEST), {**record, "left_out": result.left_out})
    if not result.done and not result.kept:
        name, reason = next(iter(result.left_out.items()))
        raise CalcoError(f"none of the {len(videos)} videos could be translated; the first, {name}: {reason}")
    return result


def _translate(
    translator: Translator, source: str, name: str, options: VideoOptions, outputs: Outputs, result: VideosResult,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Translate one of the videos, unless its result is there."""
    target, settings = result.out / written_as(name, options.codec), settings_digest(options.record())
    before = outputs.stamps(name, settings)
    if not options.overwrite and before is not None and outputs.owns(target) and same_inputs([source], before):
        result.kept += 1
        return
    try:
        with locked_file(target, VERB):
            sweep_files([target, *_reports_of(target, options)])
            stamps = stamps_of([source])
            result.done.append(_translated(translator, source, target, options, progress))
            outputs.note_done(name, settings, stamps)
    except DiskError:  # nor can those that follow be written
        raise
    except CalcoError as error:
        result.left_out[name] = str(error)
