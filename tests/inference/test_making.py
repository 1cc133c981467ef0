"""`calco translate --make-input`: the model's recipe makes the input first, as in its training."""

import numpy as np
import pytest
import torch

from calco import CalcoError, imaging
from calco.data.config import JitterConfig
from calco.data.recipes import DegradeConfig, EraseConfig, RecipeConfig, SketchConfig, build_recipe
from calco.data.sample import Sample, generator
from calco.inference.folder import ModelInfo, save_model
from calco.inference.images import translate_images
from calco.inference.network import pair_maker
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig


def info(recipe: RecipeConfig, in_channels: int = 3, resize: int = 32) -> ModelInfo:
    return ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition="plain"), recipe=recipe,
        jitter=JitterConfig(size=32, resize=resize, fit="cover"), in_channels=in_channels, out_channels=3,
    )  # fmt: skip


def photo(height: int = 64, width: int = 96) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return imaging.resize(small, (width, height), "bicubic")


SKETCH = RecipeConfig(recipe="sketch", sketch=SketchConfig(style="any", wobble=(0, 0.02)))


def test_the_input_is_made_at_the_scale_of_the_training() -> None:
    made = pair_maker(info(SKETCH, 1))(photo(), "a").input
    assert made.shape == (32, 48, 1)
    fitted = Sample(image=imaging.resize(photo(), (48, 32)), key="a", group="a")
    assert np.array_equal(made, build_recipe(SKETCH, "photographs")(fitted, generator(0, 0, "a", "recipe")).input)
    assert pair_maker(info(SKETCH, 1, resize=0))(photo(), "a").input.shape == (64, 96, 1)


def test_chance_is_the_name_and_the_seed() -> None:
    noisy = info(RecipeConfig(recipe="degrade", degrade=DegradeConfig(damage="noise")))
    one, other = pair_maker(noisy), pair_maker(noisy, seed=1)
    assert np.array_equal(one(photo(), "a").input, pair_maker(noisy)(photo(), "a").input)
    assert not np.array_equal(one(photo(), "a").input, one(photo(), "b").input)
    assert not np.array_equal(one(photo(), "a").input, other(photo(), "a").input)


@pytest.mark.parametrize(
    ("recipe", "channels"),
    [
        (SKETCH, 1),
        (RecipeConfig(recipe="degrade"), 3),
        (RecipeConfig(recipe="colorize+degrade"), 1),
        (RecipeConfig(recipe="erase", erase=EraseConfig(mask_channel=True)), 4),
    ],
)
def test_the_results_have_the_names_and_sizes_of_the_images(tmp_path, recipe: RecipeConfig, channels: int) -> None:
    described = info(recipe, channels)
    torch.manual_seed(0)
    network = build_generator(described.generator, channels, 3)
    save_model(tmp_path / "model", described, network.state_dict(), None)
    (tmp_path / "in").mkdir()
    for name, height in (("tall", 90), ("wide", 40)):
        imaging.write(tmp_path / "in" / f"{name}.png", photo(height))
    done = translate_images(tmp_path / "model", tmp_path / "in", tmp_path / "out", make_input=True)
    assert (done.written, done.left_out) == (2, {})
    assert imaging.read(tmp_path / "out" / "tall.png").shape == (90, 96, 3)
    drawn = Translator(described, network)(pair_maker(described)(photo(40), "wide.png").input, native=True)
    assert np.array_equal(imaging.read(tmp_path / "out" / "wide.png"), imaging.resize(drawn, (96, 40)))


def test_what_cannot_be_made_is_told(tmp_path) -> None:
    for name in ("aligned", "segment"):
        with pytest.raises(CalcoError, match=f"the recipe {name} makes no input"):
            pair_maker(info(RecipeConfig(recipe=name)))
    described = info(SKETCH, 1)
    translator = Translator(described, build_generator(described.generator, 1, 3))
    imaging.write(tmp_path / "a.png", photo())
    for options, says in (
        ({"make_input": True, "masks": tmp_path}, "give one of them"),
        ({"recipe": "my.py:fade"}, "serve --make-input"),
        ({"make_input": True, "recipe": "my.py:fade"}, "can only say where"),
    ):
        with pytest.raises(CalcoError, match=says):
            translate_images(translator, tmp_path / "a.png", tmp_path / "b.png", **options)
