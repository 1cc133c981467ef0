"""Detections as rows of JSON lines and CSV."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco.annotations.detections import Detections
from calco.files import replacing

COLUMNS: Final = ("class", "score", "left", "top", "right", "bottom", "track")
_DIGITS: Final = 2  # of pixels: a hundredth, finer than any detector is


def as_rows(found: Detections) -> list[dict[str, Any]]:
    """Return objects as plain data: class, score, box (left, top, right, bottom in pixels)."""
    rows = []
    for i, (name, box) in enumerate(zip(found.classes, found.boxes.astype(np.float64), strict=True)):
        row: dict[str, Any] = {"class": name}
        if found.scores is not None:
            row["score"] = round(float(found.scores[i]), 4)
        row["box"] = [round(float(value), _DIGITS) for value in box]
        rows.append(row)
    return rows


def from_rows(rows: Iterable[Mapping[str, Any]]) -> Detections:
    """Return the objects of rows that `as_rows` made."""
    rows = list(rows)
    scores = [row.get("score") for row in rows]
    return Detections(
        boxes=np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
        classes=tuple(str(row["class"]) for row in rows),
        scores=None if None in scores else np.array(scores, np.float32),
    )


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV with a row for each object of JSON lines: the fields of its image or frame, then `COLUMNS`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace",
                                                      newline="") as file:  # fmt: skip
        writer: Any = None
        for row in rows:
            where = {name: value for name, value in row.items() if name != "detections"}
            if writer is None:
                writer = csv.writer(file)
                writer.writerow([*where, *COLUMNS])
            for each in row["detections"]:
                cells = [each["class"], each.get("score", ""), *each["box"], ""]  # no tracks
                writer.writerow([*where.values(), *cells])
        if writer is None:
            csv.writer(file).writerow(COLUMNS)
