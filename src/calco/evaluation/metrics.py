"""Scores of one image against another, as plain functions on arrays.

Every function takes images as HWC arrays (uint8, uint16 or float32 in [0, 1], any channels; one channel is repeated
where the other image has three) and returns a float, NaN where the score is not defined.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.errors import CalcoError
from calco.evaluation.scores import Bootstrap, Floats, Metric
from calco.imaging import Image
from calco.report.numbers import measure_name

Counts = npt.NDArray[np.int64]

PSNR_LIMIT = 100.0
"""dB given to identical images, whose true value is infinite, so that means stay finite."""
SSIM_MIN_SIDE = 11
"""Pixels: the side of SSIM's Gaussian window (sigma 1.5)."""
_BORDER = SSIM_MIN_SIDE // 2
_WINDOW = np.exp(-((np.arange(-_BORDER, _BORDER + 1) / 1.5) ** 2) / 2)
_WINDOW /= _WINDOW.sum()
_C1, _C2 = 0.01**2, 0.03**2  # keep flat windows from dividing by zero; of values in [0, 1]
_SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_MIN_SIDE = 176
"""Pixels: the fifth scale is a sixteenth of the image and must hold the window of 11."""


METRICS: dict[str, Metric] = {
    "l1": Metric(
        measure_name("l1"), "lower", 4, "Mean absolute difference of the values, 0 the same, 1 black against white."),
    "psnr": Metric(
        measure_name("psnr"), "higher", 2, "Peak signal-to-noise ratio; 100 dB stands for identical images.", "dB"),
    "ssim": Metric(measure_name("ssim"), "higher", 4, "Structural similarity in windows of 11 pixels, 1 the same."),
    "ms_ssim": Metric(measure_name("ms_ssim"), "higher", 4, "Structural similarity at five scales, 1 the same."),
    "st_lpips": Metric(
        measure_name("st_lpips"), "lower", 4,
        "Shift-tolerant perceptual distance of a trained AlexNet, 0 the same. Not comparable with LPIPS figures."),
    "psnr_inside": Metric(measure_name("psnr_inside"), "higher", 2, "PSNR over the erased pixels alone.", "dB"),
    "iou": Metric(
        measure_name("iou"), "higher", 4, "Intersection over union of the classes, mean over the classes that occur."),
    "dice": Metric(
        measure_name("dice"), "higher", 4, "Twice the intersection over the sum of both areas, mean over the classes."),
    "pixel_accuracy": Metric(measure_name("pixel_accuracy"), "higher", 4, "Share of the pixels whose class is right."),
    "colourfulness": Metric(
        measure_name("colourfulness"), None, 1,
        "Hasler and Süsstrunk's M3: 0 grey, 33 moderate, 109 extreme. Good is what is near the target's."),
    "fid": Metric(
        measure_name("fid"), "lower", 2, "Fréchet distance between Inception features of outputs and targets."),
    "kid": Metric(
        measure_name("kid"), "lower", 5, "Kernel distance between Inception features; less biased in small sets."),
    "inception_score": Metric(
        measure_name("inception_score"), "higher", 3,
        "Inception score: recognisable and varied. Blind to the targets."),
}  # fmt: skip


def _unit(image: Image) -> Floats:
    """HWC of any dtype => HWC float64 in [0, 1]."""
    scale = {"uint8": 255.0, "uint16": 65535.0}.get(image.dtype.name, 1.0)
    return np.asarray(image, dtype=np.float64) / scale


def _both(output: Image, target: Image) -> tuple[Floats, Floats]:
    """Return both images as HWC float64 in [0, 1] with the same channels."""
    if output.shape[:2] != target.shape[:2]:
        raise CalcoError(
            f"an image of {output.shape[1]}x{output.shape[0]} pixels cannot be compared with one of "
            f"{target.shape[1]}x{target.shape[0]}; resize one of them first"
        )
    channels: Any = max(output.shape[2], target.shape[2])
    return _unit(imaging.as_channels(output, channels)), _unit(imaging.as_channels(target, channels))


