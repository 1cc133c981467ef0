"""Sets whose boxes were written in another order or unit, and sets in two formats: named with file and line."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from calco import images
from calco.annotations.reading import read_annotations
from calco.annotations.record import Problem
from calco.errors import CalcoError

WIDTH, HEIGHT = 200, 120
Box = tuple[float, float, float, float]
CORNERS: list[Box] = [(60 + 9 * n, 50 + 3 * n, 140 + 5 * n, 90 + 2 * n) for n in range(8)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(len(CORNERS)):
        images.write(tmp_path / "pictures" / f"p{number}.png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    (tmp_path / "labels").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def _pictures_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir(exist_ok=True)


def as_texts(folder: Path, line: Callable[[Box], Sequence[float]], head: str = "") -> list[Problem]:
    """Writes a label a picture, reads all, and gives what is wrong."""
    for number, box in enumerate(CORNERS):
        text = head + " ".join(f"{value:g}" for value in line(box)) + "\n"
        (folder / "labels" / f"p{number}.txt").write_text(text, encoding="utf-8")
    return list(read_annotations(folder / "labels", folder / "pictures").problems)


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
    problems = read_annotations(folder / "boxes.json", folder / "pictures").problems
    assert [(p.fault, "all do as left, top, right, bottom" in p.reason) for p in of_set(problems)] == [("order", True)]


def test_a_single_slip_is_no_order(folder: Path) -> None:
    as_texts(folder, lambda box: box, "1\n")
    (folder / "labels" / "p3.txt").write_text("1\n90 60 30 20\n", encoding="utf-8")
    problems = read_annotations(folder / "labels", folder / "pictures").problems
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
    (problem,) = of_set(read_annotations(folder / "boxes.json", folder / "pictures").problems)
    assert "look like percent; divide them by 100" in problem.reason


def test_two_formats_in_one_folder(folder: Path) -> None:
    as_texts(folder, centred)
    (folder / "labels" / "p5.txt").write_text("1\n60 50 140 90\n", encoding="utf-8")
    found = read_annotations(folder / "labels", folder / "pictures")
    assert [(p.fault, p.where) for p in found.problems] == [("mixed", f"{folder}/labels/p5.txt")]
    assert "holds text of counts and corners and the others YOLO text; left out" in found.problems[0].reason
    assert len(found.records) == 7


def test_two_formats_in_two_folders(folder: Path) -> None:
    as_texts(folder, centred)
    content = {"images": [{"id": 1, "file_name": "p0.png"}], "annotations": [], "categories": []}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    problems = read_annotations(folder, folder / "pictures").problems
    assert problems[0].fault == "mixed"
    assert "8 files hold YOLO text and the others COCO JSON, which is read" in problems[0].reason
