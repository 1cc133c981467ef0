"""What was found, as JSON lines, COCO and CSV."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.record import Record
from calco.files import replacing

COLUMNS: Final = ("class", "score", "left", "top", "right", "bottom", "track")
_DIGITS: Final = 2  # of pixels: a hundredth, which no detector knows better


def as_rows(found: Detections) -> list[dict[str, Any]]:
    """Objects as plain data: class, score, box (left, top, right, bottom in pixels), and track where there is one."""
    rows = []
    for i, (name, box) in enumerate(zip(found.classes, found.boxes.astype(np.float64), strict=True)):
        row: dict[str, Any] = {"class": name}
        if found.scores is not None:
            row["score"] = round(float(found.scores[i]), 4)
        row["box"] = [round(float(value), _DIGITS) for value in box]
        if found.track_ids is not None:
            row["track"] = int(found.track_ids[i])
        rows.append(row)
    return rows


def from_rows(rows: Iterable[Mapping[str, Any]]) -> Detections:
    """Objects from what `as_rows` made of them.

    Raises:
        ValueError: When they are something else; so KeyError and TypeError.
    """
    rows = list(rows)
    scores, tracks = ([row.get(name) for row in rows] for name in ("score", "track"))
    return Detections(
        boxes=np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
        classes=tuple(str(row["class"]) for row in rows),
        scores=None if None in scores else np.array(scores, np.float32),
        track_ids=None if None in tracks or not rows else np.array(tracks, np.int64),
    )


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a row for each thing of JSON lines, whole or not at all; images without any have none.

    Args:
        path: The file.
        rows: JSON lines: what names the image or frame comes first, then the columns of `COLUMNS`.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace",
                                                      newline="") as file:  # fmt: skip
        writer: Any = None
        for row in rows:
            where = {name: value for name, value in row.items() if name != "detections"}
            if writer is None:
                writer = csv.writer(file)
                writer.writerow([*where, *COLUMNS])
            for thing in row["detections"]:
                told = [thing["class"], thing.get("score", ""), *thing["box"], thing.get("track", "")]
                writer.writerow([*where.values(), *told])
        if writer is None:
            csv.writer(file).writerow(COLUMNS)


def write_found_coco(path: Path, rows: Iterable[Mapping[str, Any]], classes: tuple[str, ...]) -> None:
    """Writes JSON lines of images as COCO, with `score`; `calco` and other programs read it as annotations.

    Args:
        path: The file.
        rows: JSON lines with image, width, height.
        classes: The names of all classes, in the order of their numbers.
    """
    write_coco(path, [
        Record(name=row["image"], objects=from_rows(row["detections"]), size_wh=(row["width"], row["height"]))
        for row in rows
    ], classes)  # fmt: skip
