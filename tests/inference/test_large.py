"""Large images: strip by strip they become what they become whole, in bounded memory, and alone."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as Pillow

from calco import CalcoError, imaging, outputs
from calco.benchmarks.setting import scene
from calco.benchmarks.speed import translation_peak
from calco.data.config import JitterConfig
from calco.data.recipes import EraseConfig, RecipeConfig
from calco.imaging import strips
from calco.imaging.strips import Whole, open_large
from calco.imaging.writing import write_strips
from calco.inference import large, working
from calco.inference.folder import ModelInfo, save_model
from calco.inference.images import translate_images
from calco.inference.large import draw
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig

SMALL = GeneratorConfig(depth=4, filters=4)
ERASE = EraseConfig(fill="magenta")
KINDS = {
    "plain": (replace(SMALL, composition="plain"), RecipeConfig(recipe="aligned"), 3),
    "luminance": (replace(SMALL, composition="luminance"), RecipeConfig(recipe="colorize"), 1),
    "lab": (replace(SMALL, composition="lab"), RecipeConfig(recipe="colorize"), 1),
    "filled": (replace(SMALL, composition="filled"), RecipeConfig(recipe="erase", erase=ERASE), 3),
    "mask channel": (
        replace(SMALL, composition="filled", hole_channel=True),
        RecipeConfig(recipe="erase", erase=replace(ERASE, fill="noise", mask_channel=True)),
        4,
    ),
    "palette": (replace(SMALL, composition="plain"), RecipeConfig(recipe="segment"), 3),
}


def info_of(kind, jitter=None):
    config, recipe, channels = KINDS[kind]
    return ModelInfo(
        generator=config, recipe=recipe, jitter=jitter or JitterConfig(size=64, resize=72), in_channels=channels,
        out_channels=3,
    )  # fmt: skip


def network(info):
    torch.manual_seed(0)
    made = build_generator(info.generator, info.in_channels, info.out_channels)
    for weights in made.parameters():
        weights.data.mul_(6)
    return made


def make_image(size_wh, dtype=np.uint8):
    return imaging.as_dtype(scene(0, "large", size_wh), dtype)


@pytest.fixture
def narrow(monkeypatch):
    """Strips of a few rows, so that small images have many."""
    monkeypatch.setattr(large, "_PIXELS", 1 << 14)
    monkeypatch.setattr(large, "_SIDE", 96)


@pytest.fixture
def model(tmp_path, narrow, monkeypatch):
    """A model's folder; images of more than 20,000 pixels are large."""
    monkeypatch.setattr(strips, "LARGE", 20_000)
    info = info_of("luminance")
    save_model(tmp_path / "model", info, network(info).state_dict(), None)
    return tmp_path / "model"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("native", "dtype"), [(False, np.float32), (True, np.uint8)])
def test_strips_make_the_same_image_as_the_whole(narrow, kind, native, dtype):
    info = info_of(kind)
    translator, shown = Translator(info, network(info)), make_image((211, 300), dtype)
    mask = None
    if "erase" in info.recipe.recipe:
        mask = np.zeros(shown.shape[:2], bool)
        mask[40:70, 5:155], mask[150:230, 40:120], mask[100], mask[:, 200] = True, True, True, True
    whole = translator(shown, mask=mask, native=native)
    drawing = draw(translator, Whole(shown), mask=mask, native=native)
    assert drawing.shape == whole.shape
    difference = np.abs(drawing.whole().astype(float) - whole) * (255 if dtype == np.float32 else 1)
    if kind == "palette":
        assert (difference > 0).mean() < 1e-3  # a class that was a tie
    else:
        assert difference.max() <= 1
        assert (difference > 0.5).mean() < 2e-3  # what stood between two levels of a byte
    assert whole.std() > 0


