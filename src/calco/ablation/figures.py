"""Figures of an ablation: quality against minutes as SVG, the same images side by side as PNG."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from calco import imaging
from calco.ablation.curves import Curves, shared_metrics
from calco.ablation.results import DataScores
from calco.evaluation.metrics import METRICS
from calco.evaluation.scorecard import Case, Scorecard
from calco.imaging import Image
from calco.report.charts import line_panels

_GAP: Final = 4
_BAND: Final = 22  # height of a line of text, pixels
_HEIGHT: Final = 128  # least height of an image in the grid, pixels


def curves(data: str, found: Curves) -> str:
    """Return the curves of all runs on a data set as SVG: a panel for each metric, one colour for each variant."""
    panels = {
        METRICS[metric].heading: {
            name: [curve.line(metric) for curve in by_seed.values()] for name, by_seed in found.items()
        }
        for metric in shared_metrics(found)
    }
    return line_panels(f"{data}: scores of the same images over the training", panels, "minutes of training")


def against_pairs(scores: DataScores) -> str:
    """Return the scores on a data set against the number of pairs as SVG: a panel for each metric."""
    panels = {
        METRICS[metric].heading: {name: [line] for name, line in lines.items()}
        for metric, lines in scores.by_pairs.items()
    }
    return line_panels(f"{scores.data}: scores of the same images by number of pairs", panels, "pairs to learn from")


def grid(cards: Mapping[str, Scorecard], num: int) -> Image | None:
    """Lay out the same images in rows: input, the output of each variant, target.

    Returns:
        HW3 uint8 RGB; None if the variants have no image in common.
    """
    by_variant: dict[str, dict[str, Case]] = {name: {case.key: case for case in card.cases} for name, card in
                                              cards.items()}  # fmt: skip
    common = sorted(set.intersection(*map(set, by_variant.values())))
    if not common:
        return None
    chosen = [common[place] for place in np.unique(np.linspace(0, len(common) - 1, num).round().astype(int))]
    first = next(iter(by_variant.values()))
    rows = [
        (key, [first[key].input, *(cases[key].output for cases in by_variant.values()), first[key].target])
        for key in chosen
    ]
    heads = ["input", *by_variant, "target"]
    sizes = [_shown_size(images[-1]) for _, images in rows]
    cell = max(width for width, _ in sizes)
    height = sum(tall for _, tall in sizes) + len(rows) * (_BAND + _GAP) + _BAND
    sheet = np.full((height, len(heads) * (cell + _GAP) + _GAP, 3), 255, np.uint8)
    for place, head in enumerate(heads):
        _write(sheet, head, _GAP + place * (cell + _GAP), _BAND - 7, cell)
    top = _BAND
    for (key, images), (width, tall) in zip(rows, sizes, strict=True):
        for place, image in enumerate(images):
            left = _GAP + place * (cell + _GAP)
            shown = imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)
            sheet[top : top + tall, left : left + width] = imaging.resize(shown, (width, tall))
        _write(sheet, key, _GAP, top + tall + _BAND - 7, sheet.shape[1] - 2 * _GAP)
        top += tall + _BAND + _GAP
    return sheet


def _shown_size(image: Image) -> tuple[int, int]:
    """Return width and height of an image in the grid: small ones are enlarged by a whole number."""
    height, width = image.shape[:2]
    factor = max(1, -(-_HEIGHT // height))
    return width * factor, height * factor


def _write(sheet: Image, text: str, left: int, base: int, room: int) -> None:
    """Write a text that is shortened to `room` pixels."""
    shown = text.encode("ascii", "replace").decode()  # what OpenCV's font has
    while len(shown) > 1 and cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0] > room:
        shown = shown[:-1]
    cv2.putText(sheet, shown, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
