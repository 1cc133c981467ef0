"""The video of a run's sheets of samples."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from calco import imaging
from calco.files import replacing


def write_video(images: Sequence[Path], path: Path, *, seconds: float = 10.0) -> None:
    """A video (H.264 in MP4) of the images in their order; all have the first one's size.

    Args:
        images: Files, at least one.
        path: Ends in .mp4.
        seconds: How long it should take, within 2 to 24 frames a second; the last image stays for two seconds.
    """
    rate = int(np.clip(round(len(images) / seconds), 2, 24))
    first = imaging.read(images[0], channels=3)
    height, width = first.shape[:2]
    with replacing(path) as temporary, av.open(str(temporary), "w") as video:
        stream = video.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for source in [*images, *[images[-1]] * (2 * rate)]:
            frame = imaging.read(source, channels=3)
            if frame.shape != first.shape:
                frame = imaging.resize(frame, (width, height))
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        video.mux(stream.encode())
