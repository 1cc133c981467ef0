"""Nothing is lost by the format of what is written: class maps keep their colours, lossless files stay lossless."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from calco import CalcoError, imaging
from calco.data.config import JitterConfig
from calco.data.palettes import decode
from calco.data.recipes import EraseConfig, RecipeConfig, SegmentConfig
from calco.imaging.formats import exact_name, is_lossless
from calco.imaging.strips import Whole
from calco.inference.folder import ModelInfo, save_model
from calco.inference.images import translate_images
from calco.inference.large import draw
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig

PALETTE = "ground #101010; red #e6194b; green #3cb44b; grey #808080"
COLOURS = {(0x10, 0x10, 0x10), (0xE6, 0x19, 0x4B), (0x3C, 0xB4, 0x4B), (0x80, 0x80, 0x80)}
CLASSES = ModelInfo(
    generator=GeneratorConfig(depth=3, filters=4, composition="plain"),
    recipe=RecipeConfig(recipe="segment", segment=SegmentConfig(palette=PALETTE)),
    jitter=JitterConfig(size=32, resize=36),
    in_channels=3,
    out_channels=3,
)
ERASE = replace(
    CLASSES,
    generator=GeneratorConfig(depth=3, filters=4, composition="filled", hole=(255, 0, 255)),
    recipe=RecipeConfig(recipe="erase", erase=EraseConfig()),
)


def saved(folder: Path, info: ModelInfo) -> Path:
    torch.manual_seed(0)
    made = build_generator(info.generator, info.in_channels, info.out_channels)
    for p in made.parameters():
        p.data.mul_(3)
    save_model(folder, info, made.state_dict(), None)
    return folder


def photo(seed: int = 0) -> Pillow.Image:
    return Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3)).astype(np.uint8))


def results(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".json" and not path.name.startswith("."))


def pixels(path: Path) -> np.ndarray:
    with Pillow.open(path) as opened:
        return np.array(opened.convert("RGB"))


def test_class_maps_keep_their_colours_whatever_comes_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album"
    album.mkdir()
    endings = ("jpg", "png", "webp", "avif", "jp2", "gif", "bmp", "tif")
    for number, ending in enumerate(endings):
        photo(number).save(album / f"{number}.{ending}")
    done = translate_images(saved(tmp_path / "model", CLASSES), album, tmp_path / "out")
    assert done.written == len(endings)
    written = results(tmp_path / "out")
    assert written == ["0.png", "1.png", "2.webp", "3.png", "4.jp2", "5.png", "6.bmp", "7.tif"]
    for name in written:
        assert {
            tuple(map(int, c)) for c in np.unique(pixels(tmp_path / "out" / name).reshape(-1, 3), axis=0)
        } <= COLOURS
    assert "3 class maps are written as PNG, which keeps every value: 0.jpg as 0.png" in capsys.readouterr().err
    again = translate_images(tmp_path / "model", album, tmp_path / "out")
    assert (again.written, again.kept) == (0, len(endings))


def test_images_of_one_name_keep_both_results(tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    for name in ("a.jpg", "a.png", "b.jpg", "b.avif"):
        photo().save(album / name)
    translate_images(saved(tmp_path / "model", CLASSES), album, tmp_path / "out")
    written = results(tmp_path / "out")
    assert written == ["a.jpg.png", "a.png", "b.avif.png", "b.jpg.png"]


def test_a_class_map_cannot_be_named_jpeg(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    with pytest.raises(CalcoError, match=r"map.jpg: the colours of classes must be kept.*\.png"):
        translate_images(saved(tmp_path / "model", CLASSES), tmp_path / "a.png", tmp_path / "map.jpg")
    translate_images(tmp_path / "model", tmp_path / "a.png", tmp_path / "map.png")


def test_only_holes_change_in_lossless_files(tmp_path: Path) -> None:
    album, masks = tmp_path / "album", tmp_path / "masks"
    album.mkdir()
    masks.mkdir()
    mask = np.zeros((48, 64, 1), np.uint8)
    mask[10:30, 20:40] = 255
    photo().save(album / "a.webp", lossless=True)
    photo().save(album / "b.jp2")
    photo().quantize(200).save(album / "c.gif")
    photo().save(album / "d.png")
    (album / "d.png").rename(album / "d.jpg")  # its content is what counts
    photo().save(album / "e.webp", quality=80)
    for name in "abcde":
        imaging.write(masks / f"{name}.png", mask)
    translate_images(saved(tmp_path / "model", ERASE), album, tmp_path / "out", masks=masks)
    written = results(tmp_path / "out")
    assert written == ["a.webp", "b.jp2", "c.png", "d.png", "e.webp"]
    for name, before in (("a.webp", "a.webp"), ("b.jp2", "b.jp2"), ("c.png", "c.gif"), ("d.png", "d.jpg")):
        changed = (pixels(tmp_path / "out" / name) != pixels(album / before)).any(axis=2)
        assert not changed[mask[..., 0] == 0].any()
        assert changed[mask[..., 0] > 0].any()
    assert not is_lossless(tmp_path / "out" / "e.webp")


def test_what_a_header_says_of_loss(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.webp", lossless=True)
    photo().save(tmp_path / "b.webp")
    photo().convert("RGBA").save(tmp_path / "c.webp", lossless=True, exif=b"Exif\0\0")
    photo().save(tmp_path / "d.jp2")
    photo().save(tmp_path / "e.jp2", irreversible=True, quality_mode="rates", quality_layers=[20])
    photo().save(tmp_path / "f.avif")
    photo().save(tmp_path / "g.jpg")
    photo().save(tmp_path / "h.png")
    found = {path.stem for path in tmp_path.iterdir() if is_lossless(path)}
    assert found == {"a", "c", "d", "h"}
    assert exact_name("x/a.b.JPG") == "x/a.b.png"
    assert not is_lossless(tmp_path / "absent.png")
    (tmp_path / "junk.jpg").write_bytes(b"no image at all")
    assert not is_lossless(tmp_path / "junk.jpg") and exact_name("junk.jpg", tmp_path / "junk.jpg") == "junk.jpg"


def test_lossless_heic_stays_lossless(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    photo().save(tmp_path / "a.heic", quality=-1, chroma=444, matrix_coefficients=0)
    photo().save(tmp_path / "b.heic", quality=60)
    assert (is_lossless(tmp_path / "a.heic"), is_lossless(tmp_path / "b.heic")) == (True, False)
    whole = imaging.read(tmp_path / "a.heic")
    imaging.write(tmp_path / "c.heic", whole, like=tmp_path / "a.heic")
    assert np.array_equal(imaging.read(tmp_path / "c.heic"), whole)


def test_no_third_class_appears_between_two(monkeypatch: pytest.MonkeyPatch) -> None:
    def halves(_translator: Translator, seen: torch.Tensor) -> torch.Tensor:
        """Black on the left and white on the right, at the scale of training."""
        maps = torch.full((1, 3, *seen.shape[2:]), -1.0)
        maps[..., seen.shape[3] // 2 :] = 1.0
        return maps

    palette = "black #000000; middle #808080; white #ffffff"
    info = replace(CLASSES, recipe=RecipeConfig(recipe="segment", segment=SegmentConfig(palette=palette)))
    monkeypatch.setattr(Translator, "maps", halves)
    translator = Translator(info, build_generator(info.generator, 3, 3))
    assert info.palette is not None
    for height, width in ((96, 128), (20, 16), (36, 36)):
        whole = np.zeros((height, width, 3), np.uint8)
        for out in (translator(whole), draw(translator, Whole(whole)).whole()):
            classes = decode(out, info.palette)
            assert set(np.unique(classes)) == {0, 2}
            assert (classes[:, : width // 2 - 1] == 0).all() and (classes[:, width // 2 + 1 :] == 2).all()


def test_masks_are_understood_over_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album, masks = tmp_path / "album", tmp_path / "masks"
    album.mkdir()
    masks.mkdir()
    marked = np.zeros((48, 64), np.bool_)
    marked[10:30, 20:40] = True
    for name in "ab":
        photo().save(album / f"{name}.png")
    # One marks nothing: alone, its zeros would say no more than that.
    for name, place in (("a", marked), ("b", np.zeros_like(marked))):
        layer = np.dstack([np.zeros((48, 64, 3), np.uint8), place * np.uint8(255)])
        Pillow.fromarray(layer).save(masks / f"{name}.png")
    translate_images(saved(tmp_path / "model", ERASE), album, tmp_path / "out", masks=masks)
    assert "masks: background transparent, object opaque; object is redrawn" in capsys.readouterr().err
    for name, place in (("a", marked), ("b", np.zeros_like(marked))):
        changed = (pixels(tmp_path / f"out/{name}.png") != pixels(album / f"{name}.png")).any(axis=2)
        assert not changed[~place].any()
        assert changed.any() == place.any()


def test_a_mask_turns_with_its_photograph(tmp_path: Path) -> None:
    album, masks = tmp_path / "album", tmp_path / "masks"
    album.mkdir()
    masks.mkdir()
    exif = Pillow.Exif()
    exif[0x0112] = 6
    stored = np.zeros((48, 64), np.uint8)
    stored[4:20, 8:24] = 255
    photo().save(album / "a.png", exif=exif)
    Pillow.fromarray(stored).save(masks / "a.png")
    done = translate_images(saved(tmp_path / "model", ERASE), album, tmp_path / "out", masks=masks)
    assert done.written == 1
    changed = (imaging.read(tmp_path / "out/a.png") != imaging.read(album / "a.png")).any(axis=2)
    upright = np.rot90(stored, -1) > 0
    assert not changed[~upright].any() and changed[upright].any()
