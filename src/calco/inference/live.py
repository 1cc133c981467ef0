"""A model over live images, as a camera gives them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calco import imaging
from calco.errors import UsageError
from calco.imaging import Image
from calco.inference.config import TranslateConfig
from calco.inference.network import pair_maker
from calco.inference.steady import Steady
from calco.inference.translator import Translator
from calco.inference.video import RenderOptions, render_options, rgb
from calco.outputs import check_not_input
from calco.video.capture import Capture
from calco.video.live import open_sinks, play, stopping
from calco.video.reading import Frame
from calco.video.sources import LiveSource, LiveStatus, with_request

_log = logging.getLogger(__name__)


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
    renderer = LiveRenderer(
        translator, render_options(config, translator.info), Steady.of(translator.info) if config.steady else None
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
                _log.info(f"{counts.summary()}, computed on {translator.computed_on}")
    if config.out is not None and Path(config.out).is_file():
        _log.info(f"{config.out} is written")
    return counts
