"""What numbers, ids and names mean: decided for a whole set, never line by line, and reported where it is unclear."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from annotations.sets import HEIGHT, OBJECTS, WIDTH, Ways, coco, write, yolo
from calco import imaging
from calco.annotations.coco import write_coco
from calco.annotations.reading import read_annotations
from calco.annotations.record import Annotations
from calco.data.sources import open_source
from calco.errors import CalcoError

BOX = "0.5 0.5 0.25 0.4"
IN_PIXELS = [30, 18, 50, 42]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images im0.png to im2.png, 80 pixels wide and 60 high."""
    for name in OBJECTS:
        imaging.write(tmp_path / f"{name}.png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return tmp_path


def lines(folder: Path, *texts: str, yaml: str = "names: [person]\n") -> Annotations:
    """Reads one label file an image."""
    (folder / "data.yaml").write_text(yaml, encoding="utf-8")
    for number, text in enumerate(texts):
        (folder / f"im{number}.txt").write_text(text, encoding="utf-8")
    return read_annotations(folder, folder)


def boxes(found: Annotations) -> list[list]:
    return [np.round(record.detections.boxes, 3).tolist() for record in found.records]


def reasons(found: Annotations) -> str:
    return " | ".join(problem.reason for problem in found.problems)


def change(folder: Path, **of_annotations: object) -> Annotations:
    """Reads COCO's file after changing every annotation."""
    content = json.loads(coco(Ways())["boxes.json"])
    for entry in content["annotations"]:
        entry |= {key: value(entry) if callable(value) else value for key, value in of_annotations.items()}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    return read_annotations(folder, folder)


def test_a_sixth_number_is_a_track(folder: Path) -> None:
    found = lines(folder, f"0 {BOX} 7\n0 .2 .2 .1 .1 2\n", f"0 {BOX} 1\n", f"0 {BOX} 3\n")
    assert [record.objects.track_ids.tolist() for record in found.records] == [[7, 2], [1], [3]]
    assert all(record.objects.scores is None for record in found.records)
    assert found.problems == ()
    (folder / "out").mkdir()
    write_coco(folder / "out" / "a.json", found.records)
    written = json.loads((folder / "out" / "a.json").read_text())["annotations"]
    assert [entry["track_id"] for entry in written] == [7, 2, 1, 3]
    assert not any("score" in entry for entry in written)


def test_a_sixth_number_is_a_score(folder: Path) -> None:
    found = lines(folder, f"0 {BOX} 0.25\n", f"0 {BOX} 1\n")
    assert [record.objects.scores.tolist() for record in found.records] == [[0.25], [1.0]]
    assert all(record.objects.track_ids is None for record in found.records)


def test_score_and_track(folder: Path) -> None:
    found = lines(folder, f"0 {BOX} 0.25 1\n", f"0 {BOX} 0.5 2\n0 .1 .1 .1 .1 .75 1\n")
    assert [record.objects.track_ids.tolist() for record in found.records] == [[1], [2, 1]]
    assert found.records[1].objects.scores.tolist() == [0.5, 0.75]
    assert boxes(found)[0] == [IN_PIXELS]


@pytest.mark.parametrize("last", ["1", "45"])
def test_a_sixth_number_that_may_be_anything_is_not_used(folder: Path, last: str) -> None:
    """All ones are a score or a track; one number twice in an image is no track."""
    found = lines(folder, f"0 {BOX} {last}\n0 .1 .1 .1 .1 {last}\n", f"0 {BOX} {last}\n")
    assert all(record.objects.scores is None and record.objects.track_ids is None for record in found.records)
    assert boxes(found)[1] == [IN_PIXELS]
    assert "may be a score, a track id or an angle; it is not used" in reasons(found)


def test_an_angle_is_no_score(folder: Path) -> None:
    found = lines(folder, f"0 {BOX} 1.57\n", f"0 {BOX}\n")
    assert [record.name for record in found.records] == ["im1.png"]
    assert "1.57 is neither a score in [0, 1] nor a track id; write a rotated box as four corners" in reasons(found)


def test_polygons_stay_polygons(folder: Path) -> None:
    found = lines(folder, "0 .1 .1 .5 .1 .5 .9\n", "0 .1 .1 .5 .1 .5 .9 .1 .9\n0 .1 .1 .5 .1 .5 .9 .1 1\n")
    assert [[len(o.polygons[0]) for o in record.objects.outlines] for record in found.records] == [[3], [4, 4]]
    assert found.problems == ()
    scored = lines(folder, "0 .1 .1 .5 .1 .5 .9 .8\n", "0 .1 .1 .5 .1 .5 .9 .1 .9 .7\n")
    assert [record.objects.scores.astype(float).round(2).tolist() for record in scored.records] == [[0.8], [0.7]]
    odd = lines(folder, "0 .1 .1 .5 .1 .5 .9 .8\n0 .1 .1 .5 .1 .5 .9\n", f"0 {BOX}\n")
    assert "7 numbers after the class are neither a box (4) nor a polygon" in reasons(odd)


def pose(count: int, each: int) -> str:
    points = [f"{0.4 + 0.2 * (i % 2)} {0.35 + 0.3 * (i % 3) / 2}" + (" 2" if each == 3 else "") for i in range(count)]
    return f"0 {BOX} {' '.join(points)}"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("count", "each"), [(17, 2), (17, 3), (4, 3), (5, 2)])
