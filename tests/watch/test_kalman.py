"""The Kalman filter against plain matrices with the noise of the published method (DeepSORT, ByteTrack)."""

import numpy as np
import pytest

from calco.watch.tracking import begun, corrected, predicted

# Wojke et al., arXiv 1703.07402, and the code of ByteTrack: standard deviations as shares of the height.
POSITION, VELOCITY = 1 / 20, 1 / 160
BOX = (100.0, 50.0, 140.0, 170.0)  # centre 120, 110; 40 by 120 pixels
SEEN = (106.0, 52.0, 148.0, 176.0)


def start(box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    left, top, right, bottom = box
    height = bottom - top
    mean = np.array([(left + right) / 2, (top + bottom) / 2, (right - left) / height, height, 0, 0, 0, 0])
    position, velocity = 2 * POSITION * height, 10 * VELOCITY * height
    deviations = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
    return mean, np.diag(np.square(deviations))


def step(mean: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    move = np.eye(8)
    for axis in range(4):
        move[axis, axis + 4] = 1
    position, velocity = POSITION * mean[3], VELOCITY * mean[3]
    noise = np.diag(np.square([position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]))
    return move @ mean, move @ covariance @ move.T + noise


def correct(mean: np.ndarray, covariance: np.ndarray, box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    look = np.eye(4, 8)
    position = POSITION * mean[3]
    expected = look @ covariance @ look.T + np.diag(np.square([position, position, 1e-1, position]))
    gain = covariance @ look.T @ np.linalg.inv(expected)
    measured = start(box)[0][:4]
    return mean + gain @ (measured - look @ mean), covariance - gain @ expected @ gain.T


def test_start_prediction_and_correction_are_those_of_the_published_filter() -> None:
    means, covariances = begun(np.array([BOX]))
    mean, covariance = start(BOX)
    assert means[0] == pytest.approx(mean) and np.allclose(covariances[0], covariance, rtol=1e-9, atol=0)
    for _ in range(3):
        means, covariances = predicted(means, covariances, 1.0)
        mean, covariance = step(mean, covariance)
        assert means[0] == pytest.approx(mean) and np.allclose(covariances[0], covariance, rtol=1e-9, atol=1e-18)
        means, covariances = corrected(means, covariances, np.array([SEEN]))
        mean, covariance = correct(mean, covariance, SEEN)
        assert means[0] == pytest.approx(mean) and np.allclose(covariances[0], covariance, rtol=1e-6, atol=1e-12)
