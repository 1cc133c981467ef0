"""`calco recipes`: the images that each recipe and each of its settings makes of one image, on labelled sheets."""

import io
import shlex
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import cv2
import msgspec
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calco import imaging
from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import extent, rings
from calco.data.augmentation import moved, recoloured
from calco.data.config import AugmentConfig, RecipesConfig
from calco.data.recipe_config import SketchConfig
from calco.data.recipes import RecipeConfig, build_recipe, resolve
from calco.data.recipes.sketch import draw
from calco.data.recipes.strokes import brush
from calco.data.sample import Pair, Sample, generator
from calco.data.sources import openmoji
from calco.errors import CalcoError
from calco.files import atomic_write, make_folder
from calco.imaging import Image
from calco.outputs import writing_folder

PROPS: Final = ("STROKES", "CUTOUTS", "MASKS")  # names in the place of folders, under which `write_props` makes them

_SIDE: Final = 96


def write_props(folder: Path) -> None:
    """Make the folders of `PROPS`: strokes, and a beach ball lit from above on the left and a star, with masks."""
    strokes, cutouts, masks = (make_folder(folder / name) for name in PROPS)
    for number in range(2):
        stroke = brush(50, 50, (25.0, 25.0), 6, np.random.default_rng(number))
        imaging.write(strokes / f"{number}.png", np.where(stroke, 0, 255).astype(np.uint8)[..., None])
    ends = (np.arange(_SIDE) + 0.5) * 2 / _SIDE - 1
    x, y = ends[None, :], ends[:, None]
    stripes = (np.floor((np.arctan2(y + 0.2, x) + np.pi) / (np.pi / 4)) % 2)[..., None]
    light = np.clip(1.15 - 0.5 * ((x + 0.4) ** 2 + (y + 0.5) ** 2), 0.3, 1)[..., None]
    ball = np.where(stripes > 0, (235, 235, 225), (205, 45, 40)) * light
    angles = np.arange(10) * np.pi / 5
    corners = np.stack([np.sin(angles), -np.cos(angles)], axis=1) * np.tile([0.98, 0.42], 5)[:, None]
    inside = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(inside, [np.rint((corners + 1) * _SIDE / 2).astype(np.int32)], 1)
    star = np.array((245, 200, 40)) * np.clip(1.0 - 0.35 * (x + y), 0.5, 1)[..., None]
    for name, colour, mask in (("ball", ball, x**2 + y**2 < 0.95), ("star", star, inside > 0)):
        alpha = np.where(mask, 255, 0).astype(np.uint8)[..., None]
        imaging.write(cutouts / f"{name}_1.png", np.concatenate([np.rint(colour).astype(np.uint8), alpha], axis=2))
        imaging.write(masks / f"{name}_1.png", alpha)


Beside: TypeAlias = Literal["", "partner", "mask", "outlines", "boxes", "painted"]


@dataclass(frozen=True)
class Cell:
    """One image of a sheet."""

    recipe: str  # the recipe or chain; "" for augmentation alone
    typed: str = ""  # the options as they are typed
    beside: Beside = ""  # what comes with the image; "painted" shows the target of a recipe that makes both

    @property
    def label(self) -> str:
        """The text under the image."""
        words = [self.recipe] if "+" in self.recipe or not self.typed else []
        words += [self.typed] if self.typed else []
        words += [f"({self.beside})"] if self.beside and self.recipe in ("segment", "composite") else []
        return " ".join(words)

    @property
    def options(self) -> dict[str, Any]:
        """Field and value of each option; the field belongs to whichever part of the configuration has it."""
        found: dict[str, list[str]] = {}
        for word in shlex.split(self.typed):
            if word.startswith("--"):
                name = word.removeprefix("--").removeprefix("augment.").replace("-", "_")
                found[name] = []
            else:
                found[name].append(word)
        return {name: values if len(values) > 1 else values[0] if values else True for name, values in found.items()}


