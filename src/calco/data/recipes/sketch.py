"""Recipe `sketch`: photographs as drawings in seven styles, with random lines, wobble and paper."""

import itertools
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.data.recipe_config import SketchConfig
from calco.data.sample import Pair, Sample, smooth_noise
from calco.imaging import Image, as_dtype, luminance

Plane: TypeAlias = npt.NDArray[np.floating[Any]]  # HW `float32` in [0, 1]; of a sketch, 0 is ink and 1 is paper


def draw(image: Image, config: SketchConfig, rng: np.random.Generator) -> Image:
    """Return a sketch of an image: HWC => HW1 of the same dtype, dark lines on light paper."""
    style = config.styles[0] if len(config.styles) == 1 else str(rng.choice(config.styles))
    weight, wobble, paper = (float(rng.uniform(*each)) for each in (config.line_weight, config.wobble, config.paper))
    grey: Plane = np.ascontiguousarray(as_dtype(luminance(image), np.float32)[..., 0])
    share = config.softness if style == "pencil" else PEN
    lines = SKETCHES[style](grey, max(0.5, weight * share * min(grey.shape)), rng)
    if wobble:
        lines = shaken(lines, wobble * min(grey.shape), rng)
    if paper:
        lines = _on_paper(lines, paper, rng)
    return as_dtype(lines[..., None], image.dtype)


def pencil(grey: Plane, width: float, _rng: np.random.Generator) -> Plane:
    """Divide grey by its own blur ("colour dodge"): paper where it is even, dark where it falls."""
    # The constant keeps the noise of black areas from turning into strokes.
    dodged = np.clip((grey + 0.02) / (_blurred(grey, width) + 0.02), 0, 1)
    return np.asarray(dodged**2, np.float32)


def xdog(grey: Plane, width: float, _rng: np.random.Generator) -> Plane:
    """Ink lines and dark areas, as with a brush, by the extended difference of Gaussians.

    Winnemöller, Kyprianidis, Olsen, "XDoG: An eXtended difference-of-Gaussians compendium" (2012): with
    S = (1 + p) G_s - p G_ks, k = 1.6, a pixel is paper where S >= e, else 1 + tanh(f (S - e)).
    """
    import cv2

    p, epsilon, phi = 15.0, 0.46, 10.0
    even = cv2.bilateralFilter(_toned(grey), 0, 0.15, max(1.0, 1.5 * width))
    sharpened = (1 + p) * _blurred(even, width) - p * _blurred(even, 1.6 * width)
    return np.asarray(np.where(sharpened >= epsilon, 1, 1 + np.tanh(phi * (sharpened - epsilon))), np.float32)


def canny(grey: Plane, width: float, _rng: np.random.Generator) -> Plane:
    """Draw Canny's edges (1986) as thin lines of one width, without specks."""
    return _lines(_edges(_blurred(grey, 1.0), 0.90, shortest=0.06), width)


def contour(grey: Plane, width: float, _rng: np.random.Generator) -> Plane:
    """Draw the outlines of the large forms, thick as with a felt pen: a filter that keeps edges removes detail."""
    import cv2

    forms = cv2.bilateralFilter(_toned(grey), 0, 0.15, 0.02 * min(grey.shape))
    return _lines(_edges(_blurred(forms, 0.01 * min(grey.shape)), 0.9, shortest=0.12), 2.5 * width)