def test_the_box_of_a_pose_is_its_first_four_numbers(folder: Path, count: int, each: int, named: bool) -> None:
    yaml = f"kpt_shape: [{count}, {each}]\nnames: [person]\n" if named else "names: [person]\n"
    found = lines(folder, f"{pose(count, each)}\n", f"{pose(count, each)}\n", f"{pose(count, each)}\n", yaml=yaml)
    assert boxes(found) == [[IN_PIXELS]] * 3
    assert all(record.objects.outlines == () for record in found.records)
    assert "keypoints of 3 lines are not used" in reasons(found)
    assert ("no kpt_shape in data.yaml announces" in reasons(found)) != named


def test_poses_with_scores_and_tracks(folder: Path) -> None:
    yaml = "kpt_shape: [4, 3]\nnames: [person]\n"
    found = lines(folder, f"{pose(4, 3)} 0.5 1\n", f"{pose(4, 3)} 0.75 2\n", f"0 {BOX}\n", yaml=yaml)
    assert boxes(found) == [[IN_PIXELS]] * 3
    assert [record.objects.track_ids.tolist() for record in found.records[:2]] == [[1], [2]]
    wrong = lines(folder, f"0 {BOX} .4 .4 2\n", f"{pose(4, 3)}\n", yaml=yaml)
    assert "7 numbers after the class are not a box (4) and 12 of keypoints" in reasons(wrong)
    with pytest.raises(CalcoError, match=r"kpt_shape is \['4', '9'\]; it must be the number of keypoints, then 2 or 3"):
        lines(folder, f"0 {BOX}\n", yaml="kpt_shape: [4, 9]\nnames: [person]\n")


@pytest.mark.parametrize(
    "names", [["no", "yes", "on", "off", "y", "n"], ["012", "1e3", "null", "2020-01-01", "~", "0x1F"], ["cat", "1_000"]]
)
@pytest.mark.parametrize("style", ["list", "dict", "classes.txt"])
def test_words_that_yaml_turns_into_something_else_stay_names(folder: Path, names: list[str], style: str) -> None:
    text = "".join(f"{number} .5 .5 {0.1 + number / 20:.2f} .1\n" for number in range(len(names)))
    listed = f"names: [{', '.join(names)}]\n"
    numbered = "names:\n" + "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    if style == "classes.txt":
        (folder / "CLASSES.TXT").write_text("\r\n".join([*names, "", ""]), encoding="utf-8-sig")
    found = lines(folder, text, yaml={"list": listed, "dict": numbered, "classes.txt": "lr0: 0.01\n"}[style])
    assert list(found.records[0].objects.classes) == names
    assert list(found.classes) == names


