"""An exported file beside its model: how far their images lie apart, and how fast each is."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch

from calco.errors import CalcoError
from calco.export.target import differs
from calco.imaging import Image, as_channels, as_dtype
from calco.inference.loading import ExportedTranslator
from calco.inference.translator import Translator

TOLERANCE: Final = 1  # levels of 255, for files that compute in fp32
LEAST: Final = {"bf16": 35.0, "int8": 25.0}  # dB of PSNR beside what fp32 draws
CLASSES: Final = 0.001  # the share of pixels of a painted class that may fall to another
_SIDE: Final = 512  # of what is shown to the whole file at once


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How far a file lies from its model.

    Attributes:
        runs: Images that both have drawn.
        largest: The largest difference of all values, in levels of 255.
        mean: The mean difference.
        differing: The share of pixels that are not the same.
    """

    runs: int
    largest: int
    mean: float
    differing: float


def compare(model: Translator, file: ExportedTranslator, inputs: Sequence[Image]) -> Compared:
    """Has both draw the same images: brought to scale, and as they are by the whole file, alone and in batches.

    Args:
        model: The model.
        file: Of it.
        inputs: HWC uint8.
    """
    pairs: list[tuple[Image, Image]] = []
    for image in inputs:
        pairs.append((model(image), file(image)))
        height, width = (min(side, _SIDE) for side in image.shape[:2])
        # As it is, of odd sides, and small, where the mirrored border is larger than the image.
        cuts = (image[:height, :width], image[: height - 3, : max(1, width // 2)], image[:21, :34])
        pairs += [(model(cut, native=True), file.runtime.images(cut[None])[0]) for cut in cuts]
    height, width = (min(*(p.shape[axis] for p in inputs), _SIDE) for axis in (0, 1))
    batch = np.stack([image[:height, :width] for image in inputs[:3]])
    pairs += [(model(one, native=True), two) for one, two in zip(batch, file.runtime.images(batch), strict=True)]
    apart = [np.abs(one.astype(np.int16) - two) for one, two in pairs]
    return Compared(
        runs=len(apart),
        largest=max(int(each.max()) for each in apart),
        mean=float(np.mean([each.mean() for each in apart])),
        differing=float(np.mean([each.any(axis=2).mean() for each in apart])),
    )


def check(found: Compared, *, painted: bool) -> str:
    """What was found, in words.

    Args:
        found: The comparison.
        painted: Whether the images are painted with the colours of classes, of which one stands for another.

    Raises:
        CalcoError: When it is more than the tolerance.
    """
    words = (
        f"{found.runs} images drawn by both, of several sizes, alone and in batches: largest difference "
        f"{found.largest} levels of 255, mean {found.mean:.5f}"
    )
    if painted:
        words += f"; other classes at {found.differing:.4%} of the pixels, of at most {CLASSES:.1%}"
        far = found.differing > CLASSES
    else:
        words += f"; tolerance {TOLERANCE}"
        far = found.largest > TOLERANCE
    if far:
        raise differs(words)
    return words


def psnr(one: Image, two: Image) -> float:
    """PSNR in dB with peak 255 of two images of bytes, at most 100."""
    error = float(np.square(one.astype(np.float64) - two).mean())
    return 100.0 if error == 0 else min(100.0, 10 * float(np.log10(255**2 / error)))


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What fewer bits cost and bring.

    Attributes:
        psnr_to_fp32: Of its images beside those of the fp32 file, in dB: the mean.
        psnr_fp32: Of the fp32 file's images beside the truth; None where nobody knows the truth.
        psnr: Of its own.
        gain: How many times as fast as the fp32 file the network is: the median, measured in turns.
        bytes: Of both files, fp32 first.
    """

    psnr_to_fp32: float
    psnr_fp32: float | None
    psnr: float | None
    gain: float
    bytes: tuple[int, int]

    def words(self) -> str:
        """In one sentence."""
        said = f"PSNR {self.psnr_to_fp32:.2f} dB beside what fp32 draws"
        if self.psnr is not None and self.psnr_fp32 is not None:
            said += f"; beside the truth {self.psnr:.3f} dB, fp32 {self.psnr_fp32:.3f} dB, "
            said += f"a loss of {self.psnr_fp32 - self.psnr:.3f} dB"
        said += f"; the network is {self.gain:.2f} times as fast as fp32's, "
        said += f"the file {self.bytes[1] / self.bytes[0]:.2f} times as large"
        return said

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def loss(
    plain: ExportedTranslator,
    fewer: ExportedTranslator,
    inputs: Sequence[Image],
    targets: Sequence[Image],
    sizes: tuple[int, int],
) -> Loss:
    """Measures a file of fewer bits beside that of fp32.

    Raises:
        CalcoError: When its images are too far from those of fp32.
    """
    drawn = [(plain(image), fewer(image)) for image in inputs]
    to_plain = statistics.fmean(psnr(one, two) for one, two in drawn)
    truth: list[float] | list[None] = [None, None]
    if targets:
        wanted = [as_channels(as_dtype(target, np.uint8), drawn[0][0].shape[2]) for target in targets]
        truth = [
            statistics.fmean(psnr(both[side], want) for both, want in zip(drawn, wanted, strict=True))
            for side in (0, 1)
        ]
    precision = fewer.description.precision
    if to_plain < LEAST[precision]:
        raise CalcoError(
            f"in {precision} the images differ too much from those of fp32 (PSNR {to_plain:.1f} dB, and "
            f"{LEAST[precision]:.0f} dB are asked for), so no file is written; export in fp32 or bf16"
        )
    return Loss(
        psnr_to_fp32=to_plain, psnr_fp32=truth[0], psnr=truth[1], gain=_gain(plain, fewer, inputs[0]), bytes=sizes
    )


def _gain(plain: ExportedTranslator, fewer: ExportedTranslator, image: Image, repeats: int = 7) -> float:
    """How many times as fast the second is, measured in turns."""
    view = plain._view(image, None, native=False)
    multiple = plain.generator.multiple
    height, width = (max(multiple, side // multiple * multiple) for side in view.seen.shape[2:])
    seen = torch.zeros(1, view.seen.shape[1], height, width).normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 2):
        for times, file in zip(seconds, (plain, fewer), strict=True):
            start = time.perf_counter()
            file.runtime.maps(seen)
            times.append(time.perf_counter() - start)
    return statistics.median(one / two for one, two in zip(seconds[0][2:], seconds[1][2:], strict=True))
