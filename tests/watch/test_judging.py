"""Rules at work: clocks, pauses, zones, objects near each other, cool-downs."""

import json

import numpy as np

from calco.watch.rules import Near, Rule, Rules, checked_zone
from calco.watch.tracking import Track
from calco.watch.watcher import Judge, gaps

DOOR = checked_zone("door", "shares", [[0.5, 0], [1, 0], [1, 1], [0.5, 1]], "rules.yaml")


def track(
    number: int = 1, left: float = 0, name: str = "person", score: float = 0.9, size: tuple[float, float] = (20, 50)
) -> Track:
    box = np.array([left, 20, left + size[0], 20 + size[1]], np.float64)
    return Track(number, name, box, score, 0, 0, confirmed=True)


def judge(*rules: Rule) -> Judge:
    return Judge(Rules(rules=rules, zones={"door": DOOR}), (200, 100))


def fired(judge: Judge, frames: dict[float, list[Track]]) -> list[tuple[float, str, int]]:
    return [(time, v.rule.name, v.track.id) for time, tracks in frames.items() for v in judge(tracks, time)]


def test_seconds_count_from_entering_the_zone_by_the_feet() -> None:
    rule = Rule(name="lingers", classes=("person",), zone="door", seconds=1.0, cool_down=100)
    frames = {t / 10: [track(left=5.0 * t)] for t in range(40)}  # its feet reach the middle, 100, at 1.8 s
    assert fired(judge(rule), frames) == [(2.8, "lingers", 1)]
    touching = Rule(name="touches", zone="door", place="touch")
    assert fired(judge(touching), frames)[0][0] == 1.6  # its right edge touches 100


def test_a_short_pause_does_not_begin_anew_and_a_long_one_does() -> None:
    rule = Rule(name="stays", seconds=1.0, pause=0.3, cool_down=100)
    here, away = [track()], list[Track]()
    short = {t / 10: (away if t in (5, 6) else here) for t in range(30)}
    assert fired(judge(rule), short) == [(1.0, "stays", 1)]
    long = {t / 10: (away if 5 <= t <= 9 else here) for t in range(30)}
    assert fired(judge(rule), long) == [(2.0, "stays", 1)]


def test_cool_downs_by_track_and_by_rule() -> None:
    both = [track(1), track(2, left=50)]
    frames = {t / 10: both for t in range(31)}
    each = Rule(name="seen", cool_down=1.0)
    assert fired(judge(each), frames) == [(t, "seen", n) for t in (0, 1.0, 2.0, 3.0) for n in (1, 2)]
    once = Rule(name="seen", cool_down=1.0, once=True)
    assert [time for time, _, _ in fired(judge(once), frames)] == [0, 1.0, 2.0, 3.0]


def test_score_and_class() -> None:
    rule = Rule(name="sure", classes=("gun",), score=0.8)
    assert fired(judge(rule), {0: [track(1, name="gun", score=0.7), track(2), track(3, name="gun")]}) == [
        (0, "sure", 3)
    ]


def test_people_near_a_weapon() -> None:
    rule = Rule(name="armed", classes=("person",), near=Near(classes=("gun",), within=0.5, score=0.5))
    gun = track(9, left=45, name="gun", size=(8, 6))
    assert gaps(track().box, gun.box[None]) == 25
    (verdict,) = judge(rule)([track(), gun], 0)  # 25 pixels are half of its height
    assert [(other.id, distance) for other, distance in verdict.others] == [(9, 0.5)]
    assert judge(rule)([track(), track(9, left=46, name="gun", size=(8, 6))], 0) == []
    assert judge(rule)([track(), track(9, left=45, name="gun", score=0.4)], 0) == []


def test_feet_below_the_image_are_on_its_lower_edge() -> None:
    tall = track(left=120, size=(20, 300))
    assert judge(Rule(name="in", zone="door"))([tall], 0)


def test_clocks_are_saved_and_forgotten() -> None:
    rule = Rule(name="stays", seconds=1.0, cool_down=0.5)
    first, frames = judge(rule), {t / 10: [track()] for t in range(8)}
    fired(first, frames)
    second = judge(rule)
    second.recall(json.loads(json.dumps(first.state())))
    assert fired(second, {t / 10: [track()] for t in range(8, 13)}) == [(1.0, "stays", 1)]
    fired(second, {60.0 + t: [] for t in range(2)})
    assert second.state()["clocks"] == {"stays": []}
