"""Shapes of particular tools, with the boxes and pixels that they mean, and what each tool writes that is not used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calco import imaging
from calco.annotations.detections import outline_mask
from calco.annotations.reading import read_annotations
from calco.annotations.record import Annotations, Record
from calco.errors import CalcoError

WIDTH, HEIGHT = 80, 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        imaging.write(tmp_path / f"{name}.png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return tmp_path


def read(folder: Path, name: str, content: Any) -> Annotations:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")
    return read_annotations(folder, folder)


def pixels(record: Record, place: int = 0) -> int:
    outline = record.detections.outlines[place]
    assert outline is not None
    return int(outline_mask(outline, HEIGHT, WIDTH).sum())


def by_name(found: Annotations) -> dict[str, list]:
    return {record.name: record.detections.boxes.round(2).tolist() for record in found.records}


def reasons(found: Annotations) -> list[str]:
    return [problem.reason for problem in found.problems]


def cvat(*shapes: str) -> str:
    image = f'<image name="a.png" width="{WIDTH}" height="{HEIGHT}">{"".join(shapes)}</image>'
    return f"<annotations>{image}</annotations>"


def test_shapes_of_cvat(folder: Path) -> None:
    found = read(folder, "a.xml", cvat(
        '<polygon label="x" points="10.0,10.0;30.0,10.0;30.0,20.0;10.0,20.0"/>',
        '<ellipse label="x" cx="40" cy="30" rx="10" ry="5"/>',
        '<mask label="x" left="2" top="3" width="4" height="2" rle="1, 3, 2, 2"/>',
        '<polyline label="x" points="1,1;2,2"/>', '<points label="x" points="1,1"/>',
        '<mask label="x" left="2" top="3" width="4" height="2" rle="1, 3"/>',
        '<cuboid label="x"/>', '<tag label="night"/>',
    ))  # fmt: skip
    (record,) = found.records
    assert record.detections.boxes.round(1).tolist() == [[10, 10, 30, 20], [30, 25, 50, 35], [3, 3, 6, 5]]
    assert pixels(record, 0) == 200
    assert abs(pixels(record, 1) - np.pi * 50) < 4
    mask = record.detections.outlines[2].mask
    assert np.argwhere(mask).tolist() == [[3, 3], [3, 4], [3, 5], [4, 4], [4, 5]]
    assert [reason.split(" (")[0] for reason in reasons(found)] == [
        "a polyline encloses nothing; left out", "a points encloses nothing; left out",
        "its run lengths do not cover its box of 4x2; left out", "a cuboid is not read; left out",
    ]  # fmt: skip


def test_a_mask_that_claims_millions_of_pixels_is_refused(folder: Path) -> None:
    shape = '<mask label="x" left="0" top="0" width="12000" height="12000" rle="0,144000000"/>'
    text = f'<annotations><image name="a.png" width="12000" height="12000">{shape}</image></annotations>'
    found = read(folder, "a.xml", text)
    assert found.records == ()
    assert "its mask needs an image of 12000x12000 pixels, which this is not; left out" in reasons(found)


def region(shape: dict[str, Any], **attributes: object) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


RECT = {"name": "rect", "x": 10, "y": 10, "width": 20, "height": 10}


def test_shapes_and_classes_of_via(folder: Path) -> None:
    regions = [
        region(RECT, kind="gun"),
        region({"name": "polygon", "all_points_x": [1, 11, 11, 1], "all_points_y": [2, 2, 12, 12]}, kind="gun"),
        region({"name": "circle", "cx": 40, "cy": 30, "r": 10}, kind={"gun": True, "knife": False}),
        region({"name": "point", "cx": 4, "cy": 4}, kind="gun"),
        region(RECT | {"x": 50}, kind="gun", colour="red"),
        region(RECT | {"y": 40}, colour="red", label="knife"),
        region(RECT | {"y": 45}),
    ]
    found = read(folder, "via.json", {"a.png12": {"filename": "a.png", "regions": dict(enumerate(regions))}})
    (record,) = found.records
    assert record.detections.classes == ("gun", "gun", "gun", "knife", "object")
    assert record.detections.boxes[:2].tolist() == [[10, 10, 30, 20], [1, 2, 11, 12]]
    assert record.detections.boxes[2].round(1).tolist() == [30, 20, 50, 40]
    assert reasons(found) == [
        "a point encloses nothing; left out",
        "which of its attributes 'kind', 'colour' is its class is not known; call the attribute 'class'; left out",
    ]


def test_tasks_of_label_studio(folder: Path) -> None:
    def task(image: str, *annotations: dict[str, Any]) -> dict[str, Any]:
        return {"data": {"photo": image}, "annotations": list(annotations)}

    def box(x: float, **more: Any) -> dict[str, Any]:
        value = {"x": x, "y": 10, "width": 25, "height": 50, "rectanglelabels": ["gun"]}
        return {"type": "rectanglelabels", "original_width": WIDTH, "original_height": HEIGHT, "value": value | more}

    polygon = {"value": {"points": [[0, 0], [50, 0], [50, 50], [0, 50]], "polygonlabels": ["knife"]}}
    found = read(folder, "a.json", [
        task("/data/local-files/?d=set/a.png", {"result": [box(0)], "was_cancelled": True},
             {"result": [box(25), {"type": "choices", "value": {"choices": ["night"]}}, polygon]}),
        task("https://host.example/b.png?sign=1"),
        task("/data/upload/3/0a1b2c3d-c.png", {"result": []}),
    ])  # fmt: skip
    boxes = by_name(found)
    assert boxes["a.png"][0] == [20, 6, 40, 36]
    assert boxes["a.png"][1] == [0, 0, 40, 30]
    assert boxes["c.png"] == []  # somebody looked, and nothing is there
    assert "b.png" not in boxes
    assert "nobody has annotated it; the image is left out" in reasons(found)


def test_the_short_json_of_label_studio(folder: Path) -> None:
    value = {"x": 25, "y": 10, "width": 25, "height": 50, "rectanglelabels": ["gun"], "rotation": 0}
    value |= {"original_width": WIDTH, "original_height": HEIGHT}
    found = read(folder, "a.json", [{"image": "/data/upload/1/0a1b2c3d-a.png", "id": 3, "label": [value]}])
    assert by_name(found) == {"a.png": [[20, 6, 40, 36]]}


def test_holes_and_bitmaps_of_supervisely(folder: Path) -> None:
    square = [[10, 10], [30, 10], [30, 30], [10, 30]]
    hole = [[15, 15], [25, 15], [25, 25], [15, 25]]
    polygon = {"classTitle": "x", "geometryType": "polygon", "points": {"exterior": square, "interior": [hole]}}
    bitmap = {"classTitle": "x", "geometryType": "bitmap", "bitmap": {"data": "x", "origin": [0, 0]}}
    size = {"width": WIDTH, "height": HEIGHT}
    found = read(folder, "a.png.json", {"tags": [], "size": size, "objects": [polygon, bitmap]})
    assert pixels(found.records[0]) == 400 - 100
    assert reasons(found) == ["a bitmap is not read; export it as COCO; left out"]


def test_lanes_of_bdd_and_regions_of_kitti_are_named(folder: Path) -> None:
    box = {"category": "car", "box2d": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}, "attributes": {"crowd": True}}
    lane = {"category": "lane", "poly2d": [[1, 2], [3, 4]]}
    found = read(folder, "bdd.json", [{"name": "a.png", "labels": [box, lane]}, {"name": "b.png", "labels": [lane]}])
    assert by_name(found) == {"a.png": [[1, 2, 30, 40]]}
    assert found.records[0].objects.ignored.tolist() == [True]
    assert "2 lanes and areas (poly2d) are not used" in reasons(found)
    (folder / "bdd.json").unlink()
    car = "Car 0.00 0 1.5 1.0 2.0 30.0 40.0 1.5 1.6 3.9 1.0 1.5 20.1 -1.5\n"
    passed = "DontCare -1 -1 -10 40.0 2.0 60.0 40.0 -1 -1 -1 -1000 -1000 -1000 -10\n"
    (folder / "b.txt").write_text(passed)
    found = read(folder, "a.txt", car + passed)
    assert by_name(found) == {"a.png": [[1, 2, 30, 40]]}
    assert found.classes == ("Car",)
    assert reasons(found).count("its 1 regions of the type DontCare are not used") == 2
    assert "b.png" not in by_name(found)


@pytest.mark.parametrize(
    ("text", "boxes"),
    [("filename;xmin;ymin;xmax;ymax;class\na.png;1,5;2;30;40;gun\n", {"a.png": [[1.5, 2, 30, 40]]}),
     ("image_id\tx\ty\tw\th\tlabel\na\t1\t2\t29\t38\tgun\n", {"a.png": [[1, 2, 30, 40]]}),
     ("a.png,1,2,30,40,gun\nb.png,,,,,\n", {"a.png": [[1, 2, 30, 40]], "b.png": []}),
     ("Filename,Label,X1,Y1,X2,Y2\na.png,gun,1,2,30,40\n", {"a.png": [[1, 2, 30, 40]]}),
     ("filename,xmin,ymin,xmax,ymax\na.png,1,2,30,40\n", {"a.png": [[1, 2, 30, 40]]}),
     ("filename,width,height,class,xmin,ymin,xmax,ymax\na.png,160,120,gun,2,4,60,80\n", {"a.png": [[1, 2, 30, 40]]})],
)  # fmt: skip
def test_tables_of_boxes(folder: Path, text: str, boxes: dict) -> None:
    found = read(folder, "boxes.csv", text)
    assert by_name(found) == boxes
    assert found.classes == (("gun",) if "gun" in text else ("object",))


def test_rows_that_cannot_be_read(folder: Path) -> None:
    rows = ["a.png,gun,1,2,30,forty", "b.png,gun,1,2,30", "c.png,no,1,2,30,40", ",gun,1,2,3,4", "c.png,,1,2,3,4"]
    found = read(folder, "boxes.csv", "filename,class,xmin,ymin,xmax,ymax\n" + "\n".join(rows) + "\n")
    assert by_name(found) == {"c.png": [[1, 2, 30, 40]]}
    assert found.classes == ("no",)
    assert [problem.where.rpartition("line ")[2] for problem in found.problems if problem.fault == "damaged"] == [
        "2", "3", "6"
    ]  # fmt: skip
    assert sorted(problem.image for problem in found.problems if problem.fault == "incomplete") == ["a.png", "b.png"]


def test_tables_of_something_else_are_no_annotations(folder: Path) -> None:
    with pytest.raises(CalcoError, match="no annotations that are known"):
        read(folder, "prices.csv", "filename,price\na.png,3\n")


def test_rotation_in_voc_has_no_meaning(folder: Path) -> None:
    sides = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax><rotation>{}</rotation>"
    box = "<annotation><object><name>gun</name><bndbox>" + sides + "</bndbox></object></annotation>"
    assert by_name(read(folder, "a.xml", box.format(0))) == {"a.png": [[0, 0, 9, 9]]}
    found = read(folder, "a.xml", box.format(15))
    assert found.records == ()
    assert "its box is rotated by 15, in a way that VOC does not define; write a polygon; left out" in reasons(found)


@pytest.mark.parametrize(
    ("difficult", "ignored"), [("1", True), ("true", True), ("0", None), ("False", None), ("", None)]
)
def test_difficult_objects(folder: Path, difficult: str, ignored: bool | None) -> None:
    sides = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    entry = f"<object><name> gun </name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"
    objects = read(folder, "a.xml", f"<annotation>{entry}</annotation>").records[0].objects
    assert objects.classes == ("gun",)
    assert (objects.ignored is not None) == (difficult in ("1", "true"))
