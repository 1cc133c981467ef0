"""Every format is recognised and read; everything wrong is corrected or left out, and named."""

import base64
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.annotations.detections import outline_mask
from calco.annotations.reading import FORMATS, read_annotations
from calco.annotations.record import Annotations, Record
from calco.annotations.sniffing import holds_annotations, sniff
from calco.errors import CalcoError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the images a.png to c.png, 40 pixels wide and 30 high."""
    for name in "abc":
        imaging.write(tmp_path / f"{name}.png", np.zeros((30, 40, 1), np.uint8))
    return tmp_path


def put(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def refusal(path: Path, images: Path | None = None) -> str:
    with pytest.raises(CalcoError) as caught:
        read_annotations(path, images)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def said(found: Annotations) -> list[tuple[str, str]]:
    """The problems, without the folder."""
    return [(problem.fault, f"{Path(problem.where).name}: {problem.reason}") for problem in found.problems]


def only(found: Annotations) -> Record:
    assert found.problems == ()
    (record,) = found.records
    return record


def only_boxes(found: Annotations) -> dict[str, list]:
    return {record.name: record.detections.boxes.tolist() for record in found.records}


def voc(*objects: str, size: str = "<size><width>40</width><height>30</height></size>", name: str = "a.png") -> str:
    return f"<annotation><filename>{name}</filename>{size}{''.join(objects)}</annotation>"


def voc_box(*sides: object, name: str = "cat", more: str = "") -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True)
    box = "".join(f"<{tag}>{side}</{tag}>" for tag, side in tags)
    return f"<object><name>{name}</name><bndbox>{box}</bndbox>{more}</object>"


def coco(*annotations: dict, size: tuple[int, int] = (40, 30)) -> dict:
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": size[0], "height": size[1]}],
        "annotations": [{"image_id": 7, "category_id": 3, **each} for each in annotations],
        "categories": [{"id": 3, "name": "zebra"}, {"id": 5, "name": "ant"}],
    }


def labelme(*shapes: dict) -> dict:
    return {"version": "5", "shapes": list(shapes), "imagePath": "a.png", "imageWidth": 40, "imageHeight": 30}


def shape(kind: str, *points: tuple[float, float], **more: object) -> dict:
    return {"label": "cat", "shape_type": kind, "points": points, **more}


def line(*points: tuple[float, float], **more: object) -> dict:
    corners = [{"x": x, "y": y} for x, y in points]
    box = {"label": ["Face"], "points": corners, "imageWidth": 40, "imageHeight": 30}
    return {"content": "http://host/folder/a.png?x=1", "annotation": [box], **more}


def test_coco(folder: Path) -> None:
    content = coco({"bbox": [4, 6, 8, 10]}, {"bbox": [0, 0, 9, 9], "segmentation": [[0, 0, 8, 0, 8, 8]]})
    found = read_annotations(put(folder, "all.json", content), folder)
    record = only(found)
    assert (found.format, found.classes, record.name, record.size_wh) == (
        "COCO JSON",
        ("zebra", "ant"),
        "a.png",
        (40, 30),
    )
    assert record.detections.boxes.tolist() == [[4, 6, 12, 16], [0, 0, 9, 9]]
    assert record.detections.outlines[0] is None
    assert outline_mask(record.detections.outlines[1], 30, 40).sum() == 36


@pytest.mark.parametrize("counts", [[31, 2, 28, 2, 1137], "o02l00eR1"])
def test_coco_run_lengths(folder: Path, counts: object) -> None:
    packed = {"segmentation": {"size": [30, 40], "counts": counts}, "iscrowd": 1}
    record = only(read_annotations(put(folder, "all.json", coco(packed)), folder))
    expected = np.zeros((30, 40), bool)
    expected[1:3, 1:3] = True
    assert np.array_equal(record.detections.outlines[0].mask, expected)
    assert record.detections.boxes.tolist() == [[1, 1, 3, 3]]
    assert record.detections.ignored.tolist() == [True]
    assert record.at(80, 60).detections.outlines[0].mask.sum() == 16


def test_voc(folder: Path) -> None:
    text = voc(voc_box(1, 1, 40, 30), voc_box("5", "6.0", 10, 10, name="dog", more="<difficult>1</difficult>"))
    found = read_annotations(put(folder, "xml/a.xml", text), folder)
    assert (found.format, found.classes) == ("Pascal VOC XML", ("cat", "dog"))
    assert only(found).detections.boxes.tolist() == [[0, 0, 40, 30], [4, 5, 10, 10]]
    assert only(found).detections.ignored.tolist() == [False, True]


@pytest.mark.parametrize("names", ["classes.txt", "data.yaml", "obj.names", None])
def test_yolo(folder: Path, names: str | None) -> None:
    if names:
        put(folder, names, "names: {1: dog, 0: cat}" if names == "data.yaml" else "cat\ndog\n")
    put(folder, "labels/a.txt", "1 0.5 0.5 0.5 0.2\n\n0 0 0 0.5 0 0.5 0.4 0 0.4\n")
    put(folder, "labels/b.txt", "")
    found = read_annotations(folder / "labels", folder)
    assert (found.format, found.problems) == ("YOLO text", ())
    first, second = found.records
    assert np.allclose(first.detections.boxes, [[10, 12, 30, 18], [0, 0, 20, 12]])
    assert first.detections.outlines[0] is None
    assert outline_mask(first.detections.outlines[1], 30, 40).sum() == 240
    assert first.detections.classes == (("dog", "cat") if names else ("1", "0"))
    assert (second.name, len(second.objects)) == ("b.png", 0)


def test_yolo_without_images_stays_in_shares(folder: Path) -> None:
    record = only(read_annotations(put(folder, "a.txt", "0 0.5 0.5 0.5 0.2 0.9")))
    assert record.size_wh == (1, 1)
    assert np.allclose(record.at(40, 30).detections.boxes, [[10, 12, 30, 18]])
    assert np.allclose(record.detections.scores, [0.9])


def test_labelme(folder: Path) -> None:
    mask = np.array([[0, 255], [255, 255]], np.uint8)
    png = io.BytesIO()
    Pillow.fromarray(mask).save(png, "PNG")
    content = labelme(
        shape("rectangle", (10, 20), (2, 4)),
        shape("polygon", (0, 0), (4, 0), (4, 4), (0, 4), group_id=1),
        shape("circle", (20, 15), (25, 15)),
        shape("polygon", (10, 0), (14, 0), (14, 4), group_id=1),
        shape("mask", (30, 20), (31, 21), mask=base64.b64encode(png.getvalue()).decode()),
        shape("line", (0, 0), (5, 5)),
    )
    found = read_annotations(put(folder, "a.json", content), folder)
    objects = found.records[0].detections
    assert said(found) == [
        ("damaged", "a.json, shapes[5]: a line encloses nothing; left out"),
        ("inverted", "a.json, shapes[0]: the box 10 20 2 4 has its corners exchanged; put in order"),
    ]
    assert objects.boxes.tolist() == [[2, 4, 10, 20], [0, 0, 14, 4], [15, 10, 25, 20], [30, 20, 32, 22]]
    assert [o and outline_mask(o, 30, 40).sum() for o in objects.outlines[:2]] == [None, 26]
    assert np.argwhere(objects.outlines[3].mask).tolist() == [[20, 31], [21, 30], [21, 31]]
    assert abs(int(outline_mask(objects.outlines[2], 30, 40).sum()) - 79) <= 2


def test_counts_and_corners(folder: Path) -> None:
    put(folder, "Labels/a.txt", "2\r\n1 2 11 12\r\n0 0 4 4 hand gun\r\n")
    put(folder, "Labels/b.txt", "0\n")
    found = read_annotations(folder / "Labels", folder)
    assert (found.classes, [len(record.objects) for record in found.records]) == (("hand gun", "object"), [2, 0])
    assert found.records[0].detections.boxes.tolist() == [[1, 2, 11, 12], [0, 0, 4, 4]]
    assert read_annotations(folder / "Labels/b.txt", folder, classes=["gun"]).classes == ("gun",)


def test_json_lines(folder: Path) -> None:
    rows = [line((0.25, 0.1), (0.5, 0.5)), line((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5), content="b.png"),
            line((0, 0), (1, 0), (1, 1), content="c.png"), {"content": "d.png", "annotation": None}]  # fmt: skip
    path = put(folder, "faces.json", "\n".join(map(json.dumps, rows)))
    found = read_annotations(path, folder)
    assert [record.name for record in found.records] == ["a.png", "b.png", "c.png"]
    assert [record.detections.boxes.tolist() for record in found.records[:2]] == [[[10, 3, 20, 15]], [[0, 0, 20, 15]]]
    assert outline_mask(found.records[2].detections.outlines[0], 30, 40).sum() == 600
    alone = read_annotations(path).records
    assert [(each.number, each.name, each.size_wh) for each in alone][-1] == (3, "d.png", (1, 1))
    assert alone[0].address == "http://host/folder/a.png?x=1"
    assert alone[0].at(80, 60).detections.boxes.tolist() == [[20, 6, 40, 30]]


def test_json_lines_go_by_number_where_names_are_unknown(tmp_path: Path) -> None:
    for name in ("img0", "img2", "img10", "m1_s"):
        imaging.write(tmp_path / f"{name}.png", np.zeros((30, 40, 1), np.uint8))
    rows = [line((0.1 * i, 0), (1, 1), content=f"http://host/{i}-x.jpg") for i in range(3)]
    path = put(tmp_path, "faces.json", "\n".join(map(json.dumps, rows)))
    found = read_annotations(path, tmp_path)
    assert [(record.name, record.number) for record in found.records] == [("img0.png", 0), ("img2.png", 2)]
    assert said(found) == [("no image", "faces.json, line 2: no image has the number 1; left out")]


def test_a_image_of_other_proportions_is_the_wrong_one(tmp_path: Path) -> None:
    imaging.write(tmp_path / "img0.png", np.zeros((40, 30, 1), np.uint8))
    found = read_annotations(put(tmp_path, "x.json", json.dumps(line((0, 0), (1, 1), content="u"))), tmp_path)
    assert said(found)[0][0] == "other size"
    assert "30x40 pixels and was annotated at 40x30" in said(found)[0][1]


def test_coordinates_are_those_of_the_upright_image(tmp_path: Path) -> None:
    turned = Pillow.Exif()
    turned[0x0112] = 6
    Pillow.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "a.jpg", exif=turned)
    record = only(read_annotations(put(tmp_path, "a.txt", "0 0.5 0.5 1 0.5"), tmp_path))
    assert imaging.read(tmp_path / "a.jpg").shape == (40, 30, 3)
    assert record.detections.boxes.tolist() == [[0, 10, 30, 30]]


def test_images_that_were_made_smaller_keep_their_boxes(folder: Path) -> None:
    content = coco({"bbox": [80, 60, 80, 60]}, size=(401, 300))
    assert np.allclose(
        only(read_annotations(put(folder, "x.json", content), folder)).detections.boxes, [[8, 6, 16, 12]], atol=0.1
    )


def test_the_folders_around_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        put(tmp_path, f"{part}/x", "")
        imaging.write(tmp_path / part / "a.png", np.zeros((30, 40, 1), np.uint8))
        put(tmp_path, f"annotations/instances_{part}.json", coco({"bbox": [1, 1, 5, 5]}))
    found = read_annotations(tmp_path, tmp_path)
    assert [record.name for record in found.records] == ["train2017/a.png", "val2017/a.png"]
    lone = read_annotations(put(tmp_path, "all.json", coco({"bbox": [1, 1, 5, 5]})), tmp_path)
    assert "2 images are named a.png" in said(lone)[0][1]


@pytest.mark.parametrize(
    ("sides", "boxes", "fault", "says"),
    [((-3, 2, 20, 50), [[0, 2, 20, 30]], "outside", "the box -3 2 20 50 reaches outside the image of 40x30; clipped"),
     ((50, 2, 60, 9), [], "outside", "the box 50 2 60 9 lies outside the image of 40x30; left out"),
     ((5, 5, 5, 9), [], "empty", "the box 5 5 5 9 encloses nothing; left out"),
     ((9, 8, 2, 3), [[2, 3, 9, 8]], "inverted", "the box 9 8 2 3 has its corners exchanged; put in order"),
     (("nan", 8, 2, 3), [], "damaged", "'nan 8 2 3' is not a box (xmin ymin xmax ymax); left out"),
     ((1e300, 8, 2, 3), [], "damaged", "'1e+300 8 2 3' is not a box (xmin ymin xmax ymax); left out")],
)  # fmt: skip
def test_bad_boxes(folder: Path, sides: tuple, boxes: list, fault: str, says: str) -> None:
    found = read_annotations(put(folder, "a.txt", f"2\n{' '.join(map(str, sides))}\n0 0 4 4"), folder)
    assert found.records[0].detections.boxes.tolist() == [*boxes, [0, 0, 4, 4]]
    assert said(found) == [(fault, f"a.txt, line 2: {says}")]


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [("x.json", coco({"bbox": [-2, 0, 5, 5]}, {"bbox": [0, 0, 0, 5]}, {"bbox": [9, 9, -4, -4]}, {"bbox": "none"}, {},
                     {"bbox": [50, 50, 5, 5]}, {"bbox": [0, 0, 5, 5], "category_id": 9}, {"bbox": [1, 2]},
                     {"bbox": [0, 0, 5, 5], "image_id": 8}, {"segmentation": {"size": [30, 40], "counts": "5"}},
                     {"segmentation": [[1, 1, 2]]}, {"segmentation": [[1, 1, 2, 2]], "bbox": [0, 0, 5, 5]},
                     {"bbox": [0, 0, 5, 5], "segmentation": {"size": [3, 4], "counts": [1, 11]}}),
      {"outside": 2, "empty": 2, "inverted": 1, "damaged": 6, "unknown class": 1, "no image": 1}),
     ("x.xml", voc(voc_box(0, 0, 90, 9), voc_box(9, 9, 3, 3), voc_box("x", 1, 2, 3), voc_box(1, 1, 5, 5, name=" "),
                   "<object/>", voc_box(60, 60, 70, 70)),
      {"outside": 2, "inverted": 1, "damaged": 3}),
     ("a.txt", "0 0.5 0.5 0.5 0.5\nzero 1 1 1 1\n0 0.5 0.5\n-1 .5 .5 .5 .5\n0.5 .5 .5 .5 .5\n0 .9 .9 .4 .4\n0 9 9 1 1\n"
               "0 .5 .5 0 0\n0 .5 .5 -.2 .2\n0 .1 .1 .2 .2 .3 .3 .4\n",
      {"damaged": 5, "outside": 2, "empty": 1, "inverted": 1}),
     ("a.json", labelme(shape("polygon", (0, 0), (5, 5)), shape("rectangle", (1, 1)), shape("mask", (0, 0), mask="@"),
                        shape("mask", (0, 0), mask=base64.b64encode(b"\x89PNG\r\n\x1a\nnone").decode()),
                        {}, {"label": 3},
                        shape("rectangle", (-5, -5), (10, 10)), shape("point", (1, 1))),
      {"damaged": 6, "empty": 2, "outside": 1}),
     ("x.jsonl", "\n".join([json.dumps(line((0, 0), (1, 2))), "{broken", "[]", json.dumps(line((0, 0))),
                            json.dumps({"content": "b.png", "annotation": 5})]),
      {"outside": 1, "unreadable": 3, "damaged": 1})],
)  # fmt: skip
def test_everything_wrong_in_one_file(folder: Path, name: str, content: object, faults: dict) -> None:
    found = read_annotations(put(folder, name, content), folder)
    assert Counter(problem.fault for problem in found.problems) == faults
    for problem in found.problems:
        assert problem.where.startswith(str(folder / name))
        assert "Error" not in problem.reason
        assert "\n" not in str(problem)
    for record in found.records:
        sizes = np.array([*record.size_wh] * 2)
        assert ((record.detections.boxes >= 0) & (record.detections.boxes <= sizes)).all()


def test_unknown_classes(folder: Path) -> None:
    put(folder, "classes.txt", "cat")
    yolo = read_annotations(put(folder, "a.txt", "0 .5 .5 .1 .1\n4 .5 .5 .1 .1"), folder)
    assert said(yolo) == [("unknown class", "a.txt, line 2: class 4 has no name; there are 1, from 0; left out")]
    path = put(folder, "x.xml", voc(voc_box(1, 1, 5, 5), voc_box(1, 1, 5, 5, name="dog")))
    found = read_annotations(path, folder, classes=["dog"])
    assert said(found) == [("unknown class", "x.xml, object 1: 'cat' is none of the classes dog; left out")]
    assert (found.classes, found.records[0].detections.classes) == (("dog",), ("dog",))


def test_a_wrong_count_is_told(folder: Path) -> None:
    found = read_annotations(put(folder, "a.txt", "3\n1 2 11 12\n"), folder)
    assert said(found) == [("damaged", "a.txt, line 1: it counts 3 boxes and has 1 lines of them; the lines are taken")]
    assert len(found.records[0].objects) == 1


def test_an_image_is_annotated_once(folder: Path) -> None:
    content = coco({"bbox": [0, 0, 9, 9]}, {"bbox": [2, 2, 5, 5], "image_id": 8})
    content["images"].append({"id": 8, "file_name": "sub/a.png", "width": 40, "height": 30})
    found = read_annotations(put(folder, "all.json", content), folder)
    assert only_boxes(found) == {"a.png": [[0, 0, 9, 9]]}
    assert [fault for fault, _ in said(found)] == ["duplicate"]
    assert "a.png is annotated already, in" in said(found)[0][1]
    content["images"].reverse()  # the name itself counts before the order
    assert only_boxes(read_annotations(put(folder, "all.json", content), folder)) == {"a.png": [[0, 0, 9, 9]]}


def test_of_two_files_about_an_image_the_one_with_boxes_counts(folder: Path) -> None:
    put(folder, "one.json", coco())
    put(folder, "two.json", coco({"bbox": [1, 1, 5, 5]}))
    assert only_boxes(read_annotations(folder, folder)) == {"a.png": [[1, 1, 6, 6]]}


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;">]>
<annotation><filename>&lol2;</filename></annotation>"""
OUTSIDE = """<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>"""


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("x.json", '{"images": [],\n "annotations": [1,, 2], "categories": []}', "x.json, line 2, column 20: broken JSON"),
     ("x.json", '{"images": [], "annotations": ' + "[" * 100_000, "nested too deeply"),
     ("x.json", '{"images": [], "annotations": [' + "9" * 5000 + "]}", "cannot be read"),
     ("x.json", '{"images": 3, "annotations": []}', "no list of images"),
     ("x.json", '{"images": [], "annotations": []}', "categories need an id and a name"),
     ("x.json", '{"shapes": 5, "imagePath": ""}', "no list of shapes"),
     ("x.json", b'{"images": [],\n"annotations": ["\xe9"]}', "line 2: the byte 0xe9 is not UTF-8"),
     ("x.json", '{"weights": [1, 2]}', "holds no annotations that are known; the formats are COCO JSON"),
     ("x.json", "[1, 2", "x.json, line 1, column 6: broken JSON"),
     ("x.json", "", "broken JSON"),
     ("x.xml", "<annotation><object></annotation>", "line 1, column 23: broken XML (mismatched tag)"),
     ("x.xml", BOMB, "line 1: it defines a document type"),
     ("x.xml", OUTSIDE, "it defines a document type"),
     ("x.xml", b"<annotation>\n\xe9</annotation>", "line 2, column 1: broken XML"),
     ("x.xml", '<?xml version="1.0" encoding="nonsense"?><annotation/>', "broken XML"),
     ("x.xml", "<other><annotation/></other>", "is a 'other'"),
     ("x.txt", b"0 .5 .5 .1 .1\n\xff", "line 2: the byte 0xff is not UTF-8"),
     ("x.txt", "a caption of the image", "holds no annotations that are known"),
     ("none.xml", None, "No such file")],
)  # fmt: skip
def test_files_that_cannot_be_read(folder: Path, name: str, content: str | bytes | None, says: str) -> None:
    path = folder / name if content is None else put(folder, name, content)
    assert says in refusal(path)
    assert str(path) in refusal(path)


