"""Intervals of a detector's scores: the same counting as COCO's, on images drawn again."""

import numpy as np
import pytest

from calco.detection.metrics import average_precision, best_threshold, counts, curve, match, precisions
from detection.scenes import by_chance

CLASSES = ["cat", "dog", "owl"]


@pytest.mark.parametrize("seed", range(8))
def test_two_countings_agree(seed: int) -> None:
    """faster-coco-eval and this matching, on crowds, doubles and equal scores."""
    there, said = by_chance(seed)
    scores = average_precision(there, said, CLASSES)
    ours = precisions(match(there, said, CLASSES), np.ones((1, len(there))))[0]
    assert ours.mean() == pytest.approx(scores.ap)
    assert ours[0] == pytest.approx([scores.classes[name].ap50 for name in CLASSES])
    assert ours[5] == pytest.approx([scores.classes[name].ap75 for name in CLASSES])


@pytest.mark.parametrize("seed", range(4))
def test_a_image_that_counts_twice_is_two_equal_ones(seed: int) -> None:
    there, said = by_chance(seed, images=8)
    times = np.array([2, 0, 1, 3, 1, 0, 2, 1])
    again = [place for place, number in enumerate(times) for _ in range(number)]
    repeated = average_precision([there[i] for i in again], [said[i] for i in again], CLASSES)
    ours = precisions(match(there, said, CLASSES), times[None].astype(np.float64))[0]
    assert np.nanmean(ours, axis=0) == pytest.approx(
        [repeated.classes[name].ap for name in CLASSES], abs=0.02, nan_ok=True
    )


def test_the_curve_goes_through_the_best_threshold() -> None:
    there, said = by_chance(3)
    matches = match(there, said, CLASSES, (0.5,))
    best = best_threshold(matches)
    thresholds, precision, recall = curve(matches)
    place = int(np.flatnonzero(thresholds >= best)[-1])
    right, wrong, objects = (part.sum() for part in counts(matches, best))
    assert (precision[place], recall[place]) == pytest.approx((right / (right + wrong), right / objects))
    assert (np.diff(recall) >= 0).all()
