"""Limits of a detector, checked before anything is allocated by its description."""

from typing import Final

from calco.errors import CalcoError

SIDES: Final = (32, 4096)
"""Least and largest side of the square that images are fitted into, in pixels."""
MULTIPLE: Final = 32
"""Divisor of the side of the compact detector."""
MOST_CLASSES: Final = 10_000
MOST_BOXES: Final = 10_000
_BRIGHTEST: Final = 1e6
LITE_WIDTHS: Final = (16, 1024)
LITE_DEPTHS: Final = (0, 16)


def check_side(size: int, *, least: int = SIDES[0], multiple: int = 1) -> None:
    """Check the side of the square."""
    if not least <= size <= SIDES[1] or size % multiple:
        near = min(max(size, least), SIDES[1]) // multiple * multiple
        rule = f"a multiple of {multiple} " if multiple > 1 else ""
        raise CalcoError(f"size is {size}; it must be {rule}from {least} to {SIDES[1]} pixels, such as {near}")


def check_lite(width: object, depth: object) -> None:
    """Check the two settings of the compact detector."""
    if (
        not (isinstance(width, int) and isinstance(depth, int))
        or not LITE_WIDTHS[0] <= width <= LITE_WIDTHS[1]
        or width % LITE_WIDTHS[0]
        or not LITE_DEPTHS[0] <= depth <= LITE_DEPTHS[1]
    ):
        raise CalcoError(
            f"lite width {width} must be a multiple of 16 from {LITE_WIDTHS[0]} to {LITE_WIDTHS[1]}, and lite depth "
            f"{depth} from {LITE_DEPTHS[0]} to {LITE_DEPTHS[1]}"
        )


def check_colours(mean: object, std: object) -> None:
    """Check the mean and the deviation of each colour; both may be absent."""
    for name, values, least in (("mean", mean, -_BRIGHTEST), ("std", std, 0.0)):
        if values is None:
            continue
        numbers = values if isinstance(values, list | tuple) else []
        good = [value for value in numbers if type(value) in (int, float) and least < value < _BRIGHTEST]
        if len(numbers) != 3 or len(good) != 3:
            raise CalcoError(f"{name} is {str(values)[:80]}; it must be three finite numbers, and std above 0")
