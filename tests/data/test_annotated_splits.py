"""Splits that sets with annotations declare are honoured: nothing of validation or test is trained on."""

import json
from pathlib import Path

import numpy as np
import pytest

from calco import imaging
from calco.data.config import SplitConfig
from calco.data.sources import open_source
from calco.data.splits import split_items

WIDTH, HEIGHT = 40, 30


def image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    imaging.write(path, noise)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def yolo(root: Path, **folders: int) -> None:
    """So many images in each folder of images/, with labels."""
    number = 0
    for folder, count in folders.items():
        for _ in range(count):
            image(root / "images" / folder / f"im{number:02d}.png", number)
            text(root / "labels" / folder / f"im{number:02d}.txt", "0 .5 .5 .2 .2\n")
            number += 1


def splits(root: Path) -> dict[str, list[str]]:
    parts = split_items(open_source(root).items, SplitConfig())
    return {name: sorted(item.key.split("/")[-1] for item in items) for name, items in parts.items()}


def names(*numbers: int) -> list[str]:
    return [f"im{number:02d}" for number in numbers]


@pytest.mark.parametrize(
    "content",
    [
        "path: .\ntrain: images/alpha\nval: images/beta\ntest: images/gamma\nnames: [gun]\n",
        "train: images/alpha/\nval: [images/beta]\ntest: ./images/gamma\nnames: [gun]\n",
        "path: /home/somebody/set\ntrain: /home/somebody/set/images/alpha\nval: ../set/images/beta\n"
        "test: C:\\sets\\images\\gamma\nnames: [gun]\n",
        "train:\n  - images/alpha\nvalid:\n  - images/beta\ntest: images/gamma\nnc: 1\nnames: [gun]\n",
    ],
)
def test_folders_in_data_yaml(tmp_path: Path, content: str) -> None:
    yolo(tmp_path, alpha=6, beta=3, gamma=2)
    text(tmp_path / "data.yaml", content)
    assert splits(tmp_path) == {"train": names(*range(6)), "val": names(6, 7, 8), "test": names(9, 10)}
    assert "The splits are those of data.yaml" in open_source(tmp_path).summary()


def test_lists_in_data_yaml_beside_a_folder(tmp_path: Path) -> None:
    yolo(tmp_path, alpha=6, beta=3)
    text(tmp_path / "lists" / "mine.txt", "./images/alpha/im05.png\nimages/alpha/im04.png\n")
    text(tmp_path / "data.yaml", "train: images\nval: lists/mine.txt\ntest: images/beta\nnames: [gun]\n")
    assert splits(tmp_path) == {"train": names(0, 1, 2, 3), "val": names(4, 5), "test": names(6, 7, 8)}


def test_what_data_yaml_does_not_name_is_not_used(tmp_path: Path) -> None:
    yolo(tmp_path, alpha=6, beta=3, gamma=2)
    text(tmp_path / "data.yaml", "train: images/alpha\nval: images/beta\nnames: [gun]\n")
    assert splits(tmp_path) == {"train": names(*range(6)), "val": names(6, 7, 8), "test": []}
    left = dict(open_source(tmp_path).left_out)
    assert left == {f"images/gamma/{name}": "listed in none of data.yaml" for name in names(9, 10)}


def test_validation_that_is_all_of_training_declares_nothing(tmp_path: Path) -> None:
    yolo(tmp_path, alpha=12)
    text(tmp_path / "data.yaml", "train: images/alpha\nval: images/alpha\nnames: [gun]\n")
    parts = splits(tmp_path)
    assert parts["train"] and parts["val"]
    assert not set(parts["train"]) & set(parts["val"])


def test_an_entry_that_names_nothing_is_reported(tmp_path: Path) -> None:
    yolo(tmp_path, alpha=6, beta=3)
    text(tmp_path / "data.yaml", "train: images/alpha\nval: images/beta\ntest: images/nowhere\nnames: [gun]\n")
    assert "such as test: images/nowhere (data.yaml)" in open_source(tmp_path).summary()


def coco(numbers: list[int]) -> str:
    files = [{"id": n, "file_name": f"im{n:02d}.png", "width": WIDTH, "height": HEIGHT} for n in numbers]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [5, 5, 20, 15]} for n in numbers]
    return json.dumps({"images": files, "annotations": boxes, "categories": [{"id": 1, "name": "gun"}]})


