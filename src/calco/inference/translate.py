"""`calco translate`: a model over images, videos or live images, whichever the arguments name."""

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Final

from calco.errors import UsageError
from calco.inference import TranslateConfig
from calco.inference.folder import is_exported
from calco.inference.images import translate_images
from calco.inference.network import Overlay
from calco.inference.results import Translation, VideosResult
from calco.inference.translator import Translator, load
from calco.networks.machine import make_ready
from calco.video.names import holds_videos, is_moving
from calco.video.sources import LiveStatus, live_source_of

_OF_IMAGES: Final = ("format", "shard_images", "engine", "address", "jobs")
_OF_VIDEOS: Final = ("codec", "quality", "from_", "to", "side_by_side", "holes_per_frame")
_OF_LIVE: Final = ("live", "window", "page", "size", "rate", "patience", "seconds")
_DEFAULTS: Final = {each.name: each.default for each in fields(TranslateConfig)}


def translate(
    config: TranslateConfig,
    *,
    progress: Callable[[float, int | None], None] = lambda _done, _total: None,
    status: Callable[[LiveStatus], None] = lambda _done: None,
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
    out = None if config.out is None else str(config.out)
    source = live_source_of(str(config.images), out, live=config.live, window=config.window, page=config.page)
    if source is not None:
        _refuse(
            config, (*_OF_IMAGES, *_OF_VIDEOS, "overwrite"), "images and videos in files; leave it out for live ones"
        )
        from calco.inference import live  # where they are needed: images are translated without PyAV and the like

        return live.translated(config, source, _translator(config), status)
    _refuse(
        config, _OF_LIVE, f"cameras, streams and videos that are played, and {config.images} is not one; leave it out"
    )
    if config.out is None:
        raise UsageError("--out is missing; name the folder to write into")
    if all(is_moving(name, out) or (os.path.isdir(name) and holds_videos(name)) for name in config.inputs):
        _refuse(config, _OF_IMAGES, f"images, and {config.images} is a video; leave it out")
        from calco.inference import video

        return video.translated(config, _translator(config), progress)
    _refuse(config, (*_OF_VIDEOS, "steady"), f"videos, and {config.images} is not one; leave it out")
    if config.more:
        raise UsageError(
            f"{config.more[0]}: unexpected argument; name one image or one folder, or the folder that holds both"
        )
    translator = _translator(config)  # a wrong model is reported before the images are listed
    done = translate_images(
        str(config.model), config.images, config.out, masks=config.masks, noise_seed=config.noise_seed,
        native=config.native, overwrite=config.overwrite, make_input=config.make_input, recipe=config.recipe,
        allow_code=config.allow_code, precision=config.precision, device=config.device, steps=config.steps,
        overlay=_overlay(config), format=config.format, shard_images=config.shard_images, engine=config.workers(),
        loaded=translator, backend=config.backend, progress=progress,
    )  # fmt: skip
    done.computed_on = translator.computed_on
    return done


def _refuse(config: TranslateConfig, names: tuple[str, ...], reason: str) -> None:
    """Refuse options that only inputs of another kind have."""
    for name in names:
        if getattr(config, name) != _DEFAULTS[name]:
            raise UsageError(f"--{name.strip('_').replace('_', '-')} is for {reason}")


def _translator(config: TranslateConfig) -> Translator:
    # Calco has no int8: it computes in float32 what no backend takes over.
    backed = config.precision == "int8" and config.backend != "calco" and not is_exported(config.model)
    translator = load(config.model, device=config.device, precision="fp32" if backed else config.precision)
    make_ready(translator.device, exact=config.precision == "fp32")
    translator.lay_over(_overlay(config))
    translator.refine_in(config.steps)
    return translator


def _overlay(config: TranslateConfig) -> Overlay | None:
    given = {name: value for name in ("alpha", "contour") if (value := getattr(config, name)) is not None}
    return Overlay(**given) if config.overlay else None
