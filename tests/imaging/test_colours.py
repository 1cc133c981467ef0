"""Embedded colour profiles and CMYK become sRGB."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL import ImageCms

from calco import imaging
from imaging.samples import cmyk_profile, gamma_curve, grey_profile, noise, photo, rgb_profile, save

ADOBE_PROFILE = rgb_profile(gamma_curve(563 / 256))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB_CURVE = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(
    struct.pack(">i", round(number * 65536)) for number in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
)  # fmt: skip


def srgb_of_adobe(image: np.ndarray) -> np.ndarray:
    """From the definitions of both colour spaces (D65 primaries), float in [0, 1]."""
    adobe = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    srgb = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    light = np.clip(image ** (563 / 256) @ (np.linalg.inv(srgb) @ adobe).T, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
def test_eight_bits_with_a_profile_become_srgb(tmp_path: Path, ending: str) -> None:
    options = {"quality": 98, "subsampling": 0} if ending == ".jpg" else {"lossless": True} if ending == ".webp" else {}
    path = save(tmp_path / f"a{ending}", photo(), icc_profile=ADOBE_PROFILE, **options)
    expected = srgb_of_adobe(photo() / 255) * 255
    assert np.abs(expected - photo()).max() > 20  # there is something to be done
    difference = np.abs(imaging.read(path) - expected)
    assert difference.mean() < 2 if ending == ".jpg" else difference.max() < 1.6


def test_transparency_is_no_colour(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", photo(channels=4), icc_profile=ADOBE_PROFILE)
    read = imaging.read(path, background="channel")
    assert np.array_equal(read[..., 3], photo(channels=4)[..., 3])
    assert np.abs(read[..., :3] - srgb_of_adobe(photo(channels=4)[..., :3] / 255) * 255).max() < 1.6


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_colour_keeps_its_depth(tmp_path: Path, dtype: type) -> None:
    image = noise(30, 40, 3, dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", iccprofile=ADOBE_PROFILE)
    read = imaging.read(tmp_path / "a.tif")
    assert read.dtype == dtype
    peak = imaging.PEAKS[np.dtype(dtype).name]
    assert np.abs(read / peak - srgb_of_adobe(image / peak)).max() < 2e-3
    assert len(np.unique(read)) > 2000  # not those of eight bits


def test_deep_png_with_a_profile(tmp_path: Path) -> None:
    image = noise(8, 9, 3, np.uint16)
    data = imaging.encode(image, ".png")

    content = b"x\0\0" + zlib.compress(ADOBE_PROFILE)
    chunk = struct.pack(">I", len(content)) + b"iCCP" + content + struct.pack(">I", zlib.crc32(b"iCCP" + content))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    assert np.abs(imaging.read(tmp_path / "a.png") / 65535 - srgb_of_adobe(image / 65535)).max() < 2e-3


@pytest.mark.parametrize(
    "curve",
    [
        gamma_curve(1.8),
        b"curv" + struct.pack(">II", 0, 4096) + (np.linspace(0, 1, 4096) ** 1.8 * 65535).astype(">u2").tobytes(),
        b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(1.8 * 65536)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_profiles(tmp_path: Path, curve: bytes, dtype: type) -> None:
    levels = np.linspace(0, np.iinfo(dtype).max, 64).astype(dtype).reshape(8, 8, 1)
    tifffile.imwrite(tmp_path / "g.tif", levels[..., 0], photometric="minisblack", iccprofile=grey_profile(curve))
    read = imaging.read(tmp_path / "g.tif") / np.iinfo(dtype).max
    light = (levels / np.iinfo(dtype).max) ** 1.8
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(read - expected).max() < (0.003 if dtype is np.uint8 else 3e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_srgb_already_stays_bit_for_bit(tmp_path: Path, dtype: type) -> None:
    image = noise(20, 30, 3, dtype)
    primaries = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
    for profile in (SRGB, rgb_profile(SRGB_CURVE, primaries)):
        tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", iccprofile=profile)
        assert np.array_equal(imaging.read(tmp_path / "a.tif"), image)


@pytest.mark.parametrize("size", [0, 5, 90, 140, 200, 300])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_broken_profile_costs_no_image(tmp_path: Path, size: int, dtype: type) -> None:
    image = noise(20, 30, 3, dtype)
    for number, profile in enumerate((ADOBE_PROFILE[:size], ADOBE_PROFILE[:size] + b"\xff" * 300, b"\xff" * size)):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, image, photometric="rgb", iccprofile=profile or b"\0")
        assert imaging.read(path).shape == image.shape


def test_a_profile_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    assert np.array_equal(
        imaging.read(save(tmp_path / "a.png", photo(), icc_profile=grey_profile(gamma_curve(1)))), photo()
    )
    grey = photo(channels=1)
    assert np.array_equal(imaging.read(save(tmp_path / "g.png", grey, icc_profile=ADOBE_PROFILE)), grey)


@pytest.mark.parametrize("ending", [".jpg", ".tif"])
def test_cmyk_by_its_profile(tmp_path: Path, ending: str) -> None:
    profile, lab = cmyk_profile((150, 90, 190)), np.full((1, 1, 3), (150, 90, 190), np.uint8)
    cyan = np.zeros((8, 8, 4), np.uint8)
    cyan[..., 0] = 255
    options = {"quality": 98} if ending == ".jpg" else {}
    Pillow.fromarray(cyan, "CMYK").save(tmp_path / f"c{ending}", icc_profile=profile, **options)
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.ImageCmsProfile(io.BytesIO(SRGB)), "LAB", "RGB"
    )
    signed = lab.copy()
    signed[..., 1:] += 128  # Pillow's Lab is signed, the profile's shifted
    expected = np.array(transform.apply(Pillow.frombytes("LAB", (1, 1), signed.tobytes())))[0, 0]
    read = imaging.read(tmp_path / f"c{ending}")
    assert read.shape == (8, 8, 3)
    assert np.abs(read[4, 4].astype(int) - expected).max() <= 3, (read[4, 4], expected)
    assert np.abs(read[4, 4].astype(int) - (0, 255, 255)).max() > 50


def test_cmyk_without_a_whole_profile_is_the_complement(tmp_path: Path) -> None:
    colour = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    for number, options in enumerate(({}, {"icc_profile": b"nonsense"}, {"icc_profile": ADOBE_PROFILE})):
        path = save(tmp_path / f"{number}.jpg", colour, "CMYK", quality=98, **options)
        assert np.abs(imaging.read(path).astype(int) - (200, 40, 40)).max() < 8


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "deep.png", "a.tif", "deep.tif"])
def test_colours_are_brought_to_srgb_once(tmp_path: Path, name: str) -> None:
    """What was read, written like the original and read again, is the same image."""
    like = save(tmp_path / f"like{Path(name).suffix}", photo(), icc_profile=ADOBE_PROFILE)
    read = imaging.read(like)
    written = imaging.as_dtype(read, np.uint16) if "deep" in name else read
    imaging.write(tmp_path / name, written, like=like)
    again = imaging.read(tmp_path / name)
    assert np.abs(imaging.as_dtype(again, np.uint8).astype(int) - read).mean() < (2 if name == "a.jpg" else 1e-9)
    with Pillow.open(tmp_path / name) as opened:
        assert "icc_profile" not in opened.info
