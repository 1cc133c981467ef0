"""How good the generator is so far: scores and samples on validation pairs."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from calco.data.dataset import PairDataset
from calco.data.palettes import decode
from calco.evaluation.metrics import METRICS, SSIM_MIN_SIDE, confusion, l1, mean_class_scores, psnr, ssim
from calco.imaging import Image, as_channels
from calco.inference.model import Translator
from calco.training.config import KeepConfig

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
