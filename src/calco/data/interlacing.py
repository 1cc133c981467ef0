"""Interlaced video: frames whose two fields were taken at different moments become frames of one moment."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import av

# bwdif looks at the frames before and after, so what rests keeps all its lines. estdif looks at one frame alone.
_WITH_NEIGHBOURS: Final = ("bwdif", "mode=send_frame:deint=interlaced")
_ALONE: Final = ("estdif", "mode=frame:deint=interlaced")


def deinterlaced(frames: "Iterable[av.VideoFrame]") -> "Iterator[av.VideoFrame]":
    """Deinterlace those frames that are marked as interlaced, by FFmpeg's bwdif; the others pass as they are.

    As many frames come as are given, at the same times.

    Args:
        frames: In the order in which they are shown.
    """
    graph: _Graph | None = None
    for frame in frames:
        if graph is not None and not graph.fits(frame):
            yield from graph.rest()
            graph = None
        if graph is None and not frame.interlaced_frame:  # before the first interlaced one nothing is filtered
            yield frame
            continue
        graph = graph or _Graph(frame, *_WITH_NEIGHBOURS)
        yield from graph.put(frame)
    if graph is not None:
        yield from graph.rest()


def deinterlaced_alone(frame: "av.VideoFrame") -> "av.VideoFrame":
    """Deinterlace a frame without its neighbours, by FFmpeg's estdif; one that is not interlaced is returned as it is.

    The result does not depend on which frames were read before, and nothing is held back.
    """
    if not frame.interlaced_frame:
        return frame
    graph = _Graph(frame, *_ALONE)
    return next(iter([*graph.put(frame), *graph.rest()]), frame)


class _Graph:
    """A filter of FFmpeg for frames of one size and format."""

    def __init__(self, frame: "av.VideoFrame", name: str, options: str) -> None:
        from av.filter import Graph

        self._shape = frame.width, frame.height, frame.format.name
        self._base = Fraction(frame.time_base or Fraction(1, 1000))
        self._graph: Any = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=self._base
        )
        self._graph.link_nodes(source, self._graph.add(name, options), self._graph.add("buffersink"))
        self._graph.configure()

    def fits(self, frame: "av.VideoFrame") -> bool:
        """Whether a frame has its size and format."""
        return (frame.width, frame.height, frame.format.name) == self._shape

    def put(self, frame: "av.VideoFrame") -> "Iterator[av.VideoFrame]":
        """Give it a frame, and take those that are ready."""
        self._graph.vpush(frame)
        yield from self._ready()

    def rest(self) -> "Iterator[av.VideoFrame]":
        """Take what it holds back."""
        self._graph.vpush(None)
        yield from self._ready()

    def _ready(self) -> "Iterator[av.VideoFrame]":
        import av

        while True:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            if frame.pts is not None:  # the filter counts in halves of the unit, for two frames of each
                frame.pts = round(frame.pts * frame.time_base / self._base)
                frame.duration = round(frame.duration * frame.time_base / self._base)
            frame.time_base = self._base
            yield frame
