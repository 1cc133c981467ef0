"""Videos and cameras as streams: reading, writing, motion."""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.video.motion import Follower as Follower
    from calco.video.motion import Motion as Motion
    from calco.video.motion import chroma_of as chroma_of
    from calco.video.motion import luma as luma
    from calco.video.motion import warping_error as warping_error
    from calco.video.reading import Frame as Frame
    from calco.video.reading import Video as Video
    from calco.video.writing import VideoWriter as VideoWriter

_HOMES = {
    "Follower": "calco.video.motion", "Frame": "calco.video.reading", "Motion": "calco.video.motion",
    "Video": "calco.video.reading", "VideoWriter": "calco.video.writing", "chroma_of": "calco.video.motion",
    "luma": "calco.video.motion", "warping_error": "calco.video.motion",
}  # fmt: skip
__all__ = ["Follower", "Frame", "Motion", "Video", "VideoWriter", "chroma_of", "luma", "warping_error"]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
