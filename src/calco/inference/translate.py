"""`calco translate`: a model over images, videos or live images, whichever the arguments name."""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from calco.data.mask_encoding import read_mask
from calco.data.recipes.erase import given_region
from calco.data.sources import videos
from calco.errors import UsageError
from calco.inference.config import TranslateConfig
from calco.inference.images import Translation, translate_images
from calco.inference.loading import load
from calco.inference.overlay import Overlay
from calco.inference.results import check_not_input
from calco.inference.steady import Steady
from calco.inference.translator import Translator
from calco.inference.video import VideoOptions, VideosResult, translate_video, translate_videos
from calco.inference.video_rendering import LiveRenderer, RenderOptions
from calco.inference.working import weights_digest
from calco.networks.machine import NAMES, make_ready
from calco.video.capture import Capture
from calco.video.frames import is_moving, names_video
from calco.video.live import LiveStatus, live_source_of, open_sinks, play, stopping
from calco.video.names import seconds_of
from calco.video.sources import LiveSource, with_request

_log = logging.getLogger(__name__)

_OF_IMAGES: Final = ("format", "shard_images", "engine", "address", "jobs")
_OF_VIDEOS: Final = ("codec", "quality", "from_", "to", "side_by_side", "holes_per_frame")
_OF_LIVE: Final = ("live", "window", "page", "size", "rate", "patience", "seconds")
_DEFAULTS: Final = {each.name: each.default for each in fields(TranslateConfig)}


def translate(
    config: TranslateConfig,
    *,
    progress: Callable[[float, int | None], None] | None = None,
    status: Callable[[LiveStatus], None] | None = None,
) -> Translation | VideosResult | LiveStatus:
    """Apply a model to images, videos or live images; names, formats, sizes, EXIF and sound are kept.

    Args:
        config: Model, images and options.
        progress: Called with the number of images or frames done, and their number in all if that is known.
        status: Live, called after each frame with what has been done.

    Returns:
        The results and what was left out: a `Translation` for images, `VideosResult` for videos, `LiveStatus` for live
        images.

    Raises:
        CalcoError: If model or images cannot be used, options contradict each other, or nothing was written.
    """
    report = progress or (lambda _done, _total: None)
    out = None if config.out is None else str(config.out)
    source = live_source_of(str(config.images), out, live=config.live, window=config.window, page=config.page)
    if source is not None:
        _refuse(
            config, (*_OF_IMAGES, *_OF_VIDEOS, "overwrite"), "images and videos in files; leave it out for live ones"
        )
        return _translate_live(config, source, _translator(config), status or (lambda _done: None))
    _refuse(
        config, _OF_LIVE, f"cameras, streams and videos that are played, and {config.images} is not one; leave it out"
    )
    if config.out is None:
        raise UsageError("--out is missing; name the folder to write into")
    if all(is_moving(name, out) or (os.path.isdir(name) and videos.matches(name)) for name in config.inputs):
        _refuse(config, _OF_IMAGES, f"images, and {config.images} is a video; leave it out")
        return _translate_videos(config, _translator(config), report)
    _refuse(config, (*_OF_VIDEOS, "steady"), f"videos, and {config.images} is not one; leave it out")
    if config.more:
        raise UsageError(
            f"{config.more[0]}: unexpected argument; name one image or one folder, or the folder that holds both"
        )
    translator = _translator(config)  # a wrong model is reported before the images are listed
    done = translate_images(
        str(config.model), config.images, config.out, masks=config.masks, noise_seed=config.noise_seed,
        native=config.native, overwrite=config.overwrite, make_input=config.make_input, recipe=config.recipe,
        allow_code=config.allow_code, precision=config.precision, device=config.device, overlay=_overlay(config),
        format=config.format, shard_images=config.shard_images, engine=config.workers(), loaded=translator,
        progress=lambda done, total, _name: report(done, total),
    )  # fmt: skip
    done.computed_on = _computed_on(translator)
    return done


def _refuse(config: TranslateConfig, names: tuple[str, ...], reason: str) -> None:
    """Refuse options that only inputs of another kind have."""
    for name in names:
        if getattr(config, name) != _DEFAULTS[name]:
            raise UsageError(f"--{name.strip('_').replace('_', '-')} is for {reason}")


