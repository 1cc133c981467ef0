"""Polygons and pixels: filling, clipping, and the way back from a mask to rings.

Coordinates are continuous: pixel i covers [i, i + 1), and belongs to a polygon when its centre lies inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.errors import CalcoError

Polygon: TypeAlias = npt.NDArray[np.float32]  # K x 2 corners, x and y in pixels, K >= 3
Mask: TypeAlias = npt.NDArray[np.bool_]  # HW

_EDGES_AT_ONCE: Final = 1024  # bounds the memory that a polygon of very many corners takes
_MOST_CHARACTERS: Final = 12  # of one count: more than any image needs, and less than overflows


def fill(polygon: Polygon, height: int, width: int) -> Mask:
    """Return the pixels inside a polygon by the even-odd rule, K x 2 => HW.

    Each row is crossed by some edges; what lies behind an odd number of crossings is inside.
    """
    corners = polygon.astype(np.float64)
    crossings = np.zeros((height, width + 1), np.int32)
    following = np.roll(corners, -1, axis=0)
    for start in range(0, len(corners), _EDGES_AT_ONCE):
        (x, y), (to_x, to_y) = corners[start:][:_EDGES_AT_ONCE].T, following[start:][:_EDGES_AT_ONCE].T
        first, last = (np.clip(np.ceil(f(y, to_y) - 0.5), 0, height).astype(np.int64) for f in (np.minimum, np.maximum))
        edge = np.repeat(np.arange(len(x)), last - first)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(last - first) - last, last - first)
        at = x[edge] + (row + 0.5 - y[edge]) * (to_x - x)[edge] / (to_y - y)[edge]
        np.add.at(crossings, (row, np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)), 1)
    inside: Mask = (np.cumsum(crossings, axis=1, out=crossings)[:, :width] & 1).astype(bool)
    return inside


def clip(polygon: Polygon, width: float, height: float) -> Polygon:
    """Return the part of a polygon within the image; no corner if it is outside (Sutherland and Hodgman, 1974)."""
    corners = polygon.astype(np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if low.min() >= 0 and high[0] <= width and high[1] <= height and (low < high).all():
        return polygon
    for axis, bound, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        within = sign * (corners[:, axis] - bound) >= 0
        if within.all():
            continue
        crosses = within != np.roll(within, -1)
        start, end = corners[crosses], np.roll(corners, -1, axis=0)[crosses]
        cut = start + ((bound - start[:, axis]) / (end - start)[:, axis])[:, None] * (end - start)
        cut[:, axis] = bound
        order = np.concatenate([np.flatnonzero(within) * 2, np.flatnonzero(crosses) * 2 + 1])
        corners = np.concatenate([corners[within], cut])[np.argsort(order)]
    flat = len(corners) < 3 or not np.ptp(corners, axis=0).all()
    return np.zeros((0, 2), np.float32) if flat else corners.astype(np.float32)


def rings(mask: Mask) -> tuple[Polygon, ...]:
    """Return the borders of a mask and its holes: filled together by the even-odd rule, they give the mask again."""
    import cv2

    # At twice the size the borders run a quarter of a pixel inside the objects, clear of every pixel's centre.
    doubled = mask.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    borders, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return tuple(((border[:, 0, :] + 0.5) / 2).astype(np.float32) for border in borders)


def joined(parts: Sequence[Polygon]) -> Polygon:
    """Return one ring through all of them; it runs twice along the ways between, which enclose nothing."""
    if len(parts) == 1:
        return parts[0]
    closed = [np.concatenate([part, part[:1]]) for part in parts]
    back = [part[:1] for part in reversed(parts[:-1])]
    return np.concatenate([*closed, *back])


def _turned(corners: npt.NDArray[np.float64], radians: float, pivot: tuple[float, float]) -> Polygon:
    """Return corners, which are given from a pivot, rotated clockwise about it."""
    sine, cosine = np.sin(radians), np.cos(radians)
    # y points downwards, so that the usual matrix rotates clockwise.
    turned: Polygon = (corners @ np.array([[cosine, sine], [-sine, cosine]]) + pivot).astype(np.float32)
    return turned


def rotated(box: tuple[float, float, float, float], radians: float, pivot: tuple[float, float]) -> Polygon:
    """Return the corners of a box (left, top, right, bottom) rotated clockwise about a pivot, 4 x 2 `float32`."""
    left, top, right, bottom = box
    return _turned(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - pivot, radians, pivot)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], radians: float = 0.0) -> Polygon:
    """Return 64 corners on an ellipse that is rotated clockwise by an angle, 64 x 2 `float32`."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return _turned(np.stack([np.cos(angles), np.sin(angles)], 1) * radii, radians, centre)


