"""Scores of one image against another, as plain functions on arrays.

Every function takes images as HWC arrays (uint8, uint16 or float32 in [0, 1], any channels; one channel is repeated
where the other image has three) and returns a float, NaN where the score is not defined.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from calco import imaging
from calco.errors import CalcoError
from calco.evaluation.scores import Bootstrap, Floats, Metric
from calco.imaging import Image

Counts = npt.NDArray[np.int64]

PSNR_LIMIT = 100.0
"""dB given to identical images, whose true value is infinite, so that means stay finite."""
SSIM_MIN_SIDE = 11
"""Pixels: the side of SSIM's Gaussian window (sigma 1.5)."""
_BORDER = SSIM_MIN_SIDE // 2
_C1, _C2 = 0.01**2, 0.03**2  # keep flat windows from dividing by zero; of values in [0, 1]
_SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_MIN_SIDE = 176
"""Pixels: the fifth scale is a sixteenth of the image and must hold the window of 11."""


METRICS: dict[str, Metric] = {
    "l1": Metric("L1", "lower", 4, "Mean absolute difference of the values, 0 the same, 1 black against white."),
    "psnr": Metric("PSNR", "higher", 2, "Peak signal-to-noise ratio; 100 dB stands for identical images.", "dB"),
    "ssim": Metric("SSIM", "higher", 4, "Structural similarity in windows of 11 pixels, 1 the same."),
    "ms_ssim": Metric("MS-SSIM", "higher", 4, "Structural similarity at five scales, 1 the same."),
    "st_lpips": Metric(
        "ST-LPIPS", "lower", 4,
        "Shift-tolerant perceptual distance of a trained AlexNet, 0 the same. Not comparable with LPIPS figures."),
    "psnr_inside": Metric("PSNR inside", "higher", 2, "PSNR over the erased pixels alone.", "dB"),
    "iou": Metric("IoU", "higher", 4, "Intersection over union of the classes, mean over the classes that occur."),
    "dice": Metric("Dice", "higher", 4, "Twice the intersection over the sum of both areas, mean over the classes."),
    "pixel_accuracy": Metric("Pixel acc.", "higher", 4, "Share of the pixels whose class is right."),
    "colourfulness": Metric(
        "Colourfulness", None, 1,
        "Hasler and Süsstrunk's M3: 0 grey, 33 moderate, 109 extreme. Good is what is near the target's."),
    "fid": Metric("FID", "lower", 2, "Fréchet distance between Inception features of outputs and targets."),
    "kid": Metric("KID", "lower", 5, "Kernel distance between Inception features; less biased in small sets."),
    "inception_score": Metric("IS", "higher", 3, "Inception score: recognisable and varied. Blind to the targets."),
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
    if min(target.shape[:2]) < SSIM_MIN_SIDE:
        return math.nan
    everywhere, _contrast = _similarity(*_tensors(output, target))
    # As published, only windows that lie wholly inside count.
    return float(everywhere[..., _BORDER:-_BORDER, _BORDER:-_BORDER].mean())


def ms_ssim(output: Image, target: Image) -> float:
    """Multi-scale structural similarity (Wang et al. 2003, five scales); NaN below 176 pixels.

    As torchmetrics computes it: negative similarities count as 0, since they have no real power, and the luminance of
    the last scale is taken over mirrored borders too.
    """
    if min(target.shape[:2]) < MS_SSIM_MIN_SIDE:
        return math.nan
    a, b = _tensors(output, target)
    scales = []
    for _scale in _SCALE_POWERS:
        everywhere, contrast = _similarity(a, b)
        scales.append(contrast[..., _BORDER:-_BORDER, _BORDER:-_BORDER].mean())
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    scales[-1] = everywhere.mean()
    return float(torch.prod(torch.stack(scales).relu() ** torch.tensor(_SCALE_POWERS)))


def _similarity(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """SSIM and its contrast term in the window about each pixel, borders mirrored. NCHW in [0, 1] => NCHW each."""
    line = torch.exp(-((torch.arange(-_BORDER, _BORDER + 1, dtype=a.dtype) / 1.5) ** 2) / 2)
    line = (line / line.sum())[None]
    window = (line.T @ line).expand(a.shape[1], 1, SSIM_MIN_SIDE, SSIM_MIN_SIDE)
    a, b = (F.pad(side, (_BORDER,) * 4, mode="reflect") for side in (a, b))
    moments = F.conv2d(torch.cat((a, b, a * a, b * b, a * b)), window, groups=a.shape[1])
    mean_a, mean_b, square_a, square_b, product = moments.split(len(a))
    variances = (square_a - mean_a**2).clamp(min=0) + (square_b - mean_b**2).clamp(min=0)
    upper, lower = 2 * (product - mean_a * mean_b) + _C2, variances + _C2
    return ((2 * mean_a * mean_b + _C1) * upper) / ((mean_a**2 + mean_b**2 + _C1) * lower), upper / lower


def _tensors(output: Image, target: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """Both images as NCHW float32 in [0, 1]: PyTorch's float64 convolution on the CPU is thirty times as slow."""
    a, b = (torch.from_numpy(side.transpose(2, 0, 1)[None].astype(np.float32)) for side in _both(output, target))
    return a, b


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
