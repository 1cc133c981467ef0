"""Detectors that have learnt nothing of images: what a trained one must be measured against."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from calco.annotations.detections import Boxes, Detections, nothing
from calco.imaging import Image


class MeanBox:
    """Answers every image with the mean box of each class, scored by how much of the training it was.

    At its own threshold it answers the box of the commonest class alone.

    Args:
        learnt: Width, height and objects of each image of the training.
    """

    def __init__(self, learnt: Iterable[tuple[int, int, Detections]]) -> None:
        sums: dict[str, Boxes] = {}
        number: Counter[str] = Counter()
        for width, height, objects in learnt:
            kept = objects if objects.ignored is None else objects.select(~objects.ignored)
            for box, name in zip(kept.boxes / np.array([width, height] * 2, np.float32), kept.classes, strict=True):
                sums[name] = sums.get(name, np.zeros(4, np.float32)) + box
                number[name] += 1
        order = [name for name, _ in number.most_common()]
        self.classes = tuple(order)
        self._boxes = np.array([sums[name] / number[name] for name in order], np.float32).reshape(-1, 4)
        self._scores = np.array([number[name] / number.total() for name in order], np.float32)
        self.threshold = float(self._scores.max(initial=0.0)) or 1.0

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """As every detector."""
        least = self.threshold if threshold is None else threshold
        kept = np.flatnonzero(self._scores >= least)
        names = tuple(self.classes[place] for place in kept)
        return [
            Detections(
                boxes=self._boxes[kept] * np.array([each.shape[1], each.shape[0]] * 2, np.float32),
                classes=names,
                scores=self._scores[kept],
            )
            for each in images
        ]


class FindsNothing:
    """Sees nothing anywhere: no false alarm, and everything missed."""

    classes: tuple[str, ...] = ()
    threshold = 1.0

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """As every detector."""
        del threshold
        return [nothing() for _ in images]
