"""Tracks: numbers that last, gaps, weak detections, and a state that can be saved."""

import json

import numpy as np
import pytest

from calco.annotations.detections import Detections, nothing
from calco.watch import tracking
from calco.watch.config import TrackConfig
from calco.watch.tracking import MOST, Tracker, matched


def found(*boxes: tuple[float, ...], names: tuple[str, ...] = (), scores: tuple[float, ...] = ()) -> Detections:
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4), classes=names or ("person",) * len(boxes),
        scores=np.array(scores or (0.9,) * len(boxes), np.float32),
    )  # fmt: skip


def walker(frame: int, *, start: float = 0.0, speed: float = 4.0, top: float = 20.0) -> tuple[float, ...]:
    left = start + speed * frame
    return (left, top, left + 20, top + 50)


def follow(tracker: Tracker, frames: list[Detections | None], rate: float = 25.0, begin: int = 0) -> None:
    for n, each in enumerate(frames, begin):
        tracker.predict(n / rate)
        if each is not None:
            tracker.update(each)


def test_two_people_who_cross_keep_their_numbers() -> None:
    tracker = Tracker(0.5)
    frames = [found(walker(n), walker(n, start=200, speed=-4, top=34)) for n in range(50)]
    follow(tracker, frames)
    first, second = sorted(tracker.shown(0), key=lambda track: track.id)
    assert (first.id, second.id) == (1, 2)
    assert first.box[0] == pytest.approx(196, abs=3) and second.box[0] == pytest.approx(4, abs=3)
    assert not tracker.taken()


def test_a_gap_is_bridged_and_a_long_one_ends_the_track() -> None:
    tracker = Tracker(0.5, TrackConfig(gap=1.0))
    follow(tracker, [found(walker(n)) for n in range(20)])
    follow(tracker, [nothing()] * 15, begin=20)
    assert tracker.shown(0) == [] and [track.id for track in tracker.tracks] == [1]
    follow(tracker, [found(walker(n)) for n in range(35, 40)], begin=35)
    assert [track.id for track in tracker.shown(0)] == [1]
    follow(tracker, [nothing()] * 30, begin=40)
    assert tracker.tracks == [] and [track.id for track in tracker.taken()] == [1]


def test_who_comes_back_elsewhere_is_known_by_the_colours() -> None:
    red, blue = np.zeros((100, 300, 3), np.uint8), np.zeros((100, 300, 3), np.uint8)
    red[..., 0], blue[..., 2] = 220, 220
    for image, number in ((red, 1), (blue, 2)):
        tracker = Tracker(0.5)
        for n in range(20):
            tracker.predict(n / 25)
            tracker.update(found((100, 20, 120, 70)), red)
        for n in range(20, 30):
            tracker.predict(n / 25)
            tracker.update(nothing(), red)
        for n in range(30, 33):  # a whole width further, where no box overlaps
            tracker.predict(n / 25)
            tracker.update(found((126, 20, 146, 70)), image)
        assert [track.id for track in tracker.shown(0)] == [number]


def test_of_two_side_by_side_each_goes_on_with_its_own_colours() -> None:
    image = np.full((60, 80, 3), 120, np.uint8)
    image[:, :22], image[:, 22:44] = (220, 20, 20), (20, 20, 220)
    tracker = Tracker(0.5)
    for n in range(10):
        tracker.predict(n / 25)
        tracker.update(found((2, 0, 22, 50), (22, 0, 42, 50)), image)
    blue = np.full_like(image, 120)
    blue[:, 11:32] = (20, 20, 220)
    tracker.predict(0.4)
    tracker.update(found((11, 0, 31, 50)), blue)  # it overlaps the red one's place more than the blue one's
    assert [(track.id, track.last) for track in tracker.tracks] == [(1, 0.36), (2, 0.4)]


def test_what_scores_low_goes_on_with_a_track_and_begins_none() -> None:
    tracker = Tracker(0.5)
    follow(tracker, [found(walker(n), scores=(0.9 if n < 10 else 0.3,)) for n in range(30)])
    assert [(track.id, track.hits) for track in tracker.shown(0)] == [(1, 30)]
    alone = Tracker(0.5)
    follow(alone, [found(walker(n), scores=(0.3,)) for n in range(30)])
    assert alone.tracks == []


def test_one_glimpse_is_no_track() -> None:
    tracker = Tracker(0.5)
    follow(tracker, [found(walker(0)), *[found(walker(n)) for n in range(1, 5)]])
    follow(tracker, [found(walker(5), (200, 20, 220, 70)), found(walker(6)), found(walker(7))], begin=5)
    assert [track.id for track in tracker.tracks] == [1] and tracker.taken() == []


