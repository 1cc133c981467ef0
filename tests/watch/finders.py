"""A detector for tests that needs no training: what moves before a resting ground, and what is red or blue."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from calco.annotations.detections import Detections
from calco.imaging import Image


@dataclass
class Movement:
    """Finds what moves, as OpenCV's model of the background has it; it learns with each image, so order matters."""

    classes: tuple[str, ...] = ("person",)
    threshold: float = 0.5
    least: int = 400

    def __post_init__(self) -> None:
        self._ground = cv2.createBackgroundSubtractorMOG2(500, 25, detectShadows=True)

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> Detections:
        moved = (self._ground.apply(image) > 200).astype(np.uint8)
        moved = cv2.morphologyEx(moved, cv2.MORPH_CLOSE, np.ones((15, 7), np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(moved, cv2.MORPH_OPEN, np.ones((3, 3))))
        kept = [row for row in stats[1:] if row[4] >= self.least and row[3] > row[2]]
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in kept], np.float32).reshape(-1, 4)
        scores = np.clip(np.array([row[4] / 2000 for row in kept]), 0.3, 0.95).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        return [Detections(boxes=boxes, classes=("person",) * len(boxes), scores=scores).select(order)][0]


@dataclass
class Colours:
    """Finds red blocks (person) and blue ones (gun) of at least some pixels; score by how pure the colour is."""

    classes: tuple[str, ...] = ("person", "gun")
    threshold: float = 0.5
    seen: list[int] = field(default_factory=list)

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        return [self._one(image, self.threshold if threshold is None else threshold) for image in images]

    def _one(self, image: Image, threshold: float) -> Detections:
        self.seen.append(1)
        boxes: list[list[int]] = []
        names: list[str] = []
        scores: list[float] = []
        for name, channel in (("person", 0), ("gun", 2)):
            strong = image[..., channel].astype(int)
            others = np.delete(image, channel, axis=2).astype(int).max(axis=2)
            mask = ((strong - others) > 60).astype(np.uint8)
            count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
            for n in range(1, count):
                x, y, w, h, area = stats[n]
                score = float(np.clip((strong - others)[labels == n].mean() / 255, 0, 1))
                if area >= 12 and score >= threshold:
                    boxes.append([x, y, x + w, y + h])
                    names.append(name)
                    scores.append(score)
        order = np.argsort(-np.array(scores), kind="stable") if scores else np.zeros(0, np.int64)
        found = Detections(boxes=np.array(boxes, np.float32).reshape(-1, 4), classes=tuple(names),
                           scores=np.array(scores, np.float32))  # fmt: skip
        return found.select(order)
