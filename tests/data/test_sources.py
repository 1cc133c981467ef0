"""What a folder is recognised as, how it is forced, and how each bad folder is answered."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.data.config import SourceConfig
from calco.data.sources import open_source
from calco.data.sources.names import role_of
from calco.errors import CalcoError

Make = Callable[..., Path]


def refusal(root: Path | str, **options: object) -> str:
    with pytest.raises(CalcoError) as caught:
        open_source(root, SourceConfig(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_side_by_side_files(make: Make, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        make(name, 48, 24)
    source = open_source(tmp_path)
    assert source.kind == "side-by-side"
    image = source.load(source.items[0])
    whole = imaging.read(tmp_path / "a.png")
    assert np.array_equal(image.image, whole[:, :24])
    assert np.array_equal(image.partner, whole[:, 24:])
    turned = open_source(tmp_path, SourceConfig(direction="BtoA"))
    assert np.array_equal(turned.load(turned.items[0]).image, whole[:, 24:])
    assert "left half" in source.summary()
    assert "--source" in source.summary()
    assert "right half" in turned.summary()


def test_files_of_other_shapes_are_photographs(make: Make, tmp_path: Path) -> None:
    make("a.png", 48, 24)
    make("deep/b.png", 30, 24)
    source = open_source(tmp_path)
    assert (source.kind, [item.key for item in source.items]) == ("photographs", ["a", "deep/b"])
    assert open_source(tmp_path, SourceConfig(source="side-by-side")).kind == "side-by-side"


def test_one_file_is_a_photograph_unless_forced(make: Make) -> None:
    path = make("wide view.png", 48, 24)
    assert [item.key for item in open_source(path).items] == ["wide view"]
    assert open_source(path, SourceConfig(source="side-by-side")).kind == "side-by-side"
    assert "two folders" in refusal(path, source="parallel")


def test_an_odd_width_has_no_halves(make: Make, tmp_path: Path) -> None:
    make("a.png", 33, 24)
    source = open_source(tmp_path, SourceConfig(source="side-by-side"))
    with pytest.raises(CalcoError, match="33x24"):
        source.load(source.items[0])


@pytest.mark.parametrize(
    ("first", "second", "input_folder"),
    [("sketch", "photo", "sketch"), ("photo", "sketch", "sketch"), ("A", "B", "A"), ("b", "a", "a"),
     ("target", "input", "input"), ("images", "sketches", "sketches"), ("objects", "colour", "objects")],
)  # fmt: skip
def test_known_names_tell_the_direction(make: Make, tmp_path: Path, first: str, second: str, input_folder: str) -> None:
    for folder in (first, second):
        make(f"{folder}/x.png")
    source = open_source(tmp_path)
    assert source.kind == "parallel"
    assert Path(source.items[0].paths[0]).parent.name == input_folder
    turned = open_source(tmp_path, SourceConfig(direction="BtoA"))
    assert Path(turned.items[0].paths[1]).parent.name == input_folder


def test_unknown_names_are_asked_for(make: Make, tmp_path: Path) -> None:
    for folder in ("summer", "winter"):
        make(f"{folder}/x.png")
    message = refusal(tmp_path)
    assert "--input summer --target winter" in message
    source = open_source(tmp_path, SourceConfig(input="winter", target="summer"))
    assert Path(source.items[0].paths[0]).parent.name == "winter"
    assert open_source(tmp_path, SourceConfig(source="photographs")).kind == "photographs"


def test_named_folders_may_stand_anywhere(make: Make, tmp_path: Path) -> None:
    make("one/x.png")
    make("far/away/x.jpg")
    config = SourceConfig(input=str(tmp_path / "far" / "away"), target="one")
    assert open_source(tmp_path, config).items[0].paths[0].endswith("away/x.jpg")


def test_partners_match_by_stem_in_any_ending_case_and_unicode_form(make: Make, tmp_path: Path) -> None:
    name = "Año nuevo"
    make(f"input/{unicodedata.normalize('NFC', name)}.PNG")
    make(f"target/{unicodedata.normalize('NFD', name)}.jpg")
    make("input/alone.png")
    make("target/sub/other.png")
    source = open_source(tmp_path)
    assert [item.key for item in source.items] == [unicodedata.normalize("NFC", name)]
    assert dict(source.left_out) == {
        "input/alone.png": "no partner in target",
        "target/sub/other.png": "no partner in input",
    }
    assert "2 left out" in source.summary()


def test_partners_of_different_sizes_are_named(make: Make, tmp_path: Path) -> None:
    make("input/x.png", 32, 24)
    make("target/x.png", 30, 24)
    source = open_source(tmp_path)
    with pytest.raises(CalcoError, match=r"32x24.*30x24"):
        source.load(source.items[0])


def test_masks_are_recognised_by_their_colours_and_resized(make: Make, tmp_path: Path) -> None:
    for i in range(3):
        make(f"people/{i}.jpg", 40, 30)
        make(f"answers/{i}.png", 20, 15, channels=1, levels=2)
    source = open_source(tmp_path)
    assert source.kind == "masks"
    image = source.load(source.items[0])
    assert image.image.shape == (30, 40, 3)
    assert image.mask is not None
    assert image.mask.shape == (30, 40, 1)
    assert set(np.unique(image.mask)) <= set(np.unique(imaging.read(tmp_path / "answers" / "0.png")))
    assert open_source(tmp_path, SourceConfig(source="parallel", input="people", target="answers")).kind == "parallel"
    assert "--source parallel" in refusal(tmp_path, direction="BtoA")


def test_colours_that_jpeg_has_blurred_are_masks_where_the_folder_is_called_so(make: Make, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for i in range(3):
        make(f"people/{i}.jpg", 120, 90)
        mask = np.zeros((90, 120, 3), np.uint8)
        mask[20:60, 30 + 5 * i : 80] = (255, 0, 0)
        Pillow.fromarray(mask).save(tmp_path / "masks" / f"{i}.jpg", quality=60)
    assert open_source(tmp_path).kind == "masks"


def test_photographs_in_a_folder_of_masks_are_no_masks(make: Make, tmp_path: Path) -> None:
    for i in range(3):
        make(f"people/{i}.jpg", 120, 90)
        make(f"masks/{i}.jpg", 120, 90)
    assert open_source(tmp_path).kind == "parallel"


def test_a_mask_without_its_image_is_left_out_and_named(make: Make, tmp_path: Path) -> None:
    make("images/1.png")
    for name in ("1", "2"):
        make(f"masks/{name}.png", channels=1, levels=2)
    source = open_source(tmp_path)
    assert (source.kind, len(source.items)) == ("masks", 1)
    assert source.left_out == (("masks/2.png", "no partner in images"),)
    assert "masks/2.png (no partner in images)" in source.summary()


def test_endings_of_mask_names_are_overlooked(make: Make, tmp_path: Path) -> None:
    make("images/car_01.jpg")
    make("masks/car_01_mask.png", channels=1, levels=2)
    assert [item.key for item in open_source(tmp_path).items] == ["car_01"]


def test_black_and_white_drawings_are_no_masks_when_their_name_says_so(make: Make, tmp_path: Path) -> None:
    make("edges/1.png", channels=1, levels=2)
    make("photos/1.png")
    source = open_source(tmp_path)
    assert (source.kind, source.channels) == ("parallel", (1, 3))
    assert source.load(source.items[0]).image.shape[2] == 1


@pytest.mark.parametrize("layout", ["{split}/{side}", "{side}/{split}"])
def test_splits_of_the_folder_are_kept(make: Make, tmp_path: Path, layout: str) -> None:
    for split in ("train", "test"):
        for side in ("A", "B"):
            make(layout.format(split=split, side=side) + f"/{split}1.png")
    source = open_source(tmp_path)
    assert source.kind == "parallel"
    assert {(item.key, item.split) for item in source.items} == {("train/train1", "train"), ("test/test1", "test")}


def test_splits_of_side_by_side_files(make: Make, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        make(f"{split}/1.jpg", 64, 32)
    source = open_source(tmp_path)
    assert source.kind == "side-by-side"
    assert [item.split for item in source.items] == ["test", "train", "val"]


def test_equal_stems_keep_their_ending_and_none_is_lost(make: Make, tmp_path: Path) -> None:
    names = ["a.jpg", "a.png", "a.PNG", f"{unicodedata.normalize('NFD', 'é')}.png", "é.png", "é.jpg", "a.png.jpg"]
    for name in names:
        make(name)
    items = open_source(tmp_path).items
    assert {"a", "a.png", "é"} < {item.key for item in items}
    assert sorted(Path(item.paths[0]).name for item in items) == sorted(names)


def test_the_second_of_two_images_with_one_stem_is_named_beside_a_partner(make: Make, tmp_path: Path) -> None:
    for name in ("input/a.jpg", "input/a.png", "target/a.png"):
        make(name)
    source = open_source(tmp_path)
    assert [item.key for item in source.items] == ["a"]
    assert source.items[0].paths == (f"{tmp_path}/input/a.png", f"{tmp_path}/target/a.png")
    assert source.left_out == (("input/a.jpg", "shares its name with a.png, which is taken; rename or remove one"),)


def test_a_third_folder_is_named(make: Make, tmp_path: Path) -> None:
    for name in ("sketch/a.png", "photo/a.png", "thumbs/a.png", "thumbs/b.png"):
        make(name)
    assert open_source(tmp_path).left_out == (("thumbs", "not of sketch and photo: images in it: 2"),)


def test_names_that_are_not_utf8_are_images_like_others(make: Make, tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    for side in ("sketch", "photo"):
        os.rename(make(f"{side}/x.png"), tmp_path / side / odd)
    (tmp_path / "photo" / os.fsdecode(b"bad\xff.png")).write_text("nothing")
    source = open_source(tmp_path)
    assert [item.key for item in source.items] == ["caf\\xe9"]
    assert source.load(source.items[0]).partner is not None
    assert source.left_out == (("photo/bad\\xff.png", "no partner in sketch"),)
    source.summary().encode()  # can be printed and written
    photographs = open_source(tmp_path, SourceConfig(source="photographs"))
    damaged = next(item for item in photographs.items if "bad" in item.key)
    with pytest.raises(CalcoError, match=r"bad\\xff\.png") as caught:
        photographs.load(damaged)
    str(caught.value).encode()


def test_transparency_lies_over_the_chosen_background_or_is_a_channel(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    for background, expected in (("white", [255] * 3), ("#102030", [16, 32, 48]), ("channel", [0] * 4)):
        source = open_source(tmp_path, SourceConfig(background=background))
        assert source.load(source.items[0]).image[0, 0].tolist() == expected


def test_videos_among_images_are_told(make: Make, tmp_path: Path) -> None:
    make("a.png")
    (tmp_path / "b.MP4").touch()
    assert "1 videos lie among the images, such as b.MP4" in open_source(tmp_path).summary()


def test_options_that_a_kind_has_no_use_for_are_told(tmp_path: Path) -> None:
    assert "--annotations" in refusal(tmp_path, source="photographs", annotations="x.json")
    assert "--source video" in refusal(tmp_path, source="video", direction="BtoA")
    assert "--input" in refusal("openmoji", input="a", target="b")


@pytest.mark.parametrize("frames", ["0", "-1", "0s", "x", "2m", "", "1.5", "00"])
def test_wrong_frames(frames: str) -> None:
    with pytest.raises(CalcoError, match="every tenth"):
        SourceConfig(frames=frames)


def test_a_limit_takes_the_same_ones_and_whole_groups(make: Make, tmp_path: Path) -> None:
    for i in range(12):
        make(f"{i}.png", 8 + i, 8)
    few = open_source(tmp_path, SourceConfig(limit=4)).items
    assert len(few) == 4
    assert few == open_source(tmp_path, SourceConfig(limit=4)).items
    assert set(few) < set(open_source(tmp_path, SourceConfig(limit=9)).items)
    with pytest.raises(CalcoError, match="-1"):
        SourceConfig(limit=-1)


def test_the_digest_follows_the_contents(make: Make, tmp_path: Path) -> None:
    make("a.png")
    source = open_source(tmp_path)
    before = source.digest(source.items[0])
    assert before == source.digest(source.items[0])
    shutil.copy(make("b.png", 9, 9), tmp_path / "a.png")
    assert source.digest(source.items[0]) != before


def test_absent_empty_and_imageless_folders(tmp_path: Path) -> None:
    assert "no folder" in refusal(tmp_path / "nowhere")
    assert "empty" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    message = refusal(tmp_path)
    assert ".txt (1)" in message
    assert ".jpg" in message
    assert "image" in refusal(tmp_path / "notes.txt")


def test_no_match_shows_examples_of_each(make: Make, tmp_path: Path) -> None:
    make("sketch/s1.png")
    make("photo/p1.png")
    message = refusal(tmp_path)
    assert "s1.png" in message
    assert "p1.png" in message
    assert "same name" in message
    assert "s1.png" in refusal(tmp_path, input="sketch", target="photo")


def test_wrong_folders_of_input_and_target(make: Make, tmp_path: Path) -> None:
    make("a/1.png")
    (tmp_path / "hollow").mkdir()
    assert "its folders: a, hollow" in refusal(tmp_path, input="x", target="a")
    assert "without --target" in refusal(tmp_path, input="a")
    assert "empty" in refusal(tmp_path, input="a", target="hollow")
    assert "photographs" in refusal(tmp_path, input="a", target="a", source="photographs")
    assert "--input" in refusal(tmp_path, source="parallel")
    assert "BtoA" in refusal(tmp_path, direction="BtoA")


def test_one_damaged_image_fails_alone(make: Make, tmp_path: Path) -> None:
    make("a.png")
    (tmp_path / "b.jpg").write_text("I am no image")
    source = open_source(tmp_path)
    assert len(source.items) == 2
    assert source.load(source.items[0]).image.shape == (24, 32, 3)
    with pytest.raises(CalcoError, match=r"b\.jpg.*not an image"):
        source.load(source.items[1])
    (tmp_path / "c.png").symlink_to(tmp_path / "nowhere.png")
    assert len(open_source(tmp_path).items) == 2
    assert open_source(tmp_path).left_out == (("c.png", "a link to nothing"),)


def test_grey_images_stay_grey_unless_mixed_with_colour(make: Make, tmp_path: Path) -> None:
    make("a.png", channels=1)
    source = open_source(tmp_path)
    assert source.load(source.items[0]).image.shape[2] == 1
    make("b.png")
    source = open_source(tmp_path)
    assert source.load(source.items[0]).image.shape[2] == 3


@pytest.mark.parametrize(
    ("name", "role"),
    [("sketch", "input"), ("trainA", "input"), ("train_B", "target"), ("Ground_Truth", "mask"), ("GroundTruth", "mask"),
     ("labels", "label"), ("cats", None), ("2024", None), ("RealPhotos", "target")],
)  # fmt: skip
def test_roles_by_name(name: str, role: str | None) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("folder", "kind", "count"),
    [("facades", "side-by-side", 395), ("faces", "parallel", 177), ("nature", "photographs", 387),
     ("humans", "masks", 230), ("retouch/raw_face_images", "photographs", 95)],
)  # fmt: skip
def test_real_folders(real_data: Path, folder: str, kind: str, count: int) -> None:
    source = open_source(real_data / folder)
    assert (source.kind, len(source.items), source.left_out) == (kind, count, ())
    for item in source.items[:: count // 8]:
        image = source.load(item)
        assert image.image.shape[2] == 3
        assert (image.mask is not None) == (kind == "masks")
        assert (image.partner is not None) == (kind in ("side-by-side", "parallel"))


def test_faces_come_twice_and_stay_together(real_data: Path) -> None:
    source = open_source(real_data / "faces")
    groups = {item.key: item.group for item in source.items}
    assert groups["AR_000"] == groups["000"] == "000"
    assert len(set(groups.values())) == 98


def test_strokes_beside_photographs_are_not_taken_for_pairs(real_data: Path) -> None:
    assert "no file name stands in both" in refusal(real_data / "retouch", source="parallel")
