"""Zones: polygons over the image, in which something has to be for a rule to hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError, brief, shortened

Corners: TypeAlias = tuple[tuple[float, float], ...]
Unit = Literal["shares", "pixels"]
_NEAR_ZERO: Final = 1e-9
_FAR: Final = 1e9  # pixels; no image reaches there
MOST_CORNERS: Final = 500
"""Corners of a zone: each pair of its sides is checked for crossing."""


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A polygon over the image.

    Attributes:
        name: Of the zone.
        unit: shares: corners go from 0 to 1 over width and height; pixels: of the image that is watched.
        corners: K x 2, in order around it; K >= 3.
    """

    name: str
    unit: Unit
    corners: Corners

    def pixels(self, width: int, height: int) -> npt.NDArray[np.float64]:
        """The corners in pixels of an image of this size, K x 2."""
        scale = (width, height) if self.unit == "shares" else (1.0, 1.0)
        return np.asarray(self.corners, np.float64) * scale


def checked_zone(name: str, unit: Unit, corners: Sequence[Sequence[float]], where: str) -> Zone:
    """A zone, or what is wrong with it.

    Args:
        name: Of the zone.
        unit: Of the corners.
        corners: As the file has them.
        where: The file, for the error.

    Raises:
        CalcoError: When it is no simple polygon with an area, or its shares are none.
    """
    place = f"{where}: the zone {shortened(name)}"
    if len(corners) < 3:
        raise CalcoError(f"{place} has {len(corners)} corners; a polygon needs 3 or more")
    if len(corners) > MOST_CORNERS:
        raise CalcoError(f"{place} has {len(corners)} corners, and {MOST_CORNERS} are checked at most; draw it coarser")
    for corner in corners:
        if len(corner) != 2 or not all(-_FAR < number < _FAR for number in corner):
            raise CalcoError(f"{place} has the corner {brief(list(corner))}; a corner is two numbers, across and down")
        if unit == "shares" and not (0 <= corner[0] <= 1 and 0 <= corner[1] <= 1):
            raise CalcoError(
                f"{place} has the corner {list(corner)}; shares go from 0 to 1: correct it, or write pixels instead"
            )
    points: Corners = tuple((float(x), float(y)) for x, y in corners)
    if crossing := crossed(points):
        first, second = crossing
        raise CalcoError(
            f"{place} crosses itself: its side {first + 1} and its side {second + 1} meet; name the corners in their "
            "order around it"
        )
    if abs(area(points)) < _NEAR_ZERO:
        raise CalcoError(f"{place} has no area; its corners lie on one line: move one of them")
    return Zone(name=name, unit=unit, corners=points)


def area(corners: Corners) -> float:
    """The area of a polygon; negative where its corners run against the clock on the screen (the shoelace formula)."""
    points = np.asarray(corners, np.float64)
    following = np.roll(points, -1, axis=0)
    return float((points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum() / 2)


def crossed(corners: Corners) -> tuple[int, int] | None:
    """Two sides of a polygon that meet although they are not neighbours, or that run back over each other; or None."""
    count = len(corners)
    for i in range(count):
        for j in range(i + 1, count):
            a, b, c, d = corners[i], corners[(i + 1) % count], corners[j], corners[(j + 1) % count]
            if j == i + 1 or (i == 0 and j == count - 1):
                shared, one, other = (b, a, d) if j == i + 1 else (a, b, c)
                if one in (shared, other) or (_turn(shared, one, other) == 0 and _dot(shared, one, other) > 0):
                    return i, j
            elif _meet(a, b, c, d):
                return i, j
    return None


Point: TypeAlias = tuple[float, float]


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive where c lies on one side of the line from a to b, negative on the other, 0 upon it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _dot(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[0] - a[0]) + (b[1] - a[1]) * (c[1] - a[1])


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two segments have a point in common, touching included."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((turns[0], a, b, c), (turns[1], a, b, d), (turns[2], c, d, a), (turns[3], c, d, b))
    return any(turn == 0 and _between(one, other, point) for turn, one, other, point in ends)


def _between(a: Point, b: Point, point: Point) -> bool:
    return min(a[0], b[0]) <= point[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= point[1] <= max(a[1], b[1])


def inside(corners: npt.NDArray[np.float64], x: float, y: float) -> bool:
    """Whether a point lies in a polygon, K x 2 (the even-odd rule)."""
    ends = np.roll(corners, -1, axis=0)
    spans = (corners[:, 1] > y) != (ends[:, 1] > y)
    if not spans.any():
        return False
    begin, end = corners[spans], ends[spans]
    at = begin[:, 0] + (y - begin[:, 1]) * (end[:, 0] - begin[:, 0]) / (end[:, 1] - begin[:, 1])
    return bool((at > x).sum() % 2)


def touches(corners: npt.NDArray[np.float64], box: npt.NDArray[np.float64]) -> bool:
    """Whether any part of a box (left, top, right, bottom) lies in a polygon, K x 2."""
    left, top, right, bottom = (float(end) for end in box)
    rectangle = ((left, top), (right, top), (right, bottom), (left, bottom))
    if any(inside(corners, x, y) for x, y in rectangle):
        return True
    if any(left <= x <= right and top <= y <= bottom for x, y in corners):
        return True
    points = [(float(x), float(y)) for x, y in corners]
    return any(
        _meet(points[i], points[(i + 1) % len(points)], rectangle[k], rectangle[(k + 1) % 4])
        for i in range(len(points))
        for k in range(4)
    )
