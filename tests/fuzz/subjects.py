"""What is mutated: a file in a small whole set, and the door through which Calco takes that set in."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from annotations.sets import FORMATS as SETS
from annotations.sets import Ways
from calco import CalcoError, imaging
from calco.annotations.reading import read_annotations
from calco.data.config import PrepareConfig, SourceConfig
from calco.data.mask_encoding import read_mask
from calco.data.palettes import named_palette
from calco.data.prepare import prepare
from calco.data.recipes import RecipeConfig
from calco.data.source import Source
from calco.data.sources import open_source
from fuzz.images import images


@dataclass(frozen=True)
class Subject:
    """A file, and what opens it: the door raises CalcoError for what cannot be used, and `Lost` for what got lost."""

    name: str
    path: Path
    door: Callable[[], object]


class Lost(AssertionError):
    """An image that is neither used nor named among what is left out."""


def take_in(root: Path, config: SourceConfig | None = None) -> Source:
    """Opens a source, loads all of it, and looks whether each image file was either taken or named."""
    source = open_source(root, config)
    for item in source.items:
        with contextlib.suppress(CalcoError):
            source.load(item)
            source.digest(item)
    used = {Path(path).name for item in source.items for path in item.paths}
    named = " ".join(name for name, _ in source.left_out)
    files = [path for path in root.rglob("*") if imaging.is_image(path)]
    lost = [path.name for path in files if path.name not in used and path.stem not in named]
    if source.kind != "shards" and lost:
        raise Lost(f"{lost} are neither taken nor named")
    return source


def subjects(room: Path) -> Iterator[Subject]:
    """All of them, made in a folder."""
    for maker in (_files, _sets, _annotated, _shards, _tables, _model, _video):
        folder = room / maker.__name__
        folder.mkdir(parents=True)
        yield from maker(folder)


def _files(folder: Path) -> Iterator[Subject]:
    for name, data in images():
        path = folder / name
        path.write_bytes(data)
        yield Subject(f"file {name}", path, lambda path=path: imaging.read(path))
        if name != "bands.tif":  # a mask has no bands
            yield Subject(f"labels {name}", path, lambda path=path: read_mask(path))


def _photos(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    colour = dict(images())
    for number, name in enumerate(names):
        if name.endswith(".png"):
            image = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
            imaging.write(folder / name, image)
        else:
            (folder / name).write_bytes(colour["colour.jpg"])
    return folder


def _sets(folder: Path) -> Iterator[Subject]:
    photos = _photos(folder / "photos", "a.png", "b.jpg", "c.png")
    yield Subject("photographs", photos / "b.jpg", lambda: take_in(photos))
    pair = folder / "pair"
    for side in ("input", "target"):
        _photos(pair / side, "a.png", "b.png")
    yield Subject("parallel", pair / "target" / "b.png", lambda: take_in(pair))
    masks = folder / "masks"
    _photos(masks / "images", "a.png", "b.png")
    (masks / "masks").mkdir()
    for name in ("a.png", "b.png"):
        imaging.write(masks / "masks" / name, np.zeros((24, 32, 1), np.uint8))
    yield Subject("masks", masks / "masks" / "b.png", lambda: take_in(masks))


LINES = [
    {"content": f"http://nowhere.example/{number}.jpg", "annotation": [
        {"label": ["Face"], "points": [{"x": 0.1, "y": 0.2}, {"x": 0.6, "y": 0.7}],
         "imageWidth": 32, "imageHeight": 24},
    ]} for number in range(3)
]  # fmt: skip
COCO = {
    "images": [{"id": n, "file_name": f"img{n}.png", "width": 32, "height": 24} for n in range(3)],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [2, 3, 10, 12], "area": 120, "iscrowd": 0,
         "segmentation": [[2, 3, 12, 3, 12, 15, 2, 15]]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 4, 4], "iscrowd": 1,
         "segmentation": {"size": [24, 32], "counts": [0, 4, 20, 4, 740]}},
        {"id": 3, "image_id": 2, "category_id": 2, "bbox": [0, 0, 4, 4], "iscrowd": 0,
         "segmentation": {"size": [24, 32], "counts": "04T14d00"}},
    ],
}  # fmt: skip
VOC = """<annotation><filename>img0.png</filename><size><width>32</width><height>24</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>15</ymax></bndbox>
</object><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object></annotation>
"""
LABELME = {
    "version": "5.0", "imagePath": "img0.png", "imageWidth": 32, "imageHeight": 24, "shapes": [
        {"label": "cat", "points": [[2, 3], [12, 15]], "shape_type": "rectangle"},
        {"label": "dog", "points": [[2, 3], [12, 3], [12, 15]], "shape_type": "polygon"},
        {"label": "sun", "points": [[9, 9], [12, 9]], "shape_type": "circle"},
    ],
}  # fmt: skip
ANNOTATIONS = {
    "jsonlines": ("list.json", "\n".join(map(json.dumps, LINES))),
    "coco": ("coco.json", json.dumps(COCO)),
    "voc": ("img0.xml", VOC),
    "labelme": ("img0.json", json.dumps(LABELME, indent=1)),
    "yolo": ("img0.txt", "0 0.25 0.375 0.3 0.5\n1 0.1 0.1 0.4 0.1 0.4 0.4\n"),
    "corners": ("img0.txt", "2\n2 3 12 15\n20 4 30 20\n"),
    "described": ("data.yaml", "kpt_shape: [2, 2]\nnames: {0: cat, 1: dog}\ntrain: images\nval: images/img1.png\n"),
} | {
    form: (re.sub(r"im(?=\d)", "img", Path(name).name), re.sub(r"im(?=\d)", "img", text))
    for form in ("CVAT XML for images", "CreateML JSON", "VGG Image Annotator", "VGG Image Annotator.csv", "DOTA text",
                 "Label Studio JSON", "CSV of boxes", "KITTI text", "Supervisely JSON", "BDD100K JSON")
    for name, text in sorted(SETS[form](Ways()).items())[:1]
}  # fmt: skip


def _annotated(folder: Path) -> Iterator[Subject]:
    for form, (name, text) in ANNOTATIONS.items():
        root = folder / form
        seen = _photos(root / "images", "img0.png", "img1.png", "img2.png")
        labels = root / "labels"
        labels.mkdir()
        path = labels / name
        path.write_text(text)
        if form == "described":
            for number in range(2):
                (labels / f"img{number}.txt").write_text("0 .5 .5 .2 .2 .4 .4 .5 .5\n")
        if form in ("voc", "labelme", "yolo", "corners", "DOTA text", "KITTI text", "Supervisely JSON"):
            (labels / name.replace("0", "1")).write_text(text.replace("img0", "img1"))
        config = SourceConfig(source="annotations", annotations=str(labels))
        yield Subject(f"{form}, read", path, lambda labels=labels, seen=seen: read_annotations(labels, seen))
        yield Subject(f"{form}, set", path, lambda seen=seen, config=config: take_in(seen, config))
        yield Subject(f"{form}, recognised", path, lambda root=root: take_in(root))


def _shards(folder: Path) -> Iterator[Subject]:
    photos = _photos(folder / "photos", *(f"{letter}.png" for letter in "abcdef"))
    ready = folder / "ready"
    prepare(PrepareConfig(images=str(photos), out=str(ready), jobs=1, recipe=RecipeConfig(recipe="colorize")))
    tars = sorted(ready.glob("*.tar"))
    index = next(iter(sorted(ready.glob("index/train*.json"))))
    for path in (tars[0], ready / "manifest.json", index, ready / "index" / "settings.json"):
        yield Subject(f"shards, {path.relative_to(ready)}", path, lambda: take_in(ready))
    strange = folder / "strange"
    strange.mkdir()
    path = strange / tars[0].name
    path.write_bytes(tars[0].read_bytes())
    yield Subject("shards of others", path, lambda: take_in(strange))


def _tables(folder: Path) -> Iterator[Subject]:
    photos = _photos(folder, "a.png", "b.png", "c.png")
    palette = folder / "palette.csv"
    palette.write_text("background,0,0,0\nperson,220,20,60\nsky,#4682b4\n")
    yield Subject("palette", palette, lambda: named_palette(str(palette)))
    for name, text in (("groups.csv", "key,group\na,x\nb,x\n"), ("dropped.csv", "key,reason\nc,blurred\n")):
        (folder / name).write_text(text)
        yield Subject(name, folder / name, lambda: take_in(photos))


def _model(folder: Path) -> Iterator[Subject]:
    import torch

    from calco.data.config import JitterConfig
    from calco.inference.folder import ModelInfo, save_model
    from calco.inference.translator import load
    from calco.networks.build import build_generator
    from calco.networks.config import GeneratorConfig
    from calco.records import to_record, write_yaml
    from calco.training.config import preset
    from calco.training.run_folder import CONFIG_FORMAT
    from calco.training.translation import load_config

    torch.set_num_threads(1)
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=2, composition="plain"),
        recipe=RecipeConfig(recipe="aligned"),
        jitter=JitterConfig(size=16, resize=18, fit="cover"),
        in_channels=3,
        out_channels=3,
    )
    network = build_generator(info.generator, 3, 3)
    model = folder / "model"
    save_model(model, info, network.state_dict(), np.zeros((16, 16, 3), np.uint8))
    image = np.zeros((16, 16, 3), np.uint8)
    for name in ("model.json", "model.safetensors"):
        yield Subject(name, model / name, lambda: load(model, device="cpu")(image))
    config = folder / "config.yaml"
    write_yaml(config, {"format": CONFIG_FORMAT, **to_record(preset("small"))}, "a run")
    yield Subject("config.yaml", config, lambda: load_config(config))


def _video(folder: Path) -> Iterator[Subject]:
    import av

    for name, codec in (("video.mp4", "h264"), ("video.avi", "mpeg4")):
        place = folder / name.replace(".", "-")
        place.mkdir()
        with av.open(place / name, "w") as video:
            stream = video.add_stream(codec, rate=Fraction(10))
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for number in range(12):
                image = np.full((24, 32, 3), number * 20, np.uint8)
                video.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            video.mux(stream.encode())
        yield Subject(name, place / name, lambda place=place: take_in(place, SourceConfig(frames="4")))
