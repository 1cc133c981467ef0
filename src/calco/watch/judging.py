"""Rules at work: a clock for each rule and track, which runs while the rule's conditions hold."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np

from calco.watch.rules import Near, Rule, Rules, inside, touches
from calco.watch.tracking import Floats, Track, rounded_box

FORMAT: Final = 1
"""Version of events."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule that is fulfilled."""

    rule: Rule
    track: Track  # the object that fulfils it
    held: float  # seconds for which it has held
    # objects near it, each with its distance in box heights, the nearest first
    others: tuple[tuple[Track, float], ...] = ()

    def event(self, number: int, *, time: float, frame: int, clock: str | None, crop: str) -> dict[str, Any]:
        """Return the event as it is written and as a hook gets it; `clock` is the time of day of live images."""
        track, rule = self.track, self.rule
        near = [{"track": other.id, "class": other.name, "score": round(other.score, 4),
                 "box": rounded_box(other.box), "distance": round(distance, 3)}
                for other, distance in self.others]  # fmt: skip
        return {
            "format": FORMAT, "event": number, "rule": rule.name, "time": round(time, 3),
            **({} if clock is None else {"clock": clock}),
            "frame": frame, "track": track.id, "class": track.name, "score": round(track.score, 4),
            "held": round(self.held, 3), "zone": rule.zone or None, "box": rounded_box(track.box), "near": near,
            "crop": crop,
        }  # fmt: skip


@dataclass(slots=True)
class _Clock:
    since: float  # seconds at which the conditions began to hold
    last: float  # and at which they last held
    fired: float | None = None  # and at which an event was raised


class Judge:
    """Applies rules to the tracks of each frame, in images of one size (pixels)."""

    def __init__(self, rules: Rules, size_wh: tuple[int, int]) -> None:
        self.rules, self.size_wh = rules, size_wh
        self._clocks: dict[str, dict[int, _Clock]] = {}
        self._cooling: dict[str, float] = {}  # by rule, seconds of its last event
        self._corners = {name: zone.pixels(*size_wh) for name, zone in rules.zones.items()}

    def __call__(self, tracks: Sequence[Track], time: float) -> list[Verdict]:
        """Return the rules that the tracks in view fulfil now, and did not just before."""
        verdicts: list[Verdict] = []
        for rule in self.rules.rules:
            clocks = self._clocks.setdefault(rule.name, {})
            for track in tracks:
                others = self._holds(rule, track, tracks)
                if others is None:
                    continue
                clock = clocks.setdefault(track.id, _Clock(time, time))
                if time - clock.last > rule.pause + 1e-9:
                    clock.since = time
                clock.last = time
                before = self._cooling.get(rule.name) if rule.once else clock.fired
                is_cool = before is None or time - before >= rule.cool_down
                if time - clock.since >= rule.seconds - 1e-9 and is_cool:
                    clock.fired = self._cooling[rule.name] = time
                    verdicts.append(Verdict(rule, track, time - clock.since, others))
            self._clocks[rule.name] = {  # so that memory is bounded over weeks
                number: clock for number, clock in clocks.items()
                if time - clock.last <= rule.pause or (clock.fired is not None and time - clock.fired < rule.cool_down)
            }  # fmt: skip
        return verdicts

    def _holds(self, rule: Rule, track: Track, tracks: Sequence[Track]) -> tuple[tuple[Track, float], ...] | None:
        """Return the objects near a track for which a rule holds at this moment; None if it does not hold."""
        if (rule.classes and track.name not in rule.classes) or track.score < rule.score:
            return None
        if rule.zone and not self._is_in(rule, track):
            return None
        return () if rule.near is None else near(rule.near, track, tracks) or None

    def _is_in(self, rule: Rule, track: Track) -> bool:
        corners, (left, top, right, bottom) = self._corners[rule.zone], (float(end) for end in track.box)
        if rule.place == "touch":
            return touches(corners, track.box)
        # The lower edge of a box that reaches below the image is its last row.
        down = min(bottom, self.size_wh[1] - 1e-3) if rule.place == "foot" else (top + bottom) / 2
        return inside(corners, (left + right) / 2, down)

    def state(self) -> dict[str, Any]:
        """Return all clocks, as JSON can hold them."""
        clocks = {
            rule: [[number, *astuple(clock)] for number, clock in clocks.items()]
            for rule, clocks in self._clocks.items()
        }
        return {"clocks": clocks, "cooling": self._cooling}

    def recall(self, state: dict[str, Any]) -> None:
        """Continue from a state; clocks of rules that are gone are dropped."""
        names = {rule.name for rule in self.rules.rules}
        self._clocks = {
            rule: {number: _Clock(*times) for number, *times in clocks}
            for rule, clocks in state["clocks"].items() if rule in names
        }  # fmt: skip
        self._cooling = {rule: time for rule, time in state["cooling"].items() if rule in names}


def near(wanted: Near, track: Track, tracks: Sequence[Track]) -> tuple[tuple[Track, float], ...]:
    """Return the tracks of some classes that are close to one, with the distance in its box heights, nearest first."""
    others = [
        each for each in tracks if each.name in wanted.classes and each.score >= wanted.score and each is not track
    ]
    if not others:
        return ()
    height = max(1.0, float(track.box[3] - track.box[1]))
    far = gaps(track.box, np.array([each.box for each in others])) / height
    close = [(others[i], float(far[i])) for i in np.flatnonzero(far <= wanted.within)]
    return tuple(sorted(close, key=lambda pair: (pair[1], pair[0].id)))


def gaps(box: Floats, boxes: Floats) -> Floats:
    """Return the pixels between a box and each of others (N x 4); 0 where they touch or overlap."""
    apart = np.maximum(np.maximum(box[:2] - boxes[:, 2:], boxes[:, :2] - box[2:]), 0.0)
    return np.hypot(apart[:, 0], apart[:, 1])
