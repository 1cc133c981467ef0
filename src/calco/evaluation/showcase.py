"""Which of many images a report shows."""

import math
from dataclasses import replace

import numpy as np

from calco import imaging
from calco.data.sample import Pair, fraction
from calco.evaluation.baselines import MODEL
from calco.evaluation.metrics import METRICS
from calco.evaluation.scorecard import Case, ImageScores
from calco.imaging import Image

NUM_CHOSEN = 24
NUM_EXTREME = 6


class Showcase:
    """Keeps the few images that the report shows: the best, the worst, and some chosen by a hash of their key.

    The hash makes the choice the same for every model and every order, so that reports can be laid side by side.

    Args:
        rank_by: The metric that decides which are best and worst.
    """

    def __init__(self, rank_by: str) -> None:
        self.rank_by = rank_by
        self.sign = 1 if METRICS[rank_by].better == "higher" else -1
        self.num = 0
        self._kept: list[tuple[float, float, Case]] = []

    def add(self, pair: Pair, output: Image, row: ImageScores) -> None:
        """Takes an image in, and lets go of the ones that are now neither extreme nor chosen."""
        self.num += 1
        value = self.sign * row.scores[MODEL].get(self.rank_by, math.nan)
        source, target, made = (
            imaging.as_dtype(imaging.visible(side), np.uint8) for side in (pair.input, pair.target, output)
        )
        case = Case(key=pair.key, seen=row.seen, scores=row.scores, input=source, target=target, output=made)
        self._kept.append((value if math.isfinite(value) else 0.0, fraction("shown", pair.key), case))
        if len(self._kept) > 2 * (NUM_CHOSEN + 2 * NUM_EXTREME):
            self._kept = self._select()

    def _select(self) -> list[tuple[float, float, Case]]:
        ranked = sorted(self._kept, key=lambda entry: entry[0])
        # Seen images are no extremes unless there are no others; they may still be chosen.
        pool = [entry for entry in ranked if not entry[2].seen] or ranked
        chosen = sorted(self._kept, key=lambda entry: entry[1])[: NUM_CHOSEN + 2 * NUM_EXTREME]
        keep = {id(entry[2]): entry for entry in (*pool[:NUM_EXTREME], *pool[-NUM_EXTREME:], *chosen)}
        return list(keep.values())

    def cases(self) -> tuple[Case, ...]:
        """Best first, then worst, then chosen; each image once."""
        ranked = sorted(self._kept, key=lambda entry: entry[0])
        pool = [entry for entry in ranked if not entry[2].seen] or ranked
        extremes = min(NUM_EXTREME, len(pool) // 3)
        best = [replace(entry[2], role="best") for entry in reversed(pool[len(pool) - extremes :])]
        worst = [replace(entry[2], role="worst") for entry in pool[:extremes]]
        taken = {case.key for case in (*best, *worst)}
        chosen = [entry[2] for entry in sorted(self._kept, key=lambda entry: entry[1]) if entry[2].key not in taken]
        return (*best, *worst, *sorted(chosen[:NUM_CHOSEN], key=lambda case: case.key))
