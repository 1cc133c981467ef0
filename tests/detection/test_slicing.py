"""Small objects in large images."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calco.annotations.detections import Detections
from calco.detection.slicing import Slices, find_in_slices, joined
from calco.errors import CalcoError
from detection.spots import SIDE, Spots, matched, scene


def test_small_objects_are_found_in_slices_alone() -> None:
    boxes = [(20, 30, 30, 40), (700, 500, 712, 511), (1180, 880, 1195, 894), (400, 450, 410, 462)]
    image = scene(1200, 900, boxes)
    assert len(Spots().one(image)) < len(boxes)
    assert matched(find_in_slices(Spots(), image, Slices(side=SIDE)), boxes)


def test_a_thing_is_found_once_wherever_it_lies() -> None:
    slices = Slices(side=SIDE, overlap=0.25)
    for left in range(60, 260, 7):
        box = (left, left // 2 + 40, left + 20, left // 2 + 58)
        assert matched(find_in_slices(Spots(), scene(500, 400, [box]), slices), [box])


def test_pieces_of_a_thing_larger_than_the_overlap_are_put_together() -> None:
    # 12 pixels high: lost in the whole image of 1600, and cut by two or three slices.
    box = (100, 200, 480, 212)
    found = find_in_slices(Spots(), scene(1600, 400, [box]), Slices(side=SIDE, overlap=0.2))
    assert matched(found, [box])


def test_large_objects_are_seen_whole() -> None:
    box = (100, 100, 900, 700)
    found = find_in_slices(Spots(), scene(1200, 900, [box]), Slices(side=SIDE))
    assert matched(found, [box], near=8)


def test_neighbours_stay_apart() -> None:
    boxes = [(150 + 14 * i, 150, 160 + 14 * i, 160) for i in range(6)]
    assert matched(find_in_slices(Spots(), scene(600, 400, boxes), Slices(side=SIDE)), boxes)


def test_classes_are_kept_apart() -> None:
    view = (0, 0, 100, 100)
    box = np.array([[10, 10, 30, 30]], np.float32)
    one = Detections(boxes=box, classes=("knife",), scores=np.array([0.9], np.float32))
    two = Detections(boxes=box, classes=("pistol",), scores=np.array([0.8], np.float32))
    again = Detections(boxes=box, classes=("knife",), scores=np.array([0.95], np.float32))
    found = joined([(view, 0, one), (view, 1, two), (view, 2, again)], 100, 100)
    assert found.classes == ("knife", "pistol")
    assert found.scores is not None and found.scores.tolist() == pytest.approx([0.95, 0.8])


def test_boxes_of_one_view_are_not_compared() -> None:
    view = (0, 0, 100, 100)
    two = Detections(boxes=np.array([[10, 10, 30, 30], [11, 11, 31, 31]], np.float32), classes=("knife",) * 2,
                     scores=np.array([0.9, 0.8], np.float32))  # fmt: skip
    assert len(joined([(view, 0, two)], 100, 100)) == 2


def test_a_small_image_is_shown_once() -> None:
    detector = Spots()
    find_in_slices(detector, scene(150, 100, []), Slices(side=SIDE))
    assert detector.seen == [(150, 100)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(32, 700), st.floats(0, 0.75))
def test_slices_cover_the_image(width: int, height: int, side: int, overlap: float) -> None:
    views = Slices(side=side, overlap=overlap).views(width, height)
    if max(width, height) <= side:
        assert views == []
        return
    for low, high, length in ((0, 2, width), (1, 3, height)):
        spans = sorted({(view[low], view[high]) for view in views})
        assert spans[0][0] == 0 and spans[-1][1] == length
        assert len({end - start for start, end in spans}) == 1
        needed = int(overlap * min(side, length)) - 1
        assert all(before[1] - after[0] >= needed for before, after in pairwise(spans))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"side": 8}, "it must be 32 pixels or more"),
        ({"side": 100, "overlap": 0.9}, "0 to 0.75"),
        ({"side": 100, "overlap": -0.1}, "0 to 0.75"),
        ({"side": 100, "batch": 0}, "1 or more"),
    ],
)
def test_slices_that_cannot_be(given: dict[str, float], said: str) -> None:
    with pytest.raises(CalcoError, match=said):
        Slices(**given)
