"""A decoded frame as an image: in RGB, on a background, upright; the same for training, videos and cameras."""

import contextlib
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from calco.imaging import Image
from calco.video.colours import Colours, colours_of

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

WHITE: Final = (255, 255, 255)
_NEAR: Final = 0.01  # of the matrix's entries, within which an angle counts as a right one


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight orientations: the axes are exchanged first, then the sides."""

    exchanged: bool = False  # whether rows become columns
    left_right: bool = False  # whether left and right are exchanged then
    top_bottom: bool = False  # whether top and bottom are
    odd: str = ""  # what the matrix asks for beyond that, in words; empty for nothing

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the upright image, given those of the coded one, or the other way round."""
        return (height, width) if self.exchanged else (width, height)

    def upright(self, image: Image) -> Image:
        """Turn a coded image, HWC => HWC."""
        turned = image.transpose(1, 0, 2) if self.exchanged else image
        turned = turned[:, ::-1] if self.left_right else turned
        turned = turned[::-1] if self.top_bottom else turned
        return np.ascontiguousarray(turned)


def marks_of(frame: "av.VideoFrame") -> dict[str, Any]:
    """Return what a container or codec says of a frame beside its pixels (AVFrameSideData), by its name in FFmpeg."""
    found: Any = frame.side_data  # which gives its values where a mapping would give its keys
    return {data.type.name: data for data in found}


def orientation_of(frame: "av.VideoFrame") -> Orientation:
    """Read the display matrix of a frame (ISO/IEC 14496-12, 8.3.2): x' = a x + c y, y' = b x + d y, y downwards."""
    data = marks_of(frame).get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d, *_ = (number / 65536 for number in struct.unpack("<9i", bytes(data)[:36]))
    across, down = math.hypot(a, b), math.hypot(c, d)
    if not across or not down:
        return Orientation(odd="a matrix without an inverse")
    a, b, c, d = a / across, b / across, c / down, d / down
    exchanged = abs(b) + abs(c) > abs(a) + abs(d)
    across_sign, down_sign = (c, b) if exchanged else (a, d)
    rest = max(abs(a), abs(d)) if exchanged else max(abs(b), abs(c))
    odd = f"an angle of {math.degrees(math.atan2(b, a)):.1f} degrees" if rest > _NEAR else ""
    return Orientation(exchanged, across_sign < 0, down_sign < 0, odd)


def image_of(
    frame: "av.VideoFrame", reformatter: "VideoReformatter", name: str, *, colours: Colours | None = None,
    background: tuple[int, int, int] = WHITE, size_wh: tuple[int, int] | None = None, deep: bool = False,
) -> Image:  # fmt: skip
    """Convert a frame to an upright image, HW3 `uint8` or (with `deep`, of more than 8 bits and no HDR) `uint16`.

    Colours are by default the frame's own; `background` is the RGB behind transparent parts, `size_wh` the size of the
    result in pixels. The reformatter keeps its tables from one frame to the next, for one thread; `name` is the
    video's, for errors.
    """
    orientation = orientation_of(frame)
    coded = (frame.width, frame.height) if size_wh is None else orientation.size(*size_wh)
    alpha = has_alpha(frame.format.name)
    deep = deep and bits_of(frame.format.name) > 8
    image = (colours or colours_of(frame, name)).to_rgb(frame, reformatter, coded, alpha=alpha, deep=deep)
    if alpha:  # HW4 => HW3
        most = np.iinfo(image.dtype).max
        share = image[..., 3:].astype(np.uint64 if most > 255 else np.uint16)
        ground = (np.array(background) * (most // 255)).astype(share.dtype)
        image = ((image[..., :3] * share + ground * (most - share) + most // 2) // most).astype(image.dtype)
    return orientation.upright(image)


@lru_cache(maxsize=64)
def has_alpha(pixels: str) -> bool:
    """Whether a pixel format of FFmpeg has alpha."""
    import av

    return any(component.is_alpha for component in av.VideoFormat(pixels).components)


@lru_cache(maxsize=64)
def bits_of(pixels: str) -> int:
    """Return the most bits that a channel of a pixel format of FFmpeg has."""
    import av

    return max(component.bits for component in av.VideoFormat(pixels).components)


# bwdif looks at the frames before and after, so what rests keeps all its lines. estdif looks at one frame alone.
_WITH_NEIGHBOURS: Final = ("bwdif", "mode=send_frame:deint=interlaced")
_ALONE: Final = ("estdif", "mode=frame:deint=interlaced")


def deinterlaced(frames: "Iterable[av.VideoFrame]") -> "Iterator[av.VideoFrame]":
    """Deinterlace the frames that are marked as interlaced; as many come as are given, in order, at the same times."""
    graph: _Graph | None = None
    for frame in frames:
        if graph is not None and graph.shape != (frame.width, frame.height, frame.format.name):
            yield from graph.put(None)
            graph = None
        if graph is None and not frame.interlaced_frame:  # before the first interlaced one nothing is filtered
            yield frame
            continue
        graph = graph or _Graph(frame, *_WITH_NEIGHBOURS)
        yield from graph.put(frame)
    if graph is not None:
        yield from graph.put(None)


def deinterlaced_alone(frame: "av.VideoFrame") -> "av.VideoFrame":
    """Deinterlace a frame without its neighbours; one that is not interlaced is returned as it is.

    The result does not depend on which frames were read before, and nothing is held back.
    """
    if not frame.interlaced_frame:
        return frame
    graph = _Graph(frame, *_ALONE)
    return next(iter([*graph.put(frame), *graph.put(None)]), frame)


class _Graph:
    """A filter of FFmpeg for frames of one size and format."""

    def __init__(self, frame: "av.VideoFrame", name: str, options: str) -> None:
        from av.filter import Graph

        self.shape = frame.width, frame.height, frame.format.name
        self._base = Fraction(frame.time_base or Fraction(1, 1000))
        self._graph: Any = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=self._base
        )
        self._graph.link_nodes(source, self._graph.add(name, options), self._graph.add("buffersink"))
        self._graph.configure()

    def put(self, frame: "av.VideoFrame | None") -> "Iterator[av.VideoFrame]":
        """Give it a frame, or None after the last one; yield those that are ready."""
        import av

        self._graph.vpush(frame)
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while True:
                ready = self._graph.vpull()
                if ready.pts is not None:  # the filter counts in halves of the unit, for two frames of each
                    ready.pts = round(ready.pts * ready.time_base / self._base)
                    ready.duration = round(ready.duration * ready.time_base / self._base)
                ready.time_base = self._base
                yield ready