def _cells(recipe: str, *typed: str, beside: Beside = "") -> list[Cell]:
    return [Cell(recipe, each, beside) for each in typed]


# A new setting is one text here.
SHEETS: Final[dict[str, list[Cell]]] = {
    "aligned": [Cell("aligned", beside="partner")],
    "colorize": [
        *_cells("colorize", "--space luminance", "--space lab"), Cell("colorize+erase"),
        Cell("colorize+degrade", "--damage noise"),
    ],
    "erase": [
        *_cells(
            "erase", "--holes boxes --boxes 3 3", "--holes boxes --box-size 0.4 0.4 --place center",
            "--holes masks --masks STROKES", "--holes masks --masks STROKES --stroke-scale 4 4 --strokes 1 1",
            "--holes brush", "--holes brush --brush 6 6 --brush-width 0.02 0.02",
            "--holes scratches", "--holes scratches --scratches 3 3 --scratch-width 0.03 0.03",
            "--holes stains", "--holes stains --stains 6 6 --stain-size 0.15 0.15", "--holes brush --share 0.3",
            "--holes brush+scratches+stains", "--holes any",
        ),
        *_cells("erase", "--holes given", "--holes given --mask-erases black", beside="mask"),
        *_cells("erase", "--fill black", "--fill white", "--fill grey", '--fill "#3060ff"', "--fill mean",
                "--fill noise", "--mask-channel --fill mean"),
    ],
    "sketch": _cells(
        "sketch", "--style pencil", "--style xdog", "--style canny", "--style contour", "--style hatching",
        "--style charcoal", "--style stipple",
        "--style pencil --softness 0.005", "--style pencil --softness 0.08", "--style xdog --line-weight 2 2",
        "--style canny --line-weight 0.5 0.5", "--style canny --line-weight 2 2", "--style canny --wobble 0.02 0.02",
        "--style contour --line-weight 0.5 0.5", "--style hatching --wobble 0.01 0.01",
        "--style pencil --paper 0.5 0.5",
        "--style any --line-weight 0.6 2 --wobble 0 0.02 --paper 0 0.5",
    ),
    "degrade": _cells(
        "degrade", "--damage scratches --scratched 3 3", "--damage scratches --scratched 12 12",
        "--damage blur --blur 1 1", "--damage blur --blur 3 3", "--damage downscale --downscale 2 2",
        "--damage downscale --downscale 6 6", "--damage noise --noise 0.05 0.05", "--damage noise --noise 0.2 0.2",
        "--damage jpeg --jpeg 40 40", "--damage jpeg --jpeg 8 8", "--damage scratches+blur+noise", "--damage any",
    ),
    "segment": [
        Cell("segment", "--palette binary", "mask"), Cell("segment", "--palette auto", "outlines"),
        Cell("segment", '--palette "background #203040; dark #e0c060; light #c04040"', "outlines"),
        Cell("segment", "--palette auto", "boxes"),
    ],
    "composite": [
        Cell("composite", "--cutouts CUTOUTS"), Cell("composite", beside="painted"),
        Cell("composite", "--cutout-class toy", "painted"),
        *_cells(
            "composite", "--cutout-masks MASKS", "--pasted 8 8 --cutout-size 0.2 0.3",
            "--pasted 8 8 --cutout-size 0.4 0.6 --least-visible 0.1", "--cutout-turn 90", "--cutout-flip 0",
            "--cutout-light 1", "--cutout-match 1", "--cutout-blur 3 3", "--cutout-edge 4 4", "--cutout-shadow 1",
            "--cutout-hidden 1",
        ),
    ],
    "augment": _cells(
        "", "--augment.rotate 25", "--augment.scale 0.4", "--augment.shear 20", "--augment.perspective 0.25",
        "--augment.elastic 0.06", "--augment.brightness 0.5", "--augment.contrast 0.8", "--augment.gamma 1.5",
        "--augment.saturation 1", "--augment.hue 90", "--augment.noise 0.15",
        "--augment.rotate 10 --augment.scale 0.1 --augment.hue 30",
    ),
}  # fmt: skip


