"""Writing images: every format, depth and number of channels, whole or not at all."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.errors import CalcoError
from imaging.samples import noise, photo, save


@pytest.mark.parametrize("ending", sorted(imaging.IMAGE_SUFFIXES - {".gif", ".pbm", ".pgm"}))
def test_every_ending_can_be_written_and_read(tmp_path: Path, ending: str) -> None:
    for channels in (1, 2, 3, 4):
        image = photo(channels=channels)
        image[..., -1] = np.where(channels in (2, 4), 255, image[..., -1])
        imaging.write(tmp_path / f"x{ending}", image)
        read = imaging.read(tmp_path / f"x{ending}")
        expected = imaging.as_channels(image[..., : channels - (channels in (2, 4))], read.shape[2])
        assert np.abs(read.astype(int) - expected).mean() < 4
        assert [path.name for path in tmp_path.iterdir()] == [f"x{ending}"]


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".avif", ".heic", ".tga", ".jp2"])
def test_transparency_is_kept_where_the_format_has_it(tmp_path: Path, ending: str) -> None:
    image = photo(channels=4)
    image[:, :30, 3], image[:, 30:, 3] = 255, 0
    imaging.write(tmp_path / f"x{ending}", image)
    read = imaging.read(tmp_path / f"x{ending}", background="channel")
    assert read.shape == (40, 60, 4)
    assert np.abs(read[..., 3].astype(int) - image[..., 3]).mean() < 3


@pytest.mark.parametrize("ending", [".jpg", ".bmp", ".ppm", ".gif"])
def test_transparency_lies_over_white_elsewhere(tmp_path: Path, ending: str) -> None:
    image = np.full((16, 16, 4), (200, 0, 0, 0), np.uint8)
    imaging.write(tmp_path / f"x{ending}", image)
    assert (imaging.read(tmp_path / f"x{ending}") >= 254).all()


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_survive_reading_and_writing(tmp_path: Path, ending: str, channels: int) -> None:
    path = tmp_path / f"deep{ending}"
    for size in ((9, 7), (1, 1), (1, 300), (64, 1)):
        deep = noise(*size, channels, np.uint16)
        imaging.write(path, deep)
        read = imaging.read(path, background="channel")
        assert read.dtype == np.uint16
        assert np.array_equal(read, deep), size
        seen = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)  # other programs see the same
        if channels in (1, 3):
            assert np.array_equal(np.atleast_3d(seen)[..., ::-1], deep), size


def test_floats_keep_what_the_format_holds(tmp_path: Path) -> None:
    image = noise(9, 7, 3, np.float32)
    for ending, dtype in ((".tif", np.float32), (".png", np.uint16), (".jpg", np.uint8)):
        imaging.write(tmp_path / f"x{ending}", image)
        assert imaging.read(tmp_path / f"x{ending}").dtype == dtype


def test_bands_fit_into_tiff_alone(tmp_path: Path) -> None:
    for ending in (".png", ".jpg", ".webp"):
        with pytest.raises(CalcoError, match="cannot write 5 channels to .*; choose the ending .tif"):
            imaging.write(tmp_path / f"x{ending}", noise(9, 7, 5, np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_in_memory_as_on_disk(tmp_path: Path) -> None:
    for ending in (".png", ".tif", ".jpg"):
        imaging.write(tmp_path / f"x{ending}", photo())
        assert imaging.encode(photo(), ending) == (tmp_path / f"x{ending}").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match=r"\.png"):
        imaging.write(tmp_path / "x.docx", photo())
    imaging.write(tmp_path / "x.png", photo())
    before = (tmp_path / "x.png").read_bytes()
    with pytest.raises(CalcoError):
        imaging.write(tmp_path / "absent" / "x.png", photo())
    assert (tmp_path / "x.png").read_bytes() == before


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".avif", ".heic", "-deep.png"])
def test_exif_is_copied_upright(tmp_path: Path, ending: str) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x829A] = 0.25
    save(tmp_path / "like.jpg", photo(), exif=exif)
    imaging.write(tmp_path / f"copy{ending}", photo(dtype=np.uint16 if "deep" in ending else np.uint8),
                 like=tmp_path / "like.jpg")  # fmt: skip
    assert imaging.read(tmp_path / f"copy{ending}").shape == (40, 60, 3)
    with Pillow.open(tmp_path / f"copy{ending}") as copy:
        copy.load()
        assert copy.getexif()[0x010F] == "Maker"
        assert copy.getexif().get(0x0112, 1) == 1
        assert copy.getexif().get_ifd(0x8769)[0x829A] == 0.25


def test_jpeg_keeps_its_colour_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    imaging.write(tmp_path / "s.jpg", stripes)
    assert np.abs(imaging.read(tmp_path / "s.jpg").astype(int) - stripes).mean() < 6
