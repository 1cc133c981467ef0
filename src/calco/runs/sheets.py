"""The film of a run's sheets of samples."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from calco import images
from calco.files import replacing


def write_film(pictures: Sequence[Path], path: Path, *, seconds: float = 10.0) -> None:
    """A film (H.264 in MP4) of the pictures in their order; all have the first one's size.

    Args:
        pictures: Files, at least one.
        path: Ends in .mp4.
        seconds: How long it should take, within 2 to 24 frames a second; the last picture stays for two seconds.
    """
    rate = int(np.clip(round(len(pictures) / seconds), 2, 24))
    first = images.read(pictures[0], channels=3)
    height, width = first.shape[:2]
    with replacing(path) as temporary, av.open(str(temporary), "w") as film:
        stream = film.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for source in [*pictures, *[pictures[-1]] * (2 * rate)]:
            frame = images.read(source, channels=3)
            if frame.shape != first.shape:
                frame = images.resize(frame, (width, height))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())