def _translator(config: TranslateConfig) -> Translator:
    translator = load(config.model, device=config.device, precision=config.precision)
    make_ready(translator.device, exact=config.precision == "fp32")
    translator.lay_over(_overlay(config))
    return translator


def _overlay(config: TranslateConfig) -> Overlay | None:
    given = {name: value for name in ("alpha", "contour") if (value := getattr(config, name)) is not None}
    return Overlay(**given) if config.overlay else None


def _translate_videos(
    config: TranslateConfig, translator: Translator, report: Callable[[float, int | None], None]
) -> VideosResult:
    made_by: dict[str, Any] = {
        "model": weights_digest(config.model),
        "precision": str(translator.precision).removeprefix("torch."),
    }
    if translator.overlay is not None:
        made_by["overlay"] = asdict(translator.overlay)
    options = VideoOptions(
        codec=config.codec, quality=config.quality, render=render_options(config, translator),
        overwrite=config.overwrite, made_by=made_by, start=seconds_of(config.from_ or "0"),
        stop=None if config.to is None else seconds_of(config.to),
        steadier=partial(Steady.of, translator.info) if config.steady else None,
    )  # fmt: skip
    if translator.info.palette is not None and translator.overlay is None:
        _log.warning("video codecs change the colours of classes; to keep them exact, translate the frames as images")
    inputs, out = [*config.inputs], str(config.out)

    def progress(done: int, total: int | None, _name: str) -> None:
        report(done, total)

    if len(inputs) == 1 and is_moving(inputs[0], out) and not os.path.isdir(inputs[0]) and names_video(out):
        done = translate_video(translator, inputs[0], out, options, progress=progress)
        return VideosResult(done.out, [done], computed_on=_computed_on(translator))
    result = translate_videos(translator, inputs, out, options, progress=progress)
    result.computed_on = _computed_on(translator)
    return result


def _computed_on(translator: Translator) -> str:
    return f"{translator.device} in {NAMES[translator.precision]}"


def render_options(config: TranslateConfig, translator: Translator) -> RenderOptions:
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
        mask=None if masks is None else given_region(read_mask(masks), translator.info.recipe.erase)[..., None],
        noise_seed=config.noise_seed,
        native=config.native, make_input=config.make_input, side_by_side=config.side_by_side,
        holes_per_frame=config.holes_per_frame, recipe=config.recipe, allow_code=config.allow_code,
    )  # fmt: skip


def _translate_live(
    config: TranslateConfig, source: LiveSource, translator: Translator, status: Callable[[LiveStatus], None]
) -> LiveStatus:
    """Translate live images until they end, or the process is asked to stop."""
    if config.more:
        raise UsageError(f"{config.more[0]}: unexpected argument; one source is shown live at a time")
    if config.out is None and not config.window and config.page is None:
        raise UsageError(
            "no output was chosen; add --window, --page 8000, or --out FILE (a video, a pipe, - for stdout)"
        )
    for name in ("patience", "seconds"):
        if not 0 <= getattr(config, name) < float("inf"):
            raise UsageError(f"--{name} is {getattr(config, name):g}; give seconds, or 0 for no limit")
    source = with_request(source, config.size, config.rate)
    out = None if config.out is None else str(config.out)
    if source.kind == "file" and out is not None:
        check_not_input(source.place, out)
    renderer = LiveRenderer(
        translator, render_options(config, translator), Steady.of(translator.info) if config.steady else None
    )
    renderer.warm_up()
    capture, counts = Capture(source, patience=config.patience, seconds=config.seconds), LiveStatus()
    title = f"{source.name} by {Path(config.model).name}"
    with stopping() as stop:
        try:
            sinks = open_sinks(capture, counts, title, out=out, page=config.page, window=config.window,
                               stopped=stop.is_set)  # fmt: skip
            play(capture, renderer, sinks, status=counts, progress=status, stop=stop)
        finally:
            if counts.rendered:
                _log.info(f"{counts.summary()}, computed on {_computed_on(translator)}")
    if config.out is not None and Path(config.out).is_file():
        _log.info(f"{config.out} is written")
    return counts
