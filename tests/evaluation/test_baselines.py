"""What a model is measured against."""

import cv2
import numpy as np
import pytest

from calco.data.recipes import EraseConfig, RecipeConfig, build_recipe
from calco.data.sample import Pair, Sample, generator
from calco.evaluation import metrics
from calco.evaluation.baselines import INPUT_COPIED, MEAN_TARGET, NAVIER_STOKES, TELEA, baselines_for
from evaluation.formula_images import pairs, wave


def test_which_baselines_there_are() -> None:
    mean = np.zeros((2, 2, 3), np.float32)
    assert list(baselines_for(mean_target=None, erased=False)) == [INPUT_COPIED]
    assert list(baselines_for(mean_target=mean, erased=True)) == [INPUT_COPIED, MEAN_TARGET, TELEA, NAVIER_STOKES]


def test_the_input_takes_the_targets_channels_and_dtype() -> None:
    pair = pairs(1)[0]
    copied = baselines_for(mean_target=None, erased=False)[INPUT_COPIED](pair)
    assert copied.shape == pair.target.shape
    assert (copied == pair.input).all()
    deep = Pair(input=pair.target, target=pair.input.astype(np.uint16) * 257, key="k", group="g")
    grey = baselines_for(mean_target=None, erased=False)[INPUT_COPIED](deep)
    assert grey.dtype == np.uint16
    assert grey.shape[2] == 1


def test_the_mean_is_resized() -> None:
    pair = pairs(1, side=20)[0]
    mean = np.full((7, 9, 3), 0.4, np.float32)
    made = baselines_for(mean_target=mean, erased=False)[MEAN_TARGET](pair)
    assert made.shape == pair.target.shape
    assert made.dtype == np.uint8
    assert (made == 102).all()


@pytest.mark.parametrize(("name", "flag"), [(TELEA, cv2.INPAINT_TELEA), (NAVIER_STOKES, cv2.INPAINT_NS)])
def test_inpainting_fills_the_region_and_nothing_else(name: str, flag: int) -> None:
    target = wave(40, 40, 0.05, 0.04)
    region = np.zeros((40, 40), bool)
    region[15:22, 12:20] = True
    erased = target.copy()
    erased[region] = 0
    pair = Pair(input=erased, target=target, key="k", group="g", region=region)
    made = baselines_for(mean_target=None, erased=True)[name](pair)
    assert (made == cv2.inpaint(erased, region.astype(np.uint8) * 255, 3, flag)).all()
    assert (made[~region] == target[~region]).all()
    assert metrics.psnr_inside(made, target, region) > metrics.psnr_inside(erased, target, region) + 10


def test_inpainting_a_grey_input_gives_a_grey_image_in_the_targets_shape() -> None:
    pair = pairs(1, erased=True)[0]
    made = baselines_for(mean_target=None, erased=True)[TELEA](pair)
    assert made.shape == pair.target.shape
    assert (made[..., 0] == made[..., 1]).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("told", [False, True])
def test_inpainting_does_not_depend_on_what_was_left_in_the_holes(channels: int, told: bool) -> None:
    whole = np.concatenate([wave(40, 40, 0.05, 0.04), wave(40, 40, 0.03, 0.05)], axis=2)[..., :channels]
    dish = Sample(image=np.ascontiguousarray(whole), key="k", group="g")
    made = []
    for fill in ("magenta", "white", "mean", "noise"):
        config = RecipeConfig(recipe="erase", erase=EraseConfig(fill=fill, mask_channel=told, box_size=(0.2, 0.2)))
        pair = build_recipe(config, "photographs")(dish, generator(0, 0, "k"))
        made.append(baselines_for(mean_target=None, erased=True)[TELEA](pair))
        assert made[-1].shape == dish.image.shape
        assert (made[-1][~pair.region] == dish.image[~pair.region]).all()
    assert all((one == made[0]).all() for one in made)