def test_classes_never_mix() -> None:
    tracker = Tracker(0.5)
    follow(tracker, [found((10, 10, 40, 60), names=("person",))] * 5)
    follow(tracker, [found((10, 10, 40, 60), names=("gun",))] * 5, begin=5)
    assert {track.name: track.hits for track in tracker.tracks} == {"person": 5, "gun": 5}


def test_between_looks_a_track_is_where_its_way_leads() -> None:
    tracker = Tracker(0.5)
    frames = [found(walker(n)) if n % 4 == 0 else None for n in range(43)]
    follow(tracker, frames)
    (track,) = tracker.shown(0.2)
    assert track.box[0] == pytest.approx(4 * 42, abs=3) and track.hits == 11


def test_a_saved_state_goes_on_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    frames = [
        found(*(np.array(walker(n, start=60 * k, top=20 + 8 * k)) + rng.normal(0, 1, 4) for k in range(4)),
              scores=tuple(rng.uniform(0.2, 1, 4)))
        for n in range(60)
    ]  # fmt: skip
    whole, first = Tracker(0.5), Tracker(0.5)
    follow(whole, frames)
    follow(first, frames[:31])
    second = Tracker(0.5)
    second.recall(json.loads(json.dumps(first.state())))
    follow(second, frames[31:], begin=31)
    assert json.dumps(second.state()) == json.dumps(whole.state())


def test_the_number_of_tracks_is_bounded() -> None:
    tracker = Tracker(0.5)
    many = found(
        *[(12.0 * (i % 100), 12.0 * (i // 100), 12.0 * (i % 100) + 10, 12.0 * (i // 100) + 10) for i in range(700)]
    )
    follow(tracker, [many, many])
    assert len(tracker.tracks) == MOST


def test_the_filter_learns_a_velocity() -> None:
    means, covariances = tracking.begun(np.array([walker(0)]))
    for n in range(1, 30):
        means, covariances = tracking.predicted(means, covariances, 1.2)
        means, covariances = tracking.corrected(means, covariances, np.array([walker(n)]))
    assert means[0, 4] * 1.2 == pytest.approx(4, rel=0.02)
    assert np.array_equal(covariances, covariances.transpose(0, 2, 1)) and np.linalg.eigvalsh(covariances).min() > 0
    assert tracking.to_boxes(means)[0] == pytest.approx(walker(29), abs=0.5)


def test_the_filter_is_that_of_the_textbook() -> None:
    """One step against the equations written out for a single box."""
    box, seen = np.array([[10.0, 20, 30, 80]]), np.array([[12.0, 21, 32, 82]])
    mean, covariance = tracking.begun(box)
    mean, covariance = tracking.predicted(mean, covariance, 1.0)
    h = np.eye(4, 8)
    height = mean[0, 3]
    r = np.diag([(height / 20) ** 2, (height / 20) ** 2, 0.1**2, (height / 20) ** 2])
    s = h @ covariance[0] @ h.T + r
    gain = covariance[0] @ h.T @ np.linalg.inv(s)
    expected = mean[0] + gain @ (tracking.to_state(seen)[0] - h @ mean[0])
    updated, shrunk = tracking.corrected(mean, covariance, seen)
    assert updated[0] == pytest.approx(expected) and shrunk[0] == pytest.approx(covariance[0] - gain @ s @ gain.T)


def test_matching_takes_as_many_pairs_as_may_be() -> None:
    cost = np.array([[0.1, 0.2], [0.15, 9.0]])
    assert sorted(matched(cost, 0.5)) == [(0, 1), (1, 0)]
    assert matched(np.array([[0.9]]), 0.5) == [] and matched(np.zeros((0, 3)), 1) == []
    assert matched(np.full((2, 2), np.inf), 1.0) == []


def test_one_detection_after_a_quiet_start_is_no_track() -> None:
    tracker = Tracker(0.5)
    follow(tracker, [nothing()] * 10 + [found(walker(0))] + [nothing()] * 3)
    assert (tracker.tracks, tracker.taken()) == ([], [])
    first = Tracker(0.5)
    follow(first, [found(walker(0))])
    assert [track.confirmed for track in first.tracks] == [True], "the first look of all has nothing before it"


def test_one_detection_after_a_resume_is_no_track() -> None:
    before, after = Tracker(0.5), Tracker(0.5)
    follow(before, [nothing()] * 3)
    after.recall(json.loads(json.dumps(before.state())))
    follow(after, [found(walker(0)), nothing()], begin=3)
    assert (after.tracks, after.taken()) == ([], [])
    # A live watch that was killed before its first state leaves only numbers that are taken.
    numbered = Tracker(0.5)
    numbered.recall({**numbered.state(), "next": 1001})
    follow(numbered, [found(walker(0)), nothing()])
    assert (numbered.tracks, numbered.taken()) == ([], [])
