"""Random strokes of a brush, scratches as on old photographs, and stains as of water. All HW bool."""

import cv2
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Point = tuple[float, float]  # x, y in pixels
Points = npt.NDArray[np.float64]  # N x 2, x and y

SHIFT = 4  # OpenCV takes coordinates as whole sixteenths of a pixel


def brush(height: int, width: int, start: Point, thickness: int, rng: np.random.Generator) -> Bools:
    """Return one stroke of a round brush from `start`: it wanders and turns, or scribbles to and fro.

    A walk with random lengths and angles, as in free-form inpainting (Yu et al., arXiv 1806.03589, algorithm 1) and in
    the irregular masks of partial convolution (Liu et al., arXiv 1804.07723) and LaMa (Suvorov et al., arXiv
    2109.07161); its corners are rounded, as those of a hand are.
    """
    reach = min(height, width) * float(rng.uniform(0.1, 0.35))
    steps = int(rng.integers(3, 10))
    turns = rng.normal(0, 0.7, steps)
    if rng.random() < 0.4:
        turns = np.pi - np.abs(turns)  # to and fro: each line nearly goes back along the one before it
        turns[::2] *= -1
    headings = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    lengths = reach * rng.uniform(0.4, 1.2, steps)
    way = np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * lengths[:, None], axis=0)
    points = _inside(np.vstack([[start], np.array(start) + way]), height, width)
    return _line(np.zeros((height, width), np.uint8), _rounded(points), thickness) > 0


def scratch(height: int, width: int, start: Point, thickness: int, rng: np.random.Generator) -> Bools:
    """Return one scratch through `start`: long, thin, slightly bent and shaky, interrupted, thinner at its ends."""
    length = float(np.hypot(height, width)) * float(rng.uniform(0.15, 0.8))
    count = max(8, int(length / 6))
    along = np.linspace(-0.5, 0.5, count)
    bend = length * float(rng.normal(0, 0.06)) * (1 - 4 * along**2)
    shake = np.cumsum(rng.normal(0, 0.35, count)) * min(1.0, thickness / 2)
    heading = float(rng.uniform(0, np.pi))
    forward, aside = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    points = np.array(start) + np.outer(along * length, forward) + np.outer(bend + shake, aside)
    # A slow wave is the pressure of the needle, which lifts off where the wave is low.
    pressure = np.convolve(rng.normal(0, 1, count + 8), np.ones(9) / 3, "valid")
    canvas = np.zeros((height, width), np.uint8)
    for index in np.flatnonzero(pressure[:-1] > -1):
        fade = 1 - 1.5 * abs(along[index])
        _line(
            canvas, points[index : index + 2], max(1, round(thickness * fade * min(1.0, 0.7 + 0.2 * pressure[index])))
        )
    return _with(canvas, start)


def stain(height: int, width: int, start: Point, diameter: int, rng: np.random.Generator) -> Bools:
    """Return one stain around `start`: a blob with lobes and a ragged edge, sometimes with drops or a mere rim."""
    radius = diameter / 2
    rows, columns = np.mgrid[:height, :width]
    angle = float(rng.uniform(0, np.pi))
    stretch = float(rng.uniform(0.6, 1.0))
    x, y = columns - start[0], rows - start[1]
    far = np.hypot(x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / stretch) / radius
    field = 0.75 - far
    for cells, strength in ((2.5, 0.35), (6.0, 0.15), (16.0, 0.08)):  # lobes, edge, fringe: cells across the stain
        field += strength * _smooth_noise(height, width, 2 * radius / cells, rng)
    inside = field > 0
    if rng.random() < 0.25:
        inside &= field < float(rng.uniform(0.1, 0.2))
    return _with(inside.astype(np.uint8), start)


def _smooth_noise(height: int, width: int, cell: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return normal noise that changes over about `cell` pixels."""
    cell = max(1.0, cell)
    coarse = rng.normal(0, 1, (int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
    size_wh = int(coarse.shape[1] * cell) + 1, int(coarse.shape[0] * cell) + 1
    fine = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine[:height, :width], np.float32)


def _inside(points: Points, height: int, width: int) -> Points:
    """Reflect a way that would leave the image at its border."""
    last = np.maximum([width - 1, height - 1], 1)
    back: Points = last - np.abs(points % (2 * last) - last)
    return np.minimum(back, [width - 1, height - 1])


def _rounded(points: Points) -> Points:
    """Cut the corners twice (Chaikin's curve); the ends stay."""
    for _ in range(2):
        first, second = points[:-1], points[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], 1).reshape(-1, 2)
        points = np.vstack([points[:1], cut, points[-1:]])
    return points


def _line(canvas: npt.NDArray[np.uint8], points: Points, thickness: int) -> npt.NDArray[np.uint8]:
    """Draw a line with round ends and joints into the canvas."""
    fixed = np.rint(points * (1 << SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 1, thickness, cv2.LINE_8, SHIFT)
    return canvas


def _with(canvas: npt.NDArray[np.uint8], start: Point) -> Bools:
    """Return the canvas as bools, with the start if there is nothing else."""
    marked: Bools = canvas > 0
    if not marked.any():
        marked[int(start[1]), int(start[0])] = True
    return marked
