"""Bootstrap intervals: how far a mean could move if other images of the same kind had been scored.

All systems and metrics share the same resamples, so that differences between systems are paired: they compare the two
on the very same images, which is far sharper than comparing two separate intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calco.evaluation.metrics import Floats, mean_class_scores

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Score:
    """A mean with its 95% interval; `low` and `high` are None where no interval is computed."""

    mean: float
    low: float | None = None
    high: float | None = None
    num: int = 0
    """Images that have this score."""


class Bootstrap:
    """Draws images with replacement, always the same way for the same seed.

    Args:
        groups: One name for each image. Images of one group (variants of one photo, frames of one video) are drawn
            together, because they are not independent.
        seed: Of the draws.
        resamples: Their number.
    """

    def __init__(self, groups: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> None:
        names = sorted(set(groups))
        place = {name: index for index, name in enumerate(names)}
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(len(names), np.full(len(names), 1 / max(1, len(names))), size=resamples)
        self.alone = len(names) == 1 < len(groups)
        self.places = np.array([place[group] for group in groups], np.int64)
        """The number of each image's group."""
        self.weights = draws[:, self.places].astype(np.float64)
        """How often each image was drawn: resamples x images."""

    def means(self, values: npt.ArrayLike) -> Floats:
        """The mean of each resample, leaving out NaN. One value for each image => one for each resample.

        NaN where all images are one group: one video, or one block of it, says nothing of how far others may lie.
        """
        array = np.asarray(values, dtype=np.float64)
        if self.alone:
            return np.full(len(self.weights), np.nan)
        present = ~np.isnan(array)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.weights @ np.where(present, array, 0) / (self.weights @ present.astype(np.float64)))

    def class_means(self, counts: npt.NDArray[Any]) -> dict[str, Floats]:
        """The mean class scores of each resample, from the images' confusions (NKK)."""
        found = mean_class_scores(np.tensordot(self.weights, np.asarray(counts, dtype=np.float64), axes=1))
        return {name: np.full_like(values, np.nan) for name, values in found.items()} if self.alone else found


def interval(resampled: Floats) -> tuple[float, float] | None:
    """The middle 95% of the resampled values; None when none is a number."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
