"""Tiles: nothing is lost, nothing shows."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from calco.inference.tiling import pad_to_multiple, starts, tiled


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 64), (63, 65), (64, 64), (200, 3)])
def test_padding_reaches_the_multiple_and_keeps_the_picture(size):
    x = torch.rand(1, 2, *size)
    padded = pad_to_multiple(x, 64)
    assert padded.shape[2] % 64 == 0
    assert padded.shape[3] % 64 == 0
    assert torch.equal(padded[..., : size[0], : size[1]], x)


def test_padding_mirrors():
    padded = pad_to_multiple(torch.arange(6.0).view(1, 1, 1, 6), 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]


@pytest.mark.parametrize(("length", "tile", "overlap"), [(100, 64, 16), (64, 64, 16), (1000, 96, 33), (129, 128, 64)])
def test_tiles_cover_everything_and_overlap(length, tile, overlap):
    begins = starts(length, tile, overlap)
    assert begins[0] == 0
    assert begins[-1] + min(tile, length) == length
    assert all(b - a <= tile - overlap for a, b in pairwise(begins))


def test_a_local_network_gives_the_same_tiled_as_whole():
    kernel = torch.rand(1, 1, 9, 9) / 81

    def blur(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (4, 4, 4, 4), mode="reflect"), kernel)

    x = torch.rand(1, 1, 300, 333)
    whole = blur(x)
    pieces = tiled(blur, x, multiple=4, tile=128, overlap=32)
    # What a tile's border spoils lies under the low end of its ramp, and is blended away almost wholly.
    assert (whole - pieces)[..., 4:-4, 4:-4].abs().max() < 0.02
    assert (whole - pieces).abs().mean() < 1e-3


def test_blending_shows_no_seam():
    """Tiles that disagree by a constant meet in a ramp, not in a step."""
    calls = iter(range(100))

    def disagreeing(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x) + next(calls) % 2

    out = tiled(disagreeing, torch.zeros(1, 1, 64, 400), multiple=8, tile=128, overlap=64)
    assert out.diff(dim=3).abs().max() < 0.05
