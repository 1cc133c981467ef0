"""One small set, written in every format that is read, in many of the ways in which programs and people write it."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

Box = tuple[int, int, int, int]
WIDTH, HEIGHT = 80, 60
OBJECTS: dict[str, list[tuple[str, Box]]] = {
    "im0": [("cat", (4, 6, 20, 30)), ("dog", (30, 10, 50, 50))],
    "im1": [("dog", (0, 0, 40, 20))],
    "im2": [("cat", (10, 12, 70, 44)), ("cat", (2, 2, 12, 12))],
}
CLASSES = ("cat", "dog")
Files = dict[str, str]


@dataclass
class Ways:
    """How a set is written: an order, endings in capitals, and whether optional and unknown fields are there.

    Attributes:
        seed: Of the order of images and objects.
        capitals: Whether the endings of images and annotations are in capitals.
        optional: Whether optional fields are written.
        extra: Whether fields are written that nobody knows.
    """

    seed: int = 0
    capitals: bool = False
    optional: bool = True
    extra: bool = False
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    @property
    def ending(self) -> str:
        return ".PNG" if self.capitals else ".png"

    def images(self) -> list[tuple[str, list[tuple[str, Box]]]]:
        found = [(name, self.chance.sample(objects, len(objects))) for name, objects in OBJECTS.items()]
        return self.chance.sample(found, len(found))

    def fields(self, needed: dict, **optional: object) -> dict:
        """The fields of an entry, in any order."""
        found = needed | (optional if self.optional else {}) | ({"somebody's": [1, {"x": None}]} if self.extra else {})
        return dict(self.chance.sample(list(found.items()), len(found)))


def coco(ways: Ways) -> Files:
    images, boxes = [], []
    for number, (name, objects) in enumerate(ways.images(), 5):
        entry = {"id": number, "file_name": name + ways.ending}
        images.append(ways.fields(entry, width=WIDTH, height=HEIGHT, license=1))
        for label, (left, top, right, bottom) in objects:
            box = {
                "image_id": number,
                "category_id": CLASSES.index(label),
                "bbox": [left, top, right - left, bottom - top],
            }
            boxes.append(ways.fields(box, id=len(boxes), iscrowd=0, segmentation=[], area=1.5))
    categories = [ways.fields({"id": n, "name": name}, supercategory="animal") for n, name in enumerate(CLASSES)]
    ways.chance.shuffle(boxes)
    content = {"images": images, "annotations": boxes, "categories": categories}
    return {"boxes.json": json.dumps(ways.fields(content, info={"year": 2020}, licenses=[]))}


def voc(ways: Ways) -> Files:
    files = {}
    for name, objects in ways.images():
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>" if ways.optional else ""
        extra = "<truncated>0</truncated><pose>Left</pose>" if ways.extra else ""
        parts = "".join(
            f"<object><name>{label}</name>{extra}<bndbox><xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}</ymin>"
            f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>\n"
            for label, box in objects
        )
        files[f"xml/{name}.xml"] = f"<annotation><filename>{name}{ways.ending}</filename>{size}\n{parts}</annotation>"
    return files


def labelme(ways: Ways) -> Files:
    files = {}
    for name, objects in ways.images():
        shapes = [
            ways.fields(
                {"label": label, "points": [box[:2], box[2:]], "shape_type": "rectangle"}, group_id=None, flags={}
            )
            for label, box in objects
        ]
        content = {"shapes": shapes, "imagePath": name + ways.ending}
        sizes = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
        files[f"{name}.json"] = json.dumps(ways.fields(content, **sizes, version="5", imageData=None))
    return files


def yolo(ways: Ways) -> Files:
    lines = {
        f"labels/{name}.txt": "".join(f"{CLASSES.index(label)} {_centred(box)}\n" for label, box in objects)
        for name, objects in ways.images()
    }
    described = "nc: 2\n" if ways.optional else ""
    return lines | {"data.yaml": f"{described}names: [cat, dog]\n" + ("roboflow: {a: 1}\n" if ways.extra else "")}


def _centred(box: Box) -> str:
    left, top, right, bottom = box
    x, y = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT
    return f"{x:.8f} {y:.8f} {(right - left) / WIDTH:.8f} {(bottom - top) / HEIGHT:.8f}"


def corners(ways: Ways) -> Files:
    return {
        f"labels/{name}.txt": f"{len(objects)}\n"
        + "".join(f"{' '.join(map(str, box))} {label}\n" for label, box in objects)
        for name, objects in ways.images()
    }


def dota(ways: Ways) -> Files:
    head = "imagesource:GoogleEarth\ngsd:0.1\n" if ways.optional else ""
    return {
        f"labelTxt/{name}.txt": head
        + "".join(f"{a} {b} {c} {b} {c} {d} {a} {d} {label} 0\n" for label, (a, b, c, d) in objects)
        for name, objects in ways.images()
    }


def kitti(ways: Ways) -> Files:
    return {
        f"label_2/{name}.txt": "".join(
            f"{label} 0.00 0 -1.57 {' '.join(f'{side}.00' for side in box)} 1.5 1.6 3.9 1.0 1.5 20.1 -1.5\n"
            for label, box in objects
        )
        for name, objects in ways.images()
    }


def jsonlines(ways: Ways) -> Files:
    rows = []
    for name, objects in ways.images():
        boxes = [
            ways.fields(
                {"label": [label], "points": [{"x": x / WIDTH, "y": y / HEIGHT} for x, y in (box[:2], box[2:])]},
                imageWidth=WIDTH, imageHeight=HEIGHT, notes="",
            )
            for label, box in objects
        ]  # fmt: skip
        address = f"http://host.example/{name}{ways.ending}"
        rows.append(json.dumps(ways.fields({"content": address, "annotation": boxes}, extras=None)))
    return {"boxes.json": "\n".join(rows) + "\n"}


def createml(ways: Ways) -> Files:
    rows = []
    for name, objects in ways.images():
        boxes = []
        for label, (a, b, c, d) in objects:
            place = {"x": (a + c) / 2, "y": (b + d) / 2, "width": c - a, "height": d - b}
            boxes.append(ways.fields({"label": label, "coordinates": place}))
        rows.append(ways.fields({"image": name + ways.ending, "annotations": boxes}))
    return {"_annotations.createml.json": json.dumps(rows)}


def cvat(ways: Ways) -> Files:
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    images = "".join(
        f'<image id="{n}" name="{name}{ways.ending}" {size}>'
        + "".join(
            f'<box label="{label}" occluded="0" xtl="{a}.00" ytl="{b}.00" xbr="{c}.00" ybr="{d}.00" z_order="0">'
            + ('<attribute name="old">no</attribute>' if ways.extra else "")
            + "</box>\n"
            for label, (a, b, c, d) in objects
        )
        + "</image>"
        for n, (name, objects) in enumerate(ways.images())
    )
    meta = "<meta><task><labels><label><name>cat</name></label></labels></task></meta>" if ways.optional else ""
    return {"annotations.xml": f"<annotations><version>1.1</version>{meta}\n{images}</annotations>"}


def via(ways: Ways) -> Files:
    files = {}
    for name, objects in ways.images():
        regions = [
            {
                "shape_attributes": {"name": "rect", "x": a, "y": b, "width": c - a, "height": d - b},
                "region_attributes": {"class": label} | ({"old": "no"} if ways.extra else {}),
            }
            for label, (a, b, c, d) in objects
        ]
        entry = ways.fields({"filename": name + ways.ending, "regions": regions}, size=123, file_attributes={})
        files[f"{name}{ways.ending}123"] = entry
    content = files if ways.optional else {"_via_settings": {}, "_via_img_metadata": files}
    return {"via.json": json.dumps(content)}


def via_csv(ways: Ways) -> Files:
    rows = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    for name, objects in ways.images():
        for n, (label, (a, b, c, d)) in enumerate(objects):
            shape = {"name": "rect", "x": a, "y": b, "width": c - a, "height": d - b}
            cells = [json.dumps(part).replace('"', '""') for part in (shape, {"class": label})]
            rows.append(f'{name}{ways.ending},123,"{{}}",{len(objects)},{n},"{cells[0]}","{cells[1]}"')
    return {"via.csv": "\n".join(rows) + "\n"}


def labelstudio(ways: Ways) -> Files:
    tasks = []
    for n, (name, objects) in enumerate(ways.images()):
        regions = []
        for label, (a, b, c, d) in objects:
            place = {"x": 100 * a / WIDTH, "y": 100 * b / HEIGHT}
            place |= {"width": 100 * (c - a) / WIDTH, "height": 100 * (d - b) / HEIGHT, "rectanglelabels": [label]}
            sizes = {"original_width": WIDTH, "original_height": HEIGHT}
            regions.append(ways.fields({"value": place, "type": "rectanglelabels"}, **sizes, image_rotation=0))
        data = {"image": f"/data/upload/1/1a2b3c{n:02d}-{name}{ways.ending}"}
        tasks.append(ways.fields({"data": data, "annotations": [{"result": regions}]}, id=n, predictions=[]))
    return {"export.json": json.dumps(tasks)}


def supervisely(ways: Ways) -> Files:
    files = {}
    for name, objects in ways.images():
        found = [
            ways.fields(
                {
                    "classTitle": label,
                    "geometryType": "rectangle",
                    "points": {"exterior": [box[:2], box[2:]], "interior": []},
                },
                id=3,
            )
            for label, box in objects
        ]
        content = {"objects": found, "size": {"width": WIDTH, "height": HEIGHT}}
        files[f"ann/{name}{ways.ending}.json"] = json.dumps(ways.fields(content, description="", tags=[]))
    return files


def bdd(ways: Ways) -> Files:
    rows = []
    for name, objects in ways.images():
        labels = [
            ways.fields(
                {"category": label, "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))},
                attributes={"occluded": True},
            )
            for label, box in objects
        ]
        rows.append(ways.fields({"name": name + ways.ending, "labels": labels}, timestamp=1000))
    return {"bdd.json": json.dumps(rows)}


def tensorflow_csv(ways: Ways) -> Files:
    names = ["filename", "class", "xmin", "ymin", "xmax", "ymax", *(["width", "height"] if ways.optional else [])]
    names += ["somebody"] if ways.extra else []
    names = ways.chance.sample(names, len(names))
    rows = [
        {"filename": name + ways.ending, "class": label, "width": WIDTH, "height": HEIGHT, "somebody": "x, y",
         **dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))}
        for name, objects in ways.images() for label, box in objects
    ]  # fmt: skip
    ways.chance.shuffle(rows)
    lines = [",".join(names), *(",".join(f'"{row[name]}"' for name in names) for row in rows)]
    return {"train_labels.csv": "\n".join(lines) + "\n"}


def open_images_csv(ways: Ways) -> Files:
    rows = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf"]
    for name, objects in ways.images():
        for label, (a, b, c, d) in objects:
            places = f"{a / WIDTH:.7f},{c / WIDTH:.7f},{b / HEIGHT:.7f},{d / HEIGHT:.7f}"
            rows.append(f"{name},xclick,{label},1,{places},0,0")
    return {"boxes.csv": "\n".join(rows) + "\n"}


def retinanet_csv(ways: Ways) -> Files:
    rows = [
        f"/home/somebody/set/{name}{ways.ending},{','.join(map(str, box))},{label}"
        for name, objects in ways.images()
        for label, box in objects
    ]
    return {"annotations.csv": "\n".join(ways.chance.sample(rows, len(rows))) + "\n"}


FORMATS: dict[str, Callable[[Ways], Files]] = {
    "COCO JSON": coco, "Pascal VOC XML": voc, "LabelMe JSON": labelme, "YOLO text": yolo,
    "text of counts and corners": corners, "DOTA text": dota, "KITTI text": kitti, "JSON lines": jsonlines,
    "CreateML JSON": createml, "CVAT XML for images": cvat, "VGG Image Annotator": via,
    "VGG Image Annotator.csv": via_csv,
    "Label Studio JSON": labelstudio, "Supervisely JSON": supervisely, "BDD100K JSON": bdd,
    "CSV of boxes": tensorflow_csv, "CSV of boxes.shares": open_images_csv, "CSV of boxes.bare": retinanet_csv,
}  # fmt: skip
"""By the name of the format that is recognised, up to a dot."""


def write(
    folder: Path, files: Files, ways: Ways, *, encoding: str = "utf-8", newline: str = "\n", ending: str | None = None
) -> None:
    """Writes the images and their annotations."""
    for name in OBJECTS:
        folder.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(folder / f"{name}{ways.ending}", "PNG")
    for name, text in files.items():
        path = folder / (name if ending is None else str(Path(name).with_suffix(ending)))
        if ways.capitals and path.suffix != ".yaml":
            path = path.with_suffix(path.suffix.upper())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.replace("\n", newline).encode(encoding))
