"""A model over videos: decoded, rendered and encoded as one stream, and resumed after an interruption."""

import contextlib
import itertools
import logging
import math
import os
import time as clocks
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from calco import imaging
from calco.data.mask_encoding import read_mask
from calco.data.recipes import recipe_here, steps_of
from calco.data.recipes.colorize import grey_of
from calco.data.recipes.erase import given_region
from calco.data.recipes.strokes import Bools
from calco.data.sample import Pair
from calco.data.sources.folders import nothing_in
from calco.errors import CalcoError, DiskError, UsageError
from calco.files import list_files, read_json, sweep_files
from calco.imaging import Image
from calco.inference import TranslateConfig
from calco.inference.backends import SAMPLES, Workload, use_backend
from calco.inference.comparison import ComparisonSheet, psnr, report_files, write_report
from calco.inference.folder import ModelInfo, is_exported
from calco.inference.network import adapted, pair_maker
from calco.inference.results import (
    MANIFEST,
    VERB,
    VERSION,
    VideoResult,
    VideosResult,
    claim,
    same_inputs,
    stamps_of,
    write_manifest,
)
from calco.inference.steady import Steady
from calco.inference.translator import Translator, model_folder, weights_digest
from calco.journal import decode
from calco.journal import remove as remove_journal
from calco.outputs import Outputs, check_not_input, locked_file, new_file, settings_digest, writing_folder
from calco.records import check_numbers
from calco.video.encoding import choose_codec, written_as
from calco.video.frame_image import WHITE
from calco.video.names import is_moving, is_video, names_video, result_folder, seconds_of
from calco.video.pipeline import RenderedFrame
from calco.video.reading import Frame, Video
from calco.video.recorded import VideoRun, VideoStep, check_begin, frame_count, identity_of
from calco.video.writing import VideoWriter, part_of

_log = logging.getLogger(__name__)

_LOOKBACK: Final = 8  # frames before the place where it resumes, from which steadying takes its memory
Progress = Callable[[int, int | None], None]
"""Called after each frame with the number done, and the number in all where it is known."""


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """How frames are rendered."""

    mask: Image | None = None  # HWC, redrawn in every frame
    noise_seed: int | None = None  # as of the Translator, for all frames; also seeds inputs that are made
    native: bool = False  # as of the Translator
    make_input: bool = False  # make the input of each frame by the model's recipe
    side_by_side: bool = False  # the same, and show truth, input and output together
    holes_per_frame: bool = False  # the recipe's random numbers differ from frame to frame
    recipe: str | None = None  # file of a custom recipe
    allow_code: bool = False  # run that file although nobody has named it here


def render_options(config: TranslateConfig, info: ModelInfo) -> RenderOptions:
    """Return how the frames of a video or a live source are rendered."""
    masks = None if config.masks is None else str(config.masks)
    makes = config.make_input or config.side_by_side
    if masks is not None and makes:
        raise UsageError("--masks marks what to redraw, and the recipe erases by itself; give one of them")
    if masks is not None and not os.path.isfile(masks):
        raise UsageError(f"--masks {masks} must be one image, which serves for all frames of a video; name its file")
    if not makes and (config.recipe is not None or config.allow_code or config.holes_per_frame):
        raise UsageError(
            "--recipe, --allow-code and --holes-per-frame serve --side-by-side and --make-input; give one of these too"
        )
    return RenderOptions(
        mask=None if masks is None else given_region(read_mask(masks), info.recipe.erase)[..., None],
        noise_seed=config.noise_seed,
        native=config.native, make_input=config.make_input, side_by_side=config.side_by_side,
        holes_per_frame=config.holes_per_frame, recipe=config.recipe, allow_code=config.allow_code,
    )  # fmt: skip


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


