"""A set of drawn images, and a real detector for them that has learnt nothing: it finds bright patches by colour."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from calco import imaging
from calco.annotations.detections import Detections
from calco.imaging import Image, as_channels, as_dtype

COLOURS = {"red": (230, 40, 40), "blue": (50, 60, 235)}
SIDE = 120


class Bright:
    """Finds patches of red and blue; what is brighter scores higher."""

    classes = ("red", "blue")
    threshold = 0.5

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """As every detector."""
        return [self._one(image, self.threshold if threshold is None else threshold) for image in images]

    def _one(self, image: Image, least: float) -> Detections:
        pixels = as_channels(as_dtype(image, np.uint8), 3).astype(np.int64)
        rows = []
        for name, channel in (("red", 0), ("blue", 2)):
            excess = pixels[..., channel] - pixels[..., [c for c in range(3) if c != channel]].max(axis=2)
            patches = (excess > 40).astype(np.uint8)
            count, labels, stats, _ = cv2.connectedComponentsWithStats(patches)
            for number in range(1, count):
                x, y, width, height = (int(value) for value in stats[number][:4])
                score = float(excess[labels == number].mean()) / 255
                if min(width, height) > 3 and score >= least:
                    rows.append((score, (x, y, x + width, y + height), name))
        rows.sort(key=lambda row: -row[0])
        return Detections(
            boxes=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
            classes=tuple(row[2] for row in rows),
            scores=np.array([row[0] for row in rows], np.float32),
        )


def draw(folder: Path, count: int = 24, seed: int = 0) -> Path:
    """Images with patches, and what is in them as COCO JSON.

    Some patches are faint (the detector doubts them), some images hold a red disc that nobody marked, one a patch
    that is marked as the other colour, and every sixth image has nothing in it.
    """
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    files, entries = [], []
    for number in range(count):
        image = rng.integers(90, 120, (SIDE, SIDE, 3)).astype(np.uint8)
        for corner in () if number % 6 == 5 else ((8, 10), (66, 58))[: 1 + number % 2]:
            name = "red" if rng.random() < 0.5 else "blue"
            x, y, width, height = *(int(c + rng.integers(0, 10)) for c in corner), *map(int, rng.integers(16, 40, 2))
            share = 0.45 if rng.random() < 0.2 else 1.0
            colour = share * np.array(COLOURS[name]) + (1 - share) * 105
            image[y : y + height, x : x + width] = colour.astype(np.uint8)
            said = {"red": "blue", "blue": "red"}[name] if number == 4 else name
            entries.append((number + 1, said, [x, y, width, height]))
        if number % 7 == 2:
            cv2.circle(image, (100, 20), 11, COLOURS["red"], -1)
        name = f"p{number:02d}.png"
        imaging.write(folder / "images" / name, image)
        files.append({"id": number + 1, "file_name": name, "width": SIDE, "height": SIDE})
    boxes = [
        {"id": i, "image_id": image, "category_id": 1 + list(COLOURS).index(name), "bbox": box, "iscrowd": 0,
         "area": box[2] * box[3]}
        for i, (image, name, box) in enumerate(entries, 1)
    ]  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(COLOURS, 1)]
    coco = {"images": files, "annotations": boxes, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(coco), encoding="utf-8")
    return folder
