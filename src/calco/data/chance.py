"""What chance draws: values from ranges, which are checked, and smooth fields."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError


def check_ranges(owner: object, what: str, bounds: Mapping[str, tuple[float, float, str]]) -> None:
    """Checks fields that hold (lowest, highest).

    Args:
        owner: The configuration.
        what: Its name, for the message.
        bounds: For each field the least and the most that make sense, and an example.

    Raises:
        CalcoError: When a range falls, or leaves its bounds.
    """
    for name, (least, most, example) in bounds.items():
        low, high = getattr(owner, name)
        if not least <= low <= high <= most:
            raise CalcoError(
                f"{what} {name} is {low} to {high}; give two rising numbers from {least} to {most}, such as {example}"
            )


def cloud(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Smooth chance in [0, 1], HW, whose lumps are about `grain` pixels wide."""
    import cv2

    coarse = rng.random([max(2, round(extent / grain) + 1) for extent in shape], np.float32)
    return np.asarray(np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)
