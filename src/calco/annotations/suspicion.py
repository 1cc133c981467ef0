"""Whether the boxes of a set were written in another order or unit than they are read in.

A single box that does not fit may be a slip. Where many do not fit, and all would in another order of the four numbers,
the set was written so.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

from calco.annotations.record import Problem, Size

Corners: TypeAlias = tuple[float, float, float, float]
Order: TypeAlias = Literal["corners", "sized", "centred", "crossed"]

_READ: Final[dict[Order, Callable[[float, float, float, float], Corners]]] = {
    "corners": lambda a, b, c, d: (a, b, c, d),
    "sized": lambda a, b, c, d: (a, b, a + c, b + d),
    "centred": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    "crossed": lambda a, b, c, d: (b, a, d, c),
}
_WORDS: Final[dict[Order, str]] = {
    "corners": "left, top, right, bottom",
    "sized": "left, top, width, height",
    "centred": "centre x, centre y, width, height",
    "crossed": "top, left, bottom, right",
}
_SLACK: Final = 0.02  # of a side, by which a box may leave its image and still fit
_SHARE: Final = 0.05  # of the boxes that do not fit, from which on the order is doubted
_LEAST: Final = 3
_MOST: Final = 0.01  # of the boxes, that may not fit in the order that is proposed
_ABOVE: Final = 2.0  # what no share of an image reaches by a slip
_PERCENT: Final = 100.0


class Suspicion:
    """Sees each box as it was written, and tells at the end what is odd about all of them."""

    def __init__(self) -> None:
        self._num = 0
        self._fit: dict[Order, int] = dict.fromkeys(_READ, 0)
        self._order: Order = "corners"
        self._first = self._far = ("", "")  # where, and which image
        self._strange, self._largest = 0, 0.0

    def see(self, corners: Corners, order: Order, frame: Size, where: str, image: str) -> None:
        """Takes one box.

        Args:
            corners: As it is read.
            order: In which its format writes the four numbers.
            frame: Width and height in the same unit; 1 and 1 where coordinates are shares.
            where: Its file and line.
            image: The name of its image.
        """
        self._num += 1
        self._order = order
        written = _written(corners, order)
        for each, read in _READ.items():
            self._fit[each] += _fits(read(*written), frame)
        if not _fits(corners, frame) and not self._first[0]:
            self._first = where, image
        largest = max(map(abs, written))
        self._largest = max(self._largest, largest)
        # Pixels where shares are meant, or shares where pixels are.
        if largest > _ABOVE if frame == (1, 1) else largest <= 1 < min(frame):
            self._strange += 1
            self._far = self._far if self._far[0] else (where, image)

    def problems(self) -> Iterator[Problem]:
        """What is odd, with the first box that shows it."""
        if self._strange >= max(_LEAST, self._num / 2):
            yield Problem(
                self._far[0], "unit", f"{self._strange:,} of {self._num:,} boxes {self._unit()}", self._far[1]
            )
            return
        wrong = self._num - self._fit[self._order]
        if wrong < max(_LEAST, _SHARE * self._num):
            return
        best = max(self._fit, key=lambda order: self._fit[order])
        if self._num - self._fit[best] <= _MOST * self._num:
            yield Problem(
                self._first[0],
                "order",
                f"{wrong:,} of {self._num:,} boxes do not lie in their images when they are read as "
                f"{_WORDS[self._order]}, this one first, and all do as {_WORDS[best]}: put them in order",
                self._first[1],
            )

    def _unit(self) -> str:
        """What the numbers look like, and what mends it."""
        if self._largest <= 1:
            return (
                "lie in the first pixel of their images, this one first: they look like shares where pixels are "
                "meant; multiply them by width and height"
            )
        # Boxes in small images have small numbers too.
        unit, by = (
            ("percent, or pixels", "100, or by width and height")
            if self._largest <= _PERCENT
            else ("pixels", "width and height")
        )
        return (
            f"have numbers above 1 where shares are meant, this one first: they look like {unit}; divide them by {by}"
        )


def _written(corners: Corners, order: Order) -> Corners:
    """The four numbers that a format wrote for a box."""
    left, top, right, bottom = corners
    if order == "sized":
        return left, top, right - left, bottom - top
    if order == "centred":
        return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    return corners


def _fits(corners: Corners, frame: Size) -> bool:
    left, top, right, bottom = corners
    across, down = _SLACK * frame[0], _SLACK * frame[1]
    inside = left >= -across and top >= -down and right <= frame[0] + across and bottom <= frame[1] + down
    return inside and left < right and top < bottom
