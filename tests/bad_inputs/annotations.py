"""Annotations that do not fit their images, and broken files of them."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from bad_inputs.making import Bad, file


def labels(text: str, name: str = "a.xml") -> Callable[[Path], None]:
    """Boxes for all six images, in good order but for those of the first."""

    def make(folder: Path) -> None:
        (folder / "set").rename(folder / "images")
        (folder / "set").mkdir()
        (folder / "images").rename(folder / "set" / "images")
        ending = Path(name).suffix
        for letter in "bcdef":
            file(f"set/labels/{letter}{ending}", GOOD[ending].replace("a.png", f"{letter}.png"))(folder)
        file(f"set/labels/{name}", text)(folder)

    return make


def voc(box: str, name: str = "cat") -> str:
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=True)
    )
    return (
        "<annotation><filename>a.png</filename><size><width>96</width><height>96</height></size>\n"
        f"<object><name>{name}</name><bndbox>{sides}</bndbox></object></annotation>"
    )


def labelme(corner: str = "[2, 3]") -> str:
    return (
        '{"imagePath": "a.png", "imageWidth": 96, "imageHeight": 96,\n "shapes": '
        f'[{{"label": "cat", "shape_type": "rectangle", "points": [{corner}, [40, 50]]}}]}}'
    )


GOOD = {".xml": voc("5 6 40 50"), ".json": labelme(), ".txt": "0 0.5 0.5 0.2 0.2\n"}


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><annotation><filename>&c;</filename></annotation>'
)


def coco(folder: Path) -> None:
    content = {
        "images": [
            {"id": n, "file_name": f"{letter}.png", "width": 96, "height": 96} for n, letter in enumerate("abcdef")
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + 6 * (n == 0), "bbox": [5, 6, 30, 40]} for n in range(6)
        ],
    }
    file("set/boxes.json", json.dumps(content))(folder)


def json_lines(folder: Path) -> None:
    entry = {"label": ["Face"], "points": [{"x": 0.1, "y": 0.1}, {"x": 0.9, "y": 0.9}]}
    lines = [
        json.dumps({"content": f"http://nowhere.example/{letter}.png", "annotation": [entry]}) for letter in "abcdef"
    ]
    file("set/list.jsonl", "\n".join([lines[0][:40], *lines[1:]]))(folder)


def all_labels(text: str) -> Callable[[Path], None]:
    """The same line in the labels of all six images."""

    def make(folder: Path) -> None:
        labels(text, "a.txt")(folder)
        for letter in "bcdef":
            file(f"set/labels/{letter}.txt", text)(folder)

    return make


def two_formats(folder: Path) -> None:
    labels("0 0.5 0.5 0.2 0.2\n", "a.txt")(folder)
    file("set/labels/b.xml", GOOD[".xml"].replace("a.png", "b.png"))(folder)


def tracked_angles(folder: Path) -> None:
    """A sixth number that is neither a score nor a track id, in the labels of the first image."""
    labels("0 0.5 0.5 0.2 0.2 1.57\n", "a.txt")(folder)


def several(**files: str) -> Callable[[Path], None]:
    """Files in the folder of the images, by name; two underscores stand for a dot."""

    def make(folder: Path) -> None:
        for name, text in files.items():
            file(f"set/{name.replace('__', '.')}", text)(folder)

    return make


def coco_with(**changes: object) -> Callable[[Path], None]:
    """Boxes for all six images, of which the annotation of the first is changed."""

    def make(folder: Path) -> None:
        coco(folder)
        content = json.loads((folder / "set" / "boxes.json").read_text())
        content["annotations"][0] |= {"category_id": 1, **changes}
        file("set/boxes.json", json.dumps(content))(folder)

    return make


YAML_BOMB = "".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]\n"]
    + [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghi")]
    + ["names: *i\n"]
)
CVAT_VIDEO = (
    '<annotations><track id="0" label="gun"><box frame="0" xtl="1" ytl="2" xbr="30" ybr="40"/></track></annotations>'
)

CASES = (
    Bad("a box outside the image", labels(voc("120 10 150 40")), says=("a.xml", "outside"), about="a"),
    Bad("a box that reaches outside it", labels(voc("50 50 150 90")), code=0, says=("a.xml", "clipped"), about="a"),
    Bad("an empty box", labels("0 0.5 0.5 0 0.2\n", "a.txt"), says=("a.txt, line 1", "encloses nothing"), about="a"),
    Bad("an inverted box", labels(voc("60 60 20 20")), code=0, says=("a.xml", "put in order"), about="a"),
    Bad("a box of an unknown class", coco, says=("boxes.json, annotations[0]", "7"), about="a"),
    Bad("boxes in pixels where shares belong", all_labels("0 40 50 20 30\n"), code=2, says=("a.txt, line 1",),
        command="detect explore set --out page"),
    Bad("the same, where the images alone are read", all_labels("0 40 50 20 30\n"), says=("a.txt, line 1",),
        about="set/labels/a.txt, line 1"),
    Bad("boxes in another order", all_labels("1\n60 70 30 20\n"), says=("left, top, width, height",),
        about="set/labels/a.txt, line 2"),
    Bad("labels in two formats", two_formats, code=0, says=("YOLO text", "Pascal VOC"), about="labels/b.xml"),
    Bad("labels without their images", file("set/labels/z.txt", "0 0.5 0.5 0.2 0.2\n"), code=2, says=("z.txt",)),
    Bad("a number that is none, in a box", labels(labelme("[NaN, 3]"), "a.json"), says=("a.json", "number"), about="a"),
    Bad("broken JSON, one file of many", labels('{"imagePath": "a.png",\n "shapes": [}', "a.json"),
        code=1, says=("a.json: line 2, column 13", "broken JSON"), about="a.json"),
    Bad("broken JSON, a line of many", json_lines, code=1, says=("list.jsonl, line 1", "broken JSON"),
        about="list.jsonl, line 1"),
    Bad("broken JSON, the only file", file("set/boxes.json", '{"images": [\n{"id": 1,, }]}'),
        command="check set --annotations set/boxes.json --out page --jobs 1", code=2,
        says=("set/boxes.json, line 2", "broken JSON")),
    Bad("a YAML bomb beside labels", several(a__txt="0 0.5 0.5 0.2 0.2\n", data__yaml=YAML_BOMB), code=2,
        says=("data.yaml", "names must be a list of words")),
    Bad("a label with a decimal comma", labels("0 0,5 0,5 0,2 0,2\n", "a.txt"), says=("a.txt, line 1", "decimal point"),
        about="a"),
    Bad("a rotated box by its angle, in YOLO's text", tracked_angles,
        says=("a.txt, line 1", "four corners"), about="a"),
    Bad("a rotated box of five numbers, in COCO", coco_with(bbox=[40, 40, 20, 10, 0.5]),
        says=("annotations[0]", "5 numbers"), about="a"),
    Bad("an annotation of no image", coco_with(image_id="nobody"), says=("belong to no image",), about="a"),
    Bad("boxes in a format that is known and not read", several(boxes__xml=CVAT_VIDEO), code=2,
        says=("boxes.xml", "CVAT for images 1.1"), command="detect train set --dry-run"),
    Bad("an XML bomb", labels(BOMB), code=1, says=("a.xml: line 1", "document type"), about="a.xml"),
)  # fmt: skip
