"""What sketches and damage are like: the type kept, the ranges followed, chance from the generator alone."""

from dataclasses import fields

import numpy as np
import pytest

from calco import CalcoError, imaging
from calco.data.recipe_config import STYLES, DegradeConfig, SketchConfig
from calco.data.recipes import RecipeConfig, build_recipe
from calco.data.recipes.degrade import DAMAGES, degraded
from calco.data.recipes.sketch import SKETCHES, draw
from calco.data.sample import Sample, generator
from calco.errors import UsageError
from support import numpys_own_generator_rests


def scene(height: int = 96, width: int = 128, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """A dark disc and a bright bar on a ramp: edges, an even middle, all tones."""
    rows, columns = np.mgrid[:height, :width]
    grey = 0.35 + 0.4 * columns / width
    grey[np.hypot(rows - 48, columns - 44) < 26] = 0.08
    grey[20:76, 92:106] = 0.97
    colour = np.stack([grey * share for share in (1.0, 0.9, 0.8, 1.0)[:channels]], axis=2).astype(np.float32)
    return imaging.as_dtype(colour, dtype)


def rng(seed: int = 0) -> np.random.Generator:
    return generator(seed, 0, "k")


def ink(drawn: np.ndarray) -> float:
    """The share of the paper that is covered."""
    return float(1 - imaging.as_dtype(drawn, np.float32).mean())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("style", SKETCHES)
def test_a_drawing_is_dark_on_light_paper_in_the_type_of_the_image(style: str, dtype: type) -> None:
    config = SketchConfig(style=style, wobble=(0.01, 0.01), paper=(0.3, 0.3))
    for channels in (1, 3):
        drawn = draw(scene(channels=channels, dtype=dtype), config, rng())
        assert drawn.shape == (96, 128, 1)
        assert drawn.dtype == dtype
        assert 0.02 < ink(drawn) < 0.6


def test_each_image_gets_one_of_the_styles_that_are_joined() -> None:
    image, config = scene(), SketchConfig(style="canny + xdog")
    alone = {style: draw(image, SketchConfig(style=style), rng()).tobytes() for style in SKETCHES}
    drawn = {draw(image, config, np.random.default_rng(seed)).tobytes() for seed in range(12)}
    assert drawn == {alone["canny"], alone["xdog"]}


def test_styles_are_those_that_can_be_drawn() -> None:
    assert tuple(SKETCHES) == STYLES
    with pytest.raises(UsageError, match=r"'canny\+ink' holds 'ink'; choose pencil, xdog"):
        SketchConfig(style="canny+ink")


@pytest.mark.parametrize("style", SKETCHES)
def test_lines_stand_where_the_image_changes(style: str) -> None:
    drawn = draw(scene(), SketchConfig(style=style), rng())[..., 0] / 255
    edge = [(48, 70), (22, 44), (48, 18), (74, 44)]  # around the disc
    assert all(drawn[row - 3 : row + 4, column - 3 : column + 4].min() < 0.5 for row, column in edge)


@pytest.mark.parametrize("style", SKETCHES)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3)])
def test_the_smallest_images_can_be_drawn(style: str, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    config = SketchConfig(style=style, wobble=(0.1, 0.1), paper=(1, 1))
    assert draw(image, config, rng()).shape == (*size, 1)


@pytest.mark.parametrize("style", SKETCHES)
def test_thicker_lines_take_more_ink(style: str) -> None:
    thin, thick = (draw(scene(), SketchConfig(style=style, line_weight=(w, w)), rng()) for w in (0.5, 2.5))
    assert not np.array_equal(thin, thick)
    if style in ("canny", "contour", "pencil"):
        assert ink(thick) > 1.3 * ink(thin)


def test_wobble_moves_lines_and_paper_has_a_grain() -> None:
    plain = draw(scene(), SketchConfig(style="canny"), rng())
    shaken = draw(scene(), SketchConfig(style="canny", wobble=(0.05, 0.05)), rng())
    assert ink(shaken) == pytest.approx(ink(plain), rel=0.3)
    assert np.abs(shaken.astype(int) - plain).mean() > 5
    rough = draw(np.full((64, 64, 1), 200, np.uint8), SketchConfig(paper=(0.8, 0.8)), rng())
    assert rough.std() > 3
    assert rough.mean() > 200


@pytest.mark.parametrize("style", ["hatching", "charcoal", "stipple"])
def test_tones_are_denser_where_it_is_darker(style: str) -> None:
    grey = np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[None], 128, axis=0)[..., None]
    drawn = draw(grey, SketchConfig(style=style), rng())
    bands = [ink(drawn[:, start : start + 64]) for start in range(0, 256, 64)]
    assert bands == sorted(bands, reverse=True)
    assert bands[0] > 0.15
    assert bands[3] < 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "sketch", "sketch": SketchConfig(style="any", line_weight=(0.5, 2), wobble=(0, 0.05), paper=(0, 1))},
        {"recipe": "degrade"},
        {"recipe": "colorize+degrade", "degrade": DegradeConfig(damage="scratches+noise")},
    ],
)
def test_chance_comes_from_seed_epoch_and_key_alone(options: dict) -> None:
    recipe = build_recipe(RecipeConfig(**options), "photographs")
    image = Sample(image=scene(), key="k", group="g")
    with numpys_own_generator_rests():
        made = {epoch: recipe(image, generator(1, epoch, "k")).input for epoch in range(6)}
        for epoch, drawn in reversed(made.items()):
            assert np.array_equal(recipe(image, generator(1, epoch, "k")).input, drawn)
    assert len({drawn.tobytes() for drawn in made.values()}) > 3


