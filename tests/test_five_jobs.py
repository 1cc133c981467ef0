"""Every job trains from every source that fits it, and what it made can be scored and applied."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest

import calco
from calco import imaging
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.record import Record
from calco.annotations.voc import write_voc
from calco.annotations.yolo import write_yolo
from calco.data.config import JitterConfig, PrepareConfig, SourceConfig
from calco.data.recipes import EraseConfig, RecipeConfig
from calco.files import make_folder as made
from calco.imaging import Image
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig
from support import requires

COUNT = 8
Build = Callable[[Path], tuple[str, SourceConfig]]


def scene(number: int) -> Image:
    """A bright square on a gradient, 40 x 48 pixels: it stands elsewhere in every image."""
    rng = np.random.default_rng(number)
    image = np.linspace(20, 120, 48)[None, :, None] + rng.integers(0, 30, (40, 1, 3))
    top, left = corner(number)
    image[top : top + 16, left : left + 16] = rng.integers(180, 256, 3)
    return image.astype(np.uint8)


def corner(number: int) -> tuple[int, int]:
    return 3 * number % 24, 5 * number % 32


def mask(number: int) -> Image:
    area = np.zeros((40, 48, 1), np.uint8)
    top, left = corner(number)
    area[top : top + 16, left : left + 16] = 255
    return area


def lines(image: Image) -> Image:
    return 255 - imaging.luminance(image)


def photographs(root: Path) -> tuple[str, SourceConfig]:
    for number in range(COUNT):
        imaging.write(root / f"{number}.png", scene(number))
    return str(root), SourceConfig()


def parallel(root: Path) -> tuple[str, SourceConfig]:
    for number in range(COUNT):
        imaging.write(made(root / "sketch") / f"{number}.png", lines(scene(number)))
        imaging.write(made(root / "photo") / f"{number}.jpg", scene(number))
    return str(root), SourceConfig(input="sketch", target="photo")


def side_by_side(root: Path) -> tuple[str, SourceConfig]:
    for number in range(COUNT):
        both = np.concatenate([imaging.as_channels(lines(scene(number)), 3), scene(number)], axis=1)
        imaging.write(root / f"{number}.png", both)
    return str(root), SourceConfig(source="side-by-side")


def masked(root: Path) -> tuple[str, SourceConfig]:
    for number in range(COUNT):
        imaging.write(made(root / "images") / f"{number}.jpg", scene(number))
        imaging.write(made(root / "masks") / f"{number}.png", mask(number))
    return str(root), SourceConfig()


def annotated(root: Path) -> list[Record]:
    records = []
    for number in range(COUNT):
        image = made(root) / f"{number}.png"
        imaging.write(image, scene(number))
        top, left = corner(number)
        objects = Detections(boxes=np.array([[left, top, left + 16, top + 16]], np.float32), classes=("box",))
        records.append(Record(name=image.name, objects=objects, size_wh=(48, 40), image=image))
    return records


def coco(root: Path) -> tuple[str, SourceConfig]:
    write_coco(root / "annotations.json", annotated(root / "images"))
    return str(root), SourceConfig()


def voc(root: Path) -> tuple[str, SourceConfig]:
    write_voc(root, annotated(root / "JPEGImages"))
    return str(root), SourceConfig()


def yolo(root: Path) -> tuple[str, SourceConfig]:
    write_yolo(root, annotated(root / "images"))
    return str(root), SourceConfig()


def video(root: Path) -> tuple[str, SourceConfig]:
    for number in range(4):  # one group a video: it takes several
        with av.open(str(made(root) / f"{number}.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 48, 40, "yuv420p"
            for moment in range(10):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number * 10 + moment), format="rgb24")))
            out.mux(stream.encode())
    return str(root), SourceConfig(frames="5")


def hub(root: Path) -> tuple[str, SourceConfig]:
    requires(find_spec("datasets"), "datasets", "pip install 'calco[hub]'")
    import datasets

    pairs = {"sketch": lines, "photo": lambda image: image}
    columns = {
        name: [{"bytes": imaging.encode(make(scene(number)), "x.png"), "path": None} for number in range(COUNT)]
        for name, make in pairs.items()
    }
    features = datasets.Features({name: datasets.Image() for name in columns})
    datasets.Dataset.from_dict(columns, features=features).to_parquet(root / "set.parquet")
    return f"hub:{root / 'set.parquet'}", SourceConfig(input="sketch", target="photo")


def shards_of(build: Build, recipe: RecipeConfig) -> Build:
    def prepared(root: Path) -> tuple[str, SourceConfig]:
        images, source = build(made(root / "raw"))
        config = PrepareConfig(images=images, out=str(root / "shards"), source=source, recipe=recipe, jobs=1)
        calco.prepare(config, progress=False)
        return str(root / "shards"), SourceConfig()

    return prepared


NOTHING, COLORIZE, ERASE = RecipeConfig(), RecipeConfig(recipe="colorize"), RecipeConfig(recipe="erase")
GIVEN = RecipeConfig(recipe="erase", erase=EraseConfig(holes="given"))
BOTH = RecipeConfig(recipe="colorize+erase")
SKETCH = RecipeConfig(recipe="sketch")

JOBS: dict[str, tuple[Build, RecipeConfig]] = {
    "sketch, two folders": (parallel, NOTHING),
    "sketch, side by side": (side_by_side, NOTHING),
    "sketch, hub": (hub, NOTHING),
    "sketch, shards": (shards_of(parallel, NOTHING), NOTHING),
    "sketch, drawn from photographs": (photographs, SKETCH),
    "retouch, photographs": (photographs, ERASE),
    "retouch, given masks": (masked, GIVEN),
    "retouch, video": (video, ERASE),
    "retouch, shards": (shards_of(photographs, ERASE), NOTHING),
    "colour, photographs": (photographs, COLORIZE),
    "colour, video": (video, BOTH),
    "colour, hub": (hub, COLORIZE),
    "colour, shards": (shards_of(video, COLORIZE), NOTHING),
    "segment, masks": (masked, NOTHING),
    "segment, COCO": (coco, NOTHING),
    "segment, VOC": (voc, NOTHING),
    "segment, YOLO": (yolo, NOTHING),
    "segment, shards": (shards_of(voc, NOTHING), NOTHING),
}


# The first stage makes one model of each kind; that every source gives its pairs is shown beside the sources.
FAST = {"sketch, shards", "retouch, given masks", "colour, video", "segment, COCO"}


@pytest.mark.parametrize("job", [pytest.param(job, marks=[] if job in FAST else pytest.mark.slow) for job in JOBS])
def test_a_job_from_a_source(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    build, recipe = JOBS[job]
    images, source = build(made(tmp_path / "set"))
    config = calco.TrainConfig(
        images=images,
        out=str(tmp_path / "run"),
        source=source,
        recipe=recipe,
        jitter=JitterConfig(size=32, resize=36),
        generator=GeneratorConfig(depth=3, filters=4),
        discriminator=DiscriminatorConfig(patch=16, filters=4),
        limit=LimitConfig(epochs=0, steps=2),
        keep=KeepConfig(validation_pairs=1, samples=1, tensorboard=False),
        compute=ComputeConfig(threads=1),
    )
    run = calco.train(config, progress=False)
    # What is named on the hub is fetched only when the person names it, never because a model does.
    named = images if images.startswith("hub:") else None
    read_as = {name: getattr(source, name) for name in ("source", "input", "target", "direction")}
    card = calco.evaluate(calco.EvaluateConfig(model=run, images=named, limit=1, **read_as))
    assert len(card.cases) >= 1
    translator = calco.load(run)
    image = imaging.as_channels(scene(99), translator.info.in_channels)
    assert translator(image).shape == (40, 48, translator.info.out_channels)