def test_a_gap_in_a_list_of_names_is_an_error(folder: Path) -> None:
    (folder / "classes.txt").write_text("cat\n\ndog\n")
    with pytest.raises(CalcoError, match=r"classes.txt, line 2 is empty, and the lines number the classes from 0"):
        lines(folder, f"1 {BOX}\n", yaml="")


def test_numbers_of_classes_that_begin_at_one(folder: Path) -> None:
    with pytest.raises(CalcoError, match="numbered from 1 to 2, and the 2 names begin at 0; subtract 1"):
        lines(folder, f"1 {BOX}\n", f"2 {BOX}\n", yaml="names: [cat, dog]\n")
    found = lines(folder, f"0 {BOX}\n", f"2 {BOX}\n", yaml="names: [cat, dog]\n")  # a slip
    assert [record.objects.classes for record in found.records] == [("cat",)]


@pytest.mark.parametrize("name", ["a\nb", " gun ", "hand \t gun"])
def test_spaces_in_names(folder: Path, name: str) -> None:
    content = json.loads(coco(Ways())["boxes.json"])
    content["categories"][0]["name"] = name
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_annotations(folder, folder)
    assert " ".join(name.split()) in found.classes


def test_names_cannot_break_a_line_or_fill_a_screen(folder: Path) -> None:
    change(folder, category_id=lambda entry: "7\n\x1b[2J" + "x" * 5000)
    content = json.loads((folder / "boxes.json").read_text())
    content["images"].append({"id": 77, "file_name": "no\nsuch\x1bimage" + "y" * 5000})
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_annotations(folder, folder)
    assert found.records == ()
    assert all(str(problem).isprintable() and len(str(problem)) < 2500 for problem in found.problems)
    content["categories"][0]["name"] = "x" * 300
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CalcoError, match="too long or holds control characters") as caught:
        read_annotations(folder, folder)
    assert len(str(caught.value)) < 500


def test_names_that_contradict_each_other(folder: Path) -> None:
    (folder / "classes.txt").write_text("dog\ncat\n")
    found = lines(folder, f"1 {BOX}\n", yaml="names: [cat, dog]\n")
    assert found.records[0].objects.classes == ("dog",)
    assert f"those of {folder}/data.yaml; {folder}/classes.txt has others" in reasons(found)
    with pytest.raises(CalcoError, match=r"data.yaml: nc is 3, and there are 2 names"):
        lines(folder, f"1 {BOX}\n", yaml="nc: 3\nnames: [cat, dog]\n")


YAML_BOMB = "".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]\n"]
    + [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghi")]
    + ["names: *i\n"]
)


@pytest.mark.parametrize(
    ("text", "says"),
    [(YAML_BOMB, "names must be a list of words"), ("names: " + "[" * 1_000, "not valid YAML"),
     ("names:\n" + "  0: a\n" * 600_000, "the names of classes need less than"),
     ("names: [gun]\nkpt_shape: [999999999, 3]\n", "kpt_shape is"),
     ("names: {0: a, 99999999: b}\n", "numbered from 0 without gaps"), ("names: [[a, b]]\n", "a list of words")],
)  # fmt: skip
def test_a_small_file_never_becomes_a_large_one(folder: Path, text: str, says: str) -> None:
    with pytest.raises(CalcoError, match="data.yaml") as caught:
        lines(folder, f"0 {BOX}\n", yaml=text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("texts", "lost"),
    [(("0 .5 .5 .2 x\n", f"0 {BOX}\n"), "im0.png"), ((f"7 {BOX}\n", f"0 {BOX}\n"), "im0.png"),
     ((f"0 {BOX}\n", "0 5 5 .2 .2\n"), "im1.png"), ((f"0 {BOX}\n", "0 0,5 0,5 0,2 0,2\n"), "im1.png"),
     ((f"0 {BOX}\n", "0 .5 .5 0 0\n"), "im1.png")],
)  # fmt: skip
def test_an_image_that_lost_its_only_box_is_no_negative(folder: Path, texts: tuple[str, str], lost: str) -> None:
    found = lines(folder, *texts)
    assert lost not in [record.name for record in found.records]
    assert ("incomplete", lost) in [(problem.fault, problem.image) for problem in found.problems]
    source = open_source(folder)
    assert sorted(item.key for item in source.items) == sorted({"im0", "im1", "im2"} - {lost[:3]})
    assert lost in dict(source.left_out)
    (folder / f"{lost[:3]}.txt").write_text("")  # an empty label says that nothing is there
    assert len(open_source(folder).items) == 3