def test_deep_holes_are_filled_from_afar(narrow, monkeypatch):
    monkeypatch.setattr(large, "_REACH", 8)
    info = info_of("filled")
    translator, shown = Translator(info, network(info)), np.full((300, 200, 3), 90, np.uint8)
    mask = np.zeros(shown.shape[:2], bool)
    mask[60:220, 30:170] = True
    whole, drawn = (
        translator(shown, mask=mask).astype(int),
        draw(translator, Whole(shown), mask=mask).whole().astype(int),
    )
    # One colour all around: what is copied from afar is that colour too, with no trace of the hole's own.
    assert np.abs(whole - drawn).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"rowsperstrip": 37, "compression": "zlib", "predictor": True},
        {"tile": (64, 48), "compression": "zlib"},
        {"tile": (64, 48)},
        {"rowsperstrip": 50},
        {"rowsperstrip": 50, "byteorder": ">"},
        {"planarconfig": "separate"},
    ],
    ids=["plain", "strips", "packed tiles", "tiles", "plain strips", "other byte order", "planes"],
)
def test_rows_of_a_tiff_are_those_of_the_whole(tmp_path, dtype, layout):
    given = dict(layout)
    if given.get("predictor") and dtype == np.float32:
        del given["predictor"]
    shown = make_image((211, 300), dtype)
    order = given.pop("byteorder", None)
    pixels = np.ascontiguousarray(shown.transpose(2, 0, 1)) if "planarconfig" in given else shown
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", byteorder=order, metadata=None, **given)
    with open_large(tmp_path / "a.tif") as found:
        assert found.shape == shown.shape
        assert isinstance(found, Whole) == ("planarconfig" in layout)
        rows = [found.rows(top, bottom) for top, bottom in pairwise([0, 1, 90, 91, 250, 300])]
        assert np.array_equal(np.concatenate(rows), shown)
        assert np.array_equal(found.rows(30, 280), shown[30:280])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_tiff_comes_out_upright(tmp_path, orientation):
    tag = (274, 3, 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", make_image((50, 30), np.uint16), photometric="rgb", extratags=[tag])
    with open_large(tmp_path / "a.tif") as found:
        assert np.array_equal(found.rows(0, found.shape[0]), imaging.read(tmp_path / "a.tif"))


@pytest.mark.parametrize(("ending", "dtype"), [(".tif", np.uint16), (".jpg", np.uint8), (".png", np.uint16)])
def test_a_folder_with_large_images(model, tmp_path, ending, dtype, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    for number, size in enumerate([(60, 40), (300, 200), (50, 40), (200, 300), (40, 40)]):
        imaging.write(images / f"{number}{ending}", make_image(size, dtype))
    done = translate_images(model, images, tmp_path / "out")
    assert done.written == 5
    assert done.left_out == {}
    monkeypatch.setattr(working, "write_strips", None)  # now whole
    monkeypatch.setattr(strips, "LARGE", 10**9)
    translate_images(model, images, tmp_path / "whole")
    for path in sorted(images.iterdir()):
        one, other = (imaging.read(tmp_path / name / path.name).astype(float) for name in ("out", "whole"))
        peak = 257 if (ending != ".jpg" and dtype == np.uint16) else 1
        assert one.shape == other.shape
        assert np.abs(one - other).max() / peak <= (8 if ending == ".jpg" else 1)


def test_progress_moves_within_a_large_image(model, tmp_path):
    imaging.write(tmp_path / "a.tif", make_image((300, 200), np.uint16))
    told = []
    translate_images(model, tmp_path / "a.tif", tmp_path / "out.tif", progress=lambda count, _total: told.append(count))
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1] == 1


def test_what_a_tiff_says_of_itself_stays(model, tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", make_image((300, 200), np.uint16), photometric="rgb", resolution=(300, 300),
        resolutionunit="inch", extratags=[(315, 2, 0, "Ana", True)],
    )  # fmt: skip
    translate_images(model, tmp_path / "a.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        tags = file.pages.first.tags
        assert tags[315].value == "Ana"
        assert tags[282].value == (300, 1)


def cut_short(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def not_numbers(path):
    pixels = make_image((300, 200), np.float32)
    pixels[150, 7] = np.nan
    tifffile.imwrite(path, pixels, photometric="rgb")


def a_monster(path):
    tifffile.imwrite(path, make_image((300, 200), np.uint16), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag in (256, 257):
            file.pages.first.tags[tag].overwrite(60_000)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_short, "the file is damaged or cut short"),
        (not_numbers, "some of its numbers are NaN or infinite"),
        (a_monster, "too many pixels (60000 x 60000); at most 2,147,483,648 are read"),
    ],
)
def test_damaged_large_images_are_named_and_leave_nothing(model, tmp_path, spoil, reason):
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "a.tif", make_image((300, 200), np.uint16), photometric="rgb", compression="zlib")
    imaging.write(images / "b.tif", make_image((300, 200), np.uint16))
    spoil(images / "a.tif")
    done = translate_images(model, images, tmp_path / "out")
    assert done.written == 1
    assert reason in done.left_out["a.tif"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != outputs.LOG)
    assert names == ["b.tif", "translation.json"]


