"""What the sheets of recipes need besides an image: strokes of a hand, cut-outs and their masks, drawn for them."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.strokes import brush
from calco.files import make_folder
from calco.imaging import Image

STROKES: Final = "STROKES"
CUTOUTS: Final = "CUTOUTS"
MASKS: Final = "MASKS"
PROPS: Final = (STROKES, CUTOUTS, MASKS)
"""Names in the place of folders, under which `write_props` makes them."""

_SIDE: Final = 96


def write_props(folder: Path) -> None:
    """Makes the folders of `PROPS`."""
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
    """A beach ball in red and white, lit from above on the left."""
    x, y = _grid()
    mask = x**2 + y**2 < 0.95
    stripes = (np.floor((np.arctan2(y + 0.2, x) + np.pi) / (np.pi / 4)) % 2)[..., None]
    light = np.clip(1.15 - 0.5 * ((x + 0.4) ** 2 + (y + 0.5) ** 2), 0.3, 1)[..., None]
    colour = np.where(stripes > 0, (235, 235, 225), (205, 45, 40)) * light
    return np.rint(colour).astype(np.uint8), mask


def _star() -> tuple[Image, npt.NDArray[np.bool_]]:
    """A star of five points in yellow."""
    x, y = _grid()
    angle = np.mod(np.arctan2(x, -y), 2 * np.pi / 5)
    angle = np.minimum(angle, 2 * np.pi / 5 - angle)
    # The straight line from a point (distance 0.98, angle 0) to a notch (0.42, a fifth of the half circle).
    ends = 0.98, 0.42 * np.exp(1j * np.pi / 5)
    edge = ends[0] * ends[1].imag / (ends[1].imag * np.cos(angle) + (ends[0] - ends[1].real) * np.sin(angle))
    mask = np.hypot(x, y) < edge
    shade = np.clip(1.0 - 0.35 * (x + y), 0.5, 1)[..., None]
    return np.rint(np.array((245, 200, 40)) * shade).clip(0, 255).astype(np.uint8), mask
