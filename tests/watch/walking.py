"""A video of coloured blocks that walk, for the tests of the watch."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from calco.imaging import Image

SIZE = (160, 120)
RATE = 10


def frame(number: int) -> Image:
    """A red block (a person) walks to the right; from frame 30 on a blue one (a gun) comes down beside its way."""
    image = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
    image += (np.indices(image.shape).sum(axis=0) * 7 % 24).astype(np.uint8)
    left = 4 + 2 * number
    image[50:90, left : left + 18] = (230, 30, 30)
    image[50:58, left : left + 18] = (255, 90, 60)  # the head
    if number >= 30:
        top = 2 * (number - 30)
        image[top : top + 8, 120:134] = (20, 20, 240)
    return image


def walk(path: Path, frames: int = 60) -> Path:
    """Writes the video, a tenth of a second a frame, without loss to speak of."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "8", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, RATE)
        for number in range(frames):
            shown = av.VideoFrame.from_ndarray(frame(number), format="rgb24")
            shown.pts = number
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return path
