"""Play for detectors: boxes follow their pixels, the same chance gives the same image, objects at borders are cut."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calco import CalcoError
from calco.annotations.detections import Detections, Outline
from calco.data.box_augmentation import augmented, erased, letterbox, no_augmentation, reduced
from calco.data.config import BoxAugmentConfig
from calco.data.sample import Sample, generator

SIDE = 160
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
MOVES = replace(BoxAugmentConfig(), light=0, colour=0, damage=0, erase=0, least_seen=0)


def drawn(
    place: int, width: int = 200, height: int = 120, box: tuple[int, ...] = (60, 30, 130, 90), *, how: str = "box"
) -> Sample:
    """A rectangle in the place's own colour on black."""
    image = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = COLOURS[place % len(COLOURS)]
    ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    outline = {"box": None, "ring": Outline((ring,)), "mask": Outline(mask=image.any(axis=2))}[how]
    objects = Detections(
        boxes=np.array([box], np.float32), classes=(f"thing {place}",), outlines=(outline,) if outline else ()
    )
    return Sample(image=image, key=f"image {place}", group="g", detections=objects)


def played(
    config: BoxAugmentConfig, *, seed: int = 0, place: int = 0, how: str = "box", load: Callable[[int], Sample] = drawn
) -> tuple[np.ndarray, Detections]:
    return augmented(partial(load, how=how), place, 4, SIDE, config, seed=seed, epoch=0)


def pixels_of(image: np.ndarray, name: str) -> np.ndarray:
    """HW: where the colour of a thing is; mixed with black at its borders from the half on."""
    colour = np.array(COLOURS[int(name.rpartition(" ")[2]) % len(COLOURS)])
    there = image.astype(int)
    grey = np.ptp(there, axis=2) < 40
    return (np.abs(there - colour).max(axis=2) < 128) & ~grey


def tight(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize("how", ["box", "ring", "mask"])
@pytest.mark.parametrize("rotate", [0, 30])
@pytest.mark.parametrize("mosaic", [0, 1])
def test_boxes_follow_their_pixels(how: str, rotate: float, mosaic: float) -> None:
    config = replace(MOVES, rotate=rotate, mosaic=mosaic, scale=(0.5, 2))
    seen = 0
    for seed in range(20):
        shown: list[int] = []
        image, objects = augmented(
            lambda place, shown=shown: shown.append(place) or drawn(place, how=how), 0, 4, SIDE, config,
            seed=seed, epoch=0,
        )  # fmt: skip
        assert image.shape == (SIDE, SIDE, 3)
        assert image.dtype == np.uint8
        for name, box in zip(objects.classes, objects.boxes, strict=True):
            if shown.count(int(name[-1])) > 1:
                continue  # a mosaic may show one image twice
            found = tight(pixels_of(image, name))
            # What is cut by a border may have lost its corners: then the box is wider than what is left.
            whole = (box > 0.01).all() and (box < SIDE - 0.01).all() and not mosaic
            assert (found[:2] >= box[:2] - 1.5).all()
            assert (found[2:] <= box[2:] + 1.5).all()
            if not rotate or (whole and how != "mask"):
                assert np.abs(found - box).max() <= 1.5
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("how", ["ring", "mask"])
def test_outlines_follow_their_pixels(how: str) -> None:
    from calco.annotations.detections import outline_mask

    config = replace(MOVES, rotate=20, mosaic=0.5)
    for seed in range(12):
        image, objects = played(config, seed=seed, how=how)
        for name, outline in zip(objects.classes, objects.outlines, strict=True):
            if outline is not None and objects.classes.count(name) == 1:
                mask, colour = outline_mask(outline, SIDE, SIDE), pixels_of(image, name)
                assert (mask & colour).sum() / (mask | colour).sum() > 0.9


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(8, 400), st.integers(8, 400)), corner=st.tuples(st.floats(0, 0.7), st.floats(0, 0.7)),
    extent=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_any_image_comes_out_with_boxes_inside(
    size: tuple[int, int], corner: tuple[float, float], extent: tuple[float, float], seed: int
) -> None:
    start = [int(share * most) for share, most in zip(corner, size, strict=True)]
    reach = [max(1, int(share * most)) for share, most in zip(extent, size, strict=True)]
    end = [min(most, first + by) for first, by, most in zip(start, reach, size, strict=True)]
    image, objects = augmented(
        lambda place: drawn(place, *size, (*start, *end)), 0, 4, 96, BoxAugmentConfig(), seed=seed, epoch=3
    )
    assert image.shape == (96, 96, 3)
    assert len(objects.classes) == len(objects)
    assert ((objects.boxes >= 0) & (objects.boxes <= 96)).all()
    assert ((objects.boxes[:, 2:] - objects.boxes[:, :2]) >= 2).all()


def test_everything_off_is_the_letterbox() -> None:
    for size in ((200, 120), (33, 150), (SIDE, SIDE), (700, 500)):
        sample = drawn(0, *size, (5, 6, 25, 30))
        image, objects = augmented(lambda _, one=sample: one, 0, 1, SIDE, no_augmentation(), seed=1, epoch=2)
        square, scale, (left, top) = letterbox(sample.image, SIDE)
        assert np.array_equal(image, square)
        assert sample.detections is not None
        assert np.abs(objects.boxes - (sample.detections.boxes * scale + [left, top, left, top])).max() <= 1


