"""Painted masks over images: what is seen of both, and every way that leads there."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calco import CalcoError, imaging
from calco.cli import main
from calco.data.config import JitterConfig
from calco.data.palettes import PALETTES
from calco.data.recipes import RecipeConfig
from calco.inference.folder import ModelInfo, save_model
from calco.inference.network import ACCENTS, Overlay, overlaid
from calco.inference.translator import load
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig

VOC = PALETTES["voc"]


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A grey image, of which a square is an aeroplane."""
    indices = np.zeros((60, 80), np.uint8)
    indices[10:40, 20:60] = 1
    return np.full((60, 80, 3), 100, np.uint8), indices


def test_background_stays_and_areas_are_tinted_with_a_line_around() -> None:
    image, indices = scene()
    shown = overlaid(image, indices, VOC, Overlay(alpha=0.5, contour=8))
    assert (shown[indices == 0] == 100).all()
    assert (shown[25, 40] == [114, 50, 50]).all()  # half of grey, half of dark red
    assert (shown[10, 40] == VOC[1][1]).all()
    assert (overlaid(image, indices, VOC, Overlay(alpha=0, contour=0)) == image).all()


def test_white_is_shown_in_a_colour() -> None:
    image, indices = scene()
    shown = overlaid(image, indices, PALETTES["binary"], Overlay(alpha=1))
    assert (shown[25, 40] == ACCENTS[0]).all()
    assert (shown[0, 0] == 100).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_every_kind_of_image(dtype: type, channels: int) -> None:
    image, indices = scene()
    given = imaging.as_dtype(imaging.as_channels(image, channels), dtype)
    shown = overlaid(given, indices, VOC, Overlay())
    assert shown.dtype == dtype
    assert shown.shape == (60, 80, 3)
    assert np.allclose(imaging.as_dtype(shown, np.uint8)[0, 0], 100, atol=1)


@pytest.mark.parametrize(("change", "message"), [({"alpha": 1.5}, "alpha is 1.5"), ({"contour": -1}, "contour is -1")])
def test_wrong_looks_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(CalcoError, match=message):
        Overlay(**change)


def model_of(folder: Path, recipe: str) -> Path:
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition="plain"),
        recipe=RecipeConfig(recipe=recipe),
        jitter=JitterConfig(size=32, resize=32),
        in_channels=3,
        out_channels=3,
    )
    torch.manual_seed(0)
    weights = build_generator(info.generator, 3, 3).state_dict()
    weights = {name: tensor * 4 for name, tensor in weights.items()}
    save_model(folder, info, weights, None)
    return folder


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_of(tmp_path_factory.mktemp("painter") / "model", "segment")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "a.png"
    imaging.write(path, np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8))
    return path


def test_translate_lays_the_mask_over_the_image(painter: Path, photo: Path, tmp_path: Path) -> None:
    words = ["translate", str(painter), str(photo.parent), "--precision", "fp32", "--out"]
    main([*words, str(tmp_path / "masks")])
    main([*words, str(tmp_path / "over"), "--overlay", "--alpha", "0.5", "--contour", "0"])
    image, mask, over = (
        imaging.read(folder / "a.png").astype(int) for folder in (photo.parent, tmp_path / "masks", tmp_path / "over")
    )
    inside = mask[..., 0] == 255
    assert 0 < inside.mean() < 1
    assert (over[~inside] == image[~inside]).all()
    assert np.abs(over - (image + ACCENTS[0]) / 2)[inside].max() <= 1
    with pytest.raises(SystemExit):  # another look is another result
        main([*words, str(tmp_path / "over"), "--overlay"])


def test_strips_of_a_large_image_are_tinted_alike(painter: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = load(painter)
    translator.lay_over(Overlay(contour=0))
    image = imaging.read(photo)
    whole = translator(image)
    monkeypatch.setattr("calco.imaging.LARGE", 1000)
    assert np.abs(translator(image).astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    ("recipe", "words", "message"),
    [
        ("aligned", ["--overlay"], "the model learned aligned; leave it out"),
        ("segment", ["--alpha", "0.3"], "add --overlay"),
        ("segment", ["--overlay", "--alpha", "3"], "alpha is 3"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_line(
    recipe: str, words: list[str], message: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["translate", str(model_of(tmp_path / "model", recipe)), str(photo), "--out", str(tmp_path / "o"), *words])
    assert left.value.code == 2
    assert message in capsys.readouterr().err
