"""Videos that tests make, and a tiny model for them."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.imaging import Image
from calco.inference.folder import ModelInfo, save_model
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig

TENTH = Fraction(1, 10)


def make_image(number: int, size_wh: tuple[int, int] = (64, 48)) -> Image:
    """A frame that tells its number by a bar, over a colour of its own."""
    width, height = size_wh
    image = np.empty((height, width, 3), np.uint8)
    image[:] = (number * 5 % 200, 200 - number * 5 % 200, number * 3 % 200)
    image[8:16, : 4 + number % (width - 8)] = 255
    return image


def make_video(
    path: Path, frames: Iterable[Image] | int = 30, codec: str = "libx264", *, pixels: str = "yuv420p",
    times: list[int] | None = None, sound: str | None = None, tags: dict[str, int] | None = None,
    options: dict[str, str] | None = None, title: str = "", aspect: Fraction | None = None,
) -> Path:  # fmt: skip
    """Writes a video of 10 frames a second, or with these times in hundredths of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = list(map(make_image, range(frames)) if isinstance(frames, int) else frames)
    with av.open(str(path), "w") as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=10, options={"g": "12", **(options or {})})
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = stream.time_base = Fraction(1, 100)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        heard = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        if heard is not None:
            seconds = (times[-1] + 10) / 100 if times else len(shown) / 10
            wave = np.sin(np.arange(round(48_000 * seconds)) * 0.06).astype(np.float32)[None] * 0.5
            for start in range(0, wave.shape[1], 4800):
                part = np.ascontiguousarray(wave[:, start : start + 4800])
                sound_frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                sound_frame.sample_rate, sound_frame.pts, sound_frame.time_base = 48_000, start, Fraction(1, 48_000)
                container.mux(heard.encode(sound_frame))
            container.mux(heard.encode(None))
        for number, image in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24")
            if pixels.startswith("yuv"):
                frame = frame.reformat(format=pixels, dst_colorspace=(tags or {}).get("colorspace", 5),
                                       dst_color_range=(tags or {}).get("color_range", 1))  # fmt: skip
            frame.pts, frame.time_base = times[number] if times else 10 * number, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> dict[str, list[bytes]]:
    """The bytes of a video's packets, by kind of stream."""
    with av.open(str(path)) as container:
        found: dict[str, list[bytes]] = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.size and packet.stream.type in found:
                found[packet.stream.type].append(bytes(packet))
        return found


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Where each packet of the images lies in the file, and its length."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]


def silent_video(path: Path) -> Path:
    """A file that ends like a video's and holds sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def info(recipe: str = "colorize", **changes: Any) -> ModelInfo:
    """Of a model that has learned nothing."""
    composition = {"colorize": "luminance", "erase": "filled", "aligned": "plain"}[recipe]
    return ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition=composition),
        recipe=RecipeConfig(recipe=recipe), jitter=JitterConfig(size=32, resize=36),
        in_channels=1 if recipe == "colorize" else 3, out_channels=3, **changes,
    )  # fmt: skip


def model(folder: Path, recipe: str = "colorize") -> Path:
    """A model folder."""
    told = info(recipe)
    torch.manual_seed(0)
    network = build_generator(told.generator, told.in_channels, told.out_channels)
    for weights in network.parameters():
        weights.data.mul_(3)
    save_model(folder, told, network.state_dict(), None)
    return folder


class Mirror(Translator):
    """A model that turns its images left to right, so that what comes of a frame is known to the last bit."""

    def __call__(self, image: Image, **_: Any) -> Image:
        return np.ascontiguousarray(image[:, ::-1])


def mirror() -> Mirror:
    told = info("aligned")
    return Mirror(told, build_generator(told.generator, told.in_channels, told.out_channels))