class VideoRenderer(VideoStep):
    """A model that renders the frames of a video; `sheet` is the layout of a side-by-side video."""

    def __init__(self, translator: Translator, video: Video, options: RenderOptions, steadier: Steady | None = None,
                 frames: int | None = None) -> None:  # fmt: skip
        """Prepare for a video of a number of frames, where that is known."""
        self.translator, self.options, self.steadier = translator, options, steadier
        self.lookback = _LOOKBACK / video.rate if steadier is not None else Fraction(0)
        makes = options.make_input or options.side_by_side
        self._make = _maker(translator.info, options, video) if makes else None
        self.sheet = ComparisonSheet(video.size, frames or 0) if options.side_by_side else None
        self.size = self.sheet.size if self.sheet is not None else video.size
        self.first, self.start = 0, Fraction(0)  # number and seconds of the first frame that is written

    def __call__(self, frames: Sequence[Frame]) -> list[RenderedFrame]:
        """Render frames; they come in order."""
        return [self._rendered(frame) for frame in frames]

    def _rendered(self, frame: Frame) -> RenderedFrame:
        options, image = self.options, frame.image
        if self._make is None:
            shown = image
            output = self.translator(image, mask=options.mask, noise_seed=options.noise_seed, native=options.native)
        else:
            shown, mask, scaled = self._make(frame)
            if scaled is not None:  # made at the scale of training, and so shown as it is
                small = self.translator(scaled, noise_seed=options.noise_seed, native=True)
                output = imaging.resize(small, (image.shape[1], image.shape[0]))
            else:
                output = self.translator(image, mask=mask, noise_seed=options.noise_seed, native=options.native)
        output = rgb(output)
        if self.steadier is not None:
            output = self.steadier(rgb(shown), output)
        if self.sheet is None or frame.number < self.first:
            return RenderedFrame(frame, output)
        score = psnr(output, image)
        seconds = float(max(Fraction(0), frame.time - self.start))
        return RenderedFrame(frame, self.sheet.render((image, rgb(shown), output), score), [score, seconds])


