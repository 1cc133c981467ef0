"""Reading, writing and converting pictures, on files that Pillow and OpenCV wrote."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from calco import images
from calco.errors import CalcoError

DTYPES = (np.uint8, np.uint16, np.float32)


def photo(height: int = 40, width: int = 60, channels: int = 3, seed: int = 0) -> images.Image:
    """A smooth picture, HWC uint8, different in every corner."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    return images.resize(small, (width, height), "bicubic")


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    picture = Pillow.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def one_line(error: CalcoError, path: Path) -> bool:
    return str(path) in str(error) and "\n" not in str(error) and ";" in str(error)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, ending: str) -> None:
    upright = photo()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a{ending}", np.ascontiguousarray(stored), exif=exif)
    read = images.read(path)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).mean() < 6


def test_palette_is_expanded_or_gives_its_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    paletted = Pillow.new("P", (3, 2))
    paletted.frombytes(indices.tobytes())
    paletted.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    paletted.save(tmp_path / "p.png")
    assert images.read(tmp_path / "p.png").tolist()[0] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert np.array_equal(images.read(tmp_path / "p.png", indices=True), indices[..., None])


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = (0, 255, 51)
    read = images.read(save(tmp_path / "a.png", rgba))
    assert read.tolist() == [[[255, 255, 255], [200, 0, 0], [244, 204, 204]]]
    grey = images.read(save(tmp_path / "la.png", rgba, "LA"))
    assert grey.shape == (1, 3, 1)
    assert grey[0, 0, 0] == 255


def test_transparent_palette_lies_over_white(tmp_path: Path) -> None:
    paletted = Pillow.new("P", (2, 1))
    paletted.putpalette([10, 20, 30, 40, 50, 60])
    paletted.frombytes(bytes([0, 1]))
    paletted.save(tmp_path / "t.png", transparency=0)
    assert images.read(tmp_path / "t.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = save(tmp_path / "c.jpg", np.full((8, 8, 3), (200, 40, 40), np.uint8), "CMYK", quality=98)
    assert np.abs(images.read(path).astype(int) - (200, 40, 40)).max() < 8


def test_grey_and_black_and_white_stay_one_channel(tmp_path: Path) -> None:
    assert images.read(save(tmp_path / "l.png", photo(channels=1))).shape == (40, 60, 1)
    bits = images.read(save(tmp_path / "1.png", photo(channels=1), "1"))
    assert bits.shape == (40, 60, 1)
    assert set(np.unique(bits)) == {0, 255}
    assert images.read(tmp_path / "l.png", channels=3).shape == (40, 60, 3)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_survive_reading_and_writing(tmp_path: Path, ending: str, channels: int) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (9, 7, channels)).astype(np.uint16)
    images.write(tmp_path / f"deep{ending}", deep)
    read = images.read(tmp_path / f"deep{ending}")
    assert read.dtype == np.uint16
    assert np.array_equal(read, deep)


def test_sixteen_bits_with_alpha_lie_over_white(tmp_path: Path) -> None:
    bgra = np.full((2, 2, 4), 65535, np.uint16)
    bgra[..., 0] = 0
    bgra[0, 0, 3] = 0
    cv2.imwrite(str(tmp_path / "a.png"), bgra)
    read = images.read(tmp_path / "a.png")
    assert read.dtype == np.uint16
    assert read[0, 0].tolist() == [65535] * 3
    assert read[1, 1].tolist() == [65535, 65535, 0]


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert images.read(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["FOTO DE AÑO.JPG", "naïve sketch.Png", "空.webp"])
def test_odd_names_and_upper_case_endings(tmp_path: Path, name: str) -> None:
    images.write(tmp_path / name, photo())
    assert images.list_pictures(tmp_path) == [tmp_path / name]
    assert images.read(tmp_path / name).shape == (40, 60, 3)


def test_list_is_sorted_deep_and_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.jpg", "b/1.PNG", ".hidden.png", ".git/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in images.list_pictures(tmp_path)]
    assert found == ["a.jpg", "b/1.PNG", "b/2.png"]
    with pytest.raises(CalcoError, match="absent"):
        images.list_pictures(tmp_path / "absent")


@pytest.mark.parametrize("kind", ["absent", "empty", "text", "cut", "noise", "folder"])
def test_what_cannot_be_read_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad picture.jpg"
    whole = save(tmp_path / "good.jpg", photo(200, 200)).read_bytes()
    contents = {
        "empty": b"",
        "text": b"not a picture",
        "cut": whole[: len(whole) // 2],
        "noise": b"\xff\xd8" + b"\x01" * 99,
    }
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes(contents[kind])
    with pytest.raises(CalcoError) as caught:
        images.read(path)
    assert one_line(caught.value, path)


def test_a_float_picture_outside_its_range_is_refused(tmp_path: Path) -> None:
    Pillow.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "good.tif")
    assert images.read(tmp_path / "good.tif").dtype == np.float32
    Pillow.fromarray(np.full((2, 2), 200, np.float32)).save(tmp_path / "bad.tif")
    with pytest.raises(CalcoError, match="divide"):
        images.read(tmp_path / "bad.tif")


