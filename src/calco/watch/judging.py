"""Rules at work: a clock for each rule and track, which runs while what the rule asks for is so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calco.watch.rules import Near, Rule, Rules, inside, touches
from calco.watch.tracking import Floats, Track


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule that is fulfilled.

    Attributes:
        rule: Which.
        track: By whom or what.
        held: Seconds for which it has been so.
        others: What is near, each with its distance in box heights, the nearest first.
    """

    rule: Rule
    track: Track
    held: float
    others: tuple[tuple[Track, float], ...] = ()


@dataclass(slots=True)
class _Clock:
    since: float  # seconds at which it began to be so
    last: float  # and at which it was last so
    fired: float | None = None  # and at which an event was raised


@dataclass
class Judge:
    """Judges each frame by the rules.

    Attributes:
        rules: The rules.
        size_wh: Of the images, pixels.
    """

    rules: Rules
    size_wh: tuple[int, int]
    _clocks: dict[str, dict[int, _Clock]] = field(default_factory=dict)
    _cooling: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._corners = {name: zone.pixels(*self.size_wh) for name, zone in self.rules.zones.items()}

    def __call__(self, tracks: Sequence[Track], time: float) -> list[Verdict]:
        """The rules that are fulfilled now and were not just before.

        Args:
            tracks: Those in view.
            time: Seconds.
        """
        verdicts: list[Verdict] = []
        for rule in self.rules.rules:
            clocks = self._clocks.setdefault(rule.name, {})
            for track in tracks:
                others = self._holds(rule, track, tracks)
                if others is None:
                    continue
                clock = clocks.get(track.id)
                if clock is None:
                    clock = clocks[track.id] = _Clock(time, time)
                elif time - clock.last > rule.pause + 1e-9:
                    clock.since = time
                clock.last = time
                if time - clock.since >= rule.seconds - 1e-9 and self._is_cool(rule, clock, time):
                    clock.fired = self._cooling[rule.name] = time
                    verdicts.append(Verdict(rule, track, time - clock.since, others))
            over = [
                number for number, clock in clocks.items()
                if time - clock.last > rule.pause and (clock.fired is None or time - clock.fired >= rule.cool_down)
            ]  # fmt: skip
            for number in over:  # so that memory is bounded over weeks
                del clocks[number]
        return verdicts

    def _is_cool(self, rule: Rule, clock: _Clock, time: float) -> bool:
        before = self._cooling.get(rule.name) if rule.once else clock.fired
        return before is None or time - before >= rule.cool_down

    def _holds(self, rule: Rule, track: Track, tracks: Sequence[Track]) -> tuple[tuple[Track, float], ...] | None:
        """What is near, where a rule holds for a track at this moment; None where it does not."""
        if (rule.classes and track.name not in rule.classes) or track.score < rule.score:
            return None
        if rule.zone and not self._is_there(rule, track):
            return None
        if rule.near is None:
            return ()
        return near(rule.near, track, tracks) or None

    def _is_there(self, rule: Rule, track: Track) -> bool:
        corners = self._corners[rule.zone]
        left, top, right, bottom = (float(end) for end in track.box)
        if rule.place == "touch":
            return touches(corners, track.box)
        # The lower edge of a box that reaches below the image is its last row.
        down = min(bottom, self.size_wh[1] - 1e-3) if rule.place == "foot" else (top + bottom) / 2
        return inside(corners, (left + right) / 2, down)

    def holding(self, time: float) -> dict[int, float]:
        """By track, for how many seconds a rule with seconds has held that has not been fulfilled yet."""
        running: dict[int, float] = {}
        for rule in self.rules.rules:
            for number, clock in self._clocks.get(rule.name, {}).items():
                if rule.seconds and time - clock.last <= rule.pause and clock.fired is None:
                    running[number] = max(running.get(number, 0.0), time - clock.since)
        return running

    def state(self) -> dict[str, Any]:
        """All clocks, as JSON can hold them."""
        return {
            "clocks": {
                rule: [[number, clock.since, clock.last, clock.fired] for number, clock in clocks.items()]
                for rule, clocks in self._clocks.items()
            },
            "cooling": self._cooling,
        }

    def recall(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave; clocks of rules that are no more are dropped."""
        names = {rule.name for rule in self.rules.rules}
        self._clocks = {
            rule: {number: _Clock(since, last, fired) for number, since, last, fired in clocks}
            for rule, clocks in state["clocks"].items() if rule in names
        }  # fmt: skip
        self._cooling = {rule: time for rule, time in state["cooling"].items() if rule in names}


def near(wanted: Near, track: Track, tracks: Sequence[Track]) -> tuple[tuple[Track, float], ...]:
    """The tracks of some classes that are close to one, with the distance in its box heights, the nearest first."""
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
    """Pixels between a box and each of others (N x 4); 0 where they touch or overlap."""
    apart = np.maximum(np.maximum(box[:2] - boxes[:, 2:], boxes[:, :2] - box[2:]), 0.0)
    return np.hypot(apart[:, 0], apart[:, 1])
