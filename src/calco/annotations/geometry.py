"""Polygons and pixels: filling, clipping, and the way back from a mask to rings.

Coordinates are continuous: pixel i covers [i, i + 1), and belongs to a polygon when its centre lies inside.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Polygon: TypeAlias = npt.NDArray[np.float32]  # K x 2 corners, x and y in pixels, K >= 3
Mask: TypeAlias = npt.NDArray[np.bool_]  # HW

_EDGES_AT_ONCE: Final = 1024  # bounds the memory that a polygon of very many corners takes


def fill(polygon: Polygon, height: int, width: int) -> Mask:
    """The pixels inside a polygon by the even-odd rule, K x 2 => HW.

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
    """What of a polygon lies within the image; no corner is left when nothing does (Sutherland and Hodgman, 1974)."""
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
    """The borders of a mask and of its holes: filled together by the even-odd rule, they give the mask again."""
    import cv2

    # At twice the size the borders run a quarter of a pixel inside the objects, clear of every pixel's centre.
    doubled = mask.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    borders, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return tuple(((border[:, 0, :] + 0.5) / 2).astype(np.float32) for border in borders)


def joined(parts: Sequence[Polygon]) -> Polygon:
    """One ring that runs through all of them; the ways between are walked twice and enclose nothing."""
    if len(parts) == 1:
        return parts[0]
    closed = [np.concatenate([part, part[:1]]) for part in parts]
    back = [part[:1] for part in reversed(parts[:-1])]
    return np.concatenate([*closed, *back])


def rotated(box: tuple[float, float, float, float], radians: float, pivot: tuple[float, float]) -> Polygon:
    """Return the four corners of a box that is rotated, clockwise as one sees it, 4 x 2 `float32`.

    Args:
        box: Left, top, right, bottom before the rotation.
        radians: The angle.
        pivot: The point that stays where it is, x and y.
    """
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64) - pivot
    sine, cosine = np.sin(radians), np.cos(radians)
    # y points downwards, so that the usual matrix rotates clockwise.
    turned: Polygon = (corners @ np.array([[cosine, sine], [-sine, cosine]]) + pivot).astype(np.float32)
    return turned


def ellipse(centre: tuple[float, float], radii: tuple[float, float], radians: float = 0.0) -> Polygon:
    """Return 64 corners on an ellipse that is rotated clockwise by an angle, 64 x 2 `float32`."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    sine, cosine = np.sin(radians), np.cos(radians)
    ring: Polygon = (np.stack([cosine * x - sine * y, sine * x + cosine * y], 1) + centre).astype(np.float32)
    return ring


def extent(parts: Sequence[Polygon]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of some polygons."""
    corners = np.concatenate(parts)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
