"""Average precision of resampled images, from one matching: what the intervals of a detector's scores come from."""

from typing import Final

import numpy as np

from calco.detection.metrics import Bools, Floats, Matches

RECALLS: Final = np.linspace(0, 1, 101)
"""Where COCO reads the curve of precision."""


def precisions(matches: Matches, weights: Floats) -> Floats:
    """Average precision of each class at each overlap, when each image counts so many times.

    With weights of 1 these are COCO's own figures; an image that counts twice counts as two equal ones.

    Args:
        matches: What was found.
        weights: R x P, how often each image counts.

    Returns:
        R x T x C, in [0, 1]; not a number where nothing of a class is to be found.
    """
    result = np.full((len(weights), len(matches.ious), len(matches.classes)), np.nan)
    for label in range(len(matches.classes)):
        mine = matches.labels == label
        images, right, wrong = matches.images[mine], matches.right[:, mine], matches.wrong[:, mine]
        totals = weights @ matches.num_objects[:, label]
        for number in np.flatnonzero(totals > 0):
            times = weights[number, images]
            result[number, :, label] = _areas(times * right, times * wrong, totals[number])
    return result


def _areas(right: Floats, wrong: Floats, total: float) -> Floats:
    """The areas under T curves. Boxes by falling score, T x D, how much each counts."""
    found, strange = np.cumsum(right, axis=1), np.cumsum(wrong, axis=1)
    said = found + strange
    precision = np.divide(found, said, out=np.zeros_like(said), where=said > 0)
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    falling = np.hstack([falling, np.zeros((len(falling), 1))])  # recalls that are not reached
    places = [np.searchsorted(row, RECALLS, side="left") for row in found / total]
    return np.array([row[place].mean() for row, place in zip(falling, places, strict=True)])


def curve(matches: Matches, believed: Bools | None = None, label: int | None = None) -> tuple[Floats, Floats, Floats]:
    """Threshold, precision and recall at the first overlap, one point for each score that occurs, by falling score.

    Args:
        matches: What was found.
        believed: D, the boxes that are looked at; None for all.
        label: The class; None for all together.
    """
    chosen = np.ones(len(matches.scores), np.bool_) if believed is None else believed
    objects = matches.num_objects.sum() if label is None else matches.num_objects[:, label].sum()
    if label is not None:
        chosen = chosen & (matches.labels == label)
    scores = matches.scores[chosen]
    right, wrong = np.cumsum(matches.right[0, chosen]), np.cumsum(matches.wrong[0, chosen])
    last = np.append(scores[1:] < scores[:-1], True) if len(scores) else np.zeros(0, np.bool_)
    right, said = right[last].astype(np.float64), (right + wrong)[last].astype(np.float64)
    precision = np.divide(right, said, out=np.ones_like(said), where=said > 0)
    return scores[last], precision, right / max(1, int(objects))


def counts(matches: Matches, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Of each image, all classes together, at the first overlap: right boxes, wrong boxes, objects."""
    believed = matches.scores >= threshold
    right, wrong = (
        np.bincount(matches.images[believed & flags[0]], minlength=matches.num_images).astype(np.float64)
        for flags in (matches.right, matches.wrong)
    )
    return right, wrong, matches.num_objects.sum(axis=1).astype(np.float64)
