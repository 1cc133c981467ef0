"""Splits that folders and lists declare."""

import unicodedata
from pathlib import Path

import pytest

from calco.data.source import Item
from calco.data.splits import SplitLists, by_folders, find_lists, listed, settled, split_named, split_of_list
from calco.errors import CalcoError


def lists(root: Path, names: list[str], **texts: bytes | str) -> SplitLists | None:
    """What lists of these texts declare about files of these names."""
    places = []
    for name, text in texts.items():
        place = root / f"{name}.txt".replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        places.append(str(place))
    return find_lists(str(root), [f"{root}/{name}" for name in names], places)


def found(root: Path, read: SplitLists | None) -> dict[str, str]:
    assert read is not None
    return {path.removeprefix(f"{root}/"): split for path, split in read.split.items()}


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("val2017", "val"), ("valid", "val"), ("dev", "val"), ("TEST", "test"),
     ("evaluation", "test"), ("trains", None), ("contest", None), ("2017", None)],
)  # fmt: skip
def test_folders_named_after_splits(name: str, split: str | None) -> None:
    assert split_named(name) == split


@pytest.mark.parametrize(
    ("name", "split"),
    [("train.txt", "train"), ("Val_List.txt", "val"), ("test-images.lst", "test"), ("trainval.txt", "train"),
     ("valid.txt", "val"), ("person_train.txt", None), ("README.txt", None), ("train.csv", None)],
)  # fmt: skip
def test_lists_named_after_splits(name: str, split: str | None) -> None:
    assert split_of_list(name) == split


@pytest.mark.parametrize(
    "line",
    ["images/é 1.jpg", "./images/é 1.jpg", "é 1.jpg", "é 1", "/home/ana/set/images/é 1.jpg", "images\\é 1.jpg",
     "C:\\set\\images\\é 1.jpg", '"images/é 1.jpg"', "images/é 1.jpg\tmasks/é 1.png", "images/é 1.jpg,3"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_lines_as_people_write_them(tmp_path: Path, line: str, form: str) -> None:
    names = [unicodedata.normalize(form, "images/é 1.jpg"), "images/b.jpg"]
    text = f"\ufeff# listed by hand\r\n{line}\r\n\r\n"
    assert list(found(tmp_path, lists(tmp_path, names, test=text)).values()) == ["test"]
    assert list(found(tmp_path, lists(tmp_path, names, test=f"{line}\n".encode("utf-16"))).values()) == ["test"]


def test_a_name_with_a_number_behind_it_as_in_pascal_voc(tmp_path: Path) -> None:
    read = lists(tmp_path, ["a 1.jpg", "b.jpg"], train="b  1\n", val="a 1\n")
    assert found(tmp_path, read) == {"a 1.jpg": "val", "b.jpg": "train"}


def test_a_list_in_latin_1(tmp_path: Path) -> None:
    assert found(tmp_path, lists(tmp_path, ["año.jpg"], val="año.jpg\n".encode("latin-1"))) == {"año.jpg": "val"}


def test_what_is_listed_twice_is_not_for_training(tmp_path: Path) -> None:
    read = lists(tmp_path, ["a.jpg", "b.jpg"], train="a.jpg\nb.jpg\nc.jpg\n", test="b.jpg\n")
    assert found(tmp_path, read) == {"a.jpg": "train", "b.jpg": "test"}
    assert read is not None
    assert read.strangers == ("c.jpg (train.txt)",)


def test_of_several_folders_of_lists_the_one_that_names_the_most_files(tmp_path: Path) -> None:
    read = lists(
        tmp_path, ["a.jpg", "b.jpg", "c.jpg"], Main__train="a\nb\n", Main__val="c\n", Main__trainval="a\nb\nc\n",
        Segmentation__train="c\n",
    )  # fmt: skip
    assert found(tmp_path, read) == {"a.jpg": "train", "b.jpg": "train", "c.jpg": "val"}


def test_labels_under_the_name_of_a_list_are_no_list(tmp_path: Path) -> None:
    assert lists(tmp_path, ["train.jpg", "a.jpg"], train="0 0.5 0.5 0.2 0.2\n") is None


def test_unlisted_items_are_left_out_where_training_is_listed(tmp_path: Path) -> None:
    items = [Item(name, name, (f"{tmp_path}/{name}.jpg",)) for name in "abc"]
    read = lists(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], train="a\n", val="b\n")
    assert read is not None
    kept, left_out = listed(items, read)
    assert [(item.key, item.split) for item in kept] == [("a", "train"), ("b", "val")]
    assert left_out == [("c", "listed in none of train.txt, val.txt")]
    read = lists(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], test="b\n")
    assert read is not None
    kept, left_out = listed(items, read)
    assert [(item.key, item.split) for item in kept] == [("a", None), ("b", "test"), ("c", None)]
    assert left_out == []
    read = SplitLists({"elsewhere": "train"}, ("train.txt",), ())
    with pytest.raises(CalcoError, match="none of 3 images"):
        listed(items, read)


def test_training_alone_declares_nothing() -> None:
    items = [Item("train/a", "a", ("a",)), Item("others/b", "b", ("b",))]
    kept, left_out = by_folders(items)
    assert [item.split for item in kept] == [None, None]
    assert left_out == []


def test_what_lies_beside_the_folders_of_splits() -> None:
    items = [Item(f"images/{name}", name, (name,)) for name in ("train/a", "Test/b", "c")]
    kept, left_out = by_folders(items)
    assert [(item.key, item.split) for item in kept] == [("images/train/a", "train"), ("images/Test/b", "test")]
    assert left_out == [("images/c", "in none of the folders Test, train")]
    kept, left_out = by_folders(items[1:])
    assert [(item.key, item.split) for item in kept] == [("images/Test/b", "test"), ("images/c", None)]
    assert settled((), "") == ((), [])
