"""Images made by a formula, for the tests of the evaluation."""

import numpy as np

from calco.data.sample import Pair
from calco.imaging import Image


def wave(height: int, width: int, a: float, b: float) -> Image:
    """Three sine waves, HW3 uint8."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([np.round(127.5 + 127.5 * np.sin(a * y + b * x + c)).astype(np.uint8) for c in range(3)], axis=-1)


def pairs(num: int, side: int = 24, *, erased: bool = False) -> list[Pair]:
    """Pairs whose input is the target in grey; with `erased`, a square of the input is black."""
    made = []
    for index in range(num):
        target = wave(side, side, 0.1 + 0.02 * index, 0.3 - 0.01 * index)
        grey = target.mean(axis=2, keepdims=True).astype(np.uint8)
        region = None
        if erased:
            region = np.zeros((side, side), bool)
            region[side // 4 : side // 2, side // 4 : side // 2] = True
            grey[region] = 0
        made.append(Pair(input=grey, target=target, key=f"p{index:03d}", group=f"g{index // 2}", region=region))
    return made
