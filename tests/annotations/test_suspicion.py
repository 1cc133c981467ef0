"""Sets whose boxes were written in another order or unit, and sets in two formats: named with file and line."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from calco import imaging
from calco.annotations.reading import read_annotations
from calco.annotations.record import Problem
from calco.data.config import SourceConfig
from calco.data.sources import open_source
from calco.errors import CalcoError

WIDTH, HEIGHT = 200, 120
Box = tuple[float, float, float, float]
CORNERS: list[Box] = [(60 + 9 * n, 50 + 3 * n, 140 + 5 * n, 90 + 2 * n) for n in range(8)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(len(CORNERS)):
        imaging.write(tmp_path / "images" / f"p{number}.png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    (tmp_path / "labels").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def _images_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir(exist_ok=True)


def as_texts(folder: Path, line: Callable[[Box], Sequence[float]], head: str = "") -> list[Problem]:
    """Writes a label an image, reads all, and gives what is wrong."""
    for number, box in enumerate(CORNERS):
        text = head + " ".join(f"{value:g}" for value in line(box)) + "\n"
        (folder / "labels" / f"p{number}.txt").write_text(text, encoding="utf-8")
    return list(read_annotations(folder / "labels", folder / "images").problems)


def sized(box: Box) -> Sequence[float]:
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def shares(box: Box) -> Box:
    return box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT


def centred(box: Box) -> Sequence[float]:
    left, top, right, bottom = shares(box)
    return 0, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def of_set(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.fault in ("order", "unit", "mixed")]


def test_what_is_in_order_is_not_doubted(folder: Path) -> None:
    assert as_texts(folder, lambda box: box, "1\n") == []
    assert as_texts(folder, centred) == []


def test_width_and_height_where_corners_are_meant(folder: Path) -> None:
    (problem,) = of_set(as_texts(folder, sized, "1\n"))
    assert problem.fault == "order"
    assert problem.where == f"{folder}/labels/p0.txt, line 2"
    assert "read as left, top, right, bottom, this one first, and all do as left, top, width, height" in problem.reason


def test_corners_where_centres_are_meant(folder: Path) -> None:
    (problem,) = of_set(as_texts(folder, lambda box: (0, *shares((box[0] + 20, box[1], box[2] + 20, box[3])))))
    assert "read as centre x, centre y, width, height" in problem.reason
    assert "all do as left, top, right, bottom" in problem.reason


def test_exchanged_axes(folder: Path) -> None:
    (problem,) = of_set(as_texts(folder, lambda box: (box[1], box[0], box[3], box[2]), "1\n"))
    assert "all do as top, left, bottom, right" in problem.reason


def test_corners_in_coco(folder: Path) -> None:
    files = [{"id": n, "file_name": f"p{n}.png", "width": WIDTH, "height": HEIGHT} for n in range(8)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": CORNERS[n]} for n in range(8)]
    content = {"images": files, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    problems = read_annotations(folder / "boxes.json", folder / "images").problems
    assert [(p.fault, "all do as left, top, right, bottom" in p.reason) for p in of_set(problems)] == [("order", True)]


def test_a_single_slip_is_no_order(folder: Path) -> None:
    as_texts(folder, lambda box: box, "1\n")
    (folder / "labels" / "p3.txt").write_text("1\n90 60 30 20\n", encoding="utf-8")
    problems = read_annotations(folder / "labels", folder / "images").problems
    assert [(problem.fault, problem.where) for problem in problems] == [("inverted", f"{folder}/labels/p3.txt, line 2")]


def test_shares_where_pixels_are_meant(folder: Path) -> None:
    (problem,) = of_set(as_texts(folder, shares, "1\n"))
    assert (problem.fault, problem.where) == ("unit", f"{folder}/labels/p0.txt, line 2")
    assert "look like shares where pixels are meant; multiply" in problem.reason


def test_pixels_where_shares_are_meant(folder: Path) -> None:
    with pytest.raises(CalcoError, match=r"p0\.txt, line 1: '0 100 70 80 40' would be YOLO's .* divide pixels"):
        as_texts(folder, lambda box: (0, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], 40))


def test_percent_where_shares_are_meant(folder: Path) -> None:
    lines = [
        json.dumps({
            "content": f"http://x.org/p{n}.png",
            "annotation": [{"label": ["cat"], "points": [{"x": 100 * x, "y": 100 * y} for x, y in (box[:2], box[2:])]}],
        })
        for n, box in enumerate(map(shares, CORNERS))
    ]  # fmt: skip
    (folder / "boxes.json").write_text("\n".join(lines), encoding="utf-8")
    (problem,) = of_set(read_annotations(folder / "boxes.json", folder / "images").problems)
    assert "look like percent, or pixels; divide them by 100, or by width and height" in problem.reason


def test_two_formats_in_one_folder(folder: Path) -> None:
    as_texts(folder, centred)
    (folder / "labels" / "p5.txt").write_text("1\n60 50 140 90\n", encoding="utf-8")
    found = read_annotations(folder / "labels", folder / "images")
    assert [(p.fault, p.where) for p in found.problems] == [("mixed", f"{folder}/labels/p5.txt")]
    assert "holds text of counts and corners and the others YOLO text; left out" in found.problems[0].reason
    assert len(found.records) == 7


def test_two_formats_in_two_folders(folder: Path) -> None:
    as_texts(folder, centred)
    content = {"images": [{"id": 1, "file_name": "p0.png"}], "annotations": [], "categories": []}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_annotations(folder, folder / "images")
    assert (found.format, len(found.records)) == ("YOLO text", 8)
    assert found.problems[0].fault == "mixed"
    assert "1 file holds COCO JSON and the others YOLO text, which is read" in found.problems[0].reason
    content["images"] = [{"id": n, "file_name": f"p{n}.png"} for n in range(8)]
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_annotations(folder, folder / "images").format == "COCO JSON"  # of as many, the first


def test_a_image_of_the_other_format_alone_is_no_empty_one(folder: Path) -> None:
    """Beside YOLO's labels an image without one has nothing in it, but not where something else speaks of it."""
    as_texts(folder, centred)
    (folder / "labels" / "p5.txt").unlink()
    content = {"images": [{"id": 1, "file_name": "p5.png"}], "annotations": [], "categories": []}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    source = open_source(folder)
    assert len(source.items) == 7
    assert ("images/p5.png", "only a file in another format, which is not read, annotates it") in source.left_out


def test_labels_in_pixels_are_told_where_the_images_alone_are_read(folder: Path) -> None:
    for number in range(len(CORNERS)):
        (folder / "labels" / f"p{number}.txt").write_text("0 100 60 30 40\n", encoding="utf-8")
    source = open_source(folder)
    assert source.kind == "photographs"
    assert [(p.fault, p.where) for p in source.problems] == [("unit", f"{folder}/labels/p0.txt, line 1")]
    assert "Labels are not read" in source.summary()
    assert open_source(folder, SourceConfig(source="photographs")).problems == ()
