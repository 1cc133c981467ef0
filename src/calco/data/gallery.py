"""`calco recipes`: what each recipe and each of its settings makes of one image, drawn on labelled sheets."""

import io
import tempfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calco import imaging
from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import extent, rings
from calco.data.augment import moved, recoloured
from calco.data.config import AugmentConfig
from calco.data.recipe_config import SketchConfig
from calco.data.recipes import RecipeConfig, build_recipe, resolve
from calco.data.sheet_props import CUTOUTS, PROPS, write_props
from calco.data.sheets import SHEETS, Beside, Cell
from calco.data.sketching import draw
from calco.data.sources import openmoji
from calco.data.types import Pair, Sample, generator
from calco.errors import CalcoError
from calco.files import atomic_write
from calco.imaging import Image
from calco.outputs import writing_folder

SEED: Final = 1281  # one with which the play is easy to see
CELL_WH: Final = 168, 112
COLUMNS: Final = 5
LINE_HEIGHT: Final = 14
COLOURS: Final = 160  # of a sheet: a third of the size, and nobody misses the others


def draw_sheets(image: str | Path | None, out: str | Path, *, only: str | None = None) -> list[Path]:
    """Draws a sheet for each recipe.

    Args:
        image: Any image; None takes a drawing of the built-in set.
        out: The folder to write into, one PNG a recipe.
        only: One of `SHEETS`; None draws all.

    Returns:
        The files that were written.

    Raises:
        CalcoError: When the image cannot be read, or there is no such sheet.
    """
    if only is not None and only not in SHEETS:
        raise CalcoError(f"there is no sheet {only!r}; choose one of {', '.join(SHEETS)}")
    photo = _photo(image)
    written = []
    with writing_folder(out, "calco recipes") as outputs, tempfile.TemporaryDirectory() as props:
        folder = outputs.folder
        outputs.check(folder / f"{name}.png" for name in (SHEETS if only is None else [only]))
        write_props(Path(props))
        for name in SHEETS if only is None else [only]:
            drawn = [("the image", photo), *((cell.label, _drawn(cell, photo, props)) for cell in SHEETS[name])]
            atomic_write(folder / f"{name}.png", _sheet(drawn))
            written.append(folder / f"{name}.png")
    return written


def _photo(path: str | Path | None) -> Image:
    """The image in colour, cut to the shape of a cell, HW3 `uint8`."""
    if path is None:
        drawing = openmoji.sketch_and_drawing(openmoji.drawings_folder() / "1F98A.svg")[1]
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


def _drawn(cell: Cell, photo: Image, props: str) -> Image:
    """What a cell shows, HW3 `uint8`: the input that the recipe makes; for `segment`, which makes none, the target."""
    image = _with(Sample(image=photo, key=cell.label, group=""), cell.beside)
    # What is pasted where stays the same from cell to cell, so that the options show.
    rng = generator(SEED, 0, "composite 54" if cell.recipe == "composite" else cell.label, "sheet")
    if not cell.recipe:
        config = AugmentConfig(**cell.options)
        whole = moved(image, config, rng)
        return recoloured(Pair(input=whole.image, target=whole.image, key="", group=""), config, rng).input
    kind = KINDS[cell.beside]
    options = ({"cutouts": CUTOUTS} if cell.recipe == "composite" else {}) | cell.options
    options = {name: f"{props}/{value}" if value in PROPS else value for name, value in options.items()}
    classes = image.detections.classes if image.detections is not None else ()
    pair = build_recipe(resolve(configured(cell.recipe, options), kind, None, classes), kind)(image, rng)
    return _shown(pair.target if cell.recipe == "segment" or cell.beside == "painted" else pair.input)


def configured(recipe: str, options: dict[str, Any]) -> RecipeConfig:
    """A recipe's configuration with some options, each of them a field of one of its parts.

    Raises:
        CalcoError: When no part has such a field.
    """
    config = RecipeConfig(recipe=recipe)
    for part in fields(config):
        inner = getattr(config, part.name)
        chosen = {} if part.name == "recipe" else {name: options[name] for name in options if hasattr(inner, name)}
        if chosen:
            config = replace(config, **{part.name: replace(inner, **chosen)})
    parts = [value for part in fields(config) if is_dataclass(value := getattr(config, part.name))]
    known = {each.name for part in parts for each in fields(part)}
    if unknown := sorted(options.keys() - known):
        raise CalcoError(f"no recipe has the option {unknown[0]}; choose one of {', '.join(sorted(known))}")
    return config


def _with(sample: Sample, beside: Beside) -> Sample:
    """The image with what a source would bring: made of its own tones, so that any image serves."""
    import cv2

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


def _sheet(drawn: list[tuple[str, Image]]) -> bytes:
    """Images in rows, each over its label, as the bytes of a PNG with few colours."""
    gap, (width, height) = 6, CELL_WH
    font = ImageFont.load_default(12)
    labels = [_wrapped(label, font, width) for label, _ in drawn]
    down = height + LINE_HEIGHT * max(len(lines) for lines in labels) + 2 * gap
    size_wh = min(COLUMNS, len(drawn)) * (width + gap) + gap, -(-len(drawn) // COLUMNS) * down
    sheet = Pillow.new("RGB", size_wh, "white")
    pen = ImageDraw.Draw(sheet)
    for number, (lines, (_, image)) in enumerate(zip(labels, drawn, strict=True)):
        left, top = gap + number % COLUMNS * (width + gap), gap + number // COLUMNS * down
        sheet.paste(Pillow.fromarray(np.ascontiguousarray(image)), (left, top))
        for row, line in enumerate(lines):
            pen.text((left, top + height + 1 + LINE_HEIGHT * row), line, "black", font)
    stream = io.BytesIO()
    sheet.quantize(COLOURS, dither=Pillow.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _wrapped(label: str, font: Any, width: int) -> list[str]:
    """A label in lines that fit under a cell."""
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    return lines
