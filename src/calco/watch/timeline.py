"""The page of a watch: tracks and events over time, each event with its crop; it needs no other file."""

import base64
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.detection.drawing import colour_of
from calco.errors import CalcoError
from calco.journal import Journal
from calco.report.page import Column, Row, Table, write_page
from calco.video.reading import clock
from calco.watch.rules import Rules

EVENTS: Final = 500
"""Events on the page, the newest; the file has all."""
TRACKS: Final = 2000
"""Tracks on the page, the newest."""
_SIDE: Final = 360  # pixels of a crop's longer side on the page
_NEAR: Final = 3  # objects near by that a card names, the nearest


@dataclass
class Timeline:
    """Writes the page, again and again for a live watch."""

    folder: Path  # folder of the watch, whose files it reads
    title: str  # name of the video or camera
    rules: Rules
    classes: tuple[str, ...]  # classes of the detector, for the colours
    blurred: bool  # whether faces were blurred
    _crops: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def write(
        self, facts: Sequence[str], counts: Mapping[str, int], open_tracks: Sequence[dict[str, Any]] = ()
    ) -> Path:
        """Write timeline.html with facts (phrases), events by rule and open tracks; return its path."""
        events = deque(Journal(self.folder / "events.jsonl").rows(), EVENTS)
        tracks = [*deque(Journal(self.folder / "tracks.jsonl").rows(), TRACKS), *open_tracks]
        self._crops = {name: crop for name, crop in self._crops.items() if any(e["crop"] == name for e in events)}
        names = dict.fromkeys(track["class"] for track in tracks)
        colours = {name: "#{:02x}{:02x}{:02x}".format(*colour_of(name, self.classes)) for name in names}
        data = {
            "events": [{name: event[name] for name in ("event", "time", "rule", "track", "class")} for event in events],
            "tracks": [[t["track"], t["class"], t["first"], t["last"]] for t in tracks],
            "rules": [rule.name for rule in self.rules.rules], "colours": colours,
        }  # fmt: skip
        rows = [Row(rule.name, [rule.words, f"{counts.get(rule.name, 0):,}"]) for rule in self.rules.rules]
        return write_page(
            self.folder, "timeline", name="timeline.html", title=f"{self.title} · Calco watch", heading=self.title,
            facts=facts, total=sum(counts.values()), blurred=self.blurred, data=data,
            rules=Table("Rules", [Column("asks for", css="words"), Column("events")], rows, corner="rule"),
            events=[self._shown(event) for event in events],
        )  # fmt: skip

    def _shown(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return an event with the texts and the image of its card."""
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
        """Return a crop for the page, with its size; None if it is not there any more."""
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
