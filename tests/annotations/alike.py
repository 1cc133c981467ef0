"""Detections made by chance, and whether two of them say the same."""

import unicodedata

import numpy as np
from hypothesis import strategies as st

from calco.annotations.detections import Detections, Outline
from calco.annotations.record import Record

# What XML can hold, and what a reader that trims gives back as it was.
_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
NAMES = st.text(_CHARACTERS, min_size=1, max_size=8).map(lambda name: unicodedata.normalize("NFC", name))
WIDTH, HEIGHT = 40, 30


def assert_alike(one: Detections, other: Detections, pixels: float = 0.0) -> None:
    """The same objects in the same order; places may differ by so much."""
    assert one.classes == other.classes
    np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=pixels)
    for name in ("scores", "track_ids", "ignored"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert len(one.outlines) == len(other.outlines)
    for mine, its in zip(one.outlines, other.outlines, strict=True):
        assert (mine is None) == (its is None)
        if mine is not None and its is not None:
            assert [len(ring) for ring in mine.polygons] == [len(ring) for ring in its.polygons]
            for ring, same in zip(mine.polygons, its.polygons, strict=True):
                np.testing.assert_allclose(ring, same, rtol=0, atol=pixels)
            np.testing.assert_array_equal(mine.mask, its.mask)


@st.composite
def boxes(draw: st.DrawFn, whole: bool) -> tuple[float, float, float, float]:
    """Within the image, an eighth of a pixel wide and high at least; in whole pixels on demand."""
    step = 1 if whole else 8
    left = draw(st.integers(0, WIDTH * step - 1))
    top = draw(st.integers(0, HEIGHT * step - 1))
    right = draw(st.integers(left + 1, WIDTH * step))
    bottom = draw(st.integers(top + 1, HEIGHT * step))
    return left / step, top / step, right / step, bottom / step


@st.composite
def outlines(draw: st.DrawFn, box: tuple[float, float, float, float]) -> Outline:
    """A mask, or one or two polygons that fill their box."""
    left, top, right, bottom = box
    if draw(st.booleans()):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        seed = draw(st.integers(0, 2**32 - 1))
        part = mask[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
        part[:] = np.random.default_rng(seed).random(part.shape) < 0.6
        part[0, 0] = True
        return Outline(mask=mask)
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    middle = np.array([[(left + right) / 2, top], [right, bottom], [left, bottom]], np.float32)
    return Outline(tuple(draw(st.sampled_from([(ring,), (middle,), (ring, middle)]))))


@st.composite
def records(draw: st.DrawFn, *, outlined: bool = False, whole: bool = False, told: bool = False) -> list[Record]:
    """A few images; `told` gives scores, tracks and ignored objects."""
    found = []
    for i in range(draw(st.integers(1, 3))):
        places = draw(st.lists(boxes(whole), max_size=4))
        # The same object twice is read once.
        names = tuple(draw(st.lists(NAMES, min_size=len(places), max_size=len(places), unique=True)))
        shapes = tuple(draw(st.none() | outlines(box)) for box in places) if outlined else ()
        every = told and bool(places) and draw(st.booleans())
        hard = np.array([draw(st.booleans()) for _ in places], bool) if every else None
        objects = Detections(
            boxes=np.array(places, np.float32).reshape(-1, 4),
            classes=names,
            scores=np.linspace(0, 1, len(places), dtype=np.float32) if every else None,
            track_ids=np.arange(len(places), dtype=np.int64) if every else None,
            ignored=hard if hard is not None and hard.any() else None,
            outlines=shapes if any(shape is not None for shape in shapes) else (),
        )
        found.append(Record(name=f"p{i}.png", objects=objects, size_wh=(WIDTH, HEIGHT)))
    return found
