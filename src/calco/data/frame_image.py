"""A decoded frame as an image: in RGB, on a background, upright; the same for training, videos and cameras."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from calco.data.colours import Colours, colours_of
from calco.data.orientation import orientation_of
from calco.imaging import Image

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

WHITE: Final = (255, 255, 255)


def image_of(
    frame: "av.VideoFrame", reformatter: "VideoReformatter", name: str, *, colours: Colours | None = None,
    background: tuple[int, int, int] = WHITE, size_wh: tuple[int, int] | None = None, deep: bool = False,
) -> Image:  # fmt: skip
    """Convert a frame to an upright image.

    Args:
        frame: As it was decoded and, where it is interlaced, deinterlaced.
        reformatter: Of the thread that asks; it keeps its tables from one frame to the next.
        name: Of the video, for the error.
        colours: Those of the video; None takes the frame's own.
        background: RGB, over which transparent parts are laid.
        size_wh: Width and height of the result, pixels; None keeps the frame's.
        deep: Whether frames of more than 8 bits become `uint16`; HDR becomes 8 bits always.

    Returns:
        HW3 `uint8` or `uint16`.

    Raises:
        CalcoError: If its colours cannot be converted.
    """
    orientation = orientation_of(frame)
    coded = (frame.width, frame.height) if size_wh is None else orientation.size(*size_wh)
    alpha = has_alpha(frame.format.name)
    deep = deep and bits_of(frame.format.name) > 8
    image = (colours or colours_of(frame, name)).to_rgb(frame, reformatter, coded, alpha=alpha, deep=deep)
    upright: Image = orientation.upright(_on(image, background) if alpha else image)
    return upright


def _on(image: Image, background: tuple[int, int, int]) -> Image:
    """Lay an image with alpha, HW4 `uint8` or `uint16`, over a colour; HW3 of its type."""
    most = np.iinfo(image.dtype).max
    share = image[..., 3:].astype(np.uint64 if most > 255 else np.uint16)
    ground = (np.array(background) * (most // 255)).astype(share.dtype)
    laid: Image = ((image[..., :3] * share + ground * (most - share) + most // 2) // most).astype(image.dtype)
    return laid


def is_opaque(frame: "av.VideoFrame") -> bool:
    """Whether a frame with alpha shows nothing through."""
    return bool((frame.reformat(format="rgba").to_ndarray()[..., 3] == 255).all())


@lru_cache(maxsize=64)
def has_alpha(pixels: str) -> bool:
    """Whether a pixel format of FFmpeg has alpha."""
    import av

    return any(component.is_alpha for component in av.VideoFormat(pixels).components)


@lru_cache(maxsize=64)
def bits_of(pixels: str) -> int:
    """The most bits that a channel of a pixel format of FFmpeg has."""
    import av

    return max(component.bits for component in av.VideoFormat(pixels).components)
