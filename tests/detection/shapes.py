"""Images of shapes with boxes, drawn by the tests."""

import json
from pathlib import Path

import cv2
import numpy as np

from calco import imaging

CLASSES = ("disc", "square")


def draw_shapes(folder: Path, count: int, side: int = 96, *, seed: int = 0) -> Path:
    """Bright discs and dark squares on noise, and a COCO file beside them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    images, boxes = [], []
    for number in range(count):
        image = rng.integers(90, 140, (side, side, 3), np.uint8)
        for _ in range(int(rng.integers(1, 3))):
            kind, half = int(rng.integers(2)), int(rng.integers(side // 8, side // 5))
            x, y = (int(rng.integers(half, side - half)) for _ in range(2))
            if kind == 0:
                cv2.circle(image, (x, y), half, (250, 240, 60), -1)
            else:
                cv2.rectangle(image, (x - half, y - half), (x + half, y + half), (10, 20, 90), -1)
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": number + 1,
                    "category_id": kind + 1,
                    "bbox": [x - half, y - half, 2 * half, 2 * half],
                    "area": 4 * half * half,
                    "iscrowd": 0,
                }
            )
        name = f"shape{number:03d}.png"
        imaging.write(folder / name, image)
        images.append({"id": number + 1, "file_name": name, "width": side, "height": side})
    categories = [{"id": place, "name": name} for place, name in enumerate(CLASSES, 1)]
    record = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(record))
    return folder
