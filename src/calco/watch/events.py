"""What is written while a watch goes on: events and ended tracks as JSON lines that a kill cannot spoil."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calco.errors import CalcoError
from calco.files import explain
from calco.watch.judging import Verdict

FORMAT: Final = 1


def event_of(number: int, verdict: Verdict, *, time: float, frame: int, clock: str | None, crop: str) -> dict[str, Any]:
    """An event as it is written, and as a hook gets it.

    Args:
        number: Of the event, from 1.
        verdict: What was fulfilled.
        time: Seconds from the beginning of the watch; in a video, of the video.
        frame: Number of the frame, from 0.
        clock: Time of day in ISO 8601, of live images.
        crop: Where the crop lies, from the folder of the watch.
    """
    track, rule = verdict.track, verdict.rule
    return {
        "format": FORMAT, "event": number, "rule": rule.name, "time": round(time, 3),
        **({} if clock is None else {"clock": clock}),
        "frame": frame, "track": track.id, "class": track.name, "score": round(track.score, 4),
        "held": round(verdict.held, 3), "zone": rule.zone or None, "box": box_of(track.box),
        "near": [{"track": other.id, "class": other.name, "score": round(other.score, 4), "box": box_of(other.box),
                  "distance": round(distance, 3)} for other, distance in verdict.others],
        "crop": crop,
    }  # fmt: skip


def box_of(box: Any) -> list[float]:
    """Left, top, right, bottom with a decimal."""
    return [round(float(end), 1) for end in box]


@dataclass
class Lines:
    """A file of JSON lines that only grows, each line on the disk before the next thing is done.

    Attributes:
        path: The file.
        size: Bytes that are there.
        count: Lines that are there.
    """

    path: Path
    size: int = 0
    count: int = 0

    def add(self, record: dict[str, Any]) -> None:
        """Appends a line.

        Raises:
            CalcoError: When the disk is full, or the folder is gone.
        """
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise explain(error, self.path, "write") from error
        self.size, self.count = self.size + len(line), self.count + 1

    def state(self) -> list[int]:
        """How far it has come: bytes and lines."""
        return [self.size, self.count]

    def recall(self, state: list[int]) -> None:
        """Cuts off what was written after `state` was taken: it will be written again.

        Raises:
            CalcoError: When the file is shorter than it was then.
        """
        size, count = state
        try:
            there = self.path.stat().st_size if self.path.exists() else 0
            if there < size:
                raise CalcoError(
                    f"{self.path} has {there} bytes and had {size}; restore it, or begin anew with --overwrite"
                )
            if there > size:
                os.truncate(self.path, size)
        except OSError as error:
            raise explain(error, self.path, "write") from error
        self.size, self.count = size, count
