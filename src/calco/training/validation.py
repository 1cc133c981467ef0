"""How good the generator is so far: scores and samples on validation pairs."""

import math
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from calco import imaging
from calco.data.dataset import PairDataset
from calco.data.palettes import decode
from calco.evaluation.metrics import METRICS, SSIM_MIN_SIDE, confusion, l1, mean_class_scores, psnr, ssim
from calco.imaging import Image, as_channels
from calco.inference.model import Translator
from calco.training.config import KeepConfig

GAP = 4


def grid(rows: Sequence[tuple[Image, Image, Image]], caption: str, columns: int = 2) -> Image:
    """Input | output | target side by side, several of these a row, under a line of text.

    Args:
        rows: Images of any size and depth, HWC; each row is brought to the first one's size.
        caption: The line of text.
        columns: How many triples stand side by side.

    Returns:
        HWC uint8 RGB of even height and width, as H.264 wants them.
    """
    height, width = rows[0][2].shape[:2]
    cells = [[imaging.resize(_shown(p), (width, height)) for p in triple] for triple in rows]
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    band = 24
    sheet = np.full((band + lines * (height + GAP), columns * (3 * width + 3 * GAP) + GAP, 3), 255, np.uint8)
    for number, triple in enumerate(cells):
        top = band + number // columns * (height + GAP)
        for place, cell in enumerate(triple):
            left = GAP + number % columns * (3 * width + 3 * GAP) + place * (width + GAP // 2)
            sheet[top : top + height, left : left + width] = cell
    cv2.putText(sheet, caption, (GAP, band - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.pad(sheet, ((0, sheet.shape[0] % 2), (0, sheet.shape[1] % 2), (0, 0)), constant_values=255)


def _shown(image: Image) -> Image:
    """What a person is shown, HW3 uint8."""
    return imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)


SCORES: dict[str, Callable[[Image, Image], float]] = {"l1": l1, "psnr": psnr, "ssim": ssim}

Triple = tuple[Image, Image, Image]  # input, output, target


def validate(
    translator: Translator, dataset: PairDataset, keep: KeepConfig
) -> tuple[dict[str, float], list[Triple], dict[str, list[str]]]:
    """Scores a translator on validation pairs, whole and always the same ones.

    Returns:
        The mean of each metric over the pairs for which it is defined (for a model that paints classes IoU and Dice
        too, over all pixels), without the metrics that are defined for none; some of the pairs with their outputs for
        the grid of samples; and by metric the keys of the pairs for which it is not defined.
    """
    values: dict[str, list[float]] = {name: [] for name in SCORES}
    undefined: dict[str, list[str]] = {}
    triples, palette = list[Triple](), translator.info.palette
    counts = np.zeros((len(palette),) * 2, np.int64) if palette else None
    count = min(keep.validation_pairs, len(dataset))
    sampled = set(range(0, count, -(-count // keep.samples)))
    # Spread over the whole split: neighbours in the list are often alike.
    for number, index in enumerate(np.linspace(0, len(dataset) - 1, count).round()):
        pair = dataset.pair(int(index), 0)
        output = translator(pair.input, native=True)
        for name, metric in SCORES.items():
            value = metric(output, pair.target)
            if math.isfinite(value):
                values[name].append(value)
            else:
                undefined.setdefault(name, []).append(pair.key)
        if palette and counts is not None:
            counted = np.ones(pair.target.shape[:2], np.bool_) if pair.weight is None else pair.weight > 0
            ours, theirs = (decode(as_channels(image, 3), palette)[counted] for image in (output, pair.target))
            counts += confusion(ours, theirs, len(palette))
        if number in sampled:
            triples.append((pair.input, output, pair.target))
    scores = {name: sum(each) / len(each) for name, each in values.items() if each}
    if counts is not None:
        means = {name: float(mean_class_scores(counts)[name]) for name in ("iou", "dice")}
        scores |= {name: mean for name, mean in means.items() if math.isfinite(mean)}
    return scores, triples, undefined


def is_better(metric: str, score: float | None, best: float | None) -> bool:
    """Whether a score beats the best one so far; none never does."""
    if score is None or best is None:
        return score is not None
    return score < best if METRICS[metric].better == "lower" else score > best


def shown(metric: str, scores: Mapping[str, float]) -> str:
    """A score as a line of text has it; "undefined" where there is none."""
    decimals = 3 if metric == "ssim" else METRICS[metric].decimals
    return f"{scores[metric]:.{decimals}f}" if metric in scores else "undefined"


def reason(metric: str) -> str:
    """Why a metric may be undefined for a pair."""
    small = f"the image is smaller than {SSIM_MIN_SIDE} pixels"
    return small if metric == "ssim" else "its value is not a finite number"