def test_one_bad_file_does_not_cost_the_others(folder: Path) -> None:
    put(folder, "a.xml", voc(voc_box(1, 1, 5, 5)))
    put(folder, "b.xml", BOMB)
    found = read_annotations(folder, folder)
    assert [record.name for record in found.records] == ["a.png"]
    assert [problem.fault for problem in found.problems] == ["unreadable"]
    assert str(found.problems[0]).startswith(f"{folder}/b.xml: line 1: it defines a document type")


def test_other_encodings_that_say_so(folder: Path) -> None:
    put(
        folder,
        "a.xml",
        b'<?xml version="1.0" encoding="latin-1"?>' + voc(voc_box(1, 1, 5, 5, name="niño")).encode("latin-1"),
    )
    assert read_annotations(folder / "a.xml").classes == ("niño",)
    put(folder, "b.json", json.dumps(labelme(shape("rectangle", (1, 1), (3, 3))), ensure_ascii=False).encode("utf-16"))
    assert read_annotations(folder / "b.json", folder).classes == ("cat",)


def test_a_bad_list_of_names(folder: Path) -> None:
    put(folder, "data.yaml", "names: [a, b")
    assert "not valid YAML" in refusal(put(folder, "a.txt", "0 .5 .5 .1 .1"), folder)
    put(folder, "data.yaml", "names: {0: a, 2: b}")
    assert "without gaps" in refusal(folder / "a.txt", folder)


