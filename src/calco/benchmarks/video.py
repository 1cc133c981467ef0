"""The row of videos: decoded, drawn and encoded as one stream, beside the model on frames that are at hand."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from calco.benchmarks.images import scene
from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, alternate, per_second, row
from calco.data.recipes import RecipeConfig
from calco.inference.model import ModelInfo, Translator
from calco.inference.video import VideoOptions, translate_video
from calco.training.step import Networks
from calco.video.reading import Video
from calco.video.writing import VideoWriter

_RATE = Fraction(25)


def video(setting: Setting) -> Iterator[Row]:
    """A video => a translated video, and the same frames as arrays through the Translator."""
    sizes, config = setting.sizes, setting.train_config(1)
    (width, height), count = sizes.video_wh, sizes.video_frames
    networks = Networks(config, 3, 3, setting.device)
    info = ModelInfo(
        generator=config.generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter,
        in_channels=3, out_channels=3,
    )  # fmt: skip
    translator = Translator(info, networks.generator, device=setting.device, precision=networks.dtype)
    source = setting.folder / "video.mp4"
    wide = scene(setting.config.seed, "video", (width + 2 * count, height))
    with VideoWriter(source, (width, height), rate=_RATE) as writer:  # a camera that moves by two pixels a frame
        for number in range(count):
            writer.write(np.ascontiguousarray(wide[:, 2 * number : 2 * number + width]), number / _RATE)
    frames = [frame.image for frame in Video(source).frames()]
    options = VideoOptions(overwrite=True)
    seconds = alternate(
        lambda: translate_video(translator, source, setting.folder / "drawn.mp4", options),
        lambda: [translator(frame) for frame in frames],
        setting.config.repeats,
        setting.device,
    )
    rates = [per_second(count, each) for each in seconds]
    name = f"video of {width}x{height}, {str(networks.dtype).removeprefix('torch.')}"
    yield row("video", name, "frames/s", rates[0], rates[1], "the model on frames at hand")