@pytest.mark.parametrize("ending", sorted(images.PICTURE_SUFFIXES - {".gif", ".pbm", ".pgm"}))
def test_every_ending_can_be_written_and_read(tmp_path: Path, ending: str) -> None:
    images.write(tmp_path / f"x{ending}", photo())
    assert np.abs(images.read(tmp_path / f"x{ending}").astype(int) - photo()).mean() < 4
    assert [path.name for path in tmp_path.iterdir()] == [f"x{ending}"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match=r"\.png"):
        images.write(tmp_path / "x.docx", photo())
    images.write(tmp_path / "x.png", photo())
    before = (tmp_path / "x.png").read_bytes()
    with pytest.raises(CalcoError):
        images.write(tmp_path / "absent" / "x.png", photo())
    assert (tmp_path / "x.png").read_bytes() == before


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
def test_exif_and_profile_are_copied_upright(tmp_path: Path, ending: str) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    profile = bytearray(132)
    profile[:4] = struct.pack(">I", 132)
    profile[16:20] = b"RGB "
    save(tmp_path / "like.jpg", photo(), exif=exif, icc_profile=bytes(profile))
    images.write(tmp_path / f"copy{ending}", photo(), like=tmp_path / "like.jpg")
    with Pillow.open(tmp_path / f"copy{ending}") as copy:
        copy.load()
        assert copy.getexif()[0x010F] == "Maker"
        assert copy.getexif().get(0x0112, 1) == 1
        assert copy.info["icc_profile"] == bytes(profile)
    assert images.read(tmp_path / f"copy{ending}").shape == (40, 60, 3)
    images.write(tmp_path / "grey.png", photo(channels=1), like=tmp_path / "like.jpg")
    with Pillow.open(tmp_path / "grey.png") as grey:
        assert "icc_profile" not in grey.info


def test_jpeg_keeps_its_colour_resolution(tmp_path: Path) -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    images.write(tmp_path / "s.jpg", stripes)
    assert np.abs(images.read(tmp_path / "s.jpg").astype(int) - stripes).mean() < 6


@pytest.mark.parametrize("dtype", DTYPES)
def test_luminance_is_exact(dtype: type) -> None:
    colours = images.as_dtype(photo(), dtype)
    expected = colours.astype(np.float64) @ [0.299, 0.587, 0.114]
    grey = images.luminance(colours)
    assert grey.shape == (40, 60, 1)
    assert grey.dtype == dtype
    assert np.abs(grey[..., 0] - expected).max() <= (1e-6 if dtype is np.float32 else 0.5)
    assert np.array_equal(images.luminance(images.as_channels(grey, 3)), grey)


def test_dtypes_round_trip() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for dtype in (np.uint16, np.float32):
        assert np.array_equal(images.as_dtype(images.as_dtype(every, dtype), np.uint8), every)
    assert images.as_dtype(every, np.uint16).max() == 65535
    with pytest.raises(CalcoError, match="int64"):
        images.as_dtype(every, np.int64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_round_trip(dtype: type) -> None:
    image = images.as_dtype(photo(), dtype)
    tensor = images.to_tensor(image)
    assert tensor.shape == (3, 40, 60)
    assert tensor.dtype == torch.float32
    assert float(tensor.min()) >= -1
    assert float(tensor.max()) <= 1
    back = images.to_image(tensor, dtype)
    assert back.dtype == dtype
    assert np.abs(back.astype(np.float64) - image).max() <= (1e-6 if dtype is np.float32 else 0)
    assert images.to_image(torch.full((1, 2, 2), 9.0)).max() == 255


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("how", ["auto", "nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("size_wh", [(30, 20), (90, 80), (20, 90), (1, 1)])
def test_resize_keeps_dtype_channels_and_range(
    dtype: type, channels: int, how: images.Resampling, size_wh: tuple[int, int]
) -> None:
    image = images.as_dtype(photo(channels=channels), dtype)
    result = images.resize(image, size_wh, how)
    assert result.shape == (size_wh[1], size_wh[0], channels)
    assert result.dtype == dtype
    flat = images.resize(np.full_like(image, image.max()), size_wh, how)
    assert np.allclose(flat, image.max(), rtol=1e-6)


def test_auto_averages_areas_when_it_shrinks() -> None:
    image = photo(40, 60)
    expected = image.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(images.resize(image, (30, 20)) - expected).max() <= 1


def test_common_channels(tmp_path: Path) -> None:
    grey = save(tmp_path / "g.png", photo(channels=1))
    colour = save(tmp_path / "c.png", photo())
    (tmp_path / "bad.png").write_text("no")
    assert images.common_channels([str(grey), str(tmp_path / "bad.png")]) == 1
    assert images.common_channels([str(grey), str(colour)]) == 3
    assert images.header_size_wh(colour) == (60, 40)


def test_broken_metadata_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", photo(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff broken")
    assert images.read(path).shape == (40, 60, 3)
    images.write(tmp_path / "y.jpg", photo(), like=path)
    assert images.read(tmp_path / "y.jpg").shape == (40, 60, 3)
