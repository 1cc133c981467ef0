"""A network on pictures larger than memory likes: overlapping tiles, blended."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Mirrors N, C, H, W at its right and lower border until H and W are multiples; cut the result back with [:H, :W].

    Mirroring needs more pixels than it adds: what is too small for that is mirrored again and again.
    """
    while True:
        height, width = x.shape[-2:]
        # At least two pixels a side: a single one has no mirror image, so it is repeated.
        down, right = -height % multiple, -width % multiple
        if not down and not right:
            return x
        if min(height, width) == 1:
            x = F.pad(x, (0, 1 if width == 1 else 0, 0, 1 if height == 1 else 0), mode="replicate")
            continue
        x = F.pad(x, (0, min(right, width - 1), 0, min(down, height - 1)), mode="reflect")


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


def tiled(network: Callable[[Tensor], Tensor], x: Tensor, *, multiple: int, tile: int, overlap: int) -> Tensor:
    """Applies a network that keeps height and width to a picture of any size.

    Up to `tile` pixels a side it is applied once. Beyond, tiles overlap and are blended by raised cosines that sum to
    one, so that no border shows.

    Args:
        network: N, C, h, w => N, D, h, w for h and w that are multiples of `multiple`.
        x: N, C, H, W.
        multiple: What height and width of the network's input must be a multiple of.
        tile: Side of a tile in pixels.
        overlap: Pixels that neighbours share at least.

    Returns:
        N, D, H, W.
    """
    height, width = x.shape[-2:]
    tile = max(multiple, tile // multiple * multiple)
    if height <= tile and width <= tile:
        return network(pad_to_multiple(x, multiple))[..., :height, :width]
    padded = pad_to_multiple(x, multiple)
    rows, columns = padded.shape[-2:]
    tile_h, tile_w = min(tile, rows), min(tile, columns)
    overlap = min(overlap, tile // 2)
    total: Tensor | None = None
    weight = torch.zeros(rows, columns, device=x.device)
    for top in starts(rows, tile_h, overlap):
        for left in starts(columns, tile_w, overlap):
            area = (slice(top, top + tile_h), slice(left, left + tile_w))
            drawn = network(padded[..., area[0], area[1]])
            fade = window(tile_h, overlap, top == 0, top + tile_h == rows).to(x.device)[:, None]
            fade = fade * window(tile_w, overlap, left == 0, left + tile_w == columns).to(x.device)
            if total is None:
                total = torch.zeros(*drawn.shape[:2], rows, columns, device=x.device)
            total[..., area[0], area[1]] += drawn * fade
            weight[area] += fade
    assert total is not None
    return (total / weight)[..., :height, :width]
