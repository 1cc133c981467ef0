"""`calco recipes`: what each recipe and each of its settings makes of one image, drawn on labelled sheets."""

import io
import tempfile
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
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

STROKES: Final = "STROKES"
CUTOUTS: Final = "CUTOUTS"
MASKS: Final = "MASKS"
PROPS: Final = (STROKES, CUTOUTS, MASKS)
"""Names in the place of folders, under which `write_props` makes them."""

_SIDE: Final = 96


def write_props(folder: Path) -> None:
    """Make the folders of `PROPS`."""
    for name in PROPS:
        make_folder(folder / name)
    for number in range(2):
        stroke = brush(50, 50, (25.0, 25.0), 6, np.random.default_rng(number))
        imaging.write(folder / STROKES / f"{number}.png", np.where(stroke, 0, 255).astype(np.uint8)[..., None])
    for name, (colour, mask) in {"ball": _ball(), "star": _star()}.items():
        alpha = np.where(mask, 255, 0).astype(np.uint8)[..., None]
        imaging.write(folder / CUTOUTS / f"{name}_1.png", np.concatenate([colour, alpha], axis=2))
        imaging.write(folder / MASKS / f"{name}_1.png", alpha)


def _grid() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Columns and rows in [-1, 1]."""
    ends = (np.arange(_SIDE) + 0.5) * 2 / _SIDE - 1
    return ends[None, :], ends[:, None]


def _ball() -> tuple[Image, npt.NDArray[np.bool_]]:
    """Return a beach ball in red and white, lit from above on the left."""
    x, y = _grid()
    mask = x**2 + y**2 < 0.95
    stripes = (np.floor((np.arctan2(y + 0.2, x) + np.pi) / (np.pi / 4)) % 2)[..., None]
    light = np.clip(1.15 - 0.5 * ((x + 0.4) ** 2 + (y + 0.5) ** 2), 0.3, 1)[..., None]
    colour = np.where(stripes > 0, (235, 235, 225), (205, 45, 40)) * light
    return np.rint(colour).astype(np.uint8), mask


def _star() -> tuple[Image, npt.NDArray[np.bool_]]:
    """Return a star of five points in yellow."""
    x, y = _grid()
    angle = np.mod(np.arctan2(x, -y), 2 * np.pi / 5)
    angle = np.minimum(angle, 2 * np.pi / 5 - angle)
    # The straight line from a point (distance 0.98, angle 0) to a notch (0.42, a fifth of the half circle).
    ends = 0.98, 0.42 * np.exp(1j * np.pi / 5)
    edge = ends[0] * ends[1].imag / (ends[1].imag * np.cos(angle) + (ends[0] - ends[1].real) * np.sin(angle))
    mask = np.hypot(x, y) < edge
    shade = np.clip(1.0 - 0.35 * (x + y), 0.5, 1)[..., None]
    return np.rint(np.array((245, 200, 40)) * shade).clip(0, 255).astype(np.uint8), mask


Beside: TypeAlias = Literal["", "partner", "mask", "outlines", "boxes", "painted"]


@dataclass(frozen=True)
class Cell:
    """One image of a sheet: a recipe with some options, as the command line names them."""

    recipe: str  # the recipe or chain; "" for augmentation alone
    # field and value; the field belongs to whichever part of the configuration has it
    options: dict[str, Any] = field(default_factory=dict)
    beside: Beside = ""  # what comes with the image; "painted" shows the target of a recipe that makes both

    @property
    def label(self) -> str:
        """The options as they are typed."""
        prefix = "--augment." if not self.recipe else "--"
        typed = [f"{prefix}{name.replace('_', '-')}{_typed(value)}" for name, value in self.options.items()]
        named = [self.recipe] if "+" in self.recipe or not typed else []
        noted = f" ({self.beside})" if self.beside and self.recipe in ("segment", "composite") else ""
        return " ".join([*named, *typed]) + noted


def _cells(recipe: str, *options: dict[str, Any], beside: Beside = "") -> list[Cell]:
    return [Cell(recipe, each, beside) for each in options]


# A new setting is one line here.
SHEETS: Final[dict[str, list[Cell]]] = {
    "aligned": _cells("aligned", {}, beside="partner"),
    "colorize": [
        *_cells("colorize", {"space": "luminance"}, {"space": "lab"}),
        *_cells("colorize+erase", {}),
        *_cells("colorize+degrade", {"damage": "noise"}),
    ],
    "erase": [
        *_cells(
            "erase",
            {"holes": "boxes", "boxes": (3, 3)},
            {"holes": "boxes", "box_size": (0.4, 0.4), "place": "center"},
            {"holes": "masks", "masks": STROKES},
            {"holes": "masks", "masks": STROKES, "stroke_scale": (4, 4), "strokes": (1, 1)},
            {"holes": "brush"},
            {"holes": "brush", "brush": (6, 6), "brush_width": (0.02, 0.02)},
            {"holes": "scratches"},
            {"holes": "scratches", "scratches": (3, 3), "scratch_width": (0.03, 0.03)},
            {"holes": "stains"},
            {"holes": "stains", "stains": (6, 6), "stain_size": (0.15, 0.15)},
            {"holes": "brush", "share": 0.3},
            {"holes": "brush+scratches+stains"},
            {"holes": "any"},
        ),
        *_cells("erase", {"holes": "given"}, {"holes": "given", "mask_erases": "black"}, beside="mask"),
        *_cells("erase", *({"fill": fill} for fill in ("black", "white", "grey", "#3060ff", "mean", "noise"))),
        *_cells("erase", {"mask_channel": True, "fill": "mean"}),
    ],
    "sketch": [
        *_cells("sketch", *({"style": style} for style in ("pencil", "xdog", "canny", "contour", "hatching"))),
        *_cells(
            "sketch",
            {"style": "pencil", "softness": 0.005},
            {"style": "pencil", "softness": 0.08},
            {"style": "xdog", "line_weight": (2, 2)},
            {"style": "canny", "line_weight": (0.5, 0.5)},
            {"style": "canny", "line_weight": (2, 2)},
            {"style": "canny", "wobble": (0.02, 0.02)},
            {"style": "contour", "line_weight": (0.5, 0.5)},
            {"style": "hatching", "line_weight": (0.5, 0.5)},
            {"style": "hatching", "wobble": (0.01, 0.01)},
            {"style": "pencil", "paper": (0.5, 0.5)},
            {"style": "any", "line_weight": (0.6, 2), "wobble": (0, 0.02), "paper": (0, 0.5)},
        ),
    ],
    "degrade": [
        *_cells(
            "degrade",
            {"damage": "scratches", "scratched": (3, 3)},
            {"damage": "scratches", "scratched": (12, 12)},
            {"damage": "blur", "blur": (1, 1)},
            {"damage": "blur", "blur": (3, 3)},
            {"damage": "downscale", "downscale": (2, 2)},
            {"damage": "downscale", "downscale": (6, 6)},
            {"damage": "noise", "noise": (0.05, 0.05)},
            {"damage": "noise", "noise": (0.2, 0.2)},
            {"damage": "jpeg", "jpeg": (40, 40)},
            {"damage": "jpeg", "jpeg": (8, 8)},
            {"damage": "scratches+blur+noise"},
            {"damage": "any"},
        )
    ],
    "segment": [
        Cell("segment", {"palette": "binary"}, "mask"),
        Cell("segment", {"palette": "auto"}, "outlines"),
        Cell("segment", {"palette": "background #203040; dark #e0c060; light #c04040"}, "outlines"),
        Cell("segment", {"palette": "auto"}, "boxes"),
    ],
    "composite": [
        Cell("composite", {"cutouts": CUTOUTS}),
        Cell("composite", {}, "painted"),
        Cell("composite", {"cutout_class": "toy"}, "painted"),
        *_cells(
            "composite",
            {"cutout_masks": MASKS},
            {"pasted": (8, 8), "cutout_size": (0.2, 0.3)},
            {"pasted": (8, 8), "cutout_size": (0.4, 0.6), "least_visible": 0.1},
            {"cutout_turn": 90},
            {"cutout_flip": 0},
            {"cutout_light": 1},
            {"cutout_match": 1},
            {"cutout_blur": (3, 3)},
            {"cutout_edge": (4, 4)},
            {"cutout_shadow": 1},
            {"cutout_hidden": 1},
        ),
    ],
    "augment": _cells(
        "",
        {"rotate": 25},
        {"scale": 0.4},
        {"shear": 20},
        {"perspective": 0.25},
        {"elastic": 0.06},
        {"brightness": 0.5},
        {"contrast": 0.8},
        {"gamma": 1.5},
        {"saturation": 1},
        {"hue": 90},
        {"noise": 0.15},
        {"rotate": 10, "scale": 0.1, "hue": 30},
    ),
}  # fmt: skip


def _typed(value: Any) -> str:
    if value is True:
        return ""
    text = " ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else str(value)
    return f' "{text}"' if (" " in text and isinstance(value, str)) or text.startswith("#") else f" {text}"


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
    image, out, only = config.image, config.out, config.only
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
    """Return the image in colour, cut to the shape of a cell, HW3 `uint8`."""
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
    """Return a recipe's configuration with some options, each of them a field of one of its parts."""
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
    """Return the image with what a source would bring: made of its own tones, so that any image serves."""
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
    """Return a label in lines that fit under a cell."""
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    return lines
