"""The largest detector that is built: what a description may claim before anything is allocated for it."""

from collections.abc import Sequence
from typing import Final

from calco.errors import CalcoError

SIDES: Final = (32, 4096)
"""Least and largest side of the square that images are brought into, in pixels."""
MULTIPLE: Final = 32
"""The side of the square of the compact detector is a multiple of this."""
MOST_CLASSES: Final = 10_000
MOST_BOXES: Final = 10_000
_BRIGHTEST: Final = 1e6
LITE_WIDTHS: Final = (16, 1024)
LITE_DEPTHS: Final = (0, 16)


def check_side(size: int, *, least: int = SIDES[0], multiple: int = 1) -> None:
    """Check the side of the square.

    Raises:
        CalcoError: When it is out of range or not a multiple.
    """
    if not least <= size <= SIDES[1] or size % multiple:
        near = min(max(size, least), SIDES[1]) // multiple * multiple
        rule = f"a multiple of {multiple} " if multiple > 1 else ""
        raise CalcoError(f"size is {size}; it must be {rule}from {least} to {SIDES[1]} pixels, such as {near}")


def check_lite(width: object, depth: object) -> None:
    """Check the two settings of the compact detector.

    Raises:
        CalcoError: When one is out of range or not an integer.
    """
    whole = type(width) is int and type(depth) is int
    if (
        not whole
        or not LITE_WIDTHS[0] <= width <= LITE_WIDTHS[1]  # type: ignore[operator]
        or width % LITE_WIDTHS[0]  # type: ignore[operator]
        or not LITE_DEPTHS[0] <= depth <= LITE_DEPTHS[1]  # type: ignore[operator]
    ):
        raise CalcoError(
            f"lite width {width} must be a multiple of 16 from {LITE_WIDTHS[0]} to {LITE_WIDTHS[1]}, and lite depth "
            f"{depth} from {LITE_DEPTHS[0]} to {LITE_DEPTHS[1]}"
        )


def check_shares(**values: float) -> None:
    """Check numbers that lie in [0, 1].

    Raises:
        CalcoError: Naming the first one that does not.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:  # false of what is not a number
            raise CalcoError(f"{name} is {value}; it must lie in [0, 1]")


def check_classes(classes: Sequence[str]) -> None:
    """Check the names of the classes.

    Raises:
        CalcoError: When there are none, or too many.
    """
    if not 1 <= len(classes) <= MOST_CLASSES:
        raise CalcoError(f"there are {len(classes):,} classes; a detector has 1 to {MOST_CLASSES:,}")


def check_colours(mean: object, std: object) -> None:
    """Check the mean and the deviation of each colour; both may be absent.

    Raises:
        CalcoError: When they are not three finite numbers each, the deviations above 0.
    """
    for name, values, least in (("mean", mean, -_BRIGHTEST), ("std", std, 0.0)):
        if values is None:
            continue
        numbers = values if isinstance(values, list | tuple) else []
        good = [value for value in numbers if type(value) in (int, float) and least < value < _BRIGHTEST]
        if len(numbers) != 3 or len(good) != 3:
            raise CalcoError(f"{name} is {str(values)[:80]}; it must be three finite numbers, and std above 0")
