"""Polygons, run lengths, and detections that are scaled, cut and mirrored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.alike import assert_alike
from calco.annotations.detections import Detections, Outline, outline_mask
from calco.annotations.geometry import Runs, clip, fill, joined, rings
from calco.errors import CalcoError

PROPERTY = settings(deadline=None, max_examples=60)
SEEDS = st.integers(0, 2**32 - 1)


def some_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(rng.integers(1, 24, 2)) < rng.random()


def test_a_pixel_belongs_to_a_polygon_by_its_centre() -> None:
    square = np.array([[2, 1], [6, 1], [6, 4], [2, 4]], np.float32)
    assert np.array_equal(np.argwhere(fill(square, 8, 8))[[0, -1]], [[1, 2], [3, 5]])
    assert fill(square, 8, 8).sum() == 12
    assert fill(square + 0.4, 8, 8).sum() == 12
    assert np.array_equal(fill(square[::-1], 8, 8), fill(square, 8, 8))
    assert not fill(square + 100, 8, 8).any()


@PROPERTY
@given(SEEDS)
def test_borders_give_their_mask_again(seed: int) -> None:
    mask = some_mask(seed)
    if mask.any():
        assert np.array_equal(fill(joined(rings(mask)), *mask.shape), mask)


@PROPERTY
@given(SEEDS)
def test_clipping_takes_no_pixel_of_the_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygon = (rng.random((rng.integers(3, 9), 2)) * 60 - 15).astype(np.float32)
    cut = clip(polygon, 30, 20)
    inside = fill(cut, 20, 30) if len(cut) else np.zeros((20, 30), bool)
    # A centre that lies on an edge to the last bit may fall to either side.
    assert (inside != fill(polygon, 20, 30)).sum() <= 2
    assert not len(cut) or (cut.min() >= 0 and cut[:, 0].max() <= 30 and cut[:, 1].max() <= 20)


@PROPERTY
@given(SEEDS)
def test_run_lengths_give_their_mask_again(seed: int) -> None:
    mask = some_mask(seed)
    runs = Runs.of_mask(mask)
    again = Runs.of_string(runs.string(), *mask.shape)
    assert np.array_equal(again.counts, runs.counts)
    assert np.array_equal(again.mask(), mask)
    rows, columns = np.nonzero(mask)
    if mask.any():
        assert runs.extent() == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    else:
        assert runs.extent() is None


def test_run_lengths_as_the_coco_api_writes_them() -> None:
    mask = np.zeros((60, 50), bool)
    mask[3:50, 4:40] = True
    mask[20:30, 10:20] = False
    # faster_coco_eval.core.mask.encode gives this string.
    assert (
        Runs.of_mask(mask).string()
        == "c7_1=0000000000ROM33MM33MM33MM33MM33MM33MM33MM33MM33MM33k000000000000000000000000000000000000000eb0"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "damaged"), ("é", "damaged"), ("P", "damaged"), ("o" * 40 + "0", "too large"), ("5", "cover 5 pixels"),
     ("O6", "negative"), ("5220300", "cover 23 pixels of 4x4")],
)  # fmt: skip
def test_damaged_run_lengths(text: str, says: str) -> None:
    with pytest.raises(CalcoError, match=says):
        Runs.of_string(text, 4, 4)


def in_image() -> Detections:
    """Two objects in an image of 40x20: a polygon on the left, a mask on the right."""
    mask = np.zeros((20, 40), bool)
    mask[5:15, 30:38] = True
    ring = np.array([[2, 2], [12, 2], [12, 10], [2, 10]], np.float32)
    return Detections(
        boxes=np.array([[2, 2, 12, 10], [30, 5, 38, 15], [0, 0, 4, 4]], np.float32),
        classes=("cat", "dog", "cat"),
        scores=np.array([0.5, 0.6, 0.7], np.float32),
        track_ids=np.array([4, 5, 6]),
        ignored=np.array([False, True, False]),
        outlines=(Outline((ring,)), Outline(mask=mask), None),
    )


def test_boxes_and_outlines_move_together() -> None:
    objects = in_image()
    for moved, shape in (
        (objects.scaled(2, 3), (60, 80)),
        (objects.mirrored(40), (20, 40)),
        (objects.cropped(1, 1, 38, 18), (18, 38)),
        (objects.cropped(-5, -7, 60, 50), (50, 60)),
    ):
        assert moved.classes == objects.classes
        for box, outline in zip(moved.boxes, moved.outlines, strict=True):
            if outline is not None:
                rows, columns = np.nonzero(outline_mask(outline, *shape))
                assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == tuple(box)
    assert_alike(objects.mirrored(40).mirrored(40), objects)
    assert_alike(objects.scaled(2, 2).scaled(0.5, 0.5), objects)
    assert_alike(objects.clipped(40, 20), objects)


def test_what_is_not_seen_is_dropped() -> None:
    objects = in_image()
    assert objects.cropped(20, 0, 20, 20).classes == ("dog",)
    assert objects.cropped(35, 0, 5, 20).boxes.tolist() == [[0, 5, 3, 15]]
    assert len(objects.cropped(35, 0, 5, 20, least=0.5)) == 0
    assert objects.cropped(35, 0, 5, 20, least=0.3).track_ids.tolist() == [5]
    assert len(objects.cropped(14, 12, 10, 8)) == 0


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(CalcoError, match="40x20 pixels lies on an image of 4x3"):
        outline_mask(Outline(mask=np.zeros((20, 40), bool)), 3, 4)