def test_images_that_are_none(folder: Path) -> None:
    (folder / "b.png").write_text("no image")
    put(folder, "labels/b.txt", "0 .5 .5 .1 .1")
    put(folder, "labels/z.txt", "0 .5 .5 .1 .1")
    found = read_annotations(folder / "labels", folder)
    assert [problem.reason for problem in found.problems] == [
        "the image b.png cannot be read; left out", "no image is named z; left out"
    ]  # fmt: skip


def test_what_a_folder_is_told_by(folder: Path) -> None:
    assert not holds_annotations(folder)
    put(folder, "a.txt", "a caption of an image, for another program")
    put(folder, "scores.json", '{"scores": [1, 2, 3]}')
    put(folder, "readme.txt", "1\n2 3 4 5\n")
    assert not holds_annotations(folder)
    assert "no annotations that are known" in refusal(folder)
    put(folder, "deep/er/labels/a.txt", "0 .5 .5 .1 .1")
    assert holds_annotations(folder)
    put(folder, "Annotations/a.xml", voc(voc_box(1, 1, 5, 5)))
    assert read_annotations(folder, folder).format == FORMATS["voc"].title
    assert sniff(folder / "Annotations/a.xml") == "voc"


def test_guns(real_data: Path) -> None:
    found = read_annotations(real_data / "guns/Labels", real_data / "guns/Images", classes=["gun"])
    assert (len(found.records), found.classes) == (len(list((real_data / "guns/Labels").iterdir())), ("gun",))
    assert [problem.fault for problem in found.problems] == ["outside"]
    assert sum(len(record.objects) for record in found.records) > len(found.records)


def test_retouch(real_data: Path) -> None:
    found = read_annotations(real_data / "retouch/face_detection.json", real_data / "retouch/raw_face_images")
    names = {path.stem for path in (real_data / "retouch/raw_face_images").iterdir()}
    assert {record.name.removesuffix(".png") for record in found.records} == names
    assert all(record.name == f"img{record.number}.png" for record in found.records)
    assert {problem.fault for problem in found.problems} == {"no image"}
    assert found.classes == ("Face",)
