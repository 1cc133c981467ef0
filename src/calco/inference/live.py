"""Live translation: the newest image of a camera, a stream or a video, again and again."""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calco import imaging
from calco.errors import CalcoError, UsageError
from calco.imaging import Image
from calco.inference.adapt import marked_in
from calco.inference.config import TranslateConfig
from calco.inference.making import input_maker
from calco.inference.model import Translator
from calco.inference.steady import Steady
from calco.networks.machine import NAMES
from calco.video.capture import Capture
from calco.video.pipeline import Done, live, origin_asked, sinks_of, stopping
from calco.video.sinks import as_shown
from calco.video.sources import Origin, asked

_log = logging.getLogger(__name__)


def live_origin(config: TranslateConfig) -> Origin | None:
    """Return the live source that a configuration names; None if it names files."""
    return origin_asked(str(config.images), _sink_options(config))


def translate_live(
    config: TranslateConfig, translator: Translator, *, status: Callable[[Done], None] = lambda _done: None
) -> Done:
    """Translate live images until they end, or the process is asked to stop.

    Args:
        config: Source, where its images go, and limits.
        translator: The model.
        status: Called after each frame with what has been done.

    Returns:
        Counts of frames, and their delays.

    Raises:
        CalcoError: When options contradict each other, or source or sinks cannot be used.
    """
    if config.more:
        raise UsageError(f"{config.more[0]}: unexpected argument; one source is shown live at a time")
    if config.out is None and not config.window and config.page is None:
        raise UsageError(
            "no output was chosen; add --window, --page 8000, or --out FILE (a video, a pipe, - for stdout)"
        )
    for name in ("patience", "seconds"):
        if not 0 <= getattr(config, name) < float("inf"):
            raise UsageError(f"--{name} is {getattr(config, name):g}; give seconds, or 0 for no limit")
    origin = live_origin(config)
    assert origin is not None
    origin = asked(origin, config.size, config.rate)
    if origin.kind == "file" and config.out and _same(origin.place, str(config.out)):
        raise UsageError(f"--out {config.out} is the video that is read; choose another name")
    generate, reset = generator(translator, config), _nothing
    generate(np.zeros((64, 64, 3), np.uint8))  # warm-up, so that the first frame does not wait for weight packing
    if config.steady:
        generate, reset = steadied(generate, Steady.of(translator.info))
    capture, done = Capture(origin, patience=config.patience), Done()
    with stopping() as stop:
        sinks = sinks_of(_sink_options(config), capture, done, stop.is_set)
        try:
            live(generate, capture, sinks, seconds=config.seconds, reset=reset, progress=status, done=done, stop=stop)
        finally:
            if done.drawn:
                _log.info(f"{done.words()}, computed on {translator.device} in {NAMES[translator.precision]}")
    if config.out is not None and Path(config.out).is_file():
        _log.info(f"{config.out} is written")
    return done


def _sink_options(config: TranslateConfig) -> dict[str, Any]:
    return vars(config) | {"out": None if config.out is None else str(config.out)}


def generator(translator: Translator, config: TranslateConfig) -> Callable[[Image], Image]:
    """Return the function from an image to the output, as the options ask.

    Raises:
        CalcoError: When they do not go together, or a mask cannot be read.
    """
    noise_seed, native = config.noise_seed, config.native
    mask = _mask(str(config.masks), translator) if config.masks is not None else None
    if not config.make_input:
        if config.recipe is not None or config.allow_code:
            raise UsageError("--recipe and --allow-code serve --make-input; give that too, or leave them out")
        return lambda image: translator(image, mask=_fitting(mask, image), noise_seed=noise_seed, native=native)
    if mask is not None:
        raise UsageError("--masks marks what to redraw, and --make-input erases by itself; give one of them")
    make = input_maker(translator.info, recipe=config.recipe, allow_code=config.allow_code, seed=noise_seed or 0)

    def made(image: Image) -> Image:
        # One name for all frames: what chance makes (holes, scratches) stands still.
        drawn = translator(make(image, "live"), noise_seed=noise_seed, native=True)
        return imaging.resize(drawn, (image.shape[1], image.shape[0]))

    return made


def steadied(draw: Callable[[Image], Image], steady: Any) -> tuple[Callable[[Image], Image], Callable[[], None]]:
    """Drawing with less flicker, and what makes it begin anew, as after a source was lost."""
    before: tuple[int, ...] = ()

    def drawn(image: Image) -> Image:
        nonlocal before
        if image.shape != before:
            steady.reset()
        before = image.shape
        result: Image = steady(image, as_shown(draw(image)))
        return result

    return drawn, steady.reset


def _nothing() -> None:
    pass


def _mask(path: str, translator: Translator) -> Image:
    if Path(path).is_dir():
        raise CalcoError(f"--masks {path} is a folder, and live images have one mask for all; name an image")
    return marked_in(path, translator.info.recipe)


def _fitting(mask: Image | None, image: Image) -> Image | None:
    if mask is None or mask.shape[:2] == image.shape[:2]:
        return mask
    return imaging.resize(mask.astype(np.uint8), (image.shape[1], image.shape[0]), "nearest").astype(np.bool_)


def _same(one: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other)
    return False