def test_images_in_a_folder_without_any_label_are_not_negatives(folder: Path) -> None:
    lines(folder, f"0 {BOX}\n")
    (folder / "unlabelled").mkdir()
    imaging.write(folder / "unlabelled" / "x.png", np.zeros((60, 80, 3), np.uint8))
    source = open_source(folder)
    assert [item.key for item in source.items] == ["im0", "im1", "im2"]
    assert dict(source.left_out)["unlabelled/x.png"] == "it has no annotations"


@pytest.mark.parametrize(
    "ids",
    [{"image_id": lambda entry: str(entry["image_id"])}, {"category_id": lambda entry: str(entry["category_id"])},
     {"image_id": lambda entry: float(entry["image_id"])}, {"bbox": lambda entry: list(map(str, entry["bbox"]))},
     {"iscrowd": "0"}, {"iscrowd": False}, {"segmentation": [{"size": [60, 80], "counts": "broken"}]},
     {"segmentation": None}, {"score": None}],
)  # fmt: skip
def test_ids_and_numbers_may_be_texts(folder: Path, ids: dict) -> None:
    found = change(folder, **ids)
    names = {record.name.partition(".")[0]: sorted(record.objects.classes) for record in found.records}
    assert names == {name: sorted(label for label, _ in each) for name, each in OBJECTS.items()}
    assert all(record.objects.ignored is None for record in found.records)
    assert ("the box alone is kept" in reasons(found)) == (ids.get("segmentation") is not None)


