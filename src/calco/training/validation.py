"""How good the generator is so far: scores and samples on validation pairs."""

from collections.abc import Callable

import numpy as np

from calco.evaluation.metrics import confusion, l1, mean_class_scores, psnr, ssim
from calco.images import Image, as_channels
from calco.inference.model import Translator
from calco.pairs.dataset import PairDataset
from calco.pairs.palettes import decode
from calco.training.config import KeepConfig

METRICS: dict[str, Callable[[Image, Image], float]] = {"l1": l1, "psnr": psnr, "ssim": ssim}
LOWER_IS_BETTER = {"l1": True, "psnr": False, "ssim": False, "iou": False}

Triple = tuple[Image, Image, Image]  # input, drawing, target


def validate(translator: Translator, dataset: PairDataset, keep: KeepConfig) -> tuple[dict[str, float], list[Triple]]:
    """Scores a translator on validation pairs, whole and always the same ones.

    Returns:
        The mean of each metric (for a model that paints classes their IoU and Dice too, over all pixels), and some of
        the pairs with their drawings for the grid of samples.
    """
    sums, triples, palette = dict.fromkeys(METRICS, 0.0), [], translator.info.palette
    counts = np.zeros((len(palette),) * 2, np.int64) if palette else None
    count = min(keep.validation_pairs, len(dataset))
    shown = set(range(0, count, -(-count // keep.samples)))
    # Spread over the whole split: neighbours in the list are often alike.
    for number, index in enumerate(np.linspace(0, len(dataset) - 1, count).round()):
        pair = dataset.pair(int(index), 0)
        drawn = translator(pair.input, native=True)
        for name, metric in METRICS.items():
            sums[name] += metric(drawn, pair.target)
        if palette and counts is not None:
            ours, theirs = (decode(as_channels(image, 3), palette) for image in (drawn, pair.target))
            counts += confusion(ours, theirs, len(palette))
        if number in shown:
            triples.append((pair.input, drawn, pair.target))
    scores = {name: value / count for name, value in sums.items()}
    if counts is not None:
        scores |= {name: float(mean_class_scores(counts)[name]) for name in ("iou", "dice")}
    return scores, triples


def is_better(metric: str, score: float, best: float | None) -> bool:
    """Whether a score beats the best one so far; what is not a number never does."""
    if score != score or best is None:
        return score == score
    return score < best if LOWER_IS_BETTER[metric] else score > best