SEED: Final = 1281  # one with which random changes are easy to see
CELL_WH: Final = 168, 112
COLUMNS: Final = 5
LINE_HEIGHT: Final = 14
COLOURS: Final = 160  # of a sheet: a third of the size, and nobody misses the others


def recipes(config: RecipesConfig) -> list[Path]:
    """Write a sheet for each recipe: what it makes of an image, with each of its settings.

    Args:
        config: Image, folder, and which sheet.

    Returns:
        The files that were written, one PNG per recipe.

    Raises:
        CalcoError: If the image cannot be read, or there is no such sheet.
    """
    if config.only is not None and config.only not in SHEETS:
        raise CalcoError(f"there is no sheet {config.only!r}; choose one of {', '.join(SHEETS)}")
    photo = _photo(config.image)
    with writing_folder(config.out, "calco recipes") as outputs, tempfile.TemporaryDirectory() as props:
        written = {name: outputs.folder / f"{name}.png" for name in ([config.only] if config.only else SHEETS)}
        outputs.check(written.values())
        write_props(Path(props))
        for name, path in written.items():
            images = [("the image", photo), *((cell.label, _image(cell, photo, props)) for cell in SHEETS[name])]
            atomic_write(path, _sheet(images))
    return list(written.values())


def _photo(path: str | Path | None) -> Image:
    """Return the image in colour, cut to the shape of a cell, HW3 `uint8`."""
    if path is None:
        drawing = openmoji.draw((openmoji.drawings_folder() / "1F98A.svg").read_text(encoding="utf-8"))
        beside = (drawing.shape[0] * CELL_WH[0] // CELL_WH[1] - drawing.shape[1]) // 2
        photo = np.pad(drawing, ((0, 0), (beside, beside), (0, 0)), constant_values=255)
    else:
        photo = imaging.as_dtype(imaging.read(path, channels=3), np.uint8)
    height, width = photo.shape[:2]
    scale = max(CELL_WH[0] / width, CELL_WH[1] / height)
    fitted = imaging.resize(photo, (max(CELL_WH[0], round(width * scale)), max(CELL_WH[1], round(height * scale))))
    top, left = (fitted.shape[0] - CELL_WH[1]) // 2, (fitted.shape[1] - CELL_WH[0]) // 2
    return np.ascontiguousarray(fitted[top : top + CELL_WH[1], left : left + CELL_WH[0]])


KINDS: Final[dict[str, str]] = {
    "": "photographs", "partner": "parallel", "mask": "masks", "outlines": "annotations", "boxes": "annotations",
    "painted": "photographs",
}  # fmt: skip


def _image(cell: Cell, photo: Image, props: str) -> Image:
    """Return the image of a cell, HW3 `uint8`: the input that the recipe makes, or the target of `segment`."""
    image = _with(Sample(image=photo, key=cell.label, group=""), cell.beside)
    # What is pasted where stays the same from cell to cell, so that the options show.
    rng = generator(SEED, 0, "composite 54" if cell.recipe == "composite" else cell.label, "sheet")
    if not cell.recipe:
        config = msgspec.convert(cell.options, AugmentConfig, strict=False)
        whole = moved(image, config, rng)
        return recoloured(Pair(input=whole.image, target=whole.image, key="", group=""), config, rng).input
    kind = KINDS[cell.beside]
    options = ({"cutouts": "CUTOUTS"} if cell.recipe == "composite" else {}) | cell.options
    options = {name: f"{props}/{value}" if value in PROPS else value for name, value in options.items()}
    classes = image.detections.classes if image.detections is not None else ()
    pair = build_recipe(resolve(configured(cell.recipe, options), kind, None, classes), kind)(image, rng)
    return _shown(pair.target if cell.recipe == "segment" or cell.beside == "painted" else pair.input)


def configured(recipe: str, options: dict[str, Any]) -> RecipeConfig:
    """Return a recipe's configuration with some options, each of them a field of one of its parts."""
    record = asdict(RecipeConfig(recipe=recipe))
    parts = [part for part in record.values() if isinstance(part, dict)]
    known = {name for part in parts for name in part}
    if unknown := sorted(options.keys() - known):
        raise CalcoError(f"no recipe has the option {unknown[0]}; choose one of {', '.join(sorted(known))}")
    for part in parts:
        part.update({name: value for name, value in options.items() if name in part})
    return msgspec.convert(record, RecipeConfig, strict=False)


def _with(sample: Sample, beside: Beside) -> Sample:
    """Return the image with what a source would bring: made of its own tones, so that any image serves."""
    if beside == "partner":
        by_hand = imaging.as_channels(draw(sample.image, SketchConfig(), np.random.default_rng(0)), 3)
        return replace(sample, image=by_hand, partner=sample.image)
    soft = cv2.GaussianBlur(imaging.luminance(sample.image)[..., 0], (0, 0), 4)
    level, _ = cv2.threshold(soft, 0, 255, cv2.THRESH_OTSU)
    if beside == "mask":
        return replace(sample, mask=np.where(soft > level, 255, 0).astype(np.uint8)[..., None])
    if beside in ("", "painted"):
        return sample
    found = []
    dark, light = np.quantile(soft, (0.2, 0.8))
    for name, tone in (("light", soft >= light), ("dark", soft <= dark)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(tone.astype(np.uint8))
        largest = 1 + np.argsort(-stats[1:count, cv2.CC_STAT_AREA], kind="stable")[:3]
        found += [(name, rings(labels == label)) for label in largest]
    detections = Detections(
        boxes=np.array([extent(outline) for _, outline in found], np.float32).reshape(-1, 4),
        classes=tuple(name for name, _ in found),
        outlines=tuple(Outline(outline) for _, outline in found) if beside == "outlines" else (),
    )
    return replace(sample, detections=detections)


def _shown(image: Image) -> Image:
    """HWC => HW3; transparency over squares, as in a program for images."""
    channels = image.shape[2]
    if channels in (1, 3):
        return imaging.as_channels(image, 3)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] // 8
    squares = np.where((rows + columns) % 2, 255, 200)[..., None]
    alpha = image[..., -1:] / 255
    return np.rint(image[..., : channels - 1] * alpha + squares * (1 - alpha)).astype(np.uint8)


def _sheet(images: list[tuple[str, Image]]) -> bytes:
    """Return images in rows, each over its label, as the bytes of a PNG with few colours."""
    gap, (width, height) = 6, CELL_WH
    font = ImageFont.load_default(12)
    labels = []
    for label, _ in images:  # in lines that fit under a cell
        lines = [""]
        for word in label.split():
            longer = f"{lines[-1]} {word}".strip()
            lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
        labels.append(lines)
    down = height + LINE_HEIGHT * max(len(lines) for lines in labels) + 2 * gap
    size_wh = min(COLUMNS, len(images)) * (width + gap) + gap, -(-len(images) // COLUMNS) * down
    sheet = Pillow.new("RGB", size_wh, "white")
    pen = ImageDraw.Draw(sheet)
    for number, (lines, (_, image)) in enumerate(zip(labels, images, strict=True)):
        left, top = gap + number % COLUMNS * (width + gap), gap + number // COLUMNS * down
        sheet.paste(Pillow.fromarray(np.ascontiguousarray(image)), (left, top))
        for row, line in enumerate(lines):
            pen.text((left, top + height + 1 + LINE_HEIGHT * row), line, "black", font)
    stream = io.BytesIO()
    sheet.quantize(COLOURS, dither=Pillow.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()
