"""The ratios as a bar chart."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calco import imaging
from calco.benchmarks.timing import Row
from calco.benchmarks.words import number, times

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 1200, 380, 290, 26, 16, 28
_INK, _SOFT, _PAPER = (32, 32, 32), (120, 120, 120), (255, 255, 255)
_COLOURS: Final = {
    "training": (47, 111, 171), "inference": (70, 140, 90), "data": (196, 120, 40), "build": (150, 90, 160),
    "memory": (180, 70, 70), "processes": (40, 90, 130), "start": (90, 90, 90), "exact": (60, 140, 150),
    "video": (170, 90, 120), "large": (110, 130, 50), "boxes": (200, 150, 60), "crime": (120, 100, 80),
}  # fmt: skip


def draw_chart(path: str | Path, rows: Sequence[Row], head: Sequence[str]) -> None:
    """Writes an image with one bar for each row, from 1 to its ratio on a scale of doublings.

    Raises:
        CalcoError: When it cannot be written.
    """
    large, small = ImageFont.load_default(18), ImageFont.load_default(15)
    low = min([-1, *(math.floor(math.log2(row.low)) for row in rows)])
    high = max([1, *(math.ceil(math.log2(row.high)) for row in rows)])
    bottom = _TOP + len(rows) * (_BAR + _GAP)
    image = Pillow.new("RGB", (_WIDTH, bottom + 40 + 22 * len(head)), _PAPER)
    pen = ImageDraw.Draw(image)

    def across(ratio: float) -> float:
        return _LEFT + (math.log2(ratio) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    step = 1 + (high - low) // 12
    for power in range(low // step * step, high + 1, step):
        x = across(2.0**power)
        pen.line((x, _TOP - 8, x, bottom), fill=_INK if power == 0 else (222, 222, 222), width=2 if power == 0 else 1)
        pen.text((x, bottom + 6), f"{2.0**power:g}x", fill=_SOFT, font=small, anchor="ma")
    for place, row in enumerate(rows):
        top = _TOP + place * (_BAR + _GAP)
        middle = top + _BAR / 2
        ends = sorted((across(1), across(row.ratio)))
        pen.rectangle((ends[0], top, max(ends[1], ends[0] + 1), top + _BAR), fill=_COLOURS[row.group])
        pen.line((across(row.low), middle, across(row.high), middle), fill=_INK, width=2)
        pen.text((_LEFT - 14, middle), row.name, fill=_INK, font=large, anchor="rm")
        said = f"{times(row.ratio, 'x')}  {number(row.ours)} / {number(row.reference)} {row.unit}"
        pen.text((_WIDTH - _RIGHT + 14, middle), said, fill=_INK, font=large, anchor="lm")
    for place, line in enumerate(head):
        pen.text((20, bottom + 36 + 22 * place), line, fill=_SOFT, font=small)
    imaging.write(path, np.array(image))
