"""Composites: truth that is exact to the pixel, cut-outs of all kinds, no room, and what cannot be pasted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from calco import CalcoError, imaging
from calco.annotations.detections import Detections
from calco.data.config import PrepareConfig, SplitConfig
from calco.data.palettes import decode, named_palette
from calco.data.prepare import Prepared, prepare
from calco.data.recipe_config import CompositeConfig
from calco.data.recipes import RecipeConfig, build_recipe, resolve
from calco.data.recipes.composite import check_cutouts, composed, cutouts_of
from calco.data.recipes.cutouts import cutouts_digest, unusable
from calco.data.sample import Sample, generator
from calco.data.sources import open_source

Make = Callable[..., Path]
PLAIN: dict[str, Any] = {
    "cutout_light": 0, "cutout_match": 0, "cutout_blur": (0, 0), "cutout_edge": (0, 0), "cutout_shadow": 0,
    "cutout_hidden": 0,
}  # fmt: skip


def write_cutout(path: Path, colour: tuple[int, int, int], width: int = 60, height: int = 40) -> Path:
    """An ellipse of one colour on a transparent ground of another."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    inside = ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2) < 0.23
    image = np.zeros((height, width, 4), np.uint8)
    image[..., :3] = np.where(inside[..., None], colour, (0, 255, 255))
    image[..., 3] = np.where(inside, 255, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    imaging.write(path, image)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Red cups in a folder of their name, blue pens by the names of their files."""
    write_cutout(tmp_path / "cut" / "cup" / "a.png", (255, 0, 0))
    write_cutout(tmp_path / "cut" / "pen_1.png", (0, 0, 255), 80, 20)
    return tmp_path / "cut"


def grey(height: int = 120, width: int = 160, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), 128, np.uint8)


def coloured(image: np.ndarray) -> dict[str, np.ndarray]:
    """Where a plain composite on grey shows each class: the pixels nearer to its colour than to grey."""
    there = image.astype(int)
    return {"cup": there[..., 0] - there[..., 2] > 127, "pen": there[..., 2] - there[..., 0] > 127}


def masks_of(objects: Detections, label: str) -> np.ndarray:
    found = [
        outline.mask
        for name, outline in zip(objects.classes, objects.outlines, strict=True)
        if outline is not None and outline.mask is not None and name == label
    ]
    return np.logical_or.reduce([*found, np.zeros((120, 160), np.bool_)])


def seams(objects: Detections) -> np.ndarray:
    """Where two objects, or a thing and the ground, meet and mix: a pixel to either side of each border."""
    border = np.zeros((120, 160), np.bool_)
    for outline in objects.outlines:
        assert outline is not None
        assert outline.mask is not None
        mask = outline.mask.astype(np.uint8)
        border |= cv2.dilate(mask, np.ones((5, 5))) != cv2.erode(mask, np.ones((5, 5)))
    return border


def test_masks_and_boxes_are_those_of_the_visible_pixels(folder: Path) -> None:
    config = CompositeConfig(cutouts=str(folder), pasted=(2, 6), cutout_size=(0.2, 0.7), cutout_turn=180, **PLAIN)
    counts = dict.fromkeys(("cup", "pen"), 0)
    for seed in range(30):
        image, objects = composed(grey(), config, generator(seed, 0, "k"))
        assert image.dtype == np.uint8
        total = np.zeros((120, 160), int)
        for box, outline in zip(objects.boxes, objects.outlines, strict=True):
            assert outline is not None
            assert outline.mask is not None
            rows, columns = np.nonzero(outline.mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            total += outline.mask
        assert total.max() <= 1  # a pixel belongs to one thing
        for label, seen in coloured(image).items():
            counts[label] += objects.classes.count(label)
            mask = masks_of(objects, label)
            assert not ((seen ^ mask) & ~seams(objects)).any()
            assert (seen ^ mask).mean() < 0.01  # of the seams, most pixels too
        assert (image[(total == 0) & ~seams(objects)] == 128).all()
    assert min(counts.values()) > 20


def test_nothing_of_the_transparent_ground_comes_along(folder: Path) -> None:
    config = CompositeConfig(cutouts=str(folder), cutout_size=(0.1, 1.2), **{**PLAIN, "cutout_edge": (0, 1)})
    for seed in range(20):
        image, _ = composed(grey(), config, generator(seed, 0, "k"))
        assert image[..., 1].max() <= 129  # the ground of the cut-outs is all green and blue


def test_enough_of_every_thing_stays_visible(folder: Path) -> None:
    config = CompositeConfig(cutouts=str(folder), pasted=(12, 12), cutout_size=(0.4, 0.4), least_visible=0.5, **PLAIN)
    alone = replace(config, pasted=(1, 1), cutout_turn=0)
    whole = {"cup": 0, "pen": 0}
    for seed in range(40):
        _, objects = composed(grey(), alone, generator(seed, 0, "k"))
        for name, outline in zip(objects.classes, objects.outlines, strict=True):
            assert outline is not None
            assert outline.mask is not None
            whole[name] = max(whole[name], int(outline.mask.sum()))
    numbers = []
    for seed in range(6):
        _, objects = composed(grey(), config, generator(seed, 0, "k"))
        numbers.append(len(objects))
        for name, outline in zip(objects.classes, objects.outlines, strict=True):
            assert outline is not None
            assert outline.mask is not None
            assert outline.mask.sum() > 0.45 * whole[name]
    assert max(numbers) > 3


def test_every_option_changes_the_image_and_repeats(folder: Path) -> None:
    plain = CompositeConfig(cutouts=str(folder), **PLAIN)
    photograph = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    changes: list[dict[str, Any]] = [
        {}, {"cutout_light": 0.8}, {"cutout_match": 1.0}, {"cutout_blur": (2, 2)}, {"cutout_edge": (2, 2)},
        {"cutout_shadow": 1.0}, {"cutout_hidden": 1.0}, {"cutout_turn": 90.0}, {"pasted": (6, 6)},
    ]  # fmt: skip
    made = [composed(photograph, replace(plain, **change), generator(3, 0, "k"))[0] for change in changes]
    again = [composed(photograph, replace(plain, **change), generator(3, 0, "k"))[0] for change in changes]
    assert all(np.array_equal(one, other) for one, other in zip(made, again, strict=True))
    assert len({image.tobytes() for image in made}) == len(made)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint16), (4, np.uint8), (3, np.float32)])
def test_photographs_of_any_kind(folder: Path, channels: int, dtype: type) -> None:
    photograph = imaging.as_dtype(grey(channels=channels), dtype)
    image, objects = composed(photograph, CompositeConfig(cutouts=str(folder)), generator(0, 0, "k"))
    assert image.shape == photograph.shape
    assert image.dtype == np.uint8
    assert len(objects) > 0


def test_masks_beside_images_cut_out(tmp_path: Path) -> None:
    (tmp_path / "photo").mkdir()
    for name in ("1", "2"):
        imaging.write(tmp_path / "photo" / f"{name}.png", grey(40, 60))
    (tmp_path / "mask").mkdir()
    mask = np.zeros((20, 30, 1), np.uint8)
    mask[5:15, 10:20] = 255
    imaging.write(tmp_path / "mask/1.png", mask)
    config = CompositeConfig(
        cutouts=str(tmp_path / "photo"), cutout_masks=str(tmp_path / "mask"), cutout_class="person", pasted=(1, 1)
    )
    _, objects = composed(np.zeros((120, 160, 3), np.uint8), config, generator(0, 0, "k"))
    assert objects.classes == ("person",)
    assert unusable(cutouts_of(config)) == {"2": f"there is no mask of this name in {tmp_path / 'mask'}"}


def test_each_side_of_a_split_has_its_own_cutouts(tmp_path: Path) -> None:
    for number in range(20):
        write_cutout(tmp_path / f"cup/{number}.png", (255, 0, 0), 20, 20)
    write_cutout(tmp_path / "pen/1.png", (0, 0, 255))
    cutouts = cutouts_of(CompositeConfig(cutouts=str(tmp_path)))
    sides = {split: {entry.name for entry in cutouts.of_class("cup", split)} for split in ("train", "val", "test")}
    assert [len(names) for names in sides.values()] == [16, 2, 2]
    assert len(set.union(*sides.values())) == 20
    assert [len(cutouts.of_class("pen", split)) for split in sides] == [1, 1, 1]  # too few to be parted


def test_as_a_recipe_the_target_is_the_painted_truth(folder: Path) -> None:
    config = resolve(
        RecipeConfig(recipe="composite", composite=CompositeConfig(cutouts=str(folder), **PLAIN)), "photographs"
    )
    pair = build_recipe(config, "photographs")(Sample(image=grey(), key="k", group="g"), generator(2, 0, "k"))
    palette = named_palette(config.segment.palette)
    assert [name for name, _ in palette] == ["background", "cup", "pen"]
    indices = decode(pair.target, palette)
    for number, label in ((1, "cup"), (2, "pen")):
        assert ((indices == number) ^ coloured(pair.input)[label]).mean() < 0.002
    # A model of composites is evaluated on annotated images.
    drawn = Sample(image=grey(), key="k", group="g", mask=np.ones((120, 160, 1), np.uint8))
    judged = build_recipe(config, "masks")(drawn, generator(0, 0, "k"))
    assert np.array_equal(judged.input, drawn.image)
    assert (decode(judged.target, palette) == 1).all()


# What `calco prepare` writes.


@pytest.fixture
def photographs(make: Make, tmp_path: Path) -> Path:
    for number in range(6):
        make(f"photos/{'sub/' * (number % 2)}{number}.png", 96, 72)
    return tmp_path / "photos"


def made(photographs: Path, folder: Path, out: Path, **options: Any) -> Prepared:
    recipe = RecipeConfig(recipe="composite", composite=CompositeConfig(cutouts=str(folder), pasted=(1, 3)))
    config = PrepareConfig(
        images=str(photographs), out=str(out), recipe=recipe,
        split=SplitConfig(validation=0.2, test=0.2), **{"jobs": 1, "count": 20, **options},
    )  # fmt: skip
    return prepare(config, progress=False)


def test_what_is_written_is_read_back_as_it_was_pasted(photographs: Path, folder: Path, tmp_path: Path) -> None:
    done = made(photographs, folder, tmp_path / "out")
    assert done.manifest.format == "coco"
    assert sum(done.manifest.counts.values()) == 20
    source = open_source(tmp_path / "out")
    assert (source.kind, len(source.items), source.classes) == ("annotations", 20, ("cup", "pen"))
    assert not source.left_out
    assert not source.problems
    assert {item.split for item in source.items} >= {"train", "val"}
    config = resolve(RecipeConfig(), source.kind, source.recipe, source.classes)
    recipe = build_recipe(config, source.kind)
    for item in source.items:
        image = source.load(item)
        assert image.detections is not None
        assert len(image.detections) > 0
        painted = imaging.read(tmp_path / "out" / f"{item.key.replace('images', 'masks', 1)}.png")
        assert np.array_equal(recipe(image, generator(0, 0, "k")).target, painted)


def test_one_photograph_stays_on_one_side(photographs: Path, folder: Path, tmp_path: Path) -> None:
    made(photographs, folder, tmp_path / "out")
    sides: dict[str, set[str]] = {}
    for item in open_source(tmp_path / "out").items:
        _, split, photograph = item.key.split("/", 2)
        sides.setdefault(photograph.split("@")[0], set()).add(split)
    assert len(sides) == 6
    assert all(len(split) == 1 for split in sides.values())


def test_any_number_with_any_processes_gives_the_same(photographs: Path, folder: Path, tmp_path: Path) -> None:
    one = made(photographs, folder, tmp_path / "one")
    two = made(photographs, folder, tmp_path / "two", jobs=2, shard_pairs=20)
    assert one.manifest.digest != made(photographs, folder, tmp_path / "few", count=4).manifest.digest
    assert len(open_source(tmp_path / "few").items) == 4
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one" / "images").rglob("*.png")}
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert two.kept == 0
    assert made(photographs, folder, tmp_path / "one").kept == 20


def test_an_interrupted_work_goes_on(photographs: Path, folder: Path, tmp_path: Path) -> None:
    first = made(photographs, folder, tmp_path / "out", shard_pairs=4)
    lost = next((tmp_path / "out" / "masks").rglob("*.png"))
    lost.unlink()
    again = made(photographs, folder, tmp_path / "out", shard_pairs=4)
    assert lost.is_file()
    assert 0 < again.kept < 20
    assert again.manifest.digest == first.manifest.digest


def test_other_cutouts_are_another_work(photographs: Path, folder: Path, tmp_path: Path) -> None:
    made(photographs, folder, tmp_path / "out")
    before = cutouts_digest(cutouts_of(CompositeConfig(cutouts=str(folder))))
    write_cutout(folder / "pen_1.png", (0, 255, 0), 80, 20)
    assert cutouts_digest(cutouts_of(CompositeConfig(cutouts=str(folder)))) != before
    with pytest.raises(CalcoError, match="prepared otherwise.*cutouts"):
        made(photographs, folder, tmp_path / "out")


@pytest.mark.parametrize("format", ["webdataset", "yolo", "voc", "parallel"])
def test_other_formats(photographs: Path, folder: Path, tmp_path: Path, format: str) -> None:
    done = made(photographs, folder, tmp_path / "out", format=format)
    assert sum(done.manifest.counts.values()) == 20
    source = open_source(tmp_path / "out")
    assert len(source.items) == 20


# What goes wrong.


def test_cutouts_that_cannot_be_pasted_are_named(
    photographs: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    imaging.write(folder / "cup" / "opaque.png", grey(20, 20))
    imaging.write(folder / "cup" / "empty.png", np.zeros((20, 20, 4), np.uint8))
    (folder / "cup" / "broken.png").write_bytes(b"\x89PNG")
    imaging.write(folder / "7.png", grey(20, 20, 4))
    done = made(photographs, folder, tmp_path / "out")
    reasons = done.manifest.left_out
    assert "has no transparency; cut the object out" in reasons["cut-out cup/opaque"]
    assert "transparent everywhere" in reasons["cut-out cup/empty"]
    assert "cut-out cup/broken" in reasons
    assert "its name gives no class" in reasons["cut-out 7"]
    assert "4 cut-outs are left out: " in caplog.text
    source = open_source(tmp_path / "out")
    assert all(len(source.load(item).detections or ()) for item in source.items)


def test_a_folder_without_a_single_cutout_is_refused(tmp_path: Path) -> None:
    imaging.write(tmp_path / "cup_1.png", grey(20, 20))
    with pytest.raises(CalcoError, match="none of the 1 cut-outs in .* can be used; cup_1: .* has no transparency"):
        check_cutouts(CompositeConfig(cutouts=str(tmp_path)))
    with pytest.raises(CalcoError, match="name their folder: --cutouts FOLDER"):
        check_cutouts(CompositeConfig())
    (tmp_path / "hollow").mkdir()
    with pytest.raises(CalcoError, match="holds no usable cut-out"):
        check_cutouts(CompositeConfig(cutouts=str(tmp_path / "hollow")))
    with pytest.raises(CalcoError, match="nowhere"):
        check_cutouts(CompositeConfig(cutouts=str(tmp_path / "nowhere")))


def test_more_cutouts_than_room_is_said(
    photographs: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = CompositeConfig(cutouts=str(folder), pasted=(9, 9), cutout_size=(0.9, 0.9), least_visible=0.9)
    wanted = PrepareConfig(
        images=str(photographs), out=str(tmp_path / "out"), recipe=RecipeConfig(recipe="composite", composite=config),
        jobs=1,
    )  # fmt: skip
    assert sum(prepare(wanted, progress=False).manifest.counts.values()) == 6
    assert "6 of 6 images have fewer than 9 objects in them, for want of room" in caplog.text


def test_photographs_smaller_than_any_thing_are_left_out(photographs: Path, folder: Path, tmp_path: Path) -> None:
    imaging.write(photographs / "tiny.png", grey(20, 90))
    done = made(photographs, folder, tmp_path / "out", count=0)
    assert "the photograph has 90x20 pixels" in done.manifest.left_out["tiny"]
    assert sum(done.manifest.counts.values()) == 6


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pasted": (3, 1)}, "pasted is 3 to 1"),
        ({"cutout_match": 2}, "cutout match is 2; it must lie between 0 and 1"),
        ({"cutout_turn": 200}, "cutout turn is 200"),
        ({"cutout_masks": "m"}, "name them with --cutouts"),
    ],
)
def test_settings_without_sense_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CalcoError, match=words):
        CompositeConfig(**given)


def test_counts_and_sources_that_do_not_go_together(photographs: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="count 5 tells how many composites are made; it goes with"):
        PrepareConfig(count=5)
    with pytest.raises(CalcoError, match="leave --variants out"):
        made(photographs, folder, tmp_path / "out", variants=2)
    with pytest.raises(CalcoError, match="goes with --recipe composite, not colorize"):
        resolve(RecipeConfig(recipe="colorize", composite=CompositeConfig(cutouts=str(folder))), "photographs")
    with pytest.raises(CalcoError, match="recipe composite needs a source of photographs"):
        resolve(RecipeConfig(recipe="composite", composite=CompositeConfig(cutouts=str(folder))), "masks")
