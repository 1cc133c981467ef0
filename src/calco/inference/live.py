"""A model over live images, as a camera gives them."""

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco import imaging
from calco.errors import CalcoError, UsageError
from calco.imaging import Image
from calco.inference import TranslateConfig
from calco.inference.backends import SAMPLES, Workload, keeps_up, newest, use_backend
from calco.inference.folder import is_exported
from calco.inference.network import pair_maker
from calco.inference.steady import Steady
from calco.inference.translator import Translator, model_folder
from calco.inference.video import RenderOptions, render_options, rgb
from calco.outputs import check_not_input
from calco.video.capture import Capture
from calco.video.live import open_sinks, play, stopping
from calco.video.reading import Frame
from calco.video.sources import LiveSource, LiveStatus, with_request

_log = logging.getLogger(__name__)
_RATE: Final = 25.0  # frames per second of a source that does not tell
_SAMPLED: Final = 5.0  # seconds for which a source is looked at before a backend is chosen


class LiveRenderer:
    """A model that renders live frames."""

    def __init__(self, translator: Translator, options: RenderOptions, steadier: Steady | None = None) -> None:
        """Prepare it; inputs are made as those of images."""
        self.translator, self.options, self.steadier = translator, options, steadier
        self._shape: tuple[int, ...] = ()
        self._make = None
        if options.make_input:
            self._make = pair_maker(translator.info, recipe=options.recipe, allow_code=options.allow_code,
                                    seed=options.noise_seed or 0)  # fmt: skip

    def warm_up(self) -> None:
        """Render one small image, so that the first frame does not wait for weight packing."""
        self._output(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, frame: Frame) -> Image:
        """Render a frame: HWC of the model's channels and type."""
        output = self._output(frame.image)
        if self.steadier is None:
            return output
        if frame.restarted or frame.image.shape != self._shape:
            self.steadier.reset()
        self._shape = frame.image.shape
        return self.steadier(frame.image, rgb(output))

    def _output(self, image: Image) -> Image:
        options = self.options
        if self._make is None:
            mask = _fitting(options.mask, image)
            return self.translator(image, mask=mask, noise_seed=options.noise_seed, native=options.native)
        # One name for all frames, so that random holes and scratches stand still.
        output = self.translator(self._make(image, "live").input, noise_seed=options.noise_seed, native=True)
        return imaging.resize(output, (image.shape[1], image.shape[0]))


def _fitting(mask: Image | None, image: Image) -> Any:
    if mask is None or mask.shape[:2] == image.shape[:2]:
        return mask
    return imaging.resize(mask.astype(np.uint8), (image.shape[1], image.shape[0]), "nearest").astype(np.bool_)


def _choose_backend(
    config: TranslateConfig, source: LiveSource, translator: Translator, options: RenderOptions
) -> None:  # fmt: skip
    """Let a backend compute the network where Calco's own kernels do not keep up with the source."""
    model = None if is_exported(config.model) else model_folder(config.model)
    rate = config.rate or _RATE
    if config.backend == "auto" and config.precision != "int8":
        trial = partial(_sample, np.zeros((480, 640, 3), np.uint8), options)
        if model is None or keeps_up(trial, translator, rate):
            return
        if source.kind in ("pipe", "address"):  # they may be read only once, so there is nothing to compare on
            if config.noise_seed is None:
                newest(translator, model, config.precision)
            return
    frames: list[Frame] = []
    capture = Capture(source, patience=1.0)
    capture.start()
    end = time.monotonic() + _SAMPLED
    try:
        while len(frames) < SAMPLES and not capture.over and time.monotonic() < end:
            if (frame := capture.take(0.1)) is not None:
                frames.append(frame)
    except CalcoError:  # the translation reports it
        return
    finally:
        capture.stop()
    work = Workload(
        samples=[partial(_sample, frame.image, options) for frame in frames],
        count=config.seconds * (capture.rate or rate) or math.inf,
    )
    use_backend(translator, model, work, backend=config.backend, precision=config.precision,
                noise_seed=config.noise_seed)  # fmt: skip


def _sample(image: Image, options: RenderOptions, translator: Translator) -> Image:
    return LiveRenderer(translator, options)._output(image)


def translated(
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
    options = render_options(config, translator.info)
    if config.backend != "calco":
        _choose_backend(config, source, translator, options)
    renderer = LiveRenderer(translator, options, Steady.of(translator.info) if config.steady else None)
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
                _log.info(f"{counts.summary()}, computed on {translator.computed_on}")
    if config.out is not None and Path(config.out).is_file():
        _log.info(f"{config.out} is written")
    return counts
