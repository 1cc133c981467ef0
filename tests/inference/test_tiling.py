"""Tiles: nothing is lost, nothing shows."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.inference import network
from calco.inference.folder import ModelInfo
from calco.inference.network import OVERLAP, TILE, Padded, blended, starts
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig


def padded_image(x, multiple):
    return Padded(lambda top, bottom: x[:, :, top:bottom], (x.shape[3], x.shape[2]), multiple)


def tiled(network, x, *, multiple, tile, overlap):
    padded = padded_image(x, multiple)
    bands = blended(lambda x, _origin: network(x), padded, tile_wh=(tile, tile), overlap=overlap)
    return torch.cat([band.maps for band in bands], 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 64), (63, 65), (64, 64), (200, 3)])
def test_padding_reaches_the_multiple_and_keeps_the_image(size):
    x = torch.rand(1, 2, *size)
    padded = padded_image(x, 64)
    whole = padded.rows(0, padded.height)
    assert whole.shape[2] % 64 == 0
    assert whole.shape[3] % 64 == 0
    assert torch.equal(whole[..., : size[0], : size[1]], x)
    assert torch.equal(padded.rows(padded.height // 2, padded.height), whole[:, :, padded.height // 2 :])


def test_padding_mirrors():
    padded = padded_image(torch.arange(6.0).view(1, 1, 1, 6), 8)
    assert padded.rows(0, 1)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]


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
    """Tiles that disagree by 80 levels of a byte meet in a ramp whose steps are below one level."""
    calls = iter(range(100))

    def disagreeing(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x) + next(calls) % 2 * 80

    out = tiled(disagreeing, torch.zeros(1, 1, 64, 3000), multiple=8, tile=TILE, overlap=OVERLAP)
    assert out.min() == 0 and out.max() == 80
    assert out.diff(dim=3).abs().max() < 1


def test_a_wide_image_has_lower_tiles(monkeypatch):
    """The memory of a band of tiles has a bound."""
    config = GeneratorConfig(depth=4, filters=4)
    info = ModelInfo(
        generator=config, recipe=RecipeConfig(recipe="aligned"), jitter=JitterConfig(size=256, resize=0),
        in_channels=3, out_channels=3,
    )  # fmt: skip
    translator = Translator(info, build_generator(config, 3, 3))
    monkeypatch.setattr(network, "TILE", 128)
    monkeypatch.setattr(network, "OVERLAP", 16)
    monkeypatch.setattr(network, "_BAND", 300 * 32)
    x = torch.rand(1, 3, 100, 300) * 2 - 1
    with torch.inference_mode():
        bands = list(translator.bands(lambda top, bottom: x[:, :, top:bottom], (300, 100)))
    assert max(band.maps.shape[2] for band in bands) <= 32
    assert torch.equal(torch.cat([band.seen for band in bands], 2), x)
