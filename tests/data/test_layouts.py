"""The layouts in which people keep images: sides and splits in folders, in names and in lists."""

import io
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calco import imaging
from calco.data.config import SourceConfig, SplitConfig
from calco.data.source import Source
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError

Make = Callable[..., Path]


def pairs(source: Source, root: Path) -> dict[str, str]:
    """Input => target, relative to the root."""
    return {item.paths[0].removeprefix(f"{root}/"): item.paths[-1].removeprefix(f"{root}/") for item in source.items}


def splits(source: Source) -> dict[str, str | None]:
    return {item.key: item.split for item in source.items}


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [("{split}A/{n}.png", "{split}B/{n}.png", "parallel"), ("{split}_A/{n}.png", "{split}_B/{n}.png", "parallel"),
     ("A/{split}/{n}.png", "B/{split}/{n}.png", "parallel"), ("{split}/A/{n}.png", "{split}/B/{n}.png", "parallel"),
     ("{split}/input/{n}.png", "{split}/target/{n}.png", "parallel"),
     ("{split}/images/{n}.jpg", "{split}/masks/{n}.png", "masks"),
     ("images/{split}/{n}.jpg", "masks/{split}/{n}.png", "masks"),
     ("images/{split}/{n}.jpg", "masks/{n}.png", "masks"),
     ("{split}_images/{n}.jpg", "{split}_masks/{n}_mask.png", "masks"),
     ("{split}/{n}.jpg", "{split}_masks/{n}_mask.gif", "masks"), ("{split}/{n}.png", "{split}annot/{n}.png", "masks"),
     ("{split}/img_{n}.jpg", "{split}/img_{n}_mask.png", "masks"),
     ("{split}/{n}.jpg", "{split}/masks/{n}.png", "masks"),
     ("set1/{split}/images/{n}.jpg", "set1/{split}/masks/{n}.png", "masks"),
     ("{split}/{n}_A.png", "{split}/{n}_B.png", "parallel"), ("{split}/{n}.jpg", "{split}/{n}.png", "masks"),
     ("data/v1/{split}A/{n}.png", "data/v1/{split}B/{n}.png", "parallel"),
     ("{split}/{n}.jpg", "{split}/masks/{n}.jpg.png", "masks")],
)  # fmt: skip
def test_sides_and_splits_are_found_in_each_layout(
    make: Make, tmp_path: Path, first: str, second: str, kind: str
) -> None:
    expected: dict[str, str] = {}
    for split, number in (("train", 1), ("train", 2), ("train", 3), ("val", 4), ("test", 5)):
        names = [name.format(split=split, n=f"{number:03d}") for name in (first, second)]
        make(names[0])
        make(names[1], channels=1 if kind == "masks" else 3, levels=2 if kind == "masks" else 0)
        expected[names[0]] = names[1]
    source = open_source(tmp_path)
    assert source.kind == kind
    assert pairs(source, tmp_path) == expected
    assert source.left_out == ()
    parts = split_items(source.items, SplitConfig())
    assert {name: len(items) for name, items in parts.items()} == {"train": 3, "val": 1, "test": 1}
    assert {Path(item.paths[0]).stem.strip("img_A") for item in parts["test"]} == {"005"}


