"""Reading images: rotation, palettes, transparency, formats, and everything that is damaged, wrong or hostile."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from calco import imaging
from calco.errors import CalcoError
from calco.imaging.reading import read_labels
from imaging.samples import noise, one_line, photo, save


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp", "-deep.tif", "-deep.png"])
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
    if ending == "-deep.tif":
        deep = imaging.as_dtype(np.ascontiguousarray(stored), np.uint16)
        tifffile.imwrite(path, deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    elif ending == "-deep.png":
        data = imaging.encode(imaging.as_dtype(np.ascontiguousarray(stored), np.uint16), ".png")
        content = exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(content)) + b"eXIf" + content + struct.pack(">I", zlib.crc32(b"eXIf" + content))
        path.write_bytes(data[:33] + chunk + data[33:])
    read = imaging.read(path)
    assert read.shape == upright.shape
    assert read.dtype == (np.uint16 if "deep" in ending else np.uint8)
    assert np.abs(imaging.as_dtype(read, np.uint8).astype(int) - upright).mean() < 6
    assert imaging.header_size_wh(path) == (60, 40)


def test_palette_is_expanded(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    paletted = Pillow.new("P", (3, 2))
    paletted.frombytes(indices.tobytes())
    paletted.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    for ending in (".png", ".tif", ".gif", ".bmp"):
        paletted.save(tmp_path / f"p{ending}")
        assert imaging.read(tmp_path / f"p{ending}").tolist()[0] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
        labels = read_labels(tmp_path / f"p{ending}")
        assert labels.image.tolist()[0] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
        assert labels.numbers == {(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 0): 2}
    paletted.putpalette([0] * 9)  # colours that tell nothing apart
    paletted.save(tmp_path / "black.png")
    assert np.array_equal(read_labels(tmp_path / "black.png").image, indices[..., None])


def test_transparency_lies_over_the_background_or_is_a_channel(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = (0, 255, 51)
    path = save(tmp_path / "a.png", rgba)
    assert imaging.read(path).tolist() == [[[255, 255, 255], [200, 0, 0], [244, 204, 204]]]
    assert imaging.read(path, background="black").tolist() == [[[0, 0, 0], [200, 0, 0], [40, 0, 0]]]
    assert imaging.read(path, background="#0000ff").tolist() == [[[0, 0, 255], [200, 0, 0], [40, 0, 204]]]
    assert np.array_equal(imaging.read(path, background="channel"), rgba)
    assert imaging.read(path, channels=3, background="channel").tolist()[0][0] == [255, 255, 255]
    with pytest.raises(CalcoError, match="background 'paper' is no colour; give white, black or #rrggbb, or channel"):
        imaging.read(path, background="paper")


def test_grey_with_transparency(tmp_path: Path) -> None:
    grey = np.array([[[100, 0], [100, 255]]], np.uint8)
    path = save(tmp_path / "la.png", grey)
    assert imaging.read(path).tolist() == [[[255], [100]]]
    assert imaging.read(path, background="#102030").tolist() == [[[16, 32, 48], [100, 100, 100]]]
    assert np.array_equal(imaging.read(path, background="channel"), grey)
    assert imaging.read(path, channels=4, background="channel").tolist() == [[[100, 100, 100, 0], [100, 100, 100, 255]]]


def test_a_transparent_colour_of_a_palette_or_of_grey(tmp_path: Path) -> None:
    paletted = Pillow.new("P", (2, 1))
    paletted.putpalette([10, 20, 30, 40, 50, 60])
    paletted.frombytes(bytes([0, 1]))
    paletted.save(tmp_path / "t.png", transparency=0)
    assert imaging.read(tmp_path / "t.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert imaging.read(tmp_path / "t.png", background="channel")[0, :, 3].tolist() == [0, 255]
    deep = Pillow.fromarray(np.array([[7, 1000]], np.uint16))
    deep.save(tmp_path / "d.png", transparency=7)
    assert imaging.read(tmp_path / "d.png").tolist() == [[[65535], [1000]]]


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bits_with_alpha(tmp_path: Path, ending: str) -> None:
    bgra = np.full((2, 2, 4), 65535, np.uint16)
    bgra[..., 0] = 257
    bgra[0, 0, 3] = 0
    cv2.imwrite(str(tmp_path / f"a{ending}"), bgra)
    read = imaging.read(tmp_path / f"a{ending}")
    assert read.dtype == np.uint16
    assert read[0, 0].tolist() == [65535] * 3
    assert read[1, 1].tolist() == [65535, 65535, 257]
    assert imaging.read(tmp_path / f"a{ending}", background="channel")[0, 0].tolist() == [65535, 65535, 257, 0]


def test_grey_and_black_and_white_stay_one_channel(tmp_path: Path) -> None:
    assert imaging.read(save(tmp_path / "l.png", photo(channels=1))).shape == (40, 60, 1)
    bits = imaging.read(save(tmp_path / "1.png", photo(channels=1), "1"))
    assert bits.shape == (40, 60, 1)
    assert set(np.unique(bits)) == {0, 255}
    assert imaging.read(tmp_path / "l.png", channels=3).shape == (40, 60, 3)


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png", ".tif"])
def test_first_frame_of_an_animation(tmp_path: Path, ending: str) -> None:
    frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"a{ending}", save_all=True, append_images=frames[1:])
    assert np.abs(imaging.read(tmp_path / f"a{ending}")[0, 0].astype(int) - (255, 0, 0)).max() < 4


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF", "GIF", "HEIF"])
def test_the_content_tells_the_format_not_the_ending(tmp_path: Path, kind: str) -> None:
    imaging.write(tmp_path / f"a.{kind.lower()}", np.full((16, 16, 3), (200, 60, 40), np.uint8))
    for ending in (".png", ".jpg", ".tif"):
        (tmp_path / f"b{ending}").write_bytes((tmp_path / f"a.{kind.lower()}").read_bytes())
        assert np.abs(imaging.read(tmp_path / f"b{ending}").astype(int) - (200, 60, 40)).max() < 8


def test_heic_says_which_library_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imaging.write(tmp_path / "a.heic", photo())
    assert imaging.read(tmp_path / "a.heic").shape == (40, 60, 3)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for call in (lambda: imaging.read(tmp_path / "a.heic"), lambda: imaging.write(tmp_path / "b.heic", photo())):
        with pytest.raises(CalcoError, match=r"is HEIC, which needs a library: pip install 'calco\[heic\]'"):
            call()


def test_bytes_are_read_as_files_are(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", photo())
    assert np.array_equal(imaging.decode(path.read_bytes(), "a"), photo())
    with pytest.raises(CalcoError, match="cannot read row 7: it is not an image"):
        imaging.decode(b"nothing", "row 7")
    with pytest.raises(CalcoError, match="cannot read row 7: the file is empty"):
        imaging.decode(b"", "row 7")


@pytest.mark.parametrize("kind", ["absent", "empty", "text", "cut", "noise", "folder"])
@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"])
def test_what_cannot_be_read_is_one_clear_line(tmp_path: Path, kind: str, ending: str) -> None:
    path = tmp_path / f"bad image{ending}"
    imaging.write(tmp_path / f"good{ending}", noise(99, 99, 3, np.uint8))
    whole = (tmp_path / f"good{ending}").read_bytes()
    contents = {"empty": b"", "text": b"not an image", "cut": whole[: len(whole) // 2],
                "noise": whole[:16] + b"\x01" * 99}  # fmt: skip
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes(contents[kind])
    with pytest.raises(CalcoError) as caught:
        imaging.read(path)
    assert one_line(caught.value, path)
    assert imaging.common_channels([str(path)]) in (1, 3)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "float.tif", "bands.tif"])
def test_deep_images_that_are_cut_short(tmp_path: Path, name: str) -> None:
    image = noise(64, 64, 5 if "bands" in name else 3, np.float32 if "float" in name else np.uint16)
    imaging.write(tmp_path / name, image)
    whole = (tmp_path / name).read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CalcoError) as caught:
            imaging.read(tmp_path / name)
        assert one_line(caught.value, tmp_path / name)


def claim(path: Path, side: int, *, deep: bool = False) -> Path:
    """A small file whose header claims a large square."""
    chunk = struct.pack(">IIBBBBB", side, side, 16 if deep else 8, 2, 0, 0, 0)
    if path.suffix == ".png":
        data = b"".join(
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
            for name, content in ((b"IHDR", chunk), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b""))
        )
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    else:
        channels = 9 if deep else 3
        tifffile.imwrite(path, np.zeros((2, 2, channels), np.uint16), photometric="minisblack", planarconfig="contig")
        with tifffile.TiffFile(path, mode="r+") as file:
            for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                file.pages.first.tags[tag].overwrite(side)
    return path


@pytest.mark.parametrize(
    ("name", "side", "deep"),
    [("a.png", 60_000, False), ("d.png", 60_000, True), ("a.tif", 60_000, False), ("n.tif", 10_000, True)],
)
def test_a_file_that_claims_too_many_pixels_is_refused_before_it_is_unpacked(
    tmp_path: Path, name: str, side: int, deep: bool
) -> None:
    path = claim(tmp_path / name, side, deep=deep)
    code = (
        "import resource\nfrom calco import imaging, CalcoError\nimport cv2, tifffile, PIL.Image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try:\n    imaging.read({str(path)!r})\nexcept CalcoError as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    message, kilobytes = run.stdout.strip().splitlines()
    assert str(path) in message
    assert "too many pixels" in message
    assert f"at most {imaging.MAX_PIXELS:,} are read; " not in message
    assert int(kilobytes) < 50_000
    assert run.stderr == ""
    assert imaging.header_size_wh(path) is None


def test_the_bound_holds_even_where_pillow_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(CalcoError, match=r"too many pixels \(60000 x 60000\); at most 178,956,970 are read"):
        imaging.read(claim(tmp_path / "a.png", 60_000))


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"\xff\xfe.tif", b"\xe9.jpg", b"\xe9.webp"])
def test_names_that_are_not_utf_8(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    imaging.write(path, photo(dtype=np.uint16))
    assert imaging.list_images(tmp_path) == [path]
    assert imaging.read(path).shape == (40, 60, 3)
    assert imaging.common_channels([str(path)]) == 3
    path.write_bytes(b"damaged")
    with pytest.raises(CalcoError) as caught:
        imaging.read(path)
    str(caught.value).encode()  # can be printed anywhere


def test_broken_metadata_does_not_cost_the_image(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", photo(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff broken")
    assert imaging.read(path).shape == (40, 60, 3)
    imaging.write(tmp_path / "y.jpg", photo(), like=path)
    assert imaging.read(tmp_path / "y.jpg").shape == (40, 60, 3)


@pytest.mark.parametrize("name", ["FOTO DE AÑO.JPG", "naïve sketch.Png", "空.webp"])
def test_odd_names_and_upper_case_endings(tmp_path: Path, name: str) -> None:
    imaging.write(tmp_path / name, photo())
    assert imaging.list_images(tmp_path) == [tmp_path / name]
    assert imaging.read(tmp_path / name).shape == (40, 60, 3)


def test_list_is_sorted_deep_and_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.jpg", "b/1.PNG", ".hidden.png", ".git/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in imaging.list_images(tmp_path)]
    assert found == ["a.jpg", "b/1.PNG", "b/2.png"]
    with pytest.raises(CalcoError, match="absent"):
        imaging.list_images(tmp_path / "absent")


def test_common_channels(tmp_path: Path) -> None:
    names = {"grey": 1, "ga": 2, "rgb": 3, "rgba": 4}
    path = {name: str(save(tmp_path / f"{name}.png", photo(channels=count))) for name, count in names.items()}
    path |= {"bands": str(tmp_path / "bands.tif"), "deep": str(tmp_path / "deep.tif"), "bad": str(tmp_path / "bad.png")}
    imaging.write(path["bands"], noise(8, 8, 5, np.uint16))
    imaging.write(path["deep"], noise(8, 8, 1, np.uint16))
    imaging.write(tmp_path / "deep ga.png", noise(8, 8, 2, np.uint16))
    assert imaging.common_channels([str(tmp_path / "deep ga.png")], "channel") == 2
    (tmp_path / "bad.png").write_text("no")

    def common(*chosen: str, background: str = "white") -> int:
        return imaging.common_channels([path[name] for name in chosen], background)

    assert [common(name) for name in path] == [1, 1, 3, 3, 5, 1, 3]
    assert [common(name, background="channel") for name in path] == [1, 2, 3, 4, 5, 1, 3]
    assert [common(name, background="#ff0000") for name in path] == [1, 3, 3, 3, 5, 1, 3]
    assert common("grey", "bad") == 1
    assert common("grey", "rgb") == common("deep", "rgb") == 3
    assert common("grey", "rgba", background="channel") == common("ga", "rgb", background="channel") == 4
    assert common("rgb", "bands") == 3  # one that strayed among images does not spoil them
    assert common("bands", "bands", "rgb") == 5
    for name, count in (("grey", 3), ("ga", 4), ("rgba", 4), ("deep", 3)):
        assert imaging.read(path[name], channels=count, background="channel").shape[2] == count
    with pytest.raises(CalcoError, match=r"rgb\.png: an image of 3 channels cannot become one of 5"):
        imaging.read(path["rgb"], channels=5)
