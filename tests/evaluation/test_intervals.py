"""Bootstrap intervals cover, are paired, and keep groups together."""

import numpy as np
import pytest

from calco.evaluation.metrics import class_scores, mean_class_scores, resampled_class_scores
from calco.evaluation.scores import Bootstrap, interval


def test_about_95_of_100_intervals_hold_the_true_mean() -> None:
    rng = np.random.default_rng(0)
    bootstrap = Bootstrap([str(i) for i in range(60)], resamples=400)
    held = 0
    for _ in range(200):
        ends = interval(bootstrap.means(rng.exponential(1.0, 60)))
        assert ends is not None
        held += ends[0] <= 1.0 <= ends[1]
    assert 0.88 <= held / 200 <= 0.99


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    values, groups = np.arange(10.0), [str(i) for i in range(10)]
    assert (Bootstrap(groups, 1).means(values) == Bootstrap(groups, 1).means(values)).all()
    assert (Bootstrap(groups, 1).means(values) != Bootstrap(groups, 2).means(values)).any()


def test_groups_are_drawn_together() -> None:
    weights = Bootstrap(["a", "b", "a", "b", "c"]).weights
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 3]).all()
    assert (weights[:, [0, 1, 4]].sum(axis=1) == 3).all()


def test_what_is_not_a_number_is_left_out() -> None:
    bootstrap = Bootstrap([str(i) for i in range(4)])
    assert interval(bootstrap.means([np.nan, 2.0, 2.0, np.nan])) == (2.0, 2.0)
    assert interval(bootstrap.means([np.nan] * 4)) is None


def test_class_means_follow_the_drawn_images() -> None:
    counts = np.random.default_rng(1).integers(0, 50, (6, 3, 3))
    bootstrap = Bootstrap([str(i) for i in range(6)], resamples=5)
    found = resampled_class_scores(bootstrap, counts)
    for row, weights in enumerate(bootstrap.weights):
        total = sum(int(weight) * count for weight, count in zip(weights, counts, strict=True))
        assert found["iou"][row] == pytest.approx(class_scores(total)["iou"].mean())
        assert found["pixel_accuracy"][row] == pytest.approx(float(mean_class_scores(total)["pixel_accuracy"]))


def test_one_group_alone_has_no_interval() -> None:
    alone = Bootstrap(["video#1"] * 5)
    assert interval(alone.means(np.arange(5.0))) is None
    assert interval(resampled_class_scores(alone, np.ones((5, 3, 3)))["iou"]) is None