def extent(parts: Sequence[Polygon]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of some polygons."""
    corners = np.concatenate(parts)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A mask as run lengths over the columns of its image."""

    counts: npt.NDArray[np.int64]  # in turns background and object; they add up to all pixels
    height: int  # of the image, pixels
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0 or (self.counts < 0).any():
            raise CalcoError("its run lengths are negative; export it again")
        if self.height * self.width > imaging.MAX_PIXELS:
            raise CalcoError(
                f"its mask of {self.width}x{self.height} is larger than any image that is read; export it again"
            )
        total = int(self.counts.sum(dtype=np.float64))
        if total != self.height * self.width:
            raise CalcoError(f"its run lengths cover {total} pixels of {self.width}x{self.height}; export it again")

    @classmethod
    def of_mask(cls, mask: Mask) -> "Runs":
        """Pack a mask, HW `bool`."""
        flat = mask.ravel(order="F")
        ends = np.concatenate([np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
        counts = np.diff(ends, prepend=0).astype(np.int64)
        return cls(np.concatenate([[0], counts]) if flat.size and flat[0] else counts, *mask.shape)

    @classmethod
    def of_part(cls, part: Mask, left: int, top: int, size_wh: tuple[int, int]) -> "Runs":
        """Pack the mask of a box in an image, without unpacking the image."""
        width, height = size_wh
        strip = np.zeros((height, part.shape[1]), np.bool_)
        strip[top : top + part.shape[0]] = part
        counts = cls.of_mask(strip).counts.tolist() or [0]
        counts[0] += left * height
        counts += [] if len(counts) % 2 else [0]
        counts[-1] += (width - left - part.shape[1]) * height
        return cls(np.array(counts, np.int64), height, width)

    @classmethod
    def of_string(cls, text: str, height: int, width: int) -> "Runs":
        """Unpack COCO's string."""
        codes = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int64) - 48
        ends = np.flatnonzero((codes & 32) == 0)
        starts = np.concatenate([[0], ends + 1])[: len(ends)]
        lengths = ends - starts + 1
        if not len(ends) or ends[-1] != len(codes) - 1 or ((codes < 0) | (codes > 63)).any():
            raise CalcoError("its run lengths are a damaged string; export it again")
        if lengths.max() > _MOST_CHARACTERS:
            raise CalcoError("its run lengths are too large; export it again")
        place = np.arange(len(codes)) - np.repeat(starts, lengths)
        counts = np.add.reduceat((codes & 31) << (5 * place), starts)
        counts -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
        # From the fourth on, each is the difference to the one before the last.
        counts[1::2], counts[2::2] = np.cumsum(counts[1::2]), np.cumsum(counts[2::2])
        return cls(counts, height, width)

    def string(self) -> str:
        """Return the runs as COCO's string."""
        differences = self.counts.copy()
        differences[3:] -= self.counts[1:-2]
        text = []
        for number in differences.tolist():
            more = True
            while more:
                bits, number = number & 31, number >> 5
                more = number != (-1 if bits & 16 else 0)
                text.append(chr(48 + bits + 32 * more))
        return "".join(text)

    def mask(self) -> Mask:
        """Return the mask, HW `bool`."""
        obj = np.arange(len(self.counts)) % 2 == 1
        return np.ascontiguousarray(np.repeat(obj, self.counts).reshape(self.width, self.height).T)

    def extent(self) -> tuple[int, int, int, int] | None:
        """Return left, top, right and bottom of the object; None if no pixel belongs to it."""
        mask = self.mask()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
