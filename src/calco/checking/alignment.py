"""Alignment of the two sides of a pair: shifted, mirrored, swapped; compared with the rest of the data set."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from calco.checking.image_statistics import grey_of
from calco.imaging import Image

Floats = npt.NDArray[np.float32]
SIDE: Final = 128
_PEAK: Final = 5  # pixels around the best place that belong to it
_APART: Final = 7.0  # squared, in standard deviations: least distance of the two sides of a data set
TURNS: Final = ("mirrored left to right", "upside down", "turned half round")


@dataclass(frozen=True, slots=True)
class Alignment:
    """Best fit of the outlines of the target on those of the input."""

    fit: float  # correlation of the outlines there, in [-1, 1]
    in_place: float  # the same without a shift
    shift: tuple[float, float]  # to the right and downwards, as fractions of width and height
    rival: float  # the best correlation at another shift: high where the image repeats itself
    turned: tuple[float, float, float]  # the best correlation of the target turned in each of `TURNS`


def align(first: Image, second: Image) -> Alignment:
    """Correlate the outlines of two images of one shape (HWC `uint8`) at every shift, by the Fourier transform."""
    a, b = _outlines(first), _outlines(second)
    spectrum, other = np.fft.rfft2(a), np.fft.rfft2(b)
    # Turned half round is the complex conjugate; the mirrored images are turned versions of each other.
    mirrored = np.fft.rfft2(b[:, ::-1])
    maps = [
        np.fft.irfft2(np.conj(spectrum) * moved, s=a.shape)
        for moved in (other, mirrored, np.conj(mirrored), np.conj(other))
    ]
    straight, turned = maps[0], maps[1:]
    row, column = np.unravel_index(int(straight.argmax()), straight.shape)
    dy, dx = (int(place) - SIDE if place >= SIDE // 2 else int(place) for place in (row, column))
    reach = SIDE // 8
    near = np.r_[0 : reach + 1, -reach:0]
    fits = tuple(float(each[np.ix_(near, near)].max()) for each in turned)
    fit, in_place = float(straight.max()), float(straight[0, 0])
    around = np.r_[-_PEAK : _PEAK + 1]
    straight[np.ix_((row + around) % SIDE, (column + around) % SIDE)] = -1
    return Alignment(fit, in_place, (dx / SIDE, dy / SIDE), float(straight.max()), (fits[0], fits[1], fits[2]))


def _outlines(image: Image) -> Floats:
    """Return the steepness of the grey image, under a window, with mean 0 and norm 1."""
    small = cv2.resize(grey_of(image), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1.0)
    steep = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    # Strong and weak outlines count alike: a drawing has other strengths than a photograph.
    even = steep / (cv2.GaussianBlur(steep, (0, 0), 8.0) + 4.0)
    window = np.hanning(SIDE).astype(np.float32)
    weights = np.outer(window, window)
    even = (even - float((even * weights).sum() / weights.sum())) * weights
    return np.asarray(even / (np.linalg.norm(even) + 1e-6), np.float32)


def shifted(alignments: dict[str, Alignment]) -> dict[str, str]:
    """Return key and words for each pair whose target, once moved, fits far better and as well as other pairs do."""
    if not alignments:
        return {}
    gain = np.array([a.fit - a.in_place for a in alignments.values()])
    usual_fit = float(np.median([a.in_place for a in alignments.values()]))
    middle = float(np.median(gain))
    spread = 1.4826 * float(np.median(np.abs(gain - middle)))  # a standard deviation that outliers do not move
    limit = max(0.15, middle + 8 * spread)
    found = {}
    for key, a in alignments.items():
        moved = max(map(abs, a.shift))
        sure = a.fit >= max(0.3, 0.75 * usual_fit, 1.3 * a.rival)
        if sure and a.fit - a.in_place > limit and 0.015 < moved < 0.2:
            found[key] = _direction(a.shift)
    return found


def common_shift(alignments: dict[str, Alignment]) -> str:
    """Return words for a shift that most pairs of the set share; "" if there is none."""
    sure = [a for a in alignments.values() if a.fit >= 0.3]
    if len(sure) < max(3, len(alignments) // 2):
        return ""
    x, y = (float(np.median([a.shift[axis] for a in sure])) for axis in (0, 1))
    gain = float(np.median([a.fit - a.in_place for a in sure]))
    agree = np.mean([abs(a.shift[0] - x) < 0.012 and abs(a.shift[1] - y) < 0.012 for a in sure])
    return _direction((x, y)) if max(abs(x), abs(y)) > 0.012 and gain > 0.1 and agree > 0.6 else ""


def _direction(shift: tuple[float, float]) -> str:
    parts = []
    for part, words in zip(shift, (("right", "left"), ("down", "up")), strict=True):
        if abs(part) >= 1 / SIDE:
            parts.append(f"{abs(part):.1%} {words[part < 0]}")
    return " and ".join(parts)


def mirrored(alignments: dict[str, Alignment]) -> dict[str, str]:
    """Return key and words for each pair whose outlines fit better when the target is mirrored or turned."""
    if not alignments:
        return {}
    usual = float(np.median([max(a.fit, *a.turned) for a in alignments.values()]))
    found = {}
    for key, a in alignments.items():
        margins = [fit - a.fit - extra for fit, extra in zip(a.turned, (0.08, 0.15, 0.15), strict=True)]
        best = int(np.argmax(margins))
        if margins[best] > 0 and a.turned[best] >= max(0.2, 0.5 * usual):
            found[key] = TURNS[best]
    return found


def swapped(traits: dict[str, tuple[tuple[float, ...], tuple[float, ...]]]) -> list[str]:
    """Return the keys of pairs whose input looks as the targets do, and whose target as the inputs."""
    if len(traits) < 5:
        return []
    differences = np.array([np.subtract(*both) for both in traits.values()])
    usual = np.median(differences, axis=0)
    spread = 1.4826 * np.median(np.abs(differences - usual), axis=0) + 0.03
    weights = usual / spread**2
    distance = float(usual @ weights)
    if distance < _APART:
        return []
    scores = differences @ weights / distance
    return [key for key, score in zip(traits, scores, strict=True) if score < -0.5]
