"""What the recipe `erase` takes away: hand-drawn strokes or rectangles, always wholly inside the picture."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from calco import images
from calco.errors import CalcoError

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class EraseConfig:
    """What is erased from a picture."""

    masks: str | None = None
    """A folder of hand-drawn strokes, black where they erase; without it rectangles are erased."""

    strokes: tuple[int, int] = (1, 2)
    """The fewest and the most strokes in a picture."""

    stroke_scale: tuple[float, float] = (1.0, 5.0)
    """The smallest and the largest enlargement of a stroke; never beyond the picture."""

    boxes: tuple[int, int] = (1, 1)
    """The fewest and the most rectangles in a picture."""

    box_size: tuple[float, float] = (0.2, 0.4)
    """The smallest and the largest side of a rectangle, as a share of the picture's short side; 0.3 0.3 fixes it."""

    place: Literal["random", "center"] = "random"
    """Where they stand: anywhere inside, or in the middle."""

    fill: str = "magenta"
    """The colour that is left: black, white, grey, magenta or #rrggbb."""

    weight: float = 10.0
    """How much an erased pixel counts in the loss, where every other one counts 1."""

    def __post_init__(self) -> None:
        for name, (low, high) in (("strokes", self.strokes), ("boxes", self.boxes)):
            if not 0 <= low <= high or high < 1:
                raise CalcoError(f"erase {name} is {low} to {high}; give the fewest and the most, such as 1 2")
        if not 0 < self.stroke_scale[0] <= self.stroke_scale[1]:
            raise CalcoError(f"erase stroke_scale is {self.stroke_scale}; give two rising numbers above 0, such as 1 5")
        if not 0 < self.box_size[0] <= self.box_size[1] <= 1:
            raise CalcoError(f"erase box_size is {self.box_size}; give two rising shares up to 1, such as 0.2 0.4")
        if self.place not in ("random", "center"):
            raise CalcoError(f"erase place is {self.place!r}; choose random or center")
        if self.weight <= 0:
            raise CalcoError(f"erase weight is {self.weight}; it must be above 0: 1 weighs all pixels alike")
        fill_colour(self.fill)


def fill_colour(name: str) -> tuple[int, int, int]:
    """A colour's name or #rrggbb => red, green, blue, 0 to 255."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise CalcoError(f"fill colour {name!r} is unknown; try black, white, grey, magenta or #rrggbb") from error
    return red, green, blue


def erased_region(height: int, width: int, config: EraseConfig, rng: np.random.Generator) -> Bools:
    """The pixels to erase, HW bool; at least one."""
    region = np.zeros((height, width), np.bool_)
    low, high = config.strokes if config.masks else config.boxes
    for _ in range(int(rng.integers(low, high + 1))):
        shape = _stroke(height, width, config, rng) if config.masks else _box(height, width, config, rng)
        room = height - shape.shape[0], width - shape.shape[1]
        top, left = (extent // 2 if config.place == "center" else int(rng.integers(0, extent + 1)) for extent in room)
        region[top : top + shape.shape[0], left : left + shape.shape[1]] |= shape
    return region


def _box(height: int, width: int, config: EraseConfig, rng: np.random.Generator) -> Bools:
    short = min(height, width)
    sides = [max(1, min(short, round(short * float(rng.uniform(*config.box_size))))) for _ in range(2)]
    return np.ones((sides[0], sides[1]), np.bool_)


def _stroke(height: int, width: int, config: EraseConfig, rng: np.random.Generator) -> Bools:
    """One of the masks, enlarged but never beyond the picture."""
    masks = stroke_masks(str(config.masks))
    stroke = masks[int(rng.integers(len(masks)))]
    largest = min(config.stroke_scale[1], height / stroke.shape[0], width / stroke.shape[1])
    scale = float(rng.uniform(min(config.stroke_scale[0], largest), largest))
    size_wh = max(1, int(stroke.shape[1] * scale)), max(1, int(stroke.shape[0] * scale))
    grey = images.resize(stroke[..., None].astype(np.uint8) * 255, size_wh, "bilinear")[..., 0]
    # A thin stroke that is made smaller must not break: a quarter of a pixel is enough there, its darkest always.
    return grey >= min(128 if scale >= 1 else 64, int(grey.max()))


@cache
def stroke_masks(folder: str) -> tuple[Bools, ...]:
    """The strokes of a folder, HW bool, cut to what they erase; read once per process.

    Raises:
        CalcoError: When the folder is absent or holds no readable stroke.
    """
    paths = images.list_pictures(folder)
    strokes = []
    for path in paths:
        erases = images.as_dtype(images.read(path, channels=1), np.uint8)[..., 0] < 128
        if erases.any():
            rows, columns = np.flatnonzero(erases.any(axis=1)), np.flatnonzero(erases.any(axis=0))
            strokes.append(erases[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    if not strokes:
        found = f"{len(paths)} pictures without a black pixel" if paths else "no picture"
        raise CalcoError(f"erase masks: {folder} holds {found}; strokes are pictures, black where they erase")
    return tuple(strokes)
