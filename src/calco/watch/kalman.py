"""The Kalman filter of SORT, DeepSORT and ByteTrack: boxes that move with constant velocity, many at a time.

A box is centre x, centre y, width by height, height, and the velocity of each (Wojke et al., 2017, arXiv 1703.07402,
section 2.1). The noise is a share of the height, so that near objects may move further. Time is counted in steps of a
thirtieth of a second, for which the shares were found; a step may be any part or multiple of it.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

STEPS_A_SECOND: Final = 30.0
_PLACE, _VELOCITY = 1 / 20, 1 / 160  # standard deviations, as shares of the height; those of ByteTrack
_SHAPE: Final = 0.01
_SHAPE_SEEN: Final = 0.1
_SHAPE_VELOCITY: Final = 1e-5
_LEAST: Final = 1.0  # pixels of a height; what is smaller has no noise left to tell one place from another


def to_state(boxes: npt.NDArray[np.floating]) -> Floats:
    """Boxes N x 4 (left, top, right, bottom) => N x 4 (centre x, centre y, width by height, height)."""
    corners = boxes.astype(np.float64)
    size = np.maximum(corners[:, 2:] - corners[:, :2], 1e-3)
    centres = (corners[:, 2:] + corners[:, :2]) / 2
    return np.column_stack([centres, size[:, 0] / size[:, 1], size[:, 1]])


def to_boxes(means: Floats) -> Floats:
    """States N x 4 or N x 8 => boxes N x 4."""
    height = np.maximum(means[:, 3], _LEAST)
    width = np.maximum(means[:, 2], 1e-3) * height
    half = np.column_stack([width, height]) / 2
    return np.column_stack([means[:, :2] - half, means[:, :2] + half])


def begun(boxes: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """States of what was just found, at rest: N x 4 => means N x 8, covariances N x 8 x 8."""
    seen = to_state(boxes)
    height = np.maximum(seen[:, 3], _LEAST)
    deviations = _columns(2 * _PLACE * height, _SHAPE, 10 * _VELOCITY * height, _SHAPE_VELOCITY)
    return np.concatenate([seen, np.zeros_like(seen)], axis=1), _diagonal(deviations**2)


def predicted(means: Floats, covariances: Floats, steps: float) -> tuple[Floats, Floats]:
    """Where boxes will be after some steps: means N x 8, covariances N x 8 x 8 => the same."""
    move = np.eye(8)
    move[np.arange(4), np.arange(4) + 4] = steps
    height = np.maximum(means[:, 3], _LEAST)
    noise = _columns(_PLACE * height, _SHAPE, _VELOCITY * height, _SHAPE_VELOCITY)
    return means @ move.T, move @ covariances @ move.T + _diagonal(noise**2) * steps


def corrected(means: Floats, covariances: Floats, boxes: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """States with what was seen of them: means N x 8, covariances N x 8 x 8, boxes N x 4 => means, covariances."""
    if not len(means):
        return means, covariances
    height = np.maximum(means[:, 3], _LEAST)
    noise = np.column_stack([_PLACE * height, _PLACE * height, np.full_like(height, _SHAPE_SEEN), _PLACE * height])
    expected = covariances[:, :4, :4] + _diagonal(noise**2)
    gain = np.linalg.solve(expected, covariances[:, :4, :]).transpose(0, 2, 1)  # N x 8 x 4
    difference = to_state(boxes) - means[:, :4]
    updated = means + np.einsum("nij,nj->ni", gain, difference)
    shrunk = covariances - gain @ expected @ gain.transpose(0, 2, 1)
    return updated, (shrunk + shrunk.transpose(0, 2, 1)) / 2  # rounding must not make it lopsided over hours


def _columns(place: Floats, shape: float, velocity: Floats, shape_velocity: float) -> Floats:
    shapes, shape_velocities = np.full_like(place, shape), np.full_like(place, shape_velocity)
    return np.column_stack([place, place, shapes, place, velocity, velocity, shape_velocities, velocity])


def _diagonal(variances: Floats) -> Floats:
    """N x K => N x K x K."""
    result: Floats = variances[:, :, None] * np.eye(variances.shape[1])
    return result
