"""A real detector for tests: bright spots on dark ground, and scenes with such spots."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from calco import imaging
from calco.annotations.detections import Detections
from calco.imaging import Image

SIDE = 160
Boxes = Sequence[tuple[int, int, int, int]]


class Spots:
    """Finds bright spots in the image brought to 160 pixels: what is below three pixels there is lost.

    What is as blue as red is a "spot", what is not is "red"; the score is the brightness.
    """

    classes = ("red", "spot")
    threshold = 0.5

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        least = self.threshold if threshold is None else threshold
        found = [self.one(image) for image in images]
        return [objects.select(objects.scores >= least) for objects in found if objects.scores is not None]

    def one(self, image: Image) -> Detections:
        height, width = image.shape[:2]
        self.seen.append((width, height))
        scale = min(1.0, SIDE / max(width, height))
        seen = imaging.as_channels(imaging.as_dtype(image, np.uint8), 3)
        small = cv2.resize(seen, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        light = small.max(2)
        count, marks, stats, _ = cv2.connectedComponentsWithStats((light > 128).astype(np.uint8))
        kept = [i for i in range(1, count) if min(stats[i, 2:4]) >= 3]
        boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in stats[kept]], np.float32).reshape(-1, 4) / scale
        return Detections(
            boxes=boxes.astype(np.float32),
            classes=tuple("red" if small[marks == i][:, 2].mean() < 60 else "spot" for i in kept),
            scores=np.array([light[marks == i].mean() / 255 for i in kept], np.float32),
        )


def scene(width: int, height: int, boxes: Boxes, colour: tuple[int, int, int] = (255, 255, 255)) -> Image:
    """Dark ground with bright boxes."""
    image = np.zeros((height, width, 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = colour
    return image


def matched(found: Detections, boxes: Boxes, near: float = 3) -> bool:
    """Whether exactly these boxes were found."""
    truth, seen = sorted(boxes), sorted(map(tuple, found.boxes.tolist()))
    return len(truth) == len(seen) and bool(np.allclose(truth, seen, atol=near))


def folder_of(path: Path, scenes: dict[str, Image]) -> Path:
    """Images in files."""
    for name, image in scenes.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        imaging.write(path / name, image)
    return path
