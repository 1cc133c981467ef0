"""More play in training: everything that belongs to an image moves together, inputs alone change their light."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calco import CalcoError
from calco.annotations.detections import Detections, Outline
from calco.data.augmentation import moved, recoloured
from calco.data.config import AugmentConfig, JitterConfig
from calco.data.dataset import PairDataset
from calco.data.recipes import EraseConfig, RecipeConfig, build_recipe
from calco.data.sample import Pair, Sample, generator
from calco.data.sources import open_source
from support import numpys_own_generator_rests, requires

Make = Callable[..., Path]
ALL = {"rotate": 20, "scale": 0.2, "shear": 10, "perspective": 0.1, "elastic": 0.02}


@pytest.fixture(autouse=True)
def kornia() -> None:
    try:
        import kornia as found
    except ModuleNotFoundError:
        found = None
    requires(found, "kornia", "pip install 'calco[augment]'")


def street(height: int = 120, width: int = 160) -> Sample:
    """A red rectangle on a black floor: as image, partner, mask, region, weight, box and outline alike."""
    inside = np.zeros((height, width), np.bool_)
    inside[40:80, 50:110] = True
    colour = np.where(inside[..., None], (255, 0, 0), (0, 0, 0)).astype(np.uint8)
    ring = np.array([(50, 40), (110, 40), (110, 80), (50, 80)], np.float32)
    objects = Detections(
        boxes=np.array([[50, 40, 110, 80]] * 3, np.float32),
        classes=("drawn", "masked", "boxed"),
        outlines=(Outline((ring,)), Outline(mask=inside), None),
    )
    return Sample(
        image=colour, key="k", group="g", partner=255 - colour, mask=np.where(inside, 7, 3).astype(np.uint8)[..., None],
        region=inside, weight=np.where(inside, 10, 1).astype(np.float32), detections=objects,
    )  # fmt: skip


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("name", [*ALL, "all"])
def test_all_that_belongs_to_a_image_moves_together(name: str) -> None:
    config = AugmentConfig(**(ALL if name == "all" else {name: ALL[name]}))
    for seed in range(6):
        before = street()
        after = moved(before, config, generator(seed, 0, "k"))
        assert not np.array_equal(after.image, before.image)
        red = after.image[..., 0] > 127
        assert set(np.unique(after.mask)) == {3, 7}
        assert set(np.unique(after.weight)) == {1, 10}
        assert np.array_equal(after.weight == 10, after.region)
        assert np.array_equal(after.mask[..., 0] == 7, after.region)
        assert overlap(red, after.region) > 0.95
        assert overlap(after.partner[..., 0] < 128, after.region) > 0.95
        assert after.detections is not None
        drawn, masked, boxed = range(3)
        assert overlap(after.detections.outlines[masked].mask, after.region) == 1
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        tight = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        for place in (drawn, boxed):
            assert np.abs(after.detections.boxes[place] - tight).max() < 3
        assert before.image.max() == 255  # the image that is kept is left alone


def test_a_quarter_turn_is_exact() -> None:
    square = street(120, 120)
    turns = {seed: float(generator(seed, 0, "k").uniform(-1, 1)) for seed in range(50)}
    seed = next(seed for seed, turn in turns.items() if turn > 0.5)
    turned = moved(square, AugmentConfig(rotate=90 / turns[seed]), generator(seed, 0, "k"))
    assert np.abs(turned.image.astype(int) - np.rot90(square.image, -1)).max() <= 1
    assert np.array_equal(turned.region, np.rot90(square.region, -1))
    assert np.allclose(turned.detections.boxes[0], [40, 50, 80, 110], atol=1e-3)


def test_what_leaves_the_image_is_dropped() -> None:
    far = Detections(boxes=np.array([[0, 0, 6, 6], [70, 50, 90, 70]], np.float32), classes=("corner", "middle"))
    image = replace(street(), detections=far)
    left = [moved(image, AugmentConfig(rotate=45), generator(seed, 0, "k")).detections for seed in range(20)]
    assert all("middle" in objects.classes for objects in left)
    assert any("corner" not in objects.classes for objects in left)
    for objects in left:
        assert objects.boxes.min() >= 0
        assert (objects.boxes[:, 2] <= 160).all()
        assert (objects.boxes[:, 3] <= 120).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_depth_and_channels_stay(dtype: type) -> None:
    image = np.random.default_rng(0).random((30, 40, 5)).astype(np.float32)
    image = image if dtype == np.float32 else (image * np.iinfo(dtype).max).astype(dtype)
    sample = Sample(image=image, key="k", group="g")
    out = moved(sample, AugmentConfig(**ALL), generator(0, 0, "k")).image
    assert (out.shape, out.dtype) == (image.shape, image.dtype)
    pair = recoloured(
        Pair(input=image, target=image, key="k", group="g"),
        AugmentConfig(hue=90, gamma=1, noise=0.1),
        generator(0, 0, "k"),
    )
    assert (pair.input.shape, pair.input.dtype) == (image.shape, image.dtype)


LIGHT = {"brightness": 0.5, "contrast": 0.5, "gamma": 1, "saturation": 1, "hue": 90, "noise": 0.1}


@pytest.mark.parametrize("name", LIGHT)
def test_light_changes_the_input_alone_and_never_what_was_erased(name: str) -> None:
    colours = np.random.default_rng(1).integers(30, 220, (40, 50, 3), dtype=np.uint8)
    image = Sample(image=colours, key="k", group="g")
    recipe = build_recipe(RecipeConfig(recipe="erase", erase=EraseConfig(mask_channel=True)), "photographs")
    pair = recipe(image, generator(0, 0, "k"))
    lit = recoloured(pair, AugmentConfig(**{name: LIGHT[name]}), generator(3, 0, "k"))
    assert np.array_equal(lit.target, colours)
    assert np.array_equal(lit.input[..., 3], pair.input[..., 3])
    assert (lit.input[pair.region] == (255, 0, 255, 0)).all()
    assert np.abs(lit.input[~pair.region].astype(int) - pair.input[~pair.region]).mean() > 1


def test_hue_and_saturation_keep_the_luminance() -> None:
    colours = np.random.default_rng(1).uniform(0.4, 0.6, (20, 20, 3)).astype(np.float32)
    pair = Pair(input=colours, target=colours, key="k", group="g")
    lit = recoloured(pair, AugmentConfig(hue=180, saturation=0.5), generator(0, 0, "k")).input
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(lit @ weights - colours @ weights).max() < 0.005
    assert np.abs(lit - colours).max() > 0.02


def three(make: Make) -> Path:
    for name in "abc":
        path = make(f"p/{name}.png", 60, 50)
    return path.parent


def dataset(folder: Path, augment: AugmentConfig, *, train: bool = True) -> PairDataset:
    source = open_source(folder)
    recipe = build_recipe(RecipeConfig(recipe="colorize+erase"), source.kind)
    jitter = JitterConfig(size=32, resize=36)
    return PairDataset(source, source.items, recipe, jitter, 5, train=train, augment=augment)


def test_the_same_seed_epoch_and_key_give_the_same_bytes_and_torch_knows_nothing_of_it(make: Make) -> None:
    folder = three(make)
    config = AugmentConfig(**ALL, **LIGHT)
    state = torch.get_rng_state()
    with numpys_own_generator_rests():
        one, other = dataset(folder, config), dataset(folder, config)
        made = {(index, epoch): one.pair(index, epoch).input.tobytes() for epoch in range(3) for index in range(3)}
        for place in reversed(made):
            assert other.pair(*place).input.tobytes() == made[place]
    assert len(set(made.values())) == 9
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_sees_images_as_they_are(make: Make) -> None:
    folder = three(make)
    plain, played = (dataset(folder, AugmentConfig(**more), train=False) for more in ({}, ALL | LIGHT))
    assert all(np.array_equal(plain.pair(i, 0).input, played.pair(i, 0).input) for i in range(3))


def test_nothing_is_on_by_default_and_out_of_range_is_refused() -> None:
    config = AugmentConfig()
    image = street()
    assert moved(image, config, generator(0, 0, "k")) is image
    pair = Pair(input=image.image, target=image.image, key="k", group="g")
    assert recoloured(pair, config, generator(0, 0, "k")) is pair
    for each in fields(config):
        for wrong in (-0.1, 1e6, float("nan")):
            with pytest.raises(CalcoError, match=each.name):
                AugmentConfig(**{each.name: wrong})
