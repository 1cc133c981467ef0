"""Fitting, cropping and flipping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calco.annotations.detections import Detections, Outline, outline_mask
from calco.data.augmentation import crop_center, crop_flip, fit_image
from calco.data.config import JitterConfig
from calco.data.sample import Pair, Sample
from calco.errors import CalcoError


def marked(height: int, width: int) -> Pair:
    """A pair whose four arrays carry the same number at each pixel."""
    number = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    return Pair(
        input=number[..., None],
        target=np.repeat(number[..., None], 3, axis=2),
        key="k",
        group="k",
        weight=number.astype(np.float32),
        region=number > 127,
    )


@settings(deadline=None, max_examples=80)
@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 40), seed=st.integers(0, 999))
def test_all_four_move_together(height: int, width: int, size: int, seed: int) -> None:
    config = JitterConfig(size=size, resize=0)
    pair = crop_flip(marked(height, width), config, np.random.default_rng(seed))
    assert pair.input.shape == (size, size, 1)
    assert pair.target.shape == (size, size, 3)
    assert pair.weight is not None
    assert pair.region is not None
    assert pair.weight.dtype == np.float32
    assert np.array_equal(pair.target[..., 1], pair.input[..., 0])
    assert np.array_equal(pair.weight, pair.input[..., 0])
    assert np.array_equal(pair.region, pair.input[..., 0] > 127)


def test_every_place_and_both_sides_come_up() -> None:
    pair = marked(8, 9)
    config = JitterConfig(size=7, resize=0)
    rng = np.random.default_rng(0)
    seen = {crop_flip(pair, config, rng).input.tobytes() for _ in range(400)}
    assert len(seen) == 2 * 3 * 2
    still = JitterConfig(size=7, resize=0, flip=False)
    assert len({crop_flip(pair, still, rng).input.tobytes() for _ in range(400)}) == 2 * 3


def test_flipping_does_not_move_the_crop() -> None:
    pair = marked(30, 30)
    for seed in range(20):
        crops = [
            crop_flip(pair, JitterConfig(size=20, resize=0, flip=flip), np.random.default_rng(seed)).input
            for flip in (True, False)
        ]
        assert np.array_equal(crops[0], crops[1]) or np.array_equal(crops[0][:, ::-1], crops[1])


def test_small_images_are_reflected() -> None:
    pair = crop_center(marked(3, 8), 5)
    assert pair.input.shape == (5, 5, 1)
    assert np.array_equal(pair.input[0], pair.input[2])
    assert np.array_equal(pair.input[4], pair.input[2])


@pytest.mark.parametrize(
    ("fit", "size_wh", "expected"),
    [("stretch", (50, 20), (30, 30)), ("cover", (50, 20), (75, 30)), ("cover", (20, 50), (30, 75)),
     ("cover", (9, 9), (30, 30))],
)  # fmt: skip
def test_fit(fit: str, size_wh: tuple[int, int], expected: tuple[int, int]) -> None:
    shape = (size_wh[1], size_wh[0])
    mask = np.random.default_rng(0).choice([0, 9], (*shape, 1)).astype(np.uint8)
    image = np.zeros((*shape, 3), np.uint8)
    sample = Sample(image=image, partner=image + 7, mask=mask, key="k", group="k")
    config = JitterConfig(size=30, resize=30, fit=fit)
    fitted = fit_image(sample, 30, config)
    assert fitted.partner is not None
    assert fitted.mask is not None
    assert fitted.image.shape[1::-1] == fitted.partner.shape[1::-1] == fitted.mask.shape[1::-1] == expected
    assert set(np.unique(fitted.mask)) <= {0, 9}
    assert (fitted.partner == 7).all()
    assert fit_image(sample, 0, config) is sample


@settings(deadline=None, max_examples=60)
@given(height=st.integers(4, 60), width=st.integers(4, 60), size=st.integers(2, 70), seed=st.integers(0, 999))
def test_boxes_and_outlines_stay_on_what_they_mark(height: int, width: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    top, left = rng.integers(0, height), rng.integers(0, width)
    mask[top : top + rng.integers(1, 30), left : left + rng.integers(1, 30)] = True
    rows, columns = np.nonzero(mask)
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    corners = box[0][[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
    objects = Detections(
        boxes=box[[0, 0]], classes=("a", "b"), outlines=(Outline(mask=mask), Outline((corners,)))
    )  # fmt: skip
    image = mask[..., None].astype(np.uint8)
    cut = crop_flip(Sample(image=image, key="k", group="k", detections=objects), JitterConfig(size=size, resize=0), rng)
    assert cut.detections is not None
    # Padding repeats the image; the objects themselves are not repeated.
    seen = cut.image[..., 0] > 0
    for i, (left, top, right, bottom) in enumerate(cut.detections.boxes.astype(int)):
        assert seen[top:bottom, left:right].all()
        drawn = outline_mask(cut.detections.outlines[i], size, size)
        assert drawn[top:bottom, left:right].all() and drawn.sum() == (bottom - top) * (right - left)
    assert len(cut.detections) == 2 or seen.sum() < 0.1 * mask.sum() or not seen.any()
    fitted = fit_image(Sample(image=image, key="k", group="k", detections=objects), 80, JitterConfig(fit="cover"))
    share = fitted.image.shape[1] / width, fitted.image.shape[0] / height
    assert np.allclose(fitted.detections.boxes, box * (*share, *share))
    assert fitted.detections.outlines[0].mask.shape == fitted.image.shape[:2]


@pytest.mark.parametrize(
    ("options", "says"),
    [({"size": 0}, "0"), ({"resize": 200}, "200"), ({"fit": "squash"}, "stretch"), ({"resampling": "sinc"}, "area")],
)
def test_wrong_options(options: dict, says: str) -> None:
    with pytest.raises(CalcoError, match=says):
        JitterConfig(**options)
    assert JitterConfig(resize=0).resize == 0
