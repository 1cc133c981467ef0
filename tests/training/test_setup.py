"""What a recipe lets stand of its input: the composition that `auto` becomes."""

import pytest

from calco.data.recipes import ColorizeConfig, EraseConfig, RecipeConfig
from calco.errors import CalcoError
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.training.pairs import choose_composition

MAGENTA, BLACK = (255, 0, 255), (0, 0, 0)
MEAN = {"fill": "mean"}
TOLD = {"fill": "mean", "mask_channel": True}


@pytest.mark.parametrize(
    ("recipe", "erase", "channels", "expected"),
    [
        ("colorize", {}, (1, 3), ("luminance", None, False)),
        ("erase", {}, (3, 3), ("filled", MAGENTA, False)),
        ("erase", {}, (3, 1), ("filled", MAGENTA, False)),
        ("erase", {"fill": "black"}, (1, 1), ("filled", BLACK, False)),
        ("erase", {}, (4, 4), ("filled", MAGENTA, False)),
        ("erase", MEAN, (3, 3), ("plain", None, False)),
        ("erase", TOLD, (4, 3), ("filled", None, True)),
        ("erase", TOLD, (2, 1), ("filled", None, True)),
        ("colorize+erase", {}, (3, 3), ("luminance", MAGENTA, False)),
        ("colorize+erase", TOLD, (2, 3), ("luminance", None, True)),
        ("colorize+erase", MEAN, (1, 3), ("plain", None, False)),
        ("sketch+erase", {}, (3, 3), ("plain", None, False)),
        ("aligned", {}, (3, 3), ("plain", None, False)),
    ],
)
def test_auto_keeps_what_the_recipe_leaves_whole(recipe, erase, channels, expected):
    config = RecipeConfig(recipe=recipe, erase=EraseConfig(**erase))
    chosen = choose_composition(GeneratorConfig(depth=3, filters=4), config, *channels)
    assert (chosen.composition, chosen.hole, chosen.hole_channel) == expected
    assert choose_composition(chosen, config, *channels) == chosen
    build_generator(chosen, *channels)


def test_lab_follows_the_recipe():
    config = RecipeConfig(recipe="colorize", colorize=ColorizeConfig(space="lab"))
    assert choose_composition(GeneratorConfig(), config, 1, 3).composition == "lab"


def test_a_composition_that_cannot_find_the_holes_is_refused():
    config = RecipeConfig(recipe="erase", erase=EraseConfig(fill="noise"))
    with pytest.raises(CalcoError, match="fill noise leaves no colour to know it by; give --mask-channel"):
        choose_composition(GeneratorConfig(composition="filled"), config, 3, 3)
