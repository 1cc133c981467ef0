"""Objects and found boxes in a few words, for tests of scores."""

from collections.abc import Sequence

import numpy as np

from calco.annotations.detections import Boxes, Detections

Entry = tuple[float, float, float, float, str]


def objects(*entries: Entry, ignored: Sequence[bool] | None = None) -> Detections:
    """What is in an image: left, top, right, bottom, class."""
    marks = None if ignored is None else np.array(ignored)
    return Detections(boxes=_boxes(entries), classes=tuple(entry[4] for entry in entries), ignored=marks)


def found(*entries: tuple[float, float, float, float, str, float]) -> Detections:
    """What was found in it: the same, and a score."""
    scores = np.array([entry[5] for entry in entries], np.float32)
    return Detections(boxes=_boxes(entries), classes=tuple(entry[4] for entry in entries), scores=scores)


def by_chance(
    seed: int, *, images: int = 12, classes: Sequence[str] = ("cat", "dog", "owl")
) -> tuple[list[Detections], list[Detections]]:
    """Images with objects, crowds among them, and what a poor detector finds: near misses, doubles, strangers."""
    rng = np.random.default_rng(seed)
    there, said = [], []
    for _ in range(images):
        count = int(rng.integers(0, 7))
        corners = rng.uniform(0, 200, (count, 2))
        boxes = np.hstack([corners, corners + rng.uniform(4, 150, (count, 2))]).astype(np.float32)
        names = rng.choice(classes, count)
        there.append(Detections(boxes=boxes, classes=tuple(map(str, names)), ignored=rng.random(count) < 0.15))
        near = np.repeat(np.arange(count), rng.integers(0, 3, count))
        moved = boxes[near] + rng.normal(0, 6, (len(near), 4)).astype(np.float32)
        corners = rng.uniform(0, 250, (3, 2))
        strange = np.hstack([corners, corners + rng.uniform(5, 60, (3, 2))]).astype(np.float32)
        all_boxes = np.vstack([moved, strange])
        all_boxes[:, 2:] = np.maximum(all_boxes[:, 2:], all_boxes[:, :2] + 1)
        labels = [*(str(names[i]) if rng.random() < 0.8 else str(rng.choice(classes)) for i in near),
                  *map(str, rng.choice(classes, 3))]  # fmt: skip
        scores = np.round(rng.random(len(all_boxes)), 1).astype(np.float32)
        said.append(Detections(boxes=all_boxes, classes=tuple(labels), scores=scores))
    return there, said


def _boxes(entries: Sequence[Sequence[object]]) -> Boxes:
    return np.array([entry[:4] for entry in entries], np.float32).reshape(-1, 4)
