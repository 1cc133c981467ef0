"""A network on images larger than memory likes: overlapping tiles, blended; or pieces that fit together exactly.

What stands here works on rows that are asked for, so that neither the image nor what is drawn need be there whole.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from calco.networks.pieces import Split

Rows: TypeAlias = Callable[[int, int], Tensor]
"""The rows of an image from one on and before another: 1, C, rows, W."""


class Band(NamedTuple):
    """Rows of an image, and what was drawn of them: 1, C, rows, W and 1, D, rows, W."""

    seen: Tensor
    maps: Tensor


class Padded:
    """An image mirrored at its right and lower border until both sides are multiples.

    Mirroring needs more pixels than it adds: what is too small for that is mirrored again and again, and what has but
    one pixel repeated.

    Args:
        rows: Gives the rows that are asked for.
        size_wh: Width and height of the image.
        multiple: Divisor of both sides of the result.

    Attributes:
        height: With the mirrored rows.
        width: With the mirrored columns.
        real: Width and height without.
    """

    def __init__(self, rows: Rows, size_wh: tuple[int, int], multiple: int) -> None:
        self._rows, self.real = rows, size_wh
        self._columns, self._lines = (_mirrored(length, multiple) for length in size_wh)
        self.width, self.height = len(self._columns), len(self._lines)

    def rows(self, top: int, bottom: int) -> Tensor:
        """The rows from one on and before another, 1, C, rows, width."""
        lines = self._lines[top:bottom]
        first = int(lines.min())
        x = self._rows(first, int(lines.max()) + 1)
        if bottom > self.real[1]:
            x = x[:, :, (lines - first).to(x.device)]
        return x if self.width == self.real[0] else x[..., self._columns.to(x.device)]

    def cut(self, x: Tensor, top: int) -> Tensor:
        """Without what was mirrored, of rows that begin at `top`."""
        width, height = self.real
        return x[:, :, : max(0, height - top), :width]


def _mirrored(length: int, multiple: int) -> Tensor:
    """Which pixel of a side each pixel of the padded side is."""
    places = torch.arange(length)
    while missing := -len(places) % multiple:
        # At least one more: a single pixel has no mirror image.
        more = min(missing, max(1, len(places) - 1))
        places = torch.cat([places, places[:1] if len(places) == 1 else places[-1 - more : -1].flip(0)])
    return places


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of one side begin so that they cover `length` and overlap by at least `overlap`."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def window(tile: int, overlap: int, at_start: bool, at_end: bool) -> Tensor:
    """Weights of one side of a tile: 1 inside, a raised cosine over the overlap where another tile follows."""
    weights = torch.ones(tile)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(overlap) + 0.5) / overlap)
    if not at_start:
        weights[:overlap] = ramp
    if not at_end:
        weights[-overlap:] = ramp.flip(0)
    return weights


def blended(network: Callable[[Tensor], Tensor], padded: Padded, *, tile: int, overlap: int) -> Iterator[Band]:
    """Applies a network to overlapping tiles, blended by raised cosines that sum to one, so that no border shows.

    Args:
        network: N, C, h, w => N, D, h, w.
        padded: The image.
        tile: Side of a tile in pixels, of which the network takes a multiple.
        overlap: Pixels that neighbours share at least.

    Yields:
        Rows in order, as soon as no further tile reaches them.
    """
    rows, columns = padded.height, padded.width
    tile_h, tile_w = min(tile, rows), min(tile, columns)
    overlap = min(overlap, tile // 2)
    tops, lefts = starts(rows, tile_h, overlap), starts(columns, tile_w, overlap)
    left_over: tuple[Tensor, Tensor] | None = None  # sums and weights that the next tiles add to
    for number, top in enumerate(tops):
        seen = padded.rows(top, top + tile_h)
        fade_h = window(tile_h, overlap, top == 0, top + tile_h == rows).to(seen.device)[:, None]
        total, weight = None, torch.zeros(tile_h, columns, device=seen.device)
        for left in lefts:
            drawn = network(seen[..., left : left + tile_w])
            fade = fade_h * window(tile_w, overlap, left == 0, left + tile_w == columns).to(seen.device)
            if total is None:
                total = torch.zeros(*drawn.shape[:2], tile_h, columns, device=seen.device)
            total[..., left : left + tile_w] += drawn * fade
            weight[:, left : left + tile_w] += fade
        assert total is not None
        if left_over is not None:
            shared = left_over[1].shape[0]
            total[:, :, :shared] += left_over[0]
            weight[:shared] += left_over[1]
        done = tile_h if number == len(tops) - 1 else tops[number + 1] - top
        left_over = total[:, :, done:].clone(), weight[done:].clone()
        maps = total[:, :, :done] / weight[:done]
        yield Band(padded.cut(seen[:, :, :done], top), padded.cut(maps, top))


def whole_tiles(network: Callable[[Tensor], Tensor], padded: Padded, *, tile: int, rim: int) -> Iterator[Band]:
    """Applies a network to areas with a rim that holds all that they depend on: as if it had seen the whole.

    Args:
        network: N, C, h, w => N, D, h, w.
        padded: The image.
        tile: Side of a tile with its rim, in pixels; grows where the rim would be most of it.
        rim: A multiple of what the network takes.

    Yields:
        Rows in order.
    """
    yield from _areas(lambda x, _: network(x), padded, tile, rim)


def split_tiles(
    split: Split, run: Callable[[Callable[..., Tensor], Tensor], Tensor], padded: Padded, *, tile: int
) -> Iterator[Band]:
    """Applies a deep U-Net as if it had seen the whole image: its inner levels once, its outer ones to areas.

    Args:
        split: The U-Net.
        run: Applies a part of it to an area of the image in the network's precision.
        padded: The image; it is asked for twice from its beginning.
        tile: Side of a tile with its rim, in pixels.

    Yields:
        Rows in order.
    """
    size, encoded = 2**split.levels, []
    for band in _areas(lambda x, _: run(split.encoded, x), padded, tile, split.rim, size):
        encoded.append(band.maps)
    outer = torch.cat(encoded, 2).contiguous(memory_format=torch.channels_last)
    del encoded, band
    inner = run(lambda x: split.inner(x), outer)

    def draw(x: Tensor, place: tuple[int, int]) -> Tensor:
        top, left = place[0] // size, place[1] // size
        area = (..., slice(top, top + x.shape[2] // size), slice(left, left + x.shape[3] // size))
        parts = [part[area].contiguous(memory_format=torch.channels_last) for part in (outer, inner)]
        return run(lambda seen: split.decoded(seen, *parts), x).float()

    yield from _areas(draw, padded, tile, split.rim)


def _areas(
    draw: Callable[[Tensor, tuple[int, int]], Tensor], padded: Padded, tile: int, rim: int, size: int = 1
) -> Iterator[Band]:
    """Draws areas with their rims, and cuts these off; of maps `size` times smaller than the image all is kept."""
    core = max(tile - 2 * rim, 2 * rim)
    height, width = padded.height, padded.width
    for top in range(0, height if size > 1 else padded.real[1], core):
        bottom = min(top + core, height)
        above, below = max(0, top - rim), min(height, bottom + rim)
        seen = padded.rows(above, below)
        drawn = []
        for left in range(0, width, core):
            right = min(left + core, width)
            before, after = max(0, left - rim), min(width, right + rim)
            maps = draw(seen[..., before:after], (above, before))
            inside = slice((top - above) // size, (bottom - above) // size)
            drawn.append(maps[:, :, inside, (left - before) // size : (right - before) // size].clone())
        maps = torch.cat(drawn, 3)
        seen = seen[:, :, top - above : bottom - above]
        yield Band(padded.cut(seen, top), padded.cut(maps, top)) if size == 1 else Band(seen, maps)
