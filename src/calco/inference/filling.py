"""Holes of a large image filled from their surroundings, rows at a time."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.inference.tiling import Rows
from calco.networks.generator import Generator, surroundings

_PASS: Final = 512  # rows that are looked at together; a power of two
_SIDE: Final = 512  # of the areas that are filled one by one
_DEEPEST: Final = 512  # pixels up to which the nearest known one is looked for
_COARSE: Final = 16  # of what stands in deeper holes, which is drawn so many times smaller


class Filled:
    """What `Generator.prepare` makes of an image whose holes are filled, from its rows.

    The nearest known pixel is looked for in a window around each area with holes, as wide as the search in the whole
    image reaches: so it finds the same. In holes deeper than `_DEEPEST` pixels, what is out of reach comes from a
    small copy of the image that is filled whole.

    Args:
        rows: The rows of what the model takes, 1, C, rows, W; asked for again and again.
        generator: The network.
        size_wh: Width and height of the image.
    """

    def __init__(self, rows: Rows, generator: Generator, size_wh: tuple[int, int]) -> None:
        self._given, self._generator = rows, generator
        self._width, self._height = size_wh
        step, coarse = self._surveyed()
        self._step = min(step, _DEEPEST)
        self._coarse = coarse if step > _DEEPEST else None

    def rows(self, top: int, bottom: int) -> Tensor:
        """The rows from one on and before another, filled, and in a last channel 1 where they were: 1, C, rows, W."""
        margin = 2 * self._step
        above, below = max(0, top - margin), min(self._height, bottom + margin)
        x, known = self._generator.shown(self._given(above, below))
        inside = slice(top - above, bottom - above)
        filled = x[:, :, inside].clone()
        for left in range(0, self._width, _SIDE):
            right = min(left + _SIDE, self._width)
            if not known[:, :, inside, left:right].amin():
                before, after = max(0, left - margin), min(self._width, right + margin)
                area = (..., slice(before, after))
                deep = None if self._coarse is None else self._deep(above, below, before, after)
                found = surroundings(x[area], known[area], self._step, deep)
                filled[..., left:right] = found[:, :, inside, left - before : right - before]
        return torch.cat([filled, 1 - known[:, :, inside]], 1)

    def _surveyed(self) -> tuple[int, Tensor]:
        """The first step of a search in the whole image, and a small copy of it, filled."""
        levels = range(1, _PASS.bit_length())
        full = dict.fromkeys([0, *levels], True)
        rests, sums, counts = [], [], []
        for top in range(0, self._height, _PASS):
            x, known = self._generator.shown(self._given(top, min(top + _PASS, self._height)))
            sums.append(_added(x * known))
            counts.append(_added(known))
            full[0] &= bool(known.amin() > 0)
            for level in levels:
                known = F.max_pool2d(known, 2, ceil_mode=True)
                full[level] &= bool(known.amin() > 0)
            rests.append(known)
        step = next((1 << level for level, all_known in full.items() if all_known), 0)
        if not step:
            rest, step = torch.cat(rests, 2), _PASS
            while rest.amin() == 0 and max(rest.shape[-2:]) > 1:
                rest, step = F.max_pool2d(rest, 2, ceil_mode=True), 2 * step
        count = torch.cat(counts, 2)
        return step, surroundings(torch.cat(sums, 2) / count.clamp(min=1), (count > 0).to(count.dtype))

    def _deep(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """An area of the small copy, enlarged."""
        assert self._coarse is not None
        places = [
            _places(start, end, size, self._coarse.device)
            for (start, end), size in zip(((top, bottom), (left, right)), self._coarse.shape[-2:], strict=True)
        ]
        grid = torch.stack(torch.meshgrid(*places, indexing="ij")[::-1], -1)[None]
        return F.grid_sample(self._coarse, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _places(start: int, end: int, cells: int, device: torch.device) -> Tensor:
    """Where pixels lie in the small copy, in grid_sample's numbers: -1 to 1 from border to border."""
    return (torch.arange(start, end, device=device) + 0.5) * (2 / (cells * _COARSE)) - 1


def _added(x: Tensor) -> Tensor:
    """Sums over cells; those at the border may be cut."""
    return F.avg_pool2d(x, _COARSE, ceil_mode=True, divisor_override=1)
