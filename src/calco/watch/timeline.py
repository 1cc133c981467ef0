"""The page of a watch: tracks and events over time, each event with its crop; it needs no other file."""

import base64
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.detection.drawing import colour_of
from calco.errors import CalcoError
from calco.report.page import write_page
from calco.report.tables import Column, Row, Table
from calco.video.reading import clock
from calco.watch.rules import Rules

EVENTS: Final = 500
"""Events that stand on the page, the newest; the file has all."""
TRACKS: Final = 2000
"""Tracks that stand on the page, the newest."""
_SIDE: Final = 360  # pixels of a crop's longer side on the page
_NEAR: Final = 3  # objects near by that a card names, the nearest


@dataclass
class Timeline:
    """Writes the page, again and again where a watch is live.

    Attributes:
        folder: Of the watch, whose files it reads.
        title: What was watched.
        rules: By which.
        classes: Of the detector, for the colours.
        blurred: Whether faces were blurred.
    """

    folder: Path
    title: str
    rules: Rules
    classes: tuple[str, ...]
    blurred: bool
    _crops: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def write(
        self, facts: Sequence[str], counts: Mapping[str, int], open_tracks: Sequence[dict[str, Any]] = ()
    ) -> Path:
        """Writes timeline.html.

        Args:
            facts: Of the watch, a phrase each.
            counts: Events by rule.
            open_tracks: What is followed at this moment, as in tracks.jsonl.

        Raises:
            CalcoError: When it cannot be written.
        """
        events = _tail(self.folder / "events.jsonl", EVENTS)
        tracks = [*_tail(self.folder / "tracks.jsonl", TRACKS), *open_tracks]
        self._crops = {name: crop for name, crop in self._crops.items() if any(e["crop"] == name for e in events)}
        colours = {track["class"]: _hex(colour_of(track["class"], self.classes)) for track in tracks}
        data = {
            "events": [{name: event[name] for name in ("event", "time", "rule", "track", "class")} for event in events],
            "tracks": [[t["track"], t["class"], t["first"], t["last"]] for t in tracks],
            "rules": [rule.name for rule in self.rules.rules], "colours": colours,
        }  # fmt: skip
        rows = [Row(rule.name, [rule.words, f"{counts.get(rule.name, 0):,}"]) for rule in self.rules.rules]
        return write_page(
            self.folder,
            "timeline",
            name="timeline.html",
            title=f"{self.title} · Calco watch",
            heading=self.title,
            facts=facts,
            total=sum(counts.values()),
            blurred=self.blurred,
            data=data,
            rules=Table("Rules", [Column("asks for", css="words"), Column("events")], rows, corner="rule"),
            events=[self._shown(event) for event in events],
        )

    def _shown(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event with the texts and the image of its card."""
        near = [
            f"{other['class']} {other['track']} "
            + (f"at {other['distance']:.2g} heights" if other["distance"] >= 0.005 else "touching")
            for other in event["near"][:_NEAR]
        ]
        near += [f"{len(event['near']) - _NEAR} more"] if len(event["near"]) > _NEAR else []
        held = [f"for {event['held']:g} s"] if event["held"] else []
        described = [f"{event['class']} {event['track']}, score {event['score']:.2f}", *near, *held]
        return event | {
            "at": clock(event["time"]),
            "day": event["clock"][:19].replace("T", " ") if "clock" in event else "",
            "described": " · ".join(described),
            "image": self._crop(event["crop"]),
        }

    def _crop(self, name: str) -> tuple[str, int, int] | None:
        """A crop within the page, with its size; None where it is not there any more."""
        if not name:
            return None
        if name not in self._crops:
            try:
                image = imaging.read(self.folder / name)
            except CalcoError:
                return None
            height, width = image.shape[:2]
            scale = min(1.0, _SIDE / max(height, width))
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
            data = imaging.encode(imaging.resize(image, (width, height)), ".jpg")
            self._crops[name] = (f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", width, height)
        return self._crops[name]


def _tail(path: Path, most: int) -> list[dict[str, Any]]:
    """The last lines of a file of JSON lines that are whole; none where it is absent."""
    kept: deque[str] = deque(maxlen=most)
    try:
        with path.open(encoding="utf-8") as file:
            kept.extend(file)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in kept if line.endswith("\n")]


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