def test_the_letterbox_keeps_depth_colours_and_the_way_back() -> None:
    image, scale, (left, top) = letterbox(np.full((50, 100, 1), 65535, np.uint16), 64, fill=7)
    assert (image.shape, scale, left, top) == ((64, 64, 3), 0.64, 0, 16)
    assert image.dtype == np.uint8
    assert (image[16:48] == 255).all()
    assert (image[:16] == 7).all()
    assert (image[48:] == 7).all()


def test_the_same_chance_gives_the_same_image_and_no_other_does() -> None:
    config = BoxAugmentConfig(mosaic=0.5)
    load = partial(drawn, how="ring")

    def both(epoch: int, place: int) -> tuple[bytes, bytes]:
        image, objects = augmented(load, place, 4, SIDE, config, seed=4, epoch=epoch)
        return image.tobytes(), objects.boxes.tobytes()

    cases = [(epoch, place) for epoch in range(3) for place in range(4)]
    alone = [both(*case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda case: both(*case), reversed(cases))) == alone[::-1]
    assert len(set(alone)) == len(alone)


def test_what_is_hardly_left_is_dropped() -> None:
    load = partial(drawn, width=160, height=160, box=(0, 0, 160, 20))
    always, never = (replace(no_augmentation(), scale=(4, 4), shift=1.0, least_seen=share) for share in (0.0, 0.5))
    dropped = 0
    for seed in range(30):
        _, kept = augmented(load, 0, 1, SIDE, always, seed=seed, epoch=0)
        _, strict = augmented(load, 0, 1, SIDE, never, seed=seed, epoch=0)
        dropped += len(kept) - len(strict)
        assert len(strict) == 0
    assert dropped > 0


def test_crowds_stay_crowds_and_images_without_words_have_nothing() -> None:
    def load(place: int) -> Sample:
        image = drawn(place)
        assert image.detections is not None
        if place == 3:
            return replace(image, detections=None)
        return replace(image, detections=replace(image.detections, ignored=np.array([place == 1])))

    config = replace(MOVES, mosaic=1)
    for seed in range(8):
        _, objects = augmented(load, 0, 4, SIDE, config, seed=seed, epoch=0)
        assert objects.ignored is not None
        assert [name == "thing 1" for name in objects.classes] == objects.ignored.tolist()
        assert "thing 3" not in objects.classes
    _, none = augmented(load, 3, 4, SIDE, MOVES, seed=5, epoch=0)
    assert set(none.classes) <= {"thing 0", "thing 1", "thing 2"}


def test_half_of_the_images_are_mirrored() -> None:
    load = partial(drawn, box=(0, 0, 40, 60))
    config = replace(no_augmentation(), flip=0.5)
    lefts = [augmented(load, 0, 1, SIDE, config, seed=seed, epoch=0)[1].boxes[0, 0] for seed in range(60)]
    assert 15 < sum(left == 0 for left in lefts) < 45


@pytest.mark.parametrize("name", ["light", "colour", "blur", "noise", "jpeg"])
def test_each_change_of_light_changes_pixels_and_leaves_boxes(name: str) -> None:
    strength = {"light": 0.5, "colour": 0.8, "blur": 3, "noise": 0.1, "jpeg": 5}[name]
    config = replace(no_augmentation(), damage=1, **{name: strength})
    plain, plain_objects = played(no_augmentation())
    changed, objects = played(config)
    assert not np.array_equal(plain, changed)
    assert np.array_equal(plain_objects.boxes, objects.boxes)
    assert np.abs(plain.astype(int) - changed).mean() < 80


def test_compression_keeps_colours() -> None:
    plain, _ = played(no_augmentation())
    pressed, _ = played(replace(no_augmentation(), damage=1, jpeg=90))
    assert np.abs(plain.astype(int) - pressed).mean() < 3


def test_patches_leave_objects_to_be_seen() -> None:
    boxes = np.array([[20, 20, 60, 60], [100, 100, 104, 104]], np.float32)
    image = np.full((SIDE, SIDE, 3), 9, np.uint8)
    num_changed = 0
    for seed in range(40):
        after = erased(image, boxes, 1.0, generator(seed, 0, "k"))
        num_changed += int((after != image).any())
        assert (after[100:104, 100:104] == 9).any()
    assert num_changed > 30
    assert (image == 9).all()
    assert erased(image, boxes, 0.0, generator(0, 0, "k")) is image


@pytest.mark.parametrize(
    ("given", "words"),
    [({"flip": 2}, "flip is 2"), ({"scale": (1.5, 1)}, "scale is 1.5 to 1"), ({"rotate": -1}, "rotate is -1")],
)
def test_settings_without_sense_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(CalcoError, match=words):
        BoxAugmentConfig(**given)


def test_epochs_differ() -> None:
    images = [augmented(drawn, 0, 4, SIDE, BoxAugmentConfig(), seed=0, epoch=epoch)[0] for epoch in range(4)]
    assert all(not np.array_equal(one, other) for one, other in pairwise(images))


def test_large_images_are_reduced_once_with_their_boxes() -> None:
    large = drawn(0, 800, 480, (240, 120, 520, 360))
    sample = reduced(large, 200)
    assert sample.image.shape == (120, 200, 3)
    assert sample.detections is not None
    assert sample.detections.boxes.tolist() == [[60, 30, 130, 90]]
    assert sample.image[60, 95].tolist() == large.image[240, 380].tolist()
    assert reduced(sample, 200).image.shape == reduced(sample, 4000).image.shape == (120, 200, 3)
