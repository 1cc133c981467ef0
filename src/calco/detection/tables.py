"""What was found, as JSON lines, COCO and CSV."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.record import Record
from calco.errors import CalcoError
from calco.files import explain, make_folder, parse_json_line, replacing

COLUMNS: Final = ("class", "score", "left", "top", "right", "bottom", "track")
_MADE_BY: Final = b'{"made_by": '
_NOT_OURS: Final = "is in the way and was not written by Calco; move it away, or choose another --out"
_OF_OTHERS: Final = (
    "holds what an interrupted call with another model, other options or another input found; repeat that call, start "
    "anew with --overwrite, or choose another --out"
)
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


class Lines:
    """A file of JSON lines that only grows, so that a killed work goes on behind its last whole line.

    Attributes:
        path: The file.
        count: Lines that it holds, beside the first one where that says what made them.
    """

    def __init__(self, path: Path, made_by: dict[str, Any] | None = None) -> None:
        """Opens it behind its last whole line, or begins it.

        Args:
            path: The file.
            made_by: Stands in its first line. None for a file of rows alone.

        Raises:
            CalcoError: When it cannot be written, or the file holds what something else made.
        """
        self.path, self.count = path, 0
        head = b"" if made_by is None else json.dumps({"made_by": made_by}, sort_keys=True).encode() + b"\n"
        self._head = len(head)
        make_folder(path.parent)
        try:
            end = self._end(head)
            self._file: BinaryIO = path.open("r+b" if end else "wb")
            if end:
                self._file.truncate(end)
                self._file.seek(end)
            else:
                self._file.write(head)
                self._file.flush()
        except OSError as error:
            raise explain(error, path, "write") from error

    def _end(self, head: bytes) -> int:
        """Where the last whole line ends; 0 to begin anew."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            if (first := file.read(len(head))) != head:
                if head.startswith(first):  # nothing, or cut off by a kill
                    return 0
                if not first.startswith(_MADE_BY[: len(first)]):
                    raise CalcoError(f"{self.path} {_NOT_OURS}")
                file.seek(0)
                if sum(1 for _ in file) > 1:
                    raise CalcoError(f"{self.path} {_OF_OTHERS}")
                return 0
            end = file.tell()
            for line in file:
                if not line.endswith(b"\n") or parse_json_line(line) is None:
                    break
                end, self.count = end + len(line), self.count + 1
        return end

    def add(self, row: Mapping[str, Any]) -> None:
        """Appends a line; it is with the system when this returns.

        Raises:
            CalcoError: When the disk is full.
        """
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            self._file.flush()
        except OSError as error:
            raise explain(error, self.path, "write") from error
        self.count += 1

    def rows(self) -> Iterator[dict[str, Any]]:
        """All lines, in order."""
        with self.path.open("rb") as file:
            file.seek(self._head)
            for line in file:
                if (row := parse_json_line(line)) is not None:
                    yield row

    def finish(self, path: Path) -> None:
        """Becomes another file, without what made it.

        Raises:
            CalcoError: When that cannot be written.
        """
        self.close()
        write_lines(path, self.rows())
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file.

        Raises:
            WriteError: When what is left cannot be written.
        """
        if not self._file.closed:
            try:
                self._file.close()
            except OSError as error:
                raise explain(error, self.path, "write") from error


def remove_part_lines(path: Path) -> None:
    """Removes the lines of an interrupted call, whatever made them.

    Raises:
        CalcoError: If Calco did not write the file, or the permissions do not allow it.
    """
    try:
        if os.path.lexists(path):
            with path.open("rb") as file:
                first = file.read(len(_MADE_BY))
            if not _MADE_BY.startswith(first):
                raise CalcoError(f"{path} {_NOT_OURS}")
            path.unlink()
    except OSError as error:
        raise explain(error, path, "remove") from error


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


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