def table(numbers: list[int]) -> str:
    return "filename,class,xmin,ymin,xmax,ymax\n" + "".join(f"im{n:02d}.png,gun,5,5,25,20\n" for n in numbers)


@pytest.mark.parametrize(
    ("files", "write"),
    [(("instances_train.json", "instances_val.json", "instances_test.json"), coco),
     (("train.json", "VALID.json", "test2017.json"), coco),
     (("train_labels.csv", "validation_labels.csv", "test_labels.csv"), table)],
)  # fmt: skip
def test_one_file_of_annotations_a_split(tmp_path: Path, files: tuple[str, ...], write) -> None:
    for number in range(11):
        image(tmp_path / "images" / f"im{number:02d}.png", number)
    for file, numbers in zip(files, ([*range(6)], [6, 7, 8], [9, 10]), strict=True):
        text(tmp_path / "annotations" / file, write(numbers))
    assert splits(tmp_path) == {"train": names(*range(6)), "val": names(6, 7, 8), "test": names(9, 10)}
    # An image that stands in two files belongs to the one that is further from training.
    text(tmp_path / "annotations" / files[0], write([*range(6), 6, 9]))
    assert splits(tmp_path) == {"train": names(*range(6)), "val": names(6, 7, 8), "test": names(9, 10)}


def split_csv(sides: dict[int, str]) -> str:
    rows = "".join(f"im{n:02d}.png,gun,5,5,25,20,{side}\n" for n, side in sides.items())
    return f"filename,class,xmin,ymin,xmax,ymax,split\n{rows}"


def split_cvat(sides: dict[int, str]) -> str:
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    box = '<box label="gun" xtl="5" ytl="5" xbr="25" ybr="20"/>'
    images_ = (f'<image name="im{n:02d}.png" subset="{side}" {size}>{box}</image>' for n, side in sides.items())
    return f"<annotations>{''.join(images_)}</annotations>"


def split_coco(sides: dict[int, str]) -> str:
    content = json.loads(coco(list(sides)))
    for entry in content["images"]:
        entry["split"] = sides[entry["id"]]
    return json.dumps(content)


@pytest.mark.parametrize(("name", "write"), [("a.csv", split_csv), ("a.xml", split_cvat), ("a.json", split_coco)])
def test_annotations_that_name_the_split_of_each_image(tmp_path: Path, name: str, write) -> None:
    sides = dict(enumerate(["train"] * 6 + ["Validation"] * 3 + ["TEST"] * 2))
    for number in sides:
        image(tmp_path / f"im{number:02d}.png", number)
    text(tmp_path / name, write(sides))
    assert splits(tmp_path) == {"train": names(*range(6)), "val": names(6, 7, 8), "test": names(9, 10)}


def test_image_sets_of_voc(tmp_path: Path) -> None:
    for number in range(10):
        image(tmp_path / "JPEGImages" / f"im{number:02d}.png", number)
        box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
        entry = f"<annotation><object><name>gun</name>{box}</object></annotation>"
        text(tmp_path / "Annotations" / f"im{number:02d}.xml", entry)
    sets = {"train": range(5), "val": range(5, 8), "trainval": range(8), "test": range(8, 10)}
    for name, numbers in sets.items():
        text(tmp_path / "ImageSets" / "Main" / f"{name}.txt", "".join(f"im{n:02d}\n" for n in numbers))
        text(tmp_path / "ImageSets" / "Main" / f"gun_{name}.txt", "".join(f"im{n:02d}  1\n" for n in numbers))
    assert splits(tmp_path) == {"train": names(*range(5)), "val": names(5, 6, 7), "test": names(8, 9)}


def test_lists_beside_yolo_labels_are_no_labels(tmp_path: Path) -> None:
    for number in range(9):
        image(tmp_path / f"im{number:02d}.png", number)
        text(tmp_path / f"im{number:02d}.txt", "0 .5 .5 .2 .2\n")
    text(tmp_path / "train.txt", "".join(f"data/obj/im{n:02d}.png\n" for n in range(6)))
    text(tmp_path / "test.txt", "".join(f"data/obj/im{n:02d}.png\n" for n in range(6, 9)))
    source = open_source(tmp_path)
    assert source.problems == ()
    parts = splits(tmp_path)
    assert parts["test"] == names(6, 7, 8)
    assert set(parts["train"]) | set(parts["val"]) == set(names(*range(6)))