def rgb(image: Image) -> Image:
    """Return an image as a person sees it, HW3 `uint8`."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return image
    return imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)


_Made = tuple[Image, Bools | None, Image | None]  # shown input, mask for the translator, input at the training's scale


def _maker(info: ModelInfo, options: RenderOptions, video: Video) -> Callable[[Frame], _Made]:
    """Return what makes inputs of frames: at full size where grey and holes do it, else at the scale of training."""
    config = recipe_here(info.recipe, options.recipe)
    steps, name = steps_of(config.recipe), video.path.rpartition("/")[2]
    make = pair_maker(info, recipe=options.recipe, allow_code=options.allow_code, seed=options.noise_seed or 0)

    def pair(frame: Frame) -> Pair:
        number = frame.pts if frame.pts is not None else frame.number
        return make(frame.image, f"{name}/{number}" if options.holes_per_frame else name)

    once: list[Bools] = []

    def with_holes(frame: Frame) -> _Made:
        height, width = frame.image.shape[:2]
        if not once or options.holes_per_frame:
            region = pair(frame).region
            assert region is not None
            flat = np.asarray(region, np.uint8).reshape(region.shape[:2])
            once[:] = [cv2.resize(flat, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)]
        shown = adapted(frame.image, once[0], info.recipe, info.in_channels, info.source.background)
        return shown, once[0], None

    def grey(frame: Frame) -> _Made:
        return grey_of(frame.image, config.colorize), None, None

    def other(frame: Frame) -> _Made:
        made = pair(frame).input
        return imaging.resize(made, (frame.image.shape[1], frame.image.shape[0])), None, made

    if set(steps) <= {"colorize", "erase"}:
        return with_holes if "erase" in steps else grey
    return other


def translate_video(
    translator: Translator, source: str | os.PathLike[str], out: str | os.PathLike[str],
    options: VideoOptions | None = None, *, progress: Progress = lambda _done, _total: None,
    shown: Callable[[Image], None] = lambda _image: None,
) -> VideoResult:  # fmt: skip
    """Translate a video; size, rate, times, sound, colours and title are kept.

    An interrupted call resumes when it is repeated with the same model and options. Under the name `out` there is a
    whole video or none. `progress` is called after each frame, `shown` with each image that is written, HWC `uint8`.
    """
    options = options or VideoOptions()
    target = Path(out)
    choose_codec(options.codec, str(target))
    check_not_input(os.fspath(source), target)
    with new_file(target, VERB, beside=_reports_of(target, options), overwrite=options.overwrite):
        return _translated(translator, os.fspath(source), target, options, progress, shown)


def _reports_of(target: Path, options: VideoOptions) -> list[Path]:
    """Return the files that are written beside a video."""
    return list(report_files(target)) if options.render.side_by_side else []


def _translated(
    translator: Translator, source: str, target: Path, options: VideoOptions, progress: Progress,
    shown: Callable[[Image], None] = lambda _image: None,
) -> VideoResult:  # fmt: skip
    """Translate a video for a caller that holds the lock and knows that the files may be replaced."""
    began = clocks.monotonic()
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
        work = VideoRun(video, renderer, writer, options.start, options.stop, shown=shown)
        result.kept, renderer.first, renderer.start = work.kept, work.kept, options.start
        if renderer.sheet is not None:
            for score, _ in itertools.islice(writer.notes(), work.kept):
                renderer.sheet.extend(score)
        work.run(lambda done: progress(done, work.total))
        result.frames = work.frames
        writer.finish()
        scores = [(float(time), float(score)) for score, time in writer.notes()]
    result.notes = [*video.notes, *writer.remarks, *(f"{source}: {what}" for what in video.damage)]
    if scores and renderer.sheet is not None:
        result.psnr = sum(score for _, score in scores) / len(scores)
        result.page = write_report(target, source, scores, renderer.sheet)
    result.seconds = clocks.monotonic() - began
    return result


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
    progress: Progress = lambda _done, _total: None,
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
    progress: Progress,
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


def _begun(out: Path, *, single: bool) -> dict[str, Any] | None:
    """Return what made a video that an interrupted call began, or the results in a folder; None if there is none."""
    if not single:
        return read_json(out / MANIFEST) if (out / MANIFEST).is_file() else None
    part = part_of(out)
    if not part.is_file():
        return None
    with part.open("rb") as file:
        row = decode(file.readline())
    for _ in range(2):  # the journal's own line, and in it that of `VideoWriter`
        row = row.get("made_by") if isinstance(row, dict) else None
    return row if isinstance(row, dict) else None


def _work(sources: Sequence[str], options: VideoOptions, began: dict[str, Any] | None) -> Workload[Translator]:
    """Return the frames in all, and some that are evenly distributed over the videos."""
    samples: list[Callable[[Translator], Image]] = []
    count = 0.0
    makes = options.render.make_input or options.render.side_by_side
    render = replace(options.render, make_input=makes, side_by_side=False)
    for number, source in enumerate(sources):
        try:
            video = Video(source)
        except CalcoError:  # it is reported when its turn comes
            continue
        count += frame_count(video, options.start, options.stop) or math.inf
        few = SAMPLES // len(sources) + (number < SAMPLES % len(sources))
        end = video.duration if options.stop is None else min(video.duration or math.inf, float(options.stop))
        length = max(0.0, (end or 0.0) - float(options.start))
        times = [float(options.start) + length * (place + 0.5) / few for place in range(few)]
        samples += [partial(_sample, video, time, render) for time in times]
    return Workload(samples=samples, count=count, began=began)


def _sample(video: Video, time: float, render: RenderOptions, translator: Translator) -> Image:
    """Render one frame of a video."""
    with contextlib.closing(video.frames(time)) as frames:
        frame = next(frames, None)
    if frame is None:
        raise CalcoError(f"{video.path} has no frame at {time:.1f} seconds")
    image = VideoRenderer(translator, video, render)([frame])[0].image
    assert image is not None
    return image


def translated(config: TranslateConfig, translator: Translator, progress: Progress) -> VideosResult:
    """Translate the videos that a configuration names, into one file or a folder."""
    options = VideoOptions(
        codec=config.codec, quality=config.quality, render=render_options(config, translator.info),
        overwrite=config.overwrite,
        start=seconds_of(config.from_ or "0"), stop=None if config.to is None else seconds_of(config.to),
        steadier=partial(Steady.of, translator.info) if config.steady else None,
    )  # fmt: skip
    if translator.info.palette is not None and translator.overlay is None:
        _log.warning("video codecs change the colours of classes; to keep them exact, translate the frames as images")
    inputs, out = [*config.inputs], str(config.out)
    single = len(inputs) == 1 and is_moving(inputs[0], out) and not os.path.isdir(inputs[0]) and names_video(out)
    if config.backend != "calco":
        began = None if config.overwrite else _begun(Path(out), single=single)
        sources = inputs if single else [source for source, _ in list_videos(inputs, Path(out))]
        use_backend(
            translator, None if is_exported(config.model) else model_folder(config.model),
            _work(sources, options, began), backend=config.backend, precision=config.precision,
            noise_seed=config.noise_seed,
        )  # fmt: skip
    options = replace(options, made_by={"model": weights_digest(config.model), **translator.settings})
    if single:
        done = translate_video(translator, inputs[0], out, options, progress=progress)
        return VideosResult(done.out, [done], computed_on=translator.computed_on)
    result = translate_videos(translator, inputs, out, options, progress=progress)
    result.computed_on = translator.computed_on
    return result