def test_any_draws_every_style() -> None:
    fixed = {style: draw(scene(), SketchConfig(style=style), rng()).tobytes() for style in ("pencil", "xdog", "canny")}
    drawn = {draw(scene(), SketchConfig(style="any"), rng(seed)).tobytes() for seed in range(40)}
    assert set(fixed.values()) <= drawn


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_keeps_size_type_and_what_is_to_be_seen(damage: str, dtype: type) -> None:
    for channels in (1, 3, 4):
        image = scene(channels=channels, dtype=dtype)
        whole = image.copy()
        broken = degraded(image, DegradeConfig(damage=damage), rng())
        assert broken.shape == image.shape
        assert broken.dtype == dtype
        assert np.array_equal(image, whole)
        assert channels < 4 or np.array_equal(broken[..., 3], image[..., 3])
        difference = np.abs(imaging.as_dtype(broken, np.float32) - imaging.as_dtype(image, np.float32)).mean()
        assert 0.0005 < difference < 0.15


def test_noise_has_the_deviation_that_was_asked_for_in_mid_grey() -> None:
    grey = np.full((200, 200, 1), 0.5, np.float32)
    for seed in range(5):
        noisy = degraded(grey, DegradeConfig(damage="noise", noise=(0.06, 0.06)), rng(seed))
        assert noisy.std() == pytest.approx(0.06, rel=0.05)
        assert noisy.mean() == pytest.approx(0.5, abs=0.002)


def test_blur_has_the_sigma_that_was_asked_for() -> None:
    point = np.zeros((61, 61, 1), np.float32)
    point[30, 30] = 1
    spread = degraded(point, DegradeConfig(damage="blur", blur=(2, 2)), rng())[..., 0]
    assert np.sqrt((spread.sum(axis=0) * (np.arange(61) - 30) ** 2).sum()) == pytest.approx(2, rel=0.03)


def test_jpeg_is_the_real_one_in_the_right_colours() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 220
    red[20:44, 20:44] = (10, 30, 200)
    fine, coarse = (degraded(red, DegradeConfig(damage="jpeg", jpeg=(q, q)), rng()) for q in (95, 5))
    assert np.abs(fine[0, 0].astype(int) - red[0, 0]).max() < 12
    assert np.abs(fine[32, 32].astype(int) - red[32, 32]).max() < 12
    assert np.abs(coarse.astype(int) - red).mean() > 2 * np.abs(fine.astype(int) - red).mean()


def test_downscaling_loses_the_fine_and_keeps_the_coarse() -> None:
    columns = np.arange(128)
    stripes = np.repeat(((columns % 2) * 255).astype(np.uint8)[None, :, None], 128, axis=0)
    halves = np.repeat(((columns > 63) * 255).astype(np.uint8)[None, :, None], 128, axis=0)
    config = DegradeConfig(damage="downscale", downscale=(4, 4))
    assert degraded(stripes, config, rng()).std() < 5
    assert np.abs(degraded(halves, config, rng()).astype(int) - halves).mean() < 6


def test_scratches_are_thin_and_as_many_as_asked() -> None:
    grey = np.full((200, 200, 1), 128, np.uint8)
    few, many = (degraded(grey, DegradeConfig(damage="scratches", scratched=(n, n)), rng()) for n in (1, 20))
    assert 0 < (few != 128).mean() < 0.05
    assert (few != 128).mean() < (many != 128).mean() < 0.4


def test_any_damage_is_at_least_one() -> None:
    image = scene()
    assert all(not np.array_equal(degraded(image, DegradeConfig(), rng(seed)), image) for seed in range(20))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: SketchConfig(style="oil"), "pencil, xdog, canny, contour, hatching, charcoal, stipple"),
        (lambda: SketchConfig(line_weight=(2, 1)), "0.6 2"),
        (lambda: SketchConfig(wobble=(0, 3)), "0 0.02"),
        (lambda: SketchConfig(paper=(-1, 0)), "0 0.5"),
        (lambda: DegradeConfig(damage="fire"), "scratches, blur, downscale, noise, jpeg"),
        (lambda: DegradeConfig(damage=""), "choose any"),
        (lambda: DegradeConfig(jpeg=(0, 50)), "10 60"),
        (lambda: DegradeConfig(downscale=(0.5, 2)), "2 4"),
        (lambda: DegradeConfig(blur=(float("nan"), 2)), "blur is nan; it must be a finite number"),
        (lambda: RecipeConfig(recipe="erase+degrade"), "put erase after it"),
    ],
)
def test_wrong_options_are_one_line_with_the_remedy(build, says: str) -> None:
    with pytest.raises(CalcoError) as caught:
        build()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_range_is_checked() -> None:
    for kind in (SketchConfig, DegradeConfig):
        for each in fields(kind):
            if isinstance(each.default, tuple):
                with pytest.raises(CalcoError, match=each.name):
                    kind(**{each.name: (1e6, 1e6)})