def hatching(grey: Plane, width: float, rng: np.random.Generator) -> Plane:
    """Draw strokes in four directions, one more for each darker tone, over thin outlines."""
    height, width_px = grey.shape
    tone = _toned(_blurred(grey, 2 * width))
    rows, columns = np.mgrid[:height, :width_px].astype(np.float32)
    spacing, first = 5 * width, rng.uniform(0.3, 1.2)
    lines = _lines(_edges(_blurred(grey, 1.0), 0.93, shortest=0.06), 0.8 * width)
    for level, turn in ((0.65, 0.0), (0.4, 0.5), (0.22, 0.25), (0.1, 0.75)):
        angle = first + turn * np.pi
        across = rows * np.cos(angle) - columns * np.sin(angle)
        bent = across + spacing * 1.2 * (smooth_noise(grey.shape, 16 * spacing, rng) - 0.5)
        distance = np.abs((bent / spacing) % 1 - 0.5) * spacing
        pressure = np.clip((level - tone) / 0.15, 0, 1) * (0.3 + 0.9 * smooth_noise(grey.shape, 2 * spacing, rng))
        lines = np.minimum(lines, 1 - np.clip(pressure * width * 0.5 + 0.5 - distance, 0, 1) * (pressure > 0.05))
    return np.asarray(lines, np.float32)


def charcoal(grey: Plane, width: float, rng: np.random.Generator) -> Plane:
    """Rub tones onto the paper with the side of a stick, in one direction, and draw soft lines over them."""
    import cv2

    height, width_px = grey.shape
    dark = np.clip((rng.uniform(0.7, 0.95) - _toned(_blurred(grey, 1.5 * width))) / 0.8, 0, 1)
    # The grain of the paper, drawn out along the strokes, and an uneven pressure.
    long, turn = 2 ** rng.uniform(0, 4), rng.uniform(0, np.pi)
    side = np.hypot(height, width_px)
    coarse = rng.random((round(side / width) + 1, round(side / width / long) + 1), np.float32)
    strokes = cv2.resize(coarse, (math.ceil(side), math.ceil(side)), interpolation=cv2.INTER_CUBIC)
    centre = np.array([math.ceil(side) / 2, math.ceil(side) / 2])
    turned = cv2.getRotationMatrix2D(tuple(centre), np.degrees(turn), 1)
    turned[:, 2] += np.array([width_px, height]) / 2 - centre
    grain = cv2.warpAffine(strokes, turned, (width_px, height), borderMode=cv2.BORDER_REFLECT_101)
    hardness = rng.uniform(0.3, 2)
    pressure = 0.6 + 0.8 * smooth_noise(grey.shape, 12 * width, rng)
    rubbed = rng.uniform(0.5, 0.9) * np.clip(dark * pressure + hardness * (grain - 0.5) * np.sqrt(dark), 0, 1)
    return np.asarray(np.minimum(1 - rubbed, pencil(grey, 3 * width, rng)), np.float32)


def stipple(grey: Plane, width: float, rng: np.random.Generator) -> Plane:
    """Set dots, larger and more of them where it is darker, beside thin outlines."""
    import cv2

    height, width_px = grey.shape
    spacing = max(2.5, rng.uniform(2, 3.2) * width)
    rows, columns = (math.ceil(extent / spacing) + 2 for extent in grey.shape)
    # One dot in each cell of a grid, away from its middle, as large as the image is dark there.
    down = (np.arange(rows)[:, None] - 0.5 + rng.uniform(-0.35, 0.35, (rows, columns))) * spacing
    across = (np.arange(columns) - 0.5 + rng.uniform(-0.35, 0.35, (rows, columns))) * spacing
    tone = cv2.resize(_toned(_blurred(grey, spacing)), (columns, rows), interpolation=cv2.INTER_AREA)
    dark = np.clip((0.8 - tone) / 0.8, 0, 1)
    radius = np.where(dark > 0.4 * rng.random(dark.shape), 0.5 * spacing * np.sqrt(dark), -1)
    cell = np.mgrid[:height, :width_px] + 0.5
    row, column = (cell / spacing + 1).astype(int)
    lines = _lines(_edges(_blurred(grey, 1.0), 0.93, shortest=0.06), 0.8 * width)
    for step in itertools.product((-1, 0, 1), repeat=2):
        near = np.clip(row + step[0], 0, rows - 1), np.clip(column + step[1], 0, columns - 1)
        distance = np.hypot(cell[0] - down[near], cell[1] - across[near])
        lines = np.minimum(lines, 1 - np.clip(radius[near] + 0.5 - distance, 0, 1))
    return np.asarray(lines, np.float32)


