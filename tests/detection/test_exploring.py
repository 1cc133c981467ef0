"""The page of a set of images with boxes: what it counts, what it finds odd, which faults it names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calco import imaging
from calco.cli import main
from calco.data.config import SourceConfig
from calco.detection.config import ExploreConfig
from calco.detection.exploration import ExploreResult, explore
from calco.detection.survey import similar_names
from calco.errors import CalcoError
from detection.bright import draw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of YOLO: faults and oddities in the first ones, the tenth with nothing in it."""
    root = tmp_path_factory.mktemp("set")
    (root / "labels").mkdir()
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        imaging.write(root / "images" / f"p{number}.png", rng.integers(0, 255, (100, 200, 3)).astype(np.uint8))
        lines = [f"0 {0.3 + 0.02 * number:.2f} 0.5 0.2 0.3"] if number < 9 else []
        (root / "labels" / f"p{number}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    odd = {
        0: ["0 0.31 0.5 0.2 0.3"],  # twice
        1: ["1 0.32 0.5 0.2 0.3"],  # under two classes
        2: ["1 0.5 0.5 0.005 0.01"],  # tiny: one pixel
        3: ["2 0.95 0.5 0.2 0.3"],  # reaches outside
        4: ["7 0.5 0.5 0.2 0.2"],  # no such class
        5: ["1 0.5 0.5 0 0.2"],  # empty
    }
    for number, lines in odd.items():
        path = root / "labels" / f"p{number}.txt"
        path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    (root / "labels" / "stranger.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    (root / "classes.txt").write_text("Gun\nknife\nguns\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def explored(folder: Path) -> ExploreResult:
    return explore(ExploreConfig(images=str(folder), out=str(folder.parent / f"{folder.name}-page"), samples=4))


def test_boxes_are_counted(explored: ExploreResult) -> None:
    found = explored.found
    assert (len(found.items), len(found.boxes), int((found.per_image == 0).sum())) == (10, 13, 1)
    assert found.names == ["Gun", "knife", "guns"]
    assert found.seen_at(400)[0] == pytest.approx(60)  # 30 pixels high, in an image of 200 that becomes 400
    assert found.crowded == 1


def test_what_is_odd_is_named(explored: ExploreResult) -> None:
    told = {(one.kind, one.key, one.boxes) for one in explored.found.odd}
    assert told == {
        ("twice", "images/p0", (0, 1)), ("two classes", "images/p1", (0, 1)), ("tiny", "images/p2", (1,)),
    }  # fmt: skip
    assert "1 probably marked twice, 1 under two classes, 1 tiny" in explored.verdict()
    assert "The classes 'Gun' and 'guns' may be one." in explored.verdict()


def test_faults_are_named_with_file_and_line(explored: ExploreResult, folder: Path) -> None:
    told = {(p.fault, p.where) for p in explored.found.faults}
    assert told == {
        ("outside", f"{folder}/labels/p3.txt, line 2"),
        ("unknown class", f"{folder}/labels/p4.txt, line 2"),
        ("empty", f"{folder}/labels/p5.txt, line 2"),
    }
    assert [(Path(name).name, reason) for name, reason in explored.found.left_out] == [
        ("stranger.txt", "no image is named stranger; left out")
    ]
    content = json.loads((explored.page.parent / "explore.json").read_text(encoding="utf-8"))
    assert (content["num_boxes"], content["num_empty"], len(content["faults"])) == (13, 1, 3)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_the_page_opens_in_a_browser(explored: ExploreResult, browser: Any, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(explored.page.as_uri())
    assert page.locator("section h2").all_inner_texts() == [
        "Faults", "To be looked at", "Classes", "Sizes and places", "What a detector sees", "Samples",
    ]  # fmt: skip
    assert "labels/p3.txt, line 2" in page.locator("table").first.inner_text()
    assert page.locator(".mark.double").count() == 5
    assert page.locator(".chart svg").count() >= 5
    page.locator("button.title").first.click()
    assert page.locator("dialog .boxed img").is_visible()
    assert said == []
    page.close()


def test_the_command_tells_classes_faults_and_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["detect", "explore", str(folder), "--out", str(tmp_path / "page"), "--samples", "0"])
    told = capsys.readouterr()
    assert "13 boxes of 3 classes in 10 images, 1 of which has nothing in it." in told.out
    assert "unknown class" in told.out
    assert "explore.html" in told.err


def test_coco_and_other_classes(tmp_path: Path) -> None:
    found = explore(ExploreConfig(images=str(draw(tmp_path, 12)), out=str(tmp_path / "page"))).found
    assert found.faults == []
    assert sum(found.split[item.key] == "train" for item in found.items) > 6
    one = SourceConfig(classes=("red",))
    red = explore(ExploreConfig(images=str(tmp_path), out=str(tmp_path / "page"), source=one)).found
    assert set(red.classes.tolist()) == {"red"}
    assert {p.fault for p in red.faults} == {"unknown class"}


def test_what_has_no_boxes_is_refused(tmp_path: Path) -> None:
    for number in range(3):
        imaging.write(tmp_path / f"p{number}.png", np.full((20, 30, 3), 80 * number, np.uint8))
    with pytest.raises(CalcoError, match="holds no annotations that are known"):
        explore(ExploreConfig(images=str(tmp_path)))
    with pytest.raises(CalcoError, match="no images are named"):
        explore(ExploreConfig())
    with pytest.raises(CalcoError, match=r"--double is 0; an overlap lies above 0"):
        ExploreConfig(images="x", double=0)


def test_a_set_in_which_nothing_is_marked(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for number in range(3):
        imaging.write(tmp_path / f"p{number}.png", np.full((20, 30, 3), 80 * number, np.uint8))
        (tmp_path / "labels" / f"p{number}.txt").write_text("0\n", encoding="utf-8")
    done = explore(ExploreConfig(images=str(tmp_path), out=str(tmp_path / "page")))
    assert "There is nothing to train a detector on." in done.verdict()


def test_names_that_may_be_one_class() -> None:
    assert similar_names(["gun", "Gun", "hand gun", "hand-guns", "bus", "bu"]) == [
        ("gun", "Gun"),
        ("hand gun", "hand-guns"),
    ]
