"""Orientation of a video's frames: the display matrix of its container, and images turned and mirrored by it."""

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from calco.imaging import Image

if TYPE_CHECKING:
    import av

_NEAR: Final = 0.01  # of the matrix's entries, within which an angle counts as a right one


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight orientations: the axes are exchanged first, then the sides.

    Attributes:
        exchanged: Whether rows become columns.
        left_right: Whether left and right are exchanged then.
        top_bottom: Whether top and bottom are.
        odd: What the matrix asks for beyond that, in words; empty where that is all.
    """

    exchanged: bool = False
    left_right: bool = False
    top_bottom: bool = False
    odd: str = ""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of an upright image whose coded ones are given; the way back is the same."""
        return (height, width) if self.exchanged else (width, height)

    def upright(self, image: Image) -> Image:
        """Turn a coded image, HWC => HWC."""
        turned = image.transpose(1, 0, 2) if self.exchanged else image
        turned = turned[:, ::-1] if self.left_right else turned
        turned = turned[::-1] if self.top_bottom else turned
        return np.ascontiguousarray(turned)


def marks_of(frame: "av.VideoFrame") -> dict[str, Any]:
    """What a container or codec says of a frame beside its pixels (AVFrameSideData), by its name in FFmpeg."""
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
    if not odd and not 0.99 < across / down < 1.01:
        odd = f"pixels stretched {across / down:.2f} to 1"
    return Orientation(exchanged, across_sign < 0, down_sign < 0, odd)
