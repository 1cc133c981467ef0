"""Recipes: what goes in, what comes out, and that nothing else decides it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calco import imaging
from calco.data.palettes import PALETTES, decode, named_palette, paint
from calco.data.recipe_config import NEEDS, RECIPE_NAMES, EraseConfig
from calco.data.recipes import RECIPES, RecipeConfig, SegmentConfig, SketchConfig, build_recipe, resolve
from calco.data.recipes.erase import erased_region, stroke_masks
from calco.data.sample import Pair, Sample, generator
from calco.errors import CalcoError

Make = Callable[..., Path]


def make_image(height: int = 48, width: int = 64, channels: int = 3, dtype: type = np.uint8) -> Sample:
    small = np.random.default_rng(3).integers(0, 256, (6, 8, channels), dtype=np.uint8)
    return Sample(image=imaging.as_dtype(imaging.resize(small, (width, height)), dtype), key="k", group="g")


def cook(name: str, dish: Sample, kind: str = "photographs", epoch: int = 0, **options: object) -> Pair:
    return build_recipe(RecipeConfig(recipe=name, **options), kind)(dish, generator(1, epoch, dish.key))


def test_every_recipe_that_a_configuration_names_is_there() -> None:
    assert tuple(RECIPES) == RECIPE_NAMES
    assert NEEDS.keys() <= RECIPES.keys()


def test_aligned_hands_both_through() -> None:
    dish = make_image()
    pair = cook("aligned", replace(dish, partner=255 - dish.image), "parallel")
    assert np.array_equal(pair.input, dish.image)
    assert np.array_equal(pair.target, 255 - dish.image)
    assert (pair.weight, pair.region) == (None, None)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colorize_takes_the_exact_luminance(dtype: type) -> None:
    dish = make_image(dtype=dtype)
    pair = cook("colorize", dish)
    assert np.array_equal(pair.input, imaging.luminance(dish.image))
    assert np.array_equal(pair.target, dish.image)
    assert cook("colorize", make_image(channels=1)).target.shape[2] == 3


def test_recipes_that_make_their_input_start_from_the_target_of_a_pair() -> None:
    dish = replace(make_image(), partner=255 - make_image().image)
    assert np.array_equal(cook("colorize", dish, "openmoji").target, dish.partner)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 999), low=st.integers(0, 2),
    size=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted).map(tuple),
    place=st.sampled_from(["random", "center"]),
)  # fmt: skip
def test_rectangles_fit_and_have_the_sides_that_were_asked(height, width, seed, low, size, place) -> None:
    config = EraseConfig(boxes=(low, max(1, low)), box_size=size, place=place)
    region = erased_region(height, width, config, np.random.default_rng(seed))
    assert region.shape == (height, width)
    short = min(height, width)
    most, least = max(1, round(short * size[1])), max(1, round(short * size[0]))
    assert region.sum() <= max(1, low) * most**2
    if low == 1:
        rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
        assert region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert least <= len(rows) <= most
        assert least <= len(columns) <= most


def test_a_fixed_square_in_the_middle() -> None:
    config = EraseConfig(box_size=(77 / 256, 77 / 256), place="center")
    region = erased_region(256, 256, config, np.random.default_rng(0))
    assert region.sum() == 77 * 77
    assert np.array_equal(region[89:166, 89:166], np.ones((77, 77), bool))


@settings(deadline=None, max_examples=60)
@given(height=st.integers(40, 300), width=st.integers(40, 300), seed=st.integers(0, 9999), scale=st.floats(1, 9))
def test_strokes_lie_wholly_inside(strokes_folder: str, height: int, width: int, seed: int, scale: float) -> None:
    config = EraseConfig(masks=strokes_folder, strokes=(1, 1), stroke_scale=(scale, scale))
    region = erased_region(height, width, config, np.random.default_rng(seed))
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    hook = stroke_masks(strokes_folder)[0]
    factor = min(scale, height / hook.shape[0], width / hook.shape[1])
    # A stroke that lost a part at the border would be smaller than its enlargement; blurring may cost a pixel a side.
    assert abs(len(rows) - hook.shape[0] * factor) <= 2
    assert abs(len(columns) - hook.shape[1] * factor) <= 2


@pytest.fixture(scope="module")
def strokes_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hook")
    hook = np.full((50, 50, 1), 255, np.uint8)
    hook[10:40, 20:26] = 0
    hook[34:40, 20:45] = 0
    imaging.write(folder / "hook.png", hook)
    return str(folder)


def test_strokes_are_enlarged_from_one_to_five_times(strokes_folder: str) -> None:
    config = EraseConfig(masks=strokes_folder, strokes=(1, 1))
    height = stroke_masks(strokes_folder)[0].shape[0]
    regions = [erased_region(400, 400, config, np.random.default_rng(seed)) for seed in range(200)]
    factors = [np.flatnonzero(region.any(axis=1)).size / height for region in regions]
    assert min(factors) == pytest.approx(1, abs=0.1)
    assert max(factors) == pytest.approx(5, abs=0.1)


def test_real_strokes(real_data: Path) -> None:
    masks = stroke_masks(str(real_data / "retouch" / "face_masks"))
    assert len(masks) == 8
    assert masks is stroke_masks(str(real_data / "retouch" / "face_masks"))
    assert all(mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any() for mask in masks)
    assert all(mask.mean() < 0.8 or min(mask.shape) < 10 for mask in masks)


@pytest.mark.parametrize("folder", ["none", "white"])
def test_a_folder_without_strokes(make: Make, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    if folder == "white":
        imaging.write(tmp_path / folder / "w.png", np.full((5, 5, 1), 255, np.uint8))
    with pytest.raises(CalcoError, match="black where they erase"):
        stroke_masks(str(tmp_path / folder))


def test_a_wrong_folder_of_strokes_is_told_before_any_image(tmp_path: Path) -> None:
    config = RecipeConfig(recipe="colorize+erase", erase=EraseConfig(masks=str(tmp_path / "nowhere")))
    with pytest.raises(CalcoError, match="nowhere"):
        build_recipe(config, "photographs")
    build_recipe(replace(config, recipe="colorize"), "photographs")


@pytest.mark.parametrize(("fill", "colour"), [("black", 0), ("white", 255), ("grey", 128), ("#808080", 128)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_fill_stands_exactly_in_the_region(fill: str, colour: int, dtype: type) -> None:
    dish = make_image(dtype=dtype)
    pair = cook("erase", dish, erase=EraseConfig(fill=fill, weight=4))
    expected = imaging.as_dtype(np.full((1, 1, 1), colour, np.uint8), dtype).item()
    assert pair.region is not None
    assert pair.region.any()
    assert (pair.input[pair.region] == expected).all()
    assert np.array_equal(pair.input[~pair.region], dish.image[~pair.region])
    assert np.array_equal(pair.target, dish.image)
    assert pair.weight is not None
    assert pair.weight.dtype == np.float32
    assert set(np.unique(pair.weight)) == {1, 4}
    assert np.array_equal(pair.weight == 4, pair.region)


def test_magenta_on_grey_needs_colour() -> None:
    pair = cook("colorize+erase", make_image(), erase=EraseConfig(fill="magenta", weight=1))
    assert pair.input.shape == (48, 64, 3)
    assert (pair.input[pair.region] == (255, 0, 255)).all()
    assert pair.weight is None
    assert cook("colorize+erase", make_image(), erase=EraseConfig(fill="white")).input.shape == (48, 64, 1)


def test_a_chain_works_on_the_input_and_keeps_the_target() -> None:
    dish = make_image()
    pair = cook("colorize+erase", dish, erase=EraseConfig(fill="white"))
    assert np.array_equal(pair.target, dish.image)
    assert np.array_equal(pair.input[~pair.region], imaging.luminance(dish.image)[~pair.region])
    sketched = cook("sketch+erase", dish, erase=EraseConfig(fill="black"))
    assert sketched.input.shape == (48, 64, 1)
    assert np.array_equal(sketched.target, dish.image)


def test_a_sketch_is_paper_where_nothing_changes_and_dark_at_edges() -> None:
    image = np.full((64, 64, 3), 220, np.uint8)
    image[:, 32:] = 40
    pair = cook("sketch", Sample(image=image, key="k", group="g"))
    assert pair.input.shape == (64, 64, 1)
    assert (pair.input[:, :20] == 255).all()
    assert (pair.input[:, 50:] >= 250).all()
    assert pair.input[:, 32:34].max() < 150


def test_segment_paints_the_mask() -> None:
    mask = np.zeros((48, 64, 1), np.uint8)
    mask[10:20] = 255
    dish = replace(make_image(), mask=mask)
    pair = cook("segment", dish, "masks")
    assert np.array_equal(pair.input, dish.image)
    assert np.array_equal(pair.target, np.repeat(mask, 3, axis=2))
    with pytest.raises(CalcoError, match=r"^k: the masks do not fit the palette voc: 1 of 1 have the values 200"):
        cook("segment", replace(dish, mask=np.full_like(mask, 200)), "masks", segment=SegmentConfig(palette="voc"))


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_come_back(name: str) -> None:
    palette = named_palette(name)
    assert len({colour for _, colour in palette}) == len(palette)
    indices = np.random.default_rng(0).integers(0, len(palette), (20, 30)).astype(np.uint8)
    painted = paint(indices, palette)
    assert np.array_equal(decode(painted, palette), indices)
    assert np.array_equal(decode(imaging.as_dtype(painted, np.float32), palette), indices)
    noisy = np.clip(painted.astype(int) + np.random.default_rng(1).integers(-5, 6, painted.shape), 0, 255)
    assert np.array_equal(decode(noisy.astype(np.uint8), palette), indices)


def test_a_class_without_a_colour_is_refused() -> None:
    with pytest.raises(CalcoError, match="0 to 1"):
        paint(np.array([[7]]), named_palette("binary"))


def test_real_facades_decode_to_their_classes(real_data: Path) -> None:
    labels = imaging.read(real_data / "facades" / "image_001.jpg")[:, 256:]
    palette = named_palette("facades")
    repainted = paint(decode(labels, palette), palette)
    assert np.median(np.abs(repainted.astype(int) - labels)) <= 1


def test_the_same_seed_epoch_and_key_give_the_same_pair() -> None:
    recipe = build_recipe(RecipeConfig(recipe="colorize+erase", erase=EraseConfig(boxes=(1, 3))), "photographs")
    regions = {(e, k): recipe(make_image(), generator(1, e, k)).region for e in (0, 1) for k in ("a", "b")}
    for (epoch, key), region in reversed(regions.items()):
        assert np.array_equal(recipe(make_image(), generator(1, epoch, key)).region, region)
    assert len({region.tobytes() for region in regions.values()}) == 4


def test_a_generator_depends_on_all_four() -> None:
    drawn = {
        generator(*parts).integers(1 << 62)
        for parts in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"), (0, 0, "a", "x")]
    }
    assert len(drawn) == 5
    assert generator(0, 0, "ñ").integers(1 << 62) == generator(0, 0, "ñ").integers(1 << 62)
    # Written down once: a change would break the repetition of every old run.
    assert int(generator(7, 3, "a/b", "crop").integers(1 << 30)) == 144828226


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"composite"}))  # which needs cut-outs
def test_recipes_leave_the_image_alone(name: str) -> None:
    dish = make_image()
    dish = replace(dish, partner=dish.image.copy(), mask=np.zeros((48, 64, 1), np.uint8))
    for array in (dish.image, dish.partner, dish.mask):
        array.flags.writeable = False
    cook(name, dish, "masks" if name == "segment" else "parallel")


@pytest.mark.parametrize(
    ("recipe", "kind", "says"),
    [
        ("oil", "photographs", "aligned, colorize, erase, sketch, degrade, segment"),
        ("auto", "photographs", "--recipe colorize"),
        ("aligned", "photographs", "colorize"),
        ("segment", "parallel", "--source masks"),
        ("aligned", "masks", "segment"),
        ("erase+segment", "masks", "put it first"),
        ("erase+erase", "photographs", "twice"),
        ("", "photographs", "unknown"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(recipe: str, kind: str, says: str) -> None:
    with pytest.raises(CalcoError) as caught:
        build_recipe(RecipeConfig(recipe=recipe), kind)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_auto_follows_the_source() -> None:
    kinds = {"side-by-side": "aligned", "parallel": "aligned", "openmoji": "aligned", "masks": "segment"}
    assert {kind: resolve(RecipeConfig(), kind).recipe for kind in kinds} == kinds


@pytest.mark.parametrize(
    "build",
    [
        lambda: EraseConfig(strokes=(3, 1)),
        lambda: EraseConfig(boxes=(0, 0)),
        lambda: EraseConfig(stroke_scale=(0, 1)),
        lambda: EraseConfig(box_size=(0.5, 1.5)),
        lambda: EraseConfig(fill="blurple"),
        lambda: EraseConfig(weight=0),
        lambda: EraseConfig(place="left"),
        lambda: SketchConfig(style="oil"),
        lambda: SketchConfig(softness=0),
        lambda: SegmentConfig(palette="pastel"),
    ],
)
def test_wrong_options_are_refused_when_built(build: Callable[[], object]) -> None:
    with pytest.raises(CalcoError):
        build()


def test_sizes_that_differ_are_refused_with_both() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(CalcoError, match=r"6x4.*5x4"):
        Pair(input=image, target=image[:, :5], key="k", group="k")
    with pytest.raises(CalcoError, match="weight map"):
        Pair(input=image, target=image, key="k", group="k", weight=np.ones((4, 5), np.float32))
    with pytest.raises(CalcoError, match="mask"):
        Sample(image=image, key="k", group="k", mask=image[:2])
