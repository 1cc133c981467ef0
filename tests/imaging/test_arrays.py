"""Channels, depth, size, transparency, tensors."""

from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from skimage import data

from calco import imaging
from calco.errors import CalcoError
from imaging.samples import DTYPES, noise, photo


@pytest.mark.parametrize("dtype", DTYPES)
def test_luminance_is_exact(dtype: type) -> None:
    colours = photo(dtype=dtype)
    expected = colours.astype(np.float64) @ [0.299, 0.587, 0.114]
    grey = imaging.luminance(colours)
    assert grey.shape == (40, 60, 1)
    assert grey.dtype == dtype
    assert np.abs(grey[..., 0] - expected).max() <= (1e-6 if dtype is np.float32 else 0.5)
    assert np.array_equal(imaging.luminance(imaging.as_channels(grey, 3)), grey)


@pytest.mark.parametrize("dtype", DTYPES)
def test_grey_colour_and_alpha_turn_into_each_other(dtype: type) -> None:
    peak = imaging.PEAKS[np.dtype(dtype).name]
    for have in (1, 2, 3, 4):
        for wanted in (1, 2, 3, 4):
            made = imaging.as_channels(photo(channels=have, dtype=dtype), wanted)
            assert (made.shape, made.dtype) == ((40, 60, wanted), dtype)
            assert imaging.converts(have, wanted)
    rgba = photo(channels=4, dtype=dtype)
    assert np.array_equal(imaging.as_channels(rgba, 2)[..., 1], rgba[..., 3])
    assert (imaging.as_channels(rgba[..., :3], 4)[..., 3] == peak).all()
    rgba[..., 3] = 0
    assert (imaging.as_channels(rgba, 3) == peak).all()
    assert (imaging.as_channels(rgba, 1, (0, 0, 0)) == 0).all()


@pytest.mark.parametrize(("have", "wanted"), [(5, 3), (3, 5), (5, 1), (5, 6), (3, 0)])
def test_bands_are_no_colours(have: int, wanted: int) -> None:
    assert not imaging.converts(have, wanted)
    with pytest.raises(CalcoError, match=f"{have} channels cannot become one of {wanted}"):
        imaging.as_channels(photo(channels=have), wanted)
    if wanted == 1:
        with pytest.raises(CalcoError, match="5 channels"):
            imaging.luminance(photo(channels=5))


def test_what_a_person_is_shown() -> None:
    assert [imaging.visible(photo(channels=count)).shape[2] for count in (1, 2, 3, 4, 5, 12)] == [1, 1, 3, 3, 3, 3]
    assert np.array_equal(imaging.visible(photo(channels=7)), photo(channels=7)[..., :3])


def test_dtypes_round_trip() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for dtype in (np.uint16, np.float32):
        assert np.array_equal(imaging.as_dtype(imaging.as_dtype(every, dtype), np.uint8), every)
    assert imaging.as_dtype(every, np.uint16).max() == 65535
    with pytest.raises(CalcoError, match="int64"):
        imaging.as_dtype(every, np.int64)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_round_trip(dtype: type, channels: int) -> None:
    image = noise(40, 60, channels, dtype)
    tensor = imaging.to_tensor(image)
    assert tensor.shape == (channels, 40, 60)
    assert tensor.dtype == torch.float32
    assert float(tensor.min()) >= -1
    assert float(tensor.max()) <= 1
    back = imaging.to_image(tensor, dtype)
    assert back.dtype == dtype
    assert np.abs(back.astype(np.float64) - image).max() <= (1e-6 if dtype is np.float32 else 0)


def test_every_level_of_sixteen_bits_has_its_own_place_in_a_tensor() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    tensor = imaging.to_tensor(every)
    assert torch.equal(tensor[0].double().sub(torch.from_numpy(every[..., 0] / 32767.5 - 1)).abs() < 1.2e-7,
                       torch.ones(256, 256, dtype=torch.bool))  # fmt: skip
    assert np.array_equal(imaging.to_image(tensor, np.uint16), every)


def test_a_tensor_beyond_its_range_is_clamped() -> None:
    assert imaging.to_image(torch.full((1, 2, 2), 9.0)).max() == 255


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_resize_keeps_dtype_channels_and_range(dtype: type, channels: int) -> None:
    image = photo(channels=channels, dtype=dtype)
    for how in get_args(imaging.Resampling):
        for width, height in ((30, 20), (90, 80), (20, 90), (1, 1)):
            result = imaging.resize(image, (width, height), how)
            assert (result.shape, result.dtype) == ((height, width, channels), dtype), how
            flat = imaging.resize(np.full_like(image, image.max()), (width, height), how)
            assert np.allclose(flat, image.max(), rtol=1e-6), (how, width, height)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_resize_treats_every_channel_alike(channels: int) -> None:
    image = noise(20, 30, channels, np.uint8)
    image[..., -1] = 0  # alpha or a band that is nought everywhere takes nothing from the others
    whole = imaging.resize(image, (13, 11))
    for index in range(channels):
        assert np.array_equal(whole[..., index : index + 1], imaging.resize(image[..., index : index + 1], (13, 11)))


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_enlarging_treats_channels_and_depths_alike(channels: int) -> None:
    image = noise(20, 30, channels, np.uint8)
    for size_wh in ((43, 37), (30, 41), (61, 20)):
        whole = imaging.resize(image, size_wh, "bicubic")
        for index in range(channels):
            alone = imaging.resize(image[..., index : index + 1], size_wh, "bicubic")
            assert np.array_equal(whole[..., index : index + 1], alone)
        for dtype in (np.uint16, np.float32):
            deep = imaging.resize(imaging.as_dtype(image, dtype), size_wh, "bicubic")
            assert np.abs(imaging.as_dtype(deep, np.uint8).astype(int) - whole).max() <= 1


def test_enlarging_is_as_near_to_the_true_image_as_pillow() -> None:
    true = data.astronaut()[:144, 150:326]
    for height, width in ((72, 88), (120, 150)):
        small = imaging.resize(true, (width, height), "bicubic")
        ours = imaging.resize(small, (176, 144))
        theirs = np.array(Pillow.fromarray(small).resize((176, 144), Pillow.Resampling.BICUBIC))
        errors = [float(np.square(each.astype(float) - true).mean()) for each in (ours, theirs)]
        assert errors[0] <= errors[1] * 1.02
        half = imaging.resize(np.concatenate([small, small], axis=1)[:, :width], (176, 144))  # a view of a wider image
        assert np.array_equal(half, ours)


def test_auto_averages_areas_when_it_shrinks() -> None:
    image = photo(40, 60)
    expected = image.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(imaging.resize(image, (30, 20)) - expected).max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_image_in_strips_is_the_same_as_at_once(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    colours, clear = noise(41, 60, 3, dtype), noise(41, 60, 4, dtype)
    at_once = imaging.luminance(colours), imaging.visible(clear), imaging.as_dtype(colours, np.float32)
    monkeypatch.setattr("calco.imaging.arrays._STRIP", 60 * 7)
    in_strips = imaging.luminance(colours), imaging.visible(clear), imaging.as_dtype(colours, np.float32)
    assert all(np.array_equal(one, other) for one, other in zip(at_once, in_strips, strict=True))