def l1(output: Image, target: Image) -> float:
    """Mean absolute difference, in [0, 1]."""
    a, b = _both(output, target)
    return float(np.abs(a - b).mean())


def psnr(output: Image, target: Image) -> float:
    """Peak signal-to-noise ratio in dB with peak 1, at most `PSNR_LIMIT`.

    Args:
        output: HWC `float32` in [0, 1].
        target: The same shape and type.

    Returns:
        Decibels.
    """
    a, b = _both(output, target)
    return _decibels(float(np.square(a - b).mean()))


def psnr_inside(output: Image, target: Image, region: npt.NDArray[np.bool_]) -> float:
    """PSNR over the pixels where `region` (HW) is true; NaN if there are none."""
    a, b = _both(output, target)
    if not region.any():
        return math.nan
    return _decibels(float(np.square(a - b)[region].mean()))


def _decibels(mean_square: float) -> float:
    return min(PSNR_LIMIT, -10 * math.log10(mean_square)) if mean_square > 0 else PSNR_LIMIT


def ssim(output: Image, target: Image) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian window, sigma 1.5, mean over channels); NaN below 11 pixels."""
    a, b = _both(output, target)
    scales = min(1, _num_scales(target))
    return _similarities(_pyramid(a, scales), _pyramid(b, scales))[0]


def ms_ssim(output: Image, target: Image) -> float:
    """Multi-scale structural similarity (Wang et al. 2003, five scales); NaN below 176 pixels.

    As torchmetrics computes it: negative similarities count as 0, since they have no real power, and the luminance of
    the last scale is taken over mirrored borders too.
    """
    a, b = _both(output, target)
    scales = _num_scales(target)
    return _similarities(_pyramid(a, scales), _pyramid(b, scales))[1]


class Reference:
    """A target that several outputs are compared with: what does not depend on the output is computed once."""

    def __init__(self, target: Image) -> None:
        self.target = target
        self._known: dict[int, tuple[Floats, list[_Scale]]] = {}  # by the number of channels

    def scores(self, output: Image, region: npt.NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Return L1, PSNR, SSIM and MS-SSIM of an output, as the functions of these names do.

        Args:
            output: HWC of the target's height and width.
            region: HW, adds PSNR inside, over the pixels where it is true.

        Returns:
            Values by the name of the score; NaN where one is not defined.

        Raises:
            CalcoError: If the sizes differ.
        """
        a, b = _both(output, self.target)
        scales, channels = _num_scales(b), b.shape[2]
        if channels not in self._known:
            self._known[channels] = b, _pyramid(b, scales)
        b, theirs = self._known[channels]
        difference = a - b
        squares = np.square(difference)
        found = {"l1": float(np.abs(difference).mean()), "psnr": _decibels(float(squares.mean()))}
        found["ssim"], found["ms_ssim"] = _similarities(_pyramid(a, scales), theirs)
        if region is not None:
            found["psnr_inside"] = _decibels(float(squares[region].mean())) if region.any() else math.nan
        return found


class _Scale(NamedTuple):
    """An image at one scale, and its mean and variance in the window about each pixel: HWC each."""

    values: Floats
    mean: Floats
    variance: Floats


def _num_scales(image: Image) -> int:
    """Return how many scales of the similarities an image is large enough for: 0, 1 or all."""
    side = min(image.shape[:2])
    return len(_SCALE_POWERS) if side >= MS_SSIM_MIN_SIDE else int(side >= SSIM_MIN_SIDE)


