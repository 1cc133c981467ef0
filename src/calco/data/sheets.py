"""Which images the sheets of recipes hold: every recipe, every setting."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from calco.data.sheet_props import CUTOUTS, MASKS, STROKES

Beside: TypeAlias = Literal["", "partner", "mask", "outlines", "boxes", "painted"]


@dataclass(frozen=True)
class Cell:
    """One image of a sheet: a recipe with some options, as the command line names them.

    Attributes:
        recipe: The recipe or chain; "" for play alone.
        options: Field and value; the field belongs to whichever part of the configuration has it.
        beside: What comes with the image; "painted" shows the target of a recipe that makes both.
    """

    recipe: str
    options: dict[str, Any] = field(default_factory=dict)
    beside: Beside = ""

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
