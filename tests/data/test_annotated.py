"""Folders of images with boxes or outlines, in the layouts that tools expect."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections, Outline
from calco.annotations.record import Record
from calco.annotations.voc import write_voc
from calco.annotations.yolo import write_yolo
from calco.data.config import SourceConfig
from calco.data.recipes import RecipeConfig, build_recipe, resolve
from calco.data.sample import generator
from calco.data.sources import open_source
from calco.data.sources.annotated import matches
from calco.data.sources.annotated import open as open_annotated
from calco.errors import CalcoError

Make = Callable[..., Path]


def thing(name: str, *box: float) -> Detections:
    return Detections(boxes=np.array([box], np.float32), classes=(name,))


@pytest.fixture
def two(make: Make, tmp_path: Path) -> list[Record]:
    """Two images outside the folders that tests write, 32 pixels wide and 24 high."""
    found = [("train/a.png", thing("dog", 2, 3, 12, 13)), ("val/b.png", thing("cat", 0, 0, 32, 24))]
    return [Record(name=name, objects=objects, size_wh=(32, 24), image=make(f"made/{name}")) for name, objects in found]


def check(root: Path, keys: list[str], splits: list[str | None]) -> None:
    assert matches(str(root), SourceConfig())
    source = open_source(root)
    assert (source.kind, sorted(source.classes)) == ("annotations", ["cat", "dog"])
    assert ([item.key for item in source.items], [item.split for item in source.items]) == (keys, splits)
    image = source.load(source.items[0])
    assert image.image.shape == (24, 32, 3)
    assert image.detections is not None
    assert image.detections.classes == ("dog",)
    assert np.allclose(image.detections.boxes, [[2, 3, 12, 13]], atol=1e-4)


def test_yolo_folders(two: list[Record], tmp_path: Path) -> None:
    write_yolo(tmp_path / "out", two, images=True)
    check(tmp_path / "out", ["images/train/a", "images/val/b"], ["train", "val"])


def test_voc_folders(two: list[Record], tmp_path: Path) -> None:
    write_voc(tmp_path / "out", [replace(two[0], name="a.png"), replace(two[1], name="b.png")], images=True)
    check(tmp_path / "out", ["JPEGImages/a", "JPEGImages/b"], [None, None])


def test_coco_beside_the_images_and_elsewhere(two: list[Record], tmp_path: Path) -> None:
    write_coco(tmp_path / "made/all.json", two)
    check(tmp_path / "made", ["train/a", "val/b"], ["train", "val"])
    (tmp_path / "made/all.json").rename(tmp_path / "elsewhere.json")
    assert open_source(tmp_path / "made").kind != "annotations"
    for name in (str(tmp_path / "elsewhere.json"), "../elsewhere.json"):
        assert len(open_source(tmp_path / "made", SourceConfig(annotations=name)).items) == 2
    with pytest.raises(CalcoError, match="there is no none.json"):
        open_source(tmp_path / "made", SourceConfig(annotations="none.json"))


def test_what_is_left_out_is_named(two: list[Record], make: Make, tmp_path: Path) -> None:
    make("made/train/extra.png")
    wide = replace(two[1], objects=thing("cat", 0, 0, 32, 24), name="val/missing.png")
    outside = replace(two[0], objects=thing("dog", 2, 3, 90, 13))
    write_coco(tmp_path / "made/all.json", [outside, wide])
    source = open_source(tmp_path / "made")
    assert dict(source.left_out) == {
        "all.json": "no image is named missing.png; left out",
        "train/extra.png": "it has no annotations",
        "val/b.png": "it has no annotations",
    }
    assert "1 outside" in source.summary() and "reaches outside the image of 32x24; clipped" in source.summary()
    assert "--source photographs" in source.summary()
    (tmp_path / "made/train/a.png").unlink()
    with pytest.raises(CalcoError, match="no image in .* is annotated .*no image is named a.png"):
        open_source(tmp_path / "made")


def test_beside_yolo_a_image_without_a_label_has_nothing_in_it(two: list[Record], make: Make, tmp_path: Path) -> None:
    write_yolo(tmp_path / "out", two, images=True)
    make("out/images/val/empty.png")
    (tmp_path / "out/labels/val/b.txt").write_bytes(b"\xff")
    source = open_annotated(str(tmp_path / "out"), SourceConfig())
    assert [item.key for item in source.items] == ["images/train/a", "images/val/empty"]
    assert len(source.load(source.items[1]).detections) == 0
    assert dict(source.left_out) == {"images/val/b.png": "it has no annotations"}
    assert "1 image is empty" in source.summary()


def test_the_digest_tells_other_boxes_and_other_images(two: list[Record], make: Make, tmp_path: Path) -> None:
    def digests(*records: Record) -> list[str]:
        write_coco(tmp_path / "made/all.json", records)
        source = open_source(tmp_path / "made")
        return [source.digest(item) for item in source.items]

    before = digests(*two)
    assert digests(*two) == before
    mask = np.zeros((24, 32), bool)
    mask[3:13, 2:12] = True
    drawn = replace(two[0], objects=replace(two[0].objects, outlines=(Outline(mask=mask),)))
    changed = digests(drawn, two[1])
    assert changed[0] != before[0] and changed[1] == before[1]


def test_segment_paints_outlines_and_boxes(two: list[Record], tmp_path: Path) -> None:
    triangle = Outline((np.array([[2, 3], [12, 3], [2, 13]], np.float32),))
    drawn = replace(two[0], objects=replace(two[0].objects, outlines=(triangle,)))
    write_coco(tmp_path / "made/all.json", [drawn, two[1]])
    source = open_source(tmp_path / "made")
    recipe = build_recipe(resolve(RecipeConfig(), source.kind, classes=source.classes), source.kind)
    first, second = (recipe(source.load(item), generator(0, 0, item.key)) for item in source.items)
    painted = (first.target != 0).any(axis=2)
    assert painted[4, 3] and not painted[12, 11] and abs(int(painted.sum()) - 50) <= 5
    assert (second.target != 0).any(axis=2).all()
    assert (first.target[4, 3] != second.target[0, 0]).any()


def test_an_annotated_set_has_no_other_side(two: list[Record], tmp_path: Path) -> None:
    write_coco(tmp_path / "made/all.json", two)
    with pytest.raises(CalcoError, match="BtoA"):
        open_source(tmp_path / "made", SourceConfig(direction="BtoA"))


@pytest.mark.parametrize("name", ["facades", "faces", "humans", "nature", "retouch/raw_face_images", "guns/Images"])
def test_what_is_not_annotated(real_data: Path, name: str) -> None:
    assert not matches(str(real_data / name), SourceConfig())


def test_guns_and_retouch(real_data: Path) -> None:
    guns = open_source(real_data / "guns")
    assert (guns.kind, guns.classes, len(guns.items)) == ("annotations", ("object",), 253)
    faces = open_source(real_data / "retouch")
    assert (faces.kind, faces.classes, len(faces.items)) == ("annotations", ("Face",), 95)
    assert {item.key.split("/")[0] for item in faces.items} == {"raw_face_images"}
    for source in (guns, faces):
        image = source.load(source.items[7])
        height, width = image.image.shape[:2]
        assert len(image.detections) and (image.detections.boxes <= (width, height, width, height)).all()


def test_classes_name_what_the_annotations_do_not(two: list[Record], make: Make, tmp_path: Path) -> None:
    make("set/Images/a.png")
    (tmp_path / "set/Labels").mkdir()
    (tmp_path / "set/Labels/a.txt").write_text("1\n2 3 12 13\n", encoding="utf-8")
    assert open_source(tmp_path / "set").classes == ("object",)
    assert open_source(tmp_path / "set", SourceConfig(classes=("gun",))).classes == ("gun",)
    write_voc(tmp_path / "voc", [replace(two[0], name="a.png"), replace(two[1], name="b.png")], images=True)
    source = open_source(tmp_path / "voc", SourceConfig(classes=("dog",)))
    assert [len(source.load(item).detections or ()) for item in source.items] == [1, 0]
    assert any("cat" in str(problem) for problem in source.problems)
    with pytest.raises(CalcoError, match="--classes gun goes with annotations"):
        open_source(tmp_path / "set/Images", SourceConfig(classes=("gun",)))