@pytest.mark.parametrize(
    "names",
    [("training", "validation", "testing"), ("Train", "Valid", "Test"), ("train2017", "val2017", "test2017"),
     ("train", "dev", "eval"), ("set_train_hr", "set_val_hr", "set_test_hr"),
     ("places_train", "places_val", "places_test"), ("training_set", "validation_set", "test_set")],
)  # fmt: skip
def test_photographs_and_side_by_side_files_in_folders_of_splits(
    make: Make, tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        make(f"photos/{name}/1.png", 30, 20)
        make(f"halves/{name}/1.png", 64, 32)
    for folder, kind in (("photos", "photographs"), ("halves", "side-by-side")):
        source = open_source(tmp_path / folder)
        assert source.kind == kind
        assert splits(source) == {
            f"{name}/1": split for name, split in zip(names, ("train", "val", "test"), strict=True)
        }


def test_cyclegan_folders_of_training_alone_declare_no_split(make: Make, tmp_path: Path) -> None:
    for name in ("trainA/1.png", "trainB/1.png", "trainA/2.png", "trainB/2.png"):
        make(name)
    source = open_source(tmp_path)
    assert splits(source) == {"train/1": None, "train/2": None}


def test_a_test_input_without_target_is_left_out_and_not_trained_on(make: Make, tmp_path: Path) -> None:
    for name in (
        "train/input/1.png",
        "train/target/1.png",
        "test/input/2.png",
        "test/input/3.png",
        "test/target/3.png",
    ):
        make(name)
    source = open_source(tmp_path)
    assert splits(source) == {"train/1": "train", "test/3": "test"}
    assert source.left_out == (("test/input/2.png", "no partner in target"),)


def test_images_beside_folders_of_splits(make: Make, tmp_path: Path) -> None:
    for name in ("train/1.png", "test/2.png", "loose.png", "extra/4.png"):
        make(name)
    source = open_source(tmp_path)
    assert splits(source) == {"train/1": "train", "test/2": "test"}
    reason = "in none of the folders test, train"
    assert source.left_out == (("extra/4", reason), ("loose", reason))
    (tmp_path / "train" / "1.png").unlink()
    assert splits(open_source(tmp_path)) == {"test/2": "test", "loose": None, "extra/4": None}


def test_photographs_of_trains_are_not_splits(make: Make, tmp_path: Path) -> None:
    for name in ("train/1.png", "plane/1.png", "train_station/2.png", "contest/3.png"):
        make(name)
    assert set(splits(open_source(tmp_path)).values()) == {None}


def test_lists_of_files_declare_the_splits_of_pairs(make: Make, tmp_path: Path) -> None:
    for number in range(5):
        make(f"images/{number}.jpg")
        make(f"masks/{number}.png", channels=1, levels=2)
    (tmp_path / "train.txt").write_text("images/0.jpg\nimages/1.jpg\nimages/9.jpg\n")
    (tmp_path / "val.txt").write_text("2\n")
    (tmp_path / "test.txt").write_text("masks/3.png\n")
    source = open_source(tmp_path)
    assert splits(source) == {"0": "train", "1": "train", "2": "val", "3": "test"}
    assert source.left_out == (("4", "listed in none of test.txt, train.txt, val.txt"),)
    assert "1 lines name no image here, such as images/9.jpg (train.txt)" in source.summary()
    assert "not used" not in source.summary()
    forced = open_source(tmp_path, SourceConfig(input="images", target="masks"))
    assert splits(forced) == splits(source)


def test_pascal_voc_lists_for_segmentation(make: Make, tmp_path: Path) -> None:
    for number in range(4):
        make(f"JPEGImages/im{number}.jpg")
    for number in range(3):
        make(f"SegmentationClass/im{number}.png", channels=1, levels=2)
        make(f"SegmentationObject/im{number}.png", channels=1, levels=4)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("im0\nim1\n")
    (lists / "val.txt").write_text("im2\n")
    (lists / "trainval.txt").write_text("im0\nim1\nim2\n")
    source = open_source(tmp_path)
    assert source.kind == "masks"
    assert {item.paths[1].split("/")[-2] for item in source.items} == {"SegmentationClass"}
    assert splits(source) == {"im0": "train", "im1": "train", "im2": "val"}


@pytest.mark.parametrize(
    ("image", "mask"),
    [("car {n}", "car {n}_mask"), ("car {n}", "car {n}-mask"), ("car {n}", "car {n} mask"), ("car {n}", "car {n}_seg"),
     ("car {n}", "car {n}_label"), ("car {n}", "car {n}_gt"), ("car {n}", "car {n}.mask"),
     ("car {n}", "car {n} (Mask)"),
     ("car{n}", "car{n}Mask"), ("car {n}", "mask_car {n}"), ("img_{n}", "img_{n}_mask"), ("img_{n}", "mask_{n}"),
     ("{n}_photo", "{n}_photo_mask"), ("image{n}", "mask{n}"), ("{n}_image", "{n}_ground_truth"),
     ("año {n}", "año {n}_máscara"), ("car {n}", "car {n}.jpg_mask"), ("car {n}", "car {n}")],
)  # fmt: skip
def test_masks_beside_their_images(make: Make, tmp_path: Path, image: str, mask: str) -> None:
    expected = {}
    for number in range(6):
        names = f"{image.format(n=f'{number:02d}')}.jpg", f"{mask.format(n=f'{number:02d}')}.png"
        make(names[0])
        make(names[1], channels=1, levels=2)
        expected[names[0]] = names[1]
    for source in ("auto", "masks"):
        found = open_source(tmp_path, SourceConfig(source=source))
        assert (found.kind, pairs(found, tmp_path), found.left_out) == ("masks", expected, ())


@pytest.mark.parametrize(
    ("first", "second"),
    [("x{n}_input", "x{n}_target"), ("{n}_A", "{n}_B"), ("{n}-before", "{n}-after"), ("{n}_lr", "{n}_hr"),
     ("sketch_{n}", "photo_{n}"), ("{n}_entrada", "{n}_salida")],
)  # fmt: skip
def test_inputs_beside_targets(make: Make, tmp_path: Path, first: str, second: str) -> None:
    expected = {}
    for number in range(4):
        names = f"{first.format(n=number)}.png", f"{second.format(n=number)}.png"
        make(names[0])
        make(names[1])
        expected[names[0]] = names[1]
    source = open_source(tmp_path)
    assert (source.kind, pairs(source, tmp_path)) == ("parallel", expected)
    turned = open_source(tmp_path, SourceConfig(direction="BtoA"))
    assert pairs(turned, tmp_path) == {second: first for first, second in expected.items()}


def test_a_and_b_of_different_sizes_are_two_photographs(make: Make, tmp_path: Path) -> None:
    for number in range(4):
        make(f"house {number}_a.png", 40, 30)
        make(f"house {number}_b.png", 30, 40)
    assert open_source(tmp_path).kind == "photographs"


def test_names_that_differ_in_the_folders_of_splits_alone_are_equal(make: Make, tmp_path: Path) -> None:
    for number in range(3):
        make(f"Training_Images/{number}.jpg")
        make(f"Ground_Truth/{number}.png", channels=1, levels=2)
    source = open_source(tmp_path)
    assert (source.kind, len(source.items)) == ("masks", 3)
    assert not any("not equal" in note for note in source.notes)


def test_copies_of_photographs_in_two_formats_are_no_masks(make: Make, tmp_path: Path) -> None:
    for number in range(4):
        make(f"{number}.jpg")
        make(f"{number}.png")
    assert (open_source(tmp_path).kind, len(open_source(tmp_path).items)) == ("photographs", 8)


def test_classes_of_photographs_are_no_sides(make: Make, tmp_path: Path) -> None:
    for number in range(3):
        make(f"classes/cats/cat_{number}.png")
        make(f"classes/dogs/dog_{number}.png")
        make(f"tested/photos/{number}.png")
        make(f"tested/test/{number}.png")
    assert open_source(tmp_path / "classes").kind == "photographs"
    source = open_source(tmp_path / "tested")
    assert source.kind == "photographs"
    assert [item.split for item in source.items] == [None] * 3 + ["test"] * 3


def test_what_prepare_wrote_beside_the_images_is_no_remark(make: Make, tmp_path: Path) -> None:
    for number in range(3):
        make(f"train/{number}.png", 64, 32)
    (tmp_path / "index").mkdir()
    for name in ("manifest.json", "index/settings.json", "groups.csv"):
        (tmp_path / name).write_text("key,group\n" if name.endswith("csv") else "{}")
    assert not [note for note in open_source(tmp_path).notes if "not used" in note]


def test_series_of_photographs_are_no_pairs(make: Make, tmp_path: Path) -> None:
    for name in ("a1", "a2", "b1", "b2", "Ä.1", "IMG_1", "IMG_2", "plan A", "plan B"):
        make(f"{name}.png")
    source = open_source(tmp_path)
    assert (source.kind, len(source.items), source.left_out) == ("photographs", 9, ())


def test_a_few_masks_among_photographs_are_no_photographs(make: Make, tmp_path: Path) -> None:
    for number in range(9):
        make(f"{number}.jpg")
    make("3_mask.png", channels=1, levels=2)
    source = open_source(tmp_path)
    assert (source.kind, len(source.items)) == ("photographs", 9)
    ((name, reason),) = source.left_out
    assert name == "3_mask.png"
    assert "a mask of 3.jpg" in reason
    assert pairs(open_source(tmp_path, SourceConfig(source="masks")), tmp_path) == {"3.jpg": "3_mask.png"}
    assert len(open_source(tmp_path, SourceConfig(source="photographs")).items) == 10


def test_several_masks_of_each_image_are_asked_for(make: Make, tmp_path: Path) -> None:
    for number in range(3):
        make(f"names/{number}.jpg")
        for word in ("mask", "gt"):
            make(f"names/{number}_{word}.png", channels=1, levels=2)
            make(f"folders/{word}/{number}.png", channels=1, levels=2)
        make(f"folders/images/{number}.jpg")
    for folder in ("names", "folders"):
        with pytest.raises(CalcoError, match="several.*--input") as caught:
            open_source(tmp_path / folder)
        assert "--source photographs" in str(caught.value)


def test_several_inputs_are_asked_for_at_any_depth(make: Make, tmp_path: Path) -> None:
    for name in ("blur", "blur_gamma", "sharp"):
        make(f"train/scene/{name}/1.png")
    with pytest.raises(CalcoError, match=r"sides of pairs \(blur, blur_gamma, sharp\)"):
        open_source(tmp_path)
    found = open_source(tmp_path, SourceConfig(input="train/scene/blur", target="train/scene/sharp"))
    assert pairs(found, tmp_path) == {"train/scene/blur/1.png": "train/scene/sharp/1.png"}


def test_one_file_of_another_shape_among_side_by_side_files_is_a_remark(make: Make, tmp_path: Path) -> None:
    for number in range(4):
        make(f"{number}.png", 64, 32)
    make("odd.png", 60, 40)
    assert "4 of 5 files are exactly twice as wide as high" in open_source(tmp_path).summary()
    assert open_source(tmp_path, SourceConfig(source="photographs")).notes == ()


def test_a_partner_of_the_very_same_name_is_taken(make: Make, tmp_path: Path) -> None:
    for name in ("input/0.png", "target/0.jpg", "target/0.png", "input/1.PNG", "target/1.jpg", "target/1.png"):
        make(name)
    source = open_source(tmp_path)
    assert pairs(source, tmp_path) == {"input/0.png": "target/0.png", "input/1.PNG": "target/1.png"}
    assert [name for name, _ in source.left_out] == ["target/0.jpg", "target/1.jpg"]


@pytest.mark.parametrize(
    ("first", "second"),
    [("img_{n}.jpg", "mask_{n}.png"), ("{n}.jpg", "{n}_mask.png"), ("{n}_rgb.png", "{n}_depth.png"),
     ("IMG{n}.JPG", "img{n}.jpg"),
     ("{n}_training.tif", "{n}_manual1.gif"), ("f{n}.png", "g{n}.png")],
)  # fmt: skip
def test_names_that_differ_by_what_all_of_a_side_have(make: Make, tmp_path: Path, first: str, second: str) -> None:
    expected = {}
    for number in (10, 11, 20):
        names = f"input/{first.format(n=number)}", f"target/{second.format(n=number)}"
        make(names[0])
        make(names[1])
        expected[names[0]] = names[1]
    source = open_source(tmp_path)
    assert pairs(source, tmp_path) == expected
    assert "3 pairs are matched by names that are not equal" in source.summary()


def test_numbers_that_happen_to_be_equal_are_not_trimmed_to_pairs(make: Make, tmp_path: Path) -> None:
    for name in ("trainA/n01_10.png", "trainA/n01_11.png", "trainB/n02_10.png", "trainB/n02_99.png"):
        make(name)
    with pytest.raises(CalcoError, match="no file name stands in both"):
        open_source(tmp_path)


def test_halves_of_several_sizes(make: Make, tmp_path: Path) -> None:
    for number, width in enumerate((64, 72, 80)):
        make(f"square/{number}.jpg", width, width // 2)
        make(f"tall/{number}.jpg", 64, 48)
    assert open_source(tmp_path / "square").kind == "side-by-side"
    with pytest.raises(CalcoError, match="--source side-by-side"):
        open_source(tmp_path / "tall", SourceConfig(direction="BtoA"))


def test_what_servers_and_systems_leave_is_passed_over_and_named(make: Make, tmp_path: Path) -> None:
    for name in (
        "1.png", "2.png", "@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._1.png", ".hidden.png", ".thumbnails/1.png",
        "#recycle/old.png", "lost+found/x.png", ".ipynb_checkpoints/1.png",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(name)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "notes.txt", "draft.psd", "README"):
        (tmp_path / name).touch()
    source = open_source(tmp_path)
    assert [item.key for item in source.items] == ["1", "2"]
    hidden, others = source.notes
    for name in ("@eaDir/", "__MACOSX/", ".hidden.png", ".thumbnails/", "#recycle/", "Thumbs.db", "desktop.ini"):
        assert name in hidden or "..." in hidden
    assert "(10: " in hidden
    assert "(3: README, draft.psd, notes.txt)" in others


def test_thumbnails_are_left_out_where_that_is_certain(make: Make, tmp_path: Path) -> None:
    make("a.jpg", 200, 160)
    make("a_thumb.jpg", 50, 40)
    make("a-100x80.jpg", 100, 80)
    make("b_thumb.jpg", 50, 40)  # there is no b
    make("c.jpg", 50, 40)
    make("c_thumb.jpg", 60, 40)  # not smaller
    source = open_source(tmp_path)
    assert [item.key for item in source.items] == ["a", "b_thumb", "c", "c_thumb"]
    assert dict(source.left_out) == {"a_thumb.jpg": "a thumbnail of a.jpg", "a-100x80.jpg": "a thumbnail of a.jpg"}


LAYOUTS = {
    "photographs": ("{n}{end}", ""),
    "side-by-side": ("{split}/{n}{end}", ""),
    "parallel": ("input/{n}{end}", "target/{n}{other}"),
    "masks": ("images/{n}{end}", "masks/{n}_mask{other}"),
    "words": ("{n}{end}", "{n}_mask{other}"),
    "cyclegan": ("{split}A/{n}{end}", "{split}B/{n}{other}"),
    "splits": ("{split}/input/{n}{end}", "{split}/target/{n}{other}"),
    "lists": ("input/{n}{end}", "target/{n}{other}"),
}
ENDINGS = st.sampled_from([".png", ".PNG", ".jpg", ".JPEG", ".Jpg"])
JUNK = ["Thumbs.db", "@eaDir/1.png", "._1.png", "notes.txt", "model.pth", ".DS_Store", "archive.zip"]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    names=st.lists(
        st.sampled_from(["a", "b1", "año", "x y", "Ä.1", "007", "日本", "c-2"]), min_size=3, max_size=6, unique=True
    ),
    endings=st.lists(st.tuples(ENDINGS, ENDINGS), min_size=6, max_size=6),
    forms=st.lists(st.sampled_from(["NFC", "NFD"]), min_size=2, max_size=2),
    lonely=st.booleans(),
    junk=st.lists(st.sampled_from(JUNK), max_size=3, unique=True),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_each_layout_gives_its_samples_or_names_what_is_not_used(
    tmp_path_factory: pytest.TempPathFactory, layout: str, names: list[str], endings: list[tuple[str, str]],
    forms: list[str], lonely: bool, junk: list[str], encoding: str,
) -> None:  # fmt: skip
    """Whatever the order, the endings, the form of the names and the files beside them."""
    root = tmp_path_factory.mktemp("set")
    pixel = imaging.encode(_noise(2 if layout == "side-by-side" else 1), ".png")
    expected: dict[tuple[str, ...], str | None] = {}
    written: set[str] = set()
    declared = [("train", "val", "test")[min(2, place)] if place else "train" for place in range(len(names))]
    for place, (name, (end, other)) in enumerate(zip(names, endings, strict=False)):
        paths = []
        for form, pattern in zip(forms, LAYOUTS[layout], strict=True):
            if not pattern or (lonely and place == 0 and pattern is LAYOUTS[layout][1]):
                continue
            relative = pattern.format(n=unicodedata.normalize(form, name), end=end, other=other, split=declared[place])
            (root / relative).parent.mkdir(parents=True, exist_ok=True)
            (root / relative).write_bytes(pixel)
            paths.append(relative)
        written |= set(paths)
        if not (lonely and place == 0) or not LAYOUTS[layout][1]:
            has_split = layout in ("cyclegan", "splits", "lists", "side-by-side")
            expected[tuple(paths)] = declared[place] if has_split else None
    if layout == "lists":
        for split in set(declared):
            lines = [name for name, each in zip(names, declared, strict=True) if each == split]
            (root / f"{split}.txt").write_text("\n".join(lines), encoding=encoding)
    for name in junk:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(pixel)
    source = open_source(root)
    found = {tuple(path.removeprefix(f"{root}/") for path in item.paths): item.split for item in source.items}
    held_out = {split for split in expected.values() if split} - {"train"}
    assert found == (expected if held_out else dict.fromkeys(expected))
    used = {path for paths in found for path in paths}
    named = {unicodedata.normalize("NFC", name) for name, _ in source.left_out}
    assert {unicodedata.normalize("NFC", path) for path in written - used} == named
    remarks = " ".join(source.notes)
    assert sum(name.startswith((".", "@", "Th")) for name in junk) == (
        int(remarks.split("passed over (")[1].split(":")[0]) if "passed over" in remarks else 0
    )
    assert all(name in remarks for name in junk if name.endswith((".txt", ".pth", ".zip")))


def _noise(times: int) -> imaging.Image:
    return np.tile(np.arange(12, dtype=np.uint8).reshape(2, 2, 3), (1, times, 1))


MEMBERS = ("input.png", "target.png", "weight.png", "json", "txt", "cls")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.dictionaries(
        st.sampled_from(["a", "b1", "año", "x y", "deep/c", "日本"]),
        st.lists(st.sampled_from(MEMBERS), min_size=1, unique=True), min_size=2, max_size=5,
    ),
    order=st.randoms(use_true_random=False),
    upper=st.booleans(),
    folder=st.sampled_from(["", "./", "./set/"]),
)  # fmt: skip
def test_tar_files_give_their_pairs_or_name_what_is_not_used(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, list[str]], order: Random, upper: bool, folder: str
) -> None:
    """Whatever the order of members, the case of endings, optional members and folders in front."""
    whole = {"whole": ["input.png", "target.png"], "also": ["input.png", "target.png"]}
    named = [(sample, kind) for sample, kinds in (samples | whole).items() for kind in kinds]
    order.shuffle(named)
    path = tmp_path_factory.mktemp("tars") / "train-0.tar"
    with tarfile.open(path, "w") as tar:
        for sample, kind in named:
            data = imaging.encode(_noise(1), ".png") if kind.endswith("png") else b"{}"
            member = tarfile.TarInfo(f"{folder}{sample}.{kind.upper() if upper else kind}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    source = open_source(path)
    inner = folder.removeprefix("./")
    complete = {
        f"{inner}{name}" for name, kinds in (samples | whole).items() if {"input.png", "target.png"} <= set(kinds)
    }
    assert {item.key for item in source.items} == complete
    said = " ".join(name for name, _ in source.left_out)
    extra = {kind for name, kinds in samples.items() if f"{inner}{name}" in complete for kind in kinds} & {"txt", "cls"}
    assert all(f"{kind} (" in source.summary() for kind in extra)
    assert all(name in said for name in samples if f"{inner}{name}" not in complete)