def test_ids_that_are_mixed_up_leave_images_out(folder: Path) -> None:
    """An annotation that belongs to no image may be that of any image without annotations."""
    content = json.loads(coco(Ways())["boxes.json"])
    negative = {"id": 99, "file_name": "im9.png", "width": WIDTH, "height": HEIGHT}
    imaging.write(folder / "im9.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    content["images"].append(negative)
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    assert len(read_annotations(folder, folder).records) == 4  # nothing is in im9
    wrong = content["annotations"][0]["image_id"]
    alone = [entry for entry in content["annotations"] if entry["image_id"] == wrong]
    for entry in alone:
        entry["image_id"] = "somewhere"
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_annotations(folder, folder)
    assert all(len(record.objects) for record in found.records)
    assert len(found.records) == 2
    assert {problem.fault for problem in found.problems} == {"no image", "incomplete"}


def test_an_id_of_two_images_or_two_classes_is_nobodys(folder: Path) -> None:
    content = json.loads(coco(Ways())["boxes.json"])
    content["images"][1]["id"] = content["images"][0]["id"]
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_annotations(folder, folder)
    assert [record.name for record in found.records] == [content["images"][2]["file_name"]]
    content = json.loads(coco(Ways())["boxes.json"])
    content["categories"].append({"id": 0, "name": "zebra"})
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_annotations(folder, folder)
    assert {name for record in found.records for name in record.objects.classes} == {"dog"}
    assert "im2.png" not in [record.name for record in found.records]  # its cats are lost
    assert "the id 0 is that of two categories, cat and zebra" in reasons(found)


def test_an_image_that_is_listed_twice_keeps_the_boxes_of_both(folder: Path) -> None:
    content = json.loads(coco(Ways())["boxes.json"])
    first = content["images"][0]
    content["images"].append(first | {"id": 88})
    content["annotations"].append({"image_id": 88, "category_id": 1, "bbox": [1, 1, 7, 7]})
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_annotations(folder, folder)
    (record,) = [record for record in found.records if record.name == first["file_name"]]
    assert len(record.objects) == len(OBJECTS[first["file_name"].removesuffix(".png")]) + 1
    assert [problem.fault for problem in found.problems] == ["duplicate"]


def test_the_yaml_of_another_program_is_passed_over(folder: Path) -> None:
    (folder / "a.yaml").write_text("services: [broken\n")
    (folder / "b.yaml").write_text("jobs: {a: 1}\n")
    assert lines(folder, f"0 {BOX}\n").classes == ("person",)
    (folder / "a.yaml").write_text("names: [broken\n")
    with pytest.raises(CalcoError, match=r"a.yaml is not valid YAML"):
        lines(folder, f"0 {BOX}\n")


def test_captions_do_not_hide_boxes(folder: Path) -> None:
    content = json.loads(coco(Ways())["boxes.json"])
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    captions = [{"image_id": entry["id"], "id": n, "caption": "a cat"} for n, entry in enumerate(content["images"])]
    (folder / "a_captions.json").write_text(json.dumps(content | {"annotations": captions}), encoding="utf-8")
    found = read_annotations(folder, folder)
    assert len(found.records) == 3 and all(len(record.objects) for record in found.records)
    assert [problem.fault for problem in found.problems] == ["unreadable"]
    assert "has no boxes" in reasons(found)


def test_a_file_without_annotations_says_nothing_of_its_images(folder: Path) -> None:
    content = json.loads(coco(Ways())["boxes.json"])
    del content["annotations"]
    (folder / "image_info_test.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CalcoError, match="no list of annotations, which its format needs"):
        read_annotations(folder, folder)


@pytest.mark.parametrize("name", ["C:\\data\\shots\\{}.JPG", "/home/somebody/{}.jpeg", "imgs%20old/{}.png", "{}.PNG ",
                                  "1a2b3c4d-{}.png", ".\\images/{}"])  # fmt: skip
def test_names_from_elsewhere(folder: Path, name: str) -> None:
    content = json.loads(coco(Ways())["boxes.json"])
    for entry in content["images"]:
        entry["file_name"] = name.format(entry["file_name"].removesuffix(".png"))
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    assert len(read_annotations(folder, folder).records) == 3


def test_the_same_object_twice_is_taken_once(folder: Path) -> None:
    found = lines(folder, f"0 {BOX}\n0 {BOX}\n", f"0 {BOX}\n0 {BOX.replace('0.4', '0.3')}\n")
    assert [len(record.objects) for record in found.records] == [1, 2]
    assert "the same object is given twice" in reasons(found)


def corners_of(degrees: float) -> np.ndarray:
    """A box of 20 x 10 about (40, 30), rotated clockwise."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    flat = np.array([[-10, -5], [10, -5], [10, 5], [-10, 5]])
    return flat @ np.array([[cosine, sine], [-sine, cosine]]) + (40, 30)


RECTANGLE = {"x": 40 - 10, "y": 30 - 5, "width": 20, "height": 10}


def rolabelimg(degrees: float) -> tuple[str, str]:
    box = f"<cx>40</cx><cy>30</cy><w>20</w><h>10</h><angle>{math.radians(degrees)}</angle>"
    entry = f"<object><type>robndbox</type><name>gun</name><robndbox>{box}</robndbox></object>"
    return "im0.xml", f"<annotation>{entry}</annotation>"


def cvat_box(degrees: float) -> tuple[str, str]:
    box = f'<box label="gun" xtl="30" ytl="25" xbr="50" ybr="35" rotation="{degrees}"/>'
    return "a.xml", f'<annotations><image name="im0.png" width="80" height="60">{box}</image></annotations>'


def labelstudio_box(degrees: float) -> tuple[str, str]:
    x, y = corners_of(degrees)[0]  # the corner about which it is rotated
    value = {"x": x / 0.8, "y": y / 0.6, "width": 25, "height": 10 / 0.6, "rotation": degrees}
    value |= {"rectanglelabels": ["gun"]}
    region = {"type": "rectanglelabels", "original_width": 80, "original_height": 60, "value": value}
    return "a.json", json.dumps([{"data": {"image": "im0.png"}, "annotations": [{"result": [region]}]}])


def labelme_shape(kind: str, degrees: float) -> tuple[str, str]:
    shape = {"label": "gun", "shape_type": kind, "points": corners_of(degrees).tolist(), "direction": 0.3}
    return "im0.json", json.dumps({"shapes": [shape], "imagePath": "im0.png"})


def yolo_corners(degrees: float) -> tuple[str, str]:
    return "im0.txt", f"0 {' '.join(map(str, (corners_of(degrees) / (80, 60)).ravel()))}\n"


def dota_corners(degrees: float) -> tuple[str, str]:
    return "im0.txt", f"gsd:0.5\n{' '.join(map(str, corners_of(degrees).ravel()))} gun 0\n"


def coco_corners(key: str, degrees: float) -> tuple[str, str]:
    flat = corners_of(degrees).ravel().tolist()
    entry = {"image_id": 1, "category_id": 1, key: [flat] if key == "segmentation" else flat}
    entry |= {"bbox": [40, 30, 20, 10, degrees]} if key == "segmentation" else {}
    content = {"images": [{"id": 1, "file_name": "im0.png"}], "categories": [{"id": 1, "name": "gun"}]}
    return "a.json", json.dumps(content | {"annotations": [entry]})


@pytest.mark.parametrize("degrees", [0, 30, 90, -20])
@pytest.mark.parametrize(
    "made",
    [rolabelimg, cvat_box, labelstudio_box, yolo_corners, dota_corners,
     *(lambda degrees, kind=kind: labelme_shape(kind, degrees) for kind in ("rotation", "oriented_rectangle")),
     *(lambda degrees, key=key: coco_corners(key, degrees) for key in ("segmentation", "bbox"))],
)  # fmt: skip
def test_the_corners_of_a_rotated_box_are_its_outline(folder: Path, made, degrees: float) -> None:
    name, text = made(degrees)
    (folder / name).write_text(text, encoding="utf-8")
    found = read_annotations(folder, folder)
    assert found.problems == ()
    (record,) = found.records
    expected = corners_of(degrees)
    objects = record.detections
    np.testing.assert_allclose(objects.boxes[0], [*expected.min(0), *expected.max(0)], atol=0.01)
    if objects.outlines:  # a box that is not rotated may stay a box
        seen = {tuple(corner) for corner in objects.outlines[0].polygons[0].astype(float).round(1).tolist()}
        assert seen == {tuple(corner) for corner in (expected.round(1) + 0.0).tolist()}
    else:
        assert degrees == 0


def test_a_rotated_box_that_cannot_be_read_is_not_nothing(folder: Path) -> None:
    entry = {"image_id": 1, "category_id": 1, "bbox": [40, 30, 20, 10, 0.3]}
    content = {"images": [{"id": 1, "file_name": "im0.png"}], "categories": [{"id": 1, "name": "gun"}]}
    (folder / "a.json").write_text(json.dumps(content | {"annotations": [entry]}), encoding="utf-8")
    found = read_annotations(folder, folder)
    assert found.records == ()
    assert "its bbox has 5 numbers" in reasons(found)


def test_yolo_beside_a_file_of_another_format_that_is_not_read(folder: Path) -> None:
    write(folder, yolo(Ways()), Ways())
    results = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]
    (folder / "results.json").write_text(json.dumps(results))
    found = read_annotations(folder, folder)
    assert len(found.records) == 3
    assert "it holds COCO's list of results, without images and classes, which is not read" in reasons(found)
