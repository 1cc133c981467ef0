"""Convolutions of 3x3 and 5x5 in a quarter or a sixth of the multiplications, for inference in float32 on a CPU.

oneDNN's convolutions reach what the processor can multiply, so that only fewer operations are faster. Winograd's
algorithms (Lavin and Gray, "Fast algorithms for convolutional neural networks", arXiv 1509.09308) compute a tile of the
output as a product of polynomials, which its values at a few points determine: inputs and weights are evaluated at the
points, multiplied there, and the result is interpolated. For many channels each point is one matrix product.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

TILE: Final = 4
"""Pixels of the output that a tile has along each side."""
# Small points of different magnitude keep the rounding error near that of a plain convolution (Barabasz et al.,
# "Error analysis and improving the accuracy of Winograd convolution", arXiv 1803.10986); infinity is one more point.
_POINTS: Final = {
    3: [Fraction(each) for each in ("0", "1", "-1", "1/2", "-2")],
    5: [Fraction(each) for each in ("0", "1", "-1", "1/2", "-1/2", "2", "-2")],
}
_TILES: Final = 64  # that are computed at once: what lies between the products stays in the processor's caches


class WinogradConv:
    """A convolution of stride 1 with prepared weights, and the ReLU after it; computes the same but for rounding.

    Args:
        weight: D, C, K, K `float32`, with K = 3 or 5.
        bias: D.
        padding: Rows and columns of zeros around the input.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: int) -> None:
        self.side, self.bias, self.padding = weight.shape[-1], bias, padding
        inputs, weights, outputs = _matrices(_POINTS[self.side], self.side)
        prepared = torch.einsum("ij,dcjk,lk->ilcd", weights, weight.double(), weights)
        self.weight = prepared.flatten(0, 1).to(weight.dtype).contiguous()  # points, C, D
        # Both directions of a tile in one product.
        self.inputs, self.outputs = (torch.kron(each, each).to(weight.dtype) for each in (inputs, outputs))

    def __call__(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, D, h, w with channels last."""
        height, width = (side + 2 * self.padding - self.side + 1 for side in x.shape[2:])
        high, wide = (-(-side // TILE) for side in (height, width))
        ends = [tiles * TILE - side + self.padding for tiles, side in ((wide, width), (high, height))]
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, self.padding, ends[0], self.padding, ends[1]))
        out = x.new_empty(len(x), height, width, len(self.bias))
        images, rows = max(1, _TILES // (high * wide)), max(1, _TILES // wide)
        for first in range(0, len(x), images):
            for top in range(0, high * TILE, rows * TILE):
                bottom = min(top + rows * TILE, high * TILE)
                some = slice(first, first + images)
                made = self._tiles(padded[some, top : bottom + self.side - 1])
                part = out[some, top:bottom]
                torch.clamp_min(made[:, : part.shape[1], :width], 0, out=part)
        return out.permute(0, 3, 1, 2)

    def _tiles(self, x: Tensor) -> Tensor:
        """Convolve whole tiles, whose borders are there: N, H + K - 1, W + K - 1, C => N, H, W, D."""
        count, height, width, channels = x.shape
        high, wide = ((side - self.side + 1) // TILE for side in (height, width))
        image, row, column, channel = x.stride()
        reach = TILE + self.side - 1
        size = (reach, reach, count, high, wide, channels)
        seen = x.as_strided(size, (row, column, image, row * TILE, column * TILE, channel), x.storage_offset())
        values = (self.inputs @ seen.reshape(reach**2, -1)).view(reach**2, -1, channels)
        tiles = self.outputs @ torch.bmm(values, self.weight).view(reach**2, -1)
        out = x.new_empty(count, high, TILE, wide, TILE, len(self.bias))
        torch.add(tiles.view(TILE, TILE, count, high, wide, -1).permute(2, 3, 0, 4, 1, 5), self.bias, out=out)
        return out.view(count, high * TILE, wide * TILE, -1)


def _matrices(points: Sequence[Fraction], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what evaluates inputs, evaluates weights, and interpolates outputs: R, R; R, K; and TILE, R in float64."""
    inputs, weights, outputs = [], [], []
    for number, point in enumerate(points):
        others = [other for place, other in enumerate(points) if place != number]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        inputs.append([*_with_roots(others), Fraction(0)])
        weights.append([point**power / scale for power in range(side)])
        outputs.append([point**power for power in range(TILE)])
    inputs.append(_with_roots(points))  # at infinity only the highest power counts
    weights.append([Fraction(power == side - 1) for power in range(side)])
    outputs.append([Fraction(power == TILE - 1) for power in range(TILE)])
    evaluate, prepare, interpolate = (
        torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)
        for rows in (inputs, weights, outputs)
    )
    return evaluate, prepare, interpolate.T


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients of the polynomial with these roots, the lowest power first."""
    found = [Fraction(1)]
    for root in roots:
        above = [Fraction(0), *found]
        found = [high - root * low for high, low in zip(above, [*found, Fraction(0)], strict=True)]
    return found
