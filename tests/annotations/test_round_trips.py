"""What is written as COCO, VOC or YOLO is read again as it was."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from annotations.alike import HEIGHT, WIDTH, assert_alike, records
from calco import imaging
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections, Outline, outline_mask
from calco.annotations.reading import read_annotations
from calco.annotations.record import Record
from calco.annotations.voc import write_voc
from calco.annotations.yolo import write_yolo
from calco.errors import CalcoError

PROPERTY = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_back(folder: Path, path: Path, count: int) -> list[Record]:
    for i in range(count):
        image = folder / f"p{i}.png"
        if not image.exists():
            imaging.write(image, np.zeros((HEIGHT, WIDTH, 1), np.uint8))
    found = read_annotations(path, [folder / f"p{i}.png" for i in range(count)])
    assert found.problems == ()
    assert [record.name for record in found.records] == [f"p{i}.png" for i in range(count)]
    return list(found.records)


@PROPERTY
@given(written=records(outlined=True, told=True))
def test_coco_keeps_everything(tmp_path: Path, written: list[Record]) -> None:
    write_coco(tmp_path / "all.json", written)
    for record, same in zip(written, read_back(tmp_path, tmp_path / "all.json", len(written)), strict=True):
        assert_alike(record.detections, same.detections)
        assert same.size_wh == (WIDTH, HEIGHT)


@PROPERTY
@given(written=records(whole=True))
def test_voc_keeps_whole_pixels(tmp_path: Path, written: list[Record]) -> None:
    for old in (tmp_path / "Annotations").glob("*"):
        old.unlink()
    write_voc(tmp_path, written)
    for record, same in zip(written, read_back(tmp_path, tmp_path / "Annotations", len(written)), strict=True):
        assert_alike(record.detections, same.detections)


@PROPERTY
@given(written=records())
def test_voc_rounds_to_a_pixel(tmp_path: Path, written: list[Record]) -> None:
    for old in (tmp_path / "Annotations").glob("*"):
        old.unlink()
    write_voc(tmp_path, written)
    for record, same in zip(written, read_back(tmp_path, tmp_path / "Annotations", len(written)), strict=True):
        assert_alike(record.detections, same.detections, pixels=1.5)  # a thing has one pixel at least


@PROPERTY
@given(written=records())
def test_yolo_keeps_boxes(tmp_path: Path, written: list[Record]) -> None:
    for old in (tmp_path / "labels").glob("*"):
        old.unlink()
    write_yolo(tmp_path, written)
    if not any(len(record.objects) for record in written):
        with pytest.raises(CalcoError, match="no annotations"):
            read_annotations(tmp_path)  # nothing but empty files
        return
    for record, same in zip(written, read_back(tmp_path, tmp_path, len(written)), strict=True):
        assert_alike(record.detections, same.detections, pixels=1e-4)


@PROPERTY
@given(written=records(outlined=True, whole=True))
def test_yolo_keeps_the_pixels_of_outlines(tmp_path: Path, written: list[Record]) -> None:
    for old in (tmp_path / "labels").glob("*"):
        old.unlink()
    write_yolo(tmp_path, written)
    if not any(len(record.objects) for record in written):
        return
    for record, same in zip(written, read_back(tmp_path, tmp_path, len(written)), strict=True):
        objects, found = record.detections, same.detections
        assert objects.classes == found.classes
        for i, outline in enumerate(objects.outlines):
            its = found.outlines[i] if found.outlines else None
            assert (outline is None) == (its is None)
            if outline is not None and its is not None and len(outline.polygons) < 2:
                assert np.array_equal(outline_mask(outline, HEIGHT, WIDTH), outline_mask(its, HEIGHT, WIDTH))


def objects(*boxes: tuple[float, float, float, float], name: str = "cat") -> Detections:
    return Detections(boxes=np.array(boxes, np.float32).reshape(-1, 4), classes=(name,) * len(boxes))


def test_voc_counts_from_one(tmp_path: Path) -> None:
    write_voc(tmp_path, [Record(name="a.jpg", objects=objects((0, 0, 10, 20)), size_wh=(10, 20))])
    text = (tmp_path / "Annotations/a.xml").read_text()
    assert "<xmin>1</xmin>" in text and "<ymin>1</ymin>" in text
    assert "<xmax>10</xmax>" in text and "<ymax>20</ymax>" in text


def test_the_layout_that_yolo_expects(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    imaging.write(tmp_path / "in/x.png", np.zeros((8, 8, 3), np.uint8))
    found = [
        Record(name=f"{part}/x.png", objects=objects((0, 0, 4, 4)), size_wh=(8, 8), image=tmp_path / "in/x.png")
        for part in ("train", "val")
    ]
    write_yolo(tmp_path / "out", found, ("dog", "cat"), images=True)
    content = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert content == {"train": "images/train", "val": "images/val", "names": {0: "dog", 1: "cat"}}
    assert (tmp_path / "out/labels/train/x.txt").read_text() == "1 0.25 0.25 0.5 0.5\n"
    assert (tmp_path / "out/images/val/x.png").read_bytes() == (tmp_path / "in/x.png").read_bytes()
    again = read_annotations(tmp_path / "out", tmp_path / "out")
    assert [record.name for record in again.records] == ["images/train/x.png", "images/val/x.png"]
    assert again.classes == ("dog", "cat")


def test_ignored_objects_are_not_written_for_yolo(tmp_path: Path) -> None:
    crowd = replace(objects((0, 0, 4, 4), (1, 1, 3, 3)), ignored=np.array([True, False]))
    write_yolo(tmp_path, [Record(name="x.png", objects=crowd, size_wh=(8, 8))])
    assert (tmp_path / "labels/x.txt").read_text() == "0 0.25 0.25 0.25 0.25\n"


def test_coco_writes_polygons_and_run_lengths(tmp_path: Path) -> None:
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    ring = np.array([[0, 0], [4, 0], [4, 2]], np.float32)
    both = replace(objects((0, 0, 4, 2), (1, 1, 3, 3)), outlines=(Outline((ring,)), Outline(mask=mask)))
    write_coco(tmp_path / "c.json", [Record(name="x.png", objects=both, size_wh=(4, 4))])
    polygon, packed = json.loads((tmp_path / "c.json").read_text())["annotations"]
    assert (polygon["segmentation"], polygon["area"], polygon["bbox"]) == ([[0, 0, 4, 0, 4, 2]], 4, [0, 0, 4, 2])
    # As the COCO API's own `encode` gives it.
    assert (packed["segmentation"], packed["area"]) == ({"size": [4, 4], "counts": "52203"}, 4)


@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo])
def test_what_cannot_be_written(tmp_path: Path, write) -> None:
    def refusal(*found: Record, classes: tuple[str, ...] = ()) -> str:
        with pytest.raises(CalcoError) as caught:
            write(tmp_path / "out", found, classes)
        return str(caught.value)

    record = Record(name="x.png", objects=objects((0, 0, 4, 4)), size_wh=(8, 8))
    assert "size of the image is not known" in refusal(replace(record, size_wh=None))
    assert "'cat' is none of dog" in refusal(record, classes=("dog",))
    if write is not write_coco:
        assert "leads out of the folder" in refusal(replace(record, name="../x.png"))
        assert "a.png and a.jpg would both be" in refusal(replace(record, name="a.png"), replace(record, name="a.jpg"))
    if write is write_voc:
        assert "XML cannot write" in refusal(replace(record, objects=objects((0, 0, 4, 4), name="c\x00t")))


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    good = Record(name="x.png", objects=objects((0, 0, 4, 4)), size_wh=(8, 8))
    write_coco(tmp_path / "c.json", [good])
    before = (tmp_path / "c.json").read_bytes()
    with pytest.raises(CalcoError):
        write_coco(tmp_path / "c.json", [good, replace(good, size_wh=None)])
    assert (tmp_path / "c.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]
