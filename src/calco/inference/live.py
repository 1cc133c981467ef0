"""Live translation: the newest image of a camera, a stream or a video, again and again."""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from calco.errors import CalcoError, UsageError
from calco.inference.config import TranslateConfig
from calco.inference.inputs import marked_in
from calco.inference.steady import Steady
from calco.inference.translator import Translator
from calco.inference.video_rendering import LiveRenderer, RenderOptions
from calco.networks.machine import NAMES
from calco.video.capture import Capture
from calco.video.live import LiveStatus, live_source_of, open_sinks, play, stopping
from calco.video.sources import LiveSource, with_request

_log = logging.getLogger(__name__)


def live_source(config: TranslateConfig) -> LiveSource | None:
    """Return the live source that a configuration names; None if it names files."""
    out = None if config.out is None else str(config.out)
    return live_source_of(str(config.images), out, live=config.live, window=config.window, page=config.page)


def translate_live(
    config: TranslateConfig, translator: Translator, *, status: Callable[[LiveStatus], None] = lambda _status: None
) -> LiveStatus:
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
    source = live_source(config)
    assert source is not None
    source = with_request(source, config.size, config.rate)
    out = None if config.out is None else str(config.out)
    if source.kind == "file" and out and _same(source.place, out):
        raise UsageError(f"--out {out} is the video that is read; choose another name")
    steadier = Steady.of(translator.info) if config.steady else None
    renderer = LiveRenderer(translator, render_options(config, translator), steadier)
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
                _log.info(f"{counts.summary()}, computed on {translator.device} in {NAMES[translator.precision]}")
    if config.out is not None and Path(config.out).is_file():
        _log.info(f"{config.out} is written")
    return counts


def render_options(config: TranslateConfig, translator: Translator) -> RenderOptions:
    """Return how live frames are rendered.

    Raises:
        CalcoError: If options contradict each other, or a mask cannot be read.
    """
    masks = None if config.masks is None else str(config.masks)
    if not config.make_input and (config.recipe is not None or config.allow_code):
        raise UsageError("--recipe and --allow-code serve --make-input; give that too, or leave them out")
    if masks is not None and config.make_input:
        raise UsageError("--masks marks what to redraw, and --make-input erases by itself; give one of them")
    if masks is not None and Path(masks).is_dir():
        raise CalcoError(f"--masks {masks} is a folder, and live images have one mask for all; name an image")
    return RenderOptions(
        mask=None if masks is None else marked_in(masks, translator.info.recipe), noise_seed=config.noise_seed,
        native=config.native, make_input=config.make_input, recipe=config.recipe, allow_code=config.allow_code,
    )  # fmt: skip


def _same(one: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other)
    return False
