"""Holes of every kind: where they lie, how much they take, what they leave, and who is told of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calco import imaging
from calco.data.config import JitterConfig, SourceConfig
from calco.data.dataset import PairDataset
from calco.data.recipe_config import KINDS, EraseConfig
from calco.data.recipes import ColorizeConfig, RecipeConfig, build_recipe
from calco.data.recipes.erase import SHAPES, erased, erased_region, given_region
from calco.data.sample import Pair, Sample, generator
from calco.data.sources import open_source
from calco.errors import CalcoError

DRAWN_FREELY = ("boxes", "brush", "scratches", "stains")


def make_image(height: int = 48, width: int = 64, channels: int = 3, dtype: type = np.uint8) -> Sample:
    small = np.random.default_rng(3).integers(0, 256, (6, 8, channels), dtype=np.uint8)
    return Sample(image=imaging.as_dtype(imaging.resize(small, (width, height)), dtype), key="k", group="g")


def cook(name: str, dish: Sample, kind: str = "photographs", **options: object) -> Pair:
    return build_recipe(RecipeConfig(recipe=name, **options), kind)(dish, generator(1, 0, dish.key))


def holes(kind: str, seed: int = 0, side: int = 128, **options: object) -> np.ndarray:
    return erased_region(side, side, EraseConfig(holes=kind, **options), np.random.default_rng(seed))


def test_every_kind_is_drawn() -> None:
    assert tuple(SHAPES) == KINDS


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 999),
    kind=st.sampled_from([*DRAWN_FREELY, "any", "brush+scratches+stains"]), place=st.sampled_from(["random", "center"]),
)  # fmt: skip
def test_holes_of_any_kind_fit_images_of_any_size_and_repeat(height, width, seed, kind, place) -> None:
    config = EraseConfig(holes=kind, place=place)
    first, again = (erased_region(height, width, config, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == (height, width)
    assert first.dtype == np.bool_
    assert first.any()
    assert np.array_equal(first, again)


@pytest.mark.parametrize("kind", [*DRAWN_FREELY, "any", "brush+stains"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_the_share_that_was_asked_for_is_erased(kind: str, share: float) -> None:
    assert all(abs(holes(kind, seed, 96, share=share).mean() - share) < 0.001 for seed in range(6))


def test_a_scratch_is_thin_and_a_stain_is_not() -> None:
    for seed in range(10):
        scratched, stained = (holes(kind, seed, 256) for kind in ("scratches", "stains"))
        depth = cv2.distanceTransform(scratched.astype(np.uint8), cv2.DIST_L2, 3)
        assert np.percentile(depth[scratched], 90) <= 2.5
        assert scratched.any(axis=0).sum() > 60
        assert stained.mean() > scratched.mean()


def test_a_brush_has_the_width_that_was_asked_and_round_ends() -> None:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (23, 23))
    for seed in range(5):
        region = holes("brush", seed, 256, brush=(1, 1), brush_width=(0.1, 0.1)).astype(np.uint8)
        # What a slightly smaller disc can walk over inside it is nearly all of it: no corner, no thin place.
        assert (
            cv2.morphologyEx(region, cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_REPLICATE).sum() > 0.95 * region.sum()
        )


def test_several_kinds_and_any_of_them() -> None:
    both = [holes("boxes+scratches", seed, 64) for seed in range(5)]
    assert all(region.sum() > holes("boxes", seed, 64).sum() for seed, region in enumerate(both))
    few = dict.fromkeys(DRAWN_FREELY, (1, 1))
    assert len({round(float(holes("any", seed, 64, **few).mean()), 3) for seed in range(12)}) > 6


@pytest.mark.parametrize("fill", ["mean", "noise", "black"])
@pytest.mark.parametrize(
    ("channels", "dtype"),
    [*((channels, np.uint8) for channels in (1, 2, 3, 4, 6)), (3, np.uint16), (2, np.float32), (4, np.float32)],
)
def test_fills_of_every_depth_and_number_of_channels(fill: str, channels: int, dtype: type) -> None:
    dish = make_image(channels=channels, dtype=dtype).image
    region = holes("boxes", side=48)
    region = np.pad(region, ((0, 0), (0, 16)))
    out = erased(dish, region, EraseConfig(fill=fill), np.random.default_rng(0))
    assert out.dtype == dtype
    assert out.shape == dish.shape
    assert np.array_equal(out[~region], dish[~region])
    colours = out[region][:, : channels - (channels in (2, 4))].astype(np.float64) / imaging.PEAKS[str(out.dtype)]
    if fill == "mean":
        expected = dish[~region].astype(np.float64).mean(axis=0)[: colours.shape[1]] / imaging.PEAKS[str(out.dtype)]
        assert np.abs(colours - expected).max() < 0.003
    elif fill == "noise":
        assert colours.mean() == pytest.approx(0.5, abs=0.05)
        assert colours.std() == pytest.approx(12**-0.5, abs=0.03)
    else:
        assert (colours == 0).all()
    if channels in (2, 4):
        assert (out[region][:, -1] == imaging.PEAKS[str(out.dtype)]).all()


def test_colour_does_not_fill_bands() -> None:
    with pytest.raises(CalcoError, match="6 bands; choose black"):
        cook("erase", make_image(channels=6))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_channel_is_transparent_where_something_is_erased(channels: int) -> None:
    pair = cook("erase", make_image(channels=channels), erase=EraseConfig(fill="mean", mask_channel=True))
    assert pair.input.shape[2] == channels + 1
    assert pair.target.shape[2] == channels
    assert np.array_equal(pair.input[..., -1], np.where(pair.region, 0, 255))


def test_a_mask_channel_must_come_last() -> None:
    with pytest.raises(CalcoError, match="erase must come last"):
        RecipeConfig(recipe="erase+sketch", erase=EraseConfig(mask_channel=True))
    RecipeConfig(recipe="colorize+erase", erase=EraseConfig(mask_channel=True))


@pytest.mark.parametrize("peak", [1, 255])
@pytest.mark.parametrize("recipe", ["erase", "colorize+erase"])
def test_given_masks_erase_where_they_are_white(recipe: str, peak: int) -> None:
    mask = np.zeros((48, 64, 1), np.uint8)
    mask[5:9, 7:30] = peak
    dish = replace(make_image(), mask=mask)
    pair = cook(recipe, dish, "masks", erase=EraseConfig(holes="given", fill="white"))
    assert np.array_equal(pair.region, mask[..., 0] > 0)
    assert (pair.input[pair.region] == 255).all()
    assert np.array_equal(pair.target, dish.image)
    black = EraseConfig(holes="given", mask_erases="black")
    assert np.array_equal(given_region(mask, black), mask[..., 0] == 0)


def test_given_masks_from_files_follow_crop_and_flip(make: Callable[..., Path], tmp_path: Path) -> None:
    for name in "abcd":
        photo = imaging.read(make(f"set/photos/{name}.png"), channels=3)
        photo[:, :12] = (1, 2, 3)  # what is erased is known by its colour
        imaging.write(tmp_path / f"set/photos/{name}.png", photo)
        mask = np.zeros((24, 32, 1), np.uint8)
        mask[:, :12] = 255
        (tmp_path / "set/masks").mkdir(exist_ok=True)
        imaging.write(tmp_path / f"set/masks/{name}.png", mask)
    source = open_source(str(tmp_path / "set"), SourceConfig())
    assert source.kind == "masks"
    recipe = build_recipe(RecipeConfig(recipe="erase", erase=EraseConfig(holes="given")), source.kind)
    dataset = PairDataset(source, source.items, recipe, JitterConfig(size=16, resize=0), 0, train=True)
    mirrored = 0
    for index in range(4):
        for epoch in range(6):
            pair = dataset.pair(index, epoch)
            assert np.array_equal(pair.region, (pair.target == (1, 2, 3)).all(axis=2))
            mirrored += bool(pair.region[:, -1].any())
    assert mirrored


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"holes": "craters"}, "'craters'; choose masks, boxes, brush, scratches, stains"),
        ({"holes": "brush+given"}, "given alone"),
        ({"holes": "masks"}, "--masks FOLDER"),
        ({"holes": "brush", "masks": "strokes"}, "leave --masks out"),
        ({"share": 1.5}, "up to 0.9"),
        ({"share": 0.3, "place": "center"}, "leave one of them out"),
        ({"share": 0.3, "holes": "given"}, "leave one of them out"),
        ({"brush": (2, 1)}, "erase brush"),
        ({"stain_size": (0, 0.5)}, "erase stain_size"),
        ({"mask_erases": "red"}, "white or black"),
        ({"fill": "blurple"}, "mean or noise"),
    ],
)
def test_wrong_holes_are_one_clear_line(options: dict[str, object], says: str) -> None:
    with pytest.raises(CalcoError) as caught:
        EraseConfig(**options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_given_holes_need_masks() -> None:
    config = RecipeConfig(recipe="erase", erase=EraseConfig(holes="given"))
    with pytest.raises(CalcoError, match="--source masks"):
        build_recipe(config, "photographs")
    with pytest.raises(CalcoError, match="k has no mask"):
        build_recipe(config, "masks")(make_image(), generator(0, 0, "k"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_lab_takes_the_grey_of_the_same_lightness(dtype: type) -> None:
    color = pytest.importorskip("skimage.color")
    dish = make_image(dtype=dtype)
    pair = cook("colorize", dish, colorize=ColorizeConfig(space="lab"))
    assert pair.input.shape == (48, 64, 1)
    assert pair.input.dtype == dtype
    of_grey, of_colour = (color.rgb2lab(imaging.as_channels(p, 3))[..., 0] for p in (pair.input, dish.image))
    assert np.abs(of_grey - of_colour).max() < (0.3 if dtype == np.uint8 else 0.02)
    grey = make_image(channels=1, dtype=dtype)
    assert np.array_equal(cook("colorize", grey, colorize=ColorizeConfig(space="lab")).input, grey.image)


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(CalcoError, match="luminance or lab"):
        ColorizeConfig(space="hsv")
