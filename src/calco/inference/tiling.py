"""A network on large images: overlapping tiles, blended.

The rows of the image are asked for, and its output comes in bands, so that neither needs to be in memory whole.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

Rows: TypeAlias = Callable[[int, int], Tensor]
"""Returns the rows of an image from the first number to before the second: 1, C, rows, W."""


class Band(NamedTuple):
    """Rows of an image and the network's output for them: 1, C, rows, W and 1, D, rows, W."""

    seen: Tensor
    maps: Tensor


class Padded:
    """An image mirrored at its right and lower border until both sides are multiples of a number."""

    def __init__(self, rows: Rows, size_wh: tuple[int, int], multiple: int) -> None:
        self._rows, self._real = rows, size_wh
        # Pixel of the image at each place of a side; what is too short is mirrored again and again.
        self._columns, self._lines = (
            torch.from_numpy(np.pad(np.arange(side), (0, -side % multiple), mode="reflect")) for side in size_wh
        )
        self.width, self.height = len(self._columns), len(self._lines)

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the rows from `top` to before `bottom`, 1, C, rows, width."""
        lines = self._lines[top:bottom]
        first = int(lines.min())
        x = self._rows(first, int(lines.max()) + 1)
        if bottom > self._real[1]:
            x = x[:, :, (lines - first).to(x.device)]
        return x if self.width == self._real[0] else x[..., self._columns.to(x.device)]

    def cut(self, x: Tensor, top: int) -> Tensor:
        """Remove the mirrored pixels from rows that begin at `top`."""
        width, height = self._real
        return x[:, :, : max(0, height - top), :width]


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles of one side begin so that they cover `length` and overlap by at least `overlap`."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def window(tile: int, overlap: int, at_start: bool, at_end: bool) -> Tensor:
    """Return weights of one side of a tile: 1 inside, a raised cosine over the overlap with another tile."""
    weights = torch.ones(tile)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(overlap) + 0.5) / overlap)
    if not at_start:
        weights[:overlap] = ramp
    if not at_end:
        weights[-overlap:] = ramp.flip(0)
    return weights


def blended(
    network: Callable[[Tensor], Tensor], padded: Padded, *, tile_wh: tuple[int, int], overlap: int
) -> Iterator[Band]:
    """Apply a network (N, C, h, w => N, D, h, w) to overlapping tiles, blended so that no border shows.

    Args:
        network: The network.
        padded: The image.
        tile_wh: Width and height of a tile, pixels, of which the network takes multiples.
        overlap: Pixels that neighbours share at least; at most half a tile.

    Yields:
        Rows in order, as soon as no further tile reaches them.
    """
    rows, columns = padded.height, padded.width
    tile_w, tile_h = min(tile_wh[0], columns), min(tile_wh[1], rows)
    overlap = min(overlap, *(side // 2 for side in tile_wh))
    tops, lefts = starts(rows, tile_h, overlap), starts(columns, tile_w, overlap)
    rest: tuple[Tensor, Tensor] | None = None  # sums and weights that the next tiles add to
    for top, following in zip(tops, [*tops[1:], rows], strict=True):
        seen = padded.rows(top, top + tile_h)
        fade_h = window(tile_h, overlap, top == 0, top + tile_h == rows).to(seen.device)[:, None]
        total, weight = torch.zeros(0), torch.zeros(tile_h, columns, device=seen.device)
        for left in lefts:
            output = network(seen[..., left : left + tile_w])
            fade = fade_h * window(tile_w, overlap, left == 0, left + tile_w == columns).to(seen.device)
            if not left:
                total = torch.zeros(*output.shape[:2], tile_h, columns, device=seen.device)
            total[..., left : left + tile_w] += output * fade
            weight[:, left : left + tile_w] += fade
        if rest is not None:
            shared = rest[1].shape[0]
            total[:, :, :shared] += rest[0]
            weight[:shared] += rest[1]
        done = following - top
        rest = total[:, :, done:].clone(), weight[done:].clone()
        yield Band(padded.cut(seen[:, :, :done], top), padded.cut(total[:, :, :done] / weight[:done], top))
