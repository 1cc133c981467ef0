"""Rules: conditions, zones and seconds for which an event is raised; read from a YAML file and checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError, brief, shortened
from calco.records import check_numbers, from_record, read_yaml

Point: TypeAlias = tuple[float, float]
Corners: TypeAlias = tuple[Point, ...]
Unit = Literal["shares", "pixels"]
Place = Literal["foot", "centre", "touch"]
FORMAT: Final = 1
MOST_CORNERS: Final = 500
"""Corners of a zone: each pair of its sides is checked for crossing."""
_NEAR_ZERO: Final = 1e-9
_FAR: Final = 10**9  # pixels or seconds; no image or watch reaches there
_FORM: Final = "write a list of rules under rules:, each with a name"
_NAMES: Final = 300  # characters of a list of names in a message


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A polygon over the image."""

    name: str
    unit: Unit  # shares: corners go from 0 to 1 over width and height; pixels: of the image that is watched
    corners: Corners  # K x 2, in order around it; K >= 3

    def pixels(self, width: int, height: int) -> npt.NDArray[np.float64]:
        """Return the corners in pixels of an image of this size, K x 2."""
        scale = (width, height) if self.unit == "shares" else (1.0, 1.0)
        return np.asarray(self.corners, np.float64) * scale


def checked_zone(name: str, unit: Unit, corners: Sequence[Sequence[float]], where: str) -> Zone:
    """Return a zone, or raise a `CalcoError` with its file `where` if it is not a simple polygon with an area."""
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
    """Return the area of a polygon, negative if its corners run anticlockwise on the screen (the shoelace formula)."""
    points = np.asarray(corners, np.float64)
    following = np.roll(points, -1, axis=0)
    return float((points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum() / 2)


def crossed(corners: Corners) -> tuple[int, int] | None:
    """Return two sides of a polygon that meet without being neighbours, or run back over each other; None for none."""
    count = len(corners)
    for i in range(count):
        for j in range(i + 1, count):
            a, b, c, d = corners[i], corners[(i + 1) % count], corners[j], corners[(j + 1) % count]
            if j == i + 1 or (i == 0 and j == count - 1):
                shared, one, other = (b, a, d) if j == i + 1 else (a, b, c)
                along = (one[0] - shared[0]) * (other[0] - shared[0]) + (one[1] - shared[1]) * (other[1] - shared[1])
                if one in (shared, other) or (_turn(shared, one, other) == 0 and along > 0):
                    return i, j
            elif _meet(a, b, c, d):
                return i, j
    return None


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive where c lies on one side of the line from a to b, negative on the other, 0 upon it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two segments have a point in common, touching included."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((turns[0], a, b, c), (turns[1], a, b, d), (turns[2], c, d, a), (turns[3], c, d, b))
    return any(
        turn == 0
        and min(one[0], other[0]) <= point[0] <= max(one[0], other[0])
        and min(one[1], other[1]) <= point[1] <= max(one[1], other[1])
        for turn, one, other, point in ends
    )


def inside(corners: npt.NDArray[np.float64], x: float, y: float) -> bool:
    """Whether a point lies in a polygon, K x 2, or on its border."""
    return cv2.pointPolygonTest(corners.astype(np.float32), (x, y), False) >= 0


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


@dataclass(frozen=True, kw_only=True)
class Near:
    """Another object that has to be close."""

    classes: tuple[str, ...]
    within: float = 0.5  # the gap between the two boxes, in heights of the first one's box; 0 where they must touch
    score: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, within=(0, _FAR), score=(0, 1))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Conditions that raise an event."""

    name: str
    classes: tuple[str, ...] = ()  # classes of the object; none for all
    zone: str = ""  # the zone in which it has to be; empty for the whole image
    # the part of it that has to be there: foot, the middle of the lower edge; centre; touch, any part of its box
    place: Place = "foot"
    seconds: float = 0.0  # seconds for which the conditions have to hold, without a longer break than `pause`
    pause: float = 0.5  # seconds for which it may be gone from view or zone without the clock beginning anew
    score: float = 0.0  # least score of its track, smoothed over its detections
    near: Near | None = None  # another object that has to be close; None for none
    cool_down: float = 60.0  # seconds in which the same track, or with `once` the whole rule, raises no further event
    once: bool = False  # whether the cool-down holds for the rule, not for each track

    def __post_init__(self) -> None:
        check_numbers(self, seconds=(0, _FAR), pause=(0, _FAR), cool_down=(0, _FAR), score=(0, 1))

    @property
    def words(self) -> str:
        """The rule in a sentence, for people who read the timeline."""
        what = " or ".join(self.classes) or "anything"
        text = f"{what} in {self.zone}" if self.zone else what
        if self.near:
            text += f" within {self.near.within:g} box heights of {' or '.join(self.near.classes)}"
        text += f" for {self.seconds:g} s" if self.seconds else ""
        return text + (f", score from {self.score:g}" if self.score else "")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """All rules of a watch, and their zones.

    Attributes:
        rules: Rules in the order of the file.
        zones: Zones by name.
    """

    rules: tuple[Rule, ...] = ()
    zones: dict[str, Zone] = field(default_factory=dict)

    def fits(self, classes: Sequence[str], where: str) -> None:
        """Check the classes against those of a detector; `where` is the file.

        Raises:
            CalcoError: With the first class that it does not find.
        """
        for rule in self.rules:
            for name in (*rule.classes, *(rule.near.classes if rule.near else ())):
                if name not in classes:
                    raise CalcoError(
                        f"{where}: the rule {shortened(rule.name)} names the class {shortened(name)}, which the "
                        f"detector does not find; choose from {shortened(', '.join(classes), _NAMES)}"
                    )

    def fits_image(self, width: int, height: int, where: str) -> None:
        """Check that zones in pixels lie within the images; `where` is the file.

        Raises:
            CalcoError: With the first zone that reaches beyond.
        """
        for zone in self.zones.values():
            for x, y in zone.corners if zone.unit == "pixels" else ():
                if not (0 <= x <= width and 0 <= y <= height):
                    raise CalcoError(
                        f"{where}: the zone {shortened(zone.name)} has the corner [{x:g}, {y:g}], and the images are "
                        f"{width}x{height}; move it into them, or write shares from 0 to 1"
                    )


def read_rules(path: str | Path) -> Rules:
    """Read a file of rules.

    Args:
        path: YAML file.

    Returns:
        The rules with their zones.

    Raises:
        CalcoError: If it cannot be read, or is not valid, with the file, the rule and the field.
    """
    where = str(path)
    record = read_yaml(path, _FORM)
    if unknown := sorted(map(str, set(record) - {"format", "zones", "rules"})):
        raise CalcoError(f"{where} has the unknown field {shortened(unknown[0])}; it may hold format, zones and rules")
    if record.get("format", FORMAT) != FORMAT:
        raise CalcoError(f"{where} is of format {brief(record['format'])}, and this Calco reads {FORMAT}; update Calco")
    zones = _zones(record.get("zones"), where)
    entries = record.get("rules")
    if not isinstance(entries, list) or not entries:
        raise CalcoError(f"{where} holds no rules; {_FORM}")
    rules: list[Rule] = []
    for number, entry in enumerate(entries, 1):
        rule = _rule(entry, number, where)
        if any(rule.name == other.name for other in rules):
            raise CalcoError(f"{where}: two rules have the name {shortened(rule.name)}; give each its own")
        if rule.zone and rule.zone not in zones:
            known = f"choose from {shortened(', '.join(zones), _NAMES)}" if zones else "write it under zones:"
            names = f"the rule {shortened(rule.name)} names the zone {shortened(rule.zone)}"
            raise CalcoError(f"{where}: {names}, which is not there; {known}")
        rules.append(rule)
    return Rules(rules=tuple(rules), zones=zones)


def _zones(record: Any, where: str) -> dict[str, Zone]:
    if record is None:
        return {}
    if not isinstance(record, dict):
        raise CalcoError(f"{where}: zones must be a mapping; write a name, then shares: or pixels: with its corners")
    zones: dict[str, Zone] = {}
    for name, content in record.items():
        label = name if isinstance(name, str) else brief(name)
        place = f"{where}: the zone {shortened(label)}"
        units = list(content) if isinstance(content, dict) else []
        if len(units) != 1 or units[0] not in ("shares", "pixels"):
            raise CalcoError(f"{place} needs one of shares: and pixels:, with a list of corners")
        corners = content[units[0]]
        numbers = isinstance(corners, list) and all(
            isinstance(corner, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in corner)
            for corner in corners
        )
        if not numbers:
            raise CalcoError(f"{place} needs a list of corners such as [0.1, 0.9]")
        zones[label] = checked_zone(label, units[0], corners, where)
    return zones


def _rule(entry: Any, number: int, where: str) -> Rule:
    if not isinstance(entry, dict):
        raise CalcoError(f"{where}: rule {number} must be a mapping; write - name: ..., then class: and the rest")
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise CalcoError(f"{where}: rule {number} has no name; add name: such as name: armed")
    place = f"{where}: rule {shortened(name)}"
    content = {key: value for key, value in entry.items() if key not in ("class", "near")}
    if "class" in entry:
        content["classes"] = _classes(entry["class"], place)
    if (near := entry.get("near")) is not None:
        if not isinstance(near, dict) or "class" not in near:
            raise CalcoError(f"{place}: near needs a class; write near: {{class: gun, within: 0.5}}")
        inner = {key: value for key, value in near.items() if key != "class"}
        inner["classes"] = _classes(near["class"], place)
        content["near"] = from_record(Near, inner, f"{place}, near")
    return replace(from_record(Rule, {**content, "near": None}, place), near=content.get("near"))


def _classes(value: Any, place: str) -> list[str]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise CalcoError(
            f"{place}: class is {brief(value)}; write a name or a list of names, in quotes where YAML mistakes it"
        )
    return names
