"""The scores of detectors: hand-computed cases, and two countings that must agree."""

import math

import numpy as np
import pytest

from calco.annotations.detections import nothing
from calco.detection.metrics import average_precision, best_threshold, counts, match
from calco.errors import CalcoError
from detection.scenes import by_chance, found, objects
from support import requires


@pytest.fixture(autouse=True, scope="module")
def _counter() -> None:
    import importlib.util

    requires(importlib.util.find_spec("faster_coco_eval"), "faster-coco-eval", "pip install 'calco[detect]'")


def test_what_is_found_exactly_scores_one() -> None:
    there = [objects((0, 0, 50, 50, "cat"), (60, 0, 200, 90, "dog")), nothing()]
    said = [found((0, 0, 50, 50, "cat", 0.9), (60, 0, 200, 90, "dog", 0.4)), nothing()]
    scores = average_precision(there, said, ["cat", "dog"])
    assert (scores.ap, scores.ap50, scores.ap75, scores.recall, scores.f1) == pytest.approx((1, 1, 1, 1, 1))
    assert (scores.medium, scores.large) == pytest.approx((1, 1))  # 50 x 50 and 140 x 90
    assert math.isnan(scores.small)
    assert (scores.num_images, scores.num_objects) == (2, 2)
    assert "map_small" not in scores.numbers()
    assert scores.numbers()["map50"] == pytest.approx(1)


def test_a_wrong_box_between_two_right_ones() -> None:
    there = [objects((0, 0, 50, 50, "cat")), objects((0, 0, 50, 50, "cat"))]
    said = [
        found((0, 0, 50, 50, "cat", 0.9), (200, 200, 250, 250, "cat", 0.8)),
        found((0, 0, 50, 50, "cat", 0.7)),
    ]
    scores = average_precision(there, said, ["cat"])
    # Up to the recall 0.5 (51 of 101 points) the precision is 1, after that 2/3.
    assert scores.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    # With the first alone F1 is 2/3, with all three 2 * 2 / (3 + 2).
    assert scores.f1 == pytest.approx(0.8)
    assert (scores.precision, scores.recall50, scores.threshold) == pytest.approx((2 / 3, 1, 0.7))


def test_a_loose_box_counts_as_far_as_it_overlaps() -> None:
    there, said = [objects((0, 0, 100, 100, "cat"))], [found((0, 0, 100, 62, "cat", 0.9))]
    scores = average_precision(there, said, ["cat"])
    assert (scores.ap50, scores.ap75) == (1, 0)
    assert scores.ap == pytest.approx(0.3)  # 0.5, 0.55 and 0.6 of ten overlaps


def test_the_mean_is_over_the_classes_that_occur() -> None:
    there = [objects((0, 0, 50, 50, "cat"), (60, 60, 90, 90, "dog"))]
    said = [found((0, 0, 50, 50, "cat", 0.9), (0, 0, 50, 50, "owl", 0.95))]
    scores = average_precision(there, said, ["cat", "dog", "owl"])
    assert scores.ap == pytest.approx(0.5)
    assert [each.ap50 for each in scores.classes.values()] == pytest.approx([1, 0, math.nan], nan_ok=True)
    assert scores.classes["owl"].num_objects == 0


def test_a_second_box_on_one_thing_is_wrong() -> None:
    there = [objects((0, 0, 50, 50, "cat"))]
    said = [found((0, 0, 50, 50, "cat", 0.5), (1, 1, 50, 50, "cat", 0.9))]
    matches = match(there, said, ["cat"], (0.5,))
    assert matches.right[0].tolist() == [True, False]
    assert matches.places.tolist() == [1, 0]
    assert [part.tolist() for part in counts(matches, 0.5)] == [[1], [1], [1]]


def test_what_is_ignored_counts_neither_way() -> None:
    there = [objects((0, 0, 50, 50, "cat"), (60, 0, 200, 200, "cat"), ignored=[False, True])]
    said = [found((0, 0, 50, 50, "cat", 0.5), (70, 10, 90, 30, "cat", 0.9), (100, 100, 120, 130, "cat", 0.8))]
    scores = average_precision(there, said, ["cat"])
    assert scores.ap == pytest.approx(1)  # both boxes in the crowd are passed over
    assert scores.num_objects == 1
    matches = match(there, said, ["cat"], (0.5,))
    assert (matches.passed.sum(), matches.wrong.sum()) == (2, 0)


def test_nothing_found_and_nothing_to_find() -> None:
    scores = average_precision([objects((0, 0, 50, 50, "cat"))], [nothing()], ["cat"])
    assert (scores.ap, scores.ap50, scores.f1, scores.recall50) == (0, 0, 0, 0)
    empty = average_precision([nothing()], [found((0, 0, 50, 50, "cat", 0.5))], ["cat"])
    assert math.isnan(empty.ap)
    assert math.isnan(average_precision([], [], ["cat"]).ap)
    assert math.isnan(average_precision([nothing()], [nothing()], []).ap)


def test_other_classes_are_passed_over() -> None:
    there, said = [objects((0, 0, 50, 50, "cat"), (0, 0, 9, 9, "ant"))], [found((0, 0, 50, 50, "cat", 0.5))]
    assert average_precision(there, said, ["cat"]).ap == pytest.approx(1)


def test_what_is_missing_is_told() -> None:
    with pytest.raises(CalcoError, match="1 images are to be scored and 2 were looked at"):
        average_precision([nothing()], [nothing(), nothing()], ["cat"])
    with pytest.raises(CalcoError, match="image 0 has no scores"):
        average_precision([nothing()], [objects((0, 0, 5, 5, "cat"))], ["cat"])


@pytest.mark.parametrize("seed", range(6))
def test_a_threshold_leaves_what_it_says(seed: int) -> None:
    """One matching serves all thresholds: it is the same when lower boxes are taken away first."""
    there, said = by_chance(seed)
    matches = match(there, said, ["cat", "dog", "owl"], (0.5,))

    def f1(threshold: float) -> float:
        right, wrong, objects = (part.sum() for part in counts(matches, threshold))
        return float(2 * right / (right + wrong + objects))

    best = best_threshold(matches)
    for threshold in (0.25, 0.55, best):
        kept = [each.select(np.asarray(each.scores) >= threshold) for each in said]
        again = counts(match(there, kept, ["cat", "dog", "owl"], (0.5,)), 0)
        assert np.array_equal(again, counts(matches, threshold))
        assert f1(best) >= f1(threshold)
