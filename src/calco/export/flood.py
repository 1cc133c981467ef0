"""Holes filled from their surroundings, in operations that a file for another program can hold.

The numbers are those of `networks.generator.surroundings`. There the steps are Python's; here the loop is the graph's,
and every image of a batch takes its own number of steps.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS: Final = 13  # 2 ** 13 pixels: no hole is taken to be deeper


def surroundings(x: Tensor, known: Tensor) -> Tensor:
    """Fills what is not known with the nearest pixel that is, smoothed by one mean over 3x3.

    Args:
        x: N, C, H, W.
        known: N, 1, H, W, 1 where a pixel is known and 0 where it is not.

    Returns:
        N, C, H, W.
    """
    here = _places(known)
    far = -4.0 * (here.max() + 2)
    seeds = torch.where(known > 0, here, far)
    reach = _reaches(known)
    seeds = (_flooded_in_graph if torch.compiler.is_exporting() else flooded)(seeds, here, reach)
    nearest = torch.where(seeds >= 0, seeds, here).long()
    places = (nearest[:, :1] * x.shape[3] + nearest[:, 1:]).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    copied = x.flatten(2).gather(2, places).view_as(x)
    smoothed = F.avg_pool2d(copied, 3, 1, padding=1, count_include_pad=False)
    return torch.where(known > 0, x, smoothed)


def _places(known: Tensor) -> Tensor:
    """Row and column of every pixel: N, 1, H, W => 1, 2, H, W."""
    ones = torch.ones_like(known[:1])
    return torch.cat([ones.cumsum(2), ones.cumsum(3)], 1) - 1


def _reaches(known: Tensor) -> Tensor:
    """The first step of the flood for each image, N: a power of two that no hole is deeper than."""
    step = torch.ones_like(known[:, 0, 0, 0])
    for _ in range(LEVELS):
        step = torch.where(known.amin((1, 2, 3)) == 0, 2 * step, step)
        known = F.max_pool2d(F.pad(known, (0, 1, 0, 1)), 2)  # whole blocks of 2x2, beyond the edge nothing known
    return step


def _flooded_in_graph(seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    from torch._higher_order_ops.while_loop import while_loop

    def more(step: Tensor, _seeds: Tensor, _here: Tensor, _reach: Tensor) -> Tensor:
        return step >= 1

    def body(step: Tensor, seeds: Tensor, here: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return torch.floor(step / 2), asked(step, seeds, here, reach), here.clone(), reach.clone()

    return while_loop(more, body, (reach.max(), seeds, here, reach))[1]  # type: ignore[no-any-return]


def flooded(seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    """Jump flooding at ever smaller steps."""
    step = reach.max()
    while bool(step >= 1):
        seeds = asked(step, seeds, here, reach)
        step = torch.floor(step / 2)
    return seeds


def asked(step: Tensor, seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    """Every pixel asks its eight neighbours at a distance which known pixel they know of, and keeps the nearest.

    Args:
        step: The distance; an image whose holes are less deep is left as it is.
        seeds: N, 2, H, W: row and column of the nearest known pixel so far, far away where none is known of.
        here: 1, 2, H, W: row and column.
        reach: N.
    """
    rows, columns = here[0, 0, :, 0], here[0, 1, 0, :]
    height, width = rows.max(), columns.max()
    far = -4.0 * (here.max() + 2)
    at_work = (reach >= step).view(-1, 1, 1, 1)
    found = seeds
    nearest = (seeds - here).square().sum(1, keepdim=True)
    for down in (-1, 0, 1):
        row = rows + down * step
        line = seeds_at(seeds, 2, row, height)
        inside = ((row >= 0) & (row <= height)).view(-1, 1)
        for right in (-1, 0, 1):
            column = columns + right * step
            there = seeds_at(line, 3, column, width)
            there = torch.where(inside & (column >= 0) & (column <= width), there, far)
            distance = (there - here).square().sum(1, keepdim=True)
            nearer = (distance < nearest) & at_work
            found = torch.where(nearer, there, found)
            nearest = torch.where(nearer, distance, nearest)
    return found


def seeds_at(seeds: Tensor, dim: int, place: Tensor, last: Tensor) -> Tensor:
    """Rows or columns by their places, the outermost for what lies outside."""
    return seeds.index_select(dim, torch.minimum(place.clamp(min=0), last).long())