SKETCHES: Final[dict[str, Callable[[Plane, float, np.random.Generator], Plane]]] = {
    "pencil": pencil, "xdog": xdog, "canny": canny, "contour": contour, "hatching": hatching,
    "charcoal": charcoal, "stipple": stipple,
}  # fmt: skip
PEN: Final = 0.0055  # the width of a pen's line, as a share of the short side


def _blurred(plane: npt.NDArray[Any], sigma: float) -> Plane:
    import cv2

    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def _toned(grey: Plane) -> Plane:
    """Spread the tones over the whole range, and make dark images lighter, so that paper stays free."""
    low, high = np.quantile(grey, (0.01, 0.99))
    tone = np.clip((grey - low) / max(0.1, high - low), 0, 1)
    middle = float(np.clip(np.median(tone), 0.05, 0.9))
    return np.asarray(tone ** min(1.0, max(0.4, np.log(0.6) / np.log(middle))), np.float32)


def _edges(grey: Plane, quantile: float, shortest: float) -> npt.NDArray[np.uint8]:
    """Find Canny's edges among the steepest slopes, without those shorter than a share of the short side."""
    import cv2

    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    slope = np.hypot(across, down)
    steep = max(0.05, float(np.quantile(slope, quantile)))
    scale = 32767 / max(steep, float(slope.max()))  # Canny takes slopes as 16-bit integers
    found = cv2.Canny(
        (across * scale).astype(np.int16), (down * scale).astype(np.int16), 0.4 * steep * scale, steep * scale,
        L2gradient=True,
    )  # fmt: skip
    _, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= shortest * min(grey.shape)
    kept[0] = False
    return np.asarray(kept[labels], np.uint8)


def _lines(edges: npt.NDArray[np.uint8], width: float) -> Plane:
    """Draw one-pixel edges as lines of a width in pixels with soft borders."""
    import cv2

    if not edges.any():
        return np.ones(edges.shape, np.float32)
    # Blurred, the distance forgets the steps of slanting edges; 0.8 is then its value on the edge.
    distance = _blurred(cv2.distanceTransform(1 - edges, cv2.DIST_L2, 5), 1.0)
    return np.asarray(1 - np.clip(2 * (width / 2 + 0.75 - distance), 0, 1), np.float32)


def shaken(lines: Plane, reach: float, rng: np.random.Generator) -> Plane:
    """Shift lines by up to `reach` pixels, as an unsteady hand does."""
    import cv2

    height, width = lines.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    grain = max(4.0, 0.08 * min(lines.shape))
    down, across = (2 * reach * (smooth_noise((height, width), grain, rng) - 0.5) for _ in range(2))
    return np.asarray(
        cv2.remap(lines, columns + across, rows + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float32
    )


def _on_paper(lines: Plane, rough: float, rng: np.random.Generator) -> Plane:
    """Put a sketch on paper with a grain: the sheet darkens in its hollows, and ink does not reach into them."""
    fine, coarse = rng.random(lines.shape, np.float32), smooth_noise(lines.shape, 3.0, rng)
    grain = np.clip(0.5 + 1.6 * (0.5 * _blurred(fine, 0.7) + 0.5 * coarse - 0.5), 0, 1)
    sheet = 1 - 0.2 * rough * grain
    ink = (1 - lines) * (1 - 0.8 * rough * grain)
    return np.asarray(sheet * (1 - ink), np.float32)


def sketch_pair(sample: Sample, rng: np.random.Generator, config: SketchConfig) -> Pair:
    """Return a sketch of the image (HW1) as the input and the image as the target."""
    whole = sample.whole
    return Pair(input=draw(whole, config, rng), target=whole, key=sample.key, group=sample.group)