def test_a_jpeg_that_is_cut_short(model, tmp_path):
    imaging.write(tmp_path / "a.jpg", make_image((400, 300)))
    cut_short(tmp_path / "a.jpg")
    with pytest.raises(CalcoError, match="damaged or cut short"):
        translate_images(model, tmp_path / "a.jpg", tmp_path / "out.jpg")


@pytest.mark.slow
def test_a_disk_that_fills_leaves_nothing(model, tmp_path):
    """A limit to the size of files answers as a full disk does."""
    imaging.write(tmp_path / "a.tif", make_image((900, 700), np.uint16))
    code = (
        "import resource, signal, sys\nfrom calco.cli import main\nfrom calco.imaging import strips\n"
        "strips.LARGE = 20_000\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "main(['translate', *sys.argv[1:]])"
    )
    words = [sys.executable, "-c", code, str(model), str(tmp_path / "a.tif"), "--out", str(tmp_path / "out.tif")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "out.tif: File too large; raise the limit of a file's size" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "model"]


def test_more_pixels_than_other_formats_take_are_for_tiff(model, tmp_path, monkeypatch):
    imaging.write(tmp_path / "a.tif", make_image((300, 200), np.uint16))
    monkeypatch.setattr(imaging, "MAX_PIXELS", 50_000)
    with pytest.raises(CalcoError, match="300x200 pixels are too many for JPEG; choose the ending .tif"):
        translate_images(model, tmp_path / "a.tif", tmp_path / "out.jpg")
    translate_images(model, tmp_path / "a.tif", tmp_path / "out.tif")


def test_colour_profiles_and_transparency(tmp_path, narrow):
    """Rows of them are what `read` gives of the whole."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    clear = np.concatenate(
        [make_image((90, 70)), np.arange(70, dtype=np.uint8)[:, None, None].repeat(90, 1) * 3], axis=2
    )
    Pillow.fromarray(clear).save(tmp_path / "a.tif", icc_profile=profile)
    for background in ("white", "black", "channel"):
        with open_large(tmp_path / "a.tif", background=background) as found:
            whole = imaging.read(tmp_path / "a.tif", background=background)
            assert np.array_equal(found.rows(0, 70), whole)


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "native"), [(".tif", False), (".jpg", False), (".tif", True)])
def test_memory_of_18_megapixels(tmp_path, ending, native):
    """A fifth of what 100 megapixels may take; `calco bench --only large` measures those."""
    info = info_of("plain")
    save_model(tmp_path / "model", info, network(info).state_dict(), None)
    band = make_image((4200, 420))
    if ending == ".tif":
        bands = (band for _ in range(10))
        write_strips(tmp_path / "a.tif", bands, (4200, 4200, 3), np.dtype(np.uint8), like=None)
    else:
        imaging.write(tmp_path / "a.jpg", np.tile(band, (10, 1, 1)))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        image, options = tmp_path / f"a{ending}", {"device": "cpu", "precision": "fp32", "threads": 1}
        peak = pool.submit(translation_peak, tmp_path / "model", image, native=native, **options)
        assert peak.result()[0] < (700 if native else 400)  # bands of tiles grow with the width
    assert imaging.header_size_wh(tmp_path / f"drawn{ending}") == (4200, 4200)