def _pyramid(image: Floats, scales: int) -> list[_Scale]:
    """Return so many scales of an image (HWC in [0, 1]), each half the one before."""
    values, found = image, list[_Scale]()
    for _ in range(scales):
        if found:
            height, width = (side // 2 * 2 for side in values.shape[:2])
            corners = (values[row:height:2, column:width:2] for row in (0, 1) for column in (0, 1))
            values = np.asarray(sum(corners)) / 4
        mean = _windowed(values)
        found.append(_Scale(values, mean, (_windowed(values * values) - mean * mean).clip(min=0)))
    return found


def _windowed(values: Floats) -> Floats:
    """Return the mean in the Gaussian window about each pixel, borders mirrored. HWC => HWC."""
    blurred = cv2.sepFilter2D(values, cv2.CV_64F, _WINDOW, _WINDOW, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.float64).reshape(values.shape)


def _similarities(ours: Sequence[_Scale], theirs: Sequence[_Scale]) -> tuple[float, float]:
    """Return SSIM at the first scale, and MS-SSIM; NaN where scales are missing."""
    structure, means = math.nan, list[float]()
    for a, b in zip(ours, theirs, strict=True):
        means_product = a.mean * b.mean
        upper = 2 * (_windowed(a.values * b.values) - means_product) + _C2
        contrast = upper / (a.variance + b.variance + _C2)
        everywhere = contrast * (2 * means_product + _C1) / (a.mean * a.mean + b.mean * b.mean + _C1)
        # As published, only windows that lie wholly inside count.
        inside = (slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
        if not means:
            structure = float(everywhere[inside].mean())
        means.append(float(contrast[inside].mean()))
    if len(means) < len(_SCALE_POWERS):
        return structure, math.nan
    means[-1] = float(everywhere.mean())
    return structure, math.prod(max(0.0, mean) ** power for mean, power in zip(means, _SCALE_POWERS, strict=True))


def colourfulness(image: Image) -> float:
    """The M3 of Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003), on 0..255; NaN of bands."""
    if image.shape[2] > 4:
        return math.nan
    red, green, blue = np.moveaxis(_unit(imaging.as_channels(image, 3)) * 255, 2, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def confusion(predicted: npt.NDArray[Any], true: npt.NDArray[Any], num_classes: int) -> Counts:
    """Counts of pixels, row = true class, column = predicted class. HW class indices => KK int64."""
    flat = true.astype(np.int64).ravel() * num_classes + predicted.astype(np.int64).ravel()
    return np.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_scores(counts: npt.NDArray[Any]) -> dict[str, Floats]:
    """Return IoU, Dice and accuracy (share of a class's true pixels that were found) of each class.

    Confusions ...KK, true class in rows => ...K each; NaN for a class that neither side holds.
    """
    table = np.asarray(counts, dtype=np.float64)
    hit = np.diagonal(table, axis1=-2, axis2=-1)
    true, predicted = table.sum(-1), table.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"iou": hit / (true + predicted - hit), "dice": 2 * hit / (true + predicted), "accuracy": hit / true}


def mean_class_scores(counts: npt.NDArray[Any]) -> dict[str, Floats]:
    """Mean IoU and Dice over the classes that occur, and pixel accuracy over all pixels. ...KK => each ...."""
    table = np.asarray(counts, dtype=np.float64)
    each = class_scores(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = np.trace(table, axis1=-2, axis2=-1) / table.sum((-2, -1))
    return {"iou": nan_mean(each["iou"]), "dice": nan_mean(each["dice"]), "pixel_accuracy": accuracy}


def nan_mean(values: npt.NDArray[Any] | Sequence[float]) -> Floats:
    """Mean over the last axis without the NaN; NaN (and no warning) where nothing is left."""
    array = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(array)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(present, array, 0).sum(-1) / present.sum(-1))


def resampled_class_scores(bootstrap: Bootstrap, counts: npt.NDArray[Any]) -> dict[str, Floats]:
    """Return the mean class scores of each resample, from the confusions of the images (NKK)."""
    found = mean_class_scores(np.tensordot(bootstrap.weights, np.asarray(counts, dtype=np.float64), axes=1))
    return {name: np.full_like(values, np.nan) for name, values in found.items()} if bootstrap.alone else found
