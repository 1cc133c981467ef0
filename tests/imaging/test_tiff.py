"""TIFF: every depth, any number of channels, either layout, and what is packed in other ways."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from calco import imaging
from calco.errors import CalcoError
from imaging.samples import DTYPES, noise


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_what_is_written_is_read(tmp_path: Path, dtype: type, channels: int) -> None:
    image = noise(20, 30, channels, dtype)
    imaging.write(tmp_path / "a.tif", image)
    read = imaging.read(tmp_path / "a.tif", background="channel")
    assert read.dtype == dtype
    assert np.array_equal(read, image)
    assert imaging.common_channels([str(tmp_path / "a.tif")], "channel") == channels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_layouts_of_other_programs(tmp_path: Path, dtype: type, layout: str, compression: str | None) -> None:
    for channels, order, bigtiff in product((3, 5), "<>", (False, True)):
        image = noise(20, 30, channels, dtype)
        tifffile.imwrite(
            tmp_path / "a.tif", image if layout == "contig" else image.transpose(2, 0, 1), planarconfig=layout,
            photometric="rgb" if channels == 3 else "minisblack", compression=compression, byteorder=order,
            bigtiff=bigtiff, tile=(16, 16) if order == ">" else None,
        )  # fmt: skip
        read = imaging.read(tmp_path / "a.tif")
        assert read.dtype == dtype
        assert np.array_equal(read, image), (channels, order, bigtiff)
        assert imaging.header_size_wh(tmp_path / "a.tif") == (30, 20)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lzw(tmp_path: Path, dtype: type, channels: int) -> None:
    image = noise(20, 30, channels, dtype)
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    cv2.imwrite(str(tmp_path / "a.tif"), image[..., order], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    assert np.array_equal(imaging.read(tmp_path / "a.tif", background="channel"), image)


def test_what_needs_a_further_library_says_which(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(16, 16, 5, np.uint16), photometric="minisblack", planarconfig="contig")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages.first.tags["Compression"].overwrite(5)
    with pytest.raises(CalcoError, match="packed by LZW need a further library: pip install imagecodecs, or save it"):
        imaging.read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", DTYPES)
def test_white_is_zero(tmp_path: Path, dtype: type) -> None:
    image = noise(8, 9, 1, dtype)
    tifffile.imwrite(tmp_path / "a.tif", image[..., 0], photometric="miniswhite")
    assert np.allclose(imaging.read(tmp_path / "a.tif"), imaging.PEAKS[np.dtype(dtype).name] - image, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_colours_that_are_multiplied_with_alpha(tmp_path: Path, dtype: type) -> None:
    peak = imaging.PEAKS[np.dtype(dtype).name]
    straight = np.array([[[0.8, 0.4, 0.2, 0.5], [0.8, 0.4, 0.2, 1], [0, 0, 0, 0]]])
    stored = straight * peak
    stored[..., :3] *= straight[..., 3:]
    rounded = stored.astype(dtype) if dtype is np.float32 else np.rint(stored).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", rounded, photometric="rgb", extrasamples=["assocalpha"])
    read = imaging.read(tmp_path / "a.tif", background="channel") / peak
    assert np.abs(read - straight).max() < 0.01
    white = imaging.read(tmp_path / "a.tif") / peak
    assert np.abs(white - (straight[..., :3] * straight[..., 3:] + 1 - straight[..., 3:])).max() < 0.01


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fourth_band_is_no_transparency(tmp_path: Path, dtype: type) -> None:
    image = noise(8, 9, 4, dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(imaging.read(tmp_path / "a.tif"), image)
    assert imaging.common_channels([str(tmp_path / "a.tif")]) == 4


def test_the_first_page_counts(tmp_path: Path) -> None:
    pages = noise(8, 9, 3, np.uint16).transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", np.ascontiguousarray(pages), photometric="minisblack")
    assert np.array_equal(imaging.read(tmp_path / "a.tif")[..., 0], pages[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_single_ones(tmp_path: Path, dtype: type) -> None:
    image = noise(8, 9, 3, np.float32).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    read = imaging.read(tmp_path / "a.tif")
    assert read.dtype == np.float32
    assert np.array_equal(read, image.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32, np.uint64, np.complex64])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_depths_are_refused(tmp_path: Path, dtype: type, channels: int) -> None:
    image = np.zeros((8, 9, channels), dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb" if channels == 3 else "minisblack")
    with pytest.raises(CalcoError, match=f"a.tif: its pixels are {np.dtype(dtype)}; save it as uint8, uint16 or as"):
        imaging.read(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "NaN or infinite; put numbers from 0 to 1 there"),
        (np.inf, "NaN or infinite; put numbers from 0 to 1 there"),
        (-np.inf, "NaN or infinite; put numbers from 0 to 1 there"),
        (200, r"run from 0.5 to 200, and floats must lie in \[0, 1\]; divide them by their peak"),
        (-0.1, r"run from -0.1 to 0.5, and floats must lie in \[0, 1\]"),
    ],
)
def test_floats_that_are_no_image(tmp_path: Path, channels: int, value: float, message: str) -> None:
    image = np.full((4, 4, channels), 0.5, np.float32)
    imaging.write(tmp_path / "a.tif", image)
    assert np.array_equal(imaging.read(tmp_path / "a.tif"), image)
    image[1, 1, 0] = value
    with pytest.raises(CalcoError, match="NaN or infinite|has values from"):
        imaging.write(tmp_path / "a.tif", image)
    plain = image[..., 0] if channels == 1 else image
    kind = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", plain, photometric=kind, planarconfig="contig")  # as other programs write it
    with pytest.raises(CalcoError, match=message):
        imaging.read(tmp_path / "a.tif")


def test_what_a_deep_tiff_says_of_itself_is_copied(tmp_path: Path) -> None:
    image = noise(8, 9, 5, np.uint16)
    tifffile.imwrite(
        tmp_path / "like.tif", image, photometric="minisblack", planarconfig="contig", description="Übersicht".encode(),
        software="Scanner", datetime="2024:05:06 07:08:09", resolution=(300, 300), metadata=None,
        extratags=[(274, 3, 1, 6, True), (271, 2, 0, "Maker", True), (33550, 12, 3, (10.0, 10.0, 0.0), True)],
    )  # fmt: skip
    imaging.write(tmp_path / "copy.tif", imaging.read(tmp_path / "like.tif")[..., :3], like=tmp_path / "like.tif")
    assert imaging.read(tmp_path / "copy.tif").shape == (9, 8, 3)
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        tags = {tag.code: tag.value for tag in file.pages.first.tags}
        count = len(file.pages.first.tags)
    assert [tags[code] for code in (270, 271, 305, 306)] == ["Übersicht", "Maker", "Scanner", "2024:05:06 07:08:09"]
    assert tags[33550] == (10.0, 10.0, 0.0)
    assert tags[282] == (300, 1)
    assert 274 not in tags or tags[274] == 1
    assert count == len(tags)  # nothing stands in it twice


def test_eight_bits_like_a_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "like.tif", noise(30, 40, 3, np.uint8), photometric="rgb", software="Scanner", rowsperstrip=7
    )
    for ending in (".tif", ".jpg", ".png"):
        imaging.write(tmp_path / f"copy{ending}", noise(8, 9, 3, np.uint8), like=tmp_path / "like.tif")
        assert imaging.read(tmp_path / f"copy{ending}").shape == (8, 9, 3)
        with Pillow.open(tmp_path / f"copy{ending}") as copy:
            assert copy.getexif()[305] == "Scanner"
            assert ending == ".tif" or 278 not in copy.getexif()
