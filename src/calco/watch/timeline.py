"""The page of a watch: tracks and events over time, each event with its crop; it needs no other file."""

import base64
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.detection.drawing import colour_of
from calco.errors import CalcoError
from calco.report.html import asset, write_page
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
        total = sum(counts.values())
        body = "\n".join([_chart(data, colours), self._rules(counts), self._events(events, total)])
        content = json.dumps(data).replace("<", "\\u003c")  # a rule's name must not end the script
        after = (
            f'<script type="application/json" id="watched">{content}</script>\n'
            '<dialog id="crop"><figure><img alt=""><figcaption></figcaption></figure>'
            '<button type="button">Close</button></dialog>'
        )
        return write_page(
            self.folder, f"{self.title} · Calco watch", self._header(facts, total), body, name="timeline.html",
            css=asset("calco.watch", "timeline.css"), js=asset("calco.watch", "timeline.js"),
            after=after,
        )  # fmt: skip

    def _header(self, facts: Sequence[str], total: int) -> str:
        listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
        blurred = "Faces are blurred as far as people were found." if self.blurred else "Faces are not blurred."
        events = f"{total:,} event{'s' * (total != 1)}"
        return (
            f'<h1>{escape(self.title)}</h1><ul class="facts">{listed}</ul>'
            f'<div class="verdict"><p>{events}. {blurred} An event says that a rule was fulfilled by what a detector '
            "took for something: a person looks at the crop, then decides.</p></div>"
        )

    def _rules(self, counts: Mapping[str, int]) -> str:
        if not self.rules.rules:
            return '<section><h2>Rules</h2><p class="lead">There were none, so nothing raised an event.</p></section>'
        rows = "".join(
            f"<tr><th scope=row>{escape(rule.name)}</th><td class=words>{escape(rule.words)}</td>"
            f"<td>{counts.get(rule.name, 0):,}</td></tr>"
            for rule in self.rules.rules
        )
        return (
            '<section><h2>Rules</h2><div class="scroll" tabindex="0" role="region" aria-label="Rules"><table>'
            '<thead><tr><th scope="col">rule</th><th scope="col" class=words>asks for</th><th scope="col">events</th>'
            f"</tr></thead><tbody>{rows}</tbody></table></div></section>"
        )

    def _events(self, events: Sequence[dict[str, Any]], total: int) -> str:
        if not events:
            return ""
        named = dict.fromkeys(event["rule"] for event in events)
        chips = "".join(
            f'<button type="button" data-rule="{escape(rule)}" aria-pressed="true">{escape(rule)}</button>'
            for rule in named
        )
        left = total - len(events)
        more = f'<p class="lead">The newest {len(events):,}; events.jsonl has {left:,} more.</p>' if left > 0 else ""
        cards = "".join(self._card(event) for event in reversed(events))
        return (
            f'<section><div class="bar"><h2>Events</h2><div class="chips" role="group" aria-label="Rules shown">{chips}'
            f'</div></div>{more}<ol class="events" reversed>{cards}</ol></section>'
        )

    def _card(self, event: dict[str, Any]) -> str:
        number, when = event["event"], clock(event["time"])
        near = "".join(
            f" · {escape(other['class'])} {other['track']} "
            + (f"at {other['distance']:.2g} heights" if other["distance"] >= 0.005 else "touching")
            for other in event["near"][:_NEAR]
        )
        near += f" · {len(event['near']) - _NEAR} more" if len(event["near"]) > _NEAR else ""
        told = f"{event['class']} {event['track']}, score {event['score']:.2f}"
        day = (
            f'<span class="day">{escape(event["clock"][:19].replace("T", " "))} UTC</span>' if "clock" in event else ""
        )
        held = f" · for {event['held']:g} s" if event["held"] else ""
        crop = self._crop(event["crop"])
        shown = '<span class="none">no crop</span>'
        if crop is not None:
            source, width, height = crop
            shown = f'<img width="{width}" height="{height}" alt="crop of event {number}" src="{source}">'
        return (
            f'<li class="event" id="event-{number}" data-rule="{escape(event["rule"])}" data-track="{event["track"]}">'
            f'<button type="button" aria-label="Event {number}: {escape(event["rule"])} at {when}; enlarge">{shown}'
            f'</button><div class="told"><b>{escape(event["rule"])}</b> <time>{when}</time>{day}<br>'
            f'<span class="soft">{escape(told)}{near}{held}</span></div></li>'
        )

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


def _chart(data: dict[str, Any], colours: Mapping[str, str]) -> str:
    keys = "".join(f'<li><i style="background:{colour}"></i>{escape(name)}</li>' for name, colour in colours.items())
    buttons = "".join(
        f'<button type="button" data-zoom="{zoom}" aria-label="{words}">{sign}</button>'
        for zoom, words, sign in (("in", "Zoom in", "+"), ("out", "Zoom out", "−"), ("all", "Show all", "All"),
                                  ("left", "Earlier", "←"), ("right", "Later", "→"))
    )  # fmt: skip
    words = f"{len(data['tracks']):,} tracks and {len(data['events']):,} events over time; the events are listed below"
    return (
        f'<section><div class="bar"><h2>Over time</h2><div class="zoom" role="group" aria-label="Time">{buttons}</div>'
        f'</div><div class="time"><svg id="chart" role="img" aria-label="{words}"></svg></div>'
        f'<div class="bar"><ul class="keys">{keys}</ul><output id="told">Point at a bar or a dot.</output></div>'
        "</section>"
    )


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
