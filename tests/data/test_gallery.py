"""The sheets of `calco recipes`: they leave nothing out, and the documentation shows them."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import calco.cli
from calco import CalcoError, imaging
from calco.data.config import AugmentConfig, RecipesConfig
from calco.data.gallery import SHEETS, configured, recipes
from calco.data.recipe_config import (
    KINDS,
    ColorizeConfig,
    CompositeConfig,
    DegradeConfig,
    EraseConfig,
    SegmentConfig,
    SketchConfig,
)
from calco.data.recipes import RECIPES
from calco.data.recipes.degrade import DAMAGES
from calco.data.recipes.sketch import SKETCHES
from support import ROOT

CELLS = [cell for cells in SHEETS.values() for cell in cells]


def shown(option: str) -> set[str]:
    return {str(cell.options[option]) for cell in CELLS if option in cell.options}


def test_every_recipe_style_and_damage_has_its_image() -> None:
    assert set(RECIPES) | {"augment"} == set(SHEETS)
    assert {cell.recipe for cell in CELLS} >= set(RECIPES)
    assert shown("style") == {*SKETCHES, "any"}
    assert shown("damage") >= {*DAMAGES, "any"}
    assert shown("holes") >= {*KINDS, "any", "given"}


@pytest.mark.parametrize(
    "config", [ColorizeConfig, EraseConfig, SketchConfig, DegradeConfig, SegmentConfig, CompositeConfig, AugmentConfig]
)
def test_every_setting_has_its_image(config: type) -> None:
    unseen = {"weight"}  # how much an erased pixel counts changes no image
    assert {each.name for each in fields(config)} - unseen <= {name for cell in CELLS for name in cell.options}


def test_the_sheets_of_any_image(tmp_path: Path) -> None:
    image = tmp_path / "tall.png"
    imaging.write(image, np.random.default_rng(0).integers(0, 255, (90, 40, 3), dtype=np.uint8))
    written = recipes(RecipesConfig(image=image, out=tmp_path / "sheets"))
    assert [path.stem for path in written] == list(SHEETS)
    again = recipes(RecipesConfig(image=image, out=tmp_path / "again", only="erase"))
    assert again[0].read_bytes() == (tmp_path / "sheets" / "erase.png").read_bytes()


def test_without_a_image_a_drawing_of_the_built_in_set(tmp_path: Path) -> None:
    calco.cli.main(["recipes", "--out", str(tmp_path), "--only", "colorize"])
    assert imaging.read(tmp_path / "colorize.png").shape[2] == 3


@pytest.mark.parametrize("name", SHEETS)
def test_the_documentation_shows_them(name: str) -> None:
    sheet = ROOT / "docs" / "recipes" / f"{name}.png"
    assert f"(recipes/{name}.png)" in (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert sheet.stat().st_size < 200_000
    with Pillow.open(sheet) as opened:
        rows = -(-(len(SHEETS[name]) + 1) // 5)
        assert opened.height > rows * 126  # drawn anew when a cell was added: calco recipes IMAGE --out docs/recipes


def test_labels_are_the_options_as_they_are_typed() -> None:
    labels = [cell.label for cell in CELLS]
    assert len(set(labels)) == len(labels)
    assert "--holes brush --brush 6 6 --brush-width 0.02 0.02" in labels
    assert "--augment.rotate 25" in labels
    assert "--mask-channel --fill mean" in labels


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="choose one of aligned"):
        recipes(RecipesConfig(out=tmp_path, only="oil"))
    with pytest.raises(CalcoError, match=r"no\.png"):
        recipes(RecipesConfig(image=tmp_path / "no.png", out=tmp_path))
    with pytest.raises(CalcoError, match="no recipe has the option colour"):
        configured("sketch", {"colour": 3})
