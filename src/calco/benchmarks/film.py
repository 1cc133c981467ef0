"""The row of films: decoded, drawn and encoded as one stream, beside the model on frames that are at hand."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from calco.benchmarks.pictures import scene
from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, alternate, per_second, row
from calco.film.reading import Film
from calco.film.translate import FilmOptions, translate_film
from calco.film.writing import FilmWriter
from calco.inference.model import ModelInfo, Translator
from calco.pairs.recipes import RecipeConfig
from calco.training.loop import Networks

_RATE = Fraction(25)


def film(setting: Setting) -> Iterator[Row]:
    """A film => a translated film, and the same frames as arrays through the Translator."""
    sizes, config = setting.sizes, setting.train_config(1)
    (width, height), count = sizes.film_wh, sizes.film_frames
    networks = Networks(config, 3, 3, setting.device)
    info = ModelInfo(
        generator=config.generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter,
        in_channels=3, out_channels=3,
    )  # fmt: skip
    translator = Translator(info, networks.generator, device=setting.device, precision=networks.dtype)
    source = setting.folder / "film.mp4"
    wide = scene(setting.config.seed, "film", (width + 2 * count, height))
    with FilmWriter(source, (width, height), rate=_RATE) as writer:  # a camera that moves by two pixels a frame
        for number in range(count):
            writer.write(np.ascontiguousarray(wide[:, 2 * number : 2 * number + width]), number / _RATE)
    frames = [frame.picture for frame in Film(source).frames()]
    options = FilmOptions(overwrite=True)
    seconds = alternate(
        lambda: translate_film(translator, source, setting.folder / "drawn.mp4", options),
        lambda: [translator(frame) for frame in frames],
        setting.config.repeats,
        setting.device,
    )
    rates = [per_second(count, each) for each in seconds]
    name = f"film of {width}x{height}, {str(networks.dtype).removeprefix('torch.')}"
    yield row("film", name, "frames/s", rates[0], rates[1], "the model on frames at hand")
